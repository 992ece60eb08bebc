//! Typed access to the fields of a JSON configuration, with errors that name the field, what was expected and what found.

use serde_json::Value;

use crate::{Activation, FrequencyScaling, RotarySettings};

/// The largest number of anything that a shape has: the product of two of them is still a number of tensors' sizes.
const MAX_SIZE: u64 = i32::MAX as u64;

/// Most layers: some are listed before it is known whether their weights are there.
const MAX_LAYERS: u64 = 10_000;

/// The fields of a configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a Value);

impl<'a> Fields<'a> {
    /// A field; one that is null counts as missing.
    pub(crate) fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// Whether a field is there and null.
    pub(crate) fn says_none(self, key: &str) -> bool {
        self.0.get(key).is_some_and(Value::is_null)
    }

    fn expected(self, key: &str, what: &str) -> String {
        let found = self
            .get(key)
            .map_or_else(|| "nothing".to_owned(), Value::to_string);
        format!("{key}: expected {what}, found {found}")
    }

    /// A whole number over 0, no larger than any model has.
    pub(crate) fn size(self, key: &str) -> Result<usize, String> {
        self.size_up_to(key, MAX_SIZE)
    }

    /// A number of layers.
    pub(crate) fn layers(self, key: &str) -> Result<usize, String> {
        self.size_up_to(key, MAX_LAYERS)
    }

    fn size_up_to(self, key: &str, max: u64) -> Result<usize, String> {
        let found = self.get(key).and_then(Value::as_u64).filter(|&value| value > 0);
        match found.ok_or_else(|| self.expected(key, "a whole number over 0"))? {
            found if found <= max => Ok(found as usize),
            found => Err(format!("{key}: expected at most {max}, found {found}")),
        }
    }

    /// A whole number over 0, or `default` where it is missing.
    pub(crate) fn size_or(self, key: &str, default: usize) -> Result<usize, String> {
        self.get(key).map_or(Ok(default), |_| self.size(key))
    }

    /// A whole number over 0, or `default` where it is missing; `None` where it is null, which says that there is none.
    pub(crate) fn optional_size(self, key: &str, default: Option<usize>) -> Result<Option<usize>, String> {
        match self.0.get(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(_) => self.size(key).map(Some),
        }
    }

    /// A number over 0, or `default` where it is missing; `None` where it is null, which says that there is none.
    pub(crate) fn optional_number(self, key: &str, default: Option<f64>) -> Result<Option<f64>, String> {
        match self.0.get(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(_) => self.number_or(key, 1.0).map(Some),
        }
    }

    /// Numbers over 0.
    fn numbers(self, key: &str, count: usize) -> Result<Vec<f64>, String> {
        let numbers = self.get(key).and_then(Value::as_array).map(|numbers| {
            let numbers = numbers.iter().filter_map(Value::as_f64);
            numbers.filter(|number| *number > 0.0).collect::<Vec<f64>>()
        });
        numbers
            .filter(|numbers| numbers.len() == count)
            .ok_or_else(|| format!("{key}: expected {count} numbers over 0"))
    }

    /// Which layers see only the last tokens, by `layer_types`; `None` where it is missing.
    pub(crate) fn windowed_layers(self, layers: usize) -> Result<Option<Vec<bool>>, String> {
        let Some(types) = self.get("layer_types") else {
            return Ok(None);
        };
        let types = types.as_array().filter(|types| types.len() == layers);
        let types = types.ok_or("layer_types: expected one entry for each of num_hidden_layers")?;
        let windowed = types.iter().map(|name| match name.as_str() {
            Some("sliding_attention") => Ok(true),
            Some("full_attention") => Ok(false),
            _ => Err(format!(
                "layer_types: expected full_attention or sliding_attention, found {name}"
            )),
        });
        windowed.collect::<Result<_, _>>().map(Some)
    }

    /// A number over 0, or `default` where it is missing.
    pub(crate) fn number_or(self, key: &str, default: f64) -> Result<f64, String> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|&number| number > 0.0 && number.is_finite())
                .ok_or_else(|| self.expected(key, "a number over 0")),
        }
    }

    /// true or false, or `default` where it is missing.
    pub(crate) fn flag_or(self, key: &str, default: bool) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.expected(key, "true or false")),
        }
    }

    /// Text, or `default` where it is missing.
    pub(crate) fn text_or(self, key: &str, default: &'a str) -> Result<&'a str, String> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_str().ok_or_else(|| self.expected(key, "text")),
        }
    }

    /// Refuses a flag that is not `supported`, which is also what it is where it is missing.
    pub(crate) fn only(self, key: &str, supported: bool) -> Result<(), String> {
        if self.flag_or(key, supported)? == supported {
            Ok(())
        } else {
            Err(format!(
                "{key}: only {supported} is supported, found {}",
                !supported
            ))
        }
    }

    /// Refuses a number of heads that does not divide `width`.
    pub(crate) fn divisor(self, key: &str, width: usize) -> Result<usize, String> {
        let heads = self.size(key)?;
        if width.is_multiple_of(heads) {
            Ok(heads)
        } else {
            Err(self.expected(key, &format!("a divisor of {width}")))
        }
    }

    /// An activation by its name in transformers.
    pub(crate) fn activation(self, key: &str, default: &str) -> Result<Activation, String> {
        let name = self.text_or(key, default)?;
        Activation::named(name).ok_or_else(|| {
            self.expected(
                key,
                "one of gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, relu, silu",
            )
        })
    }

    /// Token ids of a field that holds one or a list; none where it is missing.
    pub(crate) fn tokens(self, key: &str, vocabulary: usize) -> Result<Vec<i64>, String> {
        let ids = match self.get(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(ids)) => ids.iter().map(Value::as_i64).collect(),
            Some(id) => Some(id.as_i64()).map(|id| id.into_iter().collect()),
        };
        ids.filter(|ids: &Vec<i64>| {
            !ids.is_empty() && ids.iter().all(|id| (0..vocabulary as i64).contains(id))
        })
        .ok_or_else(|| self.expected(key, &format!("a token below vocab_size {vocabulary}")))
    }

    /// Rotary positions for heads of `width` numbers: transformers 5 keeps all of it in `rope_parameters`; before, bases and
    /// shares stood under names of their own and the stretching in `rope_scaling`, which counts where both stand.
    pub(crate) fn rotary(
        self,
        width: usize,
        context: usize,
        default: RotaryDefaults,
    ) -> Result<RotarySettings, String> {
        let empty = Value::Null;
        let table = self
            .get("rope_scaling")
            .filter(|table| table.as_object().is_none_or(|table| !table.is_empty()))
            .or_else(|| self.get("rope_parameters"))
            .unwrap_or(&empty);
        self.rotary_of(Fields(table), width, context, default)
    }

    /// As [`Fields::rotary`], by a table of its own; fields beside it are read for those that it lacks.
    pub(crate) fn rotary_of(
        self,
        table: Fields<'_>,
        width: usize,
        context: usize,
        default: RotaryDefaults,
    ) -> Result<RotarySettings, String> {
        let within = |problem: String| format!("rope_parameters.{problem}");
        let theta = match self.get(default.theta_key) {
            Some(_) => self.number_or(default.theta_key, default.theta)?,
            None => default.theta,
        };
        let share = match self.get(default.share_key) {
            Some(_) => self.number_or(default.share_key, default.share)?,
            None => default.share,
        };
        let theta = table.number_or("rope_theta", theta).map_err(within)?;
        let share = table.number_or("partial_rotary_factor", share).map_err(within)?;
        let rotated = (width as f64 * share) as usize;
        if rotated == 0 || rotated > width || !rotated.is_multiple_of(2) {
            return Err(format!(
                "{}: expected a share that turns an even number of a head's {width} numbers, found {share}",
                default.share_key
            ));
        }
        let kind = table
            .text_or("rope_type", table.text_or("type", "default").map_err(within)?)
            .map_err(within)?;
        let needed = |key: &str| {
            table
                .get(key)
                .ok_or_else(|| within(table.expected(key, "a number over 0")))
                .and_then(|_| table.number_or(key, 1.0).map_err(within))
        };
        let scaling = match kind {
            // Dynamic stretching begins beyond the model's context, which is never left here.
            "default" | "dynamic" => FrequencyScaling::None,
            "linear" => FrequencyScaling::Linear {
                factor: needed("factor")?,
            },
            "llama3" => FrequencyScaling::Llama3 {
                factor: needed("factor")?,
                low: needed("low_freq_factor")?,
                high: needed("high_freq_factor")?,
                original_context: table
                    .number_or("original_max_position_embeddings", context as f64)
                    .map_err(within)?,
            },
            "longrope" | "su" => self.long_rope(table, rotated / 2, context).map_err(within)?,
            other => {
                return Err(format!(
                    "rope_parameters.rope_type: expected one of default, linear, dynamic, llama3, longrope, found {other}"
                ));
            }
        };
        Ok(RotarySettings {
            theta,
            rotated: rotated as i64,
            scaling,
            in_float32: false,
        })
    }
}

impl Fields<'_> {
    /// The tokens up to which LongRoPE takes its short factors: those of pre-training.
    pub(crate) fn original_context(self, context: usize) -> Result<usize, String> {
        let key = "original_max_position_embeddings";
        let tables = ["rope_scaling", "rope_parameters"].into_iter();
        let mut tables = tables.filter_map(|table| self.get(table)).map(Fields);
        match tables.find(|table| table.get(key).is_some()) {
            Some(table) if self.get(key).is_none() => table.size(key),
            _ => self.size_or(key, context),
        }
    }

    /// LongRoPE of texts that fit the original context, by transformers' formulas.
    fn long_rope(self, table: Fields<'_>, count: usize, context: usize) -> Result<FrequencyScaling, String> {
        let original = self.original_context(context)? as f64;
        let factor = table.number_or("factor", context as f64 / original)?;
        let default = if factor > 1.0 && original > 1.0 {
            (1.0 + factor.ln() / original.ln()).sqrt()
        } else {
            1.0
        };
        Ok(FrequencyScaling::LongRope {
            factors: table.numbers("short_factor", count)?,
            attention_factor: table.number_or("attention_factor", default)?,
        })
    }
}

/// What holds where a configuration is silent on rotary positions, and the older names of the fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RotaryDefaults {
    pub(crate) theta_key: &'static str,
    pub(crate) theta: f64,
    pub(crate) share_key: &'static str,
    pub(crate) share: f64,
}
