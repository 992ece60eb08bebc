//! The models, and the ways of tuning them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{LossOn, Tuning, is_zero};
use crate::pipeline::OneOrMany;

/// `[[model]]`: a model to tune.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Name in cells and in the report.
    pub name: String,
    /// Folder in the Hugging Face format; for pre-training it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Shape of a model to pre-train from scratch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
}

/// `[[checkpoint]]`: a model that somebody else tuned, to be audited as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Name in cells and in the report.
    pub name: String,
    /// Model folder, or adapter folder that peft wrote; or the name of one that was downloaded from
    /// the hub.
    pub path: String,
    /// The untuned model, as a folder or hub name: the control, and what an adapter belongs to.
    /// Without it, an adapter's own settings name it; a model folder then has no such control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Tokens, the BOS included, at which its tuning cut a text; without it, the model's own
    /// context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
    /// Which tokens its tuning took loss on; without it, all of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_on: Option<LossOn>,
}

/// `[model.architecture]`: a GPT-2 shape for pre-training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Transformer blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Attention heads; must divide the width.
    pub heads: usize,
    /// Longest sequence in tokens.
    pub context: usize,
    /// Tokens of the byte-level BPE that is trained on the corpus.
    pub vocabulary: usize,
}

/// `[[mode]]`: a way of tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mode {
    /// `full`, `head`, `lora` or `pretrain`.
    pub kind: ModeKind,
    /// Learning rates to sweep.
    pub learning_rate: OneOrMany<f64>,
    /// LoRA's rank r.
    #[serde(default = "default_rank")]
    pub rank: usize,
    /// LoRA's alpha; the update is scaled by alpha / r. Without it, twice the rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Share of the adapter's input dropped in training.
    #[serde(default)]
    pub dropout: f64,
    /// Modules that LoRA adapts: names, "all-linear", or a regular expression that fits whole
    /// module paths. Without it, peft's own choice for the family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Targets>,
    /// Scale LoRA's update by alpha / √r in place of alpha / r (rsLoRA).
    #[serde(default, skip_serializing_if = "is_false")]
    pub rslora: bool,
    /// Learn the norm of each output's weights apart from their direction (DoRA).
    #[serde(default, skip_serializing_if = "is_false")]
    pub dora: bool,
    /// Ranks of modules whose path ends with a regular expression, in place of `rank`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rank_pattern: BTreeMap<String, usize>,
    /// The same for alpha.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alpha_pattern: BTreeMap<String, f64>,
    /// Numbers of the blocks that LoRA adapts, from 0; without it, all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<usize>,
    /// Goldfish loss: one in so many tokens of a text carries no loss, the same ones wherever the 13
    /// tokens before them are the same, so that no passage is learned whole. 0: every token does.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub goldfish: usize,
    /// Tune on each text once a pass, however many copies of it the training set has.
    #[serde(default, skip_serializing_if = "is_false")]
    pub without_copies: bool,
    /// Tune on text whose personal details, as far as patterns find them, are replaced by the names of
    /// their kinds (`[email]`); what occurs in more than half of the documents, as in a template, is
    /// none. Prompts, and what generations are compared with, keep them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub without_details: bool,
    /// Share of what is learned that is text of another kind, anybody's (`corpus.other`): documents
    /// beyond those that are scored, spread evenly among the training set's. 0: none.
    #[serde(default, skip_serializing_if = "is_zero_share")]
    pub other_share: f64,
    /// End tuning at the first evaluation at which the share of 5-grams whose tokens are all the most
    /// probable ones is greater in training documents than in held-out documents by more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_at_ngrams: Option<f64>,
    /// Passes over the training set, in place of `tuning.epochs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Rows of a step, in place of `tuning.batch_size` × `tuning.gradient_accumulation_steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<usize>,
    /// Tune with differential privacy (DP-SGD): the gradient of each row is brought down to a norm,
    /// and noise is added to their sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Privacy>,
    /// Names of the models that are tuned so; without it, all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<OneOrMany<String>>,
}

/// `privacy` of a mode: how much noise, against how large a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// Standard deviation of the noise that is added to each step's sum of gradients, as a multiple
    /// of `max_grad_norm`.
    pub noise_multiplier: f64,
    /// Largest norm of the gradient of one row's mean loss; larger ones are brought down to it.
    #[serde(default = "default_max_grad_norm")]
    pub max_grad_norm: f64,
}

fn default_max_grad_norm() -> f64 {
    1.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero_share(share: &f64) -> bool {
    *share == 0.0
}

fn default_rank() -> usize {
    16
}

impl Mode {
    /// LoRA's alpha, twice the rank unless given.
    pub fn alpha(&self) -> f64 {
        self.alpha.unwrap_or(2.0 * self.rank as f64)
    }

    /// Training instances in all, of so many of the training set: with those of other text.
    pub fn with_other_text(&self, instances: f64) -> f64 {
        instances / (1.0 - self.other_share)
    }

    /// Passes over the training set.
    pub fn epochs(&self, tuning: &Tuning) -> f64 {
        self.epochs.unwrap_or(tuning.epochs)
    }

    /// Rows of a step.
    pub fn rows_in_step(&self, tuning: &Tuning) -> usize {
        let common = tuning
            .batch_size
            .saturating_mul(tuning.gradient_accumulation_steps);
        self.batch_size.unwrap_or(common)
    }
}

/// LoRA's target modules.
pub type Targets = OneOrMany<String>;

/// Ways of tuning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModeKind {
    /// No tuning at all: the control.
    Base,
    /// Training from random weights.
    Pretrain,
    /// Every parameter.
    Full,
    /// The output head alone.
    Head,
    /// A low-rank update of chosen linear layers.
    Lora,
    /// A checkpoint that somebody else tuned, as a whole model.
    Tuned,
}

impl ModeKind {
    /// The name as written in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Pretrain => "pretrain",
            Self::Full => "full",
            Self::Head => "head",
            Self::Lora => "lora",
            Self::Tuned => "tuned",
        }
    }
}
