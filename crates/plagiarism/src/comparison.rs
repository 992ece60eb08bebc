//! All generations against all sources: what every generation shares with the corpus is brought together here.

use contract::Error;
use contract::pipeline::Detection;
use contract::records::Sample;

use crate::alignment;
use crate::cache::indexes::IndexCache;
use crate::candidates::exact::{ExactSearch, Shared};
use crate::candidates::{CandidateSearch, RankedSearch};
use crate::clock::Clock;
use crate::corpus::sources::Sources;
use crate::decision::classifier::{Classifier, Comparison};
use crate::parallel;
use crate::paraphrase::classifier::ParaphraseClassifier;
use crate::paraphrase::encoder::SentenceEncoder;
use crate::paraphrase::evidence::{self, Evidence, Scope};
use crate::paraphrase::exhaustive::Exhaustive;
use crate::paraphrase::nominated::Nominated;

/// Generations worked on in one round: enough for documents that are candidates of many to be prepared once, and few enough
/// for what is known about them to fit in memory, however many there are.
const ROUND: usize = 16_384;

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
    let sentences = evidence::exhaustive(detection, sources)?;
    let method = match sentences {
        Some(sentences) => Method::Exhaustive(Exhaustive::new(sources, detection, tools, sentences)?),
        None => Method::Nominated(Nominated::new(sources, detection, tools)?),
    };
    clock.lap("corpus sentences");
    let (exact, ranked) = rayon::join(
        || ExactSearch::new(&sources.training, &tools.indexes),
        || RankedSearch::new(&sources.training, &tools.indexes),
    );
    let (exact, ranked) = (exact?, ranked?);
    clock.lap("indexing");

    let search = CandidateSearch::new(detection, &ranked);
    let classifier = Classifier::new(detection, sources, &exact);
    let minimum = alignment::parameters(detection).verbatim_minimum;
    let mut comparisons = Vec::with_capacity(samples.len());
    for round in samples.chunks(ROUND) {
        let shared = parallel::map("exact search", "generations", round, |sample| {
            Ok(exact.shared(&sample.generation, minimum))
        })?;
        clock.lap("exact search");
        let evidence = method.evidence(round, &shared, &search, clock)?;
        tools
            .classifier
            .as_ref()
            .map_or(Ok(()), ParaphraseClassifier::check)?;
        let gathered: Vec<_> = round.iter().zip(&shared).zip(evidence).collect();
        comparisons.extend(parallel::map(
            "classifying",
            "generations",
            &gathered,
            |((sample, shared), evidence)| Ok(classifier.comparison(sample, shared, evidence.clone())),
        )?);
        clock.lap("classifying");
    }
    Ok(Comparisons {
        comparisons,
        scope: method.scope(),
    })
}

/// How evidence is gathered.
enum Method<'run> {
    Exhaustive(Exhaustive<'run>),
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
        samples: &[Sample],
        shared: &[Shared],
        search: &CandidateSearch,
        clock: &mut Clock,
    ) -> Result<Vec<Evidence>, Error> {
        match self {
            Self::Exhaustive(method) => method.evidence(samples, shared, search, clock),
            Self::Nominated(method) => method.evidence(samples, shared, search, clock),
        }
    }
}
