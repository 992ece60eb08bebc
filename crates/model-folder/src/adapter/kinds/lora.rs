//! LoRA (Hu et al. 2021), with DoRA, rsLoRA, PiSSA and OLoRA.

use contract::Error;
use serde_json::Value;

use super::super::keys::{KeyList, Keys, Treatment};
use super::super::settings::Init;
use super::super::tensors::{Chosen, StoredTensors};
use super::super::{ADAPTER_CONFIG, AdapterConfig, WAY_OUT};
use super::{BLOCKS, COMMON, Change, EXCLUDE, Facts, Kind, KindSpec, PLAIN, Reading, rank};
use crate::{LoraSettings, Role};

use Treatment::{Harmless, Read, Refused};

/// LoRA.
pub(super) static SPEC: KindSpec = KindSpec {
    peft_type: "LORA",
    name: "LoRA",
    keys: &[COMMON, EXCLUDE, BLOCKS, KEYS],
    own_bias: "lora_only",
    read,
    ..PLAIN
};

/// Its keys of peft 0.10 to 0.21.
const KEYS: KeyList = &[
    (
        "alora_invocation_tokens",
        Refused("the adapter works only behind these tokens (aLoRA)"),
    ),
    ("alpha_pattern", Read),
    (
        "arrow_config",
        Refused("several adapters are mixed token by token (Arrow)"),
    ),
    ("bias", Read),
    // How to begin; the initialization itself is read.
    ("corda_config", Harmless),
    // Whether a tied LM head is adapted with the embedding.
    ("ensure_weight_tying", Read),
    ("eva_config", Harmless),
    ("init_lora_weights", Read),
    (
        "kasa_config",
        Refused("the base is cut to its larger singular values (KaSA)"),
    ),
    (
        "layer_replication",
        Refused("the adapter gives the base more layers"),
    ),
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
    (
        "monteclora_config",
        Refused("the adapter samples its weights (MonteCLoRA)"),
    ),
    ("qalora_group_size", Harmless),
    ("r", Read),
    ("rank_pattern", Read),
    ("runtime_config", Harmless),
    (
        "target_parameters",
        Refused("the adapter changes parameters that are no layers, as in mixtures of experts"),
    ),
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

/// A low-rank update of a module, and the names of its tensors in the adapter's file.
#[derive(Debug, Clone, PartialEq)]
pub struct LowRank {
    /// Rank of the update.
    pub rank: usize,
    /// The factor on B·A.
    pub scale: f64,
    /// A.
    pub a: String,
    /// B.
    pub b: String,
    /// The norms of DoRA.
    pub magnitude: Option<String>,
    /// The bias of B.
    pub bias: Option<String>,
    /// What was taken out of the weight.
    pub residual: Residual,
    /// Share of the input that training dropped.
    pub dropout: f64,
}

/// What was taken out of a weight before training began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// Nothing.
    Whole,
    /// Its part of the rank of the update with the largest singular values (PiSSA, Meng et al. 2024).
    Pissa,
    /// scale · Q·R of the first columns of its QR decomposition (OLoRA, Büyükakyüz 2024).
    Olora,
}

/// LoRA's settings.
#[derive(Debug)]
struct Lora {
    settings: LoraSettings,
    init: Init,
    /// Whether an update has a bias of its own.
    has_bias: bool,
}

fn read(reading: &Reading<'_>) -> Result<Box<dyn Kind>, String> {
    let keys = reading.keys;
    Ok(Box::new(Lora {
        settings: LoraSettings {
            rank: rank(keys, "r")?,
            alpha: keys
                .number("lora_alpha")?
                .ok_or("lora_alpha: expected a number, found none")?,
            dropout: keys.number("lora_dropout")?.unwrap_or(0.0),
            rank_stabilized: keys.flag("use_rslora")?,
            magnitude: keys.flag("use_dora")?,
            modules: reading.modules.clone(),
            rank_pattern: reading.order.ranks()?,
            alpha_pattern: reading.order.alphas()?,
        },
        init: init(keys)?,
        has_bias: keys.flag("lora_bias")?,
    }))
}

fn init(keys: Keys<'_>) -> Result<Init, String> {
    let Some(name) = keys.get("init_lora_weights").and_then(Value::as_str) else {
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

impl Kind for Lora {
    fn changes(
        &self,
        config: &AdapterConfig,
        chosen: &[Chosen],
        stored: &mut StoredTensors<'_>,
    ) -> Result<Vec<Change>, Error> {
        let updates = chosen.iter().map(|module| self.update(config, module, stored));
        updates.map(|update| update.map(Change::LowRank)).collect()
    }

    fn facts(&self) -> Facts {
        let settings = &self.settings;
        Facts {
            rank: Some(settings.rank),
            alpha: Some(settings.alpha),
            dropout: Some(settings.dropout),
            dora: Some(settings.magnitude),
            rslora: Some(settings.rank_stabilized),
            rank_pattern: settings.rank_pattern.clone(),
            alpha_pattern: settings.alpha_pattern.clone(),
            others: Vec::new(),
        }
    }

    fn lora(&self) -> Option<&LoraSettings> {
        Some(&self.settings)
    }
}

impl Lora {
    /// The update of one module, whose tensors must be there in the right shapes.
    fn update(
        &self,
        config: &AdapterConfig,
        chosen: &Chosen,
        stored: &mut StoredTensors<'_>,
    ) -> Result<LowRank, Error> {
        let path = &chosen.module.path;
        let (rank, scale) = self.settings.size(&chosen.stored_path)?;
        let is_embedding = chosen.is_embedding();
        let (inputs, outputs) = chosen.sizes();
        let kind = if is_embedding {
            ["lora_embedding_A", "lora_embedding_B"]
        } else {
            ["lora_A.weight", "lora_B.weight"]
        };
        let [a, b] = kind.map(|kind| format!("{}.{kind}", chosen.stored_path));
        let a = stored.expect(&a, &[rank, inputs])?;
        let b = stored.expect(&b, &[outputs, rank])?;
        let magnitude = if self.settings.magnitude {
            if is_embedding {
                return Err(config.bad(format!(
                    "use_dora: not supported for the embedding {path}. {WAY_OUT}"
                )));
            }
            let name = format!("{}.lora_magnitude_vector", chosen.stored_path);
            let longer = format!("{name}.weight");
            let name = if stored.has(&longer) { longer } else { name };
            Some(stored.expect(&name, &[outputs])?)
        } else {
            None
        };
        let bias = if self.has_bias {
            if is_embedding || chosen.is_head() {
                return Err(config.bad(format!("lora_bias: not supported for {path}. {WAY_OUT}")));
            }
            Some(stored.expect(&format!("{}.lora_B.bias", chosen.stored_path), &[outputs])?)
        } else {
            None
        };
        // A weight that is stored along is stored as it was left.
        let residual = match self.init {
            Init::Pissa if !chosen.is_replaced && !is_embedding => Residual::Pissa,
            Init::Olora if !chosen.is_replaced && !is_embedding => Residual::Olora,
            _ => Residual::Whole,
        };
        if residual == Residual::Olora
            && let Role::Linear { transposed: true, .. } = chosen.module.role
        {
            return Err(config.bad(format!(
                "init_lora_weights: olora does not fit {path}, whose weight lies the other way round (Conv1D): peft itself \
                 cannot load {ADAPTER_CONFIG} with it. {WAY_OUT}"
            )));
        }
        Ok(LowRank {
            rank,
            scale,
            a,
            b,
            magnitude,
            bias,
            residual,
            dropout: self.settings.dropout,
        })
    }
}
