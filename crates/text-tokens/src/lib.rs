//! Texts as tokens of a model's tokenizer.
//!
//! A [`TextTokenizer`] turns text into token ids and back. A [`TokenizedText`] also knows which characters each token stands for, and
//! so where a prompt ends or which tokens a span has. A [`TokenCache`] keeps such texts beside a corpus: what one stage has read, the
//! next one finds. [`train_byte_level_bpe`] makes a tokenizer where there is none.

mod cache;
mod tokenized_text;
mod tokenizer;

pub use cache::TokenCache;
pub use tokenized_text::TokenizedText;
pub use tokenizer::{TextTokenizer, train_byte_level_bpe};
