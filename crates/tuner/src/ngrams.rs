//! How many n-grams of the training text a model has memorized, which rises before it has memorized whole passages.
//!
//! Source of the idea: Slack and Al Moubayed 2025 (arXiv 2510.11372), who compare n-grams of generations with those of the text, for n
//! from 4 to 6. Here each token is predicted from the text before it, so that nothing need be generated.

use std::fmt;

use causal_lm::{CausalLm, LmHead};
use contract::Error;
use contract::pipeline::Tuning;
use contract::records::TrainingInstance;
use tch::{Kind, Tensor};
use text_tokens::TokenCache;
use xxhash_rust::xxh3::xxh3_64;

use crate::hidden_states;
use crate::rows::{Document, Rows, passes};
use crate::training_text::distinct_documents;

/// Tokens of a run.
const NGRAM: usize = 5;

/// Predictions whose logits are held at once.
const PREDICTIONS_AT_ONCE: usize = 512;

/// Training documents, of which so much may be memorized.
#[derive(Debug)]
pub(crate) struct MemorizedNgrams {
    /// Share by which training documents may be over held-out documents.
    pub(crate) max_excess: f64,
    training: Rows,
}

/// Share of the n-grams whose tokens are all the most probable ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shares {
    training: f64,
    held_out: f64,
}

impl MemorizedNgrams {
    /// Takes as many training documents as held-out documents are evaluated at most; which they are follows from their names.
    pub(crate) fn new(
        max_excess: f64,
        instances: &[TrainingInstance],
        texts: &TokenCache<'_>,
        config: &causal_lm::Config,
        tuning: &Tuning,
    ) -> Result<Self, Error> {
        let mut documents: Vec<&TrainingInstance> = distinct_documents(instances.iter().enumerate())
            .into_iter()
            .map(|place| &instances[place])
            .collect();
        documents
            .sort_by_cached_key(|document| (xxh3_64(document.doc_id.as_bytes()), document.doc_id.clone()));
        documents.truncate(tuning.evaluate_documents);
        let documents = documents.into_iter().map(Document::from);
        Ok(Self {
            max_excess,
            training: Rows::for_evaluation(documents, texts, config, tuning)?,
        })
    }

    /// Measures a model on training documents and on held-out rows, in passes of at most so many rows and tokens.
    ///
    /// # Errors
    /// [`Error::Run`] where memory runs out.
    pub(crate) fn shares(
        &self,
        model: &CausalLm,
        held_out: &Rows,
        limits: (usize, usize),
    ) -> Result<Shares, Error> {
        Ok(Shares {
            training: memorized(model, &self.training, limits)?,
            held_out: memorized(model, held_out, limits)?,
        })
    }
}

impl Shares {
    /// By how much training documents are over held-out documents.
    pub(crate) fn excess(self) -> f64 {
        self.training - self.held_out
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.1}% of the {NGRAM}-grams of training documents are memorized, {:.1}% of those of held-out documents",
            100.0 * self.training,
            100.0 * self.held_out
        )
    }
}

/// Share of all n-grams of some rows whose tokens are all the most probable ones; 0 where no row has one.
fn memorized(model: &CausalLm, rows: &Rows, (most_rows, most_tokens): (usize, usize)) -> Result<f64, Error> {
    let _guard = tch::no_grad_guard();
    let head = model.lm_head().to_kind(Kind::Float)?;
    let (mut hits, mut all) = (0_usize, 0_usize);
    let order: Vec<(usize, usize)> = (0..rows.len()).map(|row| (row, 1)).collect();
    for pass in passes(&order, most_rows, most_tokens, |row| rows.length(row)) {
        let targets = rows.batch(pass, model.device(), model.path())?.targets;
        if targets.is_empty() {
            continue;
        }
        let states = hidden_states::compute(model, rows, pass)?;
        let most_probable = most_probable(&states, &head)?;
        let mut first = 0;
        for &(row, _) in pass {
            let places = rows.learned_places(row);
            let predicted: Vec<(usize, bool)> = places
                .enumerate()
                .map(|(number, place)| (place, most_probable[first + number] == targets[first + number]))
                .collect();
            // Tokens that stand side by side in the text.
            let ngrams = predicted
                .windows(NGRAM)
                .filter(|ngram| ngram[NGRAM - 1].0 - ngram[0].0 == NGRAM - 1);
            for ngram in ngrams {
                all += 1;
                hits += usize::from(ngram.iter().all(|(_, is_hit)| *is_hit));
            }
            first += predicted.len();
        }
    }
    Ok(hits as f64 / all.max(1) as f64)
}

/// The most probable token at each of some hidden states `[predictions, width]`.
fn most_probable(states: &Tensor, head: &LmHead) -> Result<Vec<i64>, causal_lm::Error> {
    let states = states.f_to_kind(Kind::Float)?;
    let predictions = states.size2()?.0;
    let mut tokens = Vec::new();
    for first in (0..predictions).step_by(PREDICTIONS_AT_ONCE) {
        let part = states.f_narrow(0, first, (predictions - first).min(PREDICTIONS_AT_ONCE as i64))?;
        let logits = head.reversible(&part, false, false)?.logits();
        tokens.extend(Vec::<i64>::try_from(logits.f_argmax(-1, false)?)?);
    }
    Ok(tokens)
}
