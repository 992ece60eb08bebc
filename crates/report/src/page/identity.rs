//! What was tested: models, corpora, prompts, and when.

use maud::{Markup, html};

use super::Heading;
use super::components::{definitions, visible};
use super::view::{View, capital, copies_name};
use crate::estimate::facts::{CorpusFacts, PromptFacts};
use crate::format::{count, listing, parameters};

pub(super) fn section(view: &View<'_>, heading: &Heading) -> Markup {
    let estimates = view.estimates;
    let mut entries: Vec<(Markup, Markup)> = Vec::new();
    for model in &estimates.facts.models {
        let group = view.group(model.group);
        entries.push((
            html! { (capital(&group.label)) },
            html! {
                @match &model.path {
                    Some(path) => code { (visible(path)) },
                    None => { "model " (visible(&group.model)) },
                }
                ", " (parameters(group.parameters)) " parameters"
                @if group.trainable_parameters > 0 { ", " (parameters(group.trainable_parameters)) " of them tuned" }
                "; cell " code { (visible(&model.cell)) }
                @if let Some(digest) = &model.digest { ", checkpoint xxh3-128 " code { (digest) } }
            },
        ));
    }
    for corpus in &estimates.facts.corpora {
        entries.push((html! { "Training data" }, corpus_entry(corpus)));
    }
    for prompting in &estimates.facts.prompting {
        entries.push((html! { "Prompts" }, prompts(prompting, estimates.facts.prompting.len() > 1)));
    }
    entries.push((
        html! { "Report" },
        html! {
            "tuneleak " (heading.version) ", " time datetime=(heading.date) { (heading.date) } ", pipeline "
            code { (visible(&heading.name)) }
        },
    ));
    html! {
        @if !heading.description.is_empty() { p { (visible(&heading.description)) } }
        (definitions(&entries))
    }
}

fn corpus_entry(corpus: &CorpusFacts) -> Markup {
    let documents: usize = corpus.training.iter().map(|(_, documents)| documents).sum();
    let by_copies: Vec<String> = corpus
        .training
        .iter()
        .map(|(copies, documents)| format!("{} with {}", count(*documents as u64), copies_name(*copies)))
        .collect();
    html! {
        @for (index, (file, digest)) in corpus.files.iter().enumerate() {
            @if index > 0 { ", " }
            code { (visible(file.split_once(": ").map_or(file, |(_, name)| name))) } " (xxh3-128 " code { (digest) } ")"
        }
        @if corpus.files.is_empty() { code { (visible(&corpus.name)) } }
        ": " (count(documents as u64)) " training documents (" (listing(&by_copies)) "), "
        (count(corpus.held_out as u64)) " documents kept out of training"
        @if corpus.canaries > 0 { ", " (corpus.canaries) " planted canaries" }
    }
}

fn prompts(prompting: &PromptFacts, names_cells: bool) -> Markup {
    html! {
        @if let Some(tokens) = prompting.prefix_tokens { "the first " (tokens) " tokens of each document" }
        @else { "made by another program" }
        @match prompting.begin.as_deref() {
            Some("auto") => ", with or without the model's BOS token as the training loss decides",
            Some("model") => ", behind the model's BOS token",
            Some("tokenizer") => ", begun as the tokenizer begins a text",
            Some(other) => { ", begun by " code { (visible(other)) } },
            None => "",
        }
        @if let Some(tokens) = prompting.new_tokens { "; up to " (tokens) " tokens generated" }
        @if !prompting.strategies.is_empty() { "; " (visible(&prompting.strategies.join("; "))) }
        @if names_cells { ". Of: " (visible(&prompting.cells.join(", "))) }
    }
}
