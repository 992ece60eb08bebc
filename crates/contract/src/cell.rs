//! A cell: one combination of model, mode, learning rate, duplication and seed, and where its files
//! lie in the run folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, seal};

/// What `plan` writes as `cells/<cell>/cell.toml`, and the report reads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Name of the cell, which is its folder under `cells/`.
    pub name: String,
    /// Folder of its training set under `corpus/`.
    pub corpus: String,
    /// Name of the text that its training set is made of; none where the pipeline names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corpus_name: Option<String>,
    /// The model's name.
    pub model: String,
    /// Parameters of the model.
    pub parameters: i64,
    /// Parameters that tuning changes; 0 for the base model.
    pub trainable_parameters: i64,
    /// `base`, `full`, `head` or `lora`; of what was tuned elsewhere `tuned` for a whole model, or
    /// the name of an adapter's kind, such as `IA3`.
    pub mode: String,
    /// Rank of LoRA, or of another kind of adapter that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i32>,
    /// The modules that an adapter changes, joined by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<String>,
    /// Alpha, of adapters that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Share of LoRA's input dropped in training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Whether the norm of each output's weights is learned apart (DoRA); none for other modes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dora: Option<bool>,
    /// Whether the update is scaled by alpha / √rank (rsLoRA); none for other modes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rslora: Option<bool>,
    /// Ranks and alphas of single modules, the blocks that are adapted, tokens without loss, and other
    /// settings of an adapter's kind, as text; none where all is as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patterns: Option<String>,
    /// Passes over the training set; none for the base model, and where tuning happened elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Whether a pass read each text once, however many copies of it there are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub each_text_once: bool,
    /// With differential privacy, the noise of a step ÷ the largest norm of a row's gradient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_multiplier: Option<f64>,
    /// Layout of copies: `bucketed`, `uniform`, `found`; none where nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// `uniform` only: copies of every document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uniform_copies: Option<i32>,
    /// Folder of the model, or of the checkpoint that is audited, as the pipeline file names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Where a model that is not here is asked, and under which name: `clinic at http://127.0.0.1:8000/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<String>,
    /// How the weights of the model, of an adapter those of its base, are stored where they are
    /// rounded: `four bits (nf4)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
    /// Folder of the base that an audited adapter was put on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The base that the adapter names, where it was put on another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_base: Option<String>,
    /// Learning rate; none for the base model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Seed.
    pub seed: u64,
    /// Whether this is a run of its own for canaries (`canaries.apart`): its exposure is reported,
    /// and no rate of documents.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canaries_apart: bool,
}

impl Cell {
    /// Reads a cell's facts.
    ///
    /// # Errors
    /// [`Error::Input`] where the file is missing or no such table.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::input(path, format!("cannot be read: {error}")))?;
        seal::check_text(&text).unbroken(path)?;
        toml::from_str(&text).map_err(|error| Error::input(path, error.message()))
    }

    /// How often one pass read a document that occurs so many times.
    pub fn reads_of(&self, copies: i32) -> i32 {
        if self.each_text_once {
            copies.min(1)
        } else {
            copies
        }
    }

    /// The facts as written in the file.
    ///
    /// # Errors
    /// [`Error::Run`] where they have no TOML form.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(self).map_err(|error| Error::Run(format!("a cell without a TOML form: {error}")))
    }
}
