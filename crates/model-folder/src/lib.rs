//! What the folder of a model or of an adapter says of itself: its family, its shape, the names and shapes of its tensors, the
//! settings of an adapter. Neither LibTorch nor a weight is needed for it, so `plan` refuses before anything is built what
//! `causal-lm` could not load, and in the same words: both call [`Checkpoint::open`].
//!
//! Three types matter. A [`Model`] is a folder of a whole model whose tensors fit its configuration. An [`Adapter`] is a folder
//! that peft wrote, with what each of its tensors does to the base. A [`Checkpoint`] is one of both, with the base that it
//! belongs to.
//!
//! A family is one file under `families` and one line in [`families::FAMILIES`]; most compute as a Llama does, by settings of their
//! own ([`families::llama::Settings`]), and those that do not have a file of the same name in `causal-lm`.

pub mod adapter;
mod arithmetic;
mod checkpoint;
pub mod checkpoints;
pub mod config;
pub mod cost;
pub mod endpoint;
pub mod families;
mod files;
mod four_bit;
mod headers;
pub mod hub;
mod lora;
mod model;
mod module_choice;
mod modules;

pub use adapter::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, Adapter};
pub use arithmetic::{
    Activation, EmbeddingScale, FrequencyScaling, LogitSettings, RmsNormForm, RotarySettings,
};
pub use checkpoint::Checkpoint;
pub use config::Config;
pub use endpoint::{ENDPOINT, Endpoint};
pub use files::{TOKENIZER_FILES, inputs, is_model};
pub use four_bit::{FourBit, Nested};
pub use lora::LoraSettings;
pub use model::{Model, stored_numbers};
pub use module_choice::{LoraTargets, ModuleChoice};
pub use modules::{Module, Role};
