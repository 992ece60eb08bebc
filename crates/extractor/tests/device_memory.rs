//! How many rows go into a batch on a GPU, and how many tokens into a scoring pass.

use extractor::device_memory::{DEFAULT_ROWS, MAX_ROWS, PIECE_BYTES, RowBytes, pass_tokens, rows};

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
    // What is free, and what the user says; 0.8 of it is used, less the 512 MiB of the choice.
    for (free, row, batch_size, expected) in [
        (Some(GIB), mib_a_row, None, 307),
        (Some(2 * GIB), mib_a_row, None, MAX_ROWS),
        (Some(80 * GIB), GPT2, None, MAX_ROWS),
        (Some(4 * GIB), GPT2, None, 476),
        // Where hardly anything is free one row is tried: LibTorch then says what is missing.
        (Some(PIECE_BYTES), mib_a_row, None, 1),
        (Some(0), mib_a_row, None, 1),
        (None, mib_a_row, None, DEFAULT_ROWS),
        // What the user sets holds.
        (Some(GIB), mib_a_row, Some(2000), 2000),
        (None, mib_a_row, Some(3), 3),
    ] {
        assert_eq!(
            rows(free, row, batch_size),
            expected,
            "{free:?} {row:?} {batch_size:?}"
        );
    }
}

#[test]
fn tokens_of_a_scoring_pass_follow_from_free_memory() {
    for (free, token_bytes, expected) in [
        (Some(80 * GIB), 24 * 2 * 768, 65_536),
        (Some(4 * GIB), 24 * 2 * 4096, 14_745),
        (Some(0), 24 * 2 * 768, 1024),
        (None, 24 * 2 * 768, 16_384),
    ] {
        assert_eq!(pass_tokens(free, token_bytes), expected, "{free:?} {token_bytes}");
    }
}
