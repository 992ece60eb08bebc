//! How much goes through the model at once.

use causal_lm::CausalLm;
use contract::pipeline::Tuning;
use model_folder::cost::{PassSize, activations, pass_for_memory};
use torch_device::memory::free_bytes;

use crate::Rows;
use crate::working_weights::WorkingWeights;

/// Bytes of a gradient in float32.
const GRADIENT_BYTES: u64 = 4;

/// The largest forward pass of training, and how it is gone back through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PassLimits {
    /// Most rows.
    pub(crate) rows: usize,
    /// Most tokens, unless a single row has more; 0: however many.
    pub(crate) tokens: usize,
    /// Whether only what enters each block is kept for the way back.
    pub(crate) checkpointing: bool,
}

impl PassLimits {
    /// As the settings say; on a GPU, where they say nothing, as its memory has room beside the weights and the optimizer that are there.
    pub(crate) fn new(model: &CausalLm, weights: &WorkingWeights, tuning: &Tuning, rows: &Rows) -> Self {
        let Some(free) = free_bytes(model.device()) else {
            if model.device().is_cuda() {
                tracing::warn!(
                    "LibTorch does not say how much of the GPU's memory is free: passes are as on the processor"
                );
            }
            return Self {
                rows: tuning.batch_size,
                tokens: tuning
                    .max_tokens_per_microbatch
                    .unwrap_or(Tuning::MAX_TOKENS_PER_MICROBATCH),
                checkpointing: tuning.gradient_checkpointing.unwrap_or(false),
            };
        };
        let number = model.compute().elt_size_in_bytes();
        let gradients = weights.count() as u64 * (GRADIENT_BYTES + number as u64);
        let kept = activations(&model.config, |module| weights.changes(&module.path));
        let longest = (0..rows.len()).map(|row| rows.length(row)).max().unwrap_or(0);
        // Without a limit all tokens of a step's rows go through at once.
        let wanted = tuning.max_tokens_per_microbatch.map(|tokens| match tokens {
            0 => tuning.batch_size * longest,
            tokens => tokens,
        });
        let free = free.saturating_sub(gradients);
        let PassSize {
            tokens,
            checkpointing,
        } = pass_for_memory(free, kept, number, longest, wanted);
        let checkpointing = tuning.gradient_checkpointing.unwrap_or(checkpointing);
        tracing::info!(
            "{:.1} GB of the GPU's memory are free: up to {tokens} tokens a pass{}",
            free as f64 / 1e9,
            if checkpointing {
                ", with gradient checkpointing"
            } else {
                ""
            }
        );
        Self {
            rows: tuning.batch_size,
            tokens,
            checkpointing,
        }
    }
}
