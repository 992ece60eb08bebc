//! Relaxed similarity: cosines between sentence vectors.

use std::collections::HashMap;
use std::sync::Arc;

use contract::Error;
use rayon::prelude::*;
use sentence_embed::{Embeddings, max_cosine};
use tch::Device;

use crate::corpus::sentences::{Sentence, SentenceTable, SplitText};
use crate::failed;

/// Sentences looked up together; a block of the matrix product.
const TOGETHER: usize = 512;

/// The vectors of sentences, by number. Not every sentence need have one.
#[derive(Debug, Clone)]
pub struct Vectors {
    /// Of the sentences numbered from 0: those of a corpus, shared by all that is compared with it.
    first: Arc<Embeddings>,
    /// Of further sentences, as they came.
    further: Vec<Embeddings>,
    /// Part and row of each of these.
    rows: HashMap<usize, (usize, usize)>,
}

impl From<Embeddings> for Vectors {
    fn from(embeddings: Embeddings) -> Self {
        Self::from(Arc::new(embeddings))
    }
}

impl From<Arc<Embeddings>> for Vectors {
    /// The vectors of the sentences numbered from 0.
    fn from(first: Arc<Embeddings>) -> Self {
        Self {
            first,
            further: Vec::new(),
            rows: HashMap::new(),
        }
    }
}

/// The sentence of a corpus that is nearest to a given one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Its number.
    pub sentence: usize,
    /// Cosine with it, −1 to 1.
    pub cosine: f32,
}

/// The nearest sentence of one corpus for every sentence that was asked about.
#[derive(Debug, Clone, Default)]
pub struct Neighbours {
    by_sentence: HashMap<usize, Neighbour>,
}

impl Vectors {
    /// Adds the vectors of the sentences `numbers`, row by row.
    pub fn extend(&mut self, numbers: &[usize], vectors: Embeddings) {
        let part = self.further.len();
        self.rows.extend(
            numbers
                .iter()
                .enumerate()
                .map(|(row, &number)| (number, (part, row))),
        );
        self.further.push(vectors);
    }

    /// Whether a sentence has a vector.
    pub fn has(&self, number: usize) -> bool {
        number < self.first.len() || self.rows.contains_key(&number)
    }

    fn row(&self, number: usize) -> Option<&[f32]> {
        self.first.row(number).or_else(|| {
            let &(part, row) = self.rows.get(&number)?;
            self.further[part].row(row)
        })
    }

    /// Cosine of two sentences, −1 to 1; 0 where one of them has no vector.
    pub fn cosine(&self, left: usize, right: usize) -> f32 {
        match (self.row(left), self.row(right)) {
            (Some(left), Some(right)) => left
                .iter()
                .zip(right)
                .map(|(left, right)| left * right)
                .sum::<f32>()
                .clamp(-1.0, 1.0),
            _ => 0.0,
        }
    }

    /// The largest cosine between a sentence of one text and a sentence of the other; `None` where either has none.
    pub fn largest(&self, left: &[Sentence], right: &[Sentence]) -> Option<f32> {
        pairs(left, right)
            .map(|(left, right)| self.cosine(left, right))
            .reduce(f32::max)
    }

    /// The largest cosine between a sentence of one text and a sentence of the other that does not equal it (but for the
    /// case of letters): how well one passage *rewords* the other. `None` where there is no such pair.
    pub fn largest_unequal(
        &self,
        table: &SentenceTable,
        left: &[Sentence],
        right: &[Sentence],
    ) -> Option<f32> {
        pairs(left, right)
            .filter(|&(left, right)| !table.equal(left, right))
            .map(|(left, right)| self.cosine(left, right))
            .reduce(f32::max)
    }

    /// For every sentence of `texts` the nearest of the sentences numbered `corpus`, of equally near ones the first.
    ///
    /// # Errors
    /// [`Error::Run`] where LibTorch fails.
    pub fn nearest(&self, texts: &[SplitText], corpus: &[usize]) -> Result<Neighbours, Error> {
        let queries = distinct(texts);
        let corpus_rows = self.rows(corpus)?;
        let found = queries
            .par_chunks(TOGETHER)
            .map(|queries| {
                max_cosine(&self.rows(queries)?, &corpus_rows, Device::Cpu)
                    .map_err(failed("comparing sentences"))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let neighbours = found.into_iter().flatten().map(|best| Neighbour {
            sentence: corpus[best.index],
            cosine: best.cosine,
        });
        let by_sentence = queries.into_iter().zip(neighbours).collect();
        Ok(Neighbours { by_sentence })
    }

    /// The sentence nearest to sentence `query` of those numbered `corpus` that are not `excluded`.
    pub fn nearest_without(
        &self,
        query: usize,
        corpus: &[usize],
        excluded: impl Fn(usize) -> bool,
    ) -> Option<Neighbour> {
        let mut ranked: Vec<Neighbour> = corpus
            .iter()
            .map(|&sentence| Neighbour {
                sentence,
                cosine: self.cosine(query, sentence),
            })
            .collect();
        ranked.sort_by(|left, right| right.cosine.total_cmp(&left.cosine));
        ranked.into_iter().find(|found| !excluded(found.sentence))
    }

    fn rows(&self, numbers: &[usize]) -> Result<Embeddings, Error> {
        let rows = numbers.iter().filter_map(|&number| self.row(number));
        let values = rows.flatten().copied().collect();
        Embeddings::from_rows(values, self.first.dimensions()).map_err(failed("comparing sentences"))
    }
}

impl Neighbours {
    /// The nearest sentence of the corpus; `None` where the corpus has none.
    pub fn of(&self, sentence: &Sentence) -> Option<Neighbour> {
        self.by_sentence.get(&sentence.number).copied()
    }
}

/// All pairs of sentence numbers.
fn pairs(left: &[Sentence], right: &[Sentence]) -> impl Iterator<Item = (usize, usize)> {
    left.iter()
        .flat_map(move |left| right.iter().map(move |right| (left.number, right.number)))
}

/// The numbers of the sentences of `texts`, ascending, each once.
pub fn distinct(texts: &[SplitText]) -> Vec<usize> {
    let mut numbers: Vec<usize> = texts
        .iter()
        .flat_map(|text| &text.sentences)
        .map(|sentence| sentence.number)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three sentences whose vectors lie in a plane: at 0°, at 90°, and at 60° from the first, cosine ½.
    fn plane() -> (SentenceTable, Vec<SplitText>, Vectors) {
        let mut table = SentenceTable::default();
        let texts = table.read(&["One two three.", "Four five six.", "Seven eight nine.", "Ha."]);
        let values = vec![1.0, 0.0, 0.0, 1.0, 0.5, 0.75_f32.sqrt()];
        (table, texts, Embeddings::from_rows(values, 2).unwrap().into())
    }

    #[test]
    fn neighbours_are_the_nearest_of_the_corpus() {
        let (_, texts, vectors) = plane();
        // Sentence 2 has cosine 0.5 with sentence 0 and √¾ with sentence 1.
        let found = vectors.nearest(&texts[2..], &distinct(&texts[..2])).unwrap();
        assert_eq!(found.of(&texts[2].sentences[0]).unwrap().sentence, 1);
        let nearest = found.of(&texts[2].sentences[0]).unwrap();
        assert!((nearest.cosine - 0.866_025_4).abs() < 1e-6);
        // Where that one is excluded, the other.
        let other = vectors
            .nearest_without(2, &[0, 1], |sentence| sentence == 1)
            .unwrap();
        assert_eq!((other.sentence, other.cosine), (0, 0.5));
        assert!(vectors.nearest_without(2, &[1], |_| true).is_none());
        assert!(
            vectors
                .nearest(&texts, &[])
                .unwrap()
                .of(&texts[0].sentences[0])
                .is_none()
        );
    }

    #[test]
    fn an_equal_sentence_rewords_nothing() {
        let (table, texts, vectors) = plane();
        let [first, third] = [&texts[0].sentences, &texts[2].sentences];
        assert_eq!(vectors.largest(first, first), Some(1.0));
        assert_eq!(vectors.largest_unequal(&table, first, first), None);
        assert_eq!(vectors.largest_unequal(&table, first, third), Some(0.5));
        assert_eq!(vectors.largest(first, &[]), None);
    }
}
