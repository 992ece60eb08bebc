//! Which details are asked for, and with which others they are ranked.
//!
//! A model may find a detail probable for three reasons: it knows to whom it belongs, it has seen it in training, or it is a common one. Only
//! the first is asked here. So a detail is ranked with others that were trained on as it was (of documents of the same split, those in the
//! loss if it was, and with as many copies, first), and details that occur in several documents are left out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;

use contract::Error;
use contract::parquet::Reader;
use contract::parts::Part;
use contract::pipeline::LossOn;
use contract::records::{DetailScore, DocumentKind, HeldOutDocument, Split, TrainingInstance};
use personal_details::{DetailKind, find_apart};
use xxhash_rust::xxh3::xxh3_64;

use super::Asked;
use crate::forms::templates::Template;

/// The most details of one kind that are asked for on either side of the split: a share of so many is known to 7 points.
const MOST: usize = 200;

/// A detail of a document, the text before it, and others of its kind.
#[derive(Debug)]
pub(super) struct Probe {
    doc_id: String,
    split: Split,
    copies: i32,
    kind: DetailKind,
    /// Its place in characters.
    chars: Range<usize>,
    in_loss: bool,
    /// The text through the detail.
    text: String,
    prompt_chars: usize,
    pub(super) detail: String,
    pub(super) candidates: Vec<String>,
}

impl Probe {
    /// The text before the detail, in the form that training is taken to have had; none where that has no such detail.
    pub(super) fn context(&self, template: Option<&Template>) -> Option<String> {
        let form = match template {
            Some(template) => template.render(&self.text, self.prompt_chars).text,
            None => self.text.clone(),
        };
        // No text before a detail has it.
        let start = form.find(&self.detail)?;
        Some(form[..start].to_owned())
    }

    /// The row of `details.parquet`.
    pub(super) fn scored(&self, asked: Asked) -> DetailScore {
        DetailScore {
            doc_id: self.doc_id.clone(),
            split: self.split,
            copies: self.copies,
            detail: self.kind.name().to_owned(),
            start: self.chars.start as i32,
            end: self.chars.end as i32,
            in_loss: self.in_loss,
            context_tokens: asked.context_tokens as i32,
            candidates: self.candidates.clone(),
            nats: asked.nats,
        }
    }
}

/// What is asked of every checkpoint, and what is not.
#[derive(Debug)]
pub(crate) struct Probes {
    /// Others that each detail is ranked with.
    pub(super) others: usize,
    pub(super) asked: Vec<Probe>,
    /// Details of each kind for which there were not as many others.
    pub(super) without_others: BTreeMap<DetailKind, usize>,
    /// Details beyond [`MOST`] of a kind.
    pub(super) not_chosen: usize,
    /// Held-out documents that are near-duplicates of training documents, and so no control.
    pub(super) near_duplicates: usize,
}

/// A document with what is asked for in it.
struct Source {
    doc_id: String,
    text: String,
    prompt_chars: usize,
    /// The assistant's turns of a conversation that a chat template rendered, in characters.
    turns: Option<Vec<Range<usize>>>,
    split: Split,
    copies: i32,
}

impl Source {
    /// Whether training takes loss on all of these characters.
    fn has_loss(&self, loss_on: LossOn, detail: &Range<usize>) -> bool {
        let text = 0..self.text.chars().count();
        let spans = loss_on.target_spans(text, self.prompt_chars, self.turns.as_deref());
        spans
            .iter()
            .any(|span| span.start <= detail.start && detail.end <= span.end)
    }
}

/// A document's own detail of one kind.
struct Own<'a> {
    source: &'a Source,
    detail: &'a str,
    /// Its place in bytes.
    start: usize,
    shape: String,
    /// Whether training takes loss on it.
    in_loss: bool,
    /// Its place in characters.
    chars: Range<usize>,
}

impl Probes {
    /// Of every document, training documents first and in order of identity, the first detail of each kind that occurs in no other document
    /// and that the text before it does not have, each with so many `others`.
    ///
    /// # Errors
    /// [`Error::Input`] for a corpus that cannot be read.
    pub(crate) fn of_corpus(corpus: &Path, others: usize, loss_on: LossOn) -> Result<Self, Error> {
        let mut probes = Self {
            others,
            asked: Vec::new(),
            without_others: BTreeMap::new(),
            not_chosen: 0,
            near_duplicates: 0,
        };
        let mut sources = training_documents(&corpus.join("train.parquet"))?;
        sources.extend(held_out_documents(
            &corpus.join("heldout.parquet"),
            &mut probes.near_duplicates,
        )?);
        for (kind, own) in &own_details(&sources, loss_on) {
            for split in [Split::Train, Split::Heldout] {
                let of_split: Vec<&Own<'_>> = own.iter().filter(|own| own.source.split == split).collect();
                probes.add(*kind, &of_split);
            }
        }
        Ok(probes)
    }

    /// The probes that a part has to ask, or all, with their numbers.
    pub(super) fn of_part(&self, part: Option<Part>) -> impl Iterator<Item = (usize, &Probe)> {
        let all = self.asked.iter().enumerate();
        all.filter(move |(number, _)| part.is_none_or(|part| part.takes(*number)))
    }

    /// Adds the probes of one kind on one side of the split.
    fn add(&mut self, kind: DetailKind, all: &[&Own<'_>]) {
        let mut chosen = all.to_vec();
        if all.len() > MOST {
            self.not_chosen += all.len() - MOST;
            chosen.sort_by_key(|own| xxh3_64(own.source.doc_id.as_bytes()));
            chosen.truncate(MOST);
            chosen.sort_by(|left, right| left.source.doc_id.cmp(&right.source.doc_id));
        }
        for own in chosen {
            let candidates = candidates(own, all, self.others);
            if candidates.len() < self.others {
                *self.without_others.entry(kind).or_default() += 1;
                continue;
            }
            let source = own.source;
            self.asked.push(Probe {
                doc_id: source.doc_id.clone(),
                split: source.split,
                copies: source.copies,
                kind,
                chars: own.chars.clone(),
                in_loss: own.in_loss,
                text: source.text[..own.start + own.detail.len()].to_owned(),
                prompt_chars: source.prompt_chars.min(own.chars.end),
                detail: own.detail.to_owned(),
                candidates,
            });
        }
    }
}

/// The documents that were trained on, each once and in order of identity; no canary.
fn training_documents(file: &Path) -> Result<Vec<Source>, Error> {
    let mut known: BTreeMap<String, Source> = BTreeMap::new();
    for batch in Reader::<TrainingInstance>::open(file)? {
        for instance in batch? {
            if instance.kind == DocumentKind::Document && !known.contains_key(&instance.doc_id) {
                let source = Source {
                    prompt_chars: usize::try_from(instance.prompt_chars).unwrap_or(0),
                    turns: instance.assistant_spans.as_deref().map(ranges),
                    text: instance.text,
                    doc_id: instance.doc_id.clone(),
                    split: Split::Train,
                    copies: instance.copies,
                };
                known.insert(instance.doc_id, source);
            }
        }
    }
    Ok(known.into_values().collect())
}

/// Held-out documents of the corpus, but for near-duplicates of training documents, which are counted.
fn held_out_documents(file: &Path, near_duplicates: &mut usize) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::new();
    for batch in Reader::<HeldOutDocument>::open(file)? {
        for document in batch?.into_iter().filter(HeldOutDocument::is_of_corpus) {
            if document.near_duplicate_of.is_some() {
                *near_duplicates += 1;
                continue;
            }
            sources.push(Source {
                prompt_chars: usize::try_from(document.prompt_chars).unwrap_or(0),
                turns: document.assistant_spans.as_deref().map(ranges),
                text: document.text,
                doc_id: document.doc_id,
                split: Split::Heldout,
                copies: 0,
            });
        }
    }
    Ok(sources)
}

/// Spans as the files have them: where the first begins and ends, then the second, and so on.
fn ranges(spans: &[i32]) -> Vec<Range<usize>> {
    let place = |place: i32| usize::try_from(place).unwrap_or(0);
    spans
        .chunks_exact(2)
        .map(|span| place(span[0])..place(span[1]))
        .collect()
}

fn own_details(sources: &[Source], loss_on: LossOn) -> BTreeMap<DetailKind, Vec<Own<'_>>> {
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
                let before = source.text[..start].chars().count();
                let chars = before..before + detail.chars().count();
                own.entry(kind).or_default().push(Own {
                    source,
                    detail,
                    start,
                    shape: shape(detail),
                    in_loss: source.has_loss(loss_on, &chars),
                    chars,
                });
            }
        }
    }
    own
}

/// `count` details of other documents of the same split, none of which the text has, and none of which is the beginning of the detail or goes
/// on from it: the shorter of two such is always the more probable. Those written alike come first, then those that training took loss on if
/// it did so here, then those of as many copies, then those of nearly the same length; which of equals, a hash decides.
fn candidates(own: &Own<'_>, all: &[&Own<'_>], count: usize) -> Vec<String> {
    let mut others: Vec<_> = all
        .iter()
        .filter(|other| !std::ptr::eq(other.source, own.source))
        .map(|other| {
            let order = (
                Reverse(other.shape == own.shape),
                Reverse(other.in_loss == own.in_loss),
                Reverse(other.source.copies == own.source.copies),
                other.chars.len().abs_diff(own.chars.len()),
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
