//! Which sentences go through the encoder together.

use std::cmp::Reverse;

/// Groups the indices of `lengths` so that sentences of like length share a batch and little is spent on padding. A batch
/// holds at most `budget` tokens, padding included, unless a single sentence is longer. Sentences without tokens are in
/// none. Longest first, so that a memory that does not suffice shows at once.
pub(crate) fn batches(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).filter(|&index| lengths[index] > 0).collect();
    order.sort_by_key(|&index| Reverse(lengths[index]));
    let mut rest = order.as_slice();
    let mut batches = Vec::new();
    while let Some(&longest) = rest.first() {
        let size = (budget / lengths[longest]).clamp(1, rest.len());
        let (batch, others) = rest.split_at(size);
        batches.push(batch.to_vec());
        rest = others;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_the_budget_and_leave_nothing_out() {
        for (lengths, budget, expected) in [
            (&[][..], 10, vec![]),
            (&[0, 0], 10, vec![]),
            // Longest first; two of five tokens fill ten; equal lengths keep their order.
            (&[2, 5, 0, 5, 3, 2], 10, vec![vec![1, 3], vec![4, 0, 5]]),
            // A sentence over the budget goes alone.
            (&[1, 40, 1], 2, vec![vec![1], vec![0, 2]]),
        ] {
            assert_eq!(batches(lengths, budget), expected, "{lengths:?}");
        }
    }
}
