//! How often documents stand in the training set, and what is planted among them.

use serde::{Deserialize, Serialize};

use crate::pipeline::OneOrMany;

/// `[duplication]`: how copies are laid out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Duplication {
    /// `bucketed`: documents of one training set carry different numbers of copies; `uniform`: every document the same
    /// number, one training set for each; `found`: as often as its text stands in the corpus, for auditing.
    pub layout: OneOrMany<Layout>,
    /// Numbers of copies.
    pub copies: Vec<u32>,
    /// `bucketed` only: share of the documents that each number of copies gets, in the order of `copies`; empty: equal.
    pub shares: Vec<f64>,
    /// `epochs`: more copies mean more steps; `fixed`: the same number of training instances whatever the copies.
    pub budget: Budget,
    /// `fixed` only: that number of instances; without it, the number of training documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<usize>,
}

impl Default for Duplication {
    fn default() -> Self {
        Self {
            layout: OneOrMany::One(Layout::Bucketed),
            copies: vec![1, 4, 16],
            shares: Vec::new(),
            budget: Budget::Epochs,
            instances: None,
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
    /// Every document as often as its text stands in the corpus; `copies` and `shares` are not read.
    Found,
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
    /// Strings of the same format that are never planted; exposure is at most log2 of their number.
    pub references: usize,
    /// Text of a canary; `{digits}` stands for the random part.
    pub template: String,
    /// Prompt before the text, for corpora of prompts and responses; it too may hold `{digits}`.
    pub prompt: String,
    /// Number of random decimal digits.
    pub digits: usize,
}

impl Default for Canaries {
    fn default() -> Self {
        Self {
            per_copies: 0,
            references: 512,
            template: "The secret number is {digits}.".to_owned(),
            prompt: String::new(),
            digits: 6,
        }
    }
}
