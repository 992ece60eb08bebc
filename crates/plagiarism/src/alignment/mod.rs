//! One generation against one document.
//!
//! What a preset decides by is its [`DetectorPolicy`]. The published presets take what [`text_align`] finds as it is. Preset
//! `ours` starts from the same aligned passages, and
//!
//! - keeps a passage whole where an edited copy falls into several verbatim runs: one passage, verbatim if one of its runs is
//!   long enough;
//! - adds sentences that say the same in other words ([`Confirmer::rewordings`]), and joins what is close together on both
//!   sides ([`passages`]);
//! - trims both sides to the words that are shared ([`boundaries`]);
//! - asks more of a paraphrase than of a copy: there are few ways to state one fact, so a sentence that is near in meaning
//!   proves nothing. [`Acceptance`] has what it needs.

mod boundaries;
mod passages;
pub mod policy;

use contract::Error;
use contract::pipeline::Detection;
use contract::records::Verdict;
use measures::overlap::covered_length;
use text_align::{Aligner, Alignment, Case, Class, Parameters, PreparedText, Span};

pub use self::policy::{Acceptance, DetectorPolicy, PassageRule};

use self::passages::{Group, Piece};
use crate::corpus::sentences::SplitText;
use crate::paraphrase::confirm::{Confirmer, Rewording};

/// Maximum similarity of a passage that is no copy throughout.
const MAX_EDITED: f32 = 0.999;

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
    /// Its class; never `None`.
    pub class: Verdict,
    /// Where in the generation.
    pub generated: Span,
    /// Where in the document.
    pub document: Span,
    /// Cosine of the two passages' term vectors, or of sentences that are near in meaning, 0 to 1; 1 where the passages have
    /// the same text but for white space and case, and for preset `ours` only there.
    pub similarity: f32,
    /// What found it.
    pub detector: Detector,
}

/// What a generation has in common with one document.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Index of the document.
    pub document: usize,
    /// The strongest class of a passage; `None` where passages are alike, but not confirmed to be paraphrases.
    pub class: Verdict,
    /// The passages; none if and only if the class is `None`.
    pub passages: Vec<Passage>,
}

impl Finding {
    /// Characters in passages that are the same on both sides, word for word.
    pub(crate) fn copied_characters(&self) -> usize {
        let copies = self.passages.iter().filter(|passage| passage.similarity >= 1.0);
        copies.map(|passage| passage.generated.len()).sum()
    }

    /// [`Finding::matched_characters`] times the mean similarity of the passages, by length: many characters that are a little
    /// alike prove less than most of them word for word.
    pub(crate) fn evidence(&self) -> f64 {
        let length = |passage: &Passage| passage.generated.len() as f64;
        let alike: f64 = self
            .passages
            .iter()
            .map(|passage| length(passage) * f64::from(passage.similarity))
            .sum();
        let all: f64 = self.passages.iter().map(length).sum();
        self.matched_characters() as f64 * alike / all.max(1.0)
    }

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
    /// The text itself.
    pub text: &'run str,
    /// Words and stems.
    pub prepared: &'run PreparedText,
    /// Sentences.
    pub split: &'run SplitText,
}

/// Aligns generations with documents and names the class of what they share.
pub struct PairDetector<'run> {
    aligner: Aligner,
    joining: Option<Joining>,
    confirmer: Confirmer<'run>,
}

/// What it takes to join aligned passages.
struct Joining {
    acceptance: Acceptance,
    /// Aligns without looking for verbatim runs or summaries.
    whole: Aligner,
}

/// The thresholds that `detection` asks for.
pub fn parameters(detection: &Detection) -> Parameters {
    DetectorPolicy::of(detection).parameters
}

impl<'run> PairDetector<'run> {
    /// A detector with the policy of `detection`.
    ///
    /// # Errors
    /// [`Error::Configuration`] where a threshold makes no sense.
    pub fn new(detection: &Detection, confirmer: Confirmer<'run>) -> Result<Self, Error> {
        let aligner = |parameters: Parameters| {
            Aligner::new(parameters).map_err(|error| Error::Configuration(format!("detection: {error}")))
        };
        let policy = DetectorPolicy::of(detection);
        let joining = match policy.passages {
            PassageRule::Aligned => None,
            PassageRule::Joined(acceptance) => Some(Joining {
                acceptance,
                whole: aligner(Parameters {
                    verbatim_minimum: usize::MAX,
                    summary_ratio: f64::MAX,
                    ..policy.parameters.clone()
                })?,
            }),
        };
        Ok(Self {
            aligner: aligner(policy.parameters)?,
            joining,
            confirmer,
        })
    }

    /// What `generation` and the document numbered `document` share; `None` where no passage is alike.
    pub fn compare(&self, generation: Side, document: usize, text: Side) -> Option<Finding> {
        let alignment = self.aligner.align(generation.prepared, text.prepared);
        let passages = match &self.joining {
            None => self.published(&generation, &text, alignment.class, &alignment.cases)?,
            Some(joining) => self.joined(joining, &generation, &text, alignment)?,
        };
        let class = passages.iter().map(|passage| passage.class).max();
        Some(Finding {
            document,
            class: class.unwrap_or(Verdict::None),
            passages,
        })
    }

    /// As published: a verbatim alignment is verbatim, a summary is an idea, and an obfuscated one is a paraphrase in those
    /// of its passages that are confirmed.
    fn published(
        &self,
        generation: &Side,
        text: &Side,
        class: Class,
        cases: &[Case],
    ) -> Option<Vec<Passage>> {
        let class = match class {
            Class::None => return None,
            Class::Verbatim => Verdict::Verbatim,
            Class::Summary => Verdict::Idea,
            Class::Obfuscated => Verdict::Paraphrase,
        };
        let counts = |case: &&Case| class != Verdict::Paraphrase || self.confirms(generation, text, case);
        let cases = cases.iter().filter(counts);
        Some(cases.map(|case| aligned(class, case)).collect())
    }

    /// An idea, if enough sentences spin a passage out, or else the passages around copies, those of the aligned ones that
    /// are confirmed, and what is reworded; `None` where nothing is alike.
    fn joined(
        &self,
        joining: &Joining,
        generation: &Side,
        text: &Side,
        alignment: Alignment,
    ) -> Option<Vec<Passage>> {
        let around = || joining.whole.align(generation.prepared, text.prepared).cases;
        let (copies, cases) = match alignment.class {
            Class::Verbatim => (alignment.cases, around()),
            Class::Summary if self.is_spun_out(joining, generation, text, &alignment.cases) => {
                let cases = alignment.cases.iter();
                return Some(cases.map(|case| aligned(Verdict::Idea, case)).collect());
            }
            Class::Summary => (Vec::new(), around()),
            Class::None | Class::Obfuscated => (Vec::new(), alignment.cases),
        };
        let mut pieces: Vec<Piece> = cases
            .iter()
            .map(|case| Piece {
                generated: case.generated,
                document: case.document,
                similarity: case.similarity,
                is_aligned: true,
                is_confirmed: copies
                    .iter()
                    .any(|copy| meets(copy, (case.generated, case.document)))
                    || self.confirms(generation, text, case),
                by_meaning: false,
            })
            .collect();
        let sentences = (
            generation.split.sentences.as_slice(),
            text.split.sentences.as_slice(),
        );
        pieces.extend(self.confirmer.rewordings(sentences.0, sentences.1).map(
            |Rewording {
                 generated,
                 document,
                 cosine,
                 is_confirmed,
                 shares_words,
             }| Piece {
                generated: generated.span,
                document: document.span,
                similarity: cosine,
                is_aligned: false,
                is_confirmed,
                by_meaning: !shares_words,
            },
        ));
        if pieces.is_empty() {
            return None;
        }
        let groups = passages::group(&pieces, joining.acceptance.max_gap);
        let passages = groups
            .iter()
            .filter_map(|group| self.passage(&joining.acceptance, generation, text, &copies, group));
        Some(passages.collect())
    }

    /// Whether enough sentences of the generation reword the passages that `cases` say it spins out.
    fn is_spun_out(&self, joining: &Joining, generation: &Side, text: &Side, cases: &[Case]) -> bool {
        cases.iter().any(|case| {
            let sentences = (
                generation.split.within(case.generated),
                text.split.within(case.document),
            );
            self.confirmer.rewording_sentences(sentences.0, sentences.1)
                >= joining.acceptance.min_idea_sentences
        })
    }

    /// The passage that a group of pieces makes; `None` where it is too short, or is no copy and not accepted as a paraphrase.
    fn passage(
        &self,
        acceptance: &Acceptance,
        generation: &Side,
        text: &Side,
        copies: &[Case],
        group: &Group,
    ) -> Option<Passage> {
        let texts = (generation.text, text.text);
        let kept: Vec<(Span, Span)> = group
            .pieces
            .iter()
            .filter(|piece| piece.by_meaning)
            .map(|piece| (piece.generated, piece.document))
            .collect();
        let spans = boundaries::trim(texts, (group.generated, group.document), &kept);
        let minimum = self.aligner.parameters().passage_minimum;
        if spans.0.len() < minimum || spans.1.len() < minimum {
            return None;
        }
        let is_copied = copies.iter().any(|copy| meets(copy, spans));
        if !is_copied && !self.is_paraphrase(acceptance, generation, text, group, spans) {
            return None;
        }
        let similarity = if boundaries::is_copy(texts, spans) {
            1.0
        } else {
            group.similarity().clamp(0.0, MAX_EDITED)
        };
        Some(Passage {
            class: if is_copied {
                Verdict::Verbatim
            } else {
                Verdict::Paraphrase
            },
            generated: spans.0,
            document: spans.1,
            similarity,
            detector: Detector::Alignment,
        })
    }

    /// Whether what is joined in `group`, trimmed to `spans`, has what [`Acceptance`] asks for.
    fn is_paraphrase(
        &self,
        acceptance: &Acceptance,
        generation: &Side,
        text: &Side,
        group: &Group,
        spans: (Span, Span),
    ) -> bool {
        let half_of_generation = 2 * spans.0.len() >= generation.prepared.characters();
        let half_of_document = 2 * spans.1.len() >= text.prepared.characters();
        let minimum = acceptance.min_paraphrase_chars;
        let is_long = spans.0.len() >= minimum && spans.1.len() >= minimum;
        let is_aligned = || {
            group
                .pieces
                .iter()
                .any(|piece| piece.is_aligned && piece.is_confirmed)
        };
        if !(is_long || half_of_generation || half_of_document)
            || !(is_aligned() || half_of_generation && half_of_document)
        {
            return false;
        }
        let shared = Confirmer::shared_words(
            spans.0.cut(generation.text).unwrap_or_default(),
            spans.1.cut(text.text).unwrap_or_default(),
        );
        let reworded = self
            .confirmer
            .reworded_sentences(generation.split.within(spans.0), text.split.within(spans.1));
        let is_one_of_many = reworded == 1 && !(half_of_generation && half_of_document);
        let min_shared = if is_one_of_many {
            acceptance.min_shared_words_of_one
        } else {
            acceptance.min_shared_words
        };
        reworded > 0 && shared >= min_shared
    }

    fn confirms(&self, generation: &Side, text: &Side, case: &Case) -> bool {
        self.confirmer.confirms(
            generation.split.within(case.generated),
            text.split.within(case.document),
        )
    }
}

/// The passage of a case as it was aligned.
fn aligned(class: Verdict, case: &Case) -> Passage {
    Passage {
        class,
        generated: case.generated,
        document: case.document,
        similarity: case.similarity.clamp(0.0, 1.0),
        detector: Detector::Alignment,
    }
}

/// Whether a copy and a passage share characters on both sides.
fn meets(copy: &Case, (generated, document): (Span, Span)) -> bool {
    copy.generated.intersection(generated).is_some() && copy.document.intersection(document).is_some()
}
