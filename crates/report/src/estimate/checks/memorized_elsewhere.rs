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
/// them all. The longer ones tell where a template or a usual answer is such a run in every document, unseen ones too.
const LONG_RUNS: [usize; 4] = [30, 60, 120, 240];

/// So many documents are no chance, where there is nothing to compare with.
const FEWEST: u64 = 3;
/// And so large a part of all.
const LEAST_SHARE: f64 = 0.05;

fn find(evidence: &Evidence<'_>) -> Finding {
    let Some(strategy) = headline(evidence.cell) else {
        return Finding::not_made("nothing was generated after training documents");
    };
    let came_out = came_out(evidence.cell);
    let Some(shortest) = Known::of(evidence, LONG_RUNS[0], &came_out) else {
        return Finding::not_made("no training document was scored whole, or none is long enough");
    };
    let longer = LONG_RUNS[1..].iter();
    let longer = longer.filter_map(|&run| Known::of(evidence, run, &came_out));
    // The first that tells; where none does, the shortest is what is said.
    let known = std::iter::once(shortest)
        .chain(longer)
        .find(|known| known.is_more)
        .unwrap_or(shortest);
    let Known {
        run,
        found,
        all,
        is_more,
    } = known;
    let said = format!(
        "{} of {} training documents hold {run} tokens in a row or more that the model would write by itself, and none of them came out",
        count(found),
        count(all)
    );
    let observations = usize::try_from(all).unwrap_or(usize::MAX);
    let at = Slice {
        split: Split::Train,
        strategy: Some(strategy),
    };
    // What leaks word for word is a finding already.
    if !is_more || evidence.repeats_own(at, None) || evidence.goes_on_exactly(at) {
        return Finding::passed(format!("{said}."), observations);
    }
    Finding::failed(
        &said,
        format!(
            "{said}: what the model has memorized is elsewhere than where the prompts end, such as behind a question, a header or the first \
             lines, or in what users say. Ask there too: `prompt = \"middle\"`, `\"question\"` or `\"question-beginning\"` in an `[[extraction.strategy]]`, longer prompts \
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
        // What many documents hold says nothing of this one.
        if verdict.own_verdict == Some(Verdict::Verbatim) && verdict.boilerplate != Some(true) {
            documents.extend(sample.doc_id.as_deref());
        }
    }
    documents
}

/// How many training documents hold a run of so many tokens that the model knows.
#[derive(Clone, Copy)]
struct Known {
    run: usize,
    /// Those of which none came out.
    found: u64,
    /// Those that are as long.
    all: u64,
    /// Whether they are more than under the untuned model and of held-out text: at each length by itself, since a warning too many costs less than
    /// one too few.
    is_more: bool,
}

impl Known {
    /// None where no document is as long.
    fn of(evidence: &Evidence<'_>, run: usize, came_out: &BTreeSet<&str>) -> Option<Self> {
        let (found, all) = known(evidence.cell, Split::Train, run, came_out);
        if all == 0 {
            return None;
        }
        let nothing = BTreeSet::new();
        let untuned = evidence
            .of_same_corpus()
            .map(|cell| known(cell, Split::Train, run, &nothing));
        let held_out = known(evidence.cell, Split::Heldout, run, &nothing);
        let controls = untuned.into_iter().chain([held_out]).filter(|(_, all)| *all > 0);
        let p_values = controls.filter_map(|control| exceeds_p_value((found, all), control).ok());
        let is_more = match p_values.reduce(f64::max) {
            Some(p_value) => p_value <= LEVEL && found >= FEWEST,
            None => found >= FEWEST && found as f64 >= LEAST_SHARE * all as f64,
        };
        Some(Self {
            run,
            found,
            all,
            is_more,
        })
    }
}

/// Of the documents of a split with as many tokens, those that hold such a run and are not among `other`, and all.
fn known(cell: &AnalysedCell<'_>, split: Split, run: usize, other: &BTreeSet<&str>) -> (u64, u64) {
    let (mut found, mut all) = (0, 0);
    for score in whole_documents(cell).filter(|score| score.split == split && score.tokens >= run) {
        all += 1;
        found += u64::from(score.longest_run >= run && !other.contains(score.doc_id.as_str()));
    }
    (found, all)
}
