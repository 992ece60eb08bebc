//! How well a detector finds known cases: the measures of the PAN plagiarism detection tasks.
//!
//! Precision, recall, granularity and plagdet are those of Potthast, Stein, Barrón-Cedeño and Rosso, "An Evaluation
//! Framework for Plagiarism Detection" (COLING 2010); the coarser precision and recall by case and by document pair are
//! those of the PAN 2014 overview (Potthast et al., CLEF 2014).
//!
//! Throughout, a detection *meets* a case if both are about the same two documents and they share characters on the
//! suspicious and on the source side. The characters of a case are those of both sides together. Where there is
//! neither a case nor a detection, precision and recall are 1; where only one of the two lists is empty, they are 0.

use std::collections::BTreeMap;

use crate::Span;

/// A passage of one document and the passage of another that it was, or is said to be, taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Annotation {
    /// The suspicious document, by a number of the caller's choice.
    pub suspicious_document: u32,
    /// The source document; the same number as a suspicious one need not mean the same document.
    pub source_document: u32,
    /// Characters of the suspicious document.
    pub suspicious: Span,
    /// Characters of the source document.
    pub source: Span,
}

impl Annotation {
    /// What `self` and `other` share, if one meets the other.
    fn overlap(&self, other: &Self) -> Option<Self> {
        if self.documents() != other.documents() {
            return None;
        }
        let suspicious = self.suspicious.intersection(other.suspicious)?;
        let source = self.source.intersection(other.source)?;
        Some(Self {
            suspicious,
            source,
            ..*self
        })
    }

    fn documents(&self) -> (u32, u32) {
        (self.suspicious_document, self.source_document)
    }

    fn characters(&self) -> usize {
        self.suspicious.len() + self.source.len()
    }
}

/// Precision and recall, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrecisionRecall {
    /// How much of what was detected is right.
    pub precision: f64,
    /// How much of what is there was detected.
    pub recall: f64,
}

impl PrecisionRecall {
    /// The harmonic mean of both, 0 if both are 0.
    pub fn f1(self) -> f64 {
        let sum = self.precision + self.recall;
        if sum > 0.0 {
            2.0 * self.precision * self.recall / sum
        } else {
            0.0
        }
    }
}

/// Precision and recall that a case or a detection must exceed to count as found, for [`case_level`] and
/// [`document_level`]; 0.5 each in the PAN tasks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Share of a detection's characters that belong to cases it meets.
    pub precision: f64,
    /// Share of a case's characters that detections which meet it cover.
    pub recall: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            precision: 0.5,
            recall: 0.5,
        }
    }
}

/// Recall is the mean, over the cases, of the share of a case's characters that detections which meet it cover;
/// precision is the same with cases and detections exchanged. Every case counts alike, long or short.
pub fn macro_average(cases: &[Annotation], detections: &[Annotation]) -> PrecisionRecall {
    unless_empty(cases, detections, || PrecisionRecall {
        precision: mean(&covered_shares(detections, cases)),
        recall: mean(&covered_shares(cases, detections)),
    })
}

/// Of the characters that cases and the detections which meet them share, the share among all characters of
/// detections (precision) and among all characters of cases (recall); a character counts once. Long cases weigh more.
pub fn micro_average(cases: &[Annotation], detections: &[Annotation]) -> PrecisionRecall {
    unless_empty(cases, detections, || {
        let by_documents = group(detections);
        let overlaps: Vec<Annotation> = cases
            .iter()
            .flat_map(|case| meeting(case, &by_documents).filter_map(|detection| case.overlap(detection)))
            .collect();
        let common = distinct_characters(&overlaps);
        PrecisionRecall {
            precision: share(common, distinct_characters(detections)),
            recall: share(common, distinct_characters(cases)),
        }
    })
}

/// Mean number of detections that meet a case, over the cases met by any; 1 if there are none. At least 1, and 1 is best.
pub fn granularity(cases: &[Annotation], detections: &[Annotation]) -> f64 {
    let by_documents = group(detections);
    let counts: Vec<f64> = cases
        .iter()
        .map(|case| meeting(case, &by_documents).count() as f64)
        .filter(|&count| count > 0.0)
        .collect();
    if counts.is_empty() { 1.0 } else { mean(&counts) }
}

/// F1 / log2(1 + granularity): the score that ranks detectors, 0 to 1. A granularity below 1 counts as 1.
pub fn plagdet(quality: PrecisionRecall, granularity: f64) -> f64 {
    quality.f1() / (1.0 + granularity.max(1.0)).log2()
}

/// Precision: the share of detections that are precise and meet a recalled case. Recall: the share of cases that are
/// recalled and met by a precise detection. Precise and recalled mean over the thresholds.
pub fn case_level(
    cases: &[Annotation],
    detections: &[Annotation],
    thresholds: Thresholds,
) -> PrecisionRecall {
    unless_empty(cases, detections, || {
        let found = Found::of(cases, detections, thresholds);
        PrecisionRecall {
            precision: share(found.detections.len(), detections.len()),
            recall: share(found.cases, cases.len()),
        }
    })
}

/// Of the pairs of documents with a detection that counts at the level of cases, and with a case: the share among
/// pairs with a detection (precision), and among pairs with a case (recall).
pub fn document_level(
    cases: &[Annotation],
    detections: &[Annotation],
    thresholds: Thresholds,
) -> PrecisionRecall {
    unless_empty(cases, detections, || {
        let found = Found::of(cases, detections, thresholds);
        // A detection that counts meets a case, so its documents are a pair with a case.
        let right = group(&found.detections).len();
        PrecisionRecall {
            precision: share(right, group(detections).len()),
            recall: share(right, group(cases).len()),
        }
    })
}

/// What counts as found at the level of cases.
struct Found {
    cases: usize,
    detections: Vec<Annotation>,
}

impl Found {
    fn of(cases: &[Annotation], detections: &[Annotation], thresholds: Thresholds) -> Self {
        let over = |items: &[Annotation], shares: Vec<f64>, threshold: f64| -> Vec<Annotation> {
            items
                .iter()
                .zip(shares)
                .filter(|&(_, share)| share > threshold)
                .map(|(&item, _)| item)
                .collect()
        };
        let recalled = over(cases, covered_shares(cases, detections), thresholds.recall);
        let precise = over(
            detections,
            covered_shares(detections, cases),
            thresholds.precision,
        );
        let met_by = |items: &[Annotation], others: &[Annotation]| -> Vec<Annotation> {
            let by_documents = group(others);
            items
                .iter()
                .filter(|item| meeting(item, &by_documents).next().is_some())
                .copied()
                .collect()
        };
        Self {
            cases: met_by(&recalled, &precise).len(),
            detections: met_by(&precise, &recalled),
        }
    }
}

type ByDocuments<'a> = BTreeMap<(u32, u32), Vec<&'a Annotation>>;

fn group(annotations: &[Annotation]) -> ByDocuments<'_> {
    let mut groups = ByDocuments::new();
    for annotation in annotations {
        groups.entry(annotation.documents()).or_default().push(annotation);
    }
    groups
}

/// The annotations that meet `annotation`.
fn meeting<'a>(
    annotation: &'a Annotation,
    others: &'a ByDocuments<'a>,
) -> impl Iterator<Item = &'a Annotation> {
    others
        .get(&annotation.documents())
        .into_iter()
        .flatten()
        .copied()
        .filter(move |other| annotation.overlap(other).is_some())
}

/// For each of `items`, the share of its characters that those of `others` which meet it cover.
fn covered_shares(items: &[Annotation], others: &[Annotation]) -> Vec<f64> {
    let by_documents = group(others);
    items
        .iter()
        .map(|item| {
            let overlaps: Vec<Annotation> = meeting(item, &by_documents)
                .filter_map(|other| item.overlap(other))
                .collect();
            share(distinct_characters(&overlaps), item.characters())
        })
        .collect()
}

/// Number of distinct characters that `annotations` have in all documents together, on both sides.
fn distinct_characters(annotations: &[Annotation]) -> usize {
    let suspicious = annotations
        .iter()
        .map(|each| (each.suspicious_document, each.suspicious))
        .collect();
    let source = annotations
        .iter()
        .map(|each| (each.source_document, each.source))
        .collect();
    union_length(suspicious) + union_length(source)
}

fn union_length(mut spans: Vec<(u32, Span)>) -> usize {
    spans.sort_unstable();
    let mut length = 0;
    let mut reached = (0, 0);
    for (document, span) in spans {
        if document != reached.0 {
            reached = (document, 0);
        }
        length += span.end.saturating_sub(span.start.max(reached.1));
        reached.1 = reached.1.max(span.end);
    }
    length
}

fn unless_empty(
    cases: &[Annotation],
    detections: &[Annotation],
    measure: impl FnOnce() -> PrecisionRecall,
) -> PrecisionRecall {
    match (cases.is_empty(), detections.is_empty()) {
        (true, true) => PrecisionRecall {
            precision: 1.0,
            recall: 1.0,
        },
        (false, false) => measure(),
        _ => PrecisionRecall {
            precision: 0.0,
            recall: 0.0,
        },
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        0.0
    } else {
        values.iter().sum::<f64>() / values.len() as f64
    }
}
