//! Evidence over every sentence of the corpus, each of which is encoded once, and kept for the next run.

use std::sync::Arc;

use contract::Error;
use contract::pipeline::Detection;
use contract::records::Sample;
use sentence_embed::Embeddings;

use crate::alignment::{PairDetector, Side};
use crate::candidates::exact::Shared;
use crate::candidates::pairs;
use crate::candidates::{CandidateSearch, DocumentsBySentence};
use crate::clock::Clock;
use crate::comparison::Tools;
use crate::corpus::sources::Sources;
use crate::parallel;
use crate::paraphrase::confirm::Confirmer;
use crate::paraphrase::evidence::{CorpusSentences, Evidence, Similarity};
use crate::paraphrase::similarity::Vectors;

/// A corpus of which every sentence has its vector.
pub struct Exhaustive<'run> {
    sources: &'run Sources,
    detection: &'run Detection,
    tools: &'run Tools,
    sentences: CorpusSentences,
    vectors: Arc<Embeddings>,
    documents_by_sentence: DocumentsBySentence,
}

impl<'run> Exhaustive<'run> {
    /// Encodes the sentences of the corpus, unless that was done before.
    ///
    /// # Errors
    /// [`Error::Input`] where there is no usable encoder, [`Error::Run`] where encoding fails.
    pub fn new(
        sources: &'run Sources,
        detection: &'run Detection,
        tools: &'run Tools,
        sentences: CorpusSentences,
    ) -> Result<Self, Error> {
        Ok(Self {
            vectors: Arc::new(tools.encoder.corpus_rows(sentences.table.texts())?),
            documents_by_sentence: DocumentsBySentence::new(&sentences.training),
            sources,
            detection,
            tools,
            sentences,
        })
    }

    /// The evidence on each of `samples`; `shared` is what each has in common with the training documents letter for letter.
    ///
    /// # Errors
    /// [`Error::Configuration`] where a threshold makes no sense, [`Error::Run`] where the work fails.
    pub fn evidence(
        &self,
        samples: &[Sample],
        shared: &[Shared],
        search: &CandidateSearch,
        clock: &mut Clock,
    ) -> Result<Vec<Evidence>, Error> {
        let mut table = self.sentences.table.clone();
        let known = table.texts().len();
        let texts: Vec<&str> = samples.iter().map(|sample| sample.generation.as_str()).collect();
        let truths: Vec<&str> = samples
            .iter()
            .map(|sample| sample.truth.as_deref().unwrap_or(""))
            .collect();
        let (generations, truths) = (table.read(&texts), table.read(&truths));
        let rows = self.tools.encoder.rows(&table.texts()[known..])?;
        let numbers: Vec<usize> = (known..table.texts().len()).collect();
        let mut vectors = Vectors::from(Arc::clone(&self.vectors));
        vectors.extend(&numbers, rows);
        clock.lap("encoding");

        let in_training = vectors.nearest(&generations, &self.sentences.training)?;
        let in_held_out = vectors.nearest(&generations, &self.sentences.held_out)?;
        clock.lap("nearest sentences");

        let numbers: Vec<usize> = (0..samples.len()).collect();
        let candidates = parallel::map("candidates", "generations", &numbers, |&number| {
            let nearest = |limit| {
                self.documents_by_sentence
                    .of_nearest(&generations[number], &in_training, limit)
            };
            search.candidates(texts[number], &shared[number], nearest)
        })?;
        clock.lap("candidates");

        let detector = PairDetector::new(
            self.detection,
            Confirmer::new(self.detection, &table, &vectors).with_classifier(self.tools.classifier.as_ref()),
        )?;
        let prepared = parallel::map("preparing", "generations", &numbers, |&number| {
            generations[number].prepare(texts[number])
        })?;
        let pairs = pairs::of_candidates(candidates.iter().map(Vec::as_slice));
        let findings = pairs::by_document("aligning", &pairs, samples.len(), |pairs| {
            let document = pairs[0].document;
            let split = &self.sentences.training[document];
            let text = split.prepare(&self.sources.training[document].text)?;
            let found = pairs.iter().filter_map(|&pair| {
                let generation = Side {
                    text: texts[pair.generation],
                    prepared: &prepared[pair.generation],
                    split: &generations[pair.generation],
                };
                let side = Side {
                    text: &self.sources.training[document].text,
                    prepared: &text,
                    split,
                };
                Some((pair, detector.compare(generation, document, side)?))
            });
            Ok(found.collect())
        })?;
        clock.lap("aligning");

        let similarity = |number: usize| {
            let (generation, truth) = (&generations[number], &truths[number]);
            Similarity {
                training: in_training.largest(generation).unwrap_or(0.0),
                own: (!truth.sentences.is_empty()).then(|| {
                    vectors
                        .largest(&generation.sentences, &truth.sentences)
                        .unwrap_or(0.0)
                }),
                held_out: in_held_out
                    .has_corpus()
                    .then(|| in_held_out.largest(generation).unwrap_or(0.0)),
            }
        };
        Ok(findings
            .into_iter()
            .enumerate()
            .map(|(number, findings)| Evidence {
                findings,
                similarity: similarity(number),
            })
            .collect())
    }
}
