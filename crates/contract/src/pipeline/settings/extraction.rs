//! How generations are drawn and continuations scored.

use serde::{Deserialize, Serialize};

use super::{BadDocuments, ComputePath, LossOn, Precision};
use crate::records::PromptForm;

/// `[extraction]`: how generations are drawn and continuations scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Extraction {
    /// Where prompts come from.
    pub prompts: Vec<PromptSource>,
    /// Length of a prompt in tokens.
    pub prefix_tokens: usize,
    /// What precedes a prompt.
    pub begin: Begin,
    /// Tokens to generate, and of a document to compare them with.
    pub new_tokens: usize,
    /// Characters that the new tokens should hold: where so many tokens of the training text are
    /// fewer characters, as of scripts that the tokenizer was not made for, more tokens are
    /// generated. 0: as many tokens as `new_tokens` says.
    pub new_chars: usize,
    /// Most training documents, and most held-out documents, to prompt with; without it, all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<usize>,
    /// Generations from no prompt at all, where `prompts` has `none`; as many from a chat template alone, and from beginnings that the
    /// model makes up.
    pub unprompted: usize,
    /// What to do with a document too short for half a prompt, and with a prompt that leaves no room
    /// in the context.
    pub short_documents: BadDocuments,
    /// Generations in one forward pass; results do not depend on it. Without it
    /// [`Extraction::CPU_BATCH_SIZE`] on the CPU, and on a GPU as many as its memory holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<usize>,
    /// Ways of decoding.
    pub strategy: Vec<Strategy>,
    /// Whether to score whole documents and continuations as well, as far as training read them.
    pub score: bool,
    /// Most training documents, and most held-out documents, to score, evenly over their numbers of
    /// copies; without it, all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scored_documents: Option<usize>,
    /// Tokens of a text that training read, the BOS included: prompts, references and scores end
    /// there. Without it `tuning.context` for what is tuned here, and the model's own context for a
    /// checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
    /// Which tokens training took loss on; scores cover no others. Without it `tuning.loss_on` for
    /// what is tuned here, and all of the text for a checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_on: Option<LossOn>,
    /// Lengths of prefixes in tokens after which the next 50 tokens are scored (k-extractable,
    /// Carlini et al. 2023), beside `prefix_tokens`: those that leave room for as many in what
    /// training read.
    pub scored_prefixes: Vec<usize>,
    /// Scores of whole documents for membership inference that take passes of their own:
    /// `conditional`, `gradient-norm`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub membership: Vec<MembershipPass>,
    /// Others of its kind that each personal detail is ranked with behind the text before it; 0 asks
    /// for none. `score = false` asks for none either.
    pub details: usize,
    /// Sequences kept at each step of the search for continuations of `new_tokens` that are nearly
    /// the document's; 0 leaves it out. It finds a lower bound on the probability that sampling
    /// gives one of them.
    pub near_verbatim_beams: usize,
    /// Tokens in which such a continuation may differ, as edit distance.
    pub near_verbatim_edits: usize,
    /// Tokens of the commonest beginnings, for strategies with `prompt = "opening"`.
    pub opening_tokens: usize,
    /// A text file of your own prompts, one a line, for strategies with `prompt = "file"`; relative
    /// to the pipeline file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_file: Option<String>,
    /// Precision of the arithmetic.
    pub precision: Precision,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// How to compute: as the device wants it, or for tests and comparisons as the other would.
    /// Results are the same up to rounding, so it is not part of their provenance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_path: Option<ComputePath>,
    /// Processes that share the work on one cell. Results do not depend on it, so it is not part of
    /// their provenance.
    #[serde(skip_serializing)]
    pub parts: usize,
}

impl Extraction {
    /// Generations in one forward pass on the CPU where `batch_size` says nothing.
    pub const CPU_BATCH_SIZE: usize = 32;

    /// The most others that a personal detail may be ranked with: all are read at once.
    pub const MOST_DETAILS: usize = 255;
}

impl Default for Extraction {
    fn default() -> Self {
        Self {
            prompts: vec![PromptSource::Train, PromptSource::Heldout],
            prefix_tokens: 50,
            begin: Begin::Model,
            new_tokens: 50,
            new_chars: 0,
            documents: None,
            unprompted: 100,
            short_documents: BadDocuments::Skip,
            batch_size: None,
            strategy: vec![Strategy::default()],
            score: true,
            scored_documents: None,
            context: None,
            loss_on: None,
            scored_prefixes: vec![50, 100, 200],
            membership: Vec::new(),
            details: 19,
            near_verbatim_beams: 0,
            near_verbatim_edits: 5,
            opening_tokens: 3,
            prompt_file: None,
            precision: Precision::Float32,
            device: "auto".to_owned(),
            compute_path: None,
            parts: 1,
        }
    }
}

/// What precedes a prompt: prompts should begin as the texts did that the model was tuned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Begin {
    /// The model's BOS, or else its EOS: as the tuner has it.
    Model,
    /// What the tokenizer puts there of its own accord, which may be nothing: as most Python
    /// programs have it.
    Tokenizer,
    /// Whatever makes training documents likeliest, tried before anything is generated: for models
    /// that were tuned elsewhere.
    Auto,
}

/// A pass over whole documents for membership inference, beside that of their losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MembershipPass {
    /// The loss behind other documents that training did not see (ReCaLL). As much again as the
    /// losses cost, and more where documents are short.
    Conditional,
    /// The norm of the gradient of the loss: it takes the weights. About four times what the losses
    /// cost.
    GradientNorm,
}

/// Where prompts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptSource {
    /// The first tokens of training documents.
    Train,
    /// The first tokens of held-out documents: the control.
    Heldout,
    /// Nothing but the BOS.
    None,
}

/// `[[extraction.strategy]]`: an attack, which is a form of prompt and a way of decoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Strategy {
    /// Name in files and in the report.
    pub name: String,
    /// What the prompt is made of. `prefix` also goes with nothing at all, where `prompts` has
    /// `none`.
    pub prompt: PromptForm,
    /// Divides the logits; 0 takes the most probable token.
    pub temperature: f64,
    /// Keeps this many most probable tokens (and ties with the last of them); 0 keeps all.
    pub top_k: usize,
    /// Keeps the most probable tokens that together reach this probability; 1 keeps all.
    pub top_p: f64,
    /// Generations per prompt; greedy decoding makes one whatever is asked, beam search at most
    /// `beams`.
    pub samples: usize,
    /// Beam search: sequences that go on at each step, the most probable under this strategy's
    /// sampling; those that have ended are kept apart, at most as many, and both are ranked by
    /// their mean log-probability a token. 0 draws instead.
    pub beams: usize,
    /// Most documents of each kind that this strategy prompts with; without it, as many as
    /// `extraction.documents` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<usize>,
    /// `optimised` only: most steps of gradient search for each document.
    pub steps: usize,
    /// `optimised` only: tokens of the prompt that is searched for first; where one is found, a
    /// shorter one is tried.
    pub prompt_tokens: usize,
}

impl Default for Strategy {
    fn default() -> Self {
        Self {
            name: "top-k 40".to_owned(),
            prompt: PromptForm::Prefix,
            temperature: 1.0,
            top_k: 40,
            top_p: 1.0,
            samples: 10,
            beams: 0,
            documents: None,
            steps: 100,
            prompt_tokens: 8,
        }
    }
}
