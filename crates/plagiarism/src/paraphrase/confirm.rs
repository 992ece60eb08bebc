//! Whether two aligned passages say the same thing.
//!
//! Alignment finds passages that share words; that they share meaning is a second question. Lee et al. (WWW 2023) asked a
//! classifier trained on MRPC about every pair of sentences of the two passages, and so does `detection.confirm =
//! "classifier"`. By default the cosine of the sentences' vectors has to reach a threshold that was calibrated on labelled
//! pairs (`examples/calibrate.rs`).

use contract::pipeline::{Confirmation, Detection};

use crate::candidates::word_overlap::SentenceWords;
use crate::corpus::sentences::{Sentence, SentenceTable};
use crate::paraphrase::classifier::ParaphraseClassifier;
use crate::paraphrase::similarity::Vectors;

/// Two sentences with a cosine from here on say the same, whatever their words. At this cosine 99% of such pairs of PAN 2010
/// are labelled rewordings, and 85% of MRPC's.
const SAME_MEANING: f32 = 0.85;

/// Two sentences with a cosine from here on say the same if they share their words too,
const NEAR_MEANING: f32 = 0.64;

/// with a weighted Dice coefficient from here on.
const SHARED_WORDS: f32 = 0.5;

/// A sentence of a generation that says what a sentence of a document says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rewording {
    /// The sentence of the generation.
    pub generated: Sentence,
    /// The sentence of the document.
    pub document: Sentence,
    /// Cosine of their vectors.
    pub cosine: f32,
    /// Whether [`Confirmer::confirms`] agrees: not for equal sentences, which only belong to a passage around them.
    pub is_confirmed: bool,
    /// Whether they share so many words that these tell where the rewording begins and ends.
    pub shares_words: bool,
}

/// Two sentences, by their places among those compared, of which one rewords the other.
#[derive(Debug, Clone, Copy)]
struct RewordedPair {
    generated: usize,
    document: usize,
    /// By which the best of several pairs is chosen.
    strength: f32,
}

/// Confirms paraphrases.
#[derive(Debug, Clone, Copy)]
pub struct Confirmer<'run> {
    means: Means<'run>,
    table: &'run SentenceTable,
    vectors: &'run Vectors,
}

/// How a paraphrase is confirmed.
#[derive(Debug, Clone, Copy)]
enum Means<'run> {
    /// By a cosine from this value on.
    Cosine(f32),
    /// By a classifier; without one nothing is confirmed.
    Classifier(Option<&'run ParaphraseClassifier>),
    /// Not at all: every passage counts.
    Nothing,
}

impl<'run> Confirmer<'run> {
    /// A confirmer as `detection` asks for, over the vectors of all sentences. If it asks for a classifier, that has to
    /// follow: [`Confirmer::with_classifier`].
    pub fn new(detection: &Detection, table: &'run SentenceTable, vectors: &'run Vectors) -> Self {
        let means = match detection.confirm {
            Confirmation::Encoder => Means::Cosine(detection.confirm_cosine as f32),
            Confirmation::Classifier => Means::Classifier(None),
            Confirmation::None => Means::Nothing,
        };
        Self {
            means,
            table,
            vectors,
        }
    }

    /// The same with the classifier that it may need.
    #[must_use]
    pub fn with_classifier(self, classifier: Option<&'run ParaphraseClassifier>) -> Self {
        let means = match self.means {
            Means::Classifier(_) => Means::Classifier(classifier),
            other => other,
        };
        Self { means, ..self }
    }

    /// Whether some sentence of one passage rewords some sentence of the other.
    ///
    /// Sentences that are equal but for the case of their letters reword nothing, as in Lee et al. So a passage in which
    /// only equal sentences are near is not confirmed: it is a copy, and if it were long enough to count as one it would
    /// be verbatim. The length of such a copy still shows in `longest_match_chars`.
    pub fn confirms(&self, generated: &[Sentence], document: &[Sentence]) -> bool {
        match self.means {
            Means::Cosine(threshold) => self
                .vectors
                .largest_unequal(self.table, generated, document)
                .is_some_and(|cosine| cosine >= threshold),
            Means::Classifier(classifier) => {
                classifier.is_some_and(|classifier| classifier.confirms(&self.unequal(generated, document)))
            }
            Means::Nothing => true,
        }
    }

    /// The pairs of sentences of which one says what the other says. Alignment by words
    /// misses them where they share few, and in texts of a sentence or two, where no word is rarer than another. Sentences
    /// without vectors give none.
    pub fn rewordings(
        &self,
        generated: &[Sentence],
        document: &[Sentence],
    ) -> impl Iterator<Item = Rewording> {
        let crossed = generated
            .iter()
            .flat_map(move |left| document.iter().map(move |right| (left, right)));
        crossed.filter_map(|(left, right)| self.rewording(left, right))
    }

    fn rewording(&self, generated: &Sentence, document: &Sentence) -> Option<Rewording> {
        let cosine = self.vectors.cosine(generated.number, document.number);
        if cosine < NEAR_MEANING {
            return None;
        }
        let words = |sentence: &Sentence| SentenceWords::of(&self.table.texts()[sentence.number]);
        let shares_words = words(generated).agreement(&words(document)).overlap >= SHARED_WORDS;
        let is_near = shares_words || cosine >= SAME_MEANING;
        is_near.then(|| Rewording {
            generated: *generated,
            document: *document,
            cosine,
            is_confirmed: !self.table.equal(generated.number, document.number)
                && self.confirms(&[*generated], &[*document]),
            shares_words,
        })
    }

    /// How many sentences of `generated` reword as many others of `document`, each one of its own: they do not equal it,
    /// [`Confirmer::confirms`] agrees, and they share its words or say the same whatever their words. `usize::MAX` where
    /// nothing needs to be confirmed.
    pub fn reworded_sentences(&self, generated: &[Sentence], document: &[Sentence]) -> usize {
        if matches!(self.means, Means::Nothing) {
            return usize::MAX;
        }
        let mut pairs = self.reworded_pairs(generated, document);
        pairs.sort_by(|left, right| right.strength.total_cmp(&left.strength));
        let (mut used, mut answered) = (vec![false; generated.len()], vec![false; document.len()]);
        let mut count = 0;
        for pair in pairs {
            if !used[pair.generated] && !answered[pair.document] {
                (used[pair.generated], answered[pair.document]) = (true, true);
                count += 1;
            }
        }
        count
    }

    /// How many sentences of `generated` reword some sentence of `document`, several of them perhaps the same one.
    /// `usize::MAX` where nothing needs to be confirmed.
    pub fn rewording_sentences(&self, generated: &[Sentence], document: &[Sentence]) -> usize {
        if matches!(self.means, Means::Nothing) {
            return usize::MAX;
        }
        let pairs = self.reworded_pairs(generated, document);
        let mut numbers: Vec<usize> = pairs.iter().map(|pair| pair.generated).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len()
    }

    fn reworded_pairs(&self, generated: &[Sentence], document: &[Sentence]) -> Vec<RewordedPair> {
        let words = |sentences: &[Sentence]| -> Vec<SentenceWords<'run>> {
            let texts = self.table.texts();
            sentences
                .iter()
                .map(|sentence| SentenceWords::of(&texts[sentence.number]))
                .collect()
        };
        let (left_words, right_words) = (words(generated), words(document));
        let mut pairs = Vec::new();
        for (left, left_words) in left_words.iter().enumerate() {
            for (right, right_words) in right_words.iter().enumerate() {
                let (first, second) = (generated[left], document[right]);
                let cosine = self.vectors.cosine(first.number, second.number);
                let overlap = left_words.agreement(right_words).overlap;
                if (overlap >= SHARED_WORDS || cosine >= SAME_MEANING)
                    && !self.table.equal(first.number, second.number)
                    && self.confirms(&[first], &[second])
                {
                    pairs.push(RewordedPair {
                        generated: left,
                        document: right,
                        strength: cosine + overlap,
                    });
                }
            }
        }
        pairs
    }

    /// How many of their words two passages share: the weighted Dice coefficient of [`SentenceWords`], 0 to 1.
    pub fn shared_words(generated: &str, document: &str) -> f32 {
        SentenceWords::of(generated)
            .agreement(&SentenceWords::of(document))
            .overlap
    }

    /// Every sentence of `generated` with every sentence of `document` that does not equal it.
    fn unequal(&self, generated: &[Sentence], document: &[Sentence]) -> Vec<(&'run str, &'run str)> {
        let text = |sentence: &Sentence| self.table.texts()[sentence.number].trim();
        let crossed = generated
            .iter()
            .flat_map(|left| document.iter().map(move |right| (left, right)));
        crossed
            .filter(|(left, right)| !self.table.equal(left.number, right.number))
            .map(|(left, right)| (text(left), text(right)))
            .collect()
    }
}
