//! Memory that tuning and extraction hold beside the weights: constants that the programs keep to and that estimates are made
//! with.

mod decoding;
mod training;

pub use decoding::{
    MAX_ROWS, PIECE_BYTES, RowBytes, even_rows, rows_for_memory, scored_tokens_for_memory, token_bytes,
};
pub use training::{Activations, PassSize, activations, pass_for_memory};

/// Logits that the tuner holds at once, in bytes.
pub const LOGITS_BYTES: usize = 128 << 20;

/// The same on a GPU, where few large pieces are faster.
pub const DEVICE_LOGITS_BYTES: usize = 1 << 30;

/// Float32 weights up to this many bytes are prepacked for decoding, so that memory holds them twice.
pub const MAX_PREPACKED_BYTES: usize = 4 << 30;

/// Weights up to this many bytes are read once for each thread: they are small enough for the processor's caches, and the threads
/// need not wait for each other in every layer.
pub const SMALL_MODEL_BYTES: usize = 64 << 20;

/// Bytes of text that one token is taken for.
pub const BYTES_PER_TOKEN: f64 = 4.0;

/// Share of a GPU's free memory that is used: blocks of memory do not fit one another seamlessly, and results of single operations come and
/// go.
const USABLE_SHARE: f64 = 0.8;
