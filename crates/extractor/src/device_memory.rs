//! How much is done at once on a GPU: as much as its memory holds (`model_folder::cost`, by which `plan` estimates it too).

use causal_lm::CausalLm;
use contract::pipeline::Extraction;
use model_folder::cost::{RowBytes, even_rows, rows_for_memory, scored_tokens_for_memory, token_bytes};
use tch::Device;
use torch_device::memory::free_bytes;

/// Rows in one batch where it is not known how much memory is free.
const DEFAULT_ROWS: usize = 256;

/// Tokens in one forward pass of the scoring pass where it is not known how much memory is free.
const DEFAULT_PASS_TOKENS: usize = 16_384;

/// Rows in one batch of `wanted`, with prompts of at most so many tokens: as many as the user says, or as fit.
pub(crate) fn batch_rows(
    model: &CausalLm,
    settings: &Extraction,
    prompt_tokens: usize,
    wanted: usize,
) -> usize {
    if model.device() == Device::Cpu {
        return settings.batch_size.unwrap_or(Extraction::CPU_BATCH_SIZE);
    }
    if let Some(rows) = settings.batch_size {
        return rows;
    }
    let number = model.compute().elt_size_in_bytes();
    let row = RowBytes::of(&model.config, number, prompt_tokens, settings.new_tokens);
    let free = free_bytes(model.device());
    let most = free.map_or(DEFAULT_ROWS, |free| rows_for_memory(free, row));
    let rows = even_rows(wanted, most).max(1);
    let memory = match free {
        Some(bytes) => format!("{} MiB of the device are free", bytes >> 20),
        None => "how much of the device is free is not known".to_owned(),
    };
    tracing::info!("{rows} rows in a batch: {memory}; extraction.batch_size sets another number");
    rows
}

/// Tokens in one forward pass of the scoring pass; on the CPU as many as fit into its caches.
pub(crate) fn scored_tokens(model: &CausalLm, on_cpu: usize) -> usize {
    if model.device() == Device::Cpu {
        return on_cpu;
    }
    let bytes = token_bytes(&model.config, model.compute().elt_size_in_bytes());
    free_bytes(model.device()).map_or(DEFAULT_PASS_TOKENS, |free| scored_tokens_for_memory(free, bytes))
}
