//! What was read of the corpus, and how its texts were given to the model.

use std::collections::{BTreeMap, BTreeSet};

use contract::records::{CorpusFact, CorpusFactKind, Split, TextForm};
use maud::{Markup, html};

use super::{cell, table, visible};
use crate::analysis::Analysis;
use crate::checks::labelled_cells;
use crate::format::{count, number, percent};
use crate::run::Corpus;

/// What reading left out, passed over, guessed, replaced or cut: a table for each corpus; those of the same files once.
pub(super) fn what_was_read(analysis: &Analysis<'_>) -> Markup {
    let mut corpora: Vec<(&str, &Corpus)> = Vec::new();
    for cell in &analysis.cells {
        let known = corpora
            .iter()
            .any(|(_, corpus)| corpus.facts == cell.corpus.facts);
        if cell.corpus.facts.is_some() && !known {
            corpora.push((&cell.data.cell.corpus, cell.corpus));
        }
    }
    html! {
        @if !corpora.is_empty() {
            section {
                h2 { "What was read" }
                @for (name, corpus) in &corpora {
                    @if corpora.len() > 1 { h3 { (visible(name)) } }
                    p { (summary(corpus)) }
                    @let caption = if corpora.len() > 1 { format!("What was read, {name}") } else { "What was read".to_owned() };
                    (table(&caption, &facts(corpus)))
                }
            }
        }
    }
}

fn summary(corpus: &Corpus) -> String {
    let left_out = corpus.documents_of(CorpusFactKind::LeftOut).unwrap_or(0);
    match corpus.documents_of(CorpusFactKind::Read) {
        Some(read) if read > 0 => format!(
            "{} of {} documents ({}) were left out, and are in no figure of this page; {} of them could not be read.",
            count(left_out),
            count(read),
            percent(left_out as f64 / read as f64),
            count(corpus.unreadable_documents())
        ),
        _ => format!(
            "{} documents were left out, and are in no figure of this page.",
            count(left_out)
        ),
    }
}

/// Facts that differ in their file alone, as a row.
struct FactRow<'a> {
    documents: Option<u64>,
    files: BTreeSet<&'a str>,
    detail: Option<&'a str>,
}

fn facts(corpus: &Corpus) -> Markup {
    let mut rows: BTreeMap<(CorpusFactKind, Option<&str>, Option<&str>), FactRow<'_>> = BTreeMap::new();
    for fact in corpus.facts.iter().flatten() {
        let row = rows
            .entry((fact.fact, fact.reason.as_deref(), fact.split.map(side)))
            .or_insert_with(|| FactRow {
                documents: None,
                files: BTreeSet::new(),
                detail: None,
            });
        add(row, fact);
    }
    let read = corpus.documents_of(CorpusFactKind::Read).filter(|read| *read > 0);
    html! {
        thead { tr {
            th scope="col" { "What" }
            th scope="col" { "Reason" }
            th scope="col" { "Side" }
            th scope="col" { "Files" }
            th scope="col" { "Where first, or what was guessed" }
            th scope="col" class="n" { "Documents" }
            th scope="col" class="n" { "Share" small { "of those found" } }
        } }
        tbody {
            @for ((kind, reason, side), row) in rows {
                tr {
                    th scope="row" { (name(kind)) }
                    td { (visible(reason.unwrap_or("–"))) }
                    td { (side.unwrap_or("–")) }
                    td { (visible(&files(&row.files))) }
                    td { (visible(row.detail.unwrap_or("–"))) }
                    (cell(row.documents.map(|documents| (count(documents), None))))
                    (cell(row.documents.zip(read).map(|(documents, read)| (percent(documents as f64 / read as f64), None))))
                }
            }
        }
    }
}

fn add<'a>(row: &mut FactRow<'a>, fact: &'a CorpusFact) {
    if let Some(documents) = fact.documents.and_then(|documents| u64::try_from(documents).ok()) {
        *row.documents.get_or_insert(0) += documents;
    }
    row.files.extend(fact.file.as_deref());
    row.detail = row.detail.or(fact.detail.as_deref());
}

fn side(split: Split) -> &'static str {
    match split {
        Split::Train => "training",
        Split::Heldout => "held-out",
        Split::None => "–",
    }
}

fn files(names: &BTreeSet<&str>) -> String {
    match names.first() {
        None => "–".to_owned(),
        Some(first) if names.len() == 1 => (*first).to_owned(),
        Some(first) => format!("{first} and {} more", names.len() - 1),
    }
}

fn name(kind: CorpusFactKind) -> &'static str {
    match kind {
        CorpusFactKind::Read => "Documents found",
        CorpusFactKind::LeftOut => "Left out",
        CorpusFactKind::PassedOver => "File passed over",
        CorpusFactKind::Guessed => "Guessed",
        CorpusFactKind::Replaced => "Characters replaced by U+FFFD",
        CorpusFactKind::Cut => "Longer than what training reads",
        CorpusFactKind::Copies => "Occurred before, counted as copies",
        CorpusFactKind::Renamed => "Identity was taken, renamed",
        CorpusFactKind::NearDuplicates => "Near-duplicates of training text",
    }
}

/// The forms that were tried, with the loss of the same training documents in each.
pub(super) fn forms(analysis: &Analysis<'_>) -> Markup {
    let mut tried: Vec<(String, &[TextForm])> = Vec::new();
    for (label, cell) in labelled_cells(analysis) {
        if let Some(forms) = &analysis.cells[cell].data.forms {
            tried.push((label, forms));
        }
    }
    html! {
        @if !tried.is_empty() {
            section {
                h2 { "How texts were given to the model" }
                p {
                    "A model brings out a text that begins as its training text began. Loss of the same training documents in each form "
                    "that training may have used, in nats per token: the lower, the likelier that training had them so."
                }
                (table("How texts were given to the model", &forms_table(&tried)))
            }
        }
    }
}

fn forms_table(tried: &[(String, &[TextForm])]) -> Markup {
    html! {
        thead { tr {
            th scope="col" { "Model" }
            th scope="col" { "Begin" }
            th scope="col" { "Template" }
            th scope="col" { "End" }
            th scope="col" { "Used" }
            th scope="col" class="n" { "Documents" }
            th scope="col" class="n" { "Loss" }
            th scope="col" class="n" { "Untuned loss" }
        } }
        tbody {
            @for (label, forms) in tried {
                @for form in *forms {
                    tr {
                        th scope="row" { (visible(label)) }
                        td { (visible(&form.begin)) }
                        td { (visible(form.template.as_deref().unwrap_or("–"))) }
                        td { (visible(&form.end)) }
                        td { @if form.chosen { strong { "used" } } }
                        (cell(Some((form.documents.to_string(), None))))
                        (cell(Some((number(form.loss, 2), None))))
                        (cell(form.base_loss.map(|loss| (number(loss, 2), None))))
                    }
                }
            }
        }
    }
}
