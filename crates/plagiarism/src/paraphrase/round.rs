//! The generations of one round, read and prepared, and the sentences that they nominate.

use std::collections::BTreeMap;

use contract::Error;
use text_align::{PreparedText, Span};

use crate::alignment::Side;
use crate::candidates::pairs::Pair;
use crate::candidates::word_overlap::{Agreement, SentenceWords, nearest};
use crate::corpus::generation::Generation;
use crate::corpus::sentences::{SentenceTable, SplitText, without_echo};
use crate::corpus::sources::Document;
use crate::parallel;
use crate::paraphrase::pending::PendingPair;

/// The generations of one round, read and prepared.
pub(crate) struct Round<'run> {
    pub(crate) generations: &'run [Generation<'run>],
    pub(crate) table: SentenceTable,
    pub(crate) split: Vec<SplitText>,
    pub(crate) truths: Vec<SplitText>,
    pub(crate) prepared: Vec<PreparedText>,
}

/// A cosine that is known already, or that of two sentences yet to be encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cosine {
    Known(f32),
    Of(usize, usize),
}

/// A sentence of a generation and the sentence of a document that shares most words with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CandidateSentence {
    /// Place among the sentences of the generation.
    pub(crate) generated: usize,
    pub(crate) document: usize,
    /// Where in the document.
    pub(crate) span: Span,
    pub(crate) agreement: Agreement,
}

impl<'run> Round<'run> {
    pub(crate) fn read(generations: &'run [Generation<'run>]) -> Result<Self, Error> {
        let texts: Vec<&str> = generations.iter().map(|generation| &*generation.text).collect();
        let truths: Vec<&str> = generations
            .iter()
            .map(|generation| generation.truth.as_deref().unwrap_or(""))
            .collect();
        let mut table = SentenceTable::default();
        let split = table.read(&texts).into_iter().zip(generations);
        let split: Vec<SplitText> = split
            .map(|(split, generation)| without_echo(split, generation))
            .collect();
        let truths = table.read(&truths);
        let numbers: Vec<usize> = (0..generations.len()).collect();
        let prepared = parallel::map("preparing", "generations", &numbers, |&number| {
            split[number].prepare(texts[number])
        })?;
        Ok(Self {
            generations,
            table,
            split,
            truths,
            prepared,
        })
    }

    pub(crate) fn words(&self) -> Vec<Vec<SentenceWords<'_>>> {
        let words = |text| self.table.sentences_of(text).map(SentenceWords::of).collect();
        self.split.iter().map(words).collect()
    }

    pub(crate) fn side(&self, generation: usize) -> Side<'_> {
        Side {
            text: &self.generations[generation].text,
            prepared: &self.prepared[generation],
            split: &self.split[generation],
        }
    }

    /// The cosine of a nominated pair of sentences; that of the document is numbered now.
    pub(crate) fn cosine(
        &mut self,
        generation: usize,
        candidate: CandidateSentence,
        documents: &[Document],
    ) -> Cosine {
        if candidate.agreement.equal {
            return Cosine::Known(1.0);
        }
        let sentence = candidate
            .span
            .cut(&documents[candidate.document].text)
            .unwrap_or_default();
        Cosine::Of(
            self.split[generation].sentences[candidate.generated].number,
            self.table.number_of(sentence),
        )
    }

    /// The cosine of the sentences of a generation and its truth that share most words.
    pub(crate) fn own(&self, generation: usize) -> Option<Cosine> {
        let (generation, truth) = (&self.split[generation], &self.truths[generation]);
        let words = |text| {
            self.table
                .sentences_of(text)
                .map(SentenceWords::of)
                .collect::<Vec<_>>()
        };
        let (left, right, agreement) = nearest(&words(generation), &words(truth))?;
        Some(if agreement.equal {
            Cosine::Known(1.0)
        } else {
            Cosine::Of(generation.sentences[left].number, truth.sentences[right].number)
        })
    }

    /// Numbers the sentences of all documents of `pending`.
    pub(crate) fn read_documents(
        &mut self,
        pending: &[PendingPair],
        documents: &[Document],
    ) -> BTreeMap<usize, SplitText> {
        let mut numbers: Vec<usize> = pending.iter().map(|open| open.pair.document).collect();
        numbers.dedup();
        let texts: Vec<&str> = numbers.iter().map(|&number| &*documents[number].text).collect();
        let split = self.table.read(&texts);
        numbers.into_iter().zip(split).collect()
    }
}

/// A text split by itself.
pub(crate) fn alone(text: &str) -> (SentenceTable, SplitText) {
    let mut table = SentenceTable::default();
    let split = table.read_one(text);
    (table, split)
}

/// For each of `pairs`, all of one document, the sentences that share most words, those that the prompt holds left out.
pub(crate) fn nominate(
    generations: &[Generation],
    sentences: &[Vec<SentenceWords>],
    pairs: &[Pair],
    document: usize,
    table: &SentenceTable,
    split: &SplitText,
) -> Vec<(Pair, Option<CandidateSentence>)> {
    let words: Vec<SentenceWords> = table.sentences_of(split).map(SentenceWords::of).collect();
    let places: Vec<usize> = (0..words.len()).collect();
    let nominate = |&pair: &Pair| {
        let prompt = &generations[pair.generation].prompt;
        let is_supplied = |place: usize| prompt.holds(words[place].text());
        let among = |places: &[usize]| {
            let chosen: Vec<SentenceWords> = places.iter().map(|&place| words[place].clone()).collect();
            let found = nearest(&sentences[pair.generation], &chosen);
            found.map(|(generated, place, agreement)| (generated, places[place], agreement))
        };
        let mut found = among(&places);
        if found.is_some_and(|(_, place, _)| is_supplied(place)) {
            let others: Vec<usize> = places
                .iter()
                .copied()
                .filter(|&place| !is_supplied(place))
                .collect();
            found = among(&others);
        }
        let candidate = found.map(|(generated, sentence, agreement)| CandidateSentence {
            generated,
            document,
            span: split.sentences[sentence].span,
            agreement,
        });
        (pair, candidate)
    };
    pairs.iter().map(nominate).collect()
}

/// The candidate that agrees most, the first of equally good ones.
pub(crate) fn best(candidates: impl Iterator<Item = CandidateSentence>) -> Option<CandidateSentence> {
    candidates.reduce(|best, next| {
        if next.agreement.order(&best.agreement).is_gt() {
            next
        } else {
            best
        }
    })
}
