//! Cosine and Dice coefficient between the sentences, and between the passages, of a pair of texts.

use std::ops::Range;

use crate::vectors::{PairVectors, dice};

/// Compares one suspicious sentence with all source sentences that share a term with it.
pub(crate) struct SentenceComparison<'a> {
    vectors: &'a PairVectors,
    sentence: usize,
    /// Per source sentence: the dot product, and how many terms are shared.
    dots: Vec<f64>,
    shared: Vec<u32>,
    /// The source sentences that share a term, each once.
    alike: Vec<u32>,
}

impl<'a> SentenceComparison<'a> {
    pub(crate) fn new(vectors: &'a PairVectors) -> Self {
        let count = vectors.sides.source.len();
        Self {
            vectors,
            sentence: 0,
            dots: vec![0.0; count],
            shared: vec![0; count],
            alike: Vec::new(),
        }
    }

    /// Compares `sentence` with the source sentences in `sources`.
    pub(crate) fn compare(&mut self, sentence: usize, sources: &Range<usize>) {
        for source in self.alike.drain(..) {
            self.dots[source as usize] = 0.0;
            self.shared[source as usize] = 0;
        }
        self.sentence = sentence;
        for entry in self.vectors.sides.suspicious.entries(sentence..sentence + 1) {
            for (source, weight) in self.vectors.weights(entry.term, sources) {
                if self.shared[source] == 0 {
                    self.alike.push(source as u32);
                }
                self.dots[source] += entry.weight * weight;
                self.shared[source] += 1;
            }
        }
    }

    /// The source sentences that share a term with the sentence last compared, in no useful order.
    pub(crate) fn alike(&self) -> &[u32] {
        &self.alike
    }

    /// Cosine of the vectors, 0 if one of them is zero. Exactly 1 for equal vectors.
    pub(crate) fn cosine(&self, source: u32) -> f64 {
        let squares = self.vectors.sides.suspicious.squares[self.sentence]
            * self.vectors.sides.source.squares[source as usize];
        cosine(self.dots[source as usize], squares)
    }

    /// Dice coefficient 2|A∩B| / (|A| + |B|) of the term sets.
    pub(crate) fn dice(&self, source: u32) -> f64 {
        let sizes = self.vectors.sides.suspicious.distinct_terms(self.sentence)
            + self.vectors.sides.source.distinct_terms(source as usize);
        dice(self.shared[source as usize], sizes)
    }
}

/// Compares a passage with a passage, by the sums of their sentences' vectors.
pub(crate) struct PassageComparison<'a> {
    vectors: &'a PairVectors,
    suspicious: Vec<f64>,
    source: Vec<f64>,
}

impl<'a> PassageComparison<'a> {
    pub(crate) fn new(vectors: &'a PairVectors) -> Self {
        Self {
            vectors,
            suspicious: vec![0.0; vectors.terms],
            source: vec![0.0; vectors.terms],
        }
    }

    pub(crate) fn cosine(&mut self, suspicious: &Range<usize>, source: &Range<usize>) -> f64 {
        let left = self.vectors.sides.suspicious.entries(suspicious.clone());
        let right = self.vectors.sides.source.entries(source.clone());
        for entry in left {
            self.suspicious[entry.term as usize] += entry.weight;
        }
        for entry in right {
            self.source[entry.term as usize] += entry.weight;
        }
        // Each sum is taken once and set to zero, which leaves the table clean for the next passage.
        let (mut dot, mut left_square, mut right_square) = (0.0, 0.0, 0.0);
        for entry in left {
            let sum = std::mem::take(&mut self.suspicious[entry.term as usize]);
            left_square += sum * sum;
            dot += sum * self.source[entry.term as usize];
        }
        for entry in right {
            let sum = std::mem::take(&mut self.source[entry.term as usize]);
            right_square += sum * sum;
        }
        cosine(dot, left_square * right_square)
    }
}

fn cosine(dot: f64, squares: f64) -> f64 {
    if squares > 0.0 {
        (dot / squares.sqrt()).min(1.0)
    } else {
        0.0
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Parameters, PreparedText, Span};

    /// A text of the given sentences, two blanks apart.
    pub(crate) fn text(sentences: &[&str]) -> PreparedText {
        let mut spans = Vec::new();
        let mut start = 0;
        for sentence in sentences {
            let length = sentence.chars().count();
            spans.push(Span::new(start, start + length));
            start += length + 2;
        }
        PreparedText::with_sentences(&sentences.join("  "), &spans).expect("spans fit")
    }

    #[track_caller]
    pub(crate) fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn cosine_and_dice_by_hand() {
        let suspicious = text(&["lamp zinc moon", "fish drum gold"]);
        let source = text(&["lamp zinc bark bark", "horn clay corn"]);
        let vectors = PairVectors::of(&suspicious, &source, &Parameters::lee2023()).expect("shared terms");
        let mut comparison = SentenceComparison::new(&vectors);
        comparison.compare(0, &(0..2));
        assert_eq!(comparison.alike(), [0]);
        // N = 4. lamp and zinc have df 2, weight ln 2 =: w; moon has df 1, weight ln 4 = 2w; bark counts twice, 4w.
        // Dot = w² + w² = 2w²; squares (1+1+4)w² and (1+1+16)w²; cosine = 2 / sqrt(6 × 18).
        near(comparison.cosine(0), 2.0 / 108.0_f64.sqrt());
        // Sets of three and three terms, two in common.
        near(comparison.dice(0), 4.0 / 6.0);
        comparison.compare(1, &(0..2));
        assert!(comparison.alike().is_empty());
    }

    #[test]
    fn passages_compare_by_their_sums() {
        let suspicious = text(&["lamp zinc moon", "lamp drum gold"]);
        let source = text(&["lamp zinc bark", "horn clay corn"]);
        let vectors = PairVectors::of(&suspicious, &source, &Parameters::lee2023()).expect("shared terms");
        let mut comparison = PassageComparison::new(&vectors);
        // N = 4: lamp a = ln(4/3), zinc b = ln 2, each other c = ln 4. The suspicious sum is 2a lamp, b zinc and three
        // terms of c; the source sum is a lamp, b zinc and four terms of c.
        let (a, b, c) = ((4.0_f64 / 3.0).ln(), 2.0_f64.ln(), 4.0_f64.ln());
        let expected = (2.0 * a * a + b * b)
            / ((4.0 * a * a + b * b + 3.0 * c * c) * (a * a + b * b + 4.0 * c * c)).sqrt();
        for _ in 0..2 {
            near(comparison.cosine(&(0..2), &(0..2)), expected);
        }
    }

    #[test]
    fn a_term_in_every_sentence_weighs_nothing() {
        let vectors = PairVectors::of(&text(&["lamp"]), &text(&["lamp"]), &Parameters::lee2023())
            .expect("shared terms");
        let mut comparison = SentenceComparison::new(&vectors);
        comparison.compare(0, &(0..1));
        assert_eq!((comparison.cosine(0), comparison.dice(0)), (0.0, 1.0));
    }
}
