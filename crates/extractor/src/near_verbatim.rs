//! How probable it is that sampling gives a document's continuation, or one that differs from it in a few tokens.
//!
//! The probability of the one reference sequence understates what leaks: a copy with a word changed is a copy. All sequences within an
//! edit distance of the reference cannot be listed, but the most probable of them can be searched for: a beam search that keeps,
//! among prefixes from which the distance can still be kept, the most probable ones. The sequences that it ends with are distinct,
//! so their probabilities add up, to a lower bound.

use causal_lm::KvCache;
use contract::Error;

use crate::LoadedModel;
use crate::batch::{Batch, Room};
use crate::sampling::SamplingParams;

/// What is searched for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search {
    /// Sequences kept at each step.
    pub(crate) beams: usize,
    /// Largest edit distance in tokens (insertions, deletions, substitutions).
    pub(crate) edits: usize,
}

#[derive(Debug, Clone)]
struct Beam {
    /// `distances[i]`: edit distance between what was written and the first i tokens of the reference.
    distances: Vec<usize>,
    log_probability: f64,
    last: i64,
    row: usize,
    is_reference: bool,
}

/// For each prefix and its reference continuation (all of one length), the logarithm of a lower bound on the probability that
/// sampling gives a continuation within the edits; −∞ where nothing was found.
///
/// The reference itself is never dropped, so the bound is never below its own probability.
pub(crate) fn lower_bounds(
    model: &LoadedModel,
    cache: &mut KvCache,
    params: SamplingParams,
    search: Search,
    documents: &[(&[i64], &[i64])],
) -> Result<Vec<f64>, Error> {
    let length = documents.first().map_or(0, |(_, reference)| reference.len());
    let prefixes: Vec<&[i64]> = documents.iter().map(|(prefix, _)| *prefix).collect();
    let room = Room {
        rows: documents.len() * search.beams,
        new_tokens: length,
    };
    let mut batch = Batch::read(model, cache, &prefixes, room)?;
    let mut searches: Vec<Vec<Beam>> = (0..documents.len())
        .map(|row| vec![Beam::begin(row, length)])
        .collect();
    // What ended before the reference does, and is near it all the same.
    let mut ended: Vec<Vec<f64>> = vec![Vec::new(); documents.len()];
    for step in 0..length {
        let logits = batch.host_logits()?;
        for ((beams, ended), (_, reference)) in searches.iter_mut().zip(&mut ended).zip(documents) {
            let mut longer = Vec::new();
            for beam in beams.drain(..) {
                for entry in params.distribution(logits.row(beam.row)) {
                    let token = entry.token as i64;
                    let ends = model.end_tokens.contains(&token);
                    if ends && token != reference[step] {
                        if beam.distances[length] <= search.edits {
                            ended.push(beam.log_probability + entry.probability.ln());
                        }
                        continue;
                    }
                    let next = beam.with(token, entry.probability, reference, step);
                    if next.distances.iter().any(|&distance| distance <= search.edits) {
                        longer.push(next);
                    }
                }
            }
            longer.sort_by(|first, second| {
                let reference_first = second.is_reference.cmp(&first.is_reference);
                reference_first.then(second.log_probability.total_cmp(&first.log_probability))
            });
            longer.truncate(search.beams);
            *beams = longer;
        }
        if step + 1 == length || searches.iter().all(Vec::is_empty) {
            break;
        }
        let (mut rows, mut next) = (Vec::new(), Vec::new());
        for (place, beam) in searches.iter_mut().flatten().enumerate() {
            rows.push(beam.row as i64);
            next.push(beam.last);
            beam.row = place;
        }
        batch.select(&rows)?;
        batch.advance_by(&next)?;
    }
    Ok(searches
        .iter()
        .zip(ended)
        .map(|(beams, ended)| {
            let near = beams.iter().filter(|beam| beam.distances[length] <= search.edits);
            log_sum(near.map(|beam| beam.log_probability).chain(ended))
        })
        .collect())
}

impl Beam {
    fn begin(row: usize, length: usize) -> Self {
        Self {
            distances: (0..=length).collect(),
            log_probability: 0.0,
            last: 0,
            row,
            is_reference: true,
        }
    }

    /// One token longer: the next row of the table of Wagner and Fischer (1974).
    fn with(&self, token: i64, probability: f64, reference: &[i64], step: usize) -> Self {
        let mut distances = Vec::with_capacity(self.distances.len());
        distances.push(self.distances[0] + 1);
        for (place, &reference_token) in reference.iter().enumerate() {
            let substituted = self.distances[place] + usize::from(reference_token != token);
            let shorter = (self.distances[place + 1] + 1).min(distances[place] + 1);
            distances.push(substituted.min(shorter));
        }
        Self {
            distances,
            log_probability: self.log_probability + probability.ln(),
            last: token,
            row: self.row,
            is_reference: self.is_reference && reference[step] == token,
        }
    }
}

/// ln Σ exp; −∞ of nothing.
fn log_sum(logs: impl Iterator<Item = f64>) -> f64 {
    let logs: Vec<f64> = logs.collect();
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    // Probabilities of distinct sequences; rounding alone could lift their sum over 1.
    let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
    (largest + sum.ln()).min(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_whole_table() {
        // Reference a b c; written a c: the deletion of b, distance 1 to the whole and 0 … as the rows go.
        let reference = [1, 2, 3];
        let beam = Beam::begin(0, 3).with(1, 0.5, &reference, 0);
        assert_eq!(beam.distances, [1, 0, 1, 2]);
        assert!(beam.is_reference);
        let beam = beam.with(3, 0.25, &reference, 1);
        assert_eq!(beam.distances, [2, 1, 1, 1]);
        assert!(!beam.is_reference);
        assert!((beam.log_probability - 0.125f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn probabilities_add_up_in_log_space() {
        let sum = log_sum([0.1f64.ln(), 0.2f64.ln()].into_iter());
        assert!((sum - 0.3f64.ln()).abs() < 1e-12);
        // Both far below what a double can hold.
        assert!((log_sum([-2000.0, -2000.0].into_iter()) - (-2000.0 + 2f64.ln())).abs() < 1e-9);
        assert_eq!(log_sum(std::iter::empty()), f64::NEG_INFINITY);
    }
}
