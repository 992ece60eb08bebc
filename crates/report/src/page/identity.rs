//! What was tested: models, corpora, prompts, and when.

use maud::{Markup, html};

use super::Heading;
use super::components::{definitions, details, visible};
use super::view::{View, copies_name};
use crate::estimate::Experiment;
use crate::estimate::facts::{CorpusFacts, ModelFacts, PromptFacts};
use crate::findings::capital;
use crate::format::{count, listing, parameters};

pub(super) fn section(view: &View<'_>, heading: &Heading) -> Markup {
    let estimates = view.estimates;
    let mut entries: Vec<(Markup, Markup)> = Vec::new();
    for experiment in &estimates.experiments {
        entries.push((html! { "Model" }, model(view, experiment)));
    }
    for corpus in &estimates.facts.corpora {
        entries.push((html! { "Training data" }, corpus_entry(corpus)));
    }
    for prompting in &estimates.facts.prompting {
        entries.push((
            html! { "Prompts" },
            prompts(prompting, estimates.facts.prompting.len() > 1),
        ));
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
        div class="settings" {
            (definitions(&entries))
            (details("Checkpoints with their digests", &definitions(&checkpoints(view))))
        }
    }
}

/// A model and what became of it.
fn model(view: &View<'_>, experiment: &Experiment) -> Markup {
    let mut methods: Vec<String> = Vec::new();
    for group in experiment.shown().into_iter().map(|group| view.group(group)) {
        let mut parts = vec![group.method_label.clone()];
        if group.trainable_parameters > 0 {
            parts.push(format!(
                "{} parameters tuned",
                parameters(group.trainable_parameters)
            ));
        }
        let is_named = group.method_label.contains("learning rate");
        parts.extend(
            group
                .method
                .learning_rate
                .filter(|_| !is_named)
                .map(|rate| format!("learning rate {rate:e}")),
        );
        parts.extend(
            group
                .method
                .epochs
                .map(|epochs| format!("{epochs} {}", if epochs == 1.0 { "epoch" } else { "epochs" })),
        );
        let method = parts.join(", ");
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    let of_model = view
        .estimates
        .facts
        .models
        .iter()
        .filter(|found| view.group(found.group).model == experiment.model);
    let mut paths: Vec<&str> = of_model
        .clone()
        .filter_map(|found| found.path.as_deref())
        .collect();
    paths.dedup();
    let mut remarks: Vec<String> = of_model.flat_map(weights_remarks).collect();
    remarks.sort();
    remarks.dedup();
    html! {
        strong { (visible(&experiment.model)) }
        @for path in &paths { " " code { (visible(path)) } }
        @if experiment.parameters > 0 { ", " (parameters(experiment.parameters)) " parameters" }
        ": " (visible(&methods.join("; ")))
        @for remark in &remarks { ". " (visible(remark)) }
    }
}

/// What a reader must know of the weights: how they are stored, and on which base an adapter was put.
fn weights_remarks(model: &ModelFacts) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(served) = &model.served {
        remarks.push(format!(
            "It is served elsewhere and was asked over its API ({served}): what stands behind that name may change, and neither its weights \
             nor probabilities of texts were seen, so that nothing is known of membership"
        ));
    }
    let whose = if model.base.is_some() {
        "The base’s weights"
    } else {
        "Its weights"
    };
    if let Some(stored) = &model.stored {
        remarks.push(format!(
            "{whose} are stored in {stored}; it was asked with the numbers that these stand for"
        ));
    }
    if let (Some(base), Some(named)) = (&model.base, &model.named_base) {
        remarks.push(format!(
            "The adapter names {named} as its base and was put on {base}: where these differ, so does what it repeats"
        ));
    }
    remarks
}

/// Every checkpoint that was asked.
fn checkpoints(view: &View<'_>) -> Vec<(Markup, Markup)> {
    let models = view.estimates.facts.models.iter();
    models
        .map(|model| {
            let name = html! { (visible(&capital(&view.group(model.group).label))) };
            let meaning = html! {
                "cell " code { (visible(&model.cell)) }
                @if let Some(path) = &model.path { ", " code { (visible(path)) } }
                @if let Some(served) = &model.served { ", " (visible(served)) }
                @if let Some(base) = &model.base { " on " code { (visible(base)) } }
                @if let Some(stored) = &model.stored { ", stored in " (visible(stored)) }
                @if let Some(digest) = &model.digest { ", xxh3-128 " code { (digest) } }
            };
            (name, meaning)
        })
        .collect()
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
        @if let Some(tokens) = prompting.prefix_tokens {
            "the first " (tokens) " tokens of each document"
            @if prompting.is_answer_alone { ", where it has a question all of that and the first " (tokens) " tokens of the answer" }
            ", down to half of them where it ends soon"
        }
        @else { "made by another program" }
        @match prompting.begin.as_deref() {
            Some("auto") if prompting.is_served => ", behind the token, if any, that brought back most of some training documents, and cut between words",
            Some(_) if prompting.is_served => ", cut between words",
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
