//! How much is done at once on a GPU: as much as its memory holds.

use causal_lm::CausalLm;
use contract::pipeline::Extraction;
use tch::{Device, Kind};
use torch_device::memory::free_bytes;

/// Memory of a device that the choice of tokens, and the reading of scores, take for the logits that they work on at once.
pub const PIECE_BYTES: u64 = 512 << 20;

/// Share of the free memory that is used; the rest is for what LibTorch's kernels need and for blocks that do not fit together.
const USED_SHARE: f64 = 0.8;

/// Rows in one batch where it is not known how much memory is free.
pub const DEFAULT_ROWS: usize = 256;

/// Rows in one batch at most: more do not make it faster.
pub const MAX_ROWS: usize = 1024;

/// Tokens in one forward pass of the scoring pass where it is not known how much memory is free.
const DEFAULT_PASS_TOKENS: usize = 16_384;

/// The same at most, and at least.
const MAX_PASS_TOKENS: usize = 65_536;
const MIN_PASS_TOKENS: usize = 1024;

/// Numbers that a forward pass holds at once for each token, in widths of the model: hidden states, queries, keys and values, and
/// those of the feed-forward layer.
const ACTIVATIONS: u64 = 24;

/// Memory that a row of a batch takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowBytes {
    /// Its keys and values, and its share of the buffer that rows are gathered into.
    pub cache: u64,
    /// Its logits.
    pub logits: u64,
    /// What the forward pass of its prompt holds.
    pub prompt: u64,
}

impl RowBytes {
    /// Of a row with so many tokens of prompt and of its own.
    pub fn of(model: &CausalLm, prompt_tokens: usize, new_tokens: usize) -> Self {
        let config = &model.config;
        let number = model.compute().elt_size_in_bytes() as u64;
        let (heads, width) = config.family.key_heads(config.width);
        let buffers = 2 * config.layers as u64 + 1;
        Self {
            cache: buffers * number * (heads * width * (prompt_tokens + new_tokens)) as u64,
            // The products of the LM head, and those of the step before.
            logits: 2 * Kind::Float.elt_size_in_bytes() as u64 * config.vocabulary as u64,
            prompt: ACTIVATIONS * number * (config.width * prompt_tokens) as u64,
        }
    }
}

/// Rows in one batch on a GPU with so many bytes free: as many as the user says, or as fit.
pub fn rows(free: Option<u64>, row: RowBytes, batch_size: Option<usize>) -> usize {
    if let Some(rows) = batch_size {
        return rows;
    }
    let Some(free) = free else { return DEFAULT_ROWS };
    let usable = ((free as f64 * USED_SHARE) as u64).saturating_sub(PIECE_BYTES);
    let of_row = (row.cache + row.logits + row.prompt).max(1);
    usize::try_from(usable / of_row).map_or(MAX_ROWS, |rows| rows.clamp(1, MAX_ROWS))
}

/// Rows in one batch of `wanted`, with prompts of at most so many tokens.
pub(crate) fn batch_rows(
    model: &CausalLm,
    settings: &Extraction,
    prompt_tokens: usize,
    wanted: usize,
) -> usize {
    if model.device() == Device::Cpu {
        return settings.batch_size.unwrap_or(Extraction::CPU_BATCH_SIZE);
    }
    let row = RowBytes::of(model, prompt_tokens, settings.new_tokens);
    let free = free_bytes(model.device());
    let most = rows(free, row, settings.batch_size);
    if settings.batch_size.is_some() || wanted == 0 {
        return most;
    }
    // As many in each batch, so that the last is not small.
    let even = wanted.div_ceil(wanted.div_ceil(most));
    let memory = match free {
        Some(bytes) => format!("{} MiB of the device are free", bytes >> 20),
        None => "how much of the device is free is not known".to_owned(),
    };
    tracing::info!("{even} rows in a batch: {memory}; extraction.batch_size sets another number");
    even
}

/// Tokens in one forward pass of the scoring pass on a GPU with so many bytes free, of which each token takes some.
pub fn pass_tokens(free: Option<u64>, token_bytes: u64) -> usize {
    let Some(free) = free else {
        return DEFAULT_PASS_TOKENS;
    };
    let usable = ((free as f64 * USED_SHARE) as u64).saturating_sub(PIECE_BYTES);
    usize::try_from(usable / token_bytes.max(1)).map_or(MAX_PASS_TOKENS, |tokens| {
        tokens.clamp(MIN_PASS_TOKENS, MAX_PASS_TOKENS)
    })
}

/// Tokens in one forward pass of the scoring pass; on the CPU as many as fit into its caches.
pub(crate) fn scored_tokens(model: &CausalLm, on_cpu: usize) -> usize {
    if model.device() == Device::Cpu {
        return on_cpu;
    }
    let number = model.compute().elt_size_in_bytes() as u64;
    let token_bytes = ACTIVATIONS * number * model.config.width as u64;
    pass_tokens(free_bytes(model.device()), token_bytes)
}
