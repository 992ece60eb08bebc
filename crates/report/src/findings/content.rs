//! What the passages that come back hold: boilerplate, and personal details.

use std::collections::BTreeMap;

use contract::records::{Split, Verdict};

use super::capital;
use crate::analysis::{Analysis, Series, Setting};
use crate::format::listing;
use crate::run::JudgedSample;

/// For each way of tuning that gives text back after training prompts, how much of it is boilerplate and how much holds
/// personal details, over all ways of decoding. Nothing is said of what the detector did not look at.
pub fn content_sentences(setting: &Setting, analysis: &Analysis<'_>) -> Vec<String> {
    setting
        .shown()
        .filter_map(|(label, series)| content_sentence(label, series, analysis))
        .collect()
}

fn content_sentence(label: &str, series: &Series, analysis: &Analysis<'_>) -> Option<String> {
    let returned: Vec<&JudgedSample> = series
        .cells
        .iter()
        .flat_map(|&cell| &analysis.cells[cell].data.samples)
        .filter(|sample| sample.split == Split::Train && sample.verdict.verdict != Verdict::None)
        .collect();
    let said: Vec<String> = [boilerplate(&returned), personal_details(&returned)]
        .into_iter()
        .flatten()
        .collect();
    (!said.is_empty()).then(|| {
        format!(
            "{}: of {} that repeat training text, {}.",
            capital(label),
            counted(returned.len(), "generation"),
            listing(&said)
        )
    })
}

fn boilerplate(returned: &[&JudgedSample]) -> Option<String> {
    let verbatim = || {
        returned
            .iter()
            .filter(|sample| sample.verdict.verdict == Verdict::Verbatim)
    };
    let told = verbatim().next().is_some() && verbatim().all(|sample| sample.verdict.boilerplate.is_some());
    let found = verbatim()
        .filter(|sample| sample.verdict.boilerplate == Some(true))
        .count();
    told.then(|| format!("{found} only with boilerplate that occurs in many documents"))
}

fn personal_details(returned: &[&JudgedSample]) -> Option<String> {
    let told = !returned.is_empty()
        && returned
            .iter()
            .flat_map(|sample| sample.trained_passages())
            .all(|found| found.personal_details.is_some());
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = 0;
    for sample in returned {
        let details = sample.personal_details();
        found += usize::from(!details.is_empty());
        for kind in details {
            *kinds.entry(kind).or_default() += 1;
        }
    }
    let kinds: Vec<String> = kinds
        .into_iter()
        .map(|(kind, samples)| format!("{kind} in {samples}"))
        .collect();
    told.then(|| {
        if kinds.is_empty() {
            "none with a personal detail in it".to_owned()
        } else {
            format!("{found} with personal details ({})", kinds.join(", "))
        }
    })
}

fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
