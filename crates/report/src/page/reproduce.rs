//! How to make the report again: commands, settings, digests.

use contract::Provenance;
use maud::{Markup, html};

use super::Heading;
use super::components::{definitions, details, visible};
use super::view::View;
use crate::estimate::Experiment;

pub(super) fn section(view: &View<'_>, heading: &Heading, provenance: &Provenance) -> Markup {
    let facts = &view.estimates.facts;
    let is_audit = view.estimates.experiments.iter().any(Experiment::is_audit);
    html! {
        p { "In the folder of tuneleak, version " (heading.version) ":" }
        @if is_audit { (audit_command(view)) } @else {
            pre { "make run PIPELINE=" (visible(&heading.name)) ".toml" }
            p class="note" { "The pipeline file is the one with " code { "name = \"" (visible(&heading.name)) "\"" } "; only what is not there yet is made." }
        }
        p {
            "Beside this page stand " code { "summary.parquet" } " (every figure; the number of its row is the " code { "value" } " of each figure's "
            code { "<data>" } " element here) and the files of the run. Seed " (provenance.seed) "."
        }
        @for settings in &facts.settings {
            (details(
                &format!("Settings of {} (version {}), {} file{}", settings.stage, settings.version, settings.of.len(), if settings.of.len() == 1 { "" } else { "s" }),
                &html! { p class="note" { (visible(&settings.of.join("; "))) } pre { (visible(&pretty(&settings.settings))) } },
            ))
        }
        (details("Settings of this report", &html! { pre { (visible(&pretty(&provenance.configuration))) } }))
        @if !facts.digests.is_empty() {
            (details("Digests (xxh3-128) of the files that stages read", &definitions(
                &facts.digests.iter().map(|(role, digest)| (html! { (visible(role)) }, html! { code { (digest) } })).collect::<Vec<_>>(),
            )))
        }
        (details("Digests (xxh3-128) of the files that this report read", &definitions(
            &provenance.inputs.iter().map(|(role, digest)| (html! { (visible(role)) }, html! { code { (digest) } })).collect::<Vec<_>>(),
        )))
    }
}

/// The command of an audit with what the files say of its variables.
fn audit_command(view: &View<'_>) -> Markup {
    let facts = &view.estimates.facts;
    let path = |is_untuned: bool| {
        let models = facts.models.iter();
        let mut models = models.filter(|model| view.group(model.group).method.is_untuned() == is_untuned);
        models.find_map(|model| model.path.clone())
    };
    let files: Vec<String> = facts
        .corpora
        .iter()
        .flat_map(|corpus| &corpus.files)
        .map(|(file, _)| file.split_once(": ").map_or(file.clone(), |(_, name)| name.to_owned()))
        .collect();
    html! {
        pre {
            "make audit CHECKPOINT=" (visible(path(false).as_deref().unwrap_or("…")))
            @if let Some(base) = path(true) { " BASE=" (visible(&base)) }
            " CORPUS=…"
            @if facts.corpora.iter().any(|corpus| corpus.held_out > 0) { " HELD_OUT=…" }
        }
        p class="note" { "Files of the corpus: " @for (index, file) in files.iter().enumerate() { @if index > 0 { ", " } code { (visible(file)) } } ". " }
    }
}

fn pretty(json: &str) -> String {
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(json);
    parsed
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| json.to_owned())
}
