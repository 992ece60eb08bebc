//! `adapter_config.json` as a closed list: every key is read, known to change nothing, or refused by name where it is active.

use std::path::{Path, PathBuf};

use contract::{Error, seal};
use serde_json::{Map, Value};

use super::keys::{Keys, Order, whole_numbers};
use super::kinds::{self, Facts, Kind, KindSpec, Reading, Stores};
use super::{ADAPTER_CONFIG, OTHER_PROGRAM, UNMERGEABLE, WAY_OUT};
use crate::{LoraSettings, LoraTargets, ModuleChoice, files};

/// Which biases of the base were trained along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BiasMode {
    /// None.
    None,
    /// Every one, or those of adapted layers: the stored ones replace the base's.
    Stored,
}

/// What an initialization did to the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// Nothing.
    Unchanged,
    /// The update's start was taken out of the weight: its largest singular values (PiSSA, Meng et al. 2024).
    Pissa,
    /// The same with the first columns of its QR decomposition (OLoRA, Büyükakyüz 2024).
    Olora,
}

/// Tokens whose rows were trained, by the name of the table; of the input embedding where it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRows {
    /// A name of the table's module; empty for the input embedding.
    pub table: String,
    /// The tokens.
    pub tokens: Vec<usize>,
}

/// The settings of an adapter.
#[derive(Debug)]
pub struct AdapterConfig {
    /// The file.
    pub file: PathBuf,
    /// The base: a folder, or a hub name.
    pub base: Option<String>,
    /// The revision of the base in the hub.
    pub revision: Option<String>,
    /// Its kind.
    pub spec: &'static KindSpec,
    /// The modules that are adapted.
    pub modules: ModuleChoice,
    /// Biases that were trained along.
    pub bias: BiasMode,
    /// Tokens whose rows were trained.
    pub token_rows: Vec<TokenRows>,
    /// Whether a tied LM head is adapted with the embedding.
    pub keeps_tie: bool,
    /// What only its kind has.
    pub(super) kind: Box<dyn Kind>,
}

impl AdapterConfig {
    /// Reads the settings of an adapter folder.
    ///
    /// # Errors
    /// [`Error::Input`] naming the key: for a malformed value, and for an active setting that is not supported.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        seal::check_folder(folder)?;
        let file = folder.join(ADAPTER_CONFIG);
        let json: Map<String, Value> = files::json(&file)?;
        let refused = |problem| Error::input(&file, problem);
        for key in ["rank_pattern", "alpha_pattern"] {
            Keys(&json).check_table(key).map_err(refused)?;
        }
        let order: Order = files::json(&file)?;
        Self::from_json(file.clone(), &json, &order).map_err(refused)
    }

    fn from_json(file: PathBuf, json: &Map<String, Value>, order: &Order) -> Result<Self, String> {
        let keys = Keys(json);
        let spec = kind_of(keys)?;
        keys.refuse_unsupported(spec.keys)?;
        let modules = ModuleChoice {
            targets: targets(keys, spec)?,
            excluded: keys.modules("exclude_modules")?,
            blocks: keys.wholes("layers_to_transform")?,
            block_lists: keys.names("layers_pattern")?,
            whole_modules: keys.names("modules_to_save")?,
        };
        let reading = Reading {
            keys,
            order,
            modules: modules.clone(),
        };
        Ok(Self {
            file,
            base: keys.text("base_model_name_or_path")?.map(str::to_owned),
            revision: keys.text("revision")?.map(str::to_owned),
            spec,
            modules,
            bias: kinds::bias_mode(keys, spec.own_bias)?,
            token_rows: (spec.token_rows)(keys)?,
            keeps_tie: keys.flag("ensure_weight_tying")?,
            kind: (spec.read)(&reading)?,
        })
    }

    /// An error of the file.
    pub(super) fn bad(&self, problem: String) -> Error {
        Error::input(&self.file, problem)
    }

    /// What tells it apart from others of its kind.
    pub fn facts(&self) -> Facts {
        self.kind.facts()
    }

    /// The settings of LoRA, where it is that.
    pub fn lora(&self) -> Option<&LoraSettings> {
        self.kind.lora()
    }
}

/// The kind, which must be one that is read, for a task that writes text.
fn kind_of(keys: Keys<'_>) -> Result<&'static KindSpec, String> {
    let found = keys.text("peft_type")?.unwrap_or("(none)");
    let Some(spec) = kinds::named(found) else {
        let way_out = if UNMERGEABLE.contains(&found) {
            OTHER_PROGRAM
        } else {
            WAY_OUT
        };
        return Err(format!(
            "peft_type: expected one of {}, found {found}. {way_out}",
            kinds::known()
        ));
    };
    match keys.text("task_type")?.filter(|task| *task != "CAUSAL_LM") {
        None => Ok(spec),
        Some(task) => Err(format!(
            "task_type: expected CAUSAL_LM, found {task}: an adapter for another task writes no text"
        )),
    }
}

/// What `target_modules` chooses. peft chooses by family where it says nothing, for each kind in its own way, and saves what it
/// chose.
fn targets(keys: Keys<'_>, spec: &KindSpec) -> Result<LoraTargets, String> {
    match keys.modules("target_modules")? {
        Some(targets) => Ok(targets),
        None if spec.peft_type == "LORA" => Ok(LoraTargets::FamilyDefault),
        None if matches!(spec.stores, Stores::Rows | Stores::Prompt) => Ok(LoraTargets::Names(Vec::new())),
        None => Err(format!(
            "target_modules: expected names of modules, or a regular expression, found none. {WAY_OUT}"
        )),
    }
}

/// The tokens of `trainable_token_indices`.
pub(super) fn token_rows(keys: Keys<'_>) -> Result<Vec<TokenRows>, String> {
    let key = "trainable_token_indices";
    let tokens = |value: &Value| {
        whole_numbers(value).ok_or_else(|| {
            format!("{key}: expected a list of tokens, or such a list for each table, found {value}")
        })
    };
    Ok(match keys.get(key) {
        None => Vec::new(),
        Some(Value::Object(tables)) => {
            let rows = tables.iter().map(|(table, listed)| {
                Ok(TokenRows {
                    table: table.clone(),
                    tokens: tokens(listed)?,
                })
            });
            rows.collect::<Result<_, String>>()?
        }
        Some(value) => {
            let tokens = tokens(value)?;
            let rows = TokenRows {
                table: String::new(),
                tokens,
            };
            if rows.tokens.is_empty() {
                Vec::new()
            } else {
                vec![rows]
            }
        }
    })
}
