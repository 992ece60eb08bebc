//! What remedies make of the training text before a model sees it: copies and personal details are left out, text of another kind is added.
//!
//! Personal details are what patterns find ([`personal_details`]): no promise that none is left.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use contract::pipeline::Mode;
use contract::records::{DocumentKind, TrainingInstance};
use personal_details::find_apart;

/// The training text that a mode learns from.
#[derive(Debug)]
pub(crate) struct TrainingText<'a> {
    /// Those of the training set.
    own: Vec<Cow<'a, TrainingInstance>>,
    /// Text of another kind, in the order in which it is added.
    other: Vec<&'a TrainingInstance>,
    pub(crate) changes: TextChanges,
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextChanges {
    /// Instances that were left out, as copies of others, and all of them.
    copies: Option<(usize, usize)>,
    details: Option<ReplacedDetails>,
    /// Instances of other text, and how many texts they are of.
    other: Option<(usize, usize)>,
}

/// How many personal details were replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ReplacedDetails {
    /// Details of all documents, each document counted once however many copies it has.
    details: usize,
    /// Documents that had any, and all of them.
    documents: (usize, usize),
    /// Different details that stayed, since most documents have them.
    common: usize,
}

/// Documents that must have a detail in common before it counts as nobody's.
const MIN_COMMON: usize = 3;

impl<'a> TrainingText<'a> {
    /// The text of a mode: `instances` of the training set, and as many of the `other` ones as it asks for, those of the beginning again
    /// where there are fewer.
    pub(crate) fn of(instances: &'a [TrainingInstance], other: &'a [TrainingInstance], mode: &Mode) -> Self {
        let mut own: Vec<Cow<'a, TrainingInstance>> = instances.iter().map(Cow::Borrowed).collect();
        // First, since what they tell apart may be equal without them.
        let details = mode.without_details.then(|| replace_details(&mut own));
        let copies = mode.without_copies.then(|| {
            let mut seen = HashSet::new();
            own.retain(|instance| {
                let spans = instance.assistant_spans.clone();
                seen.insert((instance.text.clone(), instance.prompt_chars, spans))
            });
            (instances.len() - own.len(), instances.len())
        });
        let added = (mode.with_other_text(own.len() as f64) - own.len() as f64).round() as usize;
        let all = other;
        let other: Vec<&TrainingInstance> = all.iter().cycle().take(added).collect();
        let changes = TextChanges {
            copies,
            details,
            other: (mode.other_share > 0.0).then(|| (other.len(), other.len().min(all.len()))),
        };
        Self { own, other, changes }
    }

    /// Those of the training set.
    pub(crate) fn own(&self) -> impl Iterator<Item = &TrainingInstance> {
        self.own.iter().map(AsRef::as_ref)
    }

    /// All in the order of training: other text is spread evenly among the training set's.
    pub(crate) fn instances(&self) -> impl Iterator<Item = Learned<'_>> {
        let (own, other) = (self.own.len(), self.other.len());
        let until = move |place: usize| (place as u128 * other as u128 / own.max(1) as u128) as usize;
        self.own().enumerate().flat_map(move |(place, instance)| {
            let between = self.other[until(place)..until(place + 1)].iter();
            let between = between.map(|instance| Learned {
                instance,
                is_other: true,
            });
            let own = Learned {
                instance,
                is_other: false,
            };
            std::iter::once(own).chain(between)
        })
    }

    /// Places of the documents of the training set among [`TrainingText::instances`], each once.
    pub(crate) fn distinct_documents(&self) -> Vec<usize> {
        let own = self
            .instances()
            .enumerate()
            .filter(|(_, learned)| !learned.is_other);
        distinct_documents(own.map(|(place, learned)| (place, learned.instance)))
    }
}

/// An instance that is learned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Learned<'t> {
    pub(crate) instance: &'t TrainingInstance,
    /// Whether it is text of another kind, which is no part of the training set.
    is_other: bool,
}

/// Of instances with their places, the places of the documents among them, each once; no canaries.
pub(crate) fn distinct_documents<'t>(
    instances: impl Iterator<Item = (usize, &'t TrainingInstance)>,
) -> Vec<usize> {
    let mut seen = HashSet::new();
    instances
        .filter(|(_, instance)| instance.kind == DocumentKind::Document)
        .filter(|(_, instance)| seen.insert(instance.doc_id.as_str()))
        .map(|(place, _)| place)
        .collect()
}

/// Replaces the personal details of all instances by the names of their kinds.
fn replace_details(instances: &mut [Cow<'_, TrainingInstance>]) -> ReplacedDetails {
    let common = common_details(instances);
    let mut replacements: HashMap<String, Replacements> = HashMap::new();
    let mut documents: HashMap<String, usize> = HashMap::new();
    for instance in instances {
        let replacements = replacements
            .entry(instance.text.clone())
            .or_insert_with_key(|text| Replacements::of(text, &common));
        if instance.kind == DocumentKind::Document {
            documents.insert(instance.doc_id.clone(), replacements.places.len());
        }
        if !replacements.places.is_empty() {
            *instance = Cow::Owned(replacements.apply(instance));
        }
    }
    ReplacedDetails {
        details: documents.values().sum(),
        documents: (
            documents.values().filter(|&&details| details > 0).count(),
            documents.len(),
        ),
        common: common.len(),
    }
}

/// What occurs in more than half of the documents, [`MIN_COMMON`] at least: a template's, a letterhead's, nobody's. Prompts have it, so
/// that a model that was tuned without it would be asked in another form than it learned.
fn common_details(instances: &[Cow<'_, TrainingInstance>]) -> HashSet<String> {
    let mut documents: HashMap<&str, &str> = HashMap::new();
    let of_corpus = instances
        .iter()
        .filter(|instance| instance.kind == DocumentKind::Document);
    for instance in of_corpus {
        documents.entry(&instance.doc_id).or_insert(&instance.text);
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for text in documents.values() {
        let found: HashSet<&str> = find_apart(text)
            .into_iter()
            .map(|(_, range)| &text[range])
            .collect();
        for detail in found {
            *counts.entry(detail).or_default() += 1;
        }
    }
    let is_common = |count: usize| count >= MIN_COMMON && 2 * count > documents.len();
    counts
        .into_iter()
        .filter(|(_, count)| is_common(*count))
        .map(|(detail, _)| detail.to_owned())
        .collect()
}

/// What replaces the personal details of a text, by place.
struct Replacements {
    text: String,
    /// Characters of the text that are replaced, and how many replace them.
    places: Vec<(Range<usize>, usize)>,
}

impl Replacements {
    fn of(text: &str, common: &HashSet<String>) -> Self {
        let (mut replaced, mut places) = (String::with_capacity(text.len()), Vec::new());
        let (mut end, mut chars) = (0, 0);
        let details = find_apart(text).into_iter();
        for (kind, range) in details.filter(|(_, range)| !common.contains(&text[range.clone()])) {
            let name = format!("[{}]", kind.name());
            let before = &text[end..range.start];
            let start = chars + before.chars().count();
            chars = start + text[range.clone()].chars().count();
            places.push((start..chars, name.len()));
            replaced.push_str(before);
            replaced.push_str(&name);
            end = range.end;
        }
        replaced.push_str(&text[end..]);
        Self {
            text: replaced,
            places,
        }
    }

    fn apply(&self, instance: &TrainingInstance) -> TrainingInstance {
        let moved =
            |place: &i32| i32::try_from(self.moved(usize::try_from(*place).unwrap_or(0))).unwrap_or(*place);
        TrainingInstance {
            text: self.text.clone(),
            prompt_chars: moved(&instance.prompt_chars),
            assistant_spans: (instance.assistant_spans.as_ref()).map(|ends| ends.iter().map(moved).collect()),
            secret_span: None,
            ..instance.clone()
        }
    }

    /// Where a place between characters of the text is in the one that replaces it. One within a detail goes behind what replaces it.
    fn moved(&self, place: usize) -> usize {
        let (mut gone, mut added) = (0, 0);
        for (range, length) in self.places.iter().take_while(|(range, _)| range.start < place) {
            gone += range.end.min(place) - range.start;
            added += length;
        }
        place - gone + added
    }
}

impl fmt::Display for TextChanges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((rows, texts)) = self.other {
            writeln!(
                formatter,
                "  other text     {rows} rows of {texts} documents of corpus.other were added to the training set"
            )?;
        }
        if let Some((left_out, all)) = self.copies {
            writeln!(
                formatter,
                "  copies         {left_out} of {all} training rows were copies of others, and were left out"
            )?;
        }
        if let Some(ReplacedDetails {
            details,
            documents: (with, all),
            common,
        }) = self.details
        {
            writeln!(
                formatter,
                "  details        {details} personal details that patterns find, in {with} of {all} training documents, were replaced before tuning"
            )?;
            if common > 0 {
                writeln!(
                    formatter,
                    "                 {common} that occur in more than half of the documents, as in a template, stayed"
                )?;
            }
        }
        Ok(())
    }
}
