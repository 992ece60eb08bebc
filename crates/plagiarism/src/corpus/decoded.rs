//! Documents as a model's tokenizer gives them back: what a model can write of them, and where that leads in the users' text.
//!
//! A generation is what a tokenizer decodes. So where `decoded.parquet` is beside the samples, each of its documents takes the place
//! of the document as it is written, and passages are led back to that.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use contract::records::DecodedDocument;
use contract::{Error, parquet};
use text_align::Span;
use text_index::{StoredText, TextStore};
use unicode_segmentation::UnicodeSegmentation;
use xxhash_rust::xxh3::xxh3_128;

use crate::failed;

/// The rows of `decoded.parquet` that no document has taken yet.
#[derive(Debug, Default)]
pub struct DecodedTexts {
    file: PathBuf,
    rows: BTreeMap<String, Vec<DecodedText>>,
    /// Digests of the identities of every document that was looked for.
    known: HashSet<u128>,
}

/// A document as the tokenizer gives it back.
#[derive(Debug, Clone)]
pub struct DecodedText {
    pub(crate) text: StoredText,
    pub(crate) steps: Steps,
    /// Characters of the text as it was written.
    characters: i32,
}

impl DecodedTexts {
    /// `decoded.parquet` beside a file of samples, if it is there: another extractor need not write it.
    pub fn beside(samples: &Path) -> Option<PathBuf> {
        let file = samples.with_file_name("decoded.parquet");
        file.exists().then_some(file)
    }

    /// Reads `decoded.parquet`; its texts go to `store`.
    ///
    /// # Errors
    /// [`Error::Input`] where it is damaged or no such table, and where a row's places are not one for each character and one at the
    /// end, ascending; [`Error::Run`] where texts cannot be kept.
    pub fn read(file: &Path, mut store: TextStore) -> Result<Self, Error> {
        let mut texts = Self {
            file: file.to_path_buf(),
            ..Self::default()
        };
        for batch in parquet::Reader::<DecodedDocument>::open(file)? {
            for row in batch? {
                let characters = row.text.chars().count();
                if row.origins.len() != characters + 1 {
                    let found = row.origins.len();
                    return Err(texts.damaged(&row, &format!("{} places, found {found}", characters + 1)));
                }
                if row.origins[0] < 0 || !row.origins.is_sorted() {
                    return Err(texts.damaged(&row, "places that ascend from 0 on, found others"));
                }
                let text = DecodedText {
                    text: store.add(row.text.into()).map_err(failed(KEEPING))?,
                    steps: Steps::of(&row.origins).stored(&mut store)?,
                    characters: row.origins[characters],
                };
                texts.rows.entry(row.doc_id).or_default().push(text);
            }
        }
        store.finish().map_err(failed(KEEPING))?;
        Ok(texts)
    }

    fn damaged(&self, row: &DecodedDocument, problem: &str) -> Error {
        let problem = format!(
            "document {}: origins: expected {problem}. Make the file again with the extractor, or remove it to compare documents \
             as they are written",
            row.doc_id
        );
        Error::input(&self.file, problem)
    }

    /// Takes the row of a document with this text, if there is one. An identity may occur on both sides of a corpus: a row belongs to
    /// the text that is as long as its last place says.
    pub fn take(&mut self, doc_id: &str, written: &str) -> Option<DecodedText> {
        if self.rows.is_empty() {
            return None;
        }
        self.known.insert(xxh3_128(doc_id.as_bytes()));
        let rows = self.rows.get_mut(doc_id)?;
        let length = written.chars().count() as i32;
        let place = rows.iter().position(|row| row.characters == length)?;
        let row = rows.remove(place);
        if rows.is_empty() {
            self.rows.remove(doc_id);
        }
        Some(row)
    }

    /// Checks, when all documents have taken theirs, what is left. Documents of another corpus are counted, and told.
    ///
    /// # Errors
    /// [`Error::Input`] where the row of a document does not belong to its text.
    pub fn check(&self) -> Result<(), Error> {
        let is_known = |doc_id: &&String| self.known.contains(&xxh3_128(doc_id.as_bytes()));
        if let Some(doc_id) = self.rows.keys().find(is_known) {
            let problem = format!(
                "document {doc_id}: expected as many characters as its text in the corpus has, found another number: samples and \
                 corpus do not belong together. Make the samples again with the extractor, or remove the file to compare \
                 documents as they are written"
            );
            return Err(Error::input(&self.file, problem));
        }
        if !self.rows.is_empty() {
            tracing::warn!(
                "{}: {} documents are not in this corpus, and are passed over",
                self.file.display(),
                self.rows.len()
            );
        }
        Ok(())
    }
}

/// What texts were being kept for where that failed.
pub(crate) const KEEPING: &str = "keeping the texts of the corpus";

/// Where each character of a decoded text comes from, as the steps from one to the next: each a character with that number, for nearly all
/// are 1. The first step is from 0, and the last leads to the end of the text that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps(StoredText);

/// Numbers from here on are no characters, up to that many.
const SURROGATES: u32 = 0xD800;
const SURROGATE_COUNT: u32 = 0x800;

/// A larger step is taken as several, with this number between them, which is no step.
const LARGEST_STEP: u32 = char::MAX as u32 - SURROGATE_COUNT - 1;
const GOES_ON: char = char::MAX;

impl Steps {
    /// `places` must ascend from 0 on.
    fn of(places: &[i32]) -> Self {
        let mut steps = String::with_capacity(places.len());
        let mut last = 0;
        for &place in places {
            let mut step = (place - last).unsigned_abs();
            while step > LARGEST_STEP {
                steps.extend([character(LARGEST_STEP), GOES_ON]);
                step -= LARGEST_STEP;
            }
            steps.push(character(step));
            last = place;
        }
        Self(steps.into())
    }

    /// The same in `store`.
    fn stored(self, store: &mut TextStore) -> Result<Self, Error> {
        Ok(Self(store.add(self.0).map_err(failed(KEEPING))?))
    }

    fn places(&self) -> Vec<usize> {
        let mut places: Vec<usize> = Vec::with_capacity(self.0.len());
        let mut place = 0;
        for step in self.0.chars() {
            if step == GOES_ON {
                places.pop();
            } else {
                place += number(step) as usize;
                places.push(place);
            }
        }
        places
    }
}

/// The character that stands for a step.
fn character(step: u32) -> char {
    let number = if step < SURROGATES {
        step
    } else {
        step + SURROGATE_COUNT
    };
    // Every number up to the largest step is one.
    char::from_u32(number).unwrap_or(GOES_ON)
}

/// The step that a character stands for.
fn number(step: char) -> u32 {
    let number = step as u32;
    if number < SURROGATES {
        number
    } else {
        number - SURROGATE_COUNT
    }
}

/// From the characters of a decoded text to those of the text that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    written: StoredText,
    steps: Steps,
}

impl Origins {
    /// `places` must be those of a [`DecodedDocument`] whose text was `written`.
    pub fn new(written: String, places: &[i32]) -> Self {
        Self::of(written.into(), Steps::of(places))
    }

    pub(crate) fn of(written: StoredText, steps: Steps) -> Self {
        Self { written, steps }
    }

    /// The same with the written text in `store`; the steps stay where they are.
    pub(crate) fn stored(self, store: &mut TextStore) -> Result<Self, Error> {
        Ok(Self {
            written: store.add(self.written).map_err(failed(KEEPING))?,
            ..self
        })
    }

    /// The text that was written.
    pub fn text(&self) -> &str {
        &self.written
    }

    /// The characters of the written text that characters `span` of the decoded one come from. Not empty where `span` is not, unless
    /// nothing was written.
    pub fn written(&self, span: Span) -> Span {
        // For each character of the decoded text where it comes from, and at the end the length of the written one: ascending.
        let places = self.steps.places();
        let characters = places.len().saturating_sub(1);
        let place = |index: usize| places.get(index.min(characters)).copied().unwrap_or(0);
        let length = place(characters);
        let span = Span::new(span.start.min(characters), span.end.min(characters));
        let start = place(span.start);
        if span.is_empty() || length == 0 {
            return Span::new(start, start);
        }
        let start = start.min(length - 1);
        // Up to where the next character comes from, but no further than the marks of the last one: between them may be what was left
        // out.
        let last = place(span.end - 1).max(start);
        let next = place(span.end).max(last + 1);
        let with_marks = last + self.cluster_length(last);
        Span::new(start, next.min(with_marks).min(length))
    }

    /// Characters of the written text from `place` on that belong together, at least 1.
    fn cluster_length(&self, place: usize) -> usize {
        let byte = self
            .written
            .char_indices()
            .nth(place)
            .map_or(self.written.len(), |(byte, _)| byte);
        let cluster = self.written[byte..].graphemes(true).next();
        cluster.map_or(1, |cluster| cluster.chars().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_lead_back_to_what_was_written() {
        // Accents, blanks and unknown characters are lost, a ligature and a quotation mark change their length: `Ete fin "x y`.
        let written = "E\u{301}te\u{301}  ﬁn ``x\u{301}☃☃  y \n";
        //             0.......2 3......5 7 8 9 10 12    14 16 18 19 20
        let origins = vec![0, 2, 3, 5, 7, 7, 8, 9, 11, 12, 16, 18, 21];
        let origins = Origins::new(written.to_owned(), &origins);
        let cut = |start, end| {
            let span = origins.written(Span::new(start, end));
            span.cut(written).unwrap_or("-").to_owned()
        };
        assert_eq!(cut(0, 1), "E\u{301}");
        assert_eq!(cut(0, 3), "E\u{301}te\u{301}");
        assert_eq!(cut(4, 5), "ﬁ");
        assert_eq!(cut(5, 6), "ﬁ");
        assert_eq!(cut(4, 7), "ﬁn");
        assert_eq!(cut(4, 10), "ﬁn ``x\u{301}");
        assert_eq!(cut(9, 12), "x\u{301}☃☃  y");
        assert_eq!(cut(9, 40), "x\u{301}☃☃  y");
        assert_eq!(origins.written(Span::new(5, 5)).len(), 0);
    }

    #[test]
    fn no_text_has_no_characters() {
        let origins = Origins::new(String::new(), &[0, 0]);
        assert_eq!(origins.written(Span::new(0, 1)), Span::new(0, 0));
    }

    #[test]
    fn steps_lead_to_their_places_however_large_they_are() {
        let around = [0, 1, 0xD7FF, 0xD800, 0xD801, 0xDFFF, 0xE000];
        let largest = LARGEST_STEP as i32;
        let large = [largest - 1, largest, largest + 1, 3 * largest, i32::MAX];
        for step in around.into_iter().chain(large) {
            for start in [0, 1, step] {
                let places = [start, start.saturating_add(step), i32::MAX];
                let expected: Vec<usize> = places.iter().map(|&place| place as usize).collect();
                assert_eq!(Steps::of(&places).places(), expected, "{places:?}");
            }
        }
        assert_eq!(Steps::of(&[]).places(), [0; 0]);
    }
}
