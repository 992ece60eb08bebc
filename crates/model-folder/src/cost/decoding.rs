//! How much is decoded and scored at once on a GPU: as much as its memory holds.

use super::USABLE_SHARE;
use crate::Config;

/// Memory of a GPU that the choice of tokens, and the reading of scores, take for the logits that they work on at once.
pub const PIECE_BYTES: u64 = 512 << 20;

/// Rows in one batch at most: more do not make it faster.
pub const MAX_ROWS: usize = 1024;

/// Tokens in one forward pass of the scoring pass, at most and at least.
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
    /// Of a row with so many tokens of prompt and of its own, in a model that computes in numbers of `number` bytes.
    pub fn of(config: &Config, number: usize, prompt_tokens: usize, new_tokens: usize) -> Self {
        let (heads, width) = config.family.key_heads(config.width);
        let buffers = 2 * config.layers + 1;
        Self {
            cache: (buffers * number * heads * width * (prompt_tokens + new_tokens)) as u64,
            // The products of the LM head, and those of the step before, in float32.
            logits: 2 * 4 * config.vocabulary as u64,
            prompt: token_bytes(config, number) * prompt_tokens as u64,
        }
    }

    /// All together.
    pub fn sum(self) -> u64 {
        self.cache + self.logits + self.prompt
    }
}

/// Bytes that a forward pass holds at once for each token.
pub fn token_bytes(config: &Config, number: usize) -> u64 {
    ACTIVATIONS * (number * config.width) as u64
}

/// Rows of a batch that fit into a GPU with so many bytes free; one is tried where none fits.
pub fn rows_for_memory(free: u64, row: RowBytes) -> usize {
    fitting(free, row.sum()).clamp(1, MAX_ROWS)
}

/// Rows of each batch where `wanted` go into batches of at most `most`: as many in each, so that the last is not small.
pub fn even_rows(wanted: usize, most: usize) -> usize {
    let batches = wanted.div_ceil(most.max(1)).max(1);
    wanted.div_ceil(batches)
}

/// Tokens in one forward pass of the scoring pass on a GPU with so many bytes free, of which each token takes some.
pub fn scored_tokens_for_memory(free: u64, token_bytes: u64) -> usize {
    fitting(free, token_bytes).clamp(MIN_PASS_TOKENS, MAX_PASS_TOKENS)
}

/// How many things of so many bytes fit beside the logits that are worked on.
fn fitting(free: u64, bytes: u64) -> usize {
    let usable = ((free as f64 * USABLE_SHARE) as u64).saturating_sub(PIECE_BYTES);
    usize::try_from(usable / bytes.max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    /// GPT-2 124 M in bf16 with 50 tokens of prompt and 50 of its own: 12 layers of keys and values of 768 numbers, and 50,257 logits.
    const GPT2: RowBytes = RowBytes {
        cache: 25 * 2 * 768 * 100,
        logits: 2 * 4 * 50_257,
        prompt: 24 * 2 * 768 * 50,
    };

    #[test]
    fn rows_of_a_batch_follow_from_free_memory() {
        let mib_a_row = RowBytes {
            cache: MIB / 2,
            logits: MIB / 4,
            prompt: MIB / 4,
        };
        // 0.8 of what is free is used, less the 512 MiB of the choice.
        for (free, row, expected) in [
            (GIB, mib_a_row, 307),
            (2 * GIB, mib_a_row, MAX_ROWS),
            (80 * GIB, GPT2, MAX_ROWS),
            (4 * GIB, GPT2, 476),
            // Where hardly anything is free one row is tried: LibTorch then says what is missing.
            (PIECE_BYTES, mib_a_row, 1),
            (0, mib_a_row, 1),
        ] {
            assert_eq!(rows_for_memory(free, row), expected, "{free} {row:?}");
        }
    }

    #[test]
    fn batches_have_as_many_rows_each() {
        for (wanted, most, expected) in [(0, 8, 0), (7, 8, 7), (8, 8, 8), (9, 8, 5), (17, 8, 6), (5, 1, 1)] {
            assert_eq!(even_rows(wanted, most), expected, "{wanted} in batches of {most}");
        }
    }

    #[test]
    fn tokens_of_a_scoring_pass_follow_from_free_memory() {
        for (free, token_bytes, expected) in [
            (80 * GIB, 24 * 2 * 768, 65_536),
            (4 * GIB, 24 * 2 * 4096, 14_745),
            (0, 24 * 2 * 768, 1024),
        ] {
            assert_eq!(
                scored_tokens_for_memory(free, token_bytes),
                expected,
                "{free} {token_bytes}"
            );
        }
    }
}
