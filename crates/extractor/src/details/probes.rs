//! Which details are asked for, and with which others they are ranked.
//!
//! A model may find a detail probable for three reasons: it knows to whom it belongs, it has seen it in training, or it is a common one. Only
//! the first is asked here. So a detail is ranked with others that were trained on as it was (of documents of the same split, those with as
//! many copies first), and details that occur in several documents are left out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use contract::records::{DetailScore, DocumentKind, HeldOutDocument, Split, TrainingInstance};
use personal_details::{DetailKind, find_apart};
use xxhash_rust::xxh3::xxh3_64;

use super::Asked;

/// A detail of a document, the text before it, and others of its kind.
#[derive(Debug)]
pub(super) struct Probe {
    doc_id: String,
    split: Split,
    copies: i32,
    kind: DetailKind,
    start: usize,
    pub(super) context: String,
    pub(super) detail: String,
    pub(super) candidates: Vec<String>,
    /// Whether a chat template made the text.
    pub(super) is_rendered: bool,
}

impl Probe {
    pub(super) fn scored(self, asked: Asked, untuned_nats: Option<Vec<f32>>) -> DetailScore {
        DetailScore {
            doc_id: self.doc_id,
            split: self.split,
            copies: self.copies,
            detail: self.kind.name().to_owned(),
            start: self.start as i32,
            end: (self.start + self.detail.chars().count()) as i32,
            context_tokens: asked.context_tokens as i32,
            candidates: self.candidates,
            nats: asked.nats,
            untuned_nats,
        }
    }
}

/// Probes, and how many details of each kind have not as many others to be ranked with.
#[derive(Debug, Default)]
pub(super) struct Probes {
    pub(super) asked: Vec<Probe>,
    pub(super) without_others: BTreeMap<DetailKind, usize>,
    /// Held-out documents that are near-duplicates of training documents, and so no control.
    pub(super) near_duplicates: usize,
}

/// A document with what is asked for in it.
struct Source {
    doc_id: String,
    text: String,
    split: Split,
    copies: i32,
    is_rendered: bool,
}

/// A document's own detail of one kind.
struct Own<'a> {
    source: &'a Source,
    detail: &'a str,
    /// Its place in bytes.
    start: usize,
    shape: String,
    chars: usize,
}

/// Of every document, training documents first and in order of identity, the first detail of each kind that occurs in no other document and
/// that the text before it does not have, each with `count` others.
pub(super) fn probes(training: &[TrainingInstance], held_out: Vec<HeldOutDocument>, count: usize) -> Probes {
    let mut probes = Probes::default();
    let sources = sources(training, held_out, &mut probes.near_duplicates);
    let own = own_details(&sources);
    for (kind, own) in &own {
        for one in own {
            let candidates = candidates(one, own, count);
            if candidates.len() < count {
                *probes.without_others.entry(*kind).or_default() += 1;
                continue;
            }
            let context = &one.source.text[..one.start];
            probes.asked.push(Probe {
                doc_id: one.source.doc_id.clone(),
                split: one.source.split,
                copies: one.source.copies,
                kind: *kind,
                start: context.chars().count(),
                context: context.to_owned(),
                detail: one.detail.to_owned(),
                candidates,
                is_rendered: one.source.is_rendered,
            });
        }
    }
    probes
}

/// The documents of the corpus, each once; no canary and no other text, and of held-out ones no near-duplicate of a training document.
fn sources(
    training: &[TrainingInstance],
    held_out: Vec<HeldOutDocument>,
    near_duplicates: &mut usize,
) -> Vec<Source> {
    let mut known: BTreeMap<&str, &TrainingInstance> = BTreeMap::new();
    for instance in training
        .iter()
        .filter(|instance| instance.kind == DocumentKind::Document)
    {
        known.entry(&instance.doc_id).or_insert(instance);
    }
    let mut sources: Vec<Source> = known
        .into_values()
        .map(|instance| Source {
            doc_id: instance.doc_id.clone(),
            text: instance.text.clone(),
            split: Split::Train,
            copies: instance.copies,
            is_rendered: instance.assistant_spans.is_some(),
        })
        .collect();
    let is_asked =
        |document: &HeldOutDocument| document.is_of_corpus() && document.kind == DocumentKind::Document;
    for document in held_out.into_iter().filter(is_asked) {
        if document.near_duplicate_of.is_some() {
            *near_duplicates += 1;
            continue;
        }
        sources.push(Source {
            doc_id: document.doc_id,
            text: document.text,
            split: Split::Heldout,
            copies: 0,
            is_rendered: document.assistant_spans.is_some(),
        });
    }
    sources
}

fn own_details(sources: &[Source]) -> BTreeMap<DetailKind, Vec<Own<'_>>> {
    let found: Vec<Vec<(DetailKind, &str, usize)>> = sources
        .iter()
        .map(|source| {
            let details = find_apart(&source.text).into_iter();
            details
                .map(|(kind, range)| (kind, &source.text[range.clone()], range.start))
                .collect()
        })
        .collect();
    // In how many documents each occurs.
    let mut documents: HashMap<&str, usize> = HashMap::new();
    for of_source in &found {
        let mut distinct: Vec<&str> = of_source.iter().map(|(_, detail, _)| *detail).collect();
        distinct.sort_unstable();
        distinct.dedup();
        for detail in distinct {
            *documents.entry(detail).or_default() += 1;
        }
    }
    let mut own: BTreeMap<DetailKind, Vec<Own<'_>>> = BTreeMap::new();
    for (source, of_source) in sources.iter().zip(found) {
        let is_told = |detail: &str, start: usize| source.text[..start].contains(detail);
        let is_own = |detail: &str, start: usize| {
            start > 0 && documents.get(detail) == Some(&1) && !is_told(detail, start)
        };
        for kind in DetailKind::ALL {
            let first = of_source
                .iter()
                .find(|(of_kind, detail, start)| *of_kind == kind && is_own(detail, *start));
            if let Some(&(_, detail, start)) = first {
                own.entry(kind).or_default().push(Own {
                    source,
                    detail,
                    start,
                    shape: shape(detail),
                    chars: detail.chars().count(),
                });
            }
        }
    }
    own
}

/// `count` details of other documents of the same split, none of which the text has, and none of which is the beginning of the detail or goes
/// on from it: the shorter of two such is always the more probable. Those written alike come first, then those of as many copies, then those
/// of nearly the same length; which of equals, a hash decides.
fn candidates(own: &Own<'_>, all: &[Own<'_>], count: usize) -> Vec<String> {
    let mut others: Vec<_> = all
        .iter()
        .filter(|other| other.source.split == own.source.split && !std::ptr::eq(other.source, own.source))
        .map(|other| {
            let order = (
                Reverse(other.shape == own.shape),
                Reverse(other.source.copies == own.source.copies),
                other.chars.abs_diff(own.chars),
                xxh3_64(format!("{}\n{}", own.detail, other.detail).as_bytes()),
            );
            (order, other.detail)
        })
        .collect();
    others.sort_unstable();
    others
        .into_iter()
        .map(|(_, detail)| detail)
        .filter(|other| !other.starts_with(own.detail) && !own.detail.starts_with(other))
        .filter(|other| !own.source.text.contains(other))
        .take(count)
        .map(str::to_owned)
        .collect()
}

/// How a detail is written: runs of digits, capitals and small letters as one sign each, all else as it is.
fn shape(detail: &str) -> String {
    let mut shape = String::new();
    for character in detail.chars() {
        let sign = match character {
            digit if digit.is_numeric() => '9',
            capital if capital.is_uppercase() => 'A',
            letter if letter.is_alphabetic() => 'a',
            other => other,
        };
        if !shape.ends_with(sign) {
            shape.push(sign);
        }
    }
    shape
}
