//! Nearest rows against a plain loop over all pairs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use sentence_embed::{Best, EmbedError, Embeddings, max_cosine};
use tch::Device;

/// Rows of length 1 in pseudo-random directions (a multiplicative congruential generator modulo a prime).
fn rows(count: usize, dimensions: usize, seed: u64) -> Embeddings {
    let mut state = seed;
    let mut values: Vec<f32> = (0..count * dimensions)
        .map(|_| {
            state = state * 48_271 % 2_147_483_647;
            state as f32 / 2_147_483_647.0 - 0.5
        })
        .collect();
    for row in values.chunks_exact_mut(dimensions) {
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        for value in row {
            *value /= length;
        }
    }
    Embeddings::from_rows(values, dimensions).unwrap()
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

#[test]
fn every_pair_is_compared_across_blocks() {
    // More rows than a block on both sides: blocks hold 1,024 queries and 8,192 rows of the corpus.
    let (queries, corpus) = (rows(1_500, 6, 1), rows(9_000, 6, 2));
    let found = max_cosine(&queries, &corpus, Device::Cpu).unwrap();
    assert_eq!(found.len(), 1_500);
    for (best, query) in found.iter().zip(queries.rows()) {
        let largest = corpus
            .rows()
            .map(|row| dot(query, row))
            .fold(f32::NEG_INFINITY, f32::max);
        assert!((best.cosine - largest).abs() < 1e-6);
        assert!((dot(query, corpus.row(best.index).unwrap()) - largest).abs() < 1e-6);
    }
    assert!(
        found.iter().any(|best| best.index >= 8_192),
        "the second block was never nearest"
    );
}

#[test]
fn the_first_of_equal_rows_wins_and_cosines_stay_within_one() {
    let corpus = Embeddings::from_rows(vec![0.0, 1.0, 1.0, 0.0, 1.0, 0.0, -1.0, 0.0], 2).unwrap();
    let queries = Embeddings::from_rows(vec![1.0, 0.0, 0.0, -1.0, 1.000_001, 0.0], 2).unwrap();
    let found = max_cosine(&queries, &corpus, Device::Cpu).unwrap();
    // (1, 0) is row 1 and row 2; (0, −1) is perpendicular to rows 1 to 3 and opposite to row 0.
    let expected = [(1, 1.0), (1, 0.0), (1, 1.0)].map(|(index, cosine)| Best { index, cosine });
    assert_eq!(found, expected);
}

#[test]
fn empty_sides_and_foreign_rows() {
    let (some, none) = (rows(3, 4, 1), Embeddings::from_rows(Vec::new(), 4).unwrap());
    assert_eq!(max_cosine(&none, &some, Device::Cpu).unwrap(), []);
    assert_eq!(max_cosine(&some, &none, Device::Cpu).unwrap(), []);
    let foreign = max_cosine(&some, &rows(3, 5, 1), Device::Cpu);
    assert!(matches!(
        foreign,
        Err(EmbedError::Dimensions {
            expected: 4,
            found: 5
        })
    ));
}

#[test]
fn rows_must_be_whole() {
    assert!(Embeddings::from_rows(vec![0.0; 7], 3).is_err());
    assert!(Embeddings::from_rows(vec![0.0; 7], 0).is_err());
}
