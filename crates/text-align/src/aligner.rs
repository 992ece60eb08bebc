//! The whole algorithm: from a pair of prepared texts to its class and its cases.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

use crate::clusters::{self, Candidate};
use crate::parameters::{ParameterError, Parameters, Sides};
use crate::prepared::PreparedText;
use crate::seeds::{self, Seed};
use crate::vectors::PairVectors;
use crate::verbatim::CommonWords;
use crate::{Span, overlaps, published_verbatim};

thread_local! {
    /// Room for the vectors of one pair, so that a pair costs no allocation. Nothing in it outlasts a pair but the room.
    static VECTORS: RefCell<PairVectors> = RefCell::default();
}

/// Two texts of more words than this together give their room back.
const LARGE_PAIR: usize = 1 << 16;

/// What kind of reuse a pair of texts shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// No passage of one renders a passage of the other.
    None,
    /// A passage occurs word for word in both.
    Verbatim,
    /// The source passages are several times longer than the suspicious ones that render them. For language models,
    /// where the document is the suspicious text, this is the class "idea": the generation spins out a passage.
    Summary,
    /// Passages are alike, but in other words or in another order: a candidate for a paraphrase.
    Obfuscated,
}

/// What a generation has in common with a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alignment {
    /// The class of the pair.
    pub class: Class,
    /// The aligned passages, by their place in the generation; empty if and only if the class is [`Class::None`].
    pub cases: Vec<Case>,
}

/// A passage of a generation and the passage of a document that it renders.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Where in the generation.
    pub generated: Span,
    /// Where in the document.
    pub document: Span,
    /// Cosine of the two passages' term vectors, 0 to 1; 1 for verbatim passages.
    pub similarity: f32,
}

/// What a suspicious text has in common with a source: [`Alignment`] in the terms of plagiarism detection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoleAlignment {
    /// The class of the pair.
    pub class: Class,
    /// The aligned passages, by their place in the suspicious text.
    pub cases: Vec<RoleCase>,
}

/// A suspicious passage and the source passage that it renders.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RoleCase {
    /// Where in the suspicious text.
    pub suspicious: Span,
    /// Where in the source.
    pub source: Span,
    /// Cosine of the two passages' term vectors, 0 to 1; 1 for verbatim passages.
    pub similarity: f32,
}

/// Aligns pairs of prepared texts. It holds nothing but its parameters, so one serves all threads.
#[derive(Debug, Clone)]
pub struct Aligner {
    parameters: Parameters,
}

impl Aligner {
    /// An aligner with these parameters.
    ///
    /// # Errors
    /// What [`Parameters::check`] finds.
    pub fn new(parameters: Parameters) -> Result<Self, ParameterError> {
        parameters.check()?;
        Ok(Self { parameters })
    }

    /// The parameters in use.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Aligns a model's generation with a document it may have been trained on.
    ///
    /// The *document* takes the role of the suspicious text and the *generation* that of the source, as in Lee et al.
    /// (WWW 2023) and Zeng et al. (ACL 2024). The roles matter in two places: cases never overlap in the document
    /// (unless they are verbatim), and a pair is a [`Class::Summary`] if the generation is the longer side.
    pub fn align(&self, generated: &PreparedText, document: &PreparedText) -> Alignment {
        let RoleAlignment { class, cases } = self.align_roles(document, generated);
        let mut cases: Vec<Case> = cases
            .into_iter()
            .map(|case| Case {
                generated: case.source,
                document: case.suspicious,
                similarity: case.similarity,
            })
            .collect();
        cases.sort_by_key(|case| (case.generated, case.document));
        Alignment { class, cases }
    }

    /// Aligns a text under suspicion with a text it may have been copied from, as in the PAN tasks.
    pub fn align_roles(&self, suspicious: &PreparedText, source: &PreparedText) -> RoleAlignment {
        let detected = VECTORS.with_borrow_mut(|vectors| {
            let detected = self.detect(vectors, suspicious, source);
            if suspicious.words.len() + source.words.len() > LARGE_PAIR {
                *vectors = PairVectors::default();
            }
            detected
        });
        detected.unwrap_or(RoleAlignment {
            class: Class::None,
            cases: Vec::new(),
        })
    }

    fn detect(
        &self,
        vectors: &mut PairVectors,
        suspicious: &PreparedText,
        source: &PreparedText,
    ) -> Option<RoleAlignment> {
        if !vectors.read(suspicious, source, &self.parameters)
            || !vectors.has_likely_seed(self.parameters.seed_dice)
        {
            return None;
        }
        vectors.weigh();
        let vectors = &*vectors;
        let seeds = seeds::find(vectors, &self.parameters);
        if seeds.is_empty() {
            return None;
        }
        let cases = self.pass(vectors, seeds.clone(), self.parameters.gap);
        let copies = self.verbatim(suspicious, source, &cases);
        let (class, cases) = if copies.is_empty() {
            let summary = self.pass(vectors, seeds, self.summary_gap());
            if self.is_summary(&summary) {
                (Class::Summary, summary)
            } else {
                (Class::Obfuscated, cases)
            }
        } else {
            (Class::Verbatim, copies)
        };
        (!cases.is_empty()).then_some(RoleAlignment { class, cases })
    }

    /// Steps 4 to 7: the cases of one choice of gaps.
    fn pass(&self, vectors: &PairVectors, seeds: Vec<Seed>, gap: Sides<usize>) -> Vec<RoleCase> {
        let candidates = clusters::candidates(vectors, seeds, gap, &self.parameters);
        let minimum = self.parameters.passage_minimum;
        overlaps::resolve(vectors, candidates, self.parameters.mode)
            .iter()
            .map(|candidate| case(vectors, candidate))
            .filter(|case| case.suspicious.len() >= minimum && case.source.len() >= minimum)
            .collect()
    }

    /// Step 8: the verbatim passages of all cases.
    fn verbatim(
        &self,
        suspicious: &PreparedText,
        source: &PreparedText,
        cases: &[RoleCase],
    ) -> Vec<RoleCase> {
        if cases.is_empty() {
            return Vec::new();
        }
        let words = CommonWords::of(suspicious, source);
        let texts = Sides { suspicious, source };
        let minimum = self.parameters.verbatim_minimum;
        let passages = |case: &RoleCase| {
            let sides = Sides {
                suspicious: case.suspicious,
                source: case.source,
            };
            if self.parameters.mode.verbatim_passages_as_published()
                && let Some(passages) = published_verbatim::passages(texts, sides, minimum)
            {
                return passages;
            }
            words.passages(sides, minimum)
        };
        cases
            .iter()
            .flat_map(passages)
            .map(|Sides { suspicious, source }| RoleCase {
                suspicious,
                source,
                similarity: 1.0,
            })
            .collect()
    }

    fn summary_gap(&self) -> Sides<usize> {
        if self.parameters.mode.summary_gap_is_the_source_gap() {
            Sides::both(self.parameters.summary_gap.source)
        } else {
            self.parameters.summary_gap
        }
    }

    /// Step 9: whether the source passages are so much longer that the suspicious ones sum them up.
    fn is_summary(&self, cases: &[RoleCase]) -> bool {
        let suspicious: usize = cases.iter().map(|case| case.suspicious.len()).sum();
        let source: usize = cases.iter().map(|case| case.source.len()).sum();
        !cases.is_empty() && source as f64 >= self.parameters.summary_ratio * suspicious as f64
    }
}

fn case(vectors: &PairVectors, candidate: &Candidate) -> RoleCase {
    RoleCase {
        suspicious: vectors.sides.suspicious.span(&candidate.suspicious),
        source: vectors.sides.source.span(&candidate.source),
        similarity: candidate.similarity as f32,
    }
}
