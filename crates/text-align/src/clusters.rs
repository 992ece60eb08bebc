//! Steps 4 and 5: seeds that lie close together on both sides become candidate cases.

use std::ops::Range;

use crate::comparisons::PassageComparison;
use crate::parameters::{Mode, Parameters, Sides};
use crate::seeds::Seed;
use crate::vectors::PairVectors;

/// Two runs of sentences that are alike.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) suspicious: Range<usize>,
    pub(crate) source: Range<usize>,
    /// Cosine of the summed vectors.
    pub(crate) similarity: f64,
}

/// Clusters `seeds` and keeps the clusters whose sides are alike, by suspicious and then by source sentences. A
/// cluster that fails is clustered again with gaps one smaller, until the minimum gap.
///
/// The published program leaves candidates that start with the same suspicious sentence in the order in which the
/// clusters fell apart, and so does [`Mode::Exact`](crate::Mode::Exact).
pub(crate) fn candidates(
    vectors: &PairVectors,
    seeds: Vec<Seed>,
    gap: Sides<usize>,
    parameters: &Parameters,
) -> Vec<Candidate> {
    let mut comparison = PassageComparison::new(vectors);
    let mut found = Vec::new();
    // What comes first is taken first from the end.
    let mut open: Vec<(Vec<Seed>, Sides<usize>)> = Vec::new();
    let cluster_again = |seeds, gap, open: &mut Vec<_>| {
        open.extend(split(seeds, gap).into_iter().rev().map(|cluster| (cluster, gap)));
    };
    cluster_again(seeds, gap, &mut open);
    while let Some((cluster, gap)) = open.pop() {
        if !is_large_enough(&cluster, parameters.min_cluster_sentences) {
            continue;
        }
        let (suspicious, source) = (range(&cluster, Side::Suspicious), range(&cluster, Side::Source));
        let similarity = comparison.cosine(&suspicious, &source);
        if similarity > parameters.cluster_cosine {
            found.push(Candidate {
                suspicious,
                source,
                similarity,
            });
        } else if let Some(narrower) = narrower(gap, parameters.min_gap, parameters.mode)
            && cluster.len() > 1
        {
            cluster_again(cluster, narrower, &mut open);
        }
    }
    if parameters.mode.one_case_replaces_all_it_overlaps() {
        found.sort_by_key(|candidate| candidate.suspicious.start);
    } else {
        found.sort_unstable_by_key(sentence_order);
    }
    found
}

fn sentence_order(candidate: &Candidate) -> [usize; 4] {
    [
        candidate.suspicious.start,
        candidate.suspicious.end,
        candidate.source.start,
        candidate.source.end,
    ]
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Suspicious,
    Source,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Suspicious => Self::Source,
            Self::Source => Self::Suspicious,
        }
    }

    fn of(self, seed: Seed) -> usize {
        (match self {
            Self::Suspicious => seed.suspicious,
            Self::Source => seed.source,
        }) as usize
    }
}

/// Cuts wherever more than the gap lies between neighbours, on one side, then on the other, in turns, until neither
/// side has a cut left. Which side begins makes no difference to the clusters, but to their order.
fn split(seeds: Vec<Seed>, gap: Sides<usize>) -> Vec<Vec<Seed>> {
    let mut finished = Vec::new();
    // A work list instead of recursion, whose depth the input would decide. The flag: no cut is left on the other side.
    let mut open = vec![(seeds, Side::Suspicious, false)];
    while let Some((mut seeds, side, other_is_whole)) = open.pop() {
        let gap = match side {
            Side::Suspicious => gap.suspicious,
            Side::Source => gap.source,
        };
        seeds.sort_unstable_by_key(|&seed| side.of(seed));
        let is_near = |&a: &Seed, &b: &Seed| side.of(b) <= side.of(a).saturating_add(gap).saturating_add(1);
        let pieces: Vec<&[Seed]> = seeds.chunk_by(is_near).collect();
        if pieces.len() > 1 {
            let pieces = pieces.into_iter().rev();
            open.extend(pieces.map(|piece| (piece.to_vec(), side.other(), true)));
        } else if other_is_whole {
            finished.extend((!seeds.is_empty()).then_some(seeds));
        } else {
            open.push((seeds, side.other(), true));
        }
    }
    finished
}

fn narrower(gap: Sides<usize>, min_gap: Sides<usize>, mode: Mode) -> Option<Sides<usize>> {
    let one_is_lowest = gap.suspicious <= min_gap.suspicious || gap.source <= min_gap.source;
    if one_is_lowest && mode.gaps_fall_together() {
        return None;
    }
    let fall = |gap: usize, min_gap: usize| if gap > min_gap { gap - 1 } else { gap };
    let next = Sides {
        suspicious: fall(gap.suspicious, min_gap.suspicious),
        source: fall(gap.source, min_gap.source),
    };
    (next != gap).then_some(next)
}

fn is_large_enough(cluster: &[Seed], minimum: usize) -> bool {
    // One seed makes one sentence on either side, so the usual minimum of 1 needs no counting.
    minimum <= 1
        || [Side::Suspicious, Side::Source].into_iter().all(|side| {
            let mut sentences: Vec<usize> = cluster.iter().map(|&seed| side.of(seed)).collect();
            sentences.sort_unstable();
            sentences.dedup();
            sentences.len() >= minimum
        })
}

/// The sentences from the first to the last seed.
fn range(cluster: &[Seed], side: Side) -> Range<usize> {
    let sentences = || cluster.iter().map(|&seed| side.of(seed));
    sentences().min().unwrap_or(0)..sentences().max().map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PreparedText, Span};

    fn seeds(pairs: &[(u32, u32)]) -> Vec<Seed> {
        pairs
            .iter()
            .map(|&(suspicious, source)| Seed { suspicious, source })
            .collect()
    }

    fn clusters(pairs: &[(u32, u32)], gap: Sides<usize>) -> Vec<Vec<(u32, u32)>> {
        let mut clusters: Vec<Vec<(u32, u32)>> = split(seeds(pairs), gap)
            .into_iter()
            .map(|cluster| {
                let mut pairs: Vec<_> = cluster
                    .into_iter()
                    .map(|seed| (seed.suspicious, seed.source))
                    .collect();
                pairs.sort_unstable();
                pairs
            })
            .collect();
        clusters.sort_unstable();
        clusters
    }

    #[test]
    fn cuts_where_more_than_the_gap_lies_between_neighbours() {
        // Between 0 and 3 lie two sentences, between 3 and 7 three.
        let found = clusters(&[(0, 0), (3, 0), (7, 0)], Sides::both(2));
        assert_eq!(found, [vec![(0, 0), (3, 0)], vec![(7, 0)]]);
    }

    #[test]
    fn sides_take_turns_until_neither_splits() {
        // Gap 1. The suspicious side 0 1 2 3 4 is whole. The source side 0 10 20 22 24 falls apart into {0}, {10} and
        // {20, 22, 24}, whose suspicious sentences 0, 2 and 4 stay together.
        let found = clusters(&[(0, 20), (1, 10), (2, 22), (3, 0), (4, 24)], Sides::both(1));
        assert_eq!(
            found,
            [vec![(0, 20), (2, 22), (4, 24)], vec![(1, 10)], vec![(3, 0)]]
        );
        // Gap 0. The source splits off (1, 9), which breaks the suspicious side between 0 and 2, which then breaks the
        // source between 1 and 3: (2, 2) was the bridge from (0, 1) to (0, 3).
        let found = clusters(&[(0, 1), (0, 3), (1, 9), (2, 2)], Sides::both(0));
        assert_eq!(found, [vec![(0, 1)], vec![(0, 3)], vec![(1, 9)], vec![(2, 2)]]);
    }

    #[test]
    fn each_side_has_its_own_gap() {
        let pairs = [(0, 0), (2, 2)];
        assert_eq!(
            clusters(
                &pairs,
                Sides {
                    suspicious: 1,
                    source: 1
                }
            )
            .len(),
            1
        );
        assert_eq!(
            clusters(
                &pairs,
                Sides {
                    suspicious: 0,
                    source: 1
                }
            )
            .len(),
            2
        );
        assert_eq!(
            clusters(
                &pairs,
                Sides {
                    suspicious: 1,
                    source: 0
                }
            )
            .len(),
            2
        );
        assert!(clusters(&[], Sides::both(0)).is_empty());
    }

    #[test]
    fn gaps_fall_one_by_one_to_the_minimum() {
        let gaps = |suspicious, source| Sides { suspicious, source };
        let min_gap = gaps(0, 1);
        for (gap, fixed, exact) in [
            (gaps(2, 2), Some(gaps(1, 1)), Some(gaps(1, 1))),
            (gaps(1, 1), Some(gaps(0, 1)), None),
            (gaps(0, 3), Some(gaps(0, 2)), None),
            (gaps(0, 1), None, None),
        ] {
            assert_eq!(narrower(gap, min_gap, Mode::Fixed), fixed, "{gap:?}");
            assert_eq!(narrower(gap, min_gap, Mode::Exact), exact, "{gap:?}");
        }
    }

    #[test]
    fn clusters_come_from_left_to_right() {
        let pairs = [(9, 0), (0, 9), (0, 0), (4, 4)];
        let found = split(seeds(&pairs), Sides::both(1));
        let order: Vec<Vec<Seed>> = [[(0, 0)], [(0, 9)], [(4, 4)], [(9, 0)]]
            .iter()
            .map(|pair| seeds(pair))
            .collect();
        assert_eq!(found, order);
    }

    #[test]
    fn small_clusters_are_counted_by_distinct_sentences() {
        let cluster = seeds(&[(4, 7), (4, 8), (4, 9)]);
        assert!(is_large_enough(&cluster, 1));
        assert!(!is_large_enough(&cluster, 2));
        assert!(is_large_enough(&seeds(&[(4, 7), (5, 8)]), 2));
    }

    /// One word per sentence, so that vectors are easy to add up.
    fn words(text: &str) -> PreparedText {
        let mut spans = Vec::new();
        let mut start = 0;
        for word in text.split(' ') {
            spans.push(Span::new(start, start + word.len()));
            start += word.len() + 1;
        }
        PreparedText::with_sentences(text, &spans).expect("spans fit")
    }

    #[test]
    fn a_cluster_that_is_not_alike_is_tried_again_with_a_smaller_gap() {
        // Two common sentences, with two strange ones between them on either side. N = 8: common words have df 2 and
        // weigh ln 4 =: 2w, strange ones have df 1 and weigh ln 8 = 3w. Over the whole range the cosine is
        // 2·4 / (2·4 + 2·9) = 8/26 = 0.31; of each common sentence alone it is 1.
        let suspicious = words("lamp aaaa bbbb zinc");
        let source = words("lamp cccc dddd zinc");
        let parameters = Parameters {
            min_sentence_words: 1,
            ..Parameters::lee2023()
        };
        let vectors = PairVectors::of(&suspicious, &source, &parameters).expect("shared terms");
        let found = |parameters: &Parameters| {
            candidates(&vectors, seeds(&[(0, 0), (3, 3)]), parameters.gap, parameters)
        };
        let one = |sentence: usize| Candidate {
            suspicious: sentence..sentence + 1,
            source: sentence..sentence + 1,
            similarity: 1.0,
        };
        assert_eq!(found(&parameters), [one(0), one(3)]);
        // At a minimum gap of 2 the cluster never falls apart and is dropped.
        assert_eq!(
            found(&Parameters {
                min_gap: Sides::both(2),
                ..parameters.clone()
            }),
            []
        );
        // At a threshold below 8/26 it stays as it is.
        let whole = found(&Parameters {
            cluster_cosine: 0.30,
            ..parameters
        });
        assert_eq!(whole.len(), 1);
        assert_eq!((&whole[0].suspicious, &whole[0].source), (&(0..4), &(0..4)));
        assert!((whole[0].similarity - 8.0 / 26.0).abs() < 1e-12);
    }
}
