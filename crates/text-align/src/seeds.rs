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
///
/// Time grows with the number of pairs of sentences that share a term, where equal sentences of a suspicious text of
/// more than [`SEEDS_PER_SENTENCE`] count once.
pub(crate) fn find(vectors: &PairVectors, parameters: &Parameters) -> Vec<Seed> {
    let mut comparison = SentenceComparison::new(vectors);
    let sources = 0..vectors.sides.source.len();
    let suspicious = &vectors.sides.suspicious;
    let groups = if suspicious.len() > SEEDS_PER_SENTENCE {
        suspicious.groups_of_equals()
    } else {
        (0..suspicious.len() as u32)
            .map(|sentence| vec![sentence])
            .collect()
    };
    let mut seeds = Vec::new();
    for group in groups {
        comparison.compare(group[0] as usize, &sources);
        let mut found: Vec<(f64, u32)> = comparison
            .alike()
            .iter()
            .filter(|&&source| comparison.dice(source) > parameters.seed_dice)
            .map(|&source| (comparison.cosine(source), source))
            .filter(|&(cosine, _)| cosine > parameters.seed_cosine)
            .collect();
        found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for &sentence in &group {
            seeds.extend(nearest(&found, sentence, SEEDS_PER_SENTENCE).map(|source| Seed {
                suspicious: sentence,
                source,
            }));
        }
    }
    seeds.sort_unstable_by_key(|seed| (seed.suspicious, seed.source));
    seeds
}

/// Of `found`, which is sorted by falling cosine and then by sentence, the `limit` sentences with the highest cosine,
/// among equals those nearest to `position`: of a sentence that a text repeats over and over, the repetitions that an
/// unchanged copy would pair it with.
fn nearest(found: &[(f64, u32)], position: u32, limit: usize) -> impl Iterator<Item = u32> {
    let (certain, tied) = match found.get(limit) {
        None => (found, &found[..0]),
        Some(&(last, _)) => {
            let higher = found.partition_point(|&(cosine, _)| cosine > last);
            let equal = found.partition_point(|&(cosine, _)| cosine >= last);
            (&found[..higher], &found[higher..equal])
        }
    };
    // The tied ones that are taken lie side by side around the position.
    let mut end = tied.partition_point(|&(_, source)| source < position);
    let mut start = end;
    let wanted = if tied.is_empty() { 0 } else { limit - certain.len() };
    while end - start < wanted {
        let distance = |index: usize| tied.get(index).map(|&(_, source)| source.abs_diff(position));
        let before = start.checked_sub(1).and_then(distance);
        match (before, distance(end)) {
            (Some(before), Some(after)) if after < before => end += 1,
            (Some(_), _) => start -= 1,
            (None, Some(_)) => end += 1,
            (None, None) => break,
        }
    }
    certain.iter().chain(&tied[start..end]).map(|&(_, source)| source)
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
        let found = [(0.9, 9), (0.5, 0), (0.5, 3), (0.5, 5), (0.5, 8), (0.4, 4)];
        for (position, limit, expected) in [
            (4, 3, &[9, 3, 5][..]),
            (4, 2, &[9, 3]),
            (0, 3, &[9, 0, 3]),
            (99, 3, &[9, 5, 8]),
            (7, 1, &[9]),
            (7, 5, &[9, 0, 3, 5, 8]),
            (7, 6, &[9, 0, 3, 5, 8, 4]),
            (7, 0, &[]),
        ] {
            let kept: Vec<u32> = nearest(&found, position, limit).collect();
            assert_eq!(kept, expected, "{limit} nearest to {position}");
        }
    }

    #[test]
    fn equal_sentences_of_a_long_text_have_the_seeds_of_a_short_one() {
        // Two sentences in turns, in a text that is compared group by group and in one that is not.
        let long = 2 * SEEDS_PER_SENTENCE;
        let text = |count: usize| {
            let spans: Vec<Span> = (0..count).map(|i| Span::new(15 * i, 15 * i + 14)).collect();
            let sentences = "lamp zinc moon fish drum gold ".repeat(count / 2);
            PreparedText::with_sentences(&sentences, &spans).expect("spans fit")
        };
        let parameters = Parameters::lee2023();
        let source = text(6);
        for count in [6, long] {
            let vectors = PairVectors::of(&text(count), &source, &parameters).expect("shared terms");
            let found = find(&vectors, &parameters);
            assert_eq!(found.len(), 3 * count);
            for (index, seed) in found.iter().enumerate() {
                let suspicious = index / 3;
                let source = suspicious % 2 + 2 * (index % 3);
                assert_eq!(
                    (seed.suspicious as usize, seed.source as usize),
                    (suspicious, source)
                );
            }
        }
    }
}
