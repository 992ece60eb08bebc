//! Every training document that came out of a model, the most severe first, each with a passage to look at.

use std::cmp::Reverse;

use contract::records::Verdict;
use maud::{Markup, html};

use super::components::{chip, details, visible};
use super::excerpt::{Excerpt, Mark, marked, redacted};
use crate::estimate::passages::{LeakedDocument, Passage, PersonalDetails, PromptOf};
use crate::plot::SeriesStyle;

/// Characters of the document shown on either side of the passage.
const CONTEXT: usize = 160;

/// Most characters shown of a document, of a generation and of a prompt's end.
const MAX_DOCUMENT: usize = 2400;
const MAX_GENERATION: usize = 2400;
const MAX_PROMPT: usize = 400;

/// Documents whose passages are printed on the page; of further ones the row stands alone.
const MAX_PASSAGES: usize = 1000;

/// Ways by which a document came out that are named in its row.
const MAX_NAMED: usize = 3;

impl PromptOf {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no prompt",
            Self::UnseenText => "text that it had not seen, or of no document",
            Self::OtherDocument => "another training document",
            Self::OwnDocument => "its own document",
        }
    }
}

impl LeakedDocument {
    /// What came out word for word comes first; then documents with personal details, those for which an attacker needs least, and
    /// those of the longest passage.
    fn severity(&self) -> (bool, bool, Option<PromptOf>, Reverse<usize>, &str) {
        let needs_least = self.routes.iter().map(|route| route.prompt).min();
        (
            self.class != Verdict::Verbatim,
            self.personal_details.kinds().is_empty(),
            needs_least,
            Reverse(self.longest_chars),
            &self.doc_id,
        )
    }
}

/// How the models of routes are named: for the number of a group its name and look.
pub trait Names {
    /// Name of a group, with its look.
    fn name(&self, group: usize) -> (String, SeriesStyle);
}

/// The list of leaked documents. In the redacted edition texts keep their shape alone.
pub fn list(documents: &[LeakedDocument], names: &dyn Names, unfolded: usize, is_redacted: bool) -> Markup {
    let mut sorted: Vec<&LeakedDocument> = documents.iter().collect();
    sorted.sort_by(|left, right| left.severity().cmp(&right.severity()));
    let word_for_word = sorted
        .iter()
        .take_while(|document| document.class == Verdict::Verbatim)
        .count();
    let (verbatim, other) = sorted.split_at(word_for_word);
    html! {
        @if verbatim.is_empty() {
            p { "No training document came out word for word, in a passage that counts, of any tuned model." }
        } @else {
            p {
                (verbatim.len()) @if verbatim.len() == 1 { " training document" } @else { " training documents" }
                " came out word for word. Those in which personal details were found come first, then those that came out of a prompt "
                "which takes least knowledge of the data, then those with the longest passage."
            }
        }
        @if !sorted.is_empty() {
            p {
                "In the texts, " mark { "underlined" } " words are the same in the same order; "
                span class="aligned" { "shaded" } " text is aligned with them but differs; " (prompt_end()) " stands where the prompt ends."
            }
            (notes(documents))
            @if is_redacted {
                p class="note" { "Redacted edition: letters and digits of every text are blocked out; lengths are kept." }
            }
        }
        (rows(verbatim, 0, names, unfolded, is_redacted))
        @if !other.is_empty() {
            @let summary = format!("{} further documents came out in other words; their details may differ from the source", other.len());
            (details(&summary, &rows(other, verbatim.len(), names, unfolded, is_redacted)))
        }
        @if sorted.len() > MAX_PASSAGES {
            p class="note" {
                "Texts are shown of the first " (MAX_PASSAGES) " documents; those of the other " (sorted.len() - MAX_PASSAGES)
                " are in matches.parquet and samples.parquet."
            }
        }
    }
}

/// What is known of personal details.
fn notes(documents: &[LeakedDocument]) -> Markup {
    let by_pattern = documents
        .iter()
        .any(|document| matches!(document.personal_details, PersonalDetails::ByPattern(_)));
    let is_unknown = documents
        .iter()
        .all(|document| document.personal_details == PersonalDetails::Unknown);
    html! {
        @if by_pattern {
            p class="note" {
                "Kinds of personal details were found by simple patterns, which miss most names and flag some words that are none: read the "
                "passages. Labels of your own can be given as a Parquet file ("
                code { "detection.personal_details" } ")."
            }
        } @else if is_unknown {
            p class="note" { "Nobody looked for personal details in these passages: read them." }
        }
    }
}

/// Rows of the list; `before` documents stand before them on the page.
fn rows(
    documents: &[&LeakedDocument],
    before: usize,
    names: &dyn Names,
    unfolded: usize,
    is_redacted: bool,
) -> Markup {
    html! {
        @if !documents.is_empty() {
            ol class="leaks passages" {
                @for (index, document) in documents.iter().enumerate() {
                    li {
                        @if before + index < MAX_PASSAGES {
                            details open[before + index < unfolded] {
                                summary { (summary(document, names)) }
                                (sides(document, names, is_redacted))
                            }
                        } @else {
                            div class="leak-alone" { (summary(document, names)) }
                        }
                    }
                }
            }
        }
    }
}

fn summary(document: &LeakedDocument, names: &dyn Names) -> Markup {
    let kinds = document.personal_details.kinds();
    html! {
        span class="leak" {
            span class="leak-id" { code { (visible(&document.doc_id)) } }
            span class="leak-copies" {
                (document.copies) @if document.copies == 1 { " copy" } @else { " copies" }
                @if let Some(passes) = document.passes { ", " (plain(passes)) @if passes == 1.0 { " pass" } @else { " passes" } }
            }
            span class="leak-length" { (document.longest_chars) " characters" }
            span class="leak-routes" {
                @for (index, route) in document.routes.iter().take(MAX_NAMED).enumerate() {
                    @if index > 0 { "; " }
                    @let (name, style) = names.name(route.group);
                    (chip(style, &name)) ", " (visible(&route.strategy)) ", from " (route.prompt.name())
                }
                @if document.routes.len() > MAX_NAMED { "; " (document.routes.len() - MAX_NAMED) " more ways" }
                @if document.from_untuned_too { ". The untuned model wrote a passage of it too" }
            }
            @if !kinds.is_empty() { span class="leak-details" { (visible(&kinds.join(", "))) } }
        }
    }
}

fn plain(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn sides(document: &LeakedDocument, names: &dyn Names, is_redacted: bool) -> Markup {
    let passage: &Passage = &document.passage;
    let (generation, source) = marked(
        &passage.prompt,
        &passage.generation,
        &passage.document,
        &passage.aligned,
    );
    let focus = passage
        .aligned
        .first()
        .map_or(0..source.chars(), |aligned| aligned.document.clone());
    let edition = |excerpt: Excerpt| if is_redacted { excerpt.redacted() } else { excerpt };
    let generation = edition(generation.beginning(MAX_GENERATION));
    let source = edition(source.around(focus, CONTEXT, MAX_DOCUMENT));
    html! {
        div class="sides" {
            div {
                h4 { "Prompt " (prompt_end()) " generation" }
                blockquote dir="auto" { (prompt(&passage.prompt, is_redacted)) (prompt_end()) (excerpt(&generation)) }
            }
            div {
                h4 { "Training document " code { (visible(&document.doc_id)) } }
                blockquote dir="auto" { (excerpt(&source)) }
            }
        }
        p class="note" {
            (visible(&passage.cell)) ", " (visible(&passage.strategy)) ", sample " (passage.sample_id)
            @if let Some(documents) = document.document_frequency.filter(|documents| *documents > 1) {
                " · the passage occurs in " (documents) " training documents"
            }
            @if document.routes.len() > 1 {
                " · came out by: "
                @for (index, route) in document.routes.iter().enumerate() {
                    @if index > 0 { "; " }
                    (visible(&names.name(route.group).0)) ", " (visible(&route.strategy)) ", from " (route.prompt.name())
                    " (" (route.generations) @if route.generations == 1 { " generation)" } @else { " generations)" }
                }
            }
        }
    }
}

fn prompt_end() -> Markup {
    html! { span class="prompt-end" title="the prompt ends here" { span aria-hidden="true" { "│" } span class="unseen" { " (end of the prompt) " } } }
}

/// The end of the prompt.
fn prompt(text: &str, is_redacted: bool) -> Markup {
    let length = text.chars().count();
    let left_out = length.saturating_sub(MAX_PROMPT);
    let tail: String = text.chars().skip(left_out).collect();
    let tail = if is_redacted {
        redacted(&tail)
    } else {
        visible(&tail)
    };
    html! { span class="prompt" { @if left_out > 0 { (left_out_note(left_out)) } (tail) } }
}

fn excerpt(excerpt: &Excerpt) -> Markup {
    html! {
        @if excerpt.cut_before > 0 { (left_out_note(excerpt.cut_before)) }
        @for (piece, kind) in &excerpt.pieces {
            @match kind {
                Mark::Same => mark { (visible(piece)) },
                Mark::Aligned => span class="aligned" { (visible(piece)) },
                Mark::None => (visible(piece)),
            }
        }
        @if excerpt.cut_after > 0 { (left_out_note(excerpt.cut_after)) }
    }
}

fn left_out_note(characters: usize) -> Markup {
    html! { span class="cut" { "[… " (characters) @if characters == 1 { " character …]" } @else { " characters …]" } } }
}
