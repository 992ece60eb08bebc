//! What training cut off was never seen, and cannot come out.

use std::collections::BTreeSet;

use contract::records::{CorpusFact, CorpusFactKind, Split};

use super::{Evidence, Finding, PlausibilityCheck};
use crate::estimate::AnalysedCell;
use crate::estimate::measure::Measure;
use crate::estimate::tallies::Slice;
use crate::format::{count, percent};

pub(super) const CHECK: PlausibilityCheck = PlausibilityCheck {
    name: "documents_cut",
    title: "Most documents were read to their end",
    applies: |evidence| !evidence.is_untuned() && !evidence.is_of_canaries(),
    find,
};

/// Share of documents that may be cut before it is said at the top.
const MAX_CUT: f64 = 0.5;

/// How many training documents are longer than what training read of a text, and of how many that is known: by the scores, or by
/// what reading the corpus counted for this model.
pub fn cut_documents(cell: &AnalysedCell<'_>) -> Option<(usize, usize)> {
    let at = Slice {
        split: Split::Train,
        strategy: None,
    };
    let scored = cell.tallies.of(Measure::DocumentsCut, at, None);
    if !scored.is_empty() {
        let cut = scored.iter().filter(|tally| tally.part > 0.0).count();
        return Some((cut, scored.len()));
    }
    let cut = cut_facts(cell)
        .filter(|fact| fact.split != Some(Split::Heldout))
        .filter_map(|fact| usize::try_from(fact.documents?).ok())
        .reduce(|sum, documents| sum + documents)?;
    Some((cut, cell.corpus.training_documents()))
}

/// What reading the corpus counted as longer than the context of this cell's model. The reason names the model, by whose tokenizer
/// documents are long; where there is one reason alone, it is this model.
pub fn cut_facts<'a>(cell: &'a AnalysedCell<'_>) -> impl Iterator<Item = &'a CorpusFact> {
    let facts = || cell.corpus.facts_of(CorpusFactKind::Cut);
    let models: BTreeSet<&str> = facts().filter_map(|fact| fact.reason.as_deref()).collect();
    let model = cell.data.cell.model.as_str();
    let several = models.len() > 1;
    facts().filter(move |fact| {
        let reason = fact.reason.as_deref();
        reason.is_none_or(|reason| reason == model || !several)
    })
}

fn find(evidence: &Evidence<'_>) -> Finding {
    let Some((cut, documents)) = cut_documents(evidence.cell).filter(|(_, documents)| *documents > 0) else {
        return Finding::not_made("nobody counted the documents that are longer than the context");
    };
    let share = cut as f64 / documents as f64;
    let said = format!(
        "{} of {} training documents ({}) are longer than what training read of a text",
        count(cut as u64),
        count(documents as u64),
        percent(share)
    );
    if share <= MAX_CUT {
        return Finding::passed(format!("{said}."), documents);
    }
    Finding::warning(
        "most documents were cut by the context",
        format!(
            "{said}: the rates are about their beginnings. Was training’s context as long as this? Set `tuning.context` to it, or give the \
             documents as training cut them."
        ),
        documents,
    )
}
