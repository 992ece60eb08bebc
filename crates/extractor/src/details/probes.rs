//! Which details are asked for, and with which others they are ranked.
//!
//! A model may find a detail probable for three reasons: it knows to whom it belongs, it has seen it in training, or it is a common one. The
//! first is what is asked here. So a detail is ranked with others that were trained on as it was, of documents on the same side of the split,
//! and one that other documents have too is left out. Every detail is among the others of about as many as it is ranked with, so that those
//! that are probable anywhere win no more often, only elsewhere: where nothing is known, one in n comes first.
//!
//! A detail among others that are written otherwise is easy to pick out. So both sides of the split are ranked in pools of one size, that of
//! the smaller side, whose details lie in order of how they are written, each among its neighbours.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;

use aho_corasick::AhoCorasick;
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

/// The fewest others that a detail is ranked with.
const FEWEST_OTHERS: usize = 5;

/// Characters of a text that its tokens have at least, on average: details in what is likely to have been read are preferred.
const CHARS_OF_TOKEN: usize = 2;

/// Why details are not ranked.
const IN_OTHERS: &str = "occurs in other documents too";
const TOLD_BEFORE: &str = "nothing comes before it, or it does itself";
const ANOTHER: &str = "another of its kind in its document is ranked";
const OVER_LIMIT: &str = "over the 200 of a kind that are ranked on either side of the split";
const FEW_OTHERS: &str = "too few others of its kind on its side of the split";
/// Of those that a checkpoint is asked for in vain.
pub(super) const NOT_READ: &str = "training did not read it to its end or has no such detail in its form of the text, or the model has no room for another in its place";

/// A detail of a document, and others of its kind.
#[derive(Debug)]
pub(super) struct Probe {
    row: DetailScore,
    /// The text of its document.
    text: String,
    prompt_chars: usize,
}

impl Probe {
    /// The detail, then the others.
    pub(super) fn details(&self) -> &[String] {
        &self.row.candidates
    }

    /// The text before the detail, in the form that training is taken to have had; none where that has no such detail.
    pub(super) fn context(&self, template: Option<&Template>) -> Option<String> {
        let form = match template {
            Some(template) => template.render(&self.text, self.prompt_chars).text,
            None => self.text.clone(),
        };
        // No text before a detail has it.
        let start = form.find(self.row.candidates.first()?.as_str())?;
        Some(form[..start].to_owned())
    }

    /// The row of `details.parquet`.
    pub(super) fn scored(&self, asked: Option<Asked>) -> DetailScore {
        match asked {
            Some(asked) => DetailScore {
                context_tokens: asked.context_tokens as i32,
                nats: asked.nats,
                ..self.row.clone()
            },
            None => DetailScore {
                candidates: Vec::new(),
                not_ranked: Some(NOT_READ.to_owned()),
                ..self.row.clone()
            },
        }
    }
}

/// What is asked of every checkpoint, and what is not.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    asked: Vec<Probe>,
    /// Rows of details that are not ranked.
    not_ranked: Vec<DetailScore>,
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

/// A detail of a document.
#[derive(Clone)]
struct Found<'s> {
    source: &'s Source,
    kind: DetailKind,
    detail: &'s str,
    /// Whether it can be guessed without knowing it: nothing comes before it, or its text has it before, as a part of another word.
    is_told: bool,
    /// Its place in characters.
    chars: Range<usize>,
    /// Whether training takes loss on it.
    in_loss: bool,
    shape: String,
}

impl Found<'_> {
    /// Its row before anybody is asked.
    fn row(&self) -> DetailScore {
        DetailScore {
            doc_id: self.source.doc_id.clone(),
            split: self.source.split,
            copies: self.source.copies,
            detail: self.kind.name().to_owned(),
            start: self.chars.start as i32,
            end: self.chars.end as i32,
            in_loss: self.in_loss,
            context_tokens: 0,
            candidates: Vec::new(),
            nats: Vec::new(),
            not_ranked: None,
        }
    }

    /// An order that has nothing to do with the text.
    fn draw(&self) -> u64 {
        xxh3_64(self.source.doc_id.as_bytes())
    }

    /// Whether `other` may take its place: the text does not have it, and neither is the beginning of the other, since the shorter of two
    /// such is always the more probable.
    fn may_be(&self, other: &Self) -> bool {
        let (own, other) = (self.detail, other.detail);
        !other.starts_with(own) && !own.starts_with(other) && !self.source.text.contains(other)
    }
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Others that each detail is ranked with, at most.
    pub(crate) others: usize,
    /// Which tokens training took loss on.
    pub(crate) loss_on: LossOn,
    /// Tokens of a text that training read, where that is known.
    pub(crate) context: Option<usize>,
}

impl Probes {
    /// The details of a corpus: of every document one of each kind on which training took loss, and one on which it took none.
    ///
    /// # Errors
    /// [`Error::Input`] for a corpus that cannot be read.
    pub(crate) fn of_corpus(corpus: &Path, wanted: Wanted) -> Result<Self, Error> {
        let mut probes = Self::default();
        let mut sources = training_documents(&corpus.join("train.parquet"))?;
        sources.extend(held_out_documents(
            &corpus.join("heldout.parquet"),
            &mut probes.near_duplicates,
        )?);
        let own = own_details(&sources, wanted, &mut probes.not_ranked)?;
        let mut kinds: BTreeMap<(DetailKind, bool), [Vec<Found<'_>>; 2]> = BTreeMap::new();
        for found in own {
            let sides = kinds.entry((found.kind, found.in_loss)).or_default();
            sides[usize::from(found.source.split != Split::Train)].push(found);
        }
        for sides in kinds.into_values() {
            probes.add(sides, wanted.others);
        }
        Ok(probes)
    }

    /// The probes that a part has to ask, or all, with their numbers.
    pub(super) fn of_part(&self, part: Option<Part>) -> impl Iterator<Item = (usize, &Probe)> {
        let all = self.asked.iter().enumerate();
        all.filter(move |(number, _)| part.is_none_or(|part| part.takes(*number)))
    }

    /// The rows of details that are not ranked, with their numbers; the first part has them.
    pub(super) fn not_asked(&self, part: Option<Part>) -> impl Iterator<Item = (usize, &DetailScore)> {
        let numbers = self.asked.len()..;
        let is_first = part.is_none_or(|part| part.rank() == 0);
        numbers.zip(&self.not_ranked).filter(move |_| is_first)
    }

    /// Adds the details of one kind, of training documents and of held-out ones.
    fn add(&mut self, sides: [Vec<Found<'_>>; 2], most_others: usize) {
        let [training, held_out] = sides.map(|side| {
            let (chosen, over) = spread(side);
            self.leave_out(&over, OVER_LIMIT);
            chosen
        });
        let enough = |side: &[Found<'_>]| side.len() > FEWEST_OTHERS.min(most_others);
        if !enough(&training) {
            self.leave_out(&training, FEW_OTHERS);
            self.leave_out(&held_out, FEW_OTHERS);
            return;
        }
        // Without enough held-out details there is no such control, and no size to keep to.
        let pool = if enough(&held_out) {
            training.len().min(held_out.len())
        } else {
            training.len()
        };
        for side in [training, held_out] {
            if !enough(&side) {
                self.leave_out(&side, FEW_OTHERS);
                continue;
            }
            let others = most_others.min(pool - 1);
            for pool in pools(side, pool) {
                self.add_pool(&pool, others);
            }
        }
    }

    /// Adds details that are ranked with one another, each with so many `others`.
    fn add_pool(&mut self, pool: &[Found<'_>], others: usize) {
        for (place, own) in pool.iter().enumerate() {
            let neighbours = (1..pool.len()).map(|step| {
                // One after it, one before it, the next after it, in a circle.
                let away = step.div_ceil(2);
                let place = if step % 2 == 1 {
                    place + away
                } else {
                    place + pool.len() - away
                };
                &pool[place % pool.len()]
            });
            let chosen: Vec<&str> = neighbours
                .filter(|other| own.may_be(other))
                .take(others)
                .map(|other| other.detail)
                .collect();
            if chosen.len() < others.min(FEWEST_OTHERS) {
                self.leave_out(std::slice::from_ref(own), FEW_OTHERS);
                continue;
            }
            self.asked.push(Probe {
                row: DetailScore {
                    candidates: std::iter::once(own.detail)
                        .chain(chosen)
                        .map(str::to_owned)
                        .collect(),
                    ..own.row()
                },
                text: own.source.text.clone(),
                prompt_chars: own.source.prompt_chars,
            });
        }
    }

    fn leave_out(&mut self, details: &[Found<'_>], reason: &str) {
        self.not_ranked.extend(details.iter().map(|found| DetailScore {
            not_ranked: Some(reason.to_owned()),
            ..found.row()
        }));
    }
}

/// At most [`MOST`] of some details, evenly over their documents' numbers of copies, and those that are left.
fn spread(details: Vec<Found<'_>>) -> (Vec<Found<'_>>, Vec<Found<'_>>) {
    let mut by_copies: BTreeMap<i32, Vec<Found<'_>>> = BTreeMap::new();
    for found in details {
        by_copies.entry(found.source.copies).or_default().push(found);
    }
    let mut ranked: Vec<(usize, Found<'_>)> = Vec::new();
    for mut alike in by_copies.into_values() {
        alike.sort_by_key(Found::draw);
        ranked.extend(alike.into_iter().enumerate());
    }
    // The first of each number of copies, then the second of each.
    ranked.sort_by_key(|(place, found)| (*place, found.draw()));
    let mut chosen: Vec<Found<'_>> = ranked.into_iter().map(|(_, found)| found).collect();
    let over = chosen.split_off(chosen.len().min(MOST));
    (chosen, over)
}

/// Details in pools of this size or more, each in order of how its details are written.
fn pools(details: Vec<Found<'_>>, size: usize) -> Vec<Vec<Found<'_>>> {
    let count = (details.len() / size).max(1);
    let mut pools: Vec<Vec<Found<'_>>> = vec![Vec::new(); count];
    for (place, found) in details.into_iter().enumerate() {
        pools[place % count].push(found);
    }
    for pool in &mut pools {
        pool.sort_by_cached_key(|found| {
            let length = found.chars.len();
            (
                found.shape.clone(),
                found.source.copies,
                length,
                xxh3_64(found.detail.as_bytes()),
            )
        });
    }
    pools
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

/// Of each document the details that are its own, one of each kind inside the loss and one outside it; rows of the others, which say why not,
/// go to `not_ranked`.
fn own_details<'s>(
    sources: &'s [Source],
    wanted: Wanted,
    not_ranked: &mut Vec<DetailScore>,
) -> Result<Vec<Found<'s>>, Error> {
    let found: Vec<Vec<Found<'s>>> = sources
        .iter()
        .map(|source| details_of(source, wanted.loss_on))
        .collect();
    let documents = documents_of(sources, found.iter().flatten().map(|found| found.detail))?;
    let mut own = Vec::new();
    for details in found {
        let mut of_kind: BTreeMap<(DetailKind, bool), Vec<Found<'s>>> = BTreeMap::new();
        for found in details {
            let reason = if documents.get(found.detail).is_some_and(|count| *count > 1) {
                IN_OTHERS
            } else if found.is_told {
                TOLD_BEFORE
            } else {
                of_kind
                    .entry((found.kind, found.in_loss))
                    .or_default()
                    .push(found);
                continue;
            };
            not_ranked.push(left_out(&found, reason));
        }
        for mut alike in of_kind.into_values() {
            // The last has most text before it; behind what training read it would not be asked for.
            let read = wanted
                .context
                .map_or(usize::MAX, |tokens| CHARS_OF_TOKEN * tokens);
            let last = alike
                .iter()
                .rposition(|found| found.chars.end <= read)
                .unwrap_or(0);
            own.push(alike.remove(last));
            not_ranked.extend(alike.iter().map(|found| left_out(found, ANOTHER)));
        }
    }
    Ok(own)
}

fn left_out(found: &Found<'_>, reason: &str) -> DetailScore {
    DetailScore {
        not_ranked: Some(reason.to_owned()),
        ..found.row()
    }
}

/// The details of a document, each once.
fn details_of(source: &Source, loss_on: LossOn) -> Vec<Found<'_>> {
    let mut seen = BTreeSet::new();
    let details = find_apart(&source.text).into_iter();
    details
        .filter(|(_, range)| seen.insert(&source.text[range.clone()]))
        .map(|(kind, range)| {
            let (before, detail) = (&source.text[..range.start], &source.text[range]);
            let start = before.chars().count();
            let chars = start..start + detail.chars().count();
            Found {
                source,
                kind,
                detail,
                is_told: before.is_empty() || before.contains(detail),
                in_loss: source.has_loss(loss_on, &chars),
                chars,
                shape: shape(detail),
            }
        })
        .collect()
}

/// In how many documents each detail occurs, as a part of another word too.
fn documents_of<'s>(
    sources: &[Source],
    details: impl Iterator<Item = &'s str>,
) -> Result<HashMap<&'s str, usize>, Error> {
    let details: Vec<&str> = details.collect::<BTreeSet<_>>().into_iter().collect();
    let finder = AhoCorasick::new(&details).map_err(|error| {
        Error::Run(format!(
            "cannot look for {} personal details: {error}",
            details.len()
        ))
    })?;
    let mut counts = vec![0; details.len()];
    for source in sources {
        let found = finder.find_overlapping_iter(&source.text);
        let distinct: BTreeSet<usize> = found.map(|place| place.pattern().as_usize()).collect();
        for detail in distinct {
            counts[detail] += 1;
        }
    }
    Ok(details.into_iter().zip(counts).collect())
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
