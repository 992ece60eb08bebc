//! Documents that no prompt asked for cannot come out: where most are too short for a prompt, a low rate is one of the others alone.

use std::collections::BTreeSet;

use contract::records::{PromptForm, Split};

use super::rate_and_membership::headline;
use super::{Evidence, Finding, PlausibilityCheck, whole_documents};
use crate::format::{count, percent};

pub(super) const CHECK: PlausibilityCheck = PlausibilityCheck {
    name: "documents_asked",
    title: "The documents that were asked for are those of the corpus",
    applies: |evidence| !evidence.is_untuned() && !evidence.is_of_canaries(),
    find,
};

/// Share of documents without a prompt from which on rates of the others say little of the corpus.
const TOO_MANY: f64 = 0.2;

/// Characters behind a prompt without which a document is not asked for: what counts as repeated.
const ENOUGH_CHARACTERS: f64 = 50.0;

/// Share of which a person should know.
const MANY: f64 = 0.05;

fn find(evidence: &Evidence<'_>) -> Finding {
    let data = evidence.cell.data;
    let (Some(strategy), Some(prefix)) = (headline(evidence.cell), data.prefix_tokens) else {
        return Finding::not_made(
            "nothing was generated after training documents, or with settings that nobody kept",
        );
    };
    let asked: BTreeSet<&str> = data
        .samples
        .iter()
        .filter(|sample| sample.split == Split::Train && sample.strategy == strategy)
        .filter(|sample| sample.form == PromptForm::Prefix)
        .filter_map(|sample| sample.doc_id.as_deref())
        .collect();
    if asked.is_empty() {
        return Finding::not_made("no prompt is the beginning of a training document");
    }
    let all = evidence.cell.corpus.training_documents();
    let is_limited = data
        .most_documents
        .get(strategy)
        .is_some_and(|&most| most < all && asked.len() >= most);
    let (unasked, of) = if is_limited {
        too_short(evidence, prefix, all)
    } else {
        (all.saturating_sub(asked.len()), all)
    };
    let share = unasked as f64 / of.max(1) as f64;
    let said = format!(
        "{} of {} training documents{} were too short for a prompt, or too long for the context, and were never asked for",
        count(unasked as u64),
        count(of as u64),
        if is_limited { " that were scored" } else { "" }
    );
    if share < MANY {
        return Finding::passed(format!("{said}."), of);
    }
    let in_brief = format!(
        "{} of the training documents were never asked for",
        percent(share)
    );
    let message = format!(
        "{said}: the rates are those of the others. Whether the model repeats these is not known. Prompt with fewer tokens \
         (`extraction.prefix_tokens`, now {prefix})."
    );
    if share > TOO_MANY {
        Finding::failed(&in_brief, message, of)
    } else {
        Finding::warning(&in_brief, message, of)
    }
}

/// Of the training documents that were scored whole, those with fewer than [`ENOUGH_CHARACTERS`] behind half a prompt, by the mean of
/// characters per token, and all. `documents` are those of the training set.
fn too_short(evidence: &Evidence<'_>, prefix: usize, documents: usize) -> (usize, usize) {
    let trained = whole_documents(evidence.cell).filter(|score| score.split == Split::Train);
    let lengths: Vec<usize> = trained
        .map(|score| score.document_tokens.unwrap_or(score.tokens))
        .collect();
    let mean_characters = evidence.cell.corpus.chars.training as f64 / documents.max(1) as f64;
    let mean_tokens = lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64;
    let enough = (ENOUGH_CHARACTERS / (mean_characters / mean_tokens).max(f64::MIN_POSITIVE)).max(1.0);
    let short = lengths
        .iter()
        .filter(|&&tokens| (tokens as f64) < prefix.div_ceil(2) as f64 + enough);
    (short.count(), lengths.len())
}
