//! Sentences: the unit of comparison by meaning. Equal ones are numbered, and so encoded, once.

use std::collections::HashMap;
use std::sync::Arc;

use contract::Error;
use rayon::prelude::*;
use text_align::{PreparedText, Span, sentences::split};
use unicode_segmentation::UnicodeSegmentation;

use crate::corpus::generation::Generation;

/// A sentence of fewer words is compared with nothing: "Thank you." has its like in every corpus, and says nothing about
/// where it comes from.
pub const MIN_WORDS: usize = 3;

/// A sentence of more words is compared in parts of so many: a transcript without full stops is no one sentence. The encoder
/// reads up to 256 word pieces, which so many words hardly exceed, and a part is about as long as what is generated.
pub const MAX_WORDS: usize = 60;

/// A sentence of a text, long enough to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sentence {
    /// Where it is in its text.
    pub span: Span,
    /// Its number among the distinct sentences: its place in [`SentenceTable::texts`].
    pub number: usize,
}

/// The distinct sentences of all texts, numbered in the order in which they were first met.
#[derive(Debug, Clone, Default)]
pub struct SentenceTable {
    numbers: HashMap<Arc<str>, usize>,
    texts: Vec<Arc<str>>,
}

impl SentenceTable {
    /// The sentences by number.
    pub fn texts(&self) -> &[Arc<str>] {
        &self.texts
    }

    /// Whether two sentences are the same but for the case of their letters.
    pub fn equal(&self, left: usize, right: usize) -> bool {
        left == right || self.texts[left].to_lowercase() == self.texts[right].to_lowercase()
    }

    /// The sentences of a text that this table numbered, in order.
    pub fn sentences_of<'table>(&'table self, text: &SplitText) -> impl Iterator<Item = &'table str> {
        text.sentences
            .iter()
            .map(|sentence| &*self.texts[sentence.number])
    }

    /// Splits `texts` (in parallel) and numbers their sentences.
    pub fn read(&mut self, texts: &[&str]) -> Vec<SplitText> {
        let spans: Vec<Vec<Span>> = texts.par_iter().map(|text| split(text)).collect();
        texts
            .iter()
            .zip(spans)
            .map(|(text, spans)| self.number(text, spans))
            .collect()
    }

    /// Splits one text, on this thread, and numbers its sentences.
    pub fn read_one(&mut self, text: &str) -> SplitText {
        self.number(text, split(text))
    }

    /// The number of a sentence, given to it now if it has none.
    pub fn number_of(&mut self, sentence: &str) -> usize {
        if let Some(&number) = self.numbers.get(sentence) {
            return number;
        }
        let (text, number) = (Arc::<str>::from(sentence), self.texts.len());
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    fn number(&mut self, text: &str, spans: Vec<Span>) -> SplitText {
        let sentences = cut_all(text, &spans)
            .into_iter()
            .flat_map(|(span, sentence)| parts(span, sentence))
            .filter(|(_, sentence)| sentence.unicode_words().nth(MIN_WORDS - 1).is_some())
            .map(|(span, sentence)| Sentence {
                span,
                number: self.number_of(sentence),
            })
            .collect();
        SplitText { spans, sentences }
    }
}

/// A text and its sentences.
#[derive(Debug, Clone, Default)]
pub struct SplitText {
    spans: Vec<Span>,
    /// The sentences that are compared by meaning, in order.
    pub sentences: Vec<Sentence>,
}

/// The sentences of a generation that are compared by meaning: those that do not repeat the prompt.
pub fn without_echo(split: SplitText, generation: &Generation) -> SplitText {
    let SplitText { spans, mut sentences } = split;
    sentences.retain(|sentence| !generation.is_echo(sentence.span));
    SplitText { spans, sentences }
}

impl SplitText {
    /// The text made ready for alignment; `text` must be the one that was split.
    ///
    /// # Errors
    /// [`Error::Run`] where it is another.
    pub fn prepare(&self, text: &str) -> Result<PreparedText, Error> {
        PreparedText::with_sentences(text, &self.spans).map_err(|error| Error::Run(error.to_string()))
    }

    /// The sentences that share a character with `passage`.
    pub fn within(&self, passage: Span) -> &[Sentence] {
        let first = self
            .sentences
            .partition_point(|sentence| sentence.span.end <= passage.start);
        let last = self
            .sentences
            .partition_point(|sentence| sentence.span.start < passage.end);
        &self.sentences[first..last.max(first)]
    }
}

/// A sentence in parts of at most [`MAX_WORDS`] words.
fn parts(span: Span, sentence: &str) -> Vec<(Span, &str)> {
    // A word has at least two bytes with the blank behind it.
    if sentence.len() < 2 * MAX_WORDS {
        return vec![(span, sentence)];
    }
    let starts = sentence.unicode_word_indices().map(|(byte, _)| byte);
    let mut cuts: Vec<usize> = starts.step_by(MAX_WORDS).skip(1).collect();
    cuts.push(sentence.len());
    let (mut byte, mut character) = (0, span.start);
    cuts.into_iter()
        .map(|cut| {
            let part = sentence[byte..cut].trim_end();
            let start = character;
            character += sentence[byte..cut].chars().count();
            byte = cut;
            (Span::new(start, start + part.chars().count()), part)
        })
        .collect()
}

/// Cuts ordered, disjoint spans out of `text` in one walk.
fn cut_all<'text>(text: &'text str, spans: &[Span]) -> Vec<(Span, &'text str)> {
    let (mut rest, mut reached) = (text, 0);
    let mut take = |until: usize| {
        let length = rest.chars().take(until - reached).map(char::len_utf8).sum();
        let (taken, after) = rest.split_at(length);
        (rest, reached) = (after, until);
        taken
    };
    spans
        .iter()
        .map(|&span| {
            take(span.start);
            (span, take(span.end))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sentences_share_a_number_and_short_ones_have_none() {
        let mut table = SentenceTable::default();
        let texts = [
            "Thank you. Ärzte häufen Akten an. The clinic opens at nine.",
            "the clinic opens at nine.",
        ];
        let split = table.read(&[texts[0], texts[1], texts[0]]);
        let numbers = |text: &SplitText| {
            text.sentences
                .iter()
                .map(|sentence| sentence.number)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            split.iter().map(numbers).collect::<Vec<_>>(),
            [vec![0, 1], vec![2], vec![0, 1]]
        );
        assert_eq!(&*table.texts()[0], "Ärzte häufen Akten an.");
        assert!(table.equal(1, 2), "only the case differs");
        assert!(!table.equal(0, 1));
        for sentence in &split[0].sentences {
            assert_eq!(
                sentence.span.cut(texts[0]),
                Some(&*table.texts()[sentence.number])
            );
        }
    }

    #[test]
    fn text_without_full_stops_is_cut_into_parts() {
        let words: Vec<String> = (0..130).map(|number| format!("wörd{number}")).collect();
        let text = words.join(" ");
        let split = SentenceTable::default().read(&[&text]).remove(0);
        let parts: Vec<&str> = split
            .sentences
            .iter()
            .map(|sentence| sentence.span.cut(&text).unwrap())
            .collect();
        assert_eq!(parts.len(), 3);
        assert!(parts[0].starts_with("wörd0 ") && parts[0].ends_with(" wörd59"));
        assert!(parts[1].starts_with("wörd60 ") && parts[1].ends_with(" wörd119"));
        assert!(parts[2].starts_with("wörd120 ") && parts[2].ends_with(" wörd129"));
    }

    #[test]
    fn sentences_of_a_passage_are_those_it_touches() {
        let text = "One two three. Four five six. Seven eight nine.";
        //          0............14 15...........29 30.............47
        let split = SentenceTable::default().read(&[text]).remove(0);
        for (start, end, expected) in [
            (0, 47, 0..3),
            (15, 29, 1..2),
            (14, 15, 0..0),
            (13, 16, 0..2),
            (47, 60, 0..0),
            (20, 10, 0..0),
        ] {
            let found: Vec<usize> = split
                .within(Span::new(start, end))
                .iter()
                .map(|sentence| sentence.number)
                .collect();
            assert_eq!(found, expected.collect::<Vec<_>>(), "{start}..{end}");
        }
    }
}
