//! Inner loops on the CPU: products with weights, decode attention, cross-entropy, AdamW, sums of squares.
//!
//! A kernel is one file. It takes tensors, reads them through [`mod@slice`], runs with the widest instructions that the processor
//! has (`dispatch`) on as many threads as LibTorch was told to use (`threads`), and leaves to LibTorch what it is not made for
//! (another device, another precision).
//!
//! Results do not depend on the number of threads, nor on the instructions but where a kernel says so.

mod adamw;
mod cross_entropy;
mod decode_attention;
mod dispatch;
mod prepacked;
mod processor;
mod product;
mod slice;
mod sum_of_squares;
mod threads;

pub use adamw::{AdamWStep, adamw_step};
pub use cross_entropy::{Predictions, cross_entropy};
pub use decode_attention::decode_attention;
pub use prepacked::Prepacked;
pub use processor::{bf16_over_float32, is_bf16_fast};
pub use product::{DifferentiableProduct, is_few_rows, product};
pub use sum_of_squares::sum_of_squares;
