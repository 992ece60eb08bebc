//! An adapter folder of peft: `adapter_config.json` and `adapter_model.safetensors`, as peft 0.10 to 0.21 write and read them.

mod settings;
mod tensors;

use std::path::{Path, PathBuf};

use contract::Error;

pub use settings::{AdapterConfig, BiasMode, Init, TokenRows};
pub use tensors::{LowRank, NewRows, Replacement, Residual, Table, Untie};

use crate::headers::{self, Header};
use crate::{Config, LoraSettings, Model, files};

/// Name of the settings file.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";

/// Name of the weights file.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// What peft puts before every key.
pub const PREFIX: &str = "base_model.model.";

/// What a person may do with an adapter that is not supported.
pub const WAY_OUT: &str = "Merge the adapter into its base with peft (PeftModel.from_pretrained(base, adapter)\
                           .merge_and_unload().save_pretrained(FOLDER), the tokenizer saved beside it) and audit FOLDER, with the \
                           untuned model as BASE=; or audit it by an extractor of your own (EXTRACTOR=)";

/// An adapter whose tensors all belong to its base, and what each of them does there.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// The folder.
    pub folder: PathBuf,
    /// The weight file.
    pub file: PathBuf,
    /// What the settings say of low-rank updates.
    pub lora: LoraSettings,
    /// The configuration of the base, with the tables that the adapter gives it: their rows, and whether the LM head is tied.
    pub config: Config,
    /// Numbers in the weight file.
    pub parameters: u64,
    /// Whether a tied LM head becomes a table of its own, and when.
    pub untie: Untie,
    /// Parameters of the base that are replaced, first of all.
    pub replacements: Vec<Replacement>,
    /// Rows of tables that are replaced, after that.
    pub rows: Vec<NewRows>,
    /// Low-rank updates, last of all.
    pub updates: Vec<LowRank>,
}

impl Adapter {
    /// Checks the tensors of an adapter folder, by the headers of its file, against its settings and its base.
    ///
    /// # Errors
    /// [`Error::Input`] naming file and tensor or key, and what to do.
    pub fn open(folder: &Path, settings: AdapterConfig, base: &Model) -> Result<Self, Error> {
        let file = files::adapter_weights(folder)?;
        let headers = headers::read(&file)?;
        let parameters = headers.values().map(Header::numbers).sum();
        let assigned = tensors::assign(folder, &file, &settings, headers, base)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            file,
            lora: settings.lora,
            config: assigned.config,
            untie: assigned.untie,
            parameters,
            replacements: assigned.replacements,
            rows: assigned.rows,
            updates: assigned.updates,
        })
    }

    /// The modules with a low-rank update, as `cell.toml` names them: names joined by commas, or a regular expression.
    pub fn targets(&self) -> String {
        match &self.lora.targets {
            crate::LoraTargets::Pattern(pattern) => pattern.clone(),
            crate::LoraTargets::AllLinear => "all-linear".to_owned(),
            crate::LoraTargets::FamilyDefault => self.config.spec.lora_targets.join(","),
            crate::LoraTargets::Names(names) => {
                let mut names = names.clone();
                names.sort();
                names.join(",")
            }
        }
    }
}
