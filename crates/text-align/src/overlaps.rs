//! Step 6: of candidates that share suspicious sentences, the better one stays.

use std::ops::Range;

use crate::clusters::Candidate;
use crate::comparisons::SentenceComparison;
use crate::parameters::Mode;
use crate::vectors::PairVectors;

/// Candidates better than this count as equally good, so that the longer one stays.
const NEAR_PERFECT: f64 = 0.99;

/// Of candidates in the order of their suspicious sentences, those that stay.
pub(crate) fn resolve(vectors: &PairVectors, candidates: Vec<Candidate>, mode: Mode) -> Vec<Candidate> {
    let mut comparison = SentenceComparison::new(vectors);
    let contenders: Vec<Contender> = candidates.into_iter().map(Contender::of).collect();
    let kept = if mode.one_case_replaces_all_it_overlaps() {
        resolve_as_published(&mut comparison, contenders)
    } else {
        resolve_one_by_one(&mut comparison, contenders)
    };
    kept.into_iter().map(|contender| contender.candidate).collect()
}

/// One that shares suspicious sentences with the one kept before either replaces it or is dropped.
fn resolve_one_by_one(comparison: &mut SentenceComparison, contenders: Vec<Contender>) -> Vec<Contender> {
    let mut kept: Vec<Contender> = Vec::with_capacity(contenders.len());
    for mut second in contenders {
        match kept.last_mut() {
            Some(first) if first.reaches(&second) => {
                let qualities = first.qualities(&mut second, comparison);
                let lengths = (first.sentences().len(), second.sentences().len());
                if second_is_better(qualities, lengths) {
                    *first = second;
                }
            }
            _ => kept.push(second),
        }
    }
    kept
}

fn second_is_better((first, second): (f64, f64), lengths: (usize, usize)) -> bool {
    if first > NEAR_PERFECT && second > NEAR_PERFECT && lengths.0 != lengths.1 {
        lengths.1 > lengths.0
    } else {
        second > first
    }
}

/// One is compared with all that start before it ends. The best of those that beat it takes its place, and none of the
/// others stays. What starts before the end of the winner is compared with that in its turn.
fn resolve_as_published(
    comparison: &mut SentenceComparison,
    mut contenders: Vec<Contender>,
) -> Vec<Contender> {
    let mut kept: Vec<usize> = Vec::with_capacity(contenders.len());
    // Whether the last one kept is the outcome of a comparison, to be compared with what comes after `position`.
    let mut is_carried = false;
    let mut position = 0;
    while position < contenders.len() {
        let current = kept.last().copied().filter(|_| is_carried).unwrap_or(position);
        let following = &contenders[position + 1..];
        let overlapping = following.partition_point(|other| contenders[current].reaches(other));
        if overlapping == 0 {
            if !is_carried {
                kept.push(position);
            }
            is_carried = false;
            position += 1;
            continue;
        }
        let winner = best_of_overlapping(comparison, &mut contenders, current, position, overlapping);
        if !is_carried {
            kept.push(winner.unwrap_or(position));
        } else if let (Some(winner), Some(last)) = (winner, kept.last_mut()) {
            *last = winner;
        }
        is_carried = true;
        position += overlapping;
    }
    let mut contenders: Vec<Option<Contender>> = contenders.into_iter().map(Some).collect();
    kept.into_iter()
        .filter_map(|index| contenders[index].take())
        .collect()
}

/// The best of the contenders after `position` that beat `current`, if one does.
fn best_of_overlapping(
    comparison: &mut SentenceComparison,
    contenders: &mut [Contender],
    current: usize,
    position: usize,
    overlapping: usize,
) -> Option<usize> {
    let mut winner = None;
    let mut highest = 0.0;
    for other in position + 1..=position + overlapping {
        let Ok([first, second]) = contenders.get_disjoint_mut([current, other]) else {
            continue;
        };
        let qualities = first.qualities(second, comparison);
        let is_longer = second.sentences().len() > first.sentences().len();
        let (contender, quality) = if qualities.0 > NEAR_PERFECT && qualities.1 > NEAR_PERFECT {
            if is_longer {
                (Some(other), qualities.1)
            } else {
                (None, qualities.0)
            }
        } else if qualities.1 > qualities.0 {
            (Some(other), qualities.1)
        } else {
            // The slip: the quality of the current one is not kept, so that a worse one may yet win.
            continue;
        };
        if quality > highest {
            (winner, highest) = (contender, quality);
        }
    }
    winner
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

    /// Whether `next`, which starts no earlier, shares suspicious sentences with it.
    fn reaches(&self, next: &Self) -> bool {
        next.sentences().start < self.sentences().end
    }

    /// How good it is, and how good `second` is, each with regard to the other.
    fn qualities(&mut self, second: &mut Self, comparison: &mut SentenceComparison) -> (f64, f64) {
        self.rate(comparison);
        second.rate(comparison);
        (self.quality(second), second.quality(self))
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
            min_sentence_words: 1,
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
    fn of_two_perfect_cases_the_longer_stays() {
        // The source has lamp zinc, and further on lamp zinc fish: both candidates have a quality of exactly 1.
        let vectors = vectors("lamp zinc fish", "lamp zinc aaaa lamp zinc fish");
        let (short, long) = (candidate(0..2, 0..2), candidate(0..3, 3..6));
        for mode in [Mode::Exact, Mode::Fixed] {
            for candidates in [[short.clone(), long.clone()], [long.clone(), short.clone()]] {
                let kept = resolve(&vectors, candidates.to_vec(), mode);
                assert_eq!(kept, std::slice::from_ref(&long));
            }
        }
    }

    #[test]
    fn in_exact_mode_one_case_replaces_all_it_overlaps() {
        // One case of four sentences that are much alike, and two of two sentences each that are the same.
        let vectors = vectors(
            "lamp zinc fish horn",
            "lamp_aaaa zinc_bbbb fish_cccc horn_dddd lamp zinc fish horn",
        );
        let whole = candidate(0..4, 0..4);
        let (first, second) = (candidate(0..2, 4..6), candidate(2..4, 6..8));
        let candidates = vec![whole, first.clone(), second.clone()];
        assert_eq!(
            resolve(&vectors, candidates.clone(), Mode::Fixed),
            [first.clone(), second]
        );
        assert_eq!(resolve(&vectors, candidates, Mode::Exact), [first]);
    }

    #[test]
    fn a_case_that_beats_one_may_lose_to_a_worse_one() {
        // N = 7. Of the sentences of the first case lamp has cosine 1, zinc and fish have 0. The second case shares lamp
        // with it: 1 + 0 against ln(7/3) / sqrt(ln(7/3)² + ln(7)²) = 0.40. The third shares fish: 0 + the mean of 1 and 0
        // against ln(7/2) / sqrt(ln(7/2)² + ln(7)²) = 0.54.
        let vectors = vectors("lamp zinc fish", "lamp aaaa lamp_cccc fish_bbbb");
        let first = candidate(0..3, 0..2);
        let second = candidate(0..1, 2..3);
        let third = candidate(2..3, 3..4);
        for mode in [Mode::Exact, Mode::Fixed] {
            let two = vec![first.clone(), second.clone()];
            assert_eq!(resolve(&vectors, two, mode), std::slice::from_ref(&first));
            let all = vec![first.clone(), second.clone(), third.clone()];
            assert_eq!(resolve(&vectors, all, mode), std::slice::from_ref(&third));
        }
    }

    #[test]
    fn length_and_quality_decide() {
        for (qualities, lengths, expected) in [
            ((0.5, 0.6), (9, 1), true),
            ((0.6, 0.5), (1, 9), false),
            ((0.5, 0.5), (1, 9), false),
            ((0.992, 0.995), (1, 9), true),
            ((0.992, 0.995), (9, 1), false),
            ((0.995, 0.992), (1, 9), true),
            ((0.995, 0.992), (9, 1), false),
            ((0.992, 0.995), (3, 3), true),
            ((0.99, 0.995), (9, 1), true),
        ] {
            assert_eq!(
                second_is_better(qualities, lengths),
                expected,
                "{qualities:?} {lengths:?}"
            );
        }
    }
}
