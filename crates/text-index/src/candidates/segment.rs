//! Postings of some documents: for each word, the documents that hold it and how often.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::words::for_each_word;
use crate::IndexError;
use crate::section::Section;
use crate::storage::{FileEntry, SectionReader, write_sections};

pub(super) struct Segment {
    /// The words, ascending and without anything between them.
    words: Section<u8>,
    /// Where each word ends in `words`.
    word_ends: Section<u32>,
    /// Where the postings of each word end.
    posting_ends: Section<u32>,
    /// Documents, numbered from 0 in this segment; ascending for each word.
    documents: Section<u32>,
    /// How often the word occurs in each, counted up to 65,535.
    frequencies: Section<u16>,
    /// Words of each document, stop words included.
    pub(super) lengths: Section<u32>,
}

/// A segment as the header describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SegmentEntry {
    word_bytes: usize,
    words: usize,
    postings: usize,
    documents: usize,
    file: FileEntry,
}

/// Texts of the documents that make a segment.
#[derive(Default)]
pub(super) struct JoinedDocuments {
    pub(super) text: String,
    pub(super) ends: Vec<usize>,
}

/// Where a word occurs.
pub(super) struct Postings<'segment> {
    pub(super) documents: &'segment [u32],
    pub(super) frequencies: &'segment [u16],
}

impl Segment {
    pub(super) fn build(joined: &JoinedDocuments) -> Self {
        let forward = Forward::of(joined);

        let mut vocabulary: Vec<(&str, u32)> = forward
            .numbers
            .iter()
            .map(|(word, &number)| (&**word, number))
            .collect();
        vocabulary.sort_unstable();
        let mut holding = vec![0_u32; vocabulary.len()];
        for &(number, _) in &forward.postings {
            holding[number as usize] += 1;
        }
        let mut words = Vec::new();
        let (mut word_ends, mut posting_ends) = (Vec::new(), Vec::new());
        // Where the next posting of each word goes, by the word's number.
        let mut next = vec![0_u32; vocabulary.len()];
        let mut postings = 0;
        for (word, number) in vocabulary {
            words.extend_from_slice(word.as_bytes());
            word_ends.push(words.len() as u32);
            next[number as usize] = postings;
            postings += holding[number as usize];
            posting_ends.push(postings);
        }

        let mut documents = vec![0; forward.postings.len()];
        let mut frequencies = vec![0; forward.postings.len()];
        let mut start = 0;
        for (document, &end) in forward.ends.iter().enumerate() {
            for &(number, frequency) in &forward.postings[start..end] {
                let place = next[number as usize] as usize;
                next[number as usize] += 1;
                documents[place] = document as u32;
                frequencies[place] = frequency;
            }
            start = end;
        }
        Self {
            words: words.into(),
            word_ends: word_ends.into(),
            posting_ends: posting_ends.into(),
            documents: documents.into(),
            frequencies: frequencies.into(),
            lengths: forward.lengths.into(),
        }
    }

    /// Where `word` occurs; nowhere if the segment does not hold it.
    pub(super) fn postings(&self, word: &str) -> Postings<'_> {
        let range = self.find(word.as_bytes()).map_or(0..0, |place| {
            let start = place.checked_sub(1).map_or(0, |last| self.posting_ends[last]);
            start as usize..self.posting_ends[place] as usize
        });
        Postings {
            documents: &self.documents[range.clone()],
            frequencies: &self.frequencies[range],
        }
    }

    fn find(&self, word: &[u8]) -> Option<usize> {
        let (words, word_ends): (&[u8], &[u32]) = (&self.words, &self.word_ends);
        let at = |place: usize| -> &[u8] {
            let start = place.checked_sub(1).map_or(0, |last| word_ends[last]);
            let span: Range<usize> = start as usize..word_ends[place] as usize;
            &words[span]
        };
        let (mut low, mut high) = (0, word_ends.len());
        while low < high {
            let middle = low.midpoint(high);
            if at(middle) < word {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low < word_ends.len() && at(low) == word).then_some(low)
    }

    /// Writes the segment numbered `number` into `folder`.
    pub(super) fn write(&self, folder: &Path, number: usize) -> Result<SegmentEntry, IndexError> {
        let file = write_sections(&path(folder, number), |writer| {
            writer.section(&self.words)?;
            writer.section(&self.word_ends)?;
            writer.section(&self.posting_ends)?;
            writer.section(&self.documents)?;
            writer.section(&self.frequencies)?;
            writer.section(&self.lengths)
        })?;
        Ok(SegmentEntry {
            word_bytes: self.words.len(),
            words: self.word_ends.len(),
            postings: self.documents.len(),
            documents: self.lengths.len(),
            file,
        })
    }

    /// Maps the segment numbered `number`; `check` compares its digest.
    pub(super) fn open(
        folder: &Path,
        number: usize,
        entry: &SegmentEntry,
        check: bool,
    ) -> Result<Self, IndexError> {
        let mut reader = SectionReader::open(&path(folder, number), &entry.file, check)?;
        Ok(Self {
            words: reader.section(entry.word_bytes)?,
            word_ends: reader.section(entry.words)?,
            posting_ends: reader.section(entry.words)?,
            documents: reader.section(entry.postings)?,
            frequencies: reader.section(entry.postings)?,
            lengths: reader.section(entry.documents)?,
        })
    }
}

fn path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("shard-{number:05}"))
}

/// The words of each document, before they are turned into the documents of each word.
#[derive(Default)]
struct Forward {
    numbers: HashMap<Box<str>, u32>,
    /// Numbers of words and how often they occur, document by document.
    postings: Vec<(u32, u16)>,
    /// Where the postings of each document end.
    ends: Vec<usize>,
    lengths: Vec<u32>,
}

impl Forward {
    fn of(joined: &JoinedDocuments) -> Self {
        let mut forward = Self::default();
        let mut numbers = Vec::new();
        let mut start = 0;
        for &end in &joined.ends {
            numbers.clear();
            let length = for_each_word(&joined.text[start..end], |word| {
                numbers.push(forward.numbers.get(word).copied().unwrap_or_else(|| {
                    let next = forward.numbers.len() as u32;
                    forward.numbers.insert(word.into(), next);
                    next
                }));
            });
            numbers.sort_unstable();
            for same in numbers.chunk_by(|left, right| left == right) {
                forward
                    .postings
                    .push((same[0], u16::try_from(same.len()).unwrap_or(u16::MAX)));
            }
            forward.ends.push(forward.postings.len());
            forward.lengths.push(length as u32);
            start = end;
        }
        forward
    }
}
