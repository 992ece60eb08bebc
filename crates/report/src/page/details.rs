//! Every figure of the table of estimates, folded: by measure, with a row for each model.

use std::collections::BTreeMap;

use contract::records::{CorpusFact, CorpusFactKind, Split};
use maud::{Markup, html};

use super::components::{Cell, Column, Figure, Form, Layout, Row, Table, details, visible};
use super::glossary::{Entry, entry_of};
use super::view::{View, copies_name};
use crate::estimate::{Experiment, Key, Shown};
use crate::findings::Sentence;
use crate::format::count;
use crate::plot::{Axis, Draw, Plot, Point, Series};

/// Parts of the section: heading, and beginnings of the names of its measures. What begins like none of them stands in the last.
const PARTS: [(&str, &[&str]); 8] = [
    (
        "Similarity of sentences",
        &[
            "max_similarity",
            "comparable_similarity",
            "own_similarity",
            "heldout_similarity",
            "without_sentence",
        ],
    ),
    (
        "Likeness to the true continuation",
        &["rouge_l", "bleu", "edit_similarity"],
    ),
    (
        "Extraction by probability",
        &[
            "extractable",
            "discoverable",
            "nearly_discoverable",
            "extraction_strength",
            "exact_memorization",
            "compress",
        ],
    ),
    ("Membership inference", &["membership", "largest_membership"]),
    (
        "Canaries and differential privacy",
        &["exposure", "canaries", "epsilon"],
    ),
    (
        "Usefulness and training",
        &[
            "loss",
            "validation_loss",
            "other_loss",
            "perplexity",
            "bits_per_byte",
            "logged",
            "epochs",
            "final_answer",
            "equal_loss",
        ],
    ),
    (
        "Corpus and checks",
        &[
            "documents",
            "near_duplicates",
            "text_chars",
            "validation_documents",
            "test_documents",
            "check_",
            "files",
            "guessed",
            "share_",
        ],
    ),
    ("What comes out", &[]),
];

/// Measures that begin like a part's, but belong to what comes out.
const COMES_OUT: [&str; 2] = ["documents_emitted", "documents_to_tell"];

/// `most`: figures that the page repeats from the summary; with more it would take megabytes that nobody reads in a browser.
pub(super) fn section(view: &View<'_>, glossary: &[Entry], most: usize) -> Markup {
    let figures = view.estimates.table.rows().count();
    html! {
        @if figures > most {
            p {
                "This report has " (count(figures as u64)) " figures, more than a page can hold: they are in " code { "summary.parquet" } " and "
                code { "summary.csv" } " beside it, and what was logged over training is drawn here."
            }
        } @else {
            p {
                "Every figure of this report, as " code { "summary.parquet" } " has it. Columns in which every figure is 0 are left out and named."
            }
        }
        (view.by_experiment(|experiment| html! {
            @if figures <= most { (of_experiment(view, experiment, glossary)) }
            (over_training(view, experiment))
        }))
        (what_was_read(view))
    }
}

fn of_experiment(view: &View<'_>, experiment: &Experiment, glossary: &[Entry]) -> Markup {
    let measures = measures(view, experiment);
    html! {
        @for part in std::iter::once(PARTS.len() - 1).chain(0..PARTS.len() - 1) {
            @let of_part: Vec<(&&str, &Vec<Shown<'_>>)> = measures.iter().filter(|(measure, _)| part_of(measure) == part).collect();
            @if !of_part.is_empty() {
                (details(PARTS[part].0, &html! {
                    @for (measure, rows) in of_part { (of_measure(view, measure, rows, glossary)) }
                }))
            }
        }
    }
}

fn part_of(measure: &str) -> usize {
    let comes_out = PARTS.len() - 1;
    if COMES_OUT.contains(&measure) {
        return comes_out;
    }
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| measure.starts_with(beginning));
    PARTS
        .iter()
        .position(|(_, beginnings)| begins(beginnings))
        .unwrap_or(comes_out)
}

/// The rows of an experiment at its checkpoints, by measure.
fn measures<'v>(view: &'v View<'_>, experiment: &Experiment) -> BTreeMap<&'v str, Vec<Shown<'v>>> {
    let groups = experiment.every_group();
    let mut found: BTreeMap<&str, Vec<Shown<'_>>> = BTreeMap::new();
    for shown in view.estimates.table.rows() {
        let key = &shown.row.key;
        let group = view.estimates.subjects[key.subject].group;
        if key.epoch.is_none() && groups.contains(&group) {
            found.entry(&key.measure).or_default().push(shown);
        }
    }
    found
}

/// What a column is about.
type ColumnKey = (Option<Split>, Option<String>, Option<i32>, Option<String>);

fn column_key(key: &Key, is_uniform: bool) -> ColumnKey {
    (
        key.split,
        key.strategy.clone(),
        key.copies.filter(|_| !is_uniform),
        key.against.clone(),
    )
}

fn of_measure(view: &View<'_>, measure: &str, rows: &[Shown<'_>], glossary: &[Entry]) -> Markup {
    let is_uniform = |subject: usize| view.estimates.group_of(subject).uniform_copies.is_some();
    let mut columns: Vec<ColumnKey> = Vec::new();
    let mut subjects: Vec<usize> = Vec::new();
    let mut cells: BTreeMap<(usize, ColumnKey), Shown<'_>> = BTreeMap::new();
    for shown in rows {
        let key = &shown.row.key;
        let column = column_key(key, is_uniform(key.subject));
        if !columns.contains(&column) {
            columns.push(column.clone());
        }
        if !subjects.contains(&key.subject) {
            subjects.push(key.subject);
        }
        cells.insert((key.subject, column), *shown);
    }
    let unit = rows.first().map_or("", |shown| shown.row.unit);
    let table = Table {
        caption: format!("{measure} ({unit})"),
        columns: std::iter::once(Column::new("Model"))
            .chain(columns.iter().map(|column| Column::new(column_name(column))))
            .collect(),
        rows: subjects
            .iter()
            .map(|&subject| Row {
                head: subject_head(view, subject),
                cells: columns
                    .iter()
                    .map(|column| cell(cells.get(&(subject, column.clone())).copied()))
                    .collect(),
            })
            .collect(),
        layout: Layout::Scroll,
    };
    let (table, empty) = table.without_empty_columns();
    html! {
        h4 {
            @match entry_of(glossary, measure) {
                Some(entry) => a class="term" href={ "#" (entry.anchor) } { code { (measure) } },
                None => code { (measure) },
            }
        }
        @if table.columns.len() > 1 { (table.render()) }
        (empty.note())
    }
}

/// A figure, and in a third line what may be said of it.
fn cell(shown: Option<Shown<'_>>) -> Cell {
    let Some(shown) = shown else {
        return Cell::not_measured("not measured of this model");
    };
    let is_difference = shown.row.key.against.is_some() && shown.row.unit == "share";
    let form = if is_difference {
        Form::Points
    } else {
        Form::of_unit(shown.row.unit)
    };
    Cell::shown(Some(Figure::from(shown)), form, "")
}

fn subject_head(view: &View<'_>, subject: usize) -> Markup {
    let found = &view.estimates.subjects[subject];
    let group = view.group(found.group);
    let is_one_of_several = group.run_subjects.len() > 1 && found.runs.len() == 1;
    html! {
        (view.row_head(found.group))
        @if is_one_of_several && let Some(seed) = found.seed { small class="second" { "seed " (seed) " alone" } }
    }
}

fn column_name((split, strategy, copies, against): &ColumnKey) -> String {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(match split {
        Some(Split::Train) => Some("training documents".to_owned()),
        Some(Split::Heldout) => Some("unseen documents".to_owned()),
        Some(Split::None) => Some("no document".to_owned()),
        None => None,
    });
    parts.extend(copies.map(copies_name));
    parts.extend(strategy.as_ref().map(|strategy| format!("“{strategy}”")));
    parts.extend(against.as_ref().map(|against| format!("less {against}")));
    if parts.is_empty() {
        parts.push("value".to_owned());
    }
    parts.join(", ")
}

/// What was logged over training: a plot of the validation loss, and every figure.
fn over_training(view: &View<'_>, experiment: &Experiment) -> Markup {
    let mut series: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    for group in experiment.every_group() {
        for shown in view.estimates.table.of_subject(view.group(group).subject) {
            let key = &shown.row.key;
            let Some(epoch) = key.epoch.map(f64::from_bits) else {
                continue;
            };
            let label = [Some(view.group(group).label.clone()), key.copies.map(copies_name)];
            let label: Vec<String> = label.into_iter().flatten().collect();
            let label = label.join(", ");
            let of_measure = series.entry(key.measure.clone()).or_default();
            if of_measure.last().is_none_or(|last| last.label != label) {
                of_measure.push(Series {
                    label,
                    style: view.style(group),
                    draw: Draw::Line,
                    ..Series::default()
                });
            }
            if let Some(last) = of_measure.last_mut() {
                let found = Figure::from(shown);
                last.points.push(Point {
                    x: Some(epoch),
                    y: found.estimate.value,
                    at: format!("epoch {epoch:.2}"),
                    shown: found.text(Form::of_unit(shown.row.unit)),
                    row: Some(found.row),
                    ..Point::default()
                });
            }
        }
    }
    let plots = series
        .into_iter()
        .enumerate()
        .filter_map(|(index, (measure, mut series))| {
            for one in &mut series {
                one.points
                    .sort_by(|left, right| left.x.unwrap_or(0.0).total_cmp(&right.x.unwrap_or(0.0)));
            }
            let plot = Plot {
                id: format!(
                    "plot-training-{}-{index}",
                    experiment
                        .name()
                        .replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
                ),
                finding: Sentence::new(measure),
                caption: "Over training, as logged.".to_owned(),
                across: Axis {
                    label: "epochs".to_owned(),
                    ..Axis::default()
                },
                up: Axis::default(),
                series,
                ..Plot::default()
            };
            plot.draw()
        });
    let plots: Vec<Markup> = plots.collect();
    html! { @if !plots.is_empty() { (details("Over training", &html! { div class="plots" { @for plot in &plots { (plot) } } })) } }
}

/// What reading left out, passed over, guessed, replaced or cut.
fn what_was_read(view: &View<'_>) -> Markup {
    let corpora = &view.estimates.facts.corpora;
    html! {
        @for corpus in corpora {
            @if let Some(facts) = corpus.reading.as_ref().filter(|facts| !facts.is_empty()) {
                (details(&format!("What was read of the corpus {}", visible(&corpus.name)), &reading(facts)))
            }
        }
    }
}

fn reading(facts: &[CorpusFact]) -> Markup {
    let rows = facts.iter().map(|fact| Row {
        head: html! { (fact_name(fact.fact)) },
        cells: vec![
            text(fact.reason.as_deref()),
            text(fact.split.map(|split| match split {
                Split::Train => "training",
                Split::Heldout => "unseen",
                Split::None => "both",
            })),
            text(fact.file.as_deref()),
            text(fact.detail.as_deref()),
            match fact.documents {
                Some(documents) => Cell::value(html! { (count(u64::try_from(documents).unwrap_or(0))) }),
                None => Cell::not_measured("not counted"),
            },
        ],
    });
    let table = Table {
        caption: "What reading found, left out, guessed or changed.".to_owned(),
        columns: [
            "What",
            "Reason",
            "Side",
            "File",
            "Where first, or what was guessed",
            "Documents",
        ]
        .map(Column::new)
        .to_vec(),
        rows: rows.collect(),
        layout: Layout::Scroll,
    };
    table.without_empty_columns().0.render()
}

fn text(text: Option<&str>) -> Cell {
    match text {
        Some(text) => Cell::value(html! { (visible(text)) }),
        None => Cell::not_measured("nothing to say"),
    }
}

fn fact_name(kind: CorpusFactKind) -> &'static str {
    match kind {
        CorpusFactKind::Read => "Documents found",
        CorpusFactKind::LeftOut => "Left out",
        CorpusFactKind::PassedOver => "File passed over",
        CorpusFactKind::Guessed => "Guessed",
        CorpusFactKind::Recognised => "Columns recognised",
        CorpusFactKind::TemplateOpening => "The chat template's opening",
        CorpusFactKind::Replaced => "Characters replaced by U+FFFD",
        CorpusFactKind::Cut => "Longer than what training reads",
        CorpusFactKind::Copies => "Occurred before, counted as copies",
        CorpusFactKind::Renamed => "Identity was taken, renamed",
        CorpusFactKind::NearDuplicates => "Near-duplicates of training text",
    }
}
