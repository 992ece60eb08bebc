//! Rows of `summary.parquet` in words, for texts beside the page.

use contract::records::{Split, SummaryRow};

use crate::format::number;

/// Which model: its name, corpus, method, checkpoint and seed.
pub(crate) fn model(row: &SummaryRow) -> String {
    let mut parts = vec![row.model.clone()];
    parts.extend(row.corpus.clone());
    parts.push(row.method.clone());
    parts.extend(
        row.checkpoint
            .as_ref()
            .map(|checkpoint| format!("{checkpoint} checkpoint")),
    );
    parts.extend(row.seed.map(|seed| format!("seed {seed}")));
    parts.join(", ")
}

/// Which documents its prompts are of.
pub(crate) fn documents(row: &SummaryRow) -> String {
    let of = match (row.split, &row.strategy) {
        (Some(Split::Heldout), Some(_)) => "prompts of unseen documents",
        (Some(Split::Heldout), None) => "unseen documents",
        (Some(Split::None), _) => "no document’s prompt",
        (Some(Split::Train) | None, _) => "tuned on",
    };
    match row.copies {
        Some(1) => format!("{of}, 1 copy"),
        Some(copies) => format!("{of}, {copies} copies"),
        None => of.to_owned(),
    }
}

/// The figure with what it counts, its 95% interval and the units of that.
pub(crate) fn figure(row: &SummaryRow) -> String {
    let at_least = if row.at_least { "at least " } else { "" };
    let counted = row.k.map(|k| format!("{} of {}", number(k, 0), row.observations));
    let value = match (counted, row.unit.as_str()) {
        (Some(counted), "share") => format!("{counted}: {}", number(row.value, 3)),
        // A count says all there is to say.
        (Some(counted), unit) => format!("{counted} {unit}"),
        (None, "share") => number(row.value, 3),
        (None, unit) => format!("{} {unit}", number(row.value, 3)),
    };
    let ends = match (row.ci_low, row.ci_high) {
        (Some(low), Some(high)) => format!(" ({}–{})", number(low, 3), number(high, 3)),
        _ => " (no interval)".to_owned(),
    };
    format!("{at_least}{value}{ends}, {} {}", row.n, row.n_of)
}
