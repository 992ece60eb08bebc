//! Which form is taken: the likeliest, unless the corpus' own or the tokenizer's is about as likely.

use super::{Form, TextBegin};

/// A template other than the corpus' own is taken where it spares more nats per token than this.
const TEMPLATE_MARGIN: f64 = 0.05;

/// And where the loss is at most this share of that in the corpus' own form, by the same comparison under the untuned model: what a
/// template does for a model that never saw it is no sign of training.
const MAX_SHARE_OF_BASE: f64 = 0.95;

/// And where it is at most this share, if the untuned model is not known.
const MAX_SHARE: f64 = 0.85;

/// What the tokenizer puts before a text is given up where another beginning spares more nats per token than this.
const BEGIN_MARGIN: f64 = 0.01;

/// A form and its loss.
#[derive(Debug, Clone)]
pub struct FormLoss {
    /// The form.
    pub form: Form,
    /// Nats of each document's text.
    pub nats: Vec<f64>,
    /// The same under the untuned model, where it is known.
    pub base_nats: Option<Vec<f64>>,
}

impl FormLoss {
    /// Nats per token, where the documents' texts have so many in the corpus' own form.
    pub fn loss(&self, tokens: &[usize]) -> f64 {
        per_token(&self.nats, tokens)
    }

    /// The same under the untuned model, where it is known.
    pub fn base_loss(&self, tokens: &[usize]) -> Option<f64> {
        self.base_nats.as_ref().map(|nats| per_token(nats, tokens))
    }
}

fn per_token(nats: &[f64], tokens: &[usize]) -> f64 {
    nats.iter().sum::<f64>() / tokens.iter().sum::<usize>() as f64
}

/// The place of the form that training is taken to have used. `tokens` are those of each document's text in the corpus' own form.
///
/// The corpus' own template is given up only where another one is likelier by [`TEMPLATE_MARGIN`], in most documents, and by more
/// than it is under the untuned model; with the template that this leaves, what the tokenizer puts before a text only where something
/// else is likelier by [`BEGIN_MARGIN`] and in most documents. None where there is no form.
pub fn likeliest(losses: &[FormLoss], tokens: &[usize]) -> Option<usize> {
    let own = best_of(losses, tokens, |form| form.template.is_none());
    let any = best_of(losses, tokens, |_| true)?;
    let best = own
        .filter(|&own| !is_trained_template(&losses[any], &losses[own], tokens))
        .unwrap_or(any);
    let as_tokenizer = Form {
        begin: TextBegin::Tokenizer,
        template: losses[best].form.template,
    };
    let incumbent = losses.iter().position(|loss| loss.form == as_tokenizer);
    let keeps = |&place: &usize| !is_clearly_likelier(&losses[best], &losses[place], tokens, BEGIN_MARGIN);
    Some(incumbent.filter(keeps).unwrap_or(best))
}

/// The place of the form with the lowest loss, the first of them where several share it, among those that are wanted.
pub(super) fn best_of(
    losses: &[FormLoss],
    tokens: &[usize],
    wanted: impl Fn(&Form) -> bool,
) -> Option<usize> {
    let places = (0..losses.len()).filter(|&place| wanted(&losses[place].form));
    places.min_by(|&one, &other| losses[one].loss(tokens).total_cmp(&losses[other].loss(tokens)))
}

/// Whether `form`, in another template than the corpus', is one that the model was trained in.
fn is_trained_template(form: &FormLoss, own: &FormLoss, tokens: &[usize]) -> bool {
    let max_share = match (form.base_loss(tokens), own.base_loss(tokens)) {
        (Some(base), Some(own)) => MAX_SHARE_OF_BASE * (base / own).min(1.0),
        _ => MAX_SHARE,
    };
    is_clearly_likelier(form, own, tokens, TEMPLATE_MARGIN)
        && form.loss(tokens) <= max_share * own.loss(tokens)
}

/// Whether `one` is likelier than `other` by more than `margin` nats per token, and in most documents.
fn is_clearly_likelier(one: &FormLoss, other: &FormLoss, tokens: &[usize], margin: f64) -> bool {
    let likelier = one
        .nats
        .iter()
        .zip(&other.nats)
        .filter(|(one, other)| one < other);
    let in_most = 2 * likelier.count() > one.nats.len();
    in_most && other.loss(tokens) - one.loss(tokens) > margin
}
