//! Evidence where the corpus has too many sentences to encode: words nominate the sentences that are compared by meaning.
//!
//! Generations are aligned first, without confirmation. Each then nominates one pair of sentences a side (training
//! documents, held-out documents, the truth), the pair that shares most words; to these come the sentences that resolve
//! whether what alignment found is a paraphrase, where that could decide the class. Only sentences so named are encoded, each
//! once, and equal sentences not at all: their cosine is 1.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use contract::Error;
use contract::pipeline::{Confirmation, Detection};
use contract::records::Verdict;
use sentence_embed::Embeddings;

use crate::alignment::policy::DetectorPolicy;
use crate::alignment::{Finding, PairDetector, Side};
use crate::candidates::exact::Shared;
use crate::candidates::pairs::{self, Pair};
use crate::clock::Clock;
use crate::comparison::{DocumentSide, Sides, Tools};
use crate::corpus::generation::Generation;
use crate::corpus::sentences::{SentenceTable, SplitText};
use crate::corpus::sources::Sources;
use crate::failed;
use crate::parallel;
use crate::paraphrase::confirm::Confirmer;
use crate::paraphrase::evidence::{Evidence, Similarity, subsets_by_length};
use crate::paraphrase::pending::{self, PendingPair};
use crate::paraphrase::round::{CandidateSentence, Cosine, Round, alone, best, nominate};
use crate::paraphrase::similarity::Vectors;

/// A corpus of which only nominated sentences are encoded.
pub struct Nominated<'run> {
    detection: &'run Detection,
    tools: &'run Tools,
    /// Documents of either side that stand for it where both are compared.
    subsets: [HashSet<usize>; 2],
}

/// What is seen of a pair of generation and document before anything is encoded.
struct Look {
    document: usize,
    finding: Option<Finding>,
    candidate: Option<CandidateSentence>,
}

/// What is seen of one side.
struct Looks {
    /// Of each generation, in the order of its candidates.
    by_generation: Vec<Vec<Look>>,
    /// The findings that have to be confirmed.
    pending: Vec<PendingPair>,
    /// The sentences of their documents.
    split: BTreeMap<usize, SplitText>,
}

impl<'run> Nominated<'run> {
    /// Chooses the documents over which both sides are compared.
    pub fn new(sources: &Sources, detection: &'run Detection, tools: &'run Tools) -> Self {
        Self {
            subsets: subsets_by_length(sources),
            detection,
            tools,
        }
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
        let mut round = Round::read(generations)?;
        let training = self.look(&mut round, shared.training, &searches.training)?;
        let held_out = self.look(&mut round, shared.held_out, &searches.held_out)?;
        clock.lap("aligning");

        let mut cosines: Vec<[Option<Cosine>; 4]> = Vec::with_capacity(generations.len());
        for number in 0..generations.len() {
            let chosen = [
                (&training, &searches.training, None),
                (&training, &searches.training, Some(&self.subsets[0])),
                (&held_out, &searches.held_out, Some(&self.subsets[1])),
            ];
            let [training, comparable, held_out] = chosen.map(|(side, search, among)| {
                let is_chosen = |look: &&Look| among.is_none_or(|among| among.contains(&look.document));
                let candidates = side.by_generation[number].iter().filter(is_chosen);
                let best = best(candidates.filter_map(|look| look.candidate))?;
                Some(round.cosine(number, best, search.documents))
            });
            cosines.push([training, round.own(number), held_out, comparable]);
        }
        let by_encoder = self.detection.confirm == Confirmation::Encoder;
        let mut needed: BTreeSet<usize> = BTreeSet::new();
        for cosine in cosines.iter().flatten().flatten() {
            if let Cosine::Of(left, right) = *cosine {
                needed.extend([left, right]);
            }
        }
        for side in [&training, &held_out] {
            for open in side.pending.iter().filter(|_| by_encoder) {
                let generation = &round.split[open.pair.generation];
                let document = &side.split[&open.pair.document];
                needed.extend(open.first_sentences(&round.table, generation, document));
            }
        }
        let mut vectors = no_vectors()?;
        self.encode(&round.table, needed, &mut vectors)?;
        clock.lap("encoding");

        let training = self.resolved(&round, training, &searches.training, &mut vectors)?;
        let held_out = self.resolved(&round, held_out, &searches.held_out, &mut vectors)?;
        clock.lap("confirming");

        let value = |cosine: Option<Cosine>| match cosine? {
            Cosine::Known(cosine) => Some(cosine),
            Cosine::Of(left, right) => Some(vectors.cosine(left, right)),
        };
        let similarity = |number: usize, [training, own, held_out, comparable]: [Option<Cosine>; 4]| {
            let sentences = &round.split[number].sentences;
            let held = |shared: &Shared, among: Option<&HashSet<usize>>| {
                let is_held = sentences.iter().any(|sentence| match among {
                    None => shared.holds(sentence.span),
                    Some(among) => shared.holds_among(sentence.span, among),
                });
                is_held.then_some(1.0)
            };
            let (in_training, in_held_out) = (&shared.training[number], &shared.held_out[number]);
            // Where no candidate has a sentence in common with the generation, the least that can be said is 0.
            let least = |documents: usize| (documents > 0 && !sentences.is_empty()).then_some(0.0);
            let (trained, kept_back) = (
                searches.training.documents.len(),
                searches.held_out.documents.len(),
            );
            Similarity {
                training: held(in_training, None).or(value(training)).or(least(trained)),
                own: value(own),
                held_out: held(in_held_out, Some(&self.subsets[1]))
                    .or(value(held_out))
                    .or(least(kept_back)),
                comparable: held(in_training, Some(&self.subsets[0]))
                    .or(value(comparable))
                    .or(least(trained.min(kept_back))),
            }
        };
        let findings = training.into_iter().zip(held_out).zip(cosines).enumerate();
        Ok(findings
            .map(|(number, ((training, held_out), cosines))| Evidence {
                training,
                held_out,
                similarity: similarity(number, cosines),
            })
            .collect())
    }

    /// Finds the candidates of one side and aligns them, without confirmation.
    fn look(&self, round: &mut Round, shared: &[Shared], search: &DocumentSide) -> Result<Looks, Error> {
        let generations = round.generations;
        let numbers: Vec<usize> = (0..generations.len()).collect();
        let candidates = parallel::map("candidates", "generations", &numbers, |&number| {
            search.candidates(&generations[number], &shared[number], |_| Vec::new())
        })?;
        let pairs = pairs::of_candidates(candidates.iter().map(Vec::as_slice));
        let looks = self.align(round, &pairs, search)?;
        let pending = self.pending(generations, shared, &looks, &pairs, search);
        let split = round.read_documents(&pending, search.documents);
        Ok(Looks {
            by_generation: looks,
            pending,
            split,
        })
    }

    /// Aligns all pairs without confirmation, and nominates sentences of each document.
    fn align(&self, round: &Round, pairs: &[Pair], search: &DocumentSide) -> Result<Vec<Vec<Look>>, Error> {
        let unconfirmed = Detection {
            confirm: Confirmation::None,
            ..self.detection.clone()
        };
        let words = round.words();
        let (no_table, no_vectors) = (SentenceTable::default(), no_vectors()?);
        let detector = PairDetector::new(&unconfirmed, Confirmer::new(&unconfirmed, &no_table, &no_vectors))?;
        pairs::by_document("aligning", pairs, round.generations.len(), |pairs| {
            let document = pairs[0].document;
            let text = &search.documents[document].text;
            let (table, split) = alone(text);
            let prepared = split.prepare(text)?;
            let side = Side {
                text,
                prepared: &prepared,
                split: &split,
            };
            let candidates = nominate(round.generations, &words, pairs, document, &table, &split);
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
        generations: &[Generation],
        shared: &[Shared],
        looks: &[Vec<Look>],
        pairs: &[Pair],
        search: &DocumentSide,
    ) -> Vec<PendingPair> {
        if self.detection.confirm == Confirmation::None {
            return Vec::new();
        }
        let policy = DetectorPolicy::of(self.detection);
        let minimum = policy.parameters.verbatim_minimum;
        let mut undecided: BTreeMap<(usize, usize), &Finding> = BTreeMap::new();
        for (number, looks) in looks.iter().enumerate() {
            let own = search.own(&generations[number]);
            let found = looks.iter().filter_map(|look| look.finding.as_ref());
            let decisive: Vec<&Finding> = if policy.strongest_over_all {
                let copies = shared[number].passages(own, minimum);
                pending::decisive(found, &copies, own)
            } else {
                // The published rule looks at the first finding alone, unless the prompt supplied all of it.
                found
                    .filter(|finding| finding.class == Verdict::Paraphrase)
                    .collect()
            };
            undecided.extend(
                decisive
                    .into_iter()
                    .map(|finding| ((number, finding.document), finding)),
            );
        }
        let pending = |&pair: &Pair| {
            let whole = (*undecided.get(&(pair.generation, pair.document))?).clone();
            Some(PendingPair { pair, whole })
        };
        pairs.iter().filter_map(pending).collect()
    }

    /// The findings of one side, confirmed where that could decide a class.
    fn resolved(
        &self,
        round: &Round,
        side: Looks,
        search: &DocumentSide,
        vectors: &mut Vectors,
    ) -> Result<Vec<Vec<Finding>>, Error> {
        let Looks {
            by_generation: looks,
            pending,
            split,
        } = side;
        let mut resolved = self.resolve(round, &pending, &split, search, vectors)?;
        if self.detection.confirm == Confirmation::Encoder {
            let own = |generation: usize| search.own(&round.generations[generation]);
            let open = pending::open(&pending, &resolved, own);
            let further = open.into_iter().flat_map(|open| {
                let generation = &round.split[open.pair.generation];
                open.sentences(generation, &split[&open.pair.document])
            });
            self.encode(&round.table, further.collect(), vectors)?;
            resolved = self.resolve(round, &pending, &split, search, vectors)?;
        }
        let mut resolved: BTreeMap<(usize, usize), Finding> = pending
            .iter()
            .zip(resolved)
            .map(|(open, resolved)| ((open.pair.generation, open.pair.document), resolved))
            .collect();
        let looks = looks.into_iter().enumerate();
        Ok(looks
            .map(|(number, looks)| {
                let findings = looks.into_iter();
                findings
                    .filter_map(|look| resolved.remove(&(number, look.document)).or(look.finding))
                    .collect()
            })
            .collect())
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
        search: &DocumentSide,
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
            let (text, split) = (&search.documents[document].text, &split[&document]);
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
