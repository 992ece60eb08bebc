//! How generations are drawn and continuations scored.

use serde::{Deserialize, Serialize};

use super::{BadDocuments, Precision};

/// `[extraction]`: how generations are drawn and continuations scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Extraction {
    /// Where prompts come from.
    pub prompts: Vec<PromptSource>,
    /// Length of a prompt in tokens.
    pub prefix_tokens: usize,
    /// What stands before a prompt.
    pub begin: Begin,
    /// Tokens to generate.
    pub new_tokens: usize,
    /// Most training documents, and most held-out documents, to prompt with; without it, all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<usize>,
    /// Generations from no prompt at all, where `prompts` has `none`.
    pub unprompted: usize,
    /// What to do with a document no longer than the prompt, and with a prompt that leaves no room in the context.
    pub short_documents: BadDocuments,
    /// Generations in one forward pass; results do not depend on it.
    pub batch_size: usize,
    /// Ways of decoding.
    pub strategy: Vec<Strategy>,
    /// Whether to score whole documents and continuations as well.
    pub score: bool,
    /// Precision of the arithmetic.
    pub precision: Precision,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
}

impl Default for Extraction {
    fn default() -> Self {
        Self {
            prompts: vec![PromptSource::Train, PromptSource::Heldout],
            prefix_tokens: 50,
            begin: Begin::Model,
            new_tokens: 50,
            documents: None,
            unprompted: 100,
            short_documents: BadDocuments::Skip,
            batch_size: 32,
            strategy: vec![Strategy::default()],
            score: true,
            precision: Precision::Float32,
            device: "auto".to_owned(),
        }
    }
}

/// What stands before a prompt: prompts should begin as the texts did that the model was tuned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Begin {
    /// The model's token that begins a text, or else the one that ends it: as the tuner has it.
    Model,
    /// What the tokenizer puts there of its own accord, which may be nothing: as most Python programs have it.
    Tokenizer,
}

/// Where prompts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptSource {
    /// The first tokens of training documents.
    Train,
    /// The first tokens of held-out documents: the control.
    Heldout,
    /// Nothing but the token that begins a text.
    None,
}

/// `[[extraction.strategy]]`: a way of decoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Strategy {
    /// Name in files and in the report.
    pub name: String,
    /// Divides the logits; 0 takes the most probable token.
    pub temperature: f64,
    /// Keeps this many most probable tokens (and ties with the last of them); 0 keeps all.
    pub top_k: usize,
    /// Keeps the most probable tokens that together reach this probability; 1 keeps all.
    pub top_p: f64,
    /// Generations per prompt; greedy decoding makes one whatever is asked.
    pub samples: usize,
}

impl Default for Strategy {
    fn default() -> Self {
        Self {
            name: "top-k 40".to_owned(),
            temperature: 1.0,
            top_k: 40,
            top_p: 1.0,
            samples: 10,
        }
    }
}
