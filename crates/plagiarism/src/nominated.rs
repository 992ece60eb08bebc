//! Evidence where the corpus has too many sentences to encode: words nominate the sentences that are compared by meaning.
//!
//! Generations are aligned first, without confirmation. Each then nominates one pair of sentences a side (training
//! documents, held-out documents, the truth), the pair that shares most words; to these come the sentences that settle
//! whether what alignment found is a paraphrase, where that could decide the class. Only sentences so named are encoded, each
//! once, and equal sentences not at all: their cosine is 1.

use std::collections::{BTreeMap, BTreeSet};

use contract::Error;
use contract::pipeline::{Confirmation, Detection, DetectorPreset};
use contract::records::{Sample, Verdict};
use sentence_embed::Embeddings;

use crate::align::{Finding, PairDetector, Side, parameters};
use crate::candidates::{CandidateSearch, RankedSearch};
use crate::clock::Clock;
use crate::comparison::Tools;
use crate::confirm::Confirmer;
use crate::doubts::{self, Doubt};
use crate::evidence::{Evidence, Similarity};
use crate::exact::Shared;
use crate::failed;
use crate::pairs::{self, Pair};
use crate::parallel;
use crate::round::{Cosine, Nominee, Round, alone, best, nominate};
use crate::sentences::{SentenceTable, SplitText};
use crate::similarity::Vectors;
use crate::sources::Sources;
use crate::word_overlap::SentenceWords;

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
    nominee: Option<Nominee>,
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
                let in_training = best(looks.iter().filter_map(|look| look.nominee));
                let in_held_out = best(held_out.iter().flatten().copied());
                [
                    in_training.map(|nominee| round.cosine(number, nominee, &self.sources.training)),
                    round.own(number),
                    in_held_out.map(|nominee| round.cosine(number, nominee, &self.sources.held_out)),
                ]
            })
            .collect();
        let doubts = self.doubts(samples, shared, &looks, &training);
        let split = round.read_documents(&doubts, &self.sources.training);
        let mut needed: BTreeSet<usize> = BTreeSet::new();
        for cosine in cosines.iter().flatten().flatten() {
            if let Cosine::Of(left, right) = *cosine {
                needed.extend([left, right]);
            }
        }
        let by_encoder = self.detection.confirm == Confirmation::Encoder;
        for doubt in doubts.iter().filter(|_| by_encoder) {
            let generation = &round.generations[doubt.pair.generation];
            needed.extend(doubt.first_sentences(&round.table, generation, &split[&doubt.pair.document]));
        }
        let mut vectors = no_vectors()?;
        self.encode(&round.table, needed, &mut vectors)?;
        clock.lap("encoding");

        let mut settled = self.settle(&round, &doubts, &split, &vectors)?;
        if by_encoder {
            let open = doubts::open(&doubts, &settled);
            let further = open.into_iter().flat_map(|doubt| {
                let generation = &round.generations[doubt.pair.generation];
                doubt.sentences(generation, &split[&doubt.pair.document])
            });
            self.encode(&round.table, further.collect(), &mut vectors)?;
            clock.lap("encoding");
            settled = self.settle(&round, &doubts, &split, &vectors)?;
        }
        let mut settled: BTreeMap<(usize, usize), Finding> = doubts
            .iter()
            .zip(settled)
            .map(|(doubt, settled)| ((doubt.pair.generation, doubt.pair.document), settled))
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
                    .filter_map(|look| settled.remove(&(number, look.document)).or(look.finding))
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
            let nominees = nominate(words, pairs, document, &table, &split);
            let looks = nominees.into_iter().map(|(pair, nominee)| {
                let finding = detector.compare(round.side(pair.generation), document, side);
                let look = Look {
                    document,
                    finding,
                    nominee,
                };
                (pair, look)
            });
            Ok(looks.collect())
        })
    }

    /// The findings that have to be confirmed, because they could decide the class of their generation, by document.
    fn doubts(
        &self,
        samples: &[Sample],
        shared: &[Shared],
        looks: &[Vec<Look>],
        pairs: &[Pair],
    ) -> Vec<Doubt> {
        if self.detection.confirm == Confirmation::None {
            return Vec::new();
        }
        let minimum = parameters(self.detection).verbatim_minimum;
        let ours = self.detection.preset == DetectorPreset::Ours;
        let mut doubtful: BTreeMap<(usize, usize), &Finding> = BTreeMap::new();
        for (generation, looks) in looks.iter().enumerate() {
            let own = samples[generation]
                .doc_id
                .as_deref()
                .and_then(|doc_id| self.sources.training_index(doc_id));
            let found = looks.iter().filter_map(|look| look.finding.as_ref());
            let decisive: Vec<&Finding> = if ours {
                let copies = shared[generation].passages(own, minimum);
                doubts::decisive(found, &copies)
            } else {
                // The published rule looks at the first finding alone.
                found
                    .take(1)
                    .filter(|finding| finding.class == Verdict::Paraphrase)
                    .collect()
            };
            doubtful.extend(
                decisive
                    .into_iter()
                    .map(|finding| ((generation, finding.document), finding)),
            );
        }
        let doubt = |&pair: &Pair| {
            let whole = (*doubtful.get(&(pair.generation, pair.document))?).clone();
            Some(Doubt { pair, whole })
        };
        pairs.iter().filter_map(doubt).collect()
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

    /// What each of `doubts` comes to if the sentences that have `vectors` decide.
    fn settle(
        &self,
        round: &Round,
        doubts: &[Doubt],
        split: &BTreeMap<usize, SplitText>,
        vectors: &Vectors,
    ) -> Result<Vec<Finding>, Error> {
        let confirmer = Confirmer::new(self.detection, &round.table, vectors)
            .with_classifier(self.tools.classifier.as_ref());
        let detector = PairDetector::new(self.detection, confirmer)?;
        let documents: Vec<&[Doubt]> = doubts
            .chunk_by(|left, right| left.pair.document == right.pair.document)
            .collect();
        let settled = parallel::map("confirming", "documents", &documents, |doubts| {
            let document = doubts[0].pair.document;
            let (text, split) = (&self.sources.training[document].text, &split[&document]);
            let prepared = split.prepare(text)?;
            let side = Side {
                text,
                prepared: &prepared,
                split,
            };
            let settled = doubts.iter().map(|doubt| {
                let finding = detector.compare(round.side(doubt.pair.generation), document, side);
                finding.unwrap_or(Finding {
                    document,
                    class: Verdict::None,
                    passages: Vec::new(),
                })
            });
            Ok(settled.collect::<Vec<_>>())
        })?;
        Ok(settled.into_iter().flatten().collect())
    }
}

fn no_vectors() -> Result<Vectors, Error> {
    Embeddings::from_rows(Vec::new(), 1)
        .map(Vectors::from)
        .map_err(failed("encoding sentences"))
}
