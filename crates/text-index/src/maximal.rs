//! The maximal passages of a text that occur, found with as few searches as possible.

use std::ops::Range;

/// Hands the maximal passages of a text of `length` characters to `take`, by their start: those
/// that occur and that cannot be made longer on either side. Only passages of at least `minimum`
/// characters; `take` says how long the next ones must be, never less than before.
///
/// `reach(start)` is the end of the longest passage that begins at `start` and occurs. It never
/// falls from one start to the next, because the rest of a passage that occurs, occurs. So one
/// search at a start clears those before it: if it does not reach to where a passage of `minimum`
/// characters from the first of them would end, none of them begins one. A text that shares little
/// with the corpus costs about one search per `minimum` characters less those shared by chance; one
/// that was copied whole costs a few searches.
pub(crate) fn maximal_passages(
    length: usize,
    mut minimum: usize,
    reach: impl Fn(usize) -> usize,
    mut take: impl FnMut(Range<usize>) -> usize,
) {
    minimum = minimum.max(1);
    let (mut start, mut end) = (0, reach(0));
    // What a search lately found: the next one begins that much, and somewhat more, before the
    // place it must not reach.
    let mut usual = end;
    // A start that reached too far. It may do so for the next passages too, and then need not be
    // asked again.
    let mut far = (0, 0);
    loop {
        if end - start >= minimum {
            minimum = take(start..end).max(minimum);
        }
        // The next passage reaches further than this one, and `minimum` beyond a later start.
        let mut target = (end + 1).max(start + 1 + minimum);
        loop {
            if target > length {
                return;
            }
            if far.0 > start && far.1 >= target {
                let near = nearer(target, start, far, &reach);
                (start, end) = first_reaching(target, start, near, &reach);
                break;
            }
            let probe = target.saturating_sub(usual + usual / 4 + 1).max(start + 1);
            let probe_end = reach(probe);
            // What lies within the last passage says nothing about what is shared by chance.
            let shared = if probe_end > end { probe_end - probe } else { 0 };
            usual = (3 * usual + shared) / 4;
            if probe_end >= target {
                far = (probe, probe_end);
                (start, end) = first_reaching(target, start, far, &reach);
                break;
            }
            (start, end) = (probe, probe_end);
            target = (end + 1).max(start + 1 + minimum);
        }
    }
}

/// Drops the passages that lie within an earlier one; they ascend by their start, and of those with one start the longest comes first.
pub(crate) fn drop_nested<Passage>(passages: &mut Vec<Passage>, span: impl Fn(&Passage) -> &Range<usize>) {
    let mut furthest = 0;
    passages.retain(|passage| {
        let end = span(passage).end;
        let reaches_further = end > furthest;
        furthest = furthest.max(end);
        reaches_further
    });
}

/// A start after `short` from which `reach` comes to `target`, found by steps that double; `far` if
/// none of them does.
fn nearer(
    target: usize,
    short: usize,
    far: (usize, usize),
    reach: impl Fn(usize) -> usize,
) -> (usize, usize) {
    let mut step = 1;
    while short + step < far.0 {
        let end = reach(short + step);
        if end >= target {
            return (short + step, end);
        }
        step *= 2;
    }
    far
}

/// The first start after `short` from which `reach` comes to `target`, and how far it comes; from
/// `short` it does not, and from the start of `far` it does.
fn first_reaching(
    target: usize,
    mut short: usize,
    mut far: (usize, usize),
    reach: impl Fn(usize) -> usize,
) -> (usize, usize) {
    while far.0 - short > 1 {
        let middle = short.midpoint(far.0);
        let end = reach(middle);
        if end >= target {
            far = (middle, end);
        } else {
            short = middle;
        }
    }
    far
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Passages of at least `minimum` and how many searches they took, in a text whose start `i`
    /// reaches `reaches[i]`.
    fn passages(reaches: &[usize], minimum: usize) -> (Vec<Range<usize>>, usize) {
        let searches = Cell::new(0);
        let mut found = Vec::new();
        let reach = |start: usize| {
            searches.set(searches.get() + 1);
            reaches[start]
        };
        maximal_passages(reaches.len() - 1, minimum, reach, |passage| {
            found.push(passage);
            minimum
        });
        (found, searches.get())
    }

    #[test]
    fn passages_are_those_whose_reach_rises() {
        // Starts 0 and 1 reach 2; 2 reaches 5, 3 and 4 no further; 5 reaches nothing; 6 reaches 8.
        let reaches = [2, 2, 5, 5, 5, 5, 8, 8, 8];
        assert_eq!(passages(&reaches, 0).0, [0..2, 2..5, 6..8]);
        assert_eq!(passages(&reaches, 1).0, [0..2, 2..5, 6..8]);
        assert_eq!(passages(&reaches, 3).0, [2..5]);
        assert_eq!(passages(&reaches, 4).0, []);
        assert_eq!(passages(&[0], 1).0, []);
    }

    #[test]
    fn a_text_that_shares_little_or_everything_costs_few_searches() {
        // Every start shares ten characters, of 10,000: a search per 40 characters clears all
        // passages of 50.
        let little: Vec<usize> = (0..=10_000).map(|start| 10_000.min(start + 10)).collect();
        let (found, searches) = passages(&little, 50);
        assert_eq!(found, []);
        assert!(searches < 300, "{searches}");

        let everything = vec![10_000; 10_001];
        assert_eq!(passages(&everything, 50), (vec![0..10_000], 1));

        let (mut halves, second) = (vec![5_000; 5_000], vec![10_000; 5_001]);
        halves.extend(second);
        let (found, searches) = passages(&halves, 50);
        assert_eq!(found, [0..5_000, 5_000..10_000]);
        assert!(searches < 60, "{searches}");
    }
}
