//! Every training document that came out of a model, the most severe first, each with a passage to look at.

use std::cmp::Reverse;

use maud::{Markup, html};

use super::components::{chip, visible};
use super::excerpt::{AlignedPassage, Excerpt, Mark, marked, redacted};
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

/// A training document of which a passage came out.
#[derive(Debug, Clone)]
pub struct LeakedDocument {
    /// Its identity.
    pub doc_id: String,
    /// Its own copies in the training set.
    pub copies: i32,
    /// How often training passed over it: copies × epochs, where that is known.
    pub passes: Option<f64>,
    /// Characters of the longest passage.
    pub longest_chars: usize,
    /// What identifies a person in what came out.
    pub personal_details: PersonalDetails,
    /// Training documents that hold the passage, where that was counted.
    pub document_frequency: Option<i32>,
    /// How it came out, each way once.
    pub routes: Vec<Route>,
    /// The longest passage, with its surroundings; none where the texts are not at hand.
    pub passage: Option<Passage>,
}

/// What is known of personal details in a document's passages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PersonalDetails {
    /// Kinds by labels that the user gave; none: the labels have nothing there.
    Labelled(Vec<String>),
    /// Kinds by simple patterns, which miss most names.
    ByPattern(Vec<String>),
    /// Nobody looked.
    Unknown,
}

impl PersonalDetails {
    fn kinds(&self) -> &[String] {
        match self {
            Self::Labelled(kinds) | Self::ByPattern(kinds) => kinds,
            Self::Unknown => &[],
        }
    }
}

/// A way by which a document came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Name of the method, and of the checkpoint where there are several.
    pub method: String,
    /// Its look.
    pub style: SeriesStyle,
    /// Name of the decoding strategy.
    pub strategy: String,
    /// What the model was prompted with.
    pub prompt: PromptOf,
    /// Generations that held a passage of the document.
    pub generations: usize,
}

/// What a prompt was made from: what somebody must have to bring the passage out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PromptOf {
    /// From nothing but the token that begins a text.
    Nothing,
    /// From text that the model was not trained on, or from a question that anybody could ask.
    UnseenText,
    /// From another training document.
    OtherDocument,
    /// From the document itself.
    OwnDocument,
}

impl PromptOf {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no prompt",
            Self::UnseenText => "text it had not seen",
            Self::OtherDocument => "another training document",
            Self::OwnDocument => "its own beginning",
        }
    }
}

/// Texts of a passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The prompt.
    pub prompt: String,
    /// What the model wrote.
    pub generation: String,
    /// The training document.
    pub document: String,
    /// Passages of the two that were aligned; the first is the one to look at.
    pub aligned: Vec<AlignedPassage>,
    /// Where it is found: cell, strategy and number of the sample.
    pub sample: String,
}

impl LeakedDocument {
    /// Documents with personal details come first, then those for which an attacker needs least, then those of the longest passage.
    fn severity(&self) -> (bool, Option<PromptOf>, Reverse<usize>, &str) {
        let needs_least = self.routes.iter().map(|route| route.prompt).min();
        (
            self.personal_details.kinds().is_empty(),
            needs_least,
            Reverse(self.longest_chars),
            &self.doc_id,
        )
    }
}

/// The list of leaked documents. In the redacted edition texts keep their shape alone.
pub fn list(documents: &[LeakedDocument], is_redacted: bool) -> Markup {
    let mut sorted: Vec<&LeakedDocument> = documents.iter().collect();
    sorted.sort_by(|left, right| left.severity().cmp(&right.severity()));
    let by_pattern = documents
        .iter()
        .any(|document| matches!(document.personal_details, PersonalDetails::ByPattern(_)));
    let is_unknown = documents
        .iter()
        .all(|document| document.personal_details == PersonalDetails::Unknown);
    html! {
        @if sorted.is_empty() {
            p { "No training document came out of any model." }
        } @else {
            p {
                "Documents in which personal details were found come first, then those that came out of a prompt which takes least knowledge "
                "of the data, then those with the longest passage. In the texts, " mark { "underlined" } " words are the same in the same "
                "order; " span class="aligned" { "shaded" } " text is aligned with them but differs; "
                (prompt_end()) " stands where the prompt ends."
            }
            @if by_pattern {
                p class="note" {
                    "Kinds of personal details were found by simple patterns, which miss most names and flag some words that are none: read the "
                    "passages. Labels of your own can be given as a Parquet file."
                }
            } @else if is_unknown {
                p class="note" { "Nobody looked for personal details in these passages: read them." }
            }
            @if is_redacted {
                p class="note" { "Redacted edition: letters and digits of every text are blocked out; lengths are kept." }
            }
            ol class="leaks" {
                @for (index, document) in sorted.iter().enumerate() {
                    li { (row(document, index, is_redacted)) }
                }
            }
            @if sorted.len() > MAX_PASSAGES {
                p class="note" {
                    "Texts are shown of the first " (MAX_PASSAGES) " documents; those of the other " (sorted.len() - MAX_PASSAGES)
                    " are in matches.parquet and samples.parquet."
                }
            }
        }
    }
}

fn row(document: &LeakedDocument, index: usize, is_redacted: bool) -> Markup {
    let passage = document.passage.as_ref().filter(|_| index < MAX_PASSAGES);
    html! {
        @match passage {
            Some(passage) => details open[index == 0] {
                summary { (summary(document)) }
                (sides(document, passage, is_redacted))
            },
            None => div class="leak-alone" { (summary(document)) },
        }
    }
}

fn summary(document: &LeakedDocument) -> Markup {
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
                    (chip(route.style, &route.method)) ", " (visible(&route.strategy)) ", from " (route.prompt.name())
                }
                @if document.routes.len() > MAX_NAMED { "; " (document.routes.len() - MAX_NAMED) " more ways" }
            }
            @if !kinds.is_empty() { span class="leak-details" { (visible(&kinds.join(", "))) } }
        }
    }
}

fn plain(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn sides(document: &LeakedDocument, passage: &Passage, is_redacted: bool) -> Markup {
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
            (visible(&passage.sample))
            @if let Some(documents) = document.document_frequency.filter(|documents| *documents > 1) {
                " · the passage occurs in " (documents) " training documents"
            }
            @if document.routes.len() > 1 {
                " · came out by: "
                @for (index, route) in document.routes.iter().enumerate() {
                    @if index > 0 { "; " }
                    (visible(&route.method)) ", " (visible(&route.strategy)) ", from " (route.prompt.name())
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
