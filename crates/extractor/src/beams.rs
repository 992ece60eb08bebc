//! Beam search: the continuations that the sampling scheme gives most often, without drawing them.
//!
//! Sampling finds a sequence of probability p in one of 1/p draws. Where a model knows a document, the document is among the most
//! probable sequences, so a search that keeps the best few prefixes at every step finds it at the cost of as many draws.

use contract::Error;
use contract::records::Finish;

use crate::Reader;
use crate::batch::Batch;
use crate::generation::{Generation, Request};
use crate::sampling::Scheme;

/// A sequence under way, or one that has ended.
#[derive(Debug, Clone)]
struct Beam {
    tokens: Vec<i64>,
    logprobs: Vec<f32>,
    /// Natural logarithm of its probability under the scheme.
    log_probability: f64,
    ended: bool,
    /// Its row in the batch; none once it has ended.
    row: Option<usize>,
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

/// The most probable continuations of each request's prompt, at most as many as its strategy asks for.
pub(crate) fn search<'a>(
    reader: &Reader,
    new_tokens: usize,
    requests: &[Request<'a>],
) -> Result<Vec<Generation<'a>>, Error> {
    let prompts: Vec<&[i64]> = requests
        .iter()
        .map(|request| &request.prompt.tokens[..])
        .collect();
    let mut batch = Batch::read(reader, &prompts, new_tokens)?;
    let mut searches: Vec<Vec<Beam>> = (0..requests.len()).map(|row| vec![Beam::begin(row)]).collect();
    let mut read: Vec<usize> = prompts.iter().map(|prompt| prompt.len()).collect();
    for step in 1..=new_tokens {
        let logits = batch.next()?;
        for (beams, request) in searches.iter_mut().zip(requests) {
            let scheme = Scheme::from(request.strategy);
            let mut longer: Vec<Beam> = Vec::new();
            for beam in beams.drain(..) {
                let Some(row) = beam.row else {
                    longer.push(beam);
                    continue;
                };
                for entry in scheme.distribution(logits.row(row)) {
                    let ends = reader.model.config.end_tokens.contains(&(entry.token as i64));
                    longer.push(beam.with(
                        entry.token,
                        logits.logprob(row, entry.token),
                        entry.probability,
                        ends,
                    ));
                }
            }
            keep_best(&mut longer, request.strategy.beams);
            *beams = longer;
        }
        let going: Vec<&mut Beam> = searches.iter_mut().flatten().filter(|beam| !beam.ended).collect();
        if going.is_empty() || step == new_tokens {
            break;
        }
        let (mut rows, mut next) = (Vec::new(), Vec::new());
        for (place, beam) in going.into_iter().enumerate() {
            rows.extend(beam.row.map(|row| row as i64));
            next.extend(beam.tokens.last());
            beam.row = Some(place);
        }
        for (read, beams) in read.iter_mut().zip(&searches) {
            *read += beams.iter().filter(|beam| !beam.ended).count();
        }
        batch.select(&rows)?;
        batch.advance(&next)?;
    }
    let found = searches.into_iter().zip(requests).zip(read);
    Ok(found
        .flat_map(|((beams, request), read)| {
            let best = beams
                .into_iter()
                .take(request.strategy.samples.max(1))
                .enumerate();
            best.map(move |(number, beam)| Generation {
                request: Request { number, ..*request },
                prompt_tokens: request.prompt.tokens.clone(),
                generated: beam.tokens,
                logprobs: beam.logprobs,
                finish: beam.ended.then_some(Finish::End),
                // The search is one; its first result stands for the cost.
                tokens_read: if number == 0 { read } else { 0 },
            })
        })
        .collect())
}

impl Beam {
    fn begin(row: usize) -> Self {
        Self {
            tokens: Vec::new(),
            logprobs: Vec::new(),
            log_probability: 0.0,
            ended: false,
            row: Some(row),
        }
    }

    fn with(&self, token: usize, logprob: f32, probability: f64, ended: bool) -> Self {
        Self {
            tokens: [&self.tokens[..], &[token as i64]].concat(),
            logprobs: [&self.logprobs[..], &[logprob]].concat(),
            log_probability: self.log_probability + probability.ln(),
            ended,
            row: self.row.filter(|_| !ended),
        }
    }
}

/// The most probable first; of equal ones the one that came first.
fn keep_best(beams: &mut Vec<Beam>, most: usize) {
    beams.sort_by(|first, second| second.log_probability.total_cmp(&first.log_probability));
    beams.truncate(most);
}
