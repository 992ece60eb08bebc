use std::collections::HashMap;
use std::hash::Hash;

/// Rows of the distance matrix that one machine word holds.
const ROWS: usize = u64::BITS as usize;

/// Edit similarity of two texts: 1 − Levenshtein distance / length of the longer, in Unicode scalar values.
///
/// Between 0 (nothing in place) and 1 (equal), without unit, symmetric; two empty texts are equal. Used for
/// approximate memorization by Ippolito et al. 2022.
pub fn edit_similarity(left: &str, right: &str) -> f64 {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let longer = left.len().max(right.len());
    if longer == 0 {
        return 1.0;
    }
    1.0 - edit_distance(&left, &right) as f64 / longer as f64
}

/// Levenshtein distance: the smallest number of insertions, deletions and replacements of one token that turn
/// one slice into the other.
///
/// Bit-parallel (Myers 1999, in the block form of Hyyrö 2003): one word of 64 bits holds 64 rows of the
/// distance matrix, so two texts of 2,000 characters take some 64,000 steps instead of four million.
pub fn edit_distance<T: Eq + Hash>(left: &[T], right: &[T]) -> usize {
    let (pattern, text) = if left.len() <= right.len() {
        (left, right)
    } else {
        (right, left)
    };
    if pattern.is_empty() {
        return text.len();
    }
    let blocks = pattern.len().div_ceil(ROWS);
    let positions = positions_by_token(pattern, blocks);
    let nowhere = vec![0; blocks];

    // The first column of the matrix counts up from 0: every row is one more than the row above it.
    let mut column = vec![
        Block {
            rises: u64::MAX,
            falls: 0
        };
        blocks
    ];
    let mut distance = pattern.len();
    for token in text {
        let matches = positions.get(token).unwrap_or(&nowhere);
        // Row 0 counts up too, by one for each token of the text.
        let mut step = Step { rises: 1, falls: 0 };
        for (index, block) in column.iter_mut().enumerate() {
            let rows = ROWS.min(pattern.len() - index * ROWS);
            step = block.advance(matches[index], step, rows);
        }
        distance = distance + step.rises as usize - step.falls as usize;
    }
    distance
}

/// For each token of the pattern a bit per position: is it this token?
fn positions_by_token<T: Eq + Hash>(pattern: &[T], blocks: usize) -> HashMap<&T, Vec<u64>> {
    let mut positions: HashMap<&T, Vec<u64>> = HashMap::new();
    for (index, token) in pattern.iter().enumerate() {
        positions.entry(token).or_insert_with(|| vec![0; blocks])[index / ROWS] |= 1 << (index % ROWS);
    }
    positions
}

/// Up to 64 rows of one column of the distance matrix, as differences from each row to the next.
#[derive(Clone, Copy)]
struct Block {
    /// A bit per row that is one more than the row above it.
    rises: u64,
    /// A bit per row that is one less.
    falls: u64,
}

/// The difference, in one row, from a column to the next: at most one of the two is 1.
#[derive(Clone, Copy)]
struct Step {
    rises: u64,
    falls: u64,
}

impl Block {
    /// Moves the block one column on. `matches` has a bit per row whose token equals the column's, `above`
    /// is the step of the row just above the block; returns the step of the block's row `rows`, its last.
    fn advance(&mut self, matches: u64, above: Step, rows: usize) -> Step {
        let replaceable = matches | self.falls;
        let matches = matches | above.falls;
        let level = (((matches & self.rises).wrapping_add(self.rises)) ^ self.rises) | matches;
        let right_rises = self.falls | !(level | self.rises);
        let right_falls = self.rises & level;

        let last = rows - 1;
        let below = Step {
            rises: (right_rises >> last) & 1,
            falls: (right_falls >> last) & 1,
        };

        let right_rises = (right_rises << 1) | above.rises;
        let right_falls = (right_falls << 1) | above.falls;
        self.rises = right_falls | !(replaceable | right_rises);
        self.falls = right_rises & replaceable;
        below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_similarity_is_the_share_left_in_place() {
        let cases = [
            // k→s, e→i, +g: 3 edits, the longer has 7.
            ("kitten", "sitting", 1.0 - 3.0 / 7.0),
            ("abc", "abc", 1.0),
            ("abc", "xyz", 0.0),
            ("", "", 1.0),
            ("", "abcd", 0.0),
            // One replacement in four characters, whatever their length in bytes.
            ("naïf", "naif", 0.75),
        ];
        for (left, right, expected) in cases {
            assert_eq!(edit_similarity(left, right), expected, "{left:?} {right:?}");
        }
    }

    #[test]
    fn distance_carries_across_words_of_64_rows() {
        // 130 rows are three blocks; taking one token off the front moves every row.
        let long: Vec<usize> = (0..130).collect();
        assert_eq!(edit_distance(&long, &long[1..]), 1);
        assert_eq!(edit_distance(&long, &long[65..]), 65);
        // Rotating by one: one deletion and one insertion.
        let rotated: Vec<usize> = (1..130).chain([0]).collect();
        assert_eq!(edit_distance(&long, &rotated), 2);
        // Nothing in common: every token is replaced.
        let other: Vec<usize> = (200..330).collect();
        assert_eq!(edit_distance(&long, &other), 130);
    }
}
