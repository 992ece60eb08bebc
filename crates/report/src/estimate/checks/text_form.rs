//! Texts that are not given as training had them are strange to the model, and nothing comes out.

use contract::records::TextForm;

use super::{Evidence, Finding, PlausibilityCheck};
use crate::format::{listing, number};

pub(super) const CHECK: PlausibilityCheck = PlausibilityCheck {
    name: "text_form",
    title: "Texts are given as training had them",
    // Where the pipeline tunes its models their form is known.
    applies: |evidence| {
        let data = evidence.cell.data;
        !evidence.is_untuned() && (data.forms.is_some() || data.cell.learning_rate.is_none())
    },
    find,
};

/// Nats per token by which another form must be likelier to count against the one that was used.
const CLEARLY: f64 = 0.05;

/// Nats per token within which two forms are about as likely.
const ABOUT_EQUAL: f64 = 0.01;

/// What a form is, in words: "begin `model`, template `alpaca`, end `newline`".
pub fn form_name(form: &TextForm) -> String {
    let template = form
        .template
        .as_deref()
        .map(|template| format!("template `{template}`"));
    let parts = [
        Some(format!("begin `{}`", form.begin)),
        template,
        Some(format!("end `{}`", form.end)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn find(evidence: &Evidence<'_>) -> Finding {
    if evidence.cell.data.cell.served.is_some() {
        return Finding::not_made(
            "an API gives no losses of texts; with `extraction.begin = \"auto\"` prompts begin with the token behind which most of some training \
             documents came back (`prompt` in samples.parquet has it)",
        );
    }
    let Some(forms) = &evidence.cell.data.forms else {
        return Finding::not_made(
            "no form but that of the settings was tried (`extraction.begin = \"auto\"` tries several)",
        );
    };
    let Some(chosen) = forms.iter().find(|form| form.chosen) else {
        return Finding::not_made("forms.parquet marks no form as chosen");
    };
    let documents = usize::try_from(chosen.documents).unwrap_or(0);
    let given = format!(
        "Texts are given with {}: loss {} over {documents} training documents",
        form_name(chosen),
        number(chosen.loss, 2)
    );
    if forms.iter().any(|form| !form.loss.is_finite()) {
        return Finding::failed(
            "losses are not finite",
            format!(
                "{given}. Some losses are not finite: the weights are damaged, or the precision is too low."
            ),
            documents,
        );
    }
    // What stands behind a text cannot change the loss of the text.
    let others = || {
        let other = |form: &&TextForm| (&form.begin, &form.template) != (&chosen.begin, &chosen.template);
        forms.iter().filter(other)
    };
    let likeliest = others().min_by(|left, right| left.loss.total_cmp(&right.loss));
    if let Some(other) = likeliest.filter(|other| other.loss < chosen.loss - CLEARLY) {
        return Finding::failed(
            "another form of the texts is likelier",
            format!(
                "{given}; with {} it is {}, so that training had them in that form, or in a third. Ask in the likeliest form.",
                form_name(other),
                number(other.loss, 2)
            ),
            documents,
        );
    }
    if let Some(untuned) = chosen
        .base_loss
        .filter(|untuned| chosen.loss >= untuned - CLEARLY)
    {
        let (in_brief, said) = (
            "the training text is not clearly likelier than under the untuned model (wrong template or file?)",
            format!(
                "{given}, {} under the untuned model. In none of the forms tried is this clearly what the model was tuned on: wrong \
                 template or file? Name the template of training (`corpus.template`).",
                number(untuned, 2)
            ),
        );
        return if chosen.loss >= untuned {
            Finding::failed(in_brief, said, documents)
        } else {
            Finding::warning(in_brief, said, documents)
        };
    }
    let close: Vec<String> = others()
        .filter(|other| (other.loss - chosen.loss).abs() <= ABOUT_EQUAL)
        .map(|other| format!("{} ({})", form_name(other), number(other.loss, 2)))
        .collect();
    if close.is_empty() {
        return Finding::passed(
            format!("{given}, the likeliest of {} forms.", forms.len()),
            documents,
        );
    }
    Finding::warning(
        "other forms of the texts are about as likely",
        format!(
            "{given}; about as likely: {}. The losses cannot say which of them training had: ask in each.",
            listing(&close)
        ),
        documents,
    )
}
