//! The form in which training wrote texts: what stood before them, and how it joined prompt and response.
//!
//! A model that was tuned elsewhere may have read its texts behind another BOS, or in another template, than the corpus' and the
//! tokenizer's own. Asked in the wrong form it gives back little of what it knows. So some training documents are scored in every
//! form that is common, and the likeliest is taken ([`choice::likeliest`]); each form with its loss is a row of `forms.parquet`.

pub mod choice;
mod losses;
pub mod templates;

use std::path::Path;

use causal_lm::{CausalLm, Config};
use contract::pipeline::Begin;
use contract::records::TextForm;
use contract::{Error, parquet};
use text_tokens::TextTokenizer;

use choice::{FormLoss, best_of, likeliest};
use losses::Trial;
use templates::Template;

use crate::LoadedModel;

pub(crate) use losses::TrialTexts;

/// The likeliest forms whose loss under the untuned model is measured, beside the corpus' own.
const COMPARED_WITH_BASE: usize = 6;

/// Forms that were not taken whose loss is shown, at most.
const OTHERS_SHOWN: usize = 4;

/// What comes before a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextBegin {
    /// The special tokens that the tokenizer puts there of its own accord, which may be none.
    Tokenizer,
    /// The model's BOS, or else its EOS.
    Model,
    /// Nothing.
    None,
}

impl TextBegin {
    /// All of them. Of those that are the same tokens for a model, the first is the one that is named.
    pub const ALL: [Self; 3] = [Self::Tokenizer, Self::Model, Self::None];

    /// Its name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokenizer => "tokenizer",
            Self::Model => "model",
            Self::None => "none",
        }
    }

    /// The tokens.
    ///
    /// # Errors
    /// [`Error::Run`] where the tokenizer cannot say how it begins texts.
    pub fn bos(self, config: &Config, tokenizer: &TextTokenizer) -> Result<Vec<i64>, Error> {
        Ok(match self {
            Self::Tokenizer => tokenizer.own_bos()?,
            Self::Model => vec![config.bos_token_id],
            Self::None => Vec::new(),
        })
    }
}

impl From<Begin> for TextBegin {
    /// `auto` begins as the tokenizer does, until something else is found to be likelier.
    fn from(begin: Begin) -> Self {
        match begin {
            Begin::Model => Self::Model,
            Begin::Tokenizer | Begin::Auto => Self::Tokenizer,
        }
    }
}

/// A form of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// What comes before them.
    pub begin: TextBegin,
    /// The template around prompt and response; none: as the corpus has them.
    pub template: Option<&'static Template>,
}

impl Form {
    /// Of conversations that a chat template rendered: they are complete.
    pub const RENDERED: Self = Self {
        begin: TextBegin::None,
        template: None,
    };

    /// The corpus' own form behind what the settings name.
    pub fn of_corpus(begin: Begin) -> Self {
        Self {
            begin: begin.into(),
            template: None,
        }
    }
}

impl std::fmt::Display for Form {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let template = self.template.map_or("as in the corpus", |template| template.name);
        write!(formatter, "begin {}, template {template}", self.begin.name())
    }
}

/// The form that training is taken to have used, with a row for each that was tried, the likeliest first. None where no training
/// document is long enough to tell. `model` is let go of before `untuned` is loaded: weights are held of one at a time.
///
/// # Errors
/// [`Error::Run`] where LibTorch or the tokenizer fails, and those of `untuned`.
pub(crate) fn find(
    model: LoadedModel,
    context: Option<usize>,
    texts: &TrialTexts,
    untuned: impl FnOnce() -> Result<Option<CausalLm>, Error>,
) -> Result<Option<(Form, Vec<TextForm>)>, Error> {
    let Some(trial) = Trial::new(&model, context, texts)? else {
        return Ok(None);
    };
    let tokens = trial.tokens();
    let mut losses = trial.losses(&model.model)?;
    let end_of_best = |wanted: &dyn Fn(&Form) -> bool| match best_of(&losses, tokens, wanted) {
        Some(best) => losses::end(&model, context, texts, losses[best].form),
        None => Ok("nothing"),
    };
    // Which of the two is chosen the untuned model has a say in.
    let (end_in_own, end_in_other) = (
        end_of_best(&|form| form.template.is_none())?,
        end_of_best(&|form| form.template.is_some())?,
    );
    drop(model);
    losses.sort_by(|one, other| one.loss(tokens).total_cmp(&other.loss(tokens)));
    if let Some(untuned) = untuned()? {
        // Those that may be chosen, and some to compare with.
        let compared = losses
            .iter_mut()
            .enumerate()
            .filter(|(number, loss)| *number < COMPARED_WITH_BASE || loss.form.template.is_none());
        trial.add_base_losses(&untuned, compared.map(|(_, loss)| loss))?;
    }
    let Some(form) = likeliest(&losses, tokens).map(|place| losses[place].form) else {
        return Ok(None);
    };
    let end = if form.template.is_none() {
        end_in_own
    } else {
        end_in_other
    };
    report_choice(&losses, tokens, form, end);
    let row = |loss: &FormLoss| TextForm {
        begin: loss.form.begin.name().to_owned(),
        template: loss.form.template.map(|template| template.name.to_owned()),
        end: end.to_owned(),
        documents: tokens.len() as i64,
        tokens: tokens.iter().sum::<usize>() as i64,
        loss: loss.loss(tokens),
        base_loss: loss.base_loss(tokens),
        chosen: loss.form == form,
    };
    Ok(Some((form, losses.iter().map(row).collect())))
}

/// Says which form was taken, and how likely the likeliest others are.
fn report_choice(losses: &[FormLoss], tokens: &[usize], form: Form, end: &str) {
    let (chosen, others): (Vec<&FormLoss>, Vec<&FormLoss>) =
        losses.iter().partition(|loss| loss.form == form);
    let Some(chosen) = chosen.first() else { return };
    let shown: Vec<String> = others
        .iter()
        .enumerate()
        .filter(|(number, loss)| *number < OTHERS_SHOWN || loss.form == Form::of_corpus(Begin::Tokenizer))
        .map(|(_, loss)| format!("{:.3} ({})", loss.loss(tokens), loss.form))
        .collect();
    tracing::info!(
        "training wrote texts like this: {form}, end {end}; loss of {} training documents {:.3} nats per token, otherwise {}; {} more \
         forms in forms.parquet",
        tokens.len(),
        chosen.loss(tokens),
        shown.join(", "),
        others.len() - shown.len(),
    );
    if let Some(base) = chosen
        .base_loss(tokens)
        .filter(|base| *base <= chosen.loss(tokens))
    {
        tracing::warn!(
            "the untuned model finds the same text no less likely ({base:.3} nats per token): this does not look like what the model \
             was tuned on"
        );
    }
}

/// The form that `forms.parquet` of another run says was chosen; the corpus' own where that run found no text long enough to try.
///
/// # Errors
/// [`Error::Input`] where the file cannot be read, does not say of exactly one form that it was chosen, or has a name that is not known.
pub fn read_chosen(file: &Path) -> Result<Form, Error> {
    let rows = parquet::read_all::<TextForm>(file)?;
    if rows.is_empty() {
        return Ok(Form::of_corpus(Begin::Auto));
    }
    let chosen: Vec<&TextForm> = rows.iter().filter(|row| row.chosen).collect();
    let [row] = chosen[..] else {
        let problem = format!("expected one form that was chosen, found {}", chosen.len());
        return Err(Error::input(file, problem));
    };
    let mut begins = TextBegin::ALL.into_iter();
    let begin = begins.find(|begin| begin.name() == row.begin).ok_or_else(|| {
        let problem = format!(
            "begin: expected tokenizer, model or none, found \"{}\"",
            row.begin
        );
        Error::input(file, problem)
    })?;
    let template = match &row.template {
        None => None,
        Some(name) => Some(templates::named(name).ok_or_else(|| {
            let known: Vec<&str> = templates::TEMPLATES
                .iter()
                .map(|template| template.name)
                .collect();
            let problem = format!("template: expected one of {}; found \"{name}\"", known.join(", "));
            Error::input(file, problem)
        })?),
    };
    Ok(Form { begin, template })
}
