//! Weights that are kept in fewer bits: named as such, and refused.

use std::path::Path;

use contract::Error;
use serde_json::Value;

/// The library of QLoRA (Dettmers et al. 2023).
const BITSANDBYTES: &str = "bitsandbytes";

/// What a person may do about it.
const WAY_OUT: &str = "Name the model in full precision instead: with BASE= (or --base) where it is the base of an adapter, or \
                       dequantise it with transformers (model.dequantize(), then save_pretrained)";

/// Refuses a model whose tensors are quantised: by what its configuration says, or else by names that only such tensors have.
/// A configuration that asks bitsandbytes to quantise while loading says nothing of the file; where the file holds whole
/// numbers, they are read as they are, and that is said.
pub(crate) fn refuse<'a>(
    config: &Path,
    json: &Value,
    file: &Path,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), Error> {
    let settings = json
        .get("quantization_config")
        .or_else(|| json.get("compression_config"))
        .filter(|settings| !settings.is_null());
    let stored = names.into_iter().find_map(|name| Some((name, of_name(name)?)));
    match (settings, stored) {
        (None, None) => Ok(()),
        (Some(settings), None) if method(settings).starts_with(BITSANDBYTES) => {
            tracing::warn!(
                "{}: quantization_config asks to quantise while loading ({}); the file holds the weights in full \
                 precision, and so they are read",
                config.display(),
                method(settings)
            );
            Ok(())
        }
        (Some(settings), _) => Err(Error::input(
            config,
            format!(
                "quantization_config: the weights are quantised by {}. {WAY_OUT}",
                method(settings)
            ),
        )),
        (None, Some((name, method))) => Err(Error::input(
            file,
            format!("tensor {name}: the weights are quantised by {method}. {WAY_OUT}"),
        )),
    }
}

/// The method whose tensors alone are named so.
fn of_name(name: &str) -> Option<&'static str> {
    let methods: [(&str, &[&str]); 3] = [
        (
            BITSANDBYTES,
            &[
                ".absmax",
                ".quant_map",
                ".SCB",
                ".weight_format",
                ".bitsandbytes__nf4",
                ".bitsandbytes__fp4",
            ],
        ),
        ("GPTQ or AWQ", &[".qweight", ".qzeros", ".scales", ".g_idx"]),
        (
            "a method of its own",
            &[".weight_scale", ".weight_scale_inv", ".weight_packed"],
        ),
    ];
    methods
        .iter()
        .find(|(_, endings)| endings.iter().any(|ending| name.ends_with(ending)))
        .map(|(method, _)| *method)
}

/// The method in words: bitsandbytes (nf4), gptq (4 bits), fp8, …
fn method(settings: &Value) -> String {
    let text = |key: &str| settings.get(key).and_then(Value::as_str);
    let is_set = |key: &str| settings.get(key).and_then(Value::as_bool) == Some(true);
    let bits = settings.get("bits").and_then(Value::as_u64);
    let kind = if is_set("load_in_4bit") || is_set("_load_in_4bit") {
        Some(text("bnb_4bit_quant_type").unwrap_or("4 bits").to_owned())
    } else if is_set("load_in_8bit") || is_set("_load_in_8bit") {
        Some("8 bits".to_owned())
    } else {
        bits.map(|bits| format!("{bits} bits"))
    };
    let is_bitsandbytes = settings.get("load_in_4bit").is_some() || settings.get("load_in_8bit").is_some();
    let name = match text("quant_method") {
        Some(name) => name,
        None if is_bitsandbytes => BITSANDBYTES,
        None => "a method that it does not name",
    };
    match kind {
        Some(kind) => format!("{name} ({kind})"),
        None => name.to_owned(),
    }
}
