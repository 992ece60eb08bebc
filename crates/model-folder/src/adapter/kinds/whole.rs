//! Kinds that store parameters of the base as training left them: LN tuning (Zhao et al. 2024) whole norms, trainable tokens rows
//! of a table.

use contract::Error;

use super::super::AdapterConfig;
use super::super::keys::{KeyList, Keys, Treatment, whole_numbers};
use super::super::settings::TokenRows;
use super::super::tensors::{Chosen, StoredTensors};
use super::{COMMON, Change, EXCLUDE, Kind, KindSpec, PLAIN, Reading, Stores};

use Treatment::{Harmless, Read};

/// LN tuning.
pub(super) static NORMS: KindSpec = KindSpec {
    peft_type: "LN_TUNING",
    name: "LN tuning",
    keys: &[COMMON, EXCLUDE],
    read,
    stores: Stores::Modules,
    ..PLAIN
};

/// Trainable tokens.
pub(super) static TOKENS: KindSpec = KindSpec {
    peft_type: "TRAINABLE_TOKENS",
    name: "trainable tokens",
    keys: &[COMMON, TOKEN_KEYS],
    read,
    token_rows,
    stores: Stores::Rows,
    ..PLAIN
};

const TOKEN_KEYS: KeyList = &[("init_weights", Harmless), ("token_indices", Read)];

#[derive(Debug)]
struct Settings;

#[allow(
    clippy::unnecessary_wraps,
    reason = "of the form that the table of kinds asks for"
)]
fn read(_: &Reading<'_>) -> Result<Box<dyn Kind>, String> {
    Ok(Box::new(Settings))
}

/// The tokens whose rows were trained, in each table that is named; in the input embedding where none is.
fn token_rows(keys: Keys<'_>) -> Result<Vec<TokenRows>, String> {
    let tokens = keys.get("token_indices").and_then(whole_numbers);
    let tokens = tokens
        .filter(|tokens| !tokens.is_empty())
        .ok_or("token_indices: expected a list of tokens, found none")?;
    let tables = keys.names("target_modules")?;
    if tables.is_empty() {
        let table = String::new();
        return Ok(vec![TokenRows { table, tokens }]);
    }
    let rows = tables.into_iter().map(|table| TokenRows {
        table,
        tokens: tokens.clone(),
    });
    Ok(rows.collect())
}

impl Kind for Settings {
    fn changes(
        &self,
        _: &AdapterConfig,
        _: &[Chosen],
        _: &mut StoredTensors<'_>,
    ) -> Result<Vec<Change>, Error> {
        Ok(Vec::new())
    }
}
