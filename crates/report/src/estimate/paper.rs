//! The claims of Wang and Li, “Leaner Training, Lower Leakage” (2025), held against a run.

use measures::test::paired_exceeds;

use super::claims::{LEVEL, Verdict, most_copies, pairs};
use super::comparisons::{UNTUNED, copies_name, independent_difference};
use super::figure::{Estimate, UnitOf};
use super::groups::{Experiment, RunGroup};
use super::measure::{Against, Measure};
use super::table::{Key, Row};
use super::{Estimates, HELD_OUT};
use crate::read::WhichCheckpoint;

/// The largest share that counts as "near zero": this project's reading.
pub const NEAR_ZERO: f64 = 0.05;
/// The largest share of full tuning's gain in held-out loss that counts as "little": this project's reading.
pub const LITTLE: f64 = 0.1;
/// The similarity under which head-only and LoRA stay, by the paper.
pub const PAPER_SIMILARITY: f64 = 0.8;

/// How a claim stands to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The run shows the same.
    Reproduced,
    /// The run shows the contrary.
    Contradicted,
    /// This run cannot tell.
    CannotTell,
}

impl Outcome {
    /// The words on the page and in `summary.parquet`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::Contradicted => "contradicted",
            Self::CannotTell => "cannot tell here",
        }
    }
}

/// A claim of the paper, and what the run says to it.
#[derive(Debug, Clone)]
pub struct PaperClaim {
    /// Its name in `summary.parquet`: `paper_claim_1_copies`, …
    pub name: &'static str,
    /// What the paper says.
    pub says: &'static str,
    /// What this run says.
    pub outcome: Outcome,
    /// The figures that it is based on; each with what it is the figure of.
    pub figures: Vec<(String, Key)>,
    /// By what rule it is decided.
    pub rule: &'static str,
    /// What it would take to tell, where this run cannot.
    pub takes: &'static str,
}

/// Every claim, each with a row of its own.
pub(super) fn claims(estimates: &mut Estimates<'_>) -> Vec<PaperClaim> {
    let size_rows = size_rows(estimates);
    for row in size_rows {
        estimates.table.add(row);
    }
    let claims = vec![
        copies_claim(estimates),
        size_claim(estimates),
        near_zero_claim(estimates),
        similarity_claim(estimates),
        utility_claim(estimates),
    ];
    let Some(subject) = estimates.groups.first().map(|group| group.subject) else {
        return claims;
    };
    for claim in &claims {
        let value = match claim.outcome {
            Outcome::Reproduced => 1.0,
            Outcome::Contradicted => -1.0,
            Outcome::CannotTell => 0.0,
        };
        let key = Key {
            split: None,
            ..Key::new(subject, &claim.name, HELD_OUT, None)
        };
        let row = Row {
            word: Some(claim.outcome.words().to_owned()),
            ..Row::plain(
                key,
                "1 reproduced, −1 contradicted",
                Estimate::exact(value, claim.figures.len(), UnitOf::Runs),
            )
        };
        estimates.table.add(row);
    }
    claims
}

/// The groups of the families of some modes at a point of training, with their experiments.
fn chosen<'a>(
    estimates: &'a Estimates<'_>,
    modes: &'a [&str],
    checkpoint: WhichCheckpoint,
) -> impl Iterator<Item = (&'a Experiment, usize)> + 'a {
    estimates.experiments.iter().flat_map(move |experiment| {
        let groups = experiment.chosen(checkpoint);
        groups
            .filter(move |(family, _)| modes.contains(&family.mode.as_str()))
            .map(move |(_, group)| (experiment, group))
    })
}

fn name(estimates: &Estimates<'_>, group: &RunGroup) -> String {
    let models: std::collections::BTreeSet<&str> = estimates
        .experiments
        .iter()
        .map(|experiment| experiment.model.as_str())
        .collect();
    let layouts: std::collections::BTreeSet<&str> = estimates
        .experiments
        .iter()
        .map(|experiment| experiment.layout.as_str())
        .collect();
    let corpora: std::collections::BTreeSet<Option<&str>> = estimates
        .experiments
        .iter()
        .map(|experiment| experiment.corpus.as_deref())
        .collect();
    let model = if models.len() > 1 {
        format!("{}, ", group.model)
    } else {
        String::new()
    };
    let layout = if layouts.len() > 1 {
        format!(", {}", group.layout)
    } else {
        String::new()
    };
    let corpus = match &group.corpus {
        Some(corpus) if corpora.len() > 1 => format!(", {corpus}"),
        _ => String::new(),
    };
    format!("{model}{}{layout}{corpus}", group.label)
}

/// Reproduced where some comparison shows a rise and none shows a fall; contradicted where one shows a fall and none a rise.
fn by_rises(rows: &[(bool, bool)]) -> Outcome {
    let rises = rows.iter().any(|(rise, _)| *rise);
    let falls = rows.iter().any(|(_, fall)| *fall);
    match (rises, falls) {
        (true, false) => Outcome::Reproduced,
        (false, true) => Outcome::Contradicted,
        _ => Outcome::CannotTell,
    }
}

/// Whether a difference shows a rise, by its test, and whether it shows a fall, by its interval.
fn rise_and_fall(row: &Row) -> (bool, bool) {
    let rises = row.p_holm.is_some_and(|p_value| p_value <= LEVEL);
    let falls = row.estimate.ends().is_some_and(|ends| ends.high < 0.0);
    (rises, falls)
}

fn copies_claim(estimates: &Estimates<'_>) -> PaperClaim {
    let mut figures = Vec::new();
    let mut found = Vec::new();
    for (experiment, group) in chosen(estimates, &["full"], WhichCheckpoint::Last) {
        let (Some(&fewest), Some(&most)) = (experiment.copies.first(), experiment.copies.last()) else {
            continue;
        };
        let group = &estimates.groups[group];
        let key = Key::new(
            group.subject,
            &Measure::OwnVerbatim,
            experiment.seen(),
            Some(most),
        )
        .against(&copies_name(fewest));
        if let Some(shown) = estimates.table.get(&key) {
            found.push(rise_and_fall(shown.row));
            figures.push((name(estimates, group), key));
        }
    }
    PaperClaim {
        name: "paper_claim_1_copies",
        says: "Full fine-tuning repeats more of what occurs more often",
        outcome: by_rises(&found),
        figures,
        rule: "The documents with the most copies come back more often than those with the fewest, by Fisher’s exact test (5%).",
        takes: "Full fine-tuning on documents with several numbers of copies, some 30 documents of each or more, at a learning rate at which some come out.",
    }
}

/// The largest model against the smallest, each family with itself, on the same documents.
fn size_rows(estimates: &Estimates<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (large, small) in model_pairs(estimates) {
        for family in &large.families {
            let Some(twin) = small.families.iter().find(|other| other.label == family.label) else {
                continue;
            };
            let (Some(&group), Some(&other)) = (
                family.rates[family.chosen].at(WhichCheckpoint::Last).last(),
                twin.rates[twin.chosen].at(WhichCheckpoint::Last).last(),
            ) else {
                continue;
            };
            rows.extend(size_row(estimates, large, (group, other)));
        }
    }
    rows
}

fn size_row(
    estimates: &Estimates<'_>,
    experiment: &Experiment,
    (group, other): (usize, usize),
) -> Option<Row> {
    let (group, other) = (&estimates.groups[group], &estimates.groups[other]);
    if group.uniform_copies != other.uniform_copies {
        return None;
    }
    let copies = most_copies(experiment, group);
    let find = |group: &RunGroup| {
        estimates
            .table
            .find(group.subject, Measure::OwnVerbatim, experiment.seen(), copies)
    };
    let estimate = independent_difference(find(group)?.estimate(), find(other)?.estimate())?;
    let key = Key::new(group.subject, &Measure::OwnVerbatim, experiment.seen(), copies).against(&other.model);
    let mut row = Row::plain(key, Measure::OwnVerbatim.unit(), estimate);
    let runs = |group: &RunGroup| estimates.subjects[group.subject].runs.clone();
    let p_values = runs(group).into_iter().filter_map(|run| {
        let cell = &estimates.cells[run.documents?];
        let mut others = runs(other).into_iter().filter_map(|run| run.documents);
        let twin = others.find(|&twin| estimates.cells[twin].data.cell.corpus == cell.data.cell.corpus)?;
        let first = cell
            .tallies
            .by_document(Measure::OwnVerbatim, experiment.seen(), copies);
        let twin = &estimates.cells[twin].tallies;
        let second = twin.by_document(Measure::OwnVerbatim, experiment.seen(), copies);
        let bootstrap = estimates.bootstrap;
        paired_exceeds(&pairs(&first, &second), bootstrap.resamples, bootstrap.seed).ok()
    });
    row.p_value = p_values.reduce(f64::max);
    row.p_holm = row.p_value;
    Some(row)
}

/// The largest and the smallest model of each corpus and layout.
fn model_pairs<'a>(estimates: &'a Estimates<'_>) -> Vec<(&'a Experiment, &'a Experiment)> {
    let mut pairs: Vec<(&Experiment, &Experiment)> = Vec::new();
    for large in &estimates.experiments {
        let alike = || {
            estimates
                .experiments
                .iter()
                .filter(|other| (&other.corpus, &other.layout) == (&large.corpus, &large.layout))
        };
        let largest = alike().all(|other| other.parameters <= large.parameters);
        let smallest = alike().min_by_key(|other| other.parameters);
        if let Some(small) = smallest.filter(|small| largest && small.parameters < large.parameters) {
            pairs.push((large, small));
        }
    }
    pairs
}

fn size_claim(estimates: &Estimates<'_>) -> PaperClaim {
    let mut figures = Vec::new();
    let mut found = Vec::new();
    for (large, small) in model_pairs(estimates) {
        let full = large
            .chosen(WhichCheckpoint::Last)
            .filter(|(family, _)| family.mode == "full");
        for (_, group) in full {
            let group = &estimates.groups[group];
            let copies = most_copies(large, group);
            let key =
                Key::new(group.subject, &Measure::OwnVerbatim, large.seen(), copies).against(&small.model);
            if let Some(shown) = estimates.table.get(&key) {
                found.push(rise_and_fall(shown.row));
                figures.push((
                    format!("{} compared with {}", name(estimates, group), small.model),
                    key,
                ));
            }
        }
    }
    PaperClaim {
        name: "paper_claim_1_size",
        says: "Full fine-tuning repeats more in larger models",
        outcome: by_rises(&found),
        figures,
        rule: "The largest model brings back more documents than the smallest, on the same documents, by McNemar’s exact test (5%).",
        takes: "Two models or more of one family and different size, tuned on the same documents.",
    }
}

fn near_zero_claim(estimates: &Estimates<'_>) -> PaperClaim {
    let mut figures = Vec::new();
    let (mut leaks, mut all_near_zero) = (false, true);
    for checkpoint in [WhichCheckpoint::Best, WhichCheckpoint::Last] {
        for (experiment, group) in chosen(estimates, &["head", "lora"], checkpoint) {
            let found = &estimates.groups[group];
            let copies = most_copies(experiment, found);
            let key = Key::new(found.subject, &Measure::OwnVerbatim, experiment.seen(), copies);
            let Some(shown) = estimates.table.get(&key) else {
                continue;
            };
            if figures.iter().any(|(_, known)| *known == key) {
                continue;
            }
            leaks |= estimates.verdicts.get(&group).is_some_and(|verdict| {
                verdict.verdict == Verdict::Leaks && verdict.leaks_by(Measure::OwnVerbatim)
            });
            all_near_zero &= shown.estimate().ends().is_some_and(|ends| ends.high <= NEAR_ZERO);
            // Where only all documents together exceed their controls, that is the figure.
            let own = estimates.verdicts.get(&group).map(|verdict| &verdict.own);
            let told = own.filter(|own| own.copies.is_none()).unwrap_or(&key).clone();
            figures.push((name(estimates, found), told));
        }
    }
    let outcome = match (figures.is_empty(), leaks, all_near_zero) {
        (false, true, _) => Outcome::Contradicted,
        (false, false, true) => Outcome::Reproduced,
        _ => Outcome::CannotTell,
    };
    PaperClaim {
        name: "paper_claim_2",
        says: "Head-only and LoRA tuning repeat next to nothing, at every size and number of copies",
        outcome,
        rule: "Contradicted where own documents come back more often than chance explains; reproduced where every interval ends at 5% or below.",
        takes: if figures.is_empty() {
            "Head-only or LoRA cells."
        } else {
            "About 60 documents with the most copies, so that none of them leaves room for 5% at most."
        },
        figures,
    }
}

fn similarity_claim(estimates: &Estimates<'_>) -> PaperClaim {
    let measure = Measure::Similarity(Against::Own);
    let mut figures = Vec::new();
    let (mut over, mut all_retained, mut all_under, mut none_retained) = (false, true, true, true);
    for (experiment, group) in chosen(estimates, &["head", "lora"], WhichCheckpoint::Last) {
        let found = &estimates.groups[group];
        let copies = most_copies(experiment, found);
        let key = Key::new(found.subject, &measure, experiment.seen(), copies);
        let difference = key.clone().against(UNTUNED);
        let (Some(shown), Some(raised)) = (estimates.table.get(&key), estimates.table.get(&difference))
        else {
            continue;
        };
        let (ends, raised) = (shown.estimate().ends(), raised.estimate().ends());
        over |= ends.is_some_and(|ends| ends.low > PAPER_SIMILARITY);
        all_under &= ends.is_some_and(|ends| ends.high < PAPER_SIMILARITY);
        all_retained &= raised.is_some_and(|ends| ends.low > 0.0);
        none_retained &= raised.is_some_and(|ends| ends.high <= 0.0);
        figures.push((name(estimates, found), key));
        figures.push((
            format!("{}, less the untuned model", name(estimates, found)),
            difference,
        ));
    }
    let outcome = if figures.is_empty() {
        Outcome::CannotTell
    } else if over || none_retained {
        Outcome::Contradicted
    } else if all_under && all_retained {
        Outcome::Reproduced
    } else {
        Outcome::CannotTell
    };
    PaperClaim {
        name: "paper_claim_3",
        says: "Head-only and LoRA tuning retain information in a less directly extractable form: similarity rises, and stays below 0.80",
        outcome,
        rule: "Mean similarity to the prompt’s own document: reproduced where each interval ends under 0.80 and lies over the untuned model’s; contradicted where one lies over 0.80, or none is raised.",
        takes: if figures.is_empty() {
            "Head-only or LoRA cells with an untuned model."
        } else {
            "More documents with the most copies."
        },
        figures,
    }
}

fn utility_claim(estimates: &Estimates<'_>) -> PaperClaim {
    let mut figures = Vec::new();
    let mut kept: Vec<Option<bool>> = Vec::new();
    for (experiment, group) in chosen(estimates, &["lora"], WhichCheckpoint::Best) {
        let lora = &estimates.groups[group];
        let mut full = experiment
            .chosen(WhichCheckpoint::Best)
            .filter(|(family, other)| {
                family.mode == "full" && estimates.groups[*other].uniform_copies == lora.uniform_copies
            });
        let Some((_, full)) = full.next() else { continue };
        let full = &estimates.groups[full];
        let loss = Key::new(lora.subject, &Measure::Loss, HELD_OUT, lora.uniform_copies).against(&full.label);
        let gain = Key::new(full.subject, &Measure::Loss, HELD_OUT, full.uniform_copies).against(UNTUNED);
        let (Some(lost), Some(gained)) = (estimates.table.get(&loss), estimates.table.get(&gain)) else {
            continue;
        };
        let most_lost = -LITTLE * gained.estimate().value;
        kept.push(match lost.estimate().ends() {
            _ if most_lost <= 0.0 => None,
            Some(ends) if ends.high <= most_lost => Some(true),
            Some(ends) if ends.low > most_lost => Some(false),
            _ => None,
        });
        figures.push((format!("{} less {}", name(estimates, lora), full.label), loss));
        figures.push((format!("{} less the untuned model", name(estimates, full)), gain));
    }
    let outcome = if !kept.is_empty() && kept.iter().all(|kept| *kept == Some(true)) {
        Outcome::Reproduced
    } else if !kept.is_empty() && kept.iter().all(|kept| *kept == Some(false)) {
        Outcome::Contradicted
    } else {
        Outcome::CannotTell
    };
    PaperClaim {
        name: "paper_claim_4",
        says: "LoRA loses little usefulness against full fine-tuning",
        outcome,
        figures,
        rule: "Loss on held-out text, each at its best checkpoint: little is at most a tenth of what full fine-tuning gains over the untuned model.",
        takes: "Full and LoRA cells with an untuned model, scored on held-out documents that full fine-tuning predicts better than the untuned model does.",
    }
}
