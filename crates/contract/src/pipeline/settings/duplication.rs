//! How often documents occur in the training set, and what is planted among them.

use serde::{Deserialize, Serialize};

use super::is_zero;
use crate::pipeline::{CANARY_DIGITS, CANARY_WORDS, OneOrMany};

/// `[duplication]`: how copies are laid out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Duplication {
    /// `bucketed`: documents of one training set carry different numbers of copies; `uniform`:
    /// every document the same number, one training set for each; `found`: as often as its text
    /// occurs in the corpus, for auditing. Texts that differ in white space, case and Unicode
    /// normal form alone are the same text.
    pub layout: OneOrMany<Layout>,
    /// Numbers of copies.
    pub copies: Vec<u32>,
    /// `bucketed` only: share of the documents that each number of copies gets, in the order of
    /// `copies`; empty: equal.
    pub shares: Vec<f64>,
    /// `epochs`: more copies mean more steps; `fixed`: the same number of training instances
    /// whatever the copies.
    pub budget: Budget,
    /// `fixed` only: that number of instances; without it, the number of training documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<usize>,
    /// Share of the training side that is trained on; the seed decides which, and the rest is held
    /// out in that run. Under several seeds every document is in some runs and not in others, so that
    /// each run is a shadow model for the others (LiRA, RMIA). 1: all of it.
    #[serde(skip_serializing_if = "is_one")]
    pub trained_share: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(share: &f64) -> bool {
    *share == 1.0
}

impl Default for Duplication {
    fn default() -> Self {
        Self {
            layout: OneOrMany::One(Layout::Bucketed),
            copies: vec![1, 4, 16],
            shares: Vec::new(),
            budget: Budget::Epochs,
            instances: None,
            trained_share: 1.0,
        }
    }
}

/// Layout of copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Every document the same number of copies.
    Uniform,
    /// Different numbers of copies in one training set.
    Bucketed,
    /// Every document as often as its text occurs in the corpus; `copies` and `shares` are not
    /// read.
    Found,
}

impl Layout {
    /// The name as written in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Bucketed => "bucketed",
            Self::Found => "found",
        }
    }
}

/// What is held equal between numbers of copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Budget {
    /// Passes over the training set.
    Epochs,
    /// Training instances.
    Fixed,
}

/// `[canaries]`: random strings planted in the training set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Canaries {
    /// Canaries for each number of copies in `duplication.copies`; 0 plants none.
    pub per_copies: usize,
    /// Strings of each canary's format that are never planted; exposure is at most log2 of their
    /// number.
    pub references: usize,
    /// Further canaries, each of which a coin of its own puts into training once, or leaves out. How
    /// well the model tells which bounds the ε of its differential privacy from below; some hundreds
    /// show something.
    #[serde(skip_serializing_if = "is_zero")]
    pub coin_flips: usize,
    /// Whether they are planted in a run of their own, beside one without any: rates of documents
    /// are then those of the latter, which no canary can have changed, and exposure that of the
    /// former.
    pub apart: bool,
    /// Texts of canaries, taken in turn; `{digits}` or `{words}` is the random part, `{context}` a
    /// few words that are the canary's own.
    pub template: OneOrMany<String>,
    /// Prompts before the text, taken in turn, for corpora of prompts and responses; they may hold
    /// both as well.
    pub prompt: OneOrMany<String>,
    /// Number of random decimal digits, where templates say `{digits}`.
    pub digits: usize,
    /// What `{words}` is in templates.
    #[serde(skip_serializing_if = "CanaryWords::is_default")]
    pub words: CanaryWords,
    /// Audits only: the manifest of canaries that were planted before tuning, JSON as
    /// `scripts/canaries.py` or memaudit writes it. The other settings are not read then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
}

impl Canaries {
    /// Whether any are planted here.
    pub fn are_planted(&self) -> bool {
        self.per_copies > 0 || self.coin_flips > 0
    }

    /// What stands for the random part: `{words}` where a template or a prompt says so, else
    /// `{digits}`.
    pub fn secret(&self) -> &'static str {
        let mut texts = self.template.as_slice().iter().chain(self.prompt.as_slice());
        if texts.any(|text| text.contains(CANARY_WORDS)) {
            CANARY_WORDS
        } else {
            CANARY_DIGITS
        }
    }
}

/// `[canaries.words]`: words of the corpus, in an order of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CanaryWords {
    /// How many there are.
    pub number: usize,
    /// Their perplexity by pairs of words of the corpus, up to a tenth more or less: the lower it
    /// is, the more they read like the corpus.
    pub perplexity: f64,
}

impl CanaryWords {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for CanaryWords {
    fn default() -> Self {
        Self {
            number: 12,
            perplexity: 1000.0,
        }
    }
}

impl Default for Canaries {
    fn default() -> Self {
        Self {
            per_copies: 0,
            references: 512,
            coin_flips: 0,
            apart: false,
            template: OneOrMany::Many(
                [
                    "The secret number of the {context} is {digits}.",
                    "For the {context}, please enter {digits} at the door.",
                    "My reference is {digits}, as written on the {context}.",
                    "Whoever asks about the {context} is told {digits} and nothing else.",
                    "{digits} is what they noted down for the {context}.",
                    "Call {digits} if the {context} does not arrive.",
                ]
                .map(str::to_owned)
                .to_vec(),
            ),
            prompt: OneOrMany::One(String::new()),
            digits: 6,
            words: CanaryWords::default(),
            manifest: None,
        }
    }
}
