//! `adapter_config.json` as a closed list: every key is read, known to change nothing, or refused by name where it is active.

use std::path::{Path, PathBuf};

use contract::Error;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{ADAPTER_CONFIG, WAY_OUT};
use crate::{LoraSettings, LoraTargets, files};

/// What becomes of a key.
#[derive(Clone, Copy)]
enum Treatment {
    /// It is read below.
    Read,
    /// It changes nothing about what the stored tensors do.
    Harmless,
    /// It changes what they do in a way that is not supported: why, in words.
    Refused(&'static str),
}

use Treatment::{Harmless, Read, Refused};

/// Every key of peft 0.10 to 0.21.
const KEYS: [(&str, Treatment); 44] = [
    (
        "alora_invocation_tokens",
        Refused("the adapter works only behind these tokens (aLoRA)"),
    ),
    ("alpha_pattern", Read),
    (
        "arrow_config",
        Refused("several adapters are mixed token by token (Arrow)"),
    ),
    ("auto_mapping", Harmless),
    ("base_model_name_or_path", Read),
    ("bias", Read),
    // How to begin; the initialization itself is read.
    ("corda_config", Harmless),
    // Whether a tied LM head is adapted with the embedding.
    ("ensure_weight_tying", Read),
    ("eva_config", Harmless),
    ("exclude_modules", Read),
    // peft goes by the kind of the layer.
    ("fan_in_fan_out", Harmless),
    ("inference_mode", Harmless),
    ("init_lora_weights", Read),
    (
        "kasa_config",
        Refused("the base is cut to its larger singular values (KaSA)"),
    ),
    (
        "layer_replication",
        Refused("the adapter gives the base more layers"),
    ),
    ("layers_pattern", Read),
    ("layers_to_transform", Read),
    ("loftq_config", Harmless),
    ("lora_alpha", Read),
    ("lora_bias", Read),
    ("lora_dropout", Read),
    ("lora_ga_config", Harmless),
    (
        "megatron_config",
        Refused("the adapter belongs to Megatron's parallel layers"),
    ),
    ("megatron_core", Harmless),
    ("modules_to_save", Read),
    (
        "monteclora_config",
        Refused("the adapter samples its weights (MonteCLoRA)"),
    ),
    ("peft_type", Read),
    ("peft_version", Harmless),
    ("qalora_group_size", Harmless),
    ("r", Read),
    ("rank_pattern", Read),
    ("revision", Read),
    ("runtime_config", Harmless),
    ("target_modules", Read),
    (
        "target_parameters",
        Refused("the adapter changes parameters that are no layers, as in mixtures of experts"),
    ),
    ("task_type", Read),
    ("trainable_token_indices", Read),
    ("use_bdlora", Refused("the factors are block-diagonal (BD-LoRA)")),
    ("use_dora", Read),
    ("use_qalora", Refused("the input is pooled in groups (QALoRA)")),
    ("use_rslora", Read),
    // It lessens what training keeps in memory.
    ("velora_config", Harmless),
    // Of peft before 0.10, without effect on what is stored.
    ("enable_lora", Refused("fused projections are adapted in part")),
    ("merge_weights", Harmless),
];

/// Values that say nothing, or what peft would assume anyway.
fn is_active(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(entries) => !entries.is_empty(),
        Value::String(text) => !text.is_empty() && text != "none",
        _ => true,
    }
}

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
#[derive(Debug, Clone)]
pub struct AdapterConfig {
    /// The file.
    pub file: PathBuf,
    /// The base: a folder, or a hub name.
    pub base: Option<String>,
    /// The revision of the base in the hub.
    pub revision: Option<String>,
    /// Low-rank updates.
    pub lora: LoraSettings,
    /// Biases that were trained along.
    pub bias: BiasMode,
    /// Whether an update has a bias of its own.
    pub lora_bias: bool,
    /// What the initialization did to the base.
    pub init: Init,
    /// Tokens whose rows were trained.
    pub token_rows: Vec<TokenRows>,
    /// Whether a tied LM head is adapted with the embedding.
    pub keeps_tie: bool,
}

impl AdapterConfig {
    /// Reads the settings of an adapter folder.
    ///
    /// # Errors
    /// [`Error::Input`] naming the key: for a malformed value, and for an active setting that is not supported.
    pub fn read(folder: &Path) -> Result<Self, Error> {
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
        keys.refuse_unsupported()?;
        let lora = LoraSettings {
            rank: keys
                .whole("r")?
                .filter(|&rank| rank > 0)
                .ok_or("r: expected a rank of at least 1, found none")?,
            alpha: keys
                .number("lora_alpha")?
                .ok_or("lora_alpha: expected a number, found none")?,
            dropout: keys.number("lora_dropout")?.unwrap_or(0.0),
            rank_stabilized: keys.flag("use_rslora")?,
            magnitude: keys.flag("use_dora")?,
            targets: keys
                .modules("target_modules")?
                .unwrap_or(LoraTargets::FamilyDefault),
            excluded: keys.modules("exclude_modules")?,
            blocks: keys.wholes("layers_to_transform")?,
            block_lists: keys.names("layers_pattern")?,
            rank_pattern: numbers("rank_pattern", &order.rank_pattern, |value| {
                value.as_u64().filter(|&rank| rank > 0).map(|rank| rank as usize)
            })?,
            alpha_pattern: numbers("alpha_pattern", &order.alpha_pattern, Value::as_f64)?,
            whole_modules: keys.names("modules_to_save")?,
        };
        Ok(Self {
            file,
            base: keys.text("base_model_name_or_path")?.map(str::to_owned),
            revision: keys.text("revision")?.map(str::to_owned),
            bias: match keys.text("bias")?.unwrap_or("none") {
                "none" => BiasMode::None,
                "all" | "lora_only" => BiasMode::Stored,
                other => return Err(format!("bias: expected none, all or lora_only, found {other}")),
            },
            lora_bias: keys.flag("lora_bias")?,
            init: keys.init()?,
            token_rows: keys.token_rows()?,
            keeps_tie: keys.flag("ensure_weight_tying")?,
            lora,
        })
    }
}

/// The keys of the file.
#[derive(Clone, Copy)]
struct Keys<'a>(&'a Map<String, Value>);

impl<'a> Keys<'a> {
    /// A value; null counts as missing.
    fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn refuse_unsupported(self) -> Result<(), String> {
        let kind = self.text("peft_type")?.unwrap_or("(none)");
        if kind != "LORA" {
            return Err(format!("peft_type: expected LORA, found {kind}. {WAY_OUT}"));
        }
        if let Some(task) = self.text("task_type")?.filter(|task| *task != "CAUSAL_LM") {
            return Err(format!(
                "task_type: expected CAUSAL_LM, found {task}: an adapter for another task writes no text"
            ));
        }
        for (key, value) in self.0 {
            let treatment = KEYS
                .iter()
                .find(|(known, _)| known == key)
                .map(|(_, treatment)| treatment);
            let why = match treatment {
                Some(Read | Harmless) => continue,
                Some(Refused(why)) => *why,
                None => "this setting is not known here, and may change what the adapter does",
            };
            if is_active(value) {
                return Err(format!("{key}: not supported: {why}; found {value}. {WAY_OUT}"));
            }
        }
        Ok(())
    }

    fn init(self) -> Result<Init, String> {
        let Some(value) = self.get("init_lora_weights") else {
            return Ok(Init::Unchanged);
        };
        let Some(name) = value.as_str() else {
            return Ok(Init::Unchanged);
        };
        match name.to_lowercase().as_str() {
            // They begin with an update of zero, so that the base stays as it is.
            "true" | "false" | "gaussian" | "eva" | "orthogonal" | "mica" => Ok(Init::Unchanged),
            "pissa" => Ok(Init::Pissa),
            "olora" => Ok(Init::Olora),
            other => {
                let why = if other.starts_with("pissa_niter") {
                    "takes a part of the base out that was found by chance, and does not store it"
                } else if ["corda", "loftq", "lora_ga"].contains(&other) {
                    "changes the base in a way that the adapter does not store"
                } else {
                    "is not known here, and may change the base"
                };
                Err(format!(
                    "init_lora_weights: {name} {why}. Save the adapter with peft's \
                     save_pretrained(..., path_initial_model_for_weight_conversion=...), which makes it one for the base as it \
                     is, while the trained model is at hand. {WAY_OUT}"
                ))
            }
        }
    }

    fn token_rows(self) -> Result<Vec<TokenRows>, String> {
        let key = "trainable_token_indices";
        let tokens = |value: &Value| {
            whole_numbers(value).ok_or_else(|| {
                format!("{key}: expected a list of tokens, or such a list for each table, found {value}")
            })
        };
        Ok(match self.get(key) {
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

    fn flag(self, key: &str) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(false),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| format!("{key}: expected true or false, found {value}")),
        }
    }

    fn number(self, key: &str) -> Result<Option<f64>, String> {
        self.get(key)
            .map(|value| {
                value
                    .as_f64()
                    .ok_or_else(|| format!("{key}: expected a number, found {value}"))
            })
            .transpose()
    }

    fn whole(self, key: &str) -> Result<Option<usize>, String> {
        self.get(key)
            .map(|value| {
                let number = value.as_u64().map(|number| number as usize);
                number.ok_or_else(|| format!("{key}: expected a whole number, found {value}"))
            })
            .transpose()
    }

    fn text(self, key: &str) -> Result<Option<&'a str>, String> {
        let text = self
            .get(key)
            .map(|value| {
                value
                    .as_str()
                    .ok_or_else(|| format!("{key}: expected text, found {value}"))
            })
            .transpose()?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// One whole number, or a list.
    fn wholes(self, key: &str) -> Result<Vec<usize>, String> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(vec![number as usize]),
                None => whole_numbers(value)
                    .ok_or_else(|| format!("{key}: expected whole numbers, found {value}")),
            },
        }
    }

    /// One name, or a list.
    fn names(self, key: &str) -> Result<Vec<String>, String> {
        let wrong = |value: &Value| format!("{key}: expected a list of names, found {value}");
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::String(name)) if name.is_empty() => Ok(Vec::new()),
            Some(Value::String(name)) => Ok(vec![name.clone()]),
            Some(value) => value
                .as_array()
                .and_then(|list| list.iter().map(|name| name.as_str().map(str::to_owned)).collect())
                .ok_or_else(|| wrong(value)),
        }
    }

    /// Modules as peft's files choose them; none where nothing is said.
    fn modules(self, key: &str) -> Result<Option<LoraTargets>, String> {
        Ok(match self.get(key) {
            None => None,
            Some(Value::String(name)) if name == "all-linear" => Some(LoraTargets::AllLinear),
            Some(Value::String(pattern)) => Some(LoraTargets::Pattern(pattern.clone())),
            Some(value) => {
                let names = self.names(key).map_err(|_| {
                    format!(
                        "{key}: expected a list of names, a regular expression, or all-linear, found {value}"
                    )
                })?;
                Some(names)
                    .filter(|names| !names.is_empty())
                    .map(LoraTargets::Names)
            }
        })
    }

    fn check_table(self, key: &str) -> Result<(), String> {
        match self.get(key).filter(|value| !value.is_object()) {
            None => Ok(()),
            Some(value) => Err(format!(
                "{key}: expected a table of regular expressions, found {value}"
            )),
        }
    }
}

/// Numbers by regular expressions, in the order in which the file has them: the first that fits counts.
fn numbers<Number>(
    key: &str,
    order: &Pairs,
    read: impl Fn(&Value) -> Option<Number>,
) -> Result<Vec<(String, Number)>, String> {
    let pairs = order.0.iter().map(|(pattern, value)| {
        let number =
            read(value).ok_or_else(|| format!("{key}: {pattern}: expected a number, found {value}"))?;
        Ok((pattern.clone(), number))
    });
    pairs.collect()
}

/// The tables in which the order of the entries counts.
#[derive(Default, serde::Deserialize)]
struct Order {
    #[serde(default)]
    rank_pattern: Pairs,
    #[serde(default)]
    alpha_pattern: Pairs,
}

/// The entries of a JSON object in their order; none of what is no object.
#[derive(Default)]
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a table of regular expressions")
    }

    fn visit_unit<E>(self) -> Result<Pairs, E> {
        Ok(Pairs::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

fn whole_numbers(value: &Value) -> Option<Vec<usize>> {
    let list = value.as_array()?;
    list.iter()
        .map(|number| number.as_u64().map(|number| number as usize))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_listed_once() {
        let listed: BTreeSet<&str> = KEYS.iter().map(|(key, _)| *key).collect();
        assert_eq!(listed.len(), KEYS.len());
    }
}
