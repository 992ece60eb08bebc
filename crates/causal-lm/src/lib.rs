//! Decoder-only language models on LibTorch, with weights and LoRA adapters in the Hugging Face formats.
//!
//! Three types matter. A [`CausalLm`] is a model: it is loaded from a folder, turns token ids into hidden states and logits,
//! and is written back as a folder that transformers loads. A [`KvCache`] keeps keys and values, so that generation pays
//! for each token once. A [`LoraSettings`] says which linear layers get a low-rank update; the update is written and read
//! as a folder that peft loads.
//!
//! ```no_run
//! use causal_lm::CausalLm;
//! use tch::{Device, Kind, Tensor};
//! use text_tokens::TextTokenizer;
//!
//! # fn main() -> Result<(), causal_lm::Error> {
//! let folder = std::path::Path::new("data/models/4m");
//! let model = CausalLm::load(folder, Kind::Float, Device::Cpu)?;
//! let tokenizer = TextTokenizer::load(folder)?;
//! let ids = tokenizer.encode("The patient asked for")?;
//! let logits = model.logits(&model.hidden(&Tensor::from_slice(&ids).unsqueeze(0), None, None)?)?;
//! println!("{:?}", logits.size()); // [1, tokens, vocabulary]
//! # Ok(())
//! # }
//! ```
//!
//! A family is one file under `families`, put together from `parts` and chosen by `model_type`; the names of its parameters
//! are those of the PyTorch `state_dict`, so that nothing is renamed on the way in or out. What a folder holds, and whether it
//! fits, is known from `model-folder` before a weight is read.

mod adapter;
mod error;
mod families;
mod folder;
mod four_bit;
mod kv_cache;
mod lm_head;
mod lora;
mod model;
mod packed_forward;
mod padding;
mod parts;
mod precision;
mod seeded;
mod virtual_tokens;
pub mod weights;

pub use error::Error;
pub use folder::{load_checkpoint, write_adapter_folder, write_model_folder};
pub use kv_cache::KvCache;
pub use lm_head::{LmHead, ReversibleLogits};
pub use model::{CausalLm, ParameterMut};
pub use model_folder::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, Config, LoraSettings, LoraTargets, ModuleChoice};
pub use packed_forward::PackedForward;
pub use padding::LeftPadding;
pub use precision::{arithmetic, resolve};
