//! Documents as a model's tokenizer gives them back: what a model can write of them, and where that leads in the users' text.
//!
//! A generation is what a tokenizer decodes. So where `decoded.parquet` is beside the samples, each of its documents takes the place
//! of the document as it is written, and passages are led back to that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use contract::records::DecodedDocument;
use contract::{Error, parquet};
use text_align::Span;
use unicode_segmentation::UnicodeSegmentation;

/// The rows of `decoded.parquet` that no document has taken yet.
#[derive(Debug, Default)]
pub struct DecodedTexts {
    file: PathBuf,
    rows: BTreeMap<String, Vec<DecodedDocument>>,
    /// Every document that was looked for.
    known: BTreeSet<String>,
}

impl DecodedTexts {
    /// `decoded.parquet` beside a file of samples, if it is there: another extractor need not write it.
    pub fn beside(samples: &Path) -> Option<PathBuf> {
        let file = samples.with_file_name("decoded.parquet");
        file.exists().then_some(file)
    }

    /// Reads `decoded.parquet`.
    ///
    /// # Errors
    /// [`Error::Input`] where it is damaged or no such table, and where a row's places are not one for each character and one at the
    /// end, ascending.
    pub fn read(file: &Path) -> Result<Self, Error> {
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
                texts.rows.entry(row.doc_id.clone()).or_default().push(row);
            }
        }
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
    pub fn take(&mut self, doc_id: &str, written: &str) -> Option<DecodedDocument> {
        if self.rows.is_empty() {
            return None;
        }
        self.known.insert(doc_id.to_owned());
        let rows = self.rows.get_mut(doc_id)?;
        let length = written.chars().count() as i32;
        let place = rows.iter().position(|row| row.origins.last() == Some(&length))?;
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
        if let Some(doc_id) = self.rows.keys().find(|doc_id| self.known.contains(*doc_id)) {
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

/// From the characters of a decoded text to those of the text that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    written: String,
    /// For each character of the decoded text where it comes from, and at the end the length of the written one: ascending.
    places: Vec<i32>,
}

impl Origins {
    /// `places` must be those of a [`DecodedDocument`] whose text was `written`.
    pub fn new(written: String, places: Vec<i32>) -> Self {
        Self { written, places }
    }

    /// The text that was written.
    pub fn text(&self) -> &str {
        &self.written
    }

    /// The characters of the written text that characters `span` of the decoded one come from. Not empty where `span` is not, unless
    /// nothing was written.
    pub fn written(&self, span: Span) -> Span {
        let characters = self.places.len().saturating_sub(1);
        let place = |index: usize| {
            let index = index.min(characters);
            self.places.get(index).map_or(0, |&place| place.max(0) as usize)
        };
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
        let origins = Origins::new(written.to_owned(), origins);
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
        let origins = Origins::new(String::new(), vec![0, 0]);
        assert_eq!(origins.written(Span::new(0, 1)), Span::new(0, 0));
    }
}
