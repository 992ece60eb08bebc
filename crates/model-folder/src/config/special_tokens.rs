//! Tokens that end a text, where `config.json` does not name them all.

use std::path::Path;

use contract::Error;
use contract::foreign::{MAX_SETTINGS_BYTES, read_text};
use serde_json::Value;

use super::{Fields, parse};

/// The end tokens of `generation_config.json`, which lists what ends a turn in chat models too; and where neither it nor the
/// configuration (`named`) has one, the tokenizer's own.
pub(super) fn ends(folder: &Path, named: bool) -> Result<Vec<i64>, Error> {
    let listed = match json(&folder.join("generation_config.json"))? {
        Some(generation) => Fields(&generation)
            .tokens("eos_token_id", i32::MAX as usize)
            .map_err(|problem| Error::input(folder.join("generation_config.json"), problem))?,
        None => Vec::new(),
    };
    if named || !listed.is_empty() {
        return Ok(listed);
    }
    let Some(settings) = json(&folder.join("tokenizer_config.json"))? else {
        return Ok(Vec::new());
    };
    let end = settings.get("eos_token");
    let end = end
        .and_then(|end| end.get("content").or(Some(end)))
        .and_then(Value::as_str);
    let tokenizer = json(&folder.join("tokenizer.json"))?.unwrap_or_default();
    let added = tokenizer.get("added_tokens").and_then(Value::as_array);
    let found = added.into_iter().flatten().find(|token| {
        let content = token.get("content").and_then(Value::as_str);
        content.is_some() && content == end
    });
    Ok(found
        .and_then(|token| token.get("id")?.as_i64())
        .into_iter()
        .collect())
}

/// A JSON file; `None` where there is none.
fn json(path: &Path) -> Result<Option<Value>, Error> {
    match read_text(path, MAX_SETTINGS_BYTES) {
        Ok(text) => parse(path, &text).map(Some),
        Err(_) => Ok(None),
    }
}
