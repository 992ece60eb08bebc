//! The page: one file that needs no other and no network. It says everything without its script too.
//!
//! It is read from the top: the answer, the table that decides, what was tested, whether the test could see anything, what leaked, two
//! plots, attackers, what to do next; then everything else, folded, the words, and how to make it again. Every figure is a view of a
//! row of the table of estimates and says of which ([`components`]). Every text that comes from a corpus, a model or a file name goes
//! through maud's escaping, and its control characters through [`visible`].

pub mod advice;
pub mod components;
pub mod excerpt;
pub mod glossary;
pub mod passages;

mod answer;
mod attackers;
mod can_this_test_see;
mod details;
mod identity;
mod key_table;
mod next;
mod paper;
mod plots;
mod reproduce;
mod view;

use contract::{PipelineFile, Provenance};
use maud::{DOCTYPE, Markup, html};

pub use components::visible;

use crate::estimate::Estimates;
use components::{Section, Severity, banner, contents, head};
use glossary::{Entry, GlossaryFacts};
use view::View;

/// What stands over the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// The title.
    pub title: String,
    /// What is asked, in a line; may be empty.
    pub description: String,
    /// The pipeline's name.
    pub name: String,
    /// Leaked documents whose texts are unfolded when the page opens.
    pub unfolded: usize,
    /// Most figures that the page repeats from the summary.
    pub figures: usize,
    /// Version of the program.
    pub version: String,
    /// The day on which the report was made, as 2026-03-01, in UTC.
    pub date: String,
}

impl Heading {
    /// The heading that a pipeline file asks for.
    pub fn of(pipeline: &PipelineFile, provenance: &Provenance) -> Self {
        let title = if pipeline.report.title.is_empty() {
            &pipeline.name
        } else {
            &pipeline.report.title
        };
        Self {
            title: title.clone(),
            description: pipeline.description.clone(),
            name: pipeline.name.clone(),
            unfolded: pipeline.report.examples,
            figures: pipeline.report.figures,
            version: provenance.program_version.clone(),
            date: page_parts::date(provenance.created),
        }
    }
}

/// The whole page as HTML; in the redacted edition every text of a corpus or a model keeps its shape alone.
pub fn write(
    heading: &Heading,
    estimates: &Estimates<'_>,
    provenance: &Provenance,
    is_redacted: bool,
) -> String {
    let view = View::new(estimates, is_redacted);
    let sections = sections(&view, heading, provenance);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(&html! { (visible(&heading.title)) " · tuneleak report" }, &identity_line(heading, estimates)))
            body {
                a class="skip" href="#answer" { "To the answer" }
                main {
                    header {
                        p class="kicker" { (identity_line(heading, estimates)) }
                        h1 { (visible(&heading.title)) }
                        (banners(&view))
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

/// Whether the page shows texts that a redacted edition leaves out.
pub fn shows_texts(estimates: &Estimates<'_>) -> bool {
    !estimates.passages.is_empty()
}

/// What the page is about in a line.
fn identity_line(heading: &Heading, estimates: &Estimates<'_>) -> String {
    let mut models: Vec<String> = Vec::new();
    for experiment in &estimates.experiments {
        if !models.contains(&experiment.model) {
            models.push(experiment.model.clone());
        }
    }
    visible(&format!(
        "tuneleak report · {} · {} · {}",
        crate::format::listing(&models),
        heading.name,
        heading.date
    ))
}

fn banners(view: &View<'_>) -> Markup {
    html! {
        @if shows_texts(view.estimates) {
            @if view.is_redacted {
                (banner(Severity::Notice, "Redacted edition: the texts are blocked out.", &html! {
                    p { "Names of documents, models and files are as they are." }
                }))
            } @else {
                (banner(Severity::Warning, "This page contains training text.", &html! {
                    p {
                        "To pass it on is to pass on the data. Redacted edition: "
                        a href="report-redacted.html" { "report-redacted.html" } "."
                    }
                }))
            }
        }
        (can_this_test_see::banner(view))
    }
}

fn sections(view: &View<'_>, heading: &Heading, provenance: &Provenance) -> Vec<Section> {
    let glossary = glossary_entries(view);
    let section = |id, heading: &str, content| Section {
        id,
        heading: heading.to_owned(),
        content,
    };
    vec![
        section("answer", "Answer", answer::section(view)),
        section("key-figures", "Key figures", key_table::section(view)),
        section("tested", "What was tested", identity::section(view, heading)),
        section(
            "test",
            "Can this test see anything?",
            can_this_test_see::section(view),
        ),
        section(
            "leaked",
            "What leaked",
            passages::list(&view.estimates.passages, view, heading.unfolded, view.is_redacted),
        ),
        section("why", "Why", plots::section(view)),
        section(
            "attackers",
            "Attackers, by what they have",
            attackers::section(view),
        ),
        section(
            "next",
            "What was not tried, and what to do next",
            next::section(view),
        ),
        section("paper", "The paper's claims", paper::section(view)),
        section(
            "details",
            "Details",
            details::section(view, &glossary, heading.figures),
        ),
        section("glossary", "Glossary", glossary::render(&glossary)),
        section(
            "reproduce",
            "Reproduce",
            reproduce::section(view, heading, provenance),
        ),
    ]
}

fn glossary_entries(view: &View<'_>) -> Vec<Entry> {
    let facts = &view.estimates.facts;
    let detection = facts.detection.as_ref();
    let prompting = facts.prompting.first();
    let epochs = view
        .estimates
        .groups
        .iter()
        .filter_map(|group| group.method.epochs)
        .reduce(f64::max);
    glossary::entries(&GlossaryFacts {
        preset: detection.map_or_else(|| "ours".to_owned(), |detection| detection.preset.clone()),
        verbatim_chars: detection.map(|detection| detection.verbatim_chars),
        boilerplate_documents: detection.map(|detection| detection.boilerplate_documents),
        prefix_tokens: prompting.and_then(|prompting| prompting.prefix_tokens),
        new_tokens: prompting.and_then(|prompting| prompting.new_tokens),
        epochs: epochs.map(|epochs| epochs.to_string()),
        canary_references: facts
            .corpora
            .iter()
            .find_map(|corpus| corpus.canary_references.filter(|_| corpus.canaries > 0)),
    })
}
