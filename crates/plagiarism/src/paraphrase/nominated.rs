//! Evidence where the corpus has too many sentences to encode: words nominate the sentences that are compared by meaning.
//!
//! Generations are aligned first, without confirmation. Each then nominates one pair of sentences a side (training
//! documents, held-out documents, the truth), the pair that shares most words; to these come the sentences that resolve
//! whether what alignment found is a paraphrase, where that could decide the class. Only sentences so named are encoded, each
//! once, and equal sentences not at all: their cosine is 1.

use std::collections::{BTreeMap, BTreeSet};

use contract::Error;
use contract::pipeline::{Confirmation, Detection, DetectorPreset};
use contract::records::{Sample, Verdict};
use sentence_embed::Embeddings;

use crate::alignment::{Finding, PairDetector, Side, parameters};
use crate::candidates::exact::Shared;
use crate::candidates::pairs::{self, Pair};
use crate::candidates::word_overlap::SentenceWords;
use crate::candidates::{CandidateSearch, RankedSearch};
use crate::clock::Clock;
use crate::comparison::Tools;
use crate::corpus::sentences::{SentenceTable, SplitText};
use crate::corpus::sources::Sources;
use crate::failed;
use crate::parallel;
use crate::paraphrase::confirm::Confirmer;
use crate::paraphrase::evidence::{Evidence, Similarity};
use crate::paraphrase::pending::{self, PendingPair};
use crate::paraphrase::round::{CandidateSentence, Cosine, Round, alone, best, nominate};
use crate::paraphrase::similarity::Vectors;

/// A corpus of which only nominated sentences are encoded.
pub struct Nominated<'run> {
    sources: &'run Sources,
    detection: &'run Detection,
    tools: &'run Tools,
    held_out: RankedSearch,
}

/// What is seen of a pair of generation and document before anything is encoded.
struct Look {
    document: usize,
    finding: Option<Finding>,
    candidate: Option<CandidateSentence>,
}

impl<'run> Nominated<'run> {
    /// Indexes the held-out documents, which have to nominate sentences too.
    ///
    /// # Errors
    /// [`Error::Run`] where that fails.
    pub fn new(
        sources: &'run Sources,
        detection: &'run Detection,
        tools: &'run Tools,
    ) -> Result<Self, Error> {
        Ok(Self {
            held_out: RankedSearch::new(&sources.held_out, &tools.indexes)?,
            sources,
            detection,
            tools,
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
        let mut round = Round::read(samples)?;
        let numbers: Vec<usize> = (0..samples.len()).collect();
        let candidates = parallel::map("candidates", "generations", &numbers, |&number| {
            let generation = samples[number].generation.as_str();
            let training = search.candidates(generation, &shared[number], |_| Vec::new())?;
            let held_out = self
                .held_out
                .candidates(generation, self.detection.candidate_limit)?;
            Ok((training, held_out))
        })?;
        clock.lap("candidates");

        let words = round.words();
        let training = pairs::of_candidates(candidates.iter().map(|(training, _)| training.as_slice()));
        let looks = self.align(&round, &words, &training)?;
        let held_out = pairs::of_candidates(candidates.iter().map(|(_, held_out)| held_out.as_slice()));
        let held_out = pairs::by_document("nominating", &held_out, samples.len(), |pairs| {
            let document = pairs[0].document;
            let (table, split) = alone(&self.sources.held_out[document].text);
            Ok(nominate(&words, pairs, document, &table, &split))
        })?;
        drop(words);
        clock.lap("aligning");

        let cosines: Vec<[Option<Cosine>; 3]> = looks
            .iter()
            .zip(&held_out)
            .enumerate()
            .map(|(number, (looks, held_out))| {
                let in_training = best(looks.iter().filter_map(|look| look.candidate));
                let in_held_out = best(held_out.iter().flatten().copied());
                [
                    in_training.map(|candidate| round.cosine(number, candidate, &self.sources.training)),
                    round.own(number),
                    in_held_out.map(|candidate| round.cosine(number, candidate, &self.sources.held_out)),
                ]
            })
            .collect();
        let pending = self.pending(samples, shared, &looks, &training);
        let split = round.read_documents(&pending, &self.sources.training);
        let mut needed: BTreeSet<usize> = BTreeSet::new();
        for cosine in cosines.iter().flatten().flatten() {
            if let Cosine::Of(left, right) = *cosine {
                needed.extend([left, right]);
            }
        }
        let by_encoder = self.detection.confirm == Confirmation::Encoder;
        for open in pending.iter().filter(|_| by_encoder) {
            let generation = &round.generations[open.pair.generation];
            needed.extend(open.first_sentences(&round.table, generation, &split[&open.pair.document]));
        }
        let mut vectors = no_vectors()?;
        self.encode(&round.table, needed, &mut vectors)?;
        clock.lap("encoding");

        let mut resolved = self.resolve(&round, &pending, &split, &vectors)?;
        if by_encoder {
            let open = pending::open(&pending, &resolved);
            let further = open.into_iter().flat_map(|open| {
                let generation = &round.generations[open.pair.generation];
                open.sentences(generation, &split[&open.pair.document])
            });
            self.encode(&round.table, further.collect(), &mut vectors)?;
            clock.lap("encoding");
            resolved = self.resolve(&round, &pending, &split, &vectors)?;
        }
        let mut resolved: BTreeMap<(usize, usize), Finding> = pending
            .iter()
            .zip(resolved)
            .map(|(open, resolved)| ((open.pair.generation, open.pair.document), resolved))
            .collect();
        clock.lap("confirming");
        let value = |cosine: Option<Cosine>| match cosine {
            None => 0.0,
            Some(Cosine::Known(cosine)) => cosine,
            Some(Cosine::Of(left, right)) => vectors.cosine(left, right),
        };
        let evidence = looks.into_iter().zip(cosines).enumerate();
        Ok(evidence
            .map(|(number, (looks, [training, own, held_out]))| Evidence {
                findings: looks
                    .into_iter()
                    .filter_map(|look| resolved.remove(&(number, look.document)).or(look.finding))
                    .collect(),
                similarity: Similarity {
                    training: value(training),
                    own: (!round.truths[number].sentences.is_empty()).then(|| value(own)),
                    held_out: (!self.sources.held_out.is_empty()).then(|| value(held_out)),
                },
            })
            .collect())
    }

    /// Aligns all pairs without confirmation, and nominates sentences of each document.
    fn align(
        &self,
        round: &Round,
        words: &[Vec<SentenceWords>],
        pairs: &[Pair],
    ) -> Result<Vec<Vec<Look>>, Error> {
        let unconfirmed = Detection {
            confirm: Confirmation::None,
            ..self.detection.clone()
        };
        let (no_table, no_vectors) = (SentenceTable::default(), no_vectors()?);
        let detector = PairDetector::new(&unconfirmed, Confirmer::new(&unconfirmed, &no_table, &no_vectors))?;
        pairs::by_document("aligning", pairs, round.samples.len(), |pairs| {
            let document = pairs[0].document;
            let text = &self.sources.training[document].text;
            let (table, split) = alone(text);
            let prepared = split.prepare(text)?;
            let side = Side {
                text,
                prepared: &prepared,
                split: &split,
            };
            let candidates = nominate(words, pairs, document, &table, &split);
            let looks = candidates.into_iter().map(|(pair, candidate)| {
                let finding = detector.compare(round.side(pair.generation), document, side);
                let look = Look {
                    document,
                    finding,
                    candidate,
                };
                (pair, look)
            });
            Ok(looks.collect())
        })
    }

    /// The findings that have to be confirmed, because they could decide the class of their generation, by document.
    fn pending(
        &self,
        samples: &[Sample],
        shared: &[Shared],
        looks: &[Vec<Look>],
        pairs: &[Pair],
    ) -> Vec<PendingPair> {
        if self.detection.confirm == Confirmation::None {
            return Vec::new();
        }
        let minimum = parameters(self.detection).verbatim_minimum;
        let ours = self.detection.preset == DetectorPreset::Ours;
        let mut undecided: BTreeMap<(usize, usize), &Finding> = BTreeMap::new();
        for (generation, looks) in looks.iter().enumerate() {
            let own = samples[generation]
                .doc_id
                .as_deref()
                .and_then(|doc_id| self.sources.training_index(doc_id));
            let found = looks.iter().filter_map(|look| look.finding.as_ref());
            let decisive: Vec<&Finding> = if ours {
                let copies = shared[generation].passages(own, minimum);
                pending::decisive(found, &copies)
            } else {
                // The published rule looks at the first finding alone.
                found
                    .take(1)
                    .filter(|finding| finding.class == Verdict::Paraphrase)
                    .collect()
            };
            undecided.extend(
                decisive
                    .into_iter()
                    .map(|finding| ((generation, finding.document), finding)),
            );
        }
        let pair = |&pair: &Pair| {
            let whole = (*undecided.get(&(pair.generation, pair.document))?).clone();
            Some(PendingPair { pair, whole })
        };
        pairs.iter().filter_map(pair).collect()
    }

    /// Adds the vectors of the sentences numbered `needed`.
    fn encode(
        &self,
        table: &SentenceTable,
        needed: BTreeSet<usize>,
        vectors: &mut Vectors,
    ) -> Result<(), Error> {
        let numbers: Vec<usize> = needed
            .into_iter()
            .filter(|&number| !vectors.has(number))
            .collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = numbers.iter().map(|&number| &*table.texts()[number]).collect();
        vectors.extend(&numbers, self.tools.encoder.rows(&texts)?);
        Ok(())
    }

    /// What each of `pending` comes to if the sentences that have `vectors` decide.
    fn resolve(
        &self,
        round: &Round,
        pending: &[PendingPair],
        split: &BTreeMap<usize, SplitText>,
        vectors: &Vectors,
    ) -> Result<Vec<Finding>, Error> {
        let confirmer = Confirmer::new(self.detection, &round.table, vectors)
            .with_classifier(self.tools.classifier.as_ref());
        let detector = PairDetector::new(self.detection, confirmer)?;
        let documents: Vec<&[PendingPair]> = pending
            .chunk_by(|left, right| left.pair.document == right.pair.document)
            .collect();
        let resolved = parallel::map("confirming", "documents", &documents, |pending| {
            let document = pending[0].pair.document;
            let (text, split) = (&self.sources.training[document].text, &split[&document]);
            let prepared = split.prepare(text)?;
            let side = Side {
                text,
                prepared: &prepared,
                split,
            };
            let resolved = pending.iter().map(|open| {
                let finding = detector.compare(round.side(open.pair.generation), document, side);
                finding.unwrap_or(Finding {
                    document,
                    class: Verdict::None,
                    passages: Vec::new(),
                })
            });
            Ok(resolved.collect::<Vec<_>>())
        })?;
        Ok(resolved.into_iter().flatten().collect())
    }
}

fn no_vectors() -> Result<Vectors, Error> {
    Embeddings::from_rows(Vec::new(), 1)
        .map(Vectors::from)
        .map_err(failed("encoding sentences"))
}
