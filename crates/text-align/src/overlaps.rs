//! Step 6: of candidates that share suspicious sentences, the better one stays.

use std::ops::Range;

use crate::clusters::Candidate;
use crate::comparisons::SentenceComparison;
use crate::parameters::Mode;
use crate::vectors::PairVectors;

/// Candidates better than this count as equally good, so that the longer one stays.
const NEAR_PERFECT: f64 = 0.99;

/// Walks through the candidates in the order of their suspicious sentences. One that shares suspicious sentences with
/// the one kept before either replaces it or is dropped.
pub(crate) fn resolve(vectors: &PairVectors, candidates: Vec<Candidate>, mode: Mode) -> Vec<Candidate> {
    let mut comparison = SentenceComparison::new(vectors);
    let mut kept: Vec<Contender> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let mut second = Contender::of(candidate);
        match kept.last_mut() {
            Some(first) if second.sentences().start < first.sentences().end => {
                first.rate(&mut comparison);
                second.rate(&mut comparison);
                let qualities = (first.quality(&second), second.quality(first));
                if second_is_better(
                    qualities,
                    (first.sentences().len(), second.sentences().len()),
                    mode,
                ) {
                    *first = second;
                }
            }
            _ => kept.push(second),
        }
    }
    kept.into_iter().map(|contender| contender.candidate).collect()
}

fn second_is_better((first, second): (f64, f64), lengths: (usize, usize), mode: Mode) -> bool {
    let both_near_perfect = first > NEAR_PERFECT && second > NEAR_PERFECT;
    if mode.length_counts_only_for_the_better() {
        return second > first && (!both_near_perfect || lengths.1 > lengths.0);
    }
    if both_near_perfect && lengths.0 != lengths.1 {
        lengths.1 > lengths.0
    } else {
        second > first
    }
}

/// A candidate, and once it has met another one, what its quality is made of.
struct Contender {
    candidate: Candidate,
    /// For each suspicious sentence its best cosine with a source sentence; empty until rated.
    best_cosines: Vec<f64>,
}

impl Contender {
    fn of(candidate: Candidate) -> Self {
        Self {
            candidate,
            best_cosines: Vec::new(),
        }
    }

    fn sentences(&self) -> &Range<usize> {
        &self.candidate.suspicious
    }

    fn rate(&mut self, comparison: &mut SentenceComparison) {
        if self.best_cosines.is_empty() {
            let best = |sentence| {
                comparison.compare(sentence, &self.candidate.source);
                comparison
                    .alike()
                    .iter()
                    .map(|&source| comparison.cosine(source))
                    .fold(0.0, f64::max)
            };
            self.best_cosines = self.candidate.suspicious.clone().map(best).collect();
        }
    }

    /// How well the source sentences render the suspicious ones, 0 to 1: with s the mean, over the sentences shared with
    /// `other`, of the best cosine, and t the same mean over the rest, s + (1 − s) · t.
    fn quality(&self, other: &Self) -> f64 {
        let mut shared = Mean::default();
        let mut rest = Mean::default();
        for (sentence, &best) in self.sentences().clone().zip(&self.best_cosines) {
            let mean = if other.sentences().contains(&sentence) {
                &mut shared
            } else {
                &mut rest
            };
            mean.add(best);
        }
        shared.value() + (1.0 - shared.value()) * rest.value()
    }
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum / self.count as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Parameters, PreparedText, Span};

    /// Sentences of one word each, or of two joined by an underscore in the notation here.
    fn words(notation: &str) -> PreparedText {
        let mut spans = Vec::new();
        let mut start = 0;
        for sentence in notation.split(' ') {
            spans.push(Span::new(start, start + sentence.len()));
            start += sentence.len() + 1;
        }
        PreparedText::with_sentences(&notation.replace('_', " "), &spans).expect("spans fit")
    }

    fn vectors(suspicious: &str, source: &str) -> PairVectors {
        let parameters = Parameters {
            minimum_sentence_words: 1,
            ..Parameters::lee2023()
        };
        PairVectors::of(&words(suspicious), &words(source), &parameters).expect("shared terms")
    }

    fn candidate(suspicious: Range<usize>, source: Range<usize>) -> Candidate {
        Candidate {
            suspicious,
            source,
            similarity: 0.5,
        }
    }

    #[test]
    fn quality_weighs_shared_sentences_first() {
        // N = 8. lamp: df 3; zinc: df 2, weight ln 4 = 2w; fish: df 2, 2w; aaaa, bbbb, cccc, dddd: df 1, 3w.
        let vectors = vectors("lamp zinc_aaaa fish bbbb", "lamp zinc lamp_cccc fish_dddd");
        let contender = |suspicious, source| {
            let mut contender = Contender::of(candidate(suspicious, source));
            contender.rate(&mut SentenceComparison::new(&vectors));
            contender
        };
        let first = contender(0..2, 0..2);
        // Shared: lamp, cosine 1. The rest cannot add to that.
        assert_eq!(first.quality(&contender(0..1, 0..1)), 1.0);
        // Shared: zinc_aaaa with zinc, cosine 2 / sqrt(4 + 9) =: c. Rest: lamp, cosine 1. c + (1 − c) · 1 = 1.
        let second = contender(1..3, 1..4);
        assert!((first.quality(&second) - 1.0).abs() < 1e-12);
        // Shared: zinc_aaaa, c again; rest: fish with fish_dddd, c too. c + (1 − c) c.
        let c = 2.0 / 13.0_f64.sqrt();
        assert!((second.quality(&first) - (c + (1.0 - c) * c)).abs() < 1e-12);
        // Nothing else to add: only the shared mean, here of c and c.
        assert!((second.quality(&contender(1..3, 0..1)) - c).abs() < 1e-12);
    }

    #[test]
    fn the_better_of_two_stays_and_the_next_is_compared_with_it() {
        let vectors = vectors(
            "lamp zinc fish horn",
            "lamp_aaaa zinc_bbbb fish_cccc lamp zinc fish horn",
        );
        let worse = candidate(0..2, 0..3);
        let better = candidate(1..3, 4..6);
        let apart = candidate(3..4, 6..7);
        for mode in [Mode::Exact, Mode::Fixed] {
            let kept = resolve(&vectors, vec![worse.clone(), better.clone(), apart.clone()], mode);
            assert_eq!(kept, [better.clone(), apart.clone()]);
        }
        // The other way round the first one is the better.
        let first = candidate(0..2, 3..5);
        let second = candidate(1..3, 1..3);
        let kept = resolve(&vectors, vec![first.clone(), second, apart.clone()], Mode::Fixed);
        assert_eq!(kept, [first, apart]);
    }

    #[test]
    fn of_two_perfect_cases_the_longer_stays_but_not_in_exact_mode() {
        // The source has lamp zinc, and further on lamp zinc fish: both candidates have a quality of exactly 1.
        let vectors = vectors("lamp zinc fish", "lamp zinc aaaa lamp zinc fish");
        let candidates = vec![candidate(0..2, 0..2), candidate(0..3, 3..6)];
        assert_eq!(
            resolve(&vectors, candidates.clone(), Mode::Fixed),
            candidates[1..]
        );
        assert_eq!(
            resolve(&vectors, candidates.clone(), Mode::Exact),
            candidates[..1]
        );
    }

    #[test]
    fn length_and_quality_decide() {
        for (qualities, lengths, exact, fixed) in [
            ((0.5, 0.6), (9, 1), true, true),
            ((0.6, 0.5), (1, 9), false, false),
            ((0.5, 0.5), (1, 9), false, false),
            ((0.992, 0.995), (1, 9), true, true),
            ((0.992, 0.995), (9, 1), false, false),
            ((0.995, 0.992), (1, 9), false, true),
            ((0.995, 0.992), (9, 1), false, false),
            ((0.992, 0.995), (3, 3), false, true),
            ((0.99, 0.995), (9, 1), true, true),
        ] {
            assert_eq!(
                second_is_better(qualities, lengths, Mode::Exact),
                exact,
                "exact {qualities:?} {lengths:?}"
            );
            assert_eq!(
                second_is_better(qualities, lengths, Mode::Fixed),
                fixed,
                "fixed {qualities:?} {lengths:?}"
            );
        }
    }
}
