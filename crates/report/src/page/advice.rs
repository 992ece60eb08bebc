//! What was not tried, and what to do next: sentences that follow from facts of the run.

use std::collections::BTreeSet;

use contract::records::PromptForm;
use maud::{Markup, html};

use super::components::{Figure, Form, inline, inline_main, visible};
use crate::format::listing;

/// What the advice depends on.
#[derive(Debug, Clone, Default)]
pub struct RunFacts {
    /// Whether models were given as they are, not tuned by this run.
    pub is_audit: bool,
    /// Strategies that were used: their names, in the order of the pipeline file.
    pub strategies: Vec<String>,
    /// Attacks that were used.
    pub attacks: BTreeSet<&'static str>,
    /// Whether the untuned model was asked.
    pub has_untuned: bool,
    /// Whether there is held-out text.
    pub has_held_out: bool,
    /// Whether documents were scored, without which there is no loss, no membership inference and no exposure.
    pub has_scores: bool,
    /// Whether canaries were planted.
    pub has_canaries: bool,
    /// Where labels of personal details come from.
    pub personal_details: Labels,
    /// Fair non-members for membership inference.
    pub non_members: Option<Figure>,
    /// Training runs of each method, at most.
    pub seeds: usize,
    /// Learning rates of each method, at most.
    pub learning_rates: usize,
    /// Numbers of copies among the training documents.
    pub copies: Vec<i32>,
    /// Models of different size.
    pub models: usize,
    /// Training documents that gave a prompt, and all of them.
    pub skipped: Option<(Figure, Figure)>,
    /// Methods whose rate at the end of training exceeds that at their best checkpoint.
    pub overtrained: Vec<Overtrained>,
    /// Methods that repeat documents of many copies more than documents of one.
    pub by_copies: Vec<ByCopies>,
    /// Whether LoRA leaks less than full tuning at no worse held-out loss; none where the run does not show it.
    pub lora_leaks_less: Option<LessLeaking>,
    /// Methods of which nothing can be said at this number of documents: name, and documents that would tell.
    pub documents_needed: Vec<(String, Figure)>,
    /// Whether anything leaked.
    pub is_leaking: bool,
}

/// Where labels of personal details come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Labels {
    /// The user gave them.
    Given,
    /// Simple patterns.
    #[default]
    Patterns,
    /// There are none.
    Absent,
}

/// Ways of decoding that are attacks of their own, beside the forms of prompts.
pub mod decoding {
    /// The most probable tokens behind the beginnings of documents.
    pub const GREEDY: &str = "greedy decoding from the beginnings of documents";
    /// Several generations a prompt.
    pub const SAMPLING: &str = "random sampling";
    /// Several sequences kept at each step.
    pub const BEAM_SEARCH: &str = "beam search";
}

/// Every way of asking that any corpus allows, by its name: ways of decoding, and forms of prompts but for the plain one, the user's own, and
/// what only a chat template makes.
pub fn attacks() -> Vec<&'static str> {
    use PromptForm::{File, Prefix, TemplateOnly};
    let forms = PromptForm::ALL
        .into_iter()
        .filter(|form| !matches!(form, Prefix | File | TemplateOnly));
    let mut all = vec![decoding::GREEDY, decoding::SAMPLING, decoding::BEAM_SEARCH];
    for title in forms.map(|form| form.facts().title) {
        if !all.contains(&title) {
            all.push(title);
        }
    }
    all
}

/// A method that leaks more at the end than at its best checkpoint.
#[derive(Debug, Clone)]
pub struct Overtrained {
    /// Name of the method.
    pub method: String,
    /// Epoch of the best checkpoint; none where it is not known.
    pub best_epoch: Option<Figure>,
    /// The rate there.
    pub at_best: Figure,
    /// The rate at the end of training.
    pub at_end: Figure,
}

/// A method that repeats what has more copies.
#[derive(Debug, Clone)]
pub struct ByCopies {
    /// Name of the method.
    pub method: String,
    /// Fewest copies, and the rate there.
    pub fewest: (i32, Figure),
    /// Most copies, and the rate there.
    pub most: (i32, Figure),
}

/// A comparison that LoRA wins on both sides.
#[derive(Debug, Clone)]
pub struct LessLeaking {
    /// Name of the LoRA method.
    pub lora: String,
    /// Its rate less that of full tuning.
    pub difference: Figure,
    /// Its held-out loss less that of full tuning.
    pub loss_difference: Figure,
}

/// A piece of advice, or of what stays open.
#[derive(Debug, Clone)]
pub struct Advice {
    /// What it is about, in a few words.
    pub title: &'static str,
    /// The sentences.
    pub text: Markup,
}

/// What this run cannot show, each with what would show it.
pub fn not_tried(facts: &RunFacts) -> Vec<Advice> {
    let mut open = vec![Advice {
        title: "Safety",
        text: html! {
            "This does not show that a model is safe. It shows what these prompts and these ways of decoding brought out, and what this "
            "detector found in it."
        },
    }];
    let missing: Vec<String> = attacks()
        .into_iter()
        .filter(|attack| !facts.attacks.contains(attack))
        .map(str::to_owned)
        .collect();
    if !missing.is_empty() {
        open.push(Advice {
            title: "Attacks",
            text: html! {
                "Used: " (visible(&listing(&facts.strategies))) ". Not tried: " (listing(&missing)) ". "
                code { "pipelines/attacks.toml" } " has an example of each; put the strategies that matter to you into your own file."
            },
        });
    }
    if !facts.has_untuned {
        open.push(Advice {
            title: "Untuned model",
            text: html! {
                "The untuned model was not asked, so what tuning added cannot be distinguished from what the model knew before. "
                @if facts.is_audit { "Name it: " code { "make audit BASE=…" } "." } @else { "Keep the untuned model in the run." }
            },
        });
    }
    let members = facts.non_members.map_or(0, |found| found.estimate.value as u64);
    if !facts.has_held_out {
        open.push(Advice {
            title: "Held-out text",
            text: html! {
                "There is no text of the same kind that was not trained on, so there is no control, no held-out loss and no membership "
                "inference. " @if facts.is_audit { "Name such text: " code { "make audit HELD_OUT=…" } "." }
                @else { "Keep documents back: " code { "corpus.held_out" } "." }
            },
        });
    } else if facts.has_scores && members < NON_MEMBERS {
        open.push(Advice {
            title: "Members at 1% false alarms",
            text: html! {
                "There are "
                @match &facts.non_members { Some(found) => (inline_main(found, Form::Whole)), None => "no" }
                " unseen documents to test with; it takes " (NON_MEMBERS) " before 1% of them is one document."
            },
        });
    }
    if !facts.has_scores {
        open.push(Advice {
            title: "Scores",
            text: html! {
                "Documents were not scored, so there is no held-out loss by document, no membership inference and no exposure. Set "
                code { "extraction.score = true" } "."
            },
        });
    } else if !facts.has_canaries {
        open.push(Advice {
            title: "Canaries",
            text: html! {
                "No canaries were planted"
                @if facts.is_audit { " before training, so that this run has no positive control of its own." }
                @else { ", so that this run has no positive control of its own. Set " code { "canaries.per_copies" } "." }
            },
        });
    }
    match facts.personal_details {
        Labels::Given => {}
        Labels::Patterns => open.push(Advice {
            title: "Personal details",
            text: html! {
                "Personal details were looked for by simple patterns, which miss most names, so no rate is given. Give labels from a tool of "
                "your own as a Parquet file, or read the passages."
            },
        }),
        Labels::Absent => open.push(Advice {
            title: "Personal details",
            text: html! { "Nobody looked for personal details: read the passages." },
        }),
    }
    if let Some((asked, all)) = facts
        .skipped
        .filter(|(asked, all)| asked.estimate.value < all.estimate.value)
    {
        open.push(Advice {
            title: "Documents that could not be asked",
            text: html! {
                "Of " (inline_main(&all, Form::Whole)) " training documents " (inline_main(&asked, Form::Whole))
                " were asked; the others are too short for half a prompt and something behind it, or too long for the context. A smaller "
                code { "extraction.prefix_tokens" } " reaches them."
            },
        });
    }
    open.extend(training(facts));
    open
}

/// Unseen documents for a true-positive rate at 1% false positives.
const NON_MEMBERS: u64 = 100;

/// What one training run, one rate or one model leaves open.
fn training(facts: &RunFacts) -> Vec<Advice> {
    let mut open = Vec::new();
    if facts.is_audit {
        open.push(Advice {
            title: "Training runs",
            text: html! { "There is one checkpoint as it is: the intervals are about documents, not about training again." },
        });
        return open;
    }
    if facts.seeds < 2 {
        open.push(Advice {
            title: "Training runs",
            text: html! {
                "Each method was trained once, so every statement is about these checkpoints and none about a way of tuning. Give several "
                code { "seeds" } "."
            },
        });
    }
    if facts.learning_rates < 2 {
        open.push(Advice {
            title: "Equal usefulness",
            text: html! {
                "Each method ran at one learning rate, so a lower rate of leaks may only mean that less was learned. Give several values of "
                code { "learning_rate" } "."
            },
        });
    }
    if facts.copies.len() < 2 {
        open.push(Advice {
            title: "Copies",
            text: html! { "All documents have the same number of copies, so nothing is shown about repetition." },
        });
    }
    if facts.models < 2 {
        open.push(Advice {
            title: "Size",
            text: html! { "There is one model, so nothing is shown about how leaks grow with its size." },
        });
    }
    open
}

/// What to do, each only where the run gives reason to.
pub fn next_steps(facts: &RunFacts) -> Vec<Advice> {
    let mut steps = Vec::new();
    for method in &facts.overtrained {
        steps.push(Advice {
            title: "Stop earlier",
            text: html! {
                (visible(&method.method)) ": "
                @match method.best_epoch {
                    Some(epoch) => { "stop at epoch " (inline_main(&epoch, Form::Whole)) ", where the loss on validation text was lowest. " },
                    None => "use the checkpoint with the lowest loss on validation text. ",
                }
                "It repeats " (inline(&method.at_best, Form::Count)) " there and " (inline(&method.at_end, Form::Count)) " at the end."
            },
        });
    }
    for method in &facts.by_copies {
        let ((fewest, low), (most, high)) = (&method.fewest, &method.most);
        steps.push(Advice {
            title: "Remove duplicates",
            text: html! {
                (visible(&method.method)) " repeats " (inline_main(high, Form::Count)) " documents with " (most) " copies and "
                (inline_main(low, Form::Count)) " with " (copies(*fewest)) ". Keep one copy of each text in the training set."
            },
        });
    }
    if let Some(comparison) = &facts.lora_leaks_less {
        steps.push(Advice {
            title: "Tune with LoRA",
            text: html! {
                (visible(&comparison.lora)) " leaks less than full tuning here, by " (inline(&comparison.difference, Form::Points))
                ", at no worse held-out loss (difference " (inline(&comparison.loss_difference, Form::Number(2))) " nats per token)."
            },
        });
    }
    for (method, documents) in &facts.documents_needed {
        steps.push(Advice {
            title: "Ask more documents",
            text: html! {
                (visible(method)) ": too few documents to decide. About " (inline_main(documents, Form::Whole)) " training documents and as many unseen ones would."
            },
        });
    }
    if facts.is_leaking {
        steps.push(Advice {
            title: "Before anybody else gets the model",
            text: html! {
                "Read the passages. Take out of the training set what must not come out, tune again, and run this report on the new model: an "
                "output filter alone does not stop prompts in another form."
            },
        });
    }
    steps
}

fn copies(copies: i32) -> String {
    if copies == 1 {
        "1 copy".to_owned()
    } else {
        format!("{copies} copies")
    }
}

/// Advice as a list of terms.
pub fn render(advice: &[Advice]) -> Markup {
    html! {
        @if !advice.is_empty() {
            dl class="advice" { @for item in advice { div { dt { (item.title) } dd { (item.text) } } } }
        }
    }
}
