//! What a forward pass of training keeps for the way back, and how large a pass may be on a GPU.

use std::collections::BTreeMap;

use super::{DEVICE_LOGITS_BYTES, USABLE_SHARE};
use crate::{Config, Module, Role};

/// Numbers that a forward pass keeps of each token for the way back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activations {
    /// In all layers.
    pub all: usize,
    /// In the layer that keeps most.
    pub layer: usize,
    /// What enters each layer, of all layers: all that is kept with gradient checkpointing, beside one layer's.
    pub entering: usize,
}

/// What a model keeps of each token; `is_trained` says of a linear layer whether its weight or an adapter of it changes. Kept are what each
/// norm reads, queries, keys, values and what attention makes of them, and what the activation of the multi-layer perceptron reads and
/// multiplies; what a linear layer reads is kept where the layer is trained. After Korthikanti et al. 2022 (arXiv 2205.05198), without
/// attention's scores, which are not kept.
pub fn activations(config: &Config, is_trained: impl Fn(&Module) -> bool) -> Activations {
    let modules = config.modules();
    let mut layers: BTreeMap<&str, LayerActivations> = BTreeMap::new();
    for module in &modules {
        if let Some(layer) = layer_of(&module.path) {
            layers.entry(layer).or_default().add(module, is_trained(module));
        }
    }
    let kept = layers.values().map(LayerActivations::kept);
    Activations {
        all: kept.clone().sum(),
        layer: kept.max().unwrap_or(0),
        entering: config.layers * config.width,
    }
}

/// The number of the layer that a path names.
fn layer_of(path: &str) -> Option<&str> {
    let mut parts = path.split('.');
    parts.find(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[derive(Debug, Default)]
struct LayerActivations {
    norms: usize,
    /// Queries, keys and values.
    projected: usize,
    /// What attention gives.
    attended: usize,
    /// What the perceptron's first layers give, and what its last reads.
    widened: usize,
    inner: usize,
    /// What trained layers read, that is not kept anyway.
    read_by_attention: usize,
    read_by_perceptron: usize,
    read_at_the_end: usize,
}

impl LayerActivations {
    fn add(&mut self, module: &Module, is_trained: bool) {
        let Role::Linear { inputs, outputs, .. } = module.role else {
            if let Role::Norm { width } = module.role {
                self.norms += width;
            }
            return;
        };
        let name = module.path.rsplit('.').next().unwrap_or_default();
        let ends = [
            "o_proj",
            "out_proj",
            "c_proj",
            "dense",
            "down_proj",
            "dense_4h_to_h",
        ]
        .contains(&name);
        let of_perceptron = module.path.contains(".mlp.");
        let read = if is_trained { inputs } else { 0 };
        match (of_perceptron, ends) {
            (false, false) => {
                self.projected += outputs;
                self.read_by_attention = self.read_by_attention.max(read);
            }
            (false, true) => self.attended += inputs,
            (true, false) => {
                self.widened += outputs;
                self.read_by_perceptron = self.read_by_perceptron.max(read);
            }
            (true, true) => {
                self.inner += inputs;
                self.read_at_the_end += read;
            }
        }
    }

    fn kept(&self) -> usize {
        // With a gate, what the activation gives is multiplied, and kept for it.
        let gated = if self.widened > self.inner { self.inner } else { 0 };
        let always = self.norms + self.projected + self.attended + self.widened + gated;
        always + self.read_by_attention + self.read_by_perceptron + self.read_at_the_end
    }
}

impl Activations {
    /// Numbers that are held of each token at the most, on the way back through the last layer, whose own gradients are about as many as what it
    /// keeps.
    pub fn held(self, checkpointing: bool) -> usize {
        if checkpointing {
            self.entering + 2 * self.layer
        } else {
            self.all + self.layer
        }
    }
}

/// Largest forward pass of training, and whether it is gone back through with gradient checkpointing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassSize {
    /// Tokens.
    pub tokens: usize,
    /// Whether only what enters each layer is kept.
    pub checkpointing: bool,
}

/// Fewest tokens of a pass for which everything is kept: with fewer a GPU is not busy.
const FEWEST_TOKENS: usize = 4096;

/// Most tokens of a pass: with more a GPU is no faster.
const MOST_TOKENS: usize = 65_536;

/// The pass for a GPU with `free` bytes beside weights, optimizer and gradients, where a number has `number` bytes and the longest row
/// `longest` tokens. Checkpointing where else fewer than 4,096 tokens, or not the longest row, would fit; of `wanted` tokens where these
/// would not.
pub fn pass_for_memory(
    free: u64,
    activations: Activations,
    number: usize,
    longest: usize,
    wanted: Option<usize>,
) -> PassSize {
    let usable = USABLE_SHARE * free as f64 - DEVICE_LOGITS_BYTES as f64;
    let fitting = |kept: usize| (usable.max(0.0) / (kept.max(1) * number) as f64) as usize;
    let whole = fitting(activations.held(false));
    if let Some(tokens) = wanted {
        return PassSize {
            tokens,
            checkpointing: whole < tokens.max(longest),
        };
    }
    if whole >= FEWEST_TOKENS.max(longest) {
        return PassSize {
            tokens: whole.min(MOST_TOKENS.max(longest)),
            checkpointing: false,
        };
    }
    let checkpointed = fitting(activations.held(true));
    PassSize {
        tokens: checkpointed.clamp(longest.max(1), MOST_TOKENS.max(longest)),
        checkpointing: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_pass_fits_the_memory() {
        // GPT-2 with 124 million parameters in bf16: 16 numbers for each of its 768 in 12 layers.
        let small = Activations {
            all: 12 * 16 * 768,
            layer: 16 * 768,
            entering: 12 * 768,
        };
        let pass = |free, longest| {
            let PassSize {
                tokens,
                checkpointing,
            } = pass_for_memory(free, small, 2, longest, None);
            (tokens, checkpointing)
        };
        assert_eq!(pass(140 * GIB, 1024), (MOST_TOKENS, false));
        // (0.8 · 8 − 1) GiB over 2 · 13 · 16 · 768 bytes a token.
        assert_eq!(pass(8 * GIB, 1024), (18_148, false));
        // 0.2 GiB is room for 672 tokens, and for 3,177 of which only 9,216 + 2 · 12,288 numbers are held.
        assert_eq!(pass(3 * GIB / 2, 1024), (3177, true));
        // A row is never divided, whatever the memory.
        assert_eq!(pass(0, 1024), (1024, true));
        assert_eq!(pass(140 * GIB, 100_000), (100_000, false));
        let wanted = |tokens| pass_for_memory(8 * GIB, small, 2, 1024, Some(tokens));
        assert_eq!((wanted(8192).tokens, wanted(8192).checkpointing), (8192, false));
        assert_eq!(
            (wanted(32_768).tokens, wanted(32_768).checkpointing),
            (32_768, true)
        );
    }
}
