//! The keys of `adapter_config.json`: what becomes of each, and how their values are read.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::WAY_OUT;
use crate::LoraTargets;

/// What becomes of a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Treatment {
    /// It is read.
    Read,
    /// It changes nothing about what the stored tensors do.
    Harmless,
    /// It changes what they do in a way that is not supported: why, in words.
    Refused(&'static str),
}

/// Keys with what becomes of each.
pub(super) type KeyList = &'static [(&'static str, Treatment)];

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

/// The keys of the file.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Keys<'a> {
    /// A value; null counts as missing.
    pub(super) fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// Refuses what is active and not in the lists of keys, or refused there.
    pub(super) fn refuse_unsupported(self, lists: &[KeyList]) -> Result<(), String> {
        for (key, value) in self.0 {
            let mut known = lists.iter().flat_map(|list| list.iter());
            let treatment = known
                .find(|(known, _)| known == key)
                .map(|(_, treatment)| treatment);
            let why = match treatment {
                Some(Treatment::Read | Treatment::Harmless) => continue,
                Some(Treatment::Refused(why)) => *why,
                None => "this setting is not known here, and may change what the adapter does",
            };
            if is_active(value) {
                return Err(format!("{key}: not supported: {why}; found {value}. {WAY_OUT}"));
            }
        }
        Ok(())
    }

    pub(super) fn flag(self, key: &str) -> Result<bool, String> {
        self.flag_or(key, false)
    }

    /// A flag that is `missing` where the file says nothing.
    pub(super) fn flag_or(self, key: &str, missing: bool) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(missing),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| format!("{key}: expected true or false, found {value}")),
        }
    }

    pub(super) fn number(self, key: &str) -> Result<Option<f64>, String> {
        self.get(key)
            .map(|value| {
                value
                    .as_f64()
                    .ok_or_else(|| format!("{key}: expected a number, found {value}"))
            })
            .transpose()
    }

    pub(super) fn whole(self, key: &str) -> Result<Option<usize>, String> {
        self.get(key)
            .map(|value| {
                let number = value.as_u64().map(|number| number as usize);
                number.ok_or_else(|| format!("{key}: expected a whole number, found {value}"))
            })
            .transpose()
    }

    pub(super) fn text(self, key: &str) -> Result<Option<&'a str>, String> {
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
    pub(super) fn wholes(self, key: &str) -> Result<Vec<usize>, String> {
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
    pub(super) fn names(self, key: &str) -> Result<Vec<String>, String> {
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
    pub(super) fn modules(self, key: &str) -> Result<Option<LoraTargets>, String> {
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

    pub(super) fn check_table(self, key: &str) -> Result<(), String> {
        match self.get(key).filter(|value| !value.is_object()) {
            None => Ok(()),
            Some(value) => Err(format!(
                "{key}: expected a table of regular expressions, found {value}"
            )),
        }
    }
}

/// The tables in which the order of the entries counts.
#[derive(Default, serde::Deserialize)]
pub(super) struct Order {
    #[serde(default)]
    rank_pattern: Pairs,
    #[serde(default)]
    alpha_pattern: Pairs,
}

impl Order {
    /// Ranks by regular expressions, in the order in which the file has them: the first that fits counts.
    pub(super) fn ranks(&self) -> Result<Vec<(String, usize)>, String> {
        self.rank_pattern.numbers("rank_pattern", |value| {
            value.as_u64().filter(|&rank| rank > 0).map(|rank| rank as usize)
        })
    }

    /// The same for alphas.
    pub(super) fn alphas(&self) -> Result<Vec<(String, f64)>, String> {
        self.alpha_pattern.numbers("alpha_pattern", Value::as_f64)
    }
}

/// The entries of a JSON object in their order; none of what is no object.
#[derive(Default)]
struct Pairs(Vec<(String, Value)>);

impl Pairs {
    fn numbers<Number>(
        &self,
        key: &str,
        read: impl Fn(&Value) -> Option<Number>,
    ) -> Result<Vec<(String, Number)>, String> {
        let pairs = self.0.iter().map(|(pattern, value)| {
            let number =
                read(value).ok_or_else(|| format!("{key}: {pattern}: expected a number, found {value}"))?;
            Ok((pattern.clone(), number))
        });
        pairs.collect()
    }
}

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

pub(super) fn whole_numbers(value: &Value) -> Option<Vec<usize>> {
    let list = value.as_array()?;
    list.iter()
        .map(|number| number.as_u64().map(|number| number as usize))
        .collect()
}
