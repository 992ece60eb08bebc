//! From parts of two texts that are alike to passages.
//!
//! A *piece* is a part of a generation and the part of a document that it may render: a passage that alignment found, or two
//! sentences that are near in meaning. Pieces that lie close together on both sides are one *group*: a copy that was edited
//! here and there is one passage, not as many as it has unedited runs. A piece that is not confirmed makes no group by itself,
//! but belongs to one that it lies close to.

use text_align::Span;

/// A part of a generation and a part of a document that are alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Piece {
    /// Where in the generation.
    pub(crate) generated: Span,
    /// Where in the document.
    pub(crate) document: Span,
    /// How alike they are, 0 to 1.
    pub(crate) similarity: f32,
    /// Whether alignment found it.
    pub(crate) is_aligned: bool,
    /// Whether it makes a passage by itself.
    pub(crate) is_confirmed: bool,
    /// Whether meaning found it: then shared words need not tell where it begins and ends.
    pub(crate) by_meaning: bool,
}

/// Pieces that lie close together on both sides, and what they cover.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub(crate) generated: Span,
    pub(crate) document: Span,
    pub(crate) pieces: Vec<Piece>,
}

impl Group {
    /// The largest similarity of an aligned piece, or where there is none of one that meaning found: the two are cosines of
    /// different vectors.
    pub(crate) fn similarity(&self) -> f32 {
        let largest = |is_aligned: bool| {
            let pieces = self.pieces.iter().filter(|piece| piece.is_aligned == is_aligned);
            pieces.map(|piece| piece.similarity).reduce(f32::max)
        };
        largest(true).or(largest(false)).unwrap_or(0.0)
    }
}

/// Groups pieces between which lie at most `max_gap` characters on either side, and keeps the groups with a confirmed one, by
/// their place in the generation.
pub(crate) fn group(pieces: &[Piece], max_gap: usize) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for &piece in pieces {
        let mut joined = Group {
            generated: piece.generated,
            document: piece.document,
            pieces: vec![piece],
        };
        // What the piece is close to becomes one group, and that may be close to further ones.
        while let Some(place) = groups.iter().position(|group| {
            distance(group.generated, joined.generated) <= max_gap
                && distance(group.document, joined.document) <= max_gap
        }) {
            let other = groups.swap_remove(place);
            joined.generated = cover(joined.generated, other.generated);
            joined.document = cover(joined.document, other.document);
            joined.pieces.extend(other.pieces);
        }
        groups.push(joined);
    }
    groups.retain(|group| group.pieces.iter().any(|piece| piece.is_confirmed));
    groups.sort_by_key(|group| (group.generated, group.document));
    groups
}

/// Characters between two spans, 0 where they touch or overlap.
fn distance(left: Span, right: Span) -> usize {
    let gap = |first: Span, second: Span| second.start.saturating_sub(first.end);
    gap(left, right).max(gap(right, left))
}

/// From the start of the first span to the end of the last.
pub(crate) fn cover(left: Span, right: Span) -> Span {
    Span::new(left.start.min(right.start), left.end.max(right.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(generated: (usize, usize), document: (usize, usize), is_confirmed: bool) -> Piece {
        Piece {
            generated: Span::new(generated.0, generated.1),
            document: Span::new(document.0, document.1),
            similarity: 0.5,
            is_aligned: true,
            is_confirmed,
            by_meaning: false,
        }
    }

    fn extents(pieces: &[Piece], max_gap: usize) -> Vec<[usize; 4]> {
        group(pieces, max_gap)
            .iter()
            .map(|group| {
                [
                    group.generated.start,
                    group.generated.end,
                    group.document.start,
                    group.document.end,
                ]
            })
            .collect()
    }

    #[test]
    fn unconfirmed_pieces_go_with_confirmed_ones_and_not_alone() {
        let confirmed = piece((100, 200), (500, 600), true);
        let other = piece((210, 300), (400, 490), false);
        assert_eq!(extents(&[confirmed, other], 10), [[100, 300, 400, 600]]);
        assert_eq!(extents(&[confirmed, other], 9), [[100, 200, 500, 600]]);
        assert_eq!(extents(&[other], 10), [] as [[usize; 4]; 0]);
    }

    #[test]
    fn similarity_is_that_of_aligned_pieces_if_there_are_any() {
        let aligned = piece((0, 50), (0, 50), true);
        let mut near = Piece {
            similarity: 0.9,
            is_aligned: false,
            ..aligned
        };
        assert_eq!(group(&[aligned, near], 0)[0].similarity(), 0.5);
        assert_eq!(group(&[near], 0)[0].similarity(), 0.9);
        near.is_aligned = true;
        assert_eq!(group(&[aligned, near], 0)[0].similarity(), 0.9);
    }

    #[test]
    fn both_sides_must_be_near() {
        let first = piece((0, 50), (0, 50), true);
        for (second, groups) in [
            (piece((60, 90), (60, 90), true), 1),
            (piece((60, 90), (61, 90), true), 2),
            (piece((61, 90), (60, 90), true), 2),
            (piece((20, 30), (300, 310), true), 2),
        ] {
            assert_eq!(group(&[first, second], 10).len(), groups, "{second:?}");
        }
    }

    #[test]
    fn a_piece_between_two_groups_joins_them() {
        let pieces = [
            piece((0, 10), (0, 10), false),
            piece((40, 50), (40, 50), true),
            piece((18, 32), (18, 32), false),
        ];
        assert_eq!(extents(&pieces, 8), [[0, 50, 0, 50]]);
        assert_eq!(extents(&pieces, 7), [[40, 50, 40, 50]]);
    }
}
