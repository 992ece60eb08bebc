//! Evidence over every sentence of the corpus, each of which is encoded once, and kept for the next run.

use std::collections::HashSet;
use std::sync::Arc;

use contract::Error;
use contract::pipeline::Detection;
use sentence_embed::Embeddings;
use text_align::PreparedText;

use crate::alignment::{Finding, PairDetector, Side};
use crate::candidates::exact::Shared;
use crate::candidates::{DocumentsBySentence, pairs};
use crate::clock::Clock;
use crate::comparison::{DocumentSide, Sides, Tools};
use crate::corpus::generation::Generation;
use crate::corpus::sentences::{SentenceTable, SplitText, without_echo};
use crate::corpus::sources::Sources;
use crate::parallel;
use crate::paraphrase::confirm::Confirmer;
use crate::paraphrase::evidence::{CorpusSentences, Evidence, Similarity, Subset, subsets};
use crate::paraphrase::similarity::{Neighbours, Vectors, distinct};

/// A corpus of which every sentence has its vector.
pub struct Exhaustive<'run> {
    detection: &'run Detection,
    tools: &'run Tools,
    sentences: CorpusSentences,
    vectors: Arc<Embeddings>,
    training: SentenceSide,
    held_out: SentenceSide,
}

/// The sentences of one side of the corpus.
struct SentenceSide {
    /// All of them by number, ascending.
    all: Vec<usize>,
    /// As many as the other side has.
    subset: Subset,
    documents_by_sentence: DocumentsBySentence,
}

/// The generations of one round with their sentences.
struct Round<'round> {
    generations: &'round [Generation<'round>],
    table: SentenceTable,
    vectors: Vectors,
    split: Vec<SplitText>,
    truths: Vec<SplitText>,
    prepared: Vec<PreparedText>,
}

impl<'run> Exhaustive<'run> {
    /// Encodes the sentences of the corpus, unless that was done before.
    ///
    /// # Errors
    /// [`Error::Input`] where there is no usable encoder, [`Error::Run`] where encoding fails.
    pub fn new(
        sources: &Sources,
        detection: &'run Detection,
        tools: &'run Tools,
        sentences: CorpusSentences,
    ) -> Result<Self, Error> {
        let [training, held_out] = subsets(sources, &sentences);
        let side = |split: &[SplitText], subset| SentenceSide {
            all: distinct(split),
            subset,
            documents_by_sentence: DocumentsBySentence::new(split),
        };
        Ok(Self {
            vectors: Arc::new(tools.encoder.corpus_rows(sentences.table.texts())?),
            training: side(&sentences.training, training),
            held_out: side(&sentences.held_out, held_out),
            detection,
            tools,
            sentences,
        })
    }

    /// The evidence on each of `generations`; `shared` is what each has in common with the documents of either side word for
    /// word.
    ///
    /// # Errors
    /// [`Error::Configuration`] where a threshold makes no sense, [`Error::Run`] where the work fails.
    pub fn evidence(
        &self,
        generations: &[Generation],
        shared: Sides<&[Shared]>,
        searches: &Sides<DocumentSide>,
        clock: &mut Clock,
    ) -> Result<Vec<Evidence>, Error> {
        let round = self.read(generations, clock)?;
        let nearest = |numbers: &[usize]| round.vectors.nearest(&round.split, numbers);
        let in_training = nearest(&self.training.all)?;
        let in_held_out = nearest(&self.held_out.all)?;
        let comparable = [
            nearest(&self.training.subset.sentences)?,
            nearest(&self.held_out.subset.sentences)?,
        ];
        clock.lap("nearest sentences");

        let training = self.findings(
            &round,
            (&self.training, &self.sentences.training),
            &in_training,
            shared.training,
            &searches.training,
        )?;
        let held_out = self.findings(
            &round,
            (&self.held_out, &self.sentences.held_out),
            &in_held_out,
            shared.held_out,
            &searches.held_out,
        )?;
        clock.lap("aligning");

        let numbers: Vec<usize> = (0..generations.len()).collect();
        let similarities = parallel::map("similarity", "generations", &numbers, |&number| {
            let largest = |neighbours, side: &SentenceSide, shared, whole: bool| {
                let sentences = if whole { &side.all } else { &side.subset.sentences };
                let among = (!whole).then_some(&side.subset.documents);
                round.largest(number, neighbours, sentences, shared, among)
            };
            let (in_train, in_control) = (&shared.training[number], &shared.held_out[number]);
            Ok(Similarity {
                training: largest(&in_training, &self.training, in_train, true),
                own: round.own(number),
                held_out: largest(&comparable[1], &self.held_out, in_control, false),
                comparable: largest(&comparable[0], &self.training, in_train, false),
            })
        })?;
        clock.lap("similarity");
        let findings = training.into_iter().zip(held_out).zip(similarities);
        Ok(findings
            .map(|((training, held_out), similarity)| Evidence {
                training,
                held_out,
                similarity,
            })
            .collect())
    }

    fn read<'round>(
        &self,
        generations: &'round [Generation<'round>],
        clock: &mut Clock,
    ) -> Result<Round<'round>, Error> {
        let mut table = self.sentences.table.clone();
        let known = table.texts().len();
        let texts: Vec<&str> = generations.iter().map(|generation| &*generation.text).collect();
        let truths: Vec<&str> = generations
            .iter()
            .map(|generation| generation.truth.as_deref().unwrap_or(""))
            .collect();
        let split = table.read(&texts).into_iter().zip(generations);
        let split: Vec<SplitText> = split
            .map(|(split, generation)| without_echo(split, generation))
            .collect();
        let truths = table.read(&truths);
        let rows = self.tools.encoder.rows(&table.texts()[known..])?;
        let numbers: Vec<usize> = (known..table.texts().len()).collect();
        let mut vectors = Vectors::from(Arc::clone(&self.vectors));
        vectors.extend(&numbers, rows);
        clock.lap("encoding");
        let numbers: Vec<usize> = (0..generations.len()).collect();
        let prepared = parallel::map("preparing", "generations", &numbers, |&number| {
            split[number].prepare(texts[number])
        })?;
        Ok(Round {
            generations,
            table,
            vectors,
            split,
            truths,
            prepared,
        })
    }

    /// What each generation shares with single documents of one side.
    fn findings(
        &self,
        round: &Round,
        (side, sentences): (&SentenceSide, &[SplitText]),
        nearest: &Neighbours,
        shared: &[Shared],
        search: &DocumentSide,
    ) -> Result<Vec<Vec<Finding>>, Error> {
        let numbers: Vec<usize> = (0..round.generations.len()).collect();
        let candidates = parallel::map("candidates", "generations", &numbers, |&number| {
            let nearest = |limit| {
                side.documents_by_sentence
                    .of_nearest(&round.split[number], nearest, limit)
            };
            search.candidates(&round.generations[number], &shared[number], nearest)
        })?;
        let confirmer = Confirmer::new(self.detection, &round.table, &round.vectors);
        let confirmer = confirmer.with_classifier(self.tools.classifier.as_ref());
        let detector = PairDetector::new(self.detection, confirmer)?;
        let pairs = pairs::of_candidates(candidates.iter().map(Vec::as_slice));
        pairs::by_document("aligning", &pairs, round.generations.len(), |pairs| {
            let document = pairs[0].document;
            let split = &sentences[document];
            let text = &search.documents[document].text;
            let prepared = split.prepare(text)?;
            let found = pairs.iter().filter_map(|&pair| {
                let side = Side {
                    text,
                    prepared: &prepared,
                    split,
                };
                Some((
                    pair,
                    detector.compare(round.side(pair.generation), document, side)?,
                ))
            });
            Ok(found.collect())
        })
    }
}

impl Round<'_> {
    fn side(&self, generation: usize) -> Side<'_> {
        Side {
            text: &self.generations[generation].text,
            prepared: &self.prepared[generation],
            split: &self.split[generation],
        }
    }

    /// The largest cosine of a generation's sentences with those numbered `sentences`, of which `nearest` has the nearest; 1 where a
    /// document, of those `among` if that is given, holds one word for word. What the prompt holds is left out.
    fn largest(
        &self,
        number: usize,
        nearest: &Neighbours,
        sentences: &[usize],
        shared: &Shared,
        among: Option<&HashSet<usize>>,
    ) -> Option<f32> {
        if sentences.is_empty() {
            return None;
        }
        let prompt = &self.generations[number].prompt;
        let supplied = |sentence: usize| prompt.holds(&self.table.texts()[sentence]);
        let cosines = self.split[number].sentences.iter().filter_map(|sentence| {
            let is_held = match among {
                None => shared.holds(sentence.span),
                Some(among) => shared.holds_among(sentence.span, among),
            };
            if is_held {
                return Some(1.0);
            }
            let found = nearest.of(sentence)?;
            if supplied(found.sentence) {
                let other = self
                    .vectors
                    .nearest_without(sentence.number, sentences, supplied)?;
                return Some(other.cosine);
            }
            Some(found.cosine)
        });
        cosines.reduce(f32::max)
    }

    /// The largest cosine with a sentence of the reference.
    fn own(&self, number: usize) -> Option<f32> {
        let (generation, truth) = (&self.split[number], &self.truths[number]);
        self.vectors.largest(&generation.sentences, &truth.sentences)
    }
}
