//! Sentence vectors: how alike are two sentences in what they say?
//!
//! An [`Encoder`] is a BERT (Devlin et al., 2019) tuned so that sentences of like meaning get vectors of like direction
//! (Reimers and Gurevych, "Sentence-BERT", 2019). It turns sentences into [`Embeddings`], one row of length 1 each, so that
//! a dot product is a cosine. [`max_cosine`] finds the nearest row of a corpus for every row of a query, exactly.
//!
//! ```
//! use sentence_embed::{Encoder, max_cosine};
//!
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny");
//! let encoder = Encoder::load(folder, tch::Device::Cpu)?; // a folder with config.json, model.safetensors, tokenizer.json
//! let queries = encoder.encode(&["That is a happy person"])?;
//! let corpus = encoder.encode(&["Today is a sunny day", "That is a very happy person"])?;
//!
//! let nearest = max_cosine(&queries, &corpus, tch::Device::Cpu)?;
//! assert_eq!(nearest[0].index, 1);
//! assert!(nearest[0].cosine > 0.8); // 0.943 under all-MiniLM-L6-v2
//! # Ok::<(), sentence_embed::EmbedError>(())
//! ```
//!
//! The folder has the layout of sentence-transformers, and the vectors agree with what that library computes from it.
//! [`Encoder::encode_on`] uses several threads, and [`Precision`] trades the last digits for speed.
//!
//! A [`PairClassifier`] reads two sentences at once, which is slower but can be told by examples what counts as alike: it
//! is a BERT or RoBERTa fine-tuned on labelled pairs, from a folder that transformers saved.
//!
//! # How the time is spent
//!
//! No sentence is padded: the tokens of a batch stand one after the other in one matrix, on which every layer but attention
//! works as it is, and sentences are sorted by length, so that attention works on sentences of equal length together
//! (`packing`). A batch fits in the cache of a processor, and every thread has batches of its own (`workers`).

mod bert;
mod classifier;
mod config;
mod embeddings;
mod encoder;
mod error;
mod layers;
mod nearest;
mod packing;
mod pooling;
mod settings;
mod tokens;
mod weights;
mod workers;

pub use classifier::PairClassifier;
pub use embeddings::Embeddings;
pub use encoder::{Encoder, Precision};
pub use error::EmbedError;
pub use nearest::{Best, max_cosine};
