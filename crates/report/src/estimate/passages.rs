//! The training documents of which a passage came out, with the texts to look at.

use std::collections::BTreeMap;
use std::ops::Range;

use contract::records::{DetailSource, DocumentKind, PassageMatch, PromptForm, Split, Verdict};

use super::{AnalysedCell, Estimates};
use crate::read::JudgedSample;

/// A training document of which a passage came out of a tuned model.
#[derive(Debug, Clone, PartialEq)]
pub struct LeakedDocument {
    /// Its identity.
    pub doc_id: String,
    /// The strongest class of its passages: verbatim, paraphrase, idea.
    pub class: Verdict,
    /// Its own copies in the training set.
    pub copies: i32,
    /// How often training had passed over it where the passage shown came out: copies × epochs; none where nobody logged them.
    pub passes: Option<f64>,
    /// Characters of the longest passage of its class.
    pub longest_chars: usize,
    /// Kinds of personal details in its passages.
    pub personal_details: PersonalDetails,
    /// Training documents that hold the passage shown, where that was counted.
    pub document_frequency: Option<i32>,
    /// How it came out, each way once; the first is that of the passage shown.
    pub routes: Vec<Route>,
    /// Whether the untuned model wrote a passage of it too.
    pub from_untuned_too: bool,
    /// The longest passage, with its surroundings.
    pub passage: Passage,
}

/// What is known of personal details in a document's passages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PersonalDetails {
    /// Kinds by labels that the user gave.
    Labelled(Vec<String>),
    /// Kinds by simple patterns, which miss most names.
    ByPattern(Vec<String>),
    /// Nobody looked.
    Unknown,
}

impl PersonalDetails {
    /// The kinds that were found.
    pub fn kinds(&self) -> &[String] {
        match self {
            Self::Labelled(kinds) | Self::ByPattern(kinds) => kinds,
            Self::Unknown => &[],
        }
    }
}

/// A way by which a document came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Number of the group whose model wrote it.
    pub group: usize,
    /// Name of the decoding strategy.
    pub strategy: String,
    /// What the model was prompted with.
    pub prompt: PromptOf,
    /// Generations that held a passage of the document.
    pub generations: usize,
}

/// What a prompt was made from: what somebody must have to bring the passage out. The least comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PromptOf {
    /// From nothing but the token that begins a text.
    Nothing,
    /// From text that the model was not trained on, or from lines that belong to no document.
    UnseenText,
    /// From another training document.
    OtherDocument,
    /// From the document itself.
    OwnDocument,
}

/// Texts of a passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The prompt.
    pub prompt: String,
    /// What the model wrote.
    pub generation: String,
    /// The training document.
    pub document: String,
    /// Passages of the two that were aligned; the first is the one to look at.
    pub aligned: Vec<AlignedPassage>,
    /// Name of the cell.
    pub cell: String,
    /// Name of the decoding strategy.
    pub strategy: String,
    /// Number of the sample.
    pub sample_id: i64,
}

/// An aligned passage: characters of the generation and of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlignedPassage {
    /// In the generation.
    pub generation: Range<usize>,
    /// In the document.
    pub document: Range<usize>,
}

impl AlignedPassage {
    fn of(found: &PassageMatch) -> Self {
        let range = |start: i32, end: i32| start.max(0) as usize..end.max(0) as usize;
        Self {
            generation: range(found.gen_start, found.gen_end),
            document: range(found.doc_start, found.doc_end),
        }
    }

    fn chars(&self) -> usize {
        self.generation.len()
    }
}

/// A generation that holds a passage of a document.
struct Leak<'a, 'run> {
    cell: &'a AnalysedCell<'run>,
    group: usize,
    sample: &'run JudgedSample,
    doc_id: &'run str,
    longest: &'run PassageMatch,
}

impl Leak<'_, '_> {
    fn chars(&self) -> usize {
        AlignedPassage::of(self.longest).chars()
    }

    fn prompt(&self) -> PromptOf {
        match (&self.sample.doc_id, self.sample.split) {
            _ if matches!(self.sample.form, PromptForm::Nothing | PromptForm::SelfMade) => PromptOf::Nothing,
            (Some(own), Split::Train) if own == self.doc_id => PromptOf::OwnDocument,
            (Some(_), Split::Train) => PromptOf::OtherDocument,
            _ => PromptOf::UnseenText,
        }
    }
}

/// Every training document of which a passage came out of a tuned model, in the order of their identities; canaries and common
/// phrases aside. Of a document that stands in several corpora there is one for each.
pub fn leaked_documents(estimates: &Estimates<'_>) -> Vec<LeakedDocument> {
    let mut found: BTreeMap<(&str, &str), Vec<Leak<'_, '_>>> = BTreeMap::new();
    for (group, member) in estimates.groups.iter().enumerate() {
        let runs = &estimates.subjects[member.subject].runs;
        for cell in runs
            .iter()
            .filter_map(|run| Some(&estimates.cells[run.documents?]))
        {
            for leak in leaks_of(cell, group) {
                found
                    .entry((&cell.data.cell.corpus, leak.doc_id))
                    .or_default()
                    .push(leak);
            }
        }
    }
    found
        .into_values()
        .filter_map(|leaks| leaked_document(estimates, &leaks))
        .collect()
}

fn leaks_of<'a, 'run>(cell: &'a AnalysedCell<'run>, group: usize) -> Vec<Leak<'a, 'run>> {
    let data = cell.data;
    let corpus = cell.corpus;
    let mut leaks = Vec::new();
    for sample in &data.samples {
        let is_document = |found: &&PassageMatch| {
            corpus.documents.get(&found.doc_id).is_some_and(|document| {
                document.kind == DocumentKind::Document && document.split == Split::Train
            })
        };
        let is_common = sample.verdict.boilerplate == Some(true);
        let mut longest: BTreeMap<&str, &PassageMatch> = BTreeMap::new();
        for passage in sample.trained_passages().filter(is_document) {
            if is_common && passage.kind == Verdict::Verbatim {
                continue;
            }
            let rank = |found: &PassageMatch| (strength(found.kind), AlignedPassage::of(found).chars());
            let known = longest.entry(&passage.doc_id).or_insert(passage);
            if rank(passage) > rank(known) {
                *known = passage;
            }
        }
        leaks.extend(longest.into_iter().map(|(doc_id, longest)| Leak {
            cell,
            group,
            sample,
            doc_id,
            longest,
        }));
    }
    leaks
}

/// Classes in ascending order of how much of the text comes out.
fn strength(class: Verdict) -> u8 {
    match class {
        Verdict::Verbatim => 3,
        Verdict::Paraphrase => 2,
        Verdict::Idea => 1,
        Verdict::None => 0,
    }
}

fn leaked_document(estimates: &Estimates<'_>, leaks: &[Leak<'_, '_>]) -> Option<LeakedDocument> {
    let is_untuned = |leak: &Leak<'_, '_>| estimates.groups[leak.group].method.is_untuned();
    let tuned: Vec<&Leak<'_, '_>> = leaks.iter().filter(|leak| !is_untuned(leak)).collect();
    let shown = *tuned
        .iter()
        .max_by_key(|leak| (strength(leak.longest.kind), leak.chars()))?;
    let class = shown.longest.kind;
    let of_class: Vec<&Leak<'_, '_>> = tuned
        .iter()
        .filter(|leak| leak.longest.kind == class)
        .copied()
        .collect();
    let document = shown.cell.corpus.documents.get(shown.doc_id)?;
    let mut routes = routes(&of_class);
    let first = |route: &Route| {
        route.group == shown.group
            && route.strategy == shown.sample.strategy
            && route.prompt == shown.prompt()
    };
    routes.sort_by_key(|route| !first(route));
    let epochs = shown.cell.epochs_trained();
    Some(LeakedDocument {
        doc_id: shown.doc_id.to_owned(),
        class,
        copies: document.copies,
        passes: epochs.map(|epochs| epochs * f64::from(shown.cell.data.cell.reads_of(document.copies))),
        longest_chars: shown.chars(),
        personal_details: personal_details(&of_class),
        document_frequency: shown.longest.document_frequency,
        routes,
        from_untuned_too: leaks
            .iter()
            .any(|leak| is_untuned(leak) && leak.longest.kind == class),
        passage: passage(shown, &document.text),
    })
}

fn routes(leaks: &[&Leak<'_, '_>]) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for leak in leaks {
        let same = |route: &&mut Route| {
            route.group == leak.group
                && route.strategy == leak.sample.strategy
                && route.prompt == leak.prompt()
        };
        match routes.iter_mut().find(same) {
            Some(route) => route.generations += 1,
            None => routes.push(Route {
                group: leak.group,
                strategy: leak.sample.strategy.clone(),
                prompt: leak.prompt(),
                generations: 1,
            }),
        }
    }
    routes
}

fn personal_details(leaks: &[&Leak<'_, '_>]) -> PersonalDetails {
    let mut kinds: Vec<String> = Vec::new();
    let mut was_looked = false;
    let mut is_labelled = false;
    for leak in leaks {
        let passages = leak
            .sample
            .trained_passages()
            .filter(|passage| passage.doc_id == leak.doc_id);
        for passage in passages {
            let Some(found) = &passage.personal_details else {
                continue;
            };
            was_looked = true;
            is_labelled |= passage.personal_details_by == Some(DetailSource::Labels);
            kinds.extend(
                found
                    .iter()
                    .filter(|kind| !kinds.contains(kind))
                    .cloned()
                    .collect::<Vec<_>>(),
            );
        }
    }
    match (was_looked, is_labelled) {
        (false, _) => PersonalDetails::Unknown,
        (true, true) => PersonalDetails::Labelled(kinds),
        (true, false) => PersonalDetails::ByPattern(kinds),
    }
}

fn passage(leak: &Leak<'_, '_>, document: &str) -> Passage {
    let longest = AlignedPassage::of(leak.longest);
    let same_document = leak
        .sample
        .trained_passages()
        .filter(|passage| passage.doc_id == leak.doc_id);
    let mut aligned = vec![longest.clone()];
    aligned.extend(
        same_document
            .map(AlignedPassage::of)
            .filter(|passage| *passage != longest),
    );
    Passage {
        prompt: leak.sample.prompt.clone(),
        generation: leak.sample.generation.clone(),
        document: document.to_owned(),
        aligned,
        cell: match leak.cell.data.checkpoint {
            Some(checkpoint) => format!("{}, {checkpoint}", leak.cell.data.cell.name),
            None => leak.cell.data.cell.name.clone(),
        },
        strategy: leak.sample.strategy.clone(),
        sample_id: leak.sample.id,
    }
}
