//! Does sampling find what the scoring pass predicts? The strongest test of both.
//!
//! For documents whose continuation sampling gives with a probability that sampling can see, it is drawn thousands of times and
//! the hits are counted. They are binomial, so nineteen of twenty counts lie in the middle 95% of their distribution.

use contract::Error;
use contract::pipeline::{Extraction, Strategy};
use contract::records::{DocumentKind, PromptForm};

use crate::LoadedModel;
use crate::documents::Documents;
use crate::generation;
use crate::prompts::{Prompt, Prompts};
use crate::scoring;

/// Probabilities that a few thousand samples can tell.
const VISIBLE: std::ops::RangeInclusive<f64> = 1e-3..=0.5;

/// One document's prediction and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    /// The document.
    pub doc_id: String,
    /// Copies in the training set.
    pub copies: i32,
    /// p_z: the probability of its continuation under the sampling scheme, by one pass over the document.
    pub probability: f64,
    /// Samples drawn.
    pub samples: usize,
    /// How many of them are the continuation, token for token.
    pub hits: usize,
    /// The middle 95% of the binomial distribution: the least and the most hits to expect.
    pub expected: (usize, usize),
}

impl Agreement {
    /// Whether the hits are within what is expected.
    pub fn holds(&self) -> bool {
        (self.expected.0..=self.expected.1).contains(&self.hits)
    }
}

/// Draws the continuation of every document that has one of a visible probability under `strategy`, at most of `most` documents.
///
/// # Errors
/// [`Error::Run`] where LibTorch or the tokenizer fails.
pub fn agreement(
    model: &mut LoadedModel,
    settings: &Extraction,
    strategy: &Strategy,
    documents: &Documents,
    most: usize,
    seed: u64,
) -> Result<Vec<Agreement>, Error> {
    let settings = Extraction {
        strategy: vec![strategy.clone()],
        scored_prefixes: Vec::new(),
        near_verbatim_beams: 0,
        ..settings.clone()
    };
    let prefix = settings.prefix_tokens;
    let predicted: Vec<(String, f64)> = scoring::score(model, &settings, documents)?
        .into_iter()
        .filter(|score| score.kind == DocumentKind::Document && score.prefix_tokens as usize == prefix)
        .filter(|score| score.suffix_tokens as usize == settings.new_tokens)
        .map(|score| {
            let logs = score.scheme_logprobs.iter().map(|&log| f64::from(log));
            (score.doc_id, logs.sum::<f64>().exp())
        })
        .filter(|(_, probability)| VISIBLE.contains(probability))
        .take(most)
        .collect();
    let all: Vec<Prompt> = predicted
        .iter()
        .enumerate()
        .filter_map(|(number, (doc_id, _))| {
            let document = documents.all.iter().find(|document| &document.doc_id == doc_id)?;
            let (tokens, rest) = document.tokens.split_at(document.shared_tokens + prefix);
            Some(Prompt {
                doc_id: Some(doc_id.clone()),
                split: document.split,
                copies: document.copies,
                form: PromptForm::Prefix,
                number,
                tokens: tokens.to_vec(),
                begun: None,
                reference: rest[..settings.new_tokens].to_vec(),
            })
        })
        .collect();
    let prompts = Prompts {
        of_strategy: vec![(0..all.len()).collect()],
        all,
        special_tokens: documents.special_tokens.clone(),
    };
    let drawn = generation::generate(std::slice::from_mut(model), &settings, &prompts, seed)?;
    let mut found = Vec::with_capacity(predicted.len());
    for (prompt, (doc_id, probability)) in prompts.all.iter().zip(predicted) {
        let of_document = drawn
            .samples
            .iter()
            .filter(|sample| sample.doc_id.as_ref() == Some(&doc_id));
        let is_hit = |tokens: &[i32]| {
            tokens
                .iter()
                .map(|&token| i64::from(token))
                .eq(prompt.reference.iter().copied())
        };
        let (mut samples, mut hits) = (0, 0);
        for sample in of_document {
            samples += 1;
            hits += usize::from(is_hit(&sample.generated_tokens));
        }
        found.push(Agreement {
            doc_id,
            copies: prompt.copies,
            probability,
            samples,
            hits,
            expected: middle_of_binomial(samples, probability),
        });
    }
    Ok(found)
}

/// The least and the most successes within the middle 95% of the binomial distribution, by summing it up.
fn middle_of_binomial(trials: usize, probability: f64) -> (usize, usize) {
    let (success, failure) = (probability.ln(), (-probability).ln_1p());
    // ln of the probability of 0 successes, then of one more each time.
    let mut log = trials as f64 * failure;
    let (mut cumulative, mut least) = (0.0, None);
    for successes in 0..=trials {
        cumulative += log.exp();
        if least.is_none() && cumulative > 0.025 {
            least = Some(successes);
        }
        if cumulative >= 0.975 {
            return (least.unwrap_or(0), successes);
        }
        log += ((trials - successes) as f64 / (successes + 1) as f64).ln() + success - failure;
    }
    (least.unwrap_or(0), trials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_binomial_is_counted_out() {
        // Ten tosses: P(0) + P(1) = 11/1024 = .0107, P(2) = 45/1024 brings it to .0547; the other side by symmetry.
        assert_eq!(middle_of_binomial(10, 0.5), (2, 8));
        // Three tries at 0.1: P(0) = .729, P(≤ 1) = .972, P(≤ 2) = .999.
        assert_eq!(middle_of_binomial(3, 0.1), (0, 2));
    }
}
