//! The page: the table, the documents most at risk, and how the risk is made.

use std::collections::HashMap;

use contract::Provenance;
use contract::records::DocumentCheck;
use maud::{DOCTYPE, Markup, html};
use page_parts::{Section, Severity, banner, contents, count, date, head, percent, visible};

use crate::risk;
use crate::summary::{Summary, details_of};

/// The whole page as HTML. It shows no text of the corpus but the `excerpts`, at most `excerpt_chars` characters each.
pub(crate) fn write(
    title: &str,
    summary: &Summary,
    listed: &[&DocumentCheck],
    excerpts: &HashMap<String, String>,
    excerpt_chars: usize,
    provenance: &Provenance,
) -> String {
    let identity = visible(&format!(
        "tuneleak · a look before tuning · {}",
        date(provenance.created)
    ));
    let section = |id, heading: &str, content| Section {
        id,
        heading: heading.to_owned(),
        content,
    };
    let sections = [
        section("corpus", "The corpus", table(summary)),
        section("risk", "Documents most at risk", at_risk(listed, excerpts)),
        section("score", "What the risk is, and how well it ranks", explanation()),
        section("next", "What to do", advice(summary)),
        section("reproduce", "Reproduce", reproduce(provenance)),
    ];
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(&html! { (visible(title)) " · a look before tuning" }, &identity))
            body {
                a class="skip" href="#corpus" { "To the table" }
                main {
                    header {
                        p class="kicker" { (identity) }
                        h1 { (visible(title)) }
                        (texts_banner(!excerpts.is_empty(), excerpt_chars))
                        (contents(&sections))
                    }
                    @for section in sections.iter().filter(|section| !section.is_empty()) { (section.render()) }
                }
                (page_parts::script())
            }
        }
    };
    page_parts::finished(page)
}

fn texts_banner(shows_texts: bool, excerpt_chars: usize) -> Markup {
    if shows_texts {
        let title = format!(
            "This page contains the first {excerpt_chars} characters of the documents that it lists."
        );
        banner(
            Severity::Warning,
            &title,
            &html! { p { "It holds no other text of the corpus. " code { "SET=check.excerpt_chars=0" } " leaves them out too." } },
        )
    } else {
        banner(
            Severity::Notice,
            "This page contains no text of the corpus.",
            &html! { p { "Names of documents and files are as they are." } },
        )
    }
}

fn table(summary: &Summary) -> Markup {
    html! {
        p class="lead" {
            (count(summary.documents as u64)) " different documents, " (count(summary.instances as u64)) " with their copies. Nothing was tuned."
        }
        table {
            caption { "Shares are of the different documents, unless it says otherwise." }
            thead { tr { th scope="col" { "What" } th scope="col" { "Number" } th scope="col" { "Share" } th scope="col" { "Which" } } }
            tbody {
                @for row in &summary.rows {
                    tr {
                        th scope="row" { (row.label.trim()) }
                        @match row.count {
                            Some((number, all)) => {
                                td class="f" { @if row.at_least { "≥ " } (count(number as u64)) }
                                td class="f" { @if all > 0 { (percent(number as f64 / all as f64)) } }
                            }
                            None => { td class="none" { "–" } td {} }
                        }
                        td { (visible(&row.remark)) }
                    }
                }
            }
        }
        @if !summary.remarks.is_empty() {
            ul { @for remark in &summary.remarks { li { (visible(remark)) } } }
        }
    }
}

fn at_risk(listed: &[&DocumentCheck], excerpts: &HashMap<String, String>) -> Markup {
    if listed.is_empty() {
        return html! { p { "No document has anything to learn." } };
    }
    html! {
        p class="note" {
            "The first " (listed.len()) " by risk; check.parquet has all. The order says which to look at first. It does not say that the others are safe."
        }
        div class="scroll" { table class="wide" {
            thead { tr {
                th scope="col" { "Document" } th scope="col" { "Risk" small { "bits" } } th scope="col" { "Copies" }
                th scope="col" { "Near copies" } th scope="col" { "Exposure" small { "bits" } } th scope="col" { "Loss before tuning" small { "nats per token" } }
                th scope="col" { "zlib" small { "bits a character" } } th scope="col" { "Personal details" }
                @if !excerpts.is_empty() { th scope="col" { "Begins" } }
            } }
            tbody { @for document in listed { (row(document, excerpts)) } }
        } }
    }
}

fn row(document: &DocumentCheck, excerpts: &HashMap<String, String>) -> Markup {
    let number = |value: Option<f32>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    let details: Vec<String> = details_of(document)
        .into_iter()
        .filter(|(_, found)| *found > 0)
        .map(|(kinds, found)| match found {
            1 => format!("1 {}", kinds.trim_end_matches('s')),
            _ => format!("{found} {kinds}"),
        })
        .collect();
    html! {
        tr {
            th scope="row" { (visible(&document.doc_id)) }
            td class="f" { (number(document.risk)) @if document.risk_by.as_deref() == Some(risk::BY_ZLIB) { " " small { "by zlib" } } }
            td class="f" { (document.copies) }
            td class="f" { @match document.near_copies {
                Some(near) => { @if document.near_copies_at_least { "≥ " } (near) }
                None => { "–" }
            } }
            td class="f" { (number(document.exposure_bits)) }
            td class="f" { (number(document.untuned_loss)) }
            td class="f" { (number(document.zlib_bits_per_char)) }
            td { (details.join(", ")) }
            @if !excerpts.is_empty() {
                td { (excerpts.get(&document.doc_id).map_or_else(String::new, |text| visible(text))) }
            }
        }
    }
}

/// How the score is made and what was measured of it: the figures are those of this crate's README.
fn explanation() -> Markup {
    html! {
        p {
            "risk = exposure − log" sub { "2" } " loss. The exposure is that of the most exposed 50 words of what carries loss: the mean, over their runs of eight words, of log"
            sub { "2" } " of the training instances that hold them. Copies, near copies and shared passages are one number so. The loss is that of "
            "the model before tuning, in nats per token, or zlib’s nats a character on its scale where a document was not scored. One bit "
            "more is twice the copies, or half the loss. No constant in it was fitted."
        }
        p {
            "Measured on two corpora with copies of 1 to 32 (a GPT-2 of 4 million parameters, tuned in full, asked greedily), Spearman’s rank "
            "correlation of the risk with the log-probability of the true continuation after tuning was 0.88 (0.86–0.90, MedQuAD, 619 "
            "documents) and 0.91 (0.89–0.93, arXiv cs.CR, 377 documents), with the characters that came out 0.76 and 0.76: no better than "
            "that of the number of copies alone. Where copies were not exact it was 0.56 (0.50–0.62), and that of the number of copies 0.19."
        }
        p {
            strong { "It says little of documents that occur once: " }
            "there it was 0.23 and 0.25 in the two corpora, by the loss before tuning; by zlib, without a model, 0.10 and 0.04, which is "
            "nothing. Of these documents none came out whole, and hard ones gained at least as much as easy ones. A low risk is no proof of "
            "safety. " code { "scripts/risk_correlation.py" } " measures it on a run of your own."
        }
    }
}

fn advice(summary: &Summary) -> Markup {
    let of = |label: &str| {
        let row = summary.rows.iter().find(|row| row.label.trim() == label);
        row.and_then(|row| row.count).map_or(0, |(number, _)| number)
    };
    html! {
        ul {
            @if of("copies") + of("near copies") > 0 {
                li { "Take out copies and near copies: what occurs once comes out far less often. nearest_doc_id in check.parquet names the other document." }
            }
            @if of("personal details") > 0 { li { "Take out or replace personal details that the model need not know; patterns find only some of them." } }
            @if of("no loss") > 0 { li { "Look at the documents without loss: a wrong column, template or context is the usual reason." } }
            @if of("cut by the context") > 0 { li { "What the context cuts is not trained: split long documents, or raise the context, if the model is to know it." } }
            @if of("held out, the same") + of("held out, near") > 0 { li { "Take held-out documents that are trained on, or nearly, out of one of the two: they make a model look safe." } }
            li { "After tuning, " code { "make audit" } " measures what comes out. This page does not." }
        }
    }
}

fn reproduce(provenance: &Provenance) -> Markup {
    html! {
        p { "Made by version " (visible(&provenance.program_version)) " from:" }
        ul { @for (role, digest) in &provenance.inputs { li { (visible(role)) ", xxh3-128 " code { (visible(digest)) } } } }
    }
}
