//! From the evidence on a generation to its row of `verdicts.parquet` and its rows of `matches.parquet`.

use contract::pipeline::{Detection, DetectorPreset};
use contract::records::{PassageMatch, Sample, SampleVerdict, Split, Verdict};
use measures::overlap::{bleu, edit_similarity, rouge_l, words};

use crate::alignment::{self, Passage};
use crate::candidates::exact::{ExactSearch, Shared};
use crate::corpus::sources::Sources;
use crate::decision::classification::{self, Classification};
use crate::paraphrase::evidence::Evidence;
use crate::personal_details;

/// What was found for one generation: its row of `verdicts.parquet` and its rows of `matches.parquet`.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The verdict.
    pub verdict: SampleVerdict,
    /// The passages that it rests on.
    pub matches: Vec<PassageMatch>,
}

/// Names the class of single generations.
pub struct Classifier<'run> {
    /// Whether this project's rule decides, or the published one.
    ours: bool,
    verbatim_minimum: usize,
    boilerplate_documents: usize,
    sources: &'run Sources,
    exact: &'run ExactSearch<'run>,
}

impl<'run> Classifier<'run> {
    /// A classifier by the rules of `detection`.
    pub fn new(detection: &Detection, sources: &'run Sources, exact: &'run ExactSearch<'run>) -> Self {
        Self {
            ours: detection.preset == DetectorPreset::Ours,
            verbatim_minimum: alignment::parameters(detection).verbatim_minimum,
            boilerplate_documents: detection.boilerplate_documents,
            sources,
            exact,
        }
    }

    /// The verdict on a generation; `shared` is what it has in common with the training documents letter for letter.
    pub fn comparison(&self, sample: &Sample, shared: &Shared, evidence: Evidence) -> Comparison {
        let own = sample
            .doc_id
            .as_deref()
            .and_then(|doc_id| self.sources.training_index(doc_id));
        let Classification {
            class,
            document,
            passages,
        } = if self.ours {
            classification::strongest(
                evidence.findings,
                shared.passages(own, self.verbatim_minimum),
                own,
            )
        } else {
            classification::first(evidence.findings)
        };
        let matches: Vec<PassageMatch> = passages
            .iter()
            .map(|(document, passage)| self.passage_match(sample, *document, passage))
            .collect();
        let longest = shared.longest(own);
        let truth = sample.truth.as_deref();
        let verdict = SampleVerdict {
            sample_id: sample.sample_id,
            doc_id: sample.doc_id.clone(),
            split: sample.split,
            copies: sample.copies,
            verdict: class,
            best_doc_id: document
                .or(longest.document)
                .map(|document| self.sources.training[document].doc_id.clone()),
            longest_match_chars: longest.characters as i32,
            longest_match_tokens: longest.words as i32,
            max_similarity: Some(evidence.similarity.training),
            own_similarity: evidence.similarity.own,
            heldout_similarity: evidence.similarity.held_out,
            rouge_l: truth.map(|truth| rouge_l(&sample.generation, truth) as f32),
            bleu: truth.map(|truth| bleu(&words(&sample.generation), &words(truth)) as f32),
            edit_similarity: truth.map(|truth| edit_similarity(&sample.generation, truth) as f32),
            boilerplate: (class == Verdict::Verbatim).then(|| self.is_boilerplate(&matches)),
            best_copies: None,
            own_verdict: None,
            emitted_doc_ids: None,
            emitted_copies: None,
            control_verdict: None,
            control_longest_match_chars: None,
            comparable_similarity: None,
            similarity_at_least: None,
            echoed_chars: None,
        };
        Comparison { verdict, matches }
    }

    fn passage_match(&self, sample: &Sample, document: usize, passage: &Passage) -> PassageMatch {
        // A row that says verbatim cuts the same words on both sides. An edited copy makes its sample verbatim by a run of
        // words within it, and is listed whole, as what it is.
        let is_edited = self.ours && passage.class == Verdict::Verbatim && passage.similarity < 1.0;
        let kind = if is_edited {
            Verdict::Paraphrase
        } else {
            passage.class
        };
        let document = &self.sources.training[document];
        let generated = passage.generated.cut(&sample.generation).unwrap_or_default();
        let original = passage.document.cut(&document.text).unwrap_or_default();
        PassageMatch {
            sample_id: sample.sample_id,
            doc_id: document.doc_id.clone(),
            doc_split: Split::Train,
            kind,
            gen_start: passage.generated.start as i32,
            gen_end: passage.generated.end as i32,
            doc_start: passage.document.start as i32,
            doc_end: passage.document.end as i32,
            similarity: passage.similarity,
            detector: passage.detector.name().to_owned(),
            document_frequency: (kind == Verdict::Verbatim)
                .then(|| self.exact.document_frequency(original.trim()) as i32),
            personal_details: Some(personal_details::shared_kinds(generated, original)),
        }
    }

    /// Whether every passage stands in so many documents that it is the secret of none.
    fn is_boilerplate(&self, matches: &[PassageMatch]) -> bool {
        matches.iter().all(|passage| {
            passage
                .document_frequency
                .is_some_and(|documents| documents as usize >= self.boilerplate_documents)
        })
    }
}
