//! An adapter folder of peft: `adapter_config.json` and `adapter_model.safetensors`, as peft 0.10 to 0.21 write and read them.

mod keys;
mod kinds;
mod settings;
mod tensors;

use std::path::{Path, PathBuf};

use contract::Error;

pub use kinds::{
    AdaLora, Change, Factor, Facts, FourierFt, Hra, Ia3, KindSpec, LoHa, LoKr, LowRank, Oft, Projections,
    Residual, Side, VbLora, Vera,
};
pub use settings::{AdapterConfig, BiasMode, Init, TokenRows};
pub use tensors::{NewRows, Prompt, PromptForm, Replacement, Table, Untie, Update};

use crate::headers::{self, Header};
use crate::{Config, LoraSettings, LoraTargets, Model, ModuleChoice, files};

/// Name of the settings file.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";

/// Name of the weights file.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// What peft puts before every key.
pub const PREFIX: &str = "base_model.model.";

/// What a person may do with an adapter that is not supported.
pub const WAY_OUT: &str = "Merge the adapter into its base with peft (PeftModel.from_pretrained(base, adapter)\
                           .merge_and_unload().save_pretrained(FOLDER), the tokenizer saved beside it) and audit FOLDER, with the \
                           untuned model as BASE=; or audit it by an extractor of your own: scripts/example_extractor.py reads \
                           whatever peft reads (EXTRACTOR=\"python3 scripts/example_extractor.py\")";

/// The same for an adapter that is no change of weights, so that it cannot be merged.
pub const OTHER_PROGRAM: &str = "It is no change of weights, and cannot be merged; audit it by an extractor of your own: \
                                 scripts/example_extractor.py reads whatever peft reads \
                                 (EXTRACTOR=\"python3 scripts/example_extractor.py\")";

/// Kinds of peft that are not read and cannot be merged.
const UNMERGEABLE: [&str; 9] = [
    "ADAPTION_PROMPT",
    "CARTRIDGE",
    "CPT",
    "LILY",
    "MULTITASK_PROMPT_TUNING",
    "PEANUT",
    "POLY",
    "SHADOW",
    "XLORA",
];

/// An adapter whose tensors all belong to its base, and what each of them does there.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// The folder.
    pub folder: PathBuf,
    /// The weight file.
    pub file: PathBuf,
    /// Its kind.
    pub spec: &'static KindSpec,
    /// What tells it apart from others of its kind.
    pub facts: Facts,
    /// The modules that it adapts.
    pub modules: ModuleChoice,
    /// The settings of LoRA, where it is that.
    pub lora: Option<LoraSettings>,
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
    /// What is done to modules, last of all.
    pub updates: Vec<Update>,
    /// What stands before every text.
    pub prompt: Option<Prompt>,
}

/// The kind of an adapter folder as peft calls it, whether or not it is read here; none where its settings do not say.
pub fn kind_of(folder: &Path) -> Option<String> {
    let settings: serde_json::Value = files::json(&folder.join(ADAPTER_CONFIG)).ok()?;
    settings.get("peft_type")?.as_str().map(str::to_owned)
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
            spec: settings.spec,
            facts: settings.facts(),
            lora: settings.lora().cloned(),
            modules: settings.modules,
            config: assigned.config,
            untie: assigned.untie,
            parameters,
            replacements: assigned.replacements,
            rows: assigned.rows,
            updates: assigned.updates,
            prompt: assigned.prompt,
        })
    }

    /// The modules that are adapted, as `cell.toml` names them: names joined by commas, or a regular expression; none for what
    /// stands before the text.
    pub fn targets(&self) -> Option<String> {
        Some(match &self.modules.targets {
            LoraTargets::Pattern(pattern) => pattern.clone(),
            LoraTargets::AllLinear => "all-linear".to_owned(),
            LoraTargets::FamilyDefault => self.config.spec.lora_targets.join(","),
            LoraTargets::Names(names) if names.is_empty() => return None,
            LoraTargets::Names(names) => {
                let mut names = names.clone();
                names.sort();
                names.join(",")
            }
        })
    }
}
