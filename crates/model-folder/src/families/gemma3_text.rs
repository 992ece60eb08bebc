//! Gemma 3 (Gemma Team 2025, arXiv 2503.19786), its text model: a Gemma 2 with norms of each head's queries and keys in place of
//! soft caps; five layers that see only the last tokens to one that sees all, each kind with rotary positions of its own.

use serde_json::Value;

use super::gemma2::{read_gemma, read_windows};
use super::llama::{self, QkNorms};
use super::{Family, FamilySpec};
use crate::config::{Fields, RotaryDefaults, Shape};

/// What holds for every gemma3_text.
pub(super) static SPEC: FamilySpec = FamilySpec {
    model_type: "gemma3_text",
    tied_by_default: true,
    default_tokens: Some((2, 1)),
    read,
    ..llama::LIKE_LLAMA
};

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let (mut settings, shape) = read_gemma(fields, 131_072)?;
    settings.qk_norms = QkNorms::PerHead;
    settings.attention_cap = fields.optional_number("attn_logit_softcapping", None)?;
    settings.logits.cap = fields.optional_number("final_logit_softcapping", None)?;
    read_windows(
        fields,
        &mut settings,
        fields.size_or("sliding_window_pattern", 6)?,
    )?;
    // Each kind of layer has a table; before transformers 5, rope_scaling was that of layers that see all, and where it stands beside the
    // tables its entries count.
    let table = |kind: &str, older: Option<&str>| {
        let tables = fields.get("rope_parameters").map(Fields);
        let mut table = tables
            .and_then(|tables| tables.get(kind))
            .cloned()
            .unwrap_or(Value::Null);
        if let Some(Value::Object(older)) = older.and_then(|older| fields.get(older)) {
            match &mut table {
                Value::Object(table) => table.extend(older.clone()),
                table => *table = Value::Object(older.clone()),
            }
        }
        table
    };
    let kinds = [
        ("full_attention", Some("rope_scaling"), "rope_theta", 1e6),
        ("sliding_attention", None, "rope_local_base_freq", 1e4),
    ];
    settings.rotary.clear();
    for (kind, older, theta_key, theta) in kinds {
        let defaults = RotaryDefaults {
            theta_key,
            theta,
            share_key: "partial_rotary_factor",
            share: 1.0,
        };
        let table = table(kind, older);
        settings.rotary.push(fields.rotary_of(
            Fields(&table),
            settings.head_width,
            shape.context,
            defaults,
        )?);
    }
    for layer in &mut settings.layers {
        layer.rotary = Some(usize::from(layer.is_windowed));
    }
    Ok((Family::Llama(settings), shape))
}
