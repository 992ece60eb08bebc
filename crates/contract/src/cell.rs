//! A cell: one combination of model, mode, learning rate, duplication and seed, and where its files lie in the run folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;

/// What `plan` writes as `cells/<cell>/cell.toml`, and the report reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Name of the cell, which is its folder under `cells/`.
    pub name: String,
    /// Folder of its training set under `corpus/`.
    pub corpus: String,
    /// The model's name.
    pub model: String,
    /// Parameters of the model.
    pub parameters: i64,
    /// Parameters that tuning changes; 0 for the base model.
    pub trainable_parameters: i64,
    /// `base`, `full`, `head` or `lora`.
    pub mode: String,
    /// LoRA's rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i32>,
    /// LoRA's target modules, joined by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<String>,
    /// Learning rate; none for the base model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Seed.
    pub seed: u64,
    /// Whether this is a run of its own for canaries (`canaries.apart`): its exposure is reported, and no rate of documents.
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
        toml::from_str(&text).map_err(|error| Error::input(path, error.message()))
    }

    /// The facts as they stand in the file.
    ///
    /// # Errors
    /// [`Error::Run`] where they have no TOML form.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(self).map_err(|error| Error::Run(format!("a cell without a TOML form: {error}")))
    }
}
