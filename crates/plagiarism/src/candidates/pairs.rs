//! Pairs of a generation and a candidate document, by document: each document is prepared once, compared with all the
//! generations that it is a candidate of, and let go, so that memory does not grow with the number of candidates.

use contract::Error;

use crate::parallel;

/// A generation and one of its candidate documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// Index of the document.
    pub document: usize,
    /// Index of the generation.
    pub generation: usize,
    /// Place of the document among the candidates of the generation.
    pub place: usize,
}

/// The pairs of `candidates` (the documents of each generation, in order), by document.
pub fn of_candidates<'run>(candidates: impl IntoIterator<Item = &'run [usize]>) -> Vec<Pair> {
    let pairs = candidates
        .into_iter()
        .enumerate()
        .flat_map(|(generation, documents)| {
            documents.iter().enumerate().map(move |(place, &document)| Pair {
                document,
                generation,
                place,
            })
        });
    let mut pairs: Vec<Pair> = pairs.collect();
    pairs.sort_unstable();
    pairs
}

/// What `work` finds in each document with the pairs that it is part of, by generation (of which there are `generations`),
/// in the order of their candidates.
///
/// # Errors
/// Those of `work`.
pub fn by_document<R: Send>(
    label: &'static str,
    pairs: &[Pair],
    generations: usize,
    work: impl Fn(&[Pair]) -> Result<Vec<(Pair, R)>, Error> + Sync,
) -> Result<Vec<Vec<R>>, Error> {
    let documents: Vec<&[Pair]> = pairs
        .chunk_by(|left, right| left.document == right.document)
        .collect();
    let found = parallel::map(label, "documents", &documents, |pairs| work(pairs))?;
    let mut found: Vec<(Pair, R)> = found.into_iter().flatten().collect();
    found.sort_by_key(|(pair, _)| pair.place);
    let mut by_generation: Vec<Vec<R>> = Vec::new();
    by_generation.resize_with(generations, Vec::new);
    for (pair, result) in found {
        by_generation[pair.generation].push(result);
    }
    Ok(by_generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_is_visited_once_and_results_come_in_the_order_of_candidates() {
        let candidates: [&[usize]; 3] = [&[7, 2, 5], &[], &[5, 7]];
        let pairs = of_candidates(candidates);
        let mut visited: Vec<usize> = pairs.iter().map(|pair| pair.document).collect();
        visited.dedup();
        assert_eq!(visited, [2, 5, 7]);
        let found = by_document("testing", &pairs, 3, |pairs| {
            Ok(pairs
                .iter()
                .filter(|pair| pair.document != 2)
                .map(|&pair| (pair, pair.document * 10 + pairs.len()))
                .collect())
        });
        // Document 2 gives nothing; 5 and 7 belong to two pairs each.
        assert_eq!(found.ok(), Some(vec![vec![72, 52], vec![], vec![52, 72]]));
    }
}
