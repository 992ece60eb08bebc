//! Generations with a passage planted in them, and without.

use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unicode_segmentation::UnicodeSegmentation;

use crate::CaseError;
use crate::corpus::{Corpus, MIN_PASSAGE_WORDS, MIN_SURROUNDING_WORDS};
use crate::disguise::disguise;
use crate::kinds::{Kind, Strength};
use crate::synonyms::Synonyms;
use crate::text::{SHORT_RUN, in_characters, word_count};

/// How many cases of which length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The kinds to plant.
    pub kinds: Vec<Kind>,
    /// Cases of each kind and strength.
    pub planted: usize,
    /// Generations of unrelated text, and as many of text on the subject of a document.
    pub negatives: usize,
    /// Words of a generation; one with a longer passage is longer.
    pub words: Range<usize>,
    /// Every other choice follows from this.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kinds: Kind::ALL.to_vec(),
            planted: 20,
            negatives: 100,
            words: 60..400,
            seed: 0,
        }
    }
}

/// A generation, and what is planted in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The text in which a detector looks.
    pub generation: String,
    /// What is to be found there.
    pub truth: Truth,
}

/// What is to be found in a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// A passage of a document.
    Planted(Planted),
    /// Nothing: sentences of other texts that share no run of five words with any document.
    Unrelated,
    /// Nothing either, but another text on the subject of this document (its index).
    SameSubject(usize),
}

/// A planted passage. Ranges count characters (Unicode scalar values).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planted {
    /// What was done to the passage.
    pub kind: Kind,
    /// How strongly; `Light` for a kind without strengths.
    pub strength: Strength,
    /// Where the disguised passage is in the generation.
    pub in_generation: Range<usize>,
    /// Index of the document that the passage was taken from.
    pub document: usize,
    /// Where the passage is in that document.
    pub in_document: Range<usize>,
}

/// Makes cases: passages of `documents` planted into sentences of `others`, which should be of the same genre.
///
/// A passage is chosen only if none of its runs of eight words occurs in a second document, so that there is one right answer;
/// and surroundings only if they share not even five with a document. The same texts and settings give the same cases, and a case
/// depends on its kind, strength and number alone, not on which other cases are asked for.
///
/// # Errors
/// [`CaseError::NoPassage`] and [`CaseError::NoSurroundings`] where the texts are too few or too short. Texts for fewer
/// negatives on the same subject than asked for are no error.
pub fn cases(
    documents: &[&str],
    others: &[&str],
    synonyms: &Synonyms,
    settings: &Settings,
) -> Result<Vec<Case>, CaseError> {
    let corpus = Corpus::new(documents, others);
    if !corpus.has_surroundings() {
        return Err(CaseError::NoSurroundings {
            words: MIN_SURROUNDING_WORDS,
            run: SHORT_RUN,
        });
    }
    let mut cases = Vec::new();
    for &kind in &settings.kinds {
        for &strength in strengths(kind) {
            for number in 0..settings.planted {
                let mut random = generator(settings.seed, 1 + kind as u64, strength as u64, number);
                let words = random.random_range(settings.words.clone());
                let case = planted(&corpus, documents, kind, strength, words, synonyms, &mut random).ok_or(
                    CaseError::NoPassage {
                        kind: kind.name(),
                        words: MIN_PASSAGE_WORDS,
                        sentences: kind.sentences().0,
                    },
                )?;
                cases.push(case);
            }
        }
    }
    for number in 0..settings.negatives {
        let mut random = generator(settings.seed, 0, 0, number);
        let words = random.random_range(settings.words.clone());
        cases.push(Case {
            generation: corpus.unrelated(words, &mut random).join(" "),
            truth: Truth::Unrelated,
        });
    }
    let same_subject = corpus
        .same_subject()
        .into_iter()
        .filter(|(_, text)| word_count(text) >= settings.words.start);
    cases.extend(
        same_subject
            .take(settings.negatives)
            .map(|(document, generation)| Case {
                generation,
                truth: Truth::SameSubject(document),
            }),
    );
    Ok(cases)
}

fn strengths(kind: Kind) -> &'static [Strength] {
    if kind.has_strengths() {
        &Strength::ALL
    } else {
        &[Strength::Light]
    }
}

/// Random numbers for one case alone.
fn generator(seed: u64, kind: u64, strength: u64, number: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream((kind << 48) | (strength << 40) | number as u64);
    random
}

fn planted(
    corpus: &Corpus,
    documents: &[&str],
    kind: Kind,
    strength: Strength,
    words: usize,
    synonyms: &Synonyms,
    random: &mut ChaCha8Rng,
) -> Option<Case> {
    let (document, mut bytes) = corpus.passage(kind.sentences(), random)?;
    let text = documents[document];
    if kind == Kind::Truncation {
        bytes = truncated(text, bytes, strength.of(0.8, 0.5, 0.3), random);
    }
    let passage = disguise(&text[bytes.clone()], kind, strength, synonyms, random);
    let surroundings = corpus.unrelated(words.saturating_sub(word_count(&passage)), random);
    let place = random.random_range(0..=surroundings.len());

    let (before, after) = surroundings.split_at(place);
    let start: usize = before.iter().map(|sentence| sentence.chars().count() + 1).sum();
    let in_generation = start..start + passage.chars().count();
    let mut sentences = before.to_vec();
    sentences.push(&passage);
    sentences.extend(after);
    Some(Case {
        generation: sentences.join(" "),
        truth: Truth::Planted(Planted {
            kind,
            strength,
            in_generation,
            document,
            in_document: in_characters(text, bytes),
        }),
    })
}

/// A run of `share` of the words of a passage, but not of fewer than the shortest passage has.
fn truncated(text: &str, bytes: Range<usize>, share: f64, random: &mut ChaCha8Rng) -> Range<usize> {
    let words: Vec<(usize, &str)> = text[bytes.clone()].unicode_word_indices().collect();
    let kept = ((words.len() as f64 * share) as usize).clamp(MIN_PASSAGE_WORDS.min(words.len()), words.len());
    let first = random.random_range(0..=words.len() - kept);
    match (words.get(first), words.get((first + kept).saturating_sub(1))) {
        (Some((start, _)), Some((end, last))) => bytes.start + start..bytes.start + end + last.len(),
        _ => bytes,
    }
}
