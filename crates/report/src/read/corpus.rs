//! The documents that the cells of a run speak of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contract::records::{
    CorpusFact, CorpusFactKind, DocumentKind, HeldOutDocument, HeldOutRole, Split, TrainingInstance,
};
use contract::{Error, Provenance, parquet};

use super::CorpusFiles;

/// The identities of the training documents, canaries aside, by number of copies.
pub type TrainingDocuments = BTreeMap<i32, BTreeSet<String>>;

/// The documents of a corpus that the cells speak of, and how many there are in all.
#[derive(Debug, Default)]
pub struct Corpus {
    /// Documents by identity.
    pub documents: BTreeMap<String, CorpusDocument>,
    /// All training documents.
    pub training: Arc<TrainingDocuments>,
    /// Planted canaries.
    pub canaries: usize,
    /// References of canaries that were never planted, by format.
    pub references: BTreeMap<Option<i32>, usize>,
    /// The documents kept back.
    pub held_out: HeldOutCounts,
    /// Training documents that are conversations, as a chat template renders them.
    pub conversations: usize,
    /// Those with several answers of the assistant behind what is asked.
    pub with_several_answers: usize,
    /// How much text stands on either side.
    pub chars: TextSizes,
    /// What reading left out, guessed or changed; none where nobody wrote it down.
    pub facts: Option<Vec<CorpusFact>>,
    /// Where the training set came from; none where another program wrote it.
    pub origin: Option<Provenance>,
}

/// How many documents were kept back, canary references aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeldOutCounts {
    /// All of them.
    pub documents: usize,
    /// Those that choose checkpoint and learning rate.
    pub validation: usize,
    /// Those that choose nothing.
    pub test: usize,
    /// Near-duplicates of training documents; none where nobody looked for them.
    pub near_duplicates: Option<usize>,
}

/// Characters of text on either side of the split, each document once and canaries aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextSizes {
    /// Of training documents.
    pub training: u64,
    /// Of held-out documents.
    pub held_out: u64,
    /// Of held-out documents that are no near-duplicates of training documents.
    pub held_out_apart: u64,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusDocument {
    /// The whole text.
    pub text: String,
    /// Characters of its leading part that is prompt.
    pub prompt_chars: i32,
    /// Document, canary, or reference of a canary.
    pub kind: DocumentKind,
    /// Where it stands.
    pub split: Split,
    /// Copies in the training set; 0 for held-out documents.
    pub copies: i32,
    /// What a held-out document is for; none where nobody said.
    pub role: Option<HeldOutRole>,
    /// Whether it is held out and a near-duplicate of a training document: no control, and no non-member.
    pub near_duplicate: bool,
    /// Number of a canary's or reference's format.
    pub canary_format: Option<i32>,
}

impl Corpus {
    /// Streams the two files, keeping the text of the `wanted` documents only.
    pub(super) fn load(files: &CorpusFiles, wanted: &BTreeSet<&str>) -> Result<Self, Error> {
        let mut corpus = Self::default();
        corpus.load_training(files, wanted)?;
        corpus.load_held_out(files, wanted)?;
        corpus.origin = parquet::provenance(&files.train);
        corpus.facts = files.facts.as_deref().map(parquet::read_all).transpose()?;
        Ok(corpus)
    }

    fn load_training(&mut self, files: &CorpusFiles, wanted: &BTreeSet<&str>) -> Result<(), Error> {
        let mut training = TrainingDocuments::new();
        for batch in parquet::Reader::<TrainingInstance>::open(&files.train)? {
            for instance in batch?.into_iter().filter(|instance| instance.copy == 0) {
                if instance.kind == DocumentKind::Document {
                    self.chars.training += characters(&instance.text);
                    self.count_answers(&instance);
                    let alike = training.entry(instance.copies).or_default();
                    alike.insert(instance.doc_id.clone());
                } else {
                    self.canaries += 1;
                }
                if wanted.contains(instance.doc_id.as_str()) {
                    let document = CorpusDocument {
                        text: instance.text,
                        prompt_chars: instance.prompt_chars,
                        kind: instance.kind,
                        split: Split::Train,
                        copies: instance.copies,
                        role: None,
                        near_duplicate: false,
                        canary_format: instance.canary_format,
                    };
                    self.documents.insert(instance.doc_id, document);
                }
            }
        }
        self.training = Arc::new(training);
        Ok(())
    }

    fn count_answers(&mut self, instance: &TrainingInstance) {
        let Some(spans) = &instance.assistant_spans else {
            return;
        };
        self.conversations += 1;
        let answers = spans
            .as_chunks::<2>()
            .0
            .iter()
            .filter(|[_, end]| *end > instance.prompt_chars);
        self.with_several_answers += usize::from(answers.count() > 1);
    }

    fn load_held_out(&mut self, files: &CorpusFiles, wanted: &BTreeSet<&str>) -> Result<(), Error> {
        for batch in parquet::Reader::<HeldOutDocument>::open(&files.held_out)? {
            for held_out in batch? {
                if held_out.is_of_corpus() {
                    self.count_held_out(&held_out);
                }
                if held_out.kind == DocumentKind::CanaryReference {
                    *self.references.entry(held_out.canary_format).or_default() += 1;
                }
                if wanted.contains(held_out.doc_id.as_str()) {
                    let document = CorpusDocument {
                        text: held_out.text,
                        prompt_chars: held_out.prompt_chars,
                        kind: held_out.kind,
                        split: Split::Heldout,
                        copies: 0,
                        role: held_out.role,
                        near_duplicate: held_out.near_duplicate_of.is_some(),
                        canary_format: held_out.canary_format,
                    };
                    self.documents.insert(held_out.doc_id, document);
                }
            }
        }
        Ok(())
    }

    fn count_held_out(&mut self, document: &HeldOutDocument) {
        let near_duplicate = document.near_duplicate_of.is_some();
        let chars = characters(&document.text);
        self.chars.held_out += chars;
        self.chars.held_out_apart += if near_duplicate { 0 } else { chars };
        let counts = &mut self.held_out;
        counts.documents += 1;
        counts.validation += usize::from(document.role == Some(HeldOutRole::Validation));
        counts.test += usize::from(document.role == Some(HeldOutRole::Test));
        if near_duplicate || document.shared_8grams.is_some() {
            *counts.near_duplicates.get_or_insert(0) += usize::from(near_duplicate);
        }
    }

    /// Whether it is a training document, and no canary.
    pub fn is_trained(&self, doc_id: &str) -> bool {
        self.training.values().any(|alike| alike.contains(doc_id))
    }

    /// How many training documents there are, canaries aside.
    pub fn training_documents(&self) -> usize {
        self.training.values().map(BTreeSet::len).sum()
    }

    /// The fewest references that a format of canaries has; none without any.
    pub fn fewest_references(&self) -> Option<u64> {
        self.references.values().min().map(|&strings| strings as u64)
    }

    /// The facts of one kind; empty where nobody wrote any down.
    pub fn facts_of(&self, kind: CorpusFactKind) -> impl Iterator<Item = &CorpusFact> {
        self.facts.iter().flatten().filter(move |fact| fact.fact == kind)
    }

    /// Documents of the corpus' own kind that the facts of one kind are about, added up; `None` where there is no such fact.
    pub fn documents_of(&self, kind: CorpusFactKind) -> Option<u64> {
        self.facts_of(kind)
            .filter(|fact| !is_of_other_text(fact))
            .filter_map(|fact| u64::try_from(fact.documents?).ok())
            .reduce(|sum, documents| sum + documents)
    }

    /// Documents that were left out because they could not be read, and not because the settings or another document said so.
    pub fn unreadable_documents(&self) -> u64 {
        let left_out = self.facts_of(CorpusFactKind::LeftOut);
        left_out
            .filter(|fact| !is_by_choice(fact))
            .filter_map(|fact| u64::try_from(fact.documents?).ok())
            .sum()
    }

    /// Held-out documents that were left out because they occur in the training text too.
    pub fn also_trained_documents(&self) -> u64 {
        let left_out = self.facts_of(CorpusFactKind::LeftOut);
        left_out
            .filter(|fact| fact.split == Some(Split::Heldout) && is_also_trained(fact))
            .filter_map(|fact| u64::try_from(fact.documents?).ok())
            .sum()
    }

    /// Whether there is held-out text apart from near-duplicates of training documents.
    pub fn has_text_apart(&self) -> bool {
        self.chars.held_out_apart > 0
    }

    /// Whether there are held-out documents that are near-duplicates of training documents.
    pub fn has_near_duplicates(&self) -> bool {
        self.held_out.near_duplicates.is_some_and(|count| count > 0)
    }
}

/// Whether a document was readable and left out all the same: by its length, as a duplicate, or over the number asked for. Other
/// programs may give other reasons; what is not known counts as unreadable.
fn is_by_choice(fact: &CorpusFact) -> bool {
    const CHOICES: [&str; 6] = ["short", "long", "duplicate", "variant", "canaries", "over"];
    let reason = plain_reason(fact);
    is_also_trained(fact) || CHOICES.iter().any(|choice| reason.contains(choice))
}

/// Whether it is about text of another kind (`corpus.other`), which is scored and nothing else.
fn is_of_other_text(fact: &CorpusFact) -> bool {
    fact.reason
        .as_deref()
        .is_some_and(|reason| reason.ends_with("other text") || reason.ends_with("(other text)"))
}

fn is_also_trained(fact: &CorpusFact) -> bool {
    let reason = plain_reason(fact);
    reason.contains("train") || reason.contains("corpus.files")
}

/// A reason in words, whether it is written as words or as a name.
fn plain_reason(fact: &CorpusFact) -> String {
    let reason = fact.reason.as_deref().unwrap_or_default();
    reason.to_lowercase().replace(['_', '-'], " ")
}

fn characters(text: &str) -> u64 {
    text.chars().count() as u64
}
