//! All generations against all sources: what every generation shares with the corpus is brought together here.

use std::path::Path;

use contract::pipeline::{Detection, DetectorPreset};
use contract::records::{PassageMatch, Sample, SampleVerdict, Split};
use contract::{Error, Progress};
use measures::overlap::{bleu, edit_similarity, rouge_l, words};
use rayon::prelude::*;
use text_align::PreparedText;

use crate::align::{self, PairDetector, Side};
use crate::candidates::CandidateSearch;
use crate::confirm::Confirmer;
use crate::encoder;
use crate::exact::ExactSearch;
use crate::sentences::{SentenceTable, SplitText};
use crate::similarity::{Neighbours, Vectors};
use crate::sources::{Document, Sources};
use crate::verdict::{self, Judgement};

/// Generations judged between two steps of the progress bar.
const TOGETHER: usize = 256;

/// What was found for one generation: its row of `verdicts.parquet` and its rows of `matches.parquet`.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The verdict.
    pub verdict: SampleVerdict,
    /// The passages that it rests on.
    pub matches: Vec<PassageMatch>,
}

/// Compares every sample with the sources, on the threads of the current pool; results in the order of the samples.
///
/// # Errors
/// [`Error::Input`] where `encoder_folder` holds no usable encoder, [`Error::Configuration`] where a threshold makes no
/// sense, [`Error::Run`] where the work fails.
pub fn compare(
    samples: &[Sample],
    sources: &Sources,
    detection: &Detection,
    encoder_folder: &Path,
) -> Result<Vec<Comparison>, Error> {
    let mut table = SentenceTable::default();
    let training = table.read(&texts(&sources.training));
    let held_out = table.read(&texts(&sources.held_out));
    let generations = table.read(
        &samples
            .iter()
            .map(|sample| sample.generation.as_str())
            .collect::<Vec<_>>(),
    );
    let truths = table.read(
        &samples
            .iter()
            .map(|sample| sample.truth.as_deref().unwrap_or(""))
            .collect::<Vec<_>>(),
    );

    let vectors = encoder::encode(encoder_folder, table.texts())?;
    let in_training = vectors.nearest(&generations, &training)?;
    let in_held_out = vectors.nearest(&generations, &held_out)?;

    let exact = ExactSearch::new(&sources.training)?;
    let judge = Judge {
        ours: detection.preset == DetectorPreset::Ours,
        verbatim_minimum: align::parameters(detection).verbatim_minimum,
        candidates: CandidateSearch::new(detection, &sources.training, &training, &exact, &in_training)?,
        detector: PairDetector::new(detection, Confirmer::new(detection, &table, &vectors))?,
        prepared: prepare(&sources.training, &training)?,
        split: &training,
        exact: &exact,
        sources,
    };
    let similarities = Similarities {
        vectors: &vectors,
        in_training: &in_training,
        in_held_out: &in_held_out,
    };

    let mut progress = Progress::new("comparing", samples.len() as u64, "generations");
    let numbers: Vec<usize> = (0..samples.len()).collect();
    let mut comparisons = Vec::with_capacity(samples.len());
    for together in numbers.chunks(TOGETHER) {
        let compared = together.par_iter().map(|&number| {
            let (sample, split) = (&samples[number], &generations[number]);
            let comparison = judge.comparison(sample, split)?;
            Ok(similarities.complete(comparison, sample, split, &truths[number]))
        });
        comparisons.extend(compared.collect::<Result<Vec<Comparison>, Error>>()?);
        progress.advance(together.len() as u64, "");
    }
    Ok(comparisons)
}

/// Names the class of single generations.
struct Judge<'run> {
    /// Whether this project's rule decides, or the published one.
    ours: bool,
    verbatim_minimum: usize,
    candidates: CandidateSearch<'run>,
    detector: PairDetector<'run>,
    prepared: Vec<PreparedText>,
    split: &'run [SplitText],
    exact: &'run ExactSearch<'run>,
    sources: &'run Sources,
}

impl Judge<'_> {
    /// The class of a generation, its passages and its longest exact matches; similarities are left open.
    fn comparison(&self, sample: &Sample, split: &SplitText) -> Result<Comparison, Error> {
        let own = sample
            .doc_id
            .as_deref()
            .and_then(|doc_id| self.sources.training_index(doc_id));
        let judgement = self.judge(&sample.generation, split, own)?;
        let longest = self.exact.longest(&sample.generation, own);
        let identity = |document: usize| self.sources.training[document].doc_id.clone();
        let matches = judgement
            .passages
            .iter()
            .map(|(document, passage)| PassageMatch {
                sample_id: sample.sample_id,
                doc_id: identity(*document),
                doc_split: Split::Train,
                kind: judgement.class,
                gen_start: passage.generated.start as i32,
                gen_end: passage.generated.end as i32,
                doc_start: passage.document.start as i32,
                doc_end: passage.document.end as i32,
                similarity: passage.similarity,
                detector: passage.detector.name().to_owned(),
            })
            .collect();
        let verdict = SampleVerdict {
            sample_id: sample.sample_id,
            doc_id: sample.doc_id.clone(),
            split: sample.split,
            copies: sample.copies,
            verdict: judgement.class,
            best_doc_id: judgement.document.or(longest.document).map(identity),
            longest_match_chars: longest.characters as i32,
            longest_match_tokens: longest.words as i32,
            max_similarity: 0.0,
            own_similarity: None,
            heldout_similarity: None,
            rouge_l: None,
            bleu: None,
            edit_similarity: None,
        };
        Ok(Comparison { verdict, matches })
    }

    fn judge(&self, generation: &str, split: &SplitText, own: Option<usize>) -> Result<Judgement, Error> {
        let candidates = self.candidates.candidates(generation, split)?;
        let prepared = split.prepare(generation)?;
        let generated = Side {
            prepared: &prepared,
            split,
        };
        let findings = candidates.into_iter().filter_map(|document| {
            let text = Side {
                prepared: &self.prepared[document],
                split: &self.split[document],
            };
            self.detector.compare(generated, document, text)
        });
        Ok(if self.ours {
            let copies = self.exact.passages(generation, own, self.verbatim_minimum);
            verdict::strongest(findings, copies, own)
        } else {
            verdict::first(findings)
        })
    }
}

/// Compares by meaning, and with the truth.
struct Similarities<'run> {
    vectors: &'run Vectors,
    in_training: &'run Neighbours,
    in_held_out: &'run Neighbours,
}

impl Similarities<'_> {
    /// Fills in what [`Judge`] leaves open.
    ///
    /// A generation without a sentence of [`MINIMUM_WORDS`](crate::sentences::MINIMUM_WORDS) words has similarity 0 with
    /// everything; a held-out set or a truth without one gives none.
    fn complete(
        &self,
        mut comparison: Comparison,
        sample: &Sample,
        split: &SplitText,
        truth: &SplitText,
    ) -> Comparison {
        let verdict = &mut comparison.verdict;
        verdict.max_similarity = self.in_training.largest(split).unwrap_or(0.0);
        verdict.heldout_similarity = self
            .in_held_out
            .has_corpus()
            .then(|| self.in_held_out.largest(split).unwrap_or(0.0));
        verdict.own_similarity = (!truth.sentences.is_empty()).then(|| {
            self.vectors
                .largest(&split.sentences, &truth.sentences)
                .unwrap_or(0.0)
        });
        if let Some(truth) = &sample.truth {
            verdict.rouge_l = Some(rouge_l(&sample.generation, truth) as f32);
            verdict.bleu = Some(bleu(&words(&sample.generation), &words(truth)) as f32);
            verdict.edit_similarity = Some(edit_similarity(&sample.generation, truth) as f32);
        }
        comparison
    }
}

fn texts(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|document| document.text.as_str()).collect()
}

fn prepare(documents: &[Document], split: &[SplitText]) -> Result<Vec<PreparedText>, Error> {
    documents
        .par_iter()
        .zip(split)
        .map(|(document, split)| split.prepare(&document.text))
        .collect()
}
