//! Step 3: pairs of similar sentences.

use crate::comparisons::SentenceComparison;
use crate::parameters::Parameters;
use crate::vectors::PairVectors;

/// Most seeds of one suspicious sentence. Only a text that repeats a sentence hundreds of times has more, and there
/// all pairs of repetitions would fill the memory without showing anything new.
const SEEDS_PER_SENTENCE: usize = 512;

/// A suspicious sentence and a source sentence that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed {
    pub(crate) suspicious: u32,
    pub(crate) source: u32,
}

/// All seeds, by suspicious and then by source sentence.
pub(crate) fn find(vectors: &PairVectors, parameters: &Parameters) -> Vec<Seed> {
    let mut comparison = SentenceComparison::new(vectors);
    let sources = 0..vectors.sides.source.len();
    let mut seeds = Vec::new();
    let mut found: Vec<(f64, u32)> = Vec::new();
    for sentence in 0..vectors.sides.suspicious.len() {
        comparison.compare(sentence, &sources);
        found.clear();
        for &source in comparison.alike() {
            if comparison.dice(source) > parameters.seed_dice {
                let cosine = comparison.cosine(source);
                if cosine > parameters.seed_cosine {
                    found.push((cosine, source));
                }
            }
        }
        let suspicious = sentence as u32;
        keep_nearest(&mut found, suspicious, SEEDS_PER_SENTENCE);
        found.sort_unstable_by_key(|&(_, source)| source);
        seeds.extend(found.iter().map(|&(_, source)| Seed { suspicious, source }));
    }
    seeds
}

/// Keeps the `limit` pairs with the highest cosine, among equals those nearest to `position`: of a sentence that a
/// text repeats over and over, the repetitions that an unchanged copy would pair it with.
fn keep_nearest(found: &mut Vec<(f64, u32)>, position: u32, limit: usize) {
    if found.len() > limit {
        found.select_nth_unstable_by(limit, |a, b| {
            b.0.total_cmp(&a.0)
                .then(a.1.abs_diff(position).cmp(&b.1.abs_diff(position)))
                .then(a.1.cmp(&b.1))
        });
        found.truncate(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PreparedText, Span};

    fn seeds(parameters: &Parameters) -> Vec<(u32, u32)> {
        // Suspicious: lamp zinc moon | fish drum gold. Source: horn clay corn | lamp zinc bark.
        // N = 4; the cosine of the first with the last is 2w² / 6w² = 1/3 with w = ln 2, their Dice is 4/6.
        let spans = [Span::new(0, 14), Span::new(15, 29)];
        let suspicious =
            PreparedText::with_sentences("lamp zinc moon fish drum gold", &spans).expect("spans fit");
        let source =
            PreparedText::with_sentences("horn clay corn lamp zinc bark", &spans).expect("spans fit");
        let vectors = PairVectors::of(&suspicious, &source, parameters).expect("shared terms");
        find(&vectors, parameters)
            .into_iter()
            .map(|seed| (seed.suspicious, seed.source))
            .collect()
    }

    #[test]
    fn a_seed_exceeds_both_thresholds() {
        let published = Parameters::lee2023();
        for (seed_cosine, seed_dice, expected) in [
            (0.30, 0.33, 1),
            (0.33, 0.66, 1),
            (0.34, 0.33, 0),
            (0.30, 4.0 / 6.0, 0),
            (0.30, 0.67, 0),
        ] {
            let found = seeds(&Parameters {
                seed_cosine,
                seed_dice,
                ..published.clone()
            });
            assert_eq!(
                found,
                vec![(0, 1); expected],
                "cosine over {seed_cosine}, dice over {seed_dice}"
            );
        }
    }

    #[test]
    fn the_best_and_then_the_nearest_are_kept() {
        let mut found = vec![(0.5, 0), (0.9, 9), (0.5, 3), (0.5, 5), (0.4, 4)];
        keep_nearest(&mut found, 4, 3);
        found.sort_unstable_by_key(|&(_, source)| source);
        assert_eq!(found, [(0.5, 3), (0.5, 5), (0.9, 9)]);
    }
}
