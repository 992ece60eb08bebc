//! Beam search: the continuations that sampling gives most often, without drawing them.
//!
//! Sampling finds a sequence of probability p in one of 1/p draws. Where a model knows a document, the document is among the most
//! probable sequences, so a search that keeps the best few prefixes at every step finds it at the cost of as many draws.
//!
//! As in transformers, sequences that have ended are kept apart: they take no place from those that go on, and both are ranked by
//! their mean log-probability a token in the end (length penalty 1). A sum would put every short one before a long one.

use causal_lm::KvCache;
use contract::Error;
use contract::pipeline::Extraction;
use contract::records::FinishReason;

use crate::LoadedModel;
use crate::batch::{Batch, Room};
use crate::choice::{self, NextToken};
use crate::generation::{Generation, Request};
use crate::sampling::SamplingParams;

/// A sequence, going on or ended.
#[derive(Debug, Clone)]
struct Beam {
    tokens: Vec<i64>,
    logprobs: Vec<f32>,
    /// Natural logarithm of its probability under the sampling parameters.
    log_probability: f64,
    /// Its row in the batch, while it goes on.
    row: usize,
    finish: Option<FinishReason>,
}

/// A beam with one token more.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    beam: usize,
    next: NextToken,
    /// Of the whole.
    log_probability: f64,
}

/// The search behind one prompt.
#[derive(Debug)]
struct Search<'a> {
    request: Request<'a>,
    params: SamplingParams,
    /// Going on, the most probable first; at most `beams`.
    running: Vec<Beam>,
    /// Ended, the best mean first; at most `beams`.
    finished: Vec<Beam>,
    forward_tokens: usize,
}

/// Requests in groups whose beams fill a batch.
pub(crate) fn batches<'r, 'a>(requests: &'r [Request<'a>], batch_size: usize) -> Vec<&'r [Request<'a>]> {
    let widest = requests
        .iter()
        .map(|request| request.strategy.beams)
        .max()
        .unwrap_or(1);
    requests.chunks((batch_size / widest).max(1)).collect()
}

/// The best continuations of each request's prompt, at most as many as its strategy asks for.
pub(crate) fn search<'a>(
    model: &LoadedModel,
    cache: &mut KvCache,
    settings: &Extraction,
    requests: &[Request<'a>],
) -> Result<Vec<Generation<'a>>, Error> {
    let _guard = tch::no_grad_guard();
    let new_tokens = settings.new_tokens;
    let path = torch_device::compute_path(settings.compute_path, model.model.device());
    let prompts: Vec<&[i64]> = requests
        .iter()
        .map(|request| &request.prompt.tokens[..])
        .collect();
    let room = Room {
        rows: requests.iter().map(|request| request.strategy.beams).sum(),
        new_tokens,
    };
    let mut batch = Batch::read(model, cache, &prompts, room)?;
    let mut searches: Vec<Search> = requests
        .iter()
        .enumerate()
        .map(|(row, &request)| Search::new(request, row))
        .collect();
    let end_tokens = &model.end_tokens;
    let most = searches
        .iter()
        .map(|search| search.most_candidates(end_tokens))
        .max();
    for step in 1..=new_tokens {
        // Of each row in the batch, which the searches have in their order.
        let params = searches
            .iter()
            .flat_map(|search| search.running.iter().map(|_| search.params));
        let params: Vec<SamplingParams> = params.collect();
        let next = choice::next_tokens(path, batch.logits(), &params, most.unwrap_or(0))?;
        for search in &mut searches {
            search.advance(&next, end_tokens);
            search.stop_where_nothing_better_can_come(new_tokens);
        }
        if step == new_tokens || searches.iter().all(|search| search.running.is_empty()) {
            break;
        }
        let (mut rows, mut next) = (Vec::new(), Vec::new());
        for search in &mut searches {
            search.forward_tokens += search.running.len();
            for beam in &mut search.running {
                rows.push(beam.row as i64);
                next.extend(beam.tokens.last());
                beam.row = rows.len() - 1;
            }
        }
        batch.select(&rows)?;
        batch.advance_by(&next)?;
    }
    Ok(searches.into_iter().flat_map(Search::best).collect())
}

impl<'a> Search<'a> {
    fn new(request: Request<'a>, row: usize) -> Self {
        Self {
            request,
            params: SamplingParams::from(request.strategy),
            running: vec![Beam {
                tokens: Vec::new(),
                logprobs: Vec::new(),
                log_probability: 0.0,
                row,
                finish: None,
            }],
            finished: Vec::new(),
            forward_tokens: request.prompt.tokens.len(),
        }
    }

    fn width(&self) -> usize {
        self.request.strategy.beams
    }

    /// Makes every running beam a token longer. Those that end count where they are among the most probable `beams`; as many
    /// others go on, whatever ended.
    /// `next` are the most probable next tokens of each row in the batch, as many as there may be candidates.
    fn advance(&mut self, next: &[Vec<NextToken>], end_tokens: &[i64]) {
        let width = self.width();
        let mut running = Vec::with_capacity(width);
        let candidates = self.candidates(next, self.most_candidates(end_tokens));
        for (rank, candidate) in candidates.into_iter().enumerate() {
            let ends = end_tokens.contains(&candidate.next.token);
            if ends && rank < width {
                let finish = Some(FinishReason::End);
                self.finished.push(self.longer(candidate, finish));
            } else if !ends && running.len() < width {
                running.push(self.longer(candidate, None));
            }
        }
        self.running = running;
        keep_best(&mut self.finished, width);
    }

    /// As many candidates as it takes that `beams` are left whatever ends.
    fn most_candidates(&self, end_tokens: &[i64]) -> usize {
        self.width() * (1 + end_tokens.len())
    }

    /// The `most` most probable beams of one token more, in that order; of equal ones the one that comes first.
    fn candidates(&self, next: &[Vec<NextToken>], most: usize) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (place, beam) in self.running.iter().enumerate() {
            candidates.extend(next[beam.row].iter().map(|&next| Candidate {
                beam: place,
                next,
                log_probability: beam.log_probability + next.log_probability,
            }));
        }
        let order = |first: &Candidate, second: &Candidate| {
            let by_probability = second.log_probability.total_cmp(&first.log_probability);
            by_probability.then((first.beam, first.next.token).cmp(&(second.beam, second.next.token)))
        };
        if most < candidates.len() {
            candidates.select_nth_unstable_by(most, order);
            candidates.truncate(most);
        }
        candidates.sort_unstable_by(order);
        candidates
    }

    fn longer(&self, candidate: Candidate, finish: Option<FinishReason>) -> Beam {
        let beam = &self.running[candidate.beam];
        let NextToken { token, logprob, .. } = candidate.next;
        Beam {
            tokens: [&beam.tokens[..], &[token]].concat(),
            logprobs: [&beam.logprobs[..], &[logprob]].concat(),
            log_probability: candidate.log_probability,
            row: beam.row,
            finish,
        }
    }

    /// Whatever follows can only lower a beam's sum, so its mean is at best this sum over the greatest length.
    fn stop_where_nothing_better_can_come(&mut self, new_tokens: usize) {
        let (Some(best), Some(worst)) = (self.running.first(), self.finished.last()) else {
            return;
        };
        let attainable = best.log_probability / new_tokens as f64;
        if self.finished.len() == self.width() && attainable <= worst.mean() {
            self.running.clear();
        }
    }

    /// What was found, the best first.
    fn best(mut self) -> impl Iterator<Item = Generation<'a>> {
        let most = self.request.strategy.samples.clamp(1, self.width());
        self.finished.append(&mut self.running);
        keep_best(&mut self.finished, most);
        let (request, forward_tokens) = (self.request, self.forward_tokens);
        self.finished
            .into_iter()
            .enumerate()
            .map(move |(number, beam)| Generation {
                request: Request { number, ..request },
                prompt_tokens: request.prompt.tokens.clone(),
                generated: beam.tokens,
                logprobs: beam.logprobs,
                finish: beam.finish,
                // The search is one; its first result stands for the cost.
                forward_tokens: if number == 0 { forward_tokens } else { 0 },
            })
    }
}

impl Beam {
    fn mean(&self) -> f64 {
        self.log_probability / self.tokens.len().max(1) as f64
    }
}

/// The best mean first; of equal ones the one that came first.
fn keep_best(beams: &mut Vec<Beam>, most: usize) {
    beams.sort_by(|first, second| second.mean().total_cmp(&first.mean()));
    beams.truncate(most);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use contract::pipeline::{ComputePath, Strategy};
    use contract::records::{PromptForm, Split};
    use tch::Tensor;

    use super::*;
    use crate::prompts::Prompt;

    fn nothing_with_one_beam() -> (Prompt, Strategy) {
        let prompt = Prompt {
            doc_id: None,
            split: Split::None,
            copies: 0,
            form: PromptForm::Nothing,
            number: 0,
            tokens: Vec::new(),
            begun: None,
            reference: Vec::new(),
        };
        let strategy = Strategy {
            top_k: 0,
            beams: 1,
            ..Strategy::default()
        };
        (prompt, strategy)
    }

    fn search<'a>(prompt: &'a Prompt, strategy: &'a Strategy) -> Search<'a> {
        let request = Request {
            place: 0,
            prompt_index: 0,
            prompt,
            strategy_index: 0,
            strategy,
            number: 0,
            seed: 0,
        };
        Search::new(request, 0)
    }

    fn advance(search: &mut Search, logits: &Tensor) {
        let next = choice::next_tokens(ComputePath::Host, logits, &[search.params], 2).unwrap();
        search.advance(&next, &[0]);
    }

    /// One beam over three tokens, of which 0 ends a text: at first it has .5, 1 has .4 and 2 has .1; then .1, .8, .1 whatever came.
    #[test]
    fn a_long_sequence_is_not_lost_to_a_short_one() {
        let (prompt, strategy) = nothing_with_one_beam();
        let mut search = search(&prompt, &strategy);
        for (step, probabilities) in [[0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]]
            .iter()
            .enumerate()
        {
            let logits = Tensor::from_slice(probabilities).log().unsqueeze(0);
            advance(&mut search, &logits);
            search.stop_where_nothing_better_can_come(3);
            // What ended takes no place: the beam goes on beside it, the more so since ln(.4) ÷ 3 = −.31 is over ln(.5) = −.69.
            assert_eq!(
                (search.finished.len(), search.running.len()),
                (1, 1),
                "step {step}"
            );
        }
        // .4 · .8 · .8 = .256, so −.45 a token.
        assert!((search.running[0].mean() - 0.256f64.ln() / 3.0).abs() < 1e-6);
        let best: Vec<_> = search.best().collect();
        assert_eq!(best.len(), 1);
        assert_eq!((&best[0].generated[..], best[0].finish), (&[1, 1, 1][..], None));
    }

    /// The same with .9 for the end: nothing that begins with .06 can come to ln(.9) a token, even with certainty from there on.
    #[test]
    fn a_search_ends_where_nothing_better_can_come() {
        let (prompt, strategy) = nothing_with_one_beam();
        let mut search = search(&prompt, &strategy);
        let logits = Tensor::from_slice(&[0.9, 0.06, 0.04]).log().unsqueeze(0);
        advance(&mut search, &logits);
        // ln(.06) ÷ 20 = −.14 and ln(.9) = −.11; over 30 tokens it would be −.09.
        search.stop_where_nothing_better_can_come(30);
        assert_eq!(search.running.len(), 1);
        search.stop_where_nothing_better_can_come(20);
        assert_eq!(search.running.len(), 0);
        let best: Vec<_> = search.best().collect();
        assert_eq!(
            (&best[0].generated[..], best[0].finish),
            (&[0][..], Some(FinishReason::End))
        );
    }
}
