//! How training runs.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::ComputePath;

/// `[tuning]`: how training runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tuning {
    /// Passes over the training set; a fraction stops inside one.
    pub epochs: f64,
    /// Largest number of rows in one forward pass.
    pub batch_size: usize,
    /// An optimizer step takes so many batches of `batch_size` rows.
    #[serde(alias = "accumulation")]
    pub gradient_accumulation_steps: usize,
    /// Largest number of tokens in one forward pass; a step that has more is divided into several,
    /// with the same gradient. 0: no limit. Without it 8,192, and on a GPU what its memory has room
    /// for.
    #[serde(alias = "pass_tokens", skip_serializing_if = "Option::is_none")]
    pub max_tokens_per_microbatch: Option<usize>,
    /// Keep only the input of each block for the backward pass, and compute the rest again: a third
    /// more arithmetic, and a fraction of the memory, with the same gradients. Without it not, and
    /// on a GPU where its memory has no room otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_checkpointing: Option<bool>,
    /// Longest row in tokens; longer documents are cut off there when each has a row of its own.
    pub context: usize,
    /// `documents`: one a row; `packed`: joined by the end-of-text token and cut into full rows.
    pub rows: Rows,
    /// `text`: every token counts; `response`: only those after the prompt; `assistant`: of
    /// conversations only what the assistant writes in any of its turns.
    pub loss_on: LossOn,
    /// `float32`, `bf16` with float32 master weights, or `auto`: whichever of them is faster here.
    pub precision: Precision,
    /// Learning rate over the steps after warm-up.
    pub schedule: Schedule,
    /// Share of the steps over which the learning rate rises from 0.
    pub warmup: f64,
    /// AdamW's weight decay, not applied to biases and norms.
    pub weight_decay: f64,
    /// AdamW's decay rates of the two moments.
    pub betas: [f64; 2],
    /// Largest norm of the gradient; 0 clips nothing.
    #[serde(alias = "clip")]
    pub max_grad_norm: f64,
    /// Steps between evaluations on held-out text; 0 evaluates once an epoch.
    pub evaluate_every: usize,
    /// Most held-out documents whose loss chooses the checkpoint; of more, a sample that their
    /// names decide.
    pub evaluate_documents: usize,
    /// Steps between rows of metrics.
    pub log_every: usize,
    /// Evaluations without a better held-out loss after which training ends early; 0: never.
    pub patience: usize,
    /// Checkpoints to keep beside the last, one for each evaluation: the newest so many. They go to
    /// `checkpoints/step-…`.
    pub keep_last: usize,
    /// Changes nothing: the checkpoint with the best held-out loss is always kept, as
    /// `best/checkpoint`. Accepted for the files that ask for it.
    pub keep_best: bool,
    /// Leave the weights with the best held-out loss in `checkpoint` too, in place of the last.
    pub restore_best: bool,
    /// Head-only tuning computes the hidden states of a text once. Megabytes of them to keep in the
    /// device's memory, of training and of held-out texts each; more go to a file.
    pub hidden_state_megabytes: usize,
    /// Seconds between saved states to resume from.
    pub save_seconds: f64,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// How to compute: as the device wants it, or for tests and comparisons as the other would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_path: Option<ComputePath>,
}

impl Tuning {
    /// `max_tokens_per_microbatch` where it is not set and no memory of a GPU decides.
    pub const MAX_TOKENS_PER_MICROBATCH: usize = 8192;
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            epochs: 3.0,
            batch_size: 16,
            gradient_accumulation_steps: 1,
            max_tokens_per_microbatch: None,
            gradient_checkpointing: None,
            context: 256,
            rows: Rows::Documents,
            loss_on: LossOn::Text,
            precision: Precision::Float32,
            schedule: Schedule::Linear,
            warmup: 0.05,
            weight_decay: 0.01,
            betas: [0.9, 0.999],
            max_grad_norm: 1.0,
            evaluate_every: 0,
            evaluate_documents: 1000,
            log_every: 10,
            patience: 0,
            keep_last: 0,
            keep_best: false,
            restore_best: false,
            hidden_state_megabytes: 1024,
            save_seconds: 60.0,
            device: "auto".to_owned(),
            compute_path: None,
        }
    }
}

/// What a row of a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rows {
    /// One document.
    Documents,
    /// Documents joined and cut into full rows.
    Packed,
}

/// Which tokens the loss counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossOn {
    /// All of the text.
    Text,
    /// What follows the prompt.
    Response,
    /// The assistant's turns of a conversation that a chat template rendered, with what ends each;
    /// of other text, what follows the prompt.
    Assistant,
}

impl LossOn {
    /// The name as written in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Response => "response",
            Self::Assistant => "assistant",
        }
    }

    /// Which parts of a text carry loss, in whatever unit the arguments have, empty ones left out:
    /// `text` is where it begins and ends, `prompt_end` where its prompt does, and `assistant` are
    /// the assistant's turns, where a chat template rendered it.
    pub fn target_spans(
        self,
        text: Range<usize>,
        prompt_end: usize,
        assistant: Option<&[Range<usize>]>,
    ) -> Vec<Range<usize>> {
        let spans = match (self, assistant) {
            (Self::Assistant, Some(turns)) => turns.to_vec(),
            (Self::Response | Self::Assistant, _) => vec![prompt_end..text.end],
            (Self::Text, _) => vec![text],
        };
        spans.into_iter().filter(|span| !span.is_empty()).collect()
    }
}

/// Precision of the arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point.
    Float32,
    /// 16-bit brain floating point, with float32 where it matters.
    Bf16,
    /// `bf16` on a GPU and on processors that multiply it faster than `float32`, else that.
    Auto,
}

impl Precision {
    /// The name as written in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Bf16 => "bf16",
            Self::Auto => "auto",
        }
    }
}

/// Course of the learning rate after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// The same throughout.
    Constant,
    /// Straight down to 0.
    Linear,
    /// Along half a cosine down to 0.
    Cosine,
}
