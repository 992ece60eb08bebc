//! Passages to look at: generation and source side by side, the shared part marked.

use contract::records::{Split, Verdict};
use maud::{Markup, html};

use super::{chip, visible};
use crate::analysis::{Analysis, Setting};
use crate::examples::{Example, Excerpt, examples};
use crate::findings::content_sentences;
use crate::format::times;

/// Characters of the prompt's end that are shown before a generation.
const PROMPT_TAIL: usize = 120;

pub(super) fn section(setting: &Setting, analysis: &Analysis<'_>, limit: usize) -> Markup {
    let classes = [
        (Verdict::Verbatim, "Verbatim", "The same words, in one run."),
        (
            Verdict::Paraphrase,
            "Paraphrase",
            "The same content in other words.",
        ),
        (
            Verdict::Idea,
            "Idea",
            "A passage spun out to at least three times its length.",
        ),
    ];
    html! {
        section {
            h2 { "Passages side by side" }
            p {
                "The longest of each class and way of tuning, no document twice. Left: what the model wrote after the prompt (in "
                "grey). Right: the training document. " mark { "Marked" } ": the part that they share."
            }
            @let content = content_sentences(setting, analysis);
            @if !content.is_empty() { p class="finding" { (visible(&content.join(" "))) } }
            @for (kind, name, meaning) in classes { (class(setting, analysis, limit, kind, name, meaning)) }
        }
    }
}

fn class(
    setting: &Setting,
    analysis: &Analysis<'_>,
    limit: usize,
    kind: Verdict,
    name: &str,
    meaning: &str,
) -> Markup {
    let found: Vec<(&str, &str, Vec<Example>)> = setting
        .shown()
        .map(|(label, series)| {
            let cells = series
                .cells
                .iter()
                .map(|&cell| (analysis.cells[cell].data, analysis.cells[cell].corpus));
            (label, series.mode.as_str(), examples(cells, kind, limit))
        })
        .collect();
    let none: Vec<String> = found
        .iter()
        .filter(|(.., examples)| examples.is_empty())
        .map(|(label, ..)| (*label).to_owned())
        .collect();
    html! {
        h3 { (name) " " small { (meaning) } }
        @for (label, mode, examples) in &found {
            @if let Some((first, rest)) = examples.split_first() {
                (example(first, label, mode))
                @if !rest.is_empty() {
                    details {
                        summary { (rest.len()) " more, " (label) }
                        @for further in rest { (example(further, label, mode)) }
                    }
                }
            }
        }
        @if !none.is_empty() { p class="note" { "None found: " (none.join(", ")) "." } }
    }
}

fn example(example: &Example, label: &str, mode: &str) -> Markup {
    let occurs = times(example.copies);
    let source = match (example.prompt_split, example.own_document) {
        (Split::Train, true) => format!("its own document, which occurs in the training text {occurs}"),
        (Split::Train, false) => {
            format!("another document than its prompt’s, which occurs in the training text {occurs}")
        }
        (Split::Heldout, _) => {
            format!("a document which occurs in the training text {occurs}, though its prompt was never seen")
        }
        (Split::None, _) => {
            format!("a document which occurs in the training text {occurs}, from no prompt")
        }
    };
    html! {
        article class="pair" {
            p class="where" {
                (chip(mode, label)) " · " (source) " · document " code { (visible(&example.doc_id)) }
                " · " code { (visible(&example.cell)) } ", " (visible(&example.strategy)) ", sample " (example.sample_id)
                @if let Some(documents) = example.document_frequency.filter(|documents| *documents > 1) {
                    " · occurs in " (documents) " training documents"
                }
                @if !example.personal_details.is_empty() {
                    " · " b { "personal details: " (visible(&example.personal_details.join(", "))) }
                }
            }
            div class="sides" {
                div {
                    h4 { "Generation" }
                    blockquote dir="auto" {
                        @if !example.generation.cut_before { span class="prompt" { (prompt_tail(&example.prompt)) } }
                        (excerpt(&example.generation))
                    }
                }
                div {
                    h4 { "Document" }
                    blockquote dir="auto" { (excerpt(&example.document)) }
                }
            }
        }
    }
}

fn prompt_tail(prompt: &str) -> String {
    let length = prompt.chars().count();
    let tail: String = prompt.chars().skip(length.saturating_sub(PROMPT_TAIL)).collect();
    visible(&if length > PROMPT_TAIL {
        format!("…{tail}")
    } else {
        tail
    })
}

fn excerpt(excerpt: &Excerpt) -> Markup {
    html! {
        @if excerpt.cut_before { "…" }
        @for (piece, shared) in &excerpt.pieces {
            @if *shared { mark { (visible(piece)) } } @else { (visible(piece)) }
        }
        @if excerpt.cut_after { "…" }
    }
}
