//! A document of which the model has memorized a long passage, and of which no prompt brought anything out: the passage is elsewhere than
//! where the prompts end. The rate must not look safe for that.

use std::collections::BTreeSet;

use contract::records::{Split, Verdict};
use measures::test::exceeds_p_value;

use super::rate_and_membership::headline;
use super::{Evidence, Finding, PlausibilityCheck, whole_documents};
use crate::estimate::AnalysedCell;
use crate::estimate::claims::LEVEL;
use crate::estimate::tallies::Slice;
use crate::format::count;

pub(super) const CHECK: PlausibilityCheck = PlausibilityCheck {
    name: "memorized_elsewhere",
    title: "What the model has memorized is what prompts bring out",
    applies: |evidence| !evidence.is_untuned() && !evidence.is_of_canaries(),
    find,
};

/// Tokens in a row, each the most probable one after all before it, that count as memorized: greedy decoding from their beginning writes
/// them all.
const LONG_RUN: usize = 30;

/// So many documents are no chance, where there is nothing to compare with.
const FEWEST: u64 = 3;
/// And so large a part of all.
const LEAST_SHARE: f64 = 0.05;

fn find(evidence: &Evidence<'_>) -> Finding {
    let Some(strategy) = headline(evidence.cell) else {
        return Finding::not_made("nothing was generated after training documents");
    };
    let came_out = came_out(evidence.cell);
    let (found, all) = known(evidence.cell, Split::Train, &came_out);
    if all == 0 {
        return Finding::not_made("no training document was scored whole, or none is long enough");
    }
    let nothing = BTreeSet::new();
    let untuned = evidence
        .of_same_corpus()
        .map(|cell| known(cell, Split::Train, &nothing));
    let held_out = known(evidence.cell, Split::Heldout, &nothing);
    let controls = untuned.into_iter().chain([held_out]).filter(|(_, all)| *all > 0);
    let p_values = controls.filter_map(|control| exceeds_p_value((found, all), control).ok());
    let is_more = match p_values.reduce(f64::max) {
        Some(p_value) => p_value <= LEVEL && found >= FEWEST,
        None => found >= FEWEST && found as f64 >= LEAST_SHARE * all as f64,
    };
    let said = format!(
        "{} of {} training documents hold {LONG_RUN} tokens in a row or more that the model would write by itself, and none of them came out",
        count(found),
        count(all)
    );
    let observations = usize::try_from(all).unwrap_or(usize::MAX);
    let at = Slice {
        split: Split::Train,
        strategy: Some(strategy),
    };
    // What leaks word for word is a finding already.
    if !is_more || evidence.repeats_own(at, None) {
        return Finding::passed(format!("{said}."), observations);
    }
    Finding::failed(
        &said,
        format!(
            "{said}: what the model has memorized is elsewhere than where the prompts end, such as behind a question, a header or the first \
             lines. Ask there too: `prompt = \"middle\"` or `\"question\"` in an `[[extraction.strategy]]`, longer prompts \
             (`extraction.prefix_tokens`), more tokens (`extraction.new_tokens`)."
        ),
        observations,
    )
}

/// The training documents of which some generation, of any strategy, brought out a passage word for word.
fn came_out<'a>(cell: &'a AnalysedCell<'_>) -> BTreeSet<&'a str> {
    let mut documents = BTreeSet::new();
    for sample in &cell.data.samples {
        let verdict = &sample.verdict;
        documents.extend(verdict.emitted_doc_ids.iter().flatten().map(String::as_str));
        if verdict.own_verdict == Some(Verdict::Verbatim) {
            documents.extend(sample.doc_id.as_deref());
        }
    }
    documents
}

/// Of the documents of a split with as many tokens, those that hold a long run and are not among `other`, and all.
fn known(cell: &AnalysedCell<'_>, split: Split, other: &BTreeSet<&str>) -> (u64, u64) {
    let (mut found, mut all) = (0, 0);
    for score in whole_documents(cell).filter(|score| score.split == split && score.tokens >= LONG_RUN) {
        all += 1;
        found += u64::from(score.longest_run >= LONG_RUN && !other.contains(score.doc_id.as_str()));
    }
    (found, all)
}
