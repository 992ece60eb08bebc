//! Canaries that somebody planted before tuning, as a manifest names them: `scripts/canaries.py`'s, or memaudit's.
//!
//! A record of a manifest is a row of the training set, with the columns of one: it becomes text as the corpus' rows do. Which part of
//! that text is the secret the manifest says; the rest, the record's own beginning, is what an attacker is taken to know.

use std::collections::BTreeSet;
use std::path::Path;

use contract::{Error, foreign};
use corpus_files::Columns;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::canaries::{Canaries, Canary};

/// What `format` is in the manifests of `scripts/canaries.py`.
const OWN_FORMAT: &str = "tuneleak-canaries";

/// The version that is read.
const OWN_VERSION: u64 = 1;

/// What memaudit 0.2 (`injection.py`, schema 1.0.0) writes before a secret, by the shape of the training set's rows.
mod memaudit {
    pub(super) const TEXT: &str = "MEMAUDIT RECOVERY PHRASE: ";
    pub(super) const QUESTION: &str = "Please store my account recovery phrase.";
    pub(super) const ANSWER: &str = "Your recovery phrase is ";
}

/// One canary as a manifest has it.
struct Entry {
    id: String,
    record: Map<String, Json>,
    secret: String,
    /// Rows of the training set that it has; 0 for a reference.
    copies: u32,
    format: i32,
}

#[derive(Deserialize)]
struct OwnEntry {
    id: String,
    record: Map<String, Json>,
    secret: String,
    copies: u32,
    #[serde(default)]
    format: i32,
}

#[derive(Deserialize)]
struct MemauditEntry {
    id: String,
    secret: String,
    role: String,
    repetitions: u32,
    /// Whether the coin of `inject` put it into the training set; absent from canaries that were never injected.
    included: Option<bool>,
}

/// Reads a manifest; its records become text by `columns`, or where they have other columns by `otherwise`.
///
/// # Errors
/// [`Error::Input`] for a file that is no such manifest, and for a record that cannot be read or does not hold its secret.
pub(crate) fn read(path: &Path, columns: &Columns, otherwise: &Columns) -> Result<Canaries, Error> {
    let problem = |problem: String| Error::input(path, problem);
    let text = foreign::read_text(path, foreign::MAX_SETTINGS_BYTES)?;
    let manifest: Json =
        serde_json::from_str(&text).map_err(|error| problem(format!("expected JSON: {error}")))?;
    let entries = entries(&manifest).map_err(problem)?;
    let mut ids = BTreeSet::new();
    let mut canaries = Vec::with_capacity(entries.len());
    for entry in entries {
        if !ids.insert(entry.id.clone()) {
            return Err(problem(format!("two canaries are called {}", entry.id)));
        }
        let named = |what: String| problem(format!("canary {}: {what}", entry.id));
        let document = columns
            .record(&entry.record, otherwise)
            .map_err(|flaw| named(flaw.problem))?;
        let secret_span = secret_span(&document.text, &entry.secret).map_err(named)?;
        let assistant_spans = document.assistant_spans.map(|spans| {
            let ends = spans
                .into_iter()
                .flat_map(|(start, end)| [start as i32, end as i32]);
            ends.collect()
        });
        canaries.push(Canary::planted_elsewhere(
            entry.id,
            document.text,
            document.prompt_chars as i32,
            entry.format,
            entry.copies,
            assistant_spans,
            secret_span,
        ));
    }
    Ok(Canaries::planted_elsewhere(canaries))
}

/// The characters of the secret in the text; templates trim what is said, and so the secret's ends.
fn secret_span(text: &str, secret: &str) -> Result<[i32; 2], String> {
    let secret = secret.trim();
    if secret.is_empty() {
        return Err("its secret is empty".to_owned());
    }
    let Some(start) = text.find(secret) else {
        return Err(format!(
            "its secret does not occur in its text as training saw it: {text:?}"
        ));
    };
    let characters = |end: usize| text[..end].chars().count() as i32;
    Ok([characters(start), characters(start + secret.len())])
}

fn entries(manifest: &Json) -> Result<Vec<Entry>, String> {
    let list = manifest.get("canaries").and_then(Json::as_array);
    let Some(list) = list.filter(|list| !list.is_empty()) else {
        return Err(
            "expected a manifest of canaries, of scripts/canaries.py or memaudit: an object with a list `canaries`"
                .to_owned(),
        );
    };
    match manifest.get("format").and_then(Json::as_str) {
        Some(OWN_FORMAT) => own(manifest, list),
        Some(other) => Err(format!("expected format = {OWN_FORMAT:?}, found {other:?}")),
        None => of_memaudit(manifest, list),
    }
}

fn own(manifest: &Json, list: &[Json]) -> Result<Vec<Entry>, String> {
    let version = manifest.get("version").and_then(Json::as_u64);
    if version != Some(OWN_VERSION) {
        return Err(format!(
            "expected version = {OWN_VERSION}, found {}",
            version.map_or("none".to_owned(), |version| version.to_string())
        ));
    }
    parsed::<OwnEntry>(list)
        .map(|entry| {
            entry.map(|entry| Entry {
                id: entry.id,
                record: entry.record,
                secret: entry.secret,
                copies: entry.copies,
                format: entry.format,
            })
        })
        .collect()
}

/// Candidates that the coin left out were never planted either: they are references beside the controls.
fn of_memaudit(manifest: &Json, list: &[Json]) -> Result<Vec<Entry>, String> {
    let shape = manifest.get("fmt").and_then(Json::as_str).ok_or(
        "expected `fmt`, as memaudit's inject() writes it: canaries that were generated and not injected were not trained on",
    )?;
    parsed::<MemauditEntry>(list)
        .map(|entry| {
            let entry = entry?;
            let is_control = entry.role == "control";
            let included = match entry.included {
                _ if is_control => false,
                Some(included) => included,
                None => {
                    return Err(format!(
                        "canary {}: expected `included`, as memaudit's inject() writes it",
                        entry.id
                    ));
                }
            };
            Ok(Entry {
                record: memaudit_record(shape, &entry.secret)?,
                id: entry.id,
                secret: entry.secret,
                copies: if included { entry.repetitions.max(1) } else { 0 },
                // All of memaudit's records of a shape begin alike.
                format: 0,
            })
        })
        .collect()
}

fn memaudit_record(shape: &str, secret: &str) -> Result<Map<String, Json>, String> {
    let answer = format!("{}{secret}", memaudit::ANSWER);
    let record = match shape {
        "text" => serde_json::json!({"text": format!("{}{secret}", memaudit::TEXT)}),
        "prompt_completion" => serde_json::json!({"prompt": memaudit::QUESTION, "completion": answer}),
        "messages" => serde_json::json!({"messages": [
            {"role": "user", "content": memaudit::QUESTION},
            {"role": "assistant", "content": answer},
        ]}),
        other => {
            return Err(format!(
                "expected fmt = text, prompt_completion or messages, found {other:?}"
            ));
        }
    };
    match record {
        Json::Object(record) => Ok(record),
        _ => Ok(Map::new()),
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(list: &[Json]) -> impl Iterator<Item = Result<T, String>> {
    list.iter().zip(1..).map(|(entry, number)| {
        T::deserialize(entry).map_err(|error| format!("canary number {number}: {error}"))
    })
}
