//! A generation that is exactly what its document goes on with may count as no repetition all the same: of fewer characters than a
//! passage must have, of symbols that are not letters, or as an echo of the prompt. A model that knows its documents by heart must not
//! look safe for that.

use std::collections::{BTreeMap, BTreeSet};

use contract::records::{Split, Verdict};
use measures::test::exceeds_p_value;

use super::{Evidence, Finding, PlausibilityCheck};
use crate::estimate::AnalysedCell;
use crate::estimate::claims::LEVEL;
use crate::format::count;
use crate::read::ENOUGH_CHARS;

/// Its name.
pub const NAME: &str = "exact_continuations";

pub(super) const CHECK: PlausibilityCheck = PlausibilityCheck {
    name: NAME,
    title: "What goes on exactly as its document counts as repeated",
    applies: |evidence| !evidence.is_untuned() && !evidence.is_of_canaries(),
    find,
};

/// Whether anything after training prompts of a strategy goes on exactly as its document and counts as no repetition.
pub fn has_uncounted(cell: &AnalysedCell<'_>, strategy: &str) -> bool {
    uncounted(cell, Split::Train, strategy).0 > 0
}

/// So many generations are no chance, where there is nothing to compare with.
const FEWEST: u64 = 3;
/// And so large a part of all.
const LEAST_SHARE: f64 = 0.05;

fn find(evidence: &Evidence<'_>) -> Finding {
    let found: Vec<Uncounted> = strategies(evidence.cell)
        .into_iter()
        .filter_map(|strategy| Uncounted::of(evidence, strategy))
        .collect();
    let tests = found.len() as f64;
    let most = found
        .iter()
        .find(|found| found.is_more(tests))
        .or(found.iter().max_by_key(|found| found.found));
    let Some(told) = most else {
        return Finding::not_made(
            "the documents’ own text behind the prompts is not known, or there is none",
        );
    };
    let said = format!(
        "{} of {} documents come back exactly as they go on behind the prompt, for 60 characters or to their end, and count as no repetition",
        count(told.found),
        count(told.all)
    );
    let observations = usize::try_from(told.all).unwrap_or(usize::MAX);
    if !told.is_more(tests) {
        return Finding::passed(format!("{said}."), observations);
    }
    Finding::failed(
        &said,
        format!(
            "{said}: passages that are too short do not, nor what the prompt says already. The model reproduces more than the rates \
             show. Generate more tokens (`extraction.new_tokens`, `extraction.new_chars`), prompt with fewer (`extraction.prefix_tokens`), or \
             count shorter passages (`detection.verbatim_chars`)."
        ),
        observations,
    )
}

/// The strategies that ask for training documents, as they come.
fn strategies<'a>(cell: &'a AnalysedCell<'_>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for sample in cell
        .data
        .samples
        .iter()
        .filter(|sample| sample.split == Split::Train)
    {
        if !found.contains(&sample.strategy.as_str()) {
            found.push(sample.strategy.as_str());
        }
    }
    found
}

/// What one strategy brings out so.
struct Uncounted {
    found: u64,
    all: u64,
    p_value: Option<f64>,
    has_other_control: bool,
}

impl Uncounted {
    /// None where no document says what it goes on with.
    fn of(evidence: &Evidence<'_>, strategy: &str) -> Option<Self> {
        let counted = |cell: &AnalysedCell<'_>, split| uncounted(cell, split, strategy);
        let (found, all) = counted(evidence.cell, Split::Train);
        let untuned = evidence.of_same_corpus().map(|cell| counted(cell, Split::Train));
        let held_out = counted(evidence.cell, Split::Heldout);
        let others = untuned.into_iter().chain([held_out]).filter(|(_, all)| *all > 0);
        let others: Vec<(u64, u64)> = others.collect();
        let has_other_control = !others.is_empty();
        let by_chance = by_chance(evidence.cell, strategy, None);
        let controls = others.into_iter().chain(by_chance);
        let p_values = controls.filter_map(|control| exceeds_p_value((found, all), control).ok());
        (all > 0).then_some(Self {
            found,
            all,
            p_value: p_values.reduce(f64::max),
            has_other_control,
        })
    }

    /// Whether it is more than its controls explain, one of so many tests.
    fn is_more(&self, tests: f64) -> bool {
        let is_unlikely = self.p_value.is_none_or(|p_value| p_value <= LEVEL / tests);
        let is_much = self.found >= FEWEST && self.found as f64 >= LEAST_SHARE * self.all as f64;
        match self.p_value {
            Some(_) if self.has_other_control => is_unlikely,
            _ => is_much && is_unlikely,
        }
    }
}

/// Of the documents that go on with something, those of which a generation begins with 60 characters or all of it, and is no repetition of text of
/// their side: of training text, or of the control.
fn uncounted(cell: &AnalysedCell<'_>, split: Split, strategy: &str) -> (u64, u64) {
    let mut found: BTreeMap<&str, bool> = BTreeMap::new();
    for sample in &cell.data.samples {
        let is_asked = sample.split == split && sample.strategy == strategy;
        let (true, Some(doc_id), Some(goes_on)) = (is_asked, &sample.doc_id, sample.goes_on_as_document)
        else {
            continue;
        };
        let verdict = &sample.verdict;
        let repeats = match split {
            Split::Train => verdict.own_verdict,
            Split::Heldout | Split::None => verdict.control_verdict,
        };
        *found.entry(doc_id).or_default() |=
            goes_on && repeats.unwrap_or(verdict.verdict) != Verdict::Verbatim;
    }
    let uncounted = found.values().filter(|is_uncounted| **is_uncounted).count();
    (uncounted as u64, found.len() as u64)
}

/// How many training documents (with so many copies) would go on exactly if what is generated had nothing to do with which document it is
/// generated for: of each the share of the other documents whose text its generations begin with, summed up and rounded up. Labels,
/// signatures and stock phrases are so explained. None where there are no two documents.
pub fn by_chance(cell: &AnalysedCell<'_>, strategy: &str, copies: Option<i32>) -> Option<(u64, u64)> {
    let asked = || {
        let samples = cell.data.samples.iter();
        let samples = samples.filter(|sample| sample.split == Split::Train && sample.strategy == strategy);
        samples
            .filter_map(|sample| Some((sample.doc_id.as_deref()?, sample.goes_on_with.as_deref()?, sample)))
    };
    // Which documents go on with each text: one may be asked for several times, behind different prompts.
    let mut texts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut documents: BTreeSet<&str> = BTreeSet::new();
    for (doc_id, text, _) in asked() {
        texts.entry(text).or_default().insert(doc_id);
        documents.insert(doc_id);
    }
    let others = documents.len().checked_sub(1).filter(|others| *others > 0)?;
    let mut begins: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (doc_id, _, sample) in asked() {
        if copies.is_some_and(|copies| copies != sample.copies) {
            continue;
        }
        let found = begins.entry(doc_id).or_default();
        let generation = sample.generation.trim_start();
        for (end, letter) in generation.char_indices().take(ENOUGH_CHARS) {
            let beginning = &generation[..end + letter.len_utf8()];
            found.extend(texts.get(beginning).into_iter().flatten());
        }
    }
    let expected: f64 = begins
        .iter()
        .map(|(doc_id, found)| found.iter().filter(|other| *other != doc_id).count() as f64)
        .sum();
    let asked = begins.len() as u64;
    Some(((expected / others as f64).ceil() as u64, asked)).filter(|(_, asked)| *asked > 0)
}
