//! AdaLoRA (Zhang et al. 2023): a low-rank update B·diag(E)·A whose ranks training shared out among the modules.

use std::collections::BTreeMap;

use contract::Error;
use serde_json::Value;

use super::super::keys::{KeyList, Keys, Treatment};
use super::super::tensors::{Chosen, StoredTensors};
use super::super::{AdapterConfig, WAY_OUT};
use super::{BLOCKS, COMMON, Change, EXCLUDE, Facts, Kind, KindSpec, PLAIN, Reading, rank};

use Treatment::{Harmless, Read, Refused};

/// AdaLoRA.
pub(super) static SPEC: KindSpec = KindSpec {
    peft_type: "ADALORA",
    name: "AdaLoRA",
    keys: &[COMMON, EXCLUDE, BLOCKS, KEYS],
    own_bias: "lora_only",
    read,
    ..PLAIN
};

/// Its keys; it takes all of LoRA's, of which peft passes over those that are harmless here.
const KEYS: KeyList = &[
    ("bias", Read),
    ("init_r", Read),
    ("lora_alpha", Read),
    ("lora_dropout", Read),
    // Which singular values training kept.
    ("rank_pattern", Read),
    ("trainable_token_indices", Read),
    ("ensure_weight_tying", Read),
    // How training shared the ranks out.
    ("beta1", Harmless),
    ("beta2", Harmless),
    ("deltaT", Harmless),
    ("orth_reg_weight", Harmless),
    ("target_r", Harmless),
    ("tfinal", Harmless),
    ("tinit", Harmless),
    ("total_step", Harmless),
    // What peft's AdaLoRA takes no account of.
    ("alpha_pattern", Harmless),
    ("corda_config", Harmless),
    ("eva_config", Harmless),
    ("init_lora_weights", Harmless),
    ("lora_bias", Harmless),
    ("lora_ga_config", Harmless),
    ("megatron_core", Harmless),
    ("qalora_group_size", Harmless),
    ("r", Harmless),
    ("runtime_config", Harmless),
    ("use_rslora", Harmless),
    ("velora_config", Harmless),
    // What peft refuses itself, or what would change more than the update.
    (
        "alora_invocation_tokens",
        Refused("the adapter works only behind these tokens (aLoRA)"),
    ),
    (
        "arrow_config",
        Refused("several adapters are mixed token by token (Arrow)"),
    ),
    (
        "kasa_config",
        Refused("the base is cut to its larger singular values (KaSA)"),
    ),
    (
        "layer_replication",
        Refused("the adapter gives the base more layers"),
    ),
    ("loftq_config", Refused("AdaLoRA has no such beginning")),
    (
        "megatron_config",
        Refused("the adapter belongs to Megatron's parallel layers"),
    ),
    (
        "monteclora_config",
        Refused("the adapter samples its weights (MonteCLoRA)"),
    ),
    (
        "target_parameters",
        Refused("the adapter changes parameters that are no layers, as in mixtures of experts"),
    ),
    ("use_bdlora", Refused("the factors are block-diagonal (BD-LoRA)")),
    ("use_dora", Refused("AdaLoRA is no DoRA")),
    ("use_qalora", Refused("the input is pooled in groups (QALoRA)")),
];

/// An update scale · B·diag(E)·A of a module, and the names of its tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct AdaLora {
    /// alpha / (the rank that training began with + 10⁻⁵), as in peft.
    pub scale: f64,
    /// A, `[rank, in]`.
    pub a: String,
    /// B, `[out, rank]`.
    pub b: String,
    /// E, `[rank, 1]`.
    pub e: String,
}

#[derive(Debug)]
struct Settings {
    initial_rank: usize,
    alpha: f64,
    dropout: f64,
    /// How many singular values training kept, by the path of the module.
    kept: BTreeMap<String, usize>,
}

fn read(reading: &Reading<'_>) -> Result<Box<dyn Kind>, String> {
    let keys = reading.keys;
    Ok(Box::new(Settings {
        initial_rank: rank(keys, "init_r")?,
        alpha: keys
            .number("lora_alpha")?
            .ok_or("lora_alpha: expected a number, found none")?,
        dropout: keys.number("lora_dropout")?.unwrap_or(0.0),
        kept: kept(keys)?,
    }))
}

/// Of each module, the number of singular values that are true in `rank_pattern`.
fn kept(keys: Keys<'_>) -> Result<BTreeMap<String, usize>, String> {
    let Some(pattern) = keys.get("rank_pattern") else {
        return Ok(BTreeMap::new());
    };
    let wrong = |found: &Value| {
        format!(
            "rank_pattern: expected true and false for each singular value of a module's lora_E, found {found}"
        )
    };
    let table = pattern.as_object().ok_or_else(|| wrong(pattern))?;
    let modules = table.iter().map(|(name, values)| {
        let path = name.split(".lora_E").next().unwrap_or(name);
        let flags = values.as_array().ok_or_else(|| wrong(values))?;
        let flags: Option<Vec<bool>> = flags.iter().map(Value::as_bool).collect();
        let flags = flags.ok_or_else(|| wrong(values))?;
        Ok((
            path.to_owned(),
            flags.into_iter().filter(|&is_kept| is_kept).count(),
        ))
    });
    modules.collect()
}

impl Kind for Settings {
    fn changes(
        &self,
        config: &AdapterConfig,
        chosen: &[Chosen],
        stored: &mut StoredTensors<'_>,
    ) -> Result<Vec<Change>, Error> {
        let is_chosen = |path: &String| chosen.iter().any(|module| module.stored_path == **path);
        if let Some(path) = self.kept.keys().find(|path| !is_chosen(path)) {
            return Err(config.bad(format!(
                "rank_pattern: expected modules that target_modules chooses, found {path}. {WAY_OUT}"
            )));
        }
        let updates = chosen.iter().map(|module| {
            let (inputs, outputs) = module.linear_sizes(config)?;
            let path = &module.stored_path;
            let rank = self.kept.get(path).copied().unwrap_or(self.initial_rank);
            // peft scales by the rank where there is no alpha.
            let alpha = if self.alpha > 0.0 { self.alpha } else { rank as f64 };
            Ok(Change::AdaLora(AdaLora {
                scale: alpha / (self.initial_rank as f64 + 1e-5),
                a: stored.expect(&format!("{path}.lora_A"), &[rank, inputs])?,
                b: stored.expect(&format!("{path}.lora_B"), &[outputs, rank])?,
                e: stored.expect(&format!("{path}.lora_E"), &[rank, 1])?,
            }))
        });
        updates.collect()
    }

    fn facts(&self) -> Facts {
        Facts {
            rank: Some(self.initial_rank),
            alpha: Some(self.alpha),
            dropout: Some(self.dropout),
            ..Facts::default()
        }
    }
}
