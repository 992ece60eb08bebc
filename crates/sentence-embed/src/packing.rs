//! Which sequences go through the transformer together, and how they lie in memory.
//!
//! The tokens of a batch stand one after the other, without padding: every layer but attention looks at single tokens, so
//! it works on one matrix of all of them. Attention works on each run of sequences of equal length.

use std::cmp::Reverse;
use std::ops::Range;

use tch::{Device, Tensor};

use crate::EmbedError;
use crate::config::{Family, TransformerConfig};

/// The tokens of a sentence, or of a pair of sentences.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sequence {
    pub(crate) ids: Vec<u32>,
    /// Which text of a pair a token belongs to; empty where there is one text.
    pub(crate) types: Vec<u32>,
}

/// The order in which sequences are computed: those without tokens not at all, equal ones once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Numbers of the sequences to compute. Longest first, so that a memory that does not suffice shows at once.
    pub(crate) order: Vec<usize>,
    /// For every sequence its place in `order`, or that of its equal.
    pub(crate) places: Vec<Option<usize>>,
    /// Parts of `order` that are computed together.
    pub(crate) batches: Vec<Range<usize>>,
}

impl Plan {
    /// A batch holds at most `budget` tokens, unless a single sequence is longer.
    pub(crate) fn new(sequences: &[Sequence], budget: usize) -> Self {
        let mut sorted: Vec<usize> = (0..sequences.len())
            .filter(|&number| !sequences[number].ids.is_empty())
            .collect();
        sorted.sort_by_key(|&number| (Reverse(sequences[number].ids.len()), &sequences[number]));
        let mut order: Vec<usize> = Vec::with_capacity(sorted.len());
        let mut places = vec![None; sequences.len()];
        for number in sorted {
            if order
                .last()
                .is_none_or(|&last| sequences[last] != sequences[number])
            {
                order.push(number);
            }
            places[number] = Some(order.len() - 1);
        }

        let mut batches = Vec::new();
        let (mut start, mut tokens) = (0, 0);
        for (place, &number) in order.iter().enumerate() {
            let length = sequences[number].ids.len();
            if place > start && tokens + length > budget {
                batches.push(start..place);
                (start, tokens) = (place, 0);
            }
            tokens += length;
        }
        if start < order.len() {
            batches.push(start..order.len());
        }
        Self {
            order,
            places,
            batches,
        }
    }
}

/// Sequences of one length, neighbours in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Row of the first sequence's first token.
    pub(crate) start: i64,
    pub(crate) sequences: i64,
    /// Tokens of each.
    pub(crate) length: i64,
}

impl Run {
    pub(crate) fn rows(&self) -> i64 {
        self.sequences * self.length
    }
}

/// A batch of sequences: its tokens one after the other.
pub(crate) struct Batch {
    /// Token ids, `[tokens]`
    pub(crate) ids: Tensor,
    /// Rows of the table of positions, `[tokens]`
    pub(crate) positions: Tensor,
    /// Token types, `[tokens]`; `None` where all are of the first.
    pub(crate) types: Option<Tensor>,
    pub(crate) runs: Vec<Run>,
}

impl Batch {
    /// `sequences` should be sorted by length, or attention is computed in many small parts; none may be empty.
    pub(crate) fn new(
        sequences: &[&Sequence],
        config: &TransformerConfig,
        device: Device,
    ) -> Result<Self, EmbedError> {
        let column = |values: &[i64]| Tensor::f_from_slice(values)?.f_to_device(device);
        let ids: Vec<i64> = widened(sequences.iter().flat_map(|sequence| &sequence.ids));
        let types: Vec<i64> = widened(sequences.iter().flat_map(|sequence| &sequence.types));
        let positions: Vec<i64> = sequences
            .iter()
            .flat_map(|sequence| positions(&sequence.ids, config))
            .collect();
        Ok(Self {
            ids: column(&ids)?,
            positions: column(&positions)?,
            types: (types.len() == ids.len()).then(|| column(&types)).transpose()?,
            runs: runs(sequences.iter().map(|sequence| sequence.ids.len() as i64)),
        })
    }
}

fn widened<'numbers>(numbers: impl Iterator<Item = &'numbers u32>) -> Vec<i64> {
    numbers.map(|&number| i64::from(number)).collect()
}

/// The position of every token. In RoBERTa a padding token has the position of its own number and is not counted, even one
/// that the text itself spells out, as in transformers.
fn positions(ids: &[u32], config: &TransformerConfig) -> Vec<i64> {
    let first = config.first_position();
    if config.family() == Family::Bert {
        return (first..first + ids.len() as i64).collect();
    }
    let padding = config.padding_token();
    let mut next = first;
    ids.iter()
        .map(|&id| {
            if i64::from(id) == padding {
                return padding;
            }
            next += 1;
            next - 1
        })
        .collect()
}

fn runs(lengths: impl Iterator<Item = i64>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut start = 0;
    for length in lengths {
        match runs.last_mut() {
            Some(run) if run.length == length => run.sequences += 1,
            _ => runs.push(Run {
                start,
                sequences: 1,
                length,
            }),
        }
        start += length;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(ids: &[u32]) -> Sequence {
        Sequence {
            ids: ids.to_vec(),
            types: Vec::new(),
        }
    }

    #[test]
    fn batches_keep_to_the_budget_and_equal_sequences_are_computed_once() {
        let long: Vec<u32> = (0..40).collect();
        for (sequences, budget, order, places, batches) in [
            (vec![], 10, vec![], vec![], vec![]),
            (vec![&[][..], &[]], 10, vec![], vec![None, None], vec![]),
            // Longest first, by token where lengths are equal; 3 + 3 tokens fill 7, and 2 + 1 are the rest.
            (
                vec![&[7, 1], &[9, 9, 9], &[], &[8, 9, 9], &[9, 9, 9], &[5]],
                7,
                vec![3, 1, 0, 5],
                vec![Some(2), Some(1), None, Some(0), Some(1), Some(3)],
                vec![0..2, 2..4],
            ),
            // A sequence over the budget goes alone.
            (
                vec![&[1], &long, &[2]],
                2,
                vec![1, 0, 2],
                vec![Some(1), Some(0), Some(2)],
                vec![0..1, 1..3],
            ),
        ] {
            let sequences: Vec<Sequence> = sequences.into_iter().map(sequence).collect();
            let expected = Plan {
                order,
                places,
                batches,
            };
            assert_eq!(Plan::new(&sequences, budget), expected, "{sequences:?}");
        }
    }

    #[test]
    fn runs_are_neighbours_of_equal_length() {
        let run = |start, sequences, length| Run {
            start,
            sequences,
            length,
        };
        assert_eq!(runs([].into_iter()), []);
        assert_eq!(
            runs([5, 5, 3, 5].into_iter()),
            [run(0, 2, 5), run(10, 1, 3), run(13, 1, 5)]
        );
    }
}
