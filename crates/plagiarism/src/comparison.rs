//! All generations against both sides of the corpus: what every generation shares with it is brought together here.

use std::ops::Range;

use contract::pipeline::{Candidates, Detection};
use contract::records::Sample;
use contract::{Error, Progress};

use crate::alignment::policy::DetectorPolicy;
use crate::cache::indexes::{CorpusName, IndexCache};
use crate::candidates::RankedSearch;
use crate::candidates::exact::{ExactSearch, Shared};
use crate::clock::Clock;
use crate::corpus::generation::Generation;
use crate::corpus::sources::{Document, Sources};
use crate::decision::classifier::{Classifier, Comparison};
use crate::parallel;
use crate::paraphrase::classifier::ParaphraseClassifier;
use crate::paraphrase::encoder::SentenceEncoder;
use crate::paraphrase::evidence::{self, Evidence, Scope};
use crate::paraphrase::exhaustive::Exhaustive;
use crate::paraphrase::nominated::Nominated;

/// Generations worked on in one round, at most: few enough for what is known about them to fit in memory, however many there are.
const MAX_ROUND: usize = 4096;

/// And at least, where there are as many: enough for a document that is a candidate of many to be prepared for them together.
const MIN_ROUND: usize = 64;

/// Rounds that there are in between. Whoever works in parts gets whole rounds.
const ROUNDS: usize = 16;

/// Bytes of generations that are searched for word for word together, unless one round has more: what is found of them is kept, some
/// ten times as much.
const MAX_SEARCHED: usize = 4 << 20;

/// What a comparison needs beside texts and settings.
#[derive(Debug)]
pub struct Tools {
    /// Compares sentences by meaning.
    pub encoder: SentenceEncoder,
    /// Confirms paraphrases, where `detection.confirm` asks for that.
    pub classifier: Option<ParaphraseClassifier>,
    /// Where indexes of large corpora are kept.
    pub indexes: IndexCache,
}

/// The comparisons of a run.
#[derive(Debug, Clone)]
pub struct Comparisons {
    /// One for each sample, in their order.
    pub comparisons: Vec<Comparison>,
    /// Which sentences were compared by meaning.
    pub scope: Scope,
}

/// Something of either side of the corpus.
#[derive(Debug, Clone, Copy)]
pub struct Sides<T> {
    /// Of the training documents.
    pub training: T,
    /// Of the held-out documents: the control.
    pub held_out: T,
}

/// The documents of one side of the corpus, and the ways to find those that a generation may come from.
pub struct DocumentSide<'run> {
    /// The documents.
    pub documents: &'run [Document],
    /// Finds passages that they hold word for word.
    pub exact: ExactSearch<'run>,
    /// Ranks them by the words that they share with a text.
    pub ranked: RankedSearch,
    ways: Vec<Candidates>,
    /// Most documents from each way.
    limit: usize,
    /// Whether the prompt's own document is always a candidate.
    with_own: bool,
    own: fn(&Generation) -> Option<usize>,
}

impl<'run> DocumentSide<'run> {
    /// Indexes the documents, beside the indexes of so many bytes of other text.
    fn new(
        documents: &'run [Document],
        bytes_beside: usize,
        detection: &Detection,
        indexes: &IndexCache,
        own: fn(&Generation) -> Option<usize>,
    ) -> Result<Self, Error> {
        let corpus = CorpusName::of(documents).beside(bytes_beside);
        let (exact, ranked) = corpus.both(
            || ExactSearch::named(documents, indexes, &corpus),
            || RankedSearch::named(documents, indexes, &corpus),
        );
        let policy = DetectorPolicy::of(detection);
        Ok(Self {
            documents,
            exact: exact?,
            ranked: ranked?,
            limit: detection.candidate_limit,
            with_own: policy.strongest_over_all,
            ways: policy.candidates,
            own,
        })
    }

    /// Place of the prompt's document on this side, if it is one of it.
    pub fn own(&self, generation: &Generation) -> Option<usize> {
        (self.own)(generation)
    }

    /// The documents to align `generation` with, each once, best first within each way. `shared` is what it has in common
    /// with the documents word for word, and `nearest` are the documents that hold the sentences nearest to its own, best
    /// first.
    ///
    /// # Errors
    /// [`Error::Run`] where the search fails.
    pub fn candidates(
        &self,
        generation: &Generation,
        shared: &Shared,
        nearest: impl Fn(usize) -> Vec<usize>,
    ) -> Result<Vec<usize>, Error> {
        let mut candidates = Vec::new();
        for way in &self.ways {
            let found = match way {
                Candidates::Bm25 => self.ranked.candidates(&generation.text, self.limit)?,
                Candidates::Exact => shared.candidates(self.limit),
                Candidates::Nearest => nearest(self.limit),
            };
            for document in found {
                if !candidates.contains(&document) {
                    candidates.push(document);
                }
            }
        }
        let own = self.own(generation).filter(|_| self.with_own);
        candidates.extend(own.filter(|own| !candidates.contains(own)));
        Ok(candidates)
    }
}

/// The rounds in which so many samples are compared. Sentences of a round are encoded together, and a cosine may differ in its last
/// bits by what is encoded with it; so rounds follow from the number of samples alone, whoever works on which.
pub fn rounds(samples: usize) -> Vec<Range<usize>> {
    let size = samples.div_ceil(ROUNDS).clamp(MIN_ROUND, MAX_ROUND);
    (0..samples)
        .step_by(size)
        .map(|start| start..samples.min(start + size))
        .collect()
}

/// Compares every sample with the sources, on the threads of the current pool; results in the order of the samples. The
/// `clock` counts what each phase took.
///
/// # Errors
/// [`Error::Input`] where there is no usable encoder, [`Error::Configuration`] where a threshold makes no sense,
/// [`Error::Run`] where the work fails.
pub fn compare(
    samples: &[Sample],
    sources: &Sources,
    detection: &Detection,
    tools: &Tools,
    clock: &mut Clock,
) -> Result<Comparisons, Error> {
    compare_rounds(samples, &rounds(samples.len()), sources, detection, tools, clock)
}

/// The same for the samples of some [`rounds`] alone.
///
/// # Errors
/// Those of [`compare`].
pub fn compare_rounds(
    samples: &[Sample],
    rounds: &[Range<usize>],
    sources: &Sources,
    detection: &Detection,
    tools: &Tools,
    clock: &mut Clock,
) -> Result<Comparisons, Error> {
    let sentences = evidence::exhaustive(detection, sources)?;
    let method = match sentences {
        Some(sentences) => {
            Method::Exhaustive(Box::new(Exhaustive::new(sources, detection, tools, sentences)?))
        }
        None => Method::Nominated(Nominated::new(sources, detection, tools)),
    };
    clock.lap("corpus sentences");
    let indexes = &tools.indexes;
    let indexing = Progress::of_task("indexing the corpus");
    let training_bytes = sources.training.iter().map(|document| document.text.len()).sum();
    let searches = Sides {
        training: DocumentSide::new(&sources.training, 0, detection, indexes, |generation| {
            generation.own_training
        })?,
        held_out: DocumentSide::new(
            &sources.held_out,
            training_bytes,
            detection,
            indexes,
            |generation| generation.own_held_out,
        )?,
    };
    drop(indexing);
    clock.lap("indexing");

    let classifier = Classifier::new(detection, &searches, method.scope());
    let minimum = DetectorPolicy::of(detection).parameters.verbatim_minimum;
    let mut comparisons = Vec::new();
    for together in searched_together(rounds, samples) {
        let (Some(first), Some(last)) = (together.first(), together.last()) else {
            continue;
        };
        let generations = parallel::map(
            "reading",
            "generations",
            &samples[first.start..last.end],
            |sample| Ok(Generation::new(sample, sources)),
        )?;
        let shared = Sides {
            training: searches.training.exact.shared(&generations, minimum),
            held_out: searches.held_out.exact.shared(&generations, minimum),
        };
        clock.lap("exact search");
        for round in together {
            let round = round.start - first.start..round.end - first.start;
            let generations = &generations[round.clone()];
            let shared = Sides {
                training: &shared.training[round.clone()],
                held_out: &shared.held_out[round],
            };
            let evidence = method.evidence(generations, shared, &searches, clock)?;
            tools
                .classifier
                .as_ref()
                .map_or(Ok(()), ParaphraseClassifier::check)?;
            let gathered: Vec<_> = generations
                .iter()
                .zip(shared.training)
                .zip(shared.held_out)
                .zip(evidence)
                .collect();
            comparisons.extend(parallel::map(
                "classifying",
                "generations",
                &gathered,
                |(((generation, training), held_out), evidence)| {
                    let shared = Sides {
                        training: *training,
                        held_out: *held_out,
                    };
                    Ok(classifier.comparison(generation, shared, evidence.clone()))
                },
            )?);
            clock.lap("classifying");
        }
    }
    Ok(Comparisons {
        comparisons,
        scope: method.scope(),
    })
}

/// Rounds whose generations are searched for word for word together, up to as many as one round may have and to [`MAX_SEARCHED`]: of a
/// large corpus each such search reads all of the index.
fn searched_together<'rounds>(
    rounds: &'rounds [Range<usize>],
    samples: &[Sample],
) -> Vec<&'rounds [Range<usize>]> {
    let bytes = |range: Range<usize>| {
        let samples = samples[range].iter();
        samples.map(|sample| sample.generation.len()).sum::<usize>()
    };
    let mut groups = Vec::new();
    let mut rest = rounds;
    while let Some(first) = rest.first() {
        let fits = rest.iter().take_while(|round| {
            let together = first.start..round.end;
            together.len() <= MAX_ROUND && bytes(together) <= MAX_SEARCHED
        });
        let (together, others) = rest.split_at(fits.count().max(1));
        groups.push(together);
        rest = others;
    }
    groups
}

/// How evidence is gathered.
enum Method<'run> {
    Exhaustive(Box<Exhaustive<'run>>),
    Nominated(Nominated<'run>),
}

impl Method<'_> {
    fn scope(&self) -> Scope {
        match self {
            Self::Exhaustive(_) => Scope::Exhaustive,
            Self::Nominated(_) => Scope::Nominated,
        }
    }

    fn evidence(
        &self,
        generations: &[Generation],
        shared: Sides<&[Shared]>,
        searches: &Sides<DocumentSide>,
        clock: &mut Clock,
    ) -> Result<Vec<Evidence>, Error> {
        match self {
            Self::Exhaustive(method) => method.evidence(generations, shared, searches, clock),
            Self::Nominated(method) => method.evidence(generations, shared, searches, clock),
        }
    }
}
