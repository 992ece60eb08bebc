//! One generation against one document.

use contract::Error;
use contract::pipeline::{Detection, DetectorPreset};
use contract::records::Verdict;
use measures::overlap::covered_length;
use text_align::{Aligner, Class, Parameters, PreparedText, Span};

use crate::confirm::Confirmer;
use crate::sentences::SplitText;

/// What found a passage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detector {
    /// Passage alignment.
    Alignment,
    /// Exact search over the whole training set.
    Exact,
}

impl Detector {
    /// The name in `matches.parquet`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alignment => "alignment",
            Self::Exact => "exact",
        }
    }
}

/// A passage of a generation and the passage of a document that it renders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Passage {
    /// Where in the generation.
    pub generated: Span,
    /// Where in the document.
    pub document: Span,
    /// Cosine of the two passages' term vectors, 0 to 1; 1 for verbatim ones.
    pub similarity: f32,
    /// What found it.
    pub detector: Detector,
}

/// What a generation has in common with one document.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Index of the document.
    pub document: usize,
    /// The class; `None` where passages are alike, but not confirmed to be paraphrases.
    pub class: Verdict,
    /// The passages that make it this class; none if and only if the class is `None`.
    pub passages: Vec<Passage>,
}

impl Finding {
    /// Characters of the generation in at least one of the passages.
    pub fn matched_characters(&self) -> usize {
        let spans: Vec<_> = self
            .passages
            .iter()
            .map(|passage| passage.generated.start..passage.generated.end)
            .collect();
        covered_length(&spans)
    }
}

/// A text ready to be aligned, and its sentences.
#[derive(Debug, Clone, Copy)]
pub struct Side<'run> {
    /// Words and stems.
    pub prepared: &'run PreparedText,
    /// Sentences.
    pub split: &'run SplitText,
}

/// Aligns generations with documents and names the class of what they share.
pub struct PairDetector<'run> {
    aligner: Aligner,
    confirmer: Confirmer<'run>,
}

/// The thresholds that `detection` asks for.
pub fn parameters(detection: &Detection) -> Parameters {
    let preset = match detection.preset {
        DetectorPreset::Ours => Parameters::default(),
        DetectorPreset::Lee2023 => Parameters::lee2023(),
        DetectorPreset::Pan2015 => Parameters::pan2015(),
    };
    let verbatim_minimum = detection.verbatim_chars.unwrap_or(preset.verbatim_minimum);
    Parameters {
        verbatim_minimum,
        ..preset
    }
}

impl<'run> PairDetector<'run> {
    /// A detector with the thresholds of `detection`.
    ///
    /// # Errors
    /// [`Error::Configuration`] where a threshold makes no sense.
    pub fn new(detection: &Detection, confirmer: Confirmer<'run>) -> Result<Self, Error> {
        let aligner = Aligner::new(parameters(detection))
            .map_err(|error| Error::Configuration(format!("detection: {error}")))?;
        Ok(Self { aligner, confirmer })
    }

    /// What `generation` and the document numbered `document` share; `None` where no passage is alike.
    ///
    /// A verbatim alignment is verbatim, a summary is an idea, and an obfuscated one is a paraphrase in those of its
    /// passages that are confirmed.
    pub fn compare(&self, generation: Side, document: usize, text: Side) -> Option<Finding> {
        let alignment = self.aligner.align(generation.prepared, text.prepared);
        let class = match alignment.class {
            Class::None => return None,
            Class::Verbatim => Verdict::Verbatim,
            Class::Summary => Verdict::Idea,
            Class::Obfuscated => Verdict::Paraphrase,
        };
        let counts = |case: &text_align::Case| {
            class != Verdict::Paraphrase
                || self.confirmer.confirms(
                    generation.split.within(case.generated),
                    text.split.within(case.document),
                )
        };
        let passages: Vec<Passage> = alignment
            .cases
            .iter()
            .filter(|case| counts(case))
            .map(|case| Passage {
                generated: case.generated,
                document: case.document,
                similarity: case.similarity.clamp(0.0, 1.0),
                detector: Detector::Alignment,
            })
            .collect();
        let class = if passages.is_empty() { Verdict::None } else { class };
        Some(Finding {
            document,
            class,
            passages,
        })
    }
}
