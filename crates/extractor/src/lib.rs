//! Stage 3: what a model writes when it is given the beginning of a document, and how probable it finds the rest.
//!
//! [`extract`] is the whole stage. With `begin = "auto"` the form in which training wrote texts is found out first ([`forms`]).
//! Documents are read as far as training read them ([`documents`]); those that the tokenizer gives back otherwise than they are
//! written go to `decoded.parquet`, so that generations are compared with what a model can write. Prompts are the first tokens of
//! training documents and, as the control, of held-out ones ([`prompts`]); [`sampling::SamplingParams`] truncate the model's
//! distribution as transformers does; generations come from batches that share the work of reading each prompt once. The scoring
//! pass then reads the documents themselves, and so gives the probability of a continuation without drawing it.
//!
//! A sample's random numbers follow from the seed, its document, strategy and number alone, so that results do not depend
//! on the size of batches, up to rounding in the logits. Several processes share the work by whole batches, so that their files, put
//! together, are those of one process.
//!
//! ```
//! use extractor::sampling::SamplingParams;
//!
//! // Of three tokens the two most probable are kept, and drawn by a number between 0 and 1.
//! let params = SamplingParams { temperature: 1.0, top_k: 2, top_p: 1.0 };
//! let logits = [2.0_f32.ln(), 1.0_f32.ln(), 1.0e-3_f32.ln()];
//! let kept = params.distribution(&logits);
//! assert_eq!(kept.iter().map(|entry| entry.token).collect::<Vec<_>>(), [0, 1]);
//! assert!((kept[0].probability - 2.0 / 3.0).abs() < 1e-6);
//! assert_eq!(params.draw(&logits, 0.7), 1);
//! ```

pub mod agreement;
mod batch;
mod beams;
pub mod choice;
pub mod course;
pub mod decoded;
mod details;
mod device_memory;
pub mod documents;
mod endpoint;
pub mod forms;
pub mod generation;
mod loaded_model;
mod membership;
mod near_verbatim;
mod new_tokens;
mod optimised;
mod outcome;
mod preamble;
pub mod prompts;
mod ranking;
mod run;
pub mod sampling;
pub mod scoring;
mod self_made;
mod token_scores;

use std::path::{Path, PathBuf};

use contract::parts::Share;
use contract::{Error, StageArguments};

pub use loaded_model::LoadedModel;
pub use outcome::Outcome;

use outcome::{Asked, Figures};
use run::Run;

/// The models that text is extracted from.
#[derive(Debug, Clone, Copy)]
pub struct Checkpoints<'a> {
    /// Model folders or adapter folders. The last is asked; with more than one, all are followed.
    pub folders: &'a [PathBuf],
    /// The checkpoint with the best held-out loss: it is asked as well, and its results go to `best/`.
    pub best: Option<&'a Path>,
    /// The folder of an adapter's base, in place of the one that the adapter names.
    pub base: Option<&'a Path>,
    /// The untuned model, to rank generations from nothing by, and to compare losses in each form of texts with.
    pub reference: Option<&'a Path>,
    /// `forms.parquet` of another model: with `extraction.begin = "auto"` texts are in the form that was chosen for it.
    pub forms: Option<&'a Path>,
}

/// Draws generations from the last of `checkpoints`, and from the best where one is named, and scores the documents of `corpus`, as
/// the pipeline file says. The corpus is tokenized once for all checkpoints, unless their tokenizers differ; weights are held of one
/// at a time. Of a part of the work only its share of the batches goes through the models, and nothing does where parts are put together.
///
/// # Errors
/// [`Error::Configuration`] for settings that do not fit the model, [`Error::Input`] for files that cannot be used,
/// [`Error::Output`] where results cannot be written.
pub fn extract(
    stage: &StageArguments,
    corpus: &Path,
    checkpoints: Checkpoints<'_>,
    share: Share,
) -> Result<Outcome, Error> {
    let mut run = Run::new(stage, corpus, checkpoints)?;
    let is_part = matches!(share, Share::Part(_));
    if !is_part {
        run.remove_stale()?;
    }
    // Where the whole is there, so is every part of it.
    if !stage.force && run.is_done() {
        tracing::info!("{} is up to date", stage.out.display());
        return Ok(Outcome::up_to_date(&stage.out));
    }
    match share {
        Share::Whole => {}
        Share::Part(part) => {
            run.take_part(part);
            run.remove_stale()?;
            if !stage.force && run.is_done() {
                return Ok(Outcome::up_to_date(&part.folder(&stage.out)));
            }
        }
        Share::Merge(world) => {
            run.merge(world)?;
            return Ok(Outcome::merged(&stage.out, world));
        }
    }
    tch::set_num_threads(stage.threads() as i32);
    run.find_form()?;
    let mut corpus = None;
    let mut last = run.ask_last(&mut corpus)?;
    let mut best = run.ask_best(&mut corpus)?;
    run.rank_by_reference(std::iter::once(&mut last).chain(&mut best))?;
    let course = run.follow(&mut corpus, &last, best.as_ref())?;
    run.write(&last, best.as_ref(), &course)?;
    let figures = |answers: &run::Answers| {
        let scored = if run.settings.score {
            answers.scores.len()
        } else {
            0
        };
        Asked::new(&answers.drawn, scored, answers.ranked.clone())
    };
    Ok(Outcome::new(
        run.out(),
        Figures {
            last: figures(&last),
            best: best.as_ref().map(figures),
            best_is_last: run.best_is_last(),
            skipped: last.skipped,
            remarks: last.remarks,
            left_out: last.left_out,
            course,
        },
    ))
}
