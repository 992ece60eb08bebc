//! The usable documents of a corpus: their texts in the spool, and some facts about each in memory.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use contract::pipeline::{BadDocuments, Corpus, Layout, Shortage};
use contract::{Error, Progress};
use xxhash_rust::xxh3::xxh3_128;

use crate::canaries::Canaries;
use crate::digest::Digest;
use crate::ingest::{self, Columns, CorpusFile, Fault, Position, RawDocument, Reason};
use crate::normal_form::normal_form;
use crate::split;
use crate::spool::{Extent, Spool, SpooledTexts};

/// Documents between two remarks on progress.
const REMARK_EVERY: usize = 4096;

/// Most documents, and about the most bytes of text, that are read again at a time.
const BATCH_DOCUMENTS: usize = 1024;
const BATCH_BYTES: usize = 16 << 20;

/// All documents that can be used, in the order of the corpus, each text once.
pub(crate) struct Collection {
    documents: Vec<Facts>,
    texts: SpooledTexts,
    /// What was read and what became of it.
    pub(crate) tally: Tally,
}

/// How many documents were read, and how many were left out for which reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) read: usize,
    pub(crate) left_out: BTreeMap<Reason, usize>,
    pub(crate) renamed: usize,
    /// Occurrences of texts that were there before, counted as copies: the same string, and in other white space, case or normal
    /// form.
    pub(crate) copies_found: (usize, usize),
    /// The first fault that was skipped, as its message.
    pub(crate) first_skipped: Option<String>,
}

/// A document as it goes into the results.
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) prompt_chars: i32,
}

/// What is kept in memory of a document.
#[derive(Debug, Clone, Copy)]
struct Facts {
    digest: Digest,
    extent: Extent,
    prompt_chars: i32,
    file: u32,
    position: Position,
    /// How often the text occurs in the corpus.
    found: u32,
    /// Whether it comes from a file of held-out text.
    kept_back: bool,
}

/// The files of a corpus: those to train on, then those with held-out text.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) all: Vec<CorpusFile>,
    /// Number of those to train on.
    pub(crate) training: usize,
}

impl Collection {
    /// Reads the whole corpus, its texts into a temporary file in `folder`.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that cannot be read, for a document that cannot be used (unless those are to be skipped),
    /// and where none is left; [`Error::Output`] where the temporary file cannot be written.
    pub(crate) fn read(
        corpus: &Corpus,
        layout: Layout,
        files: &Files,
        canaries: &Canaries,
        folder: &Path,
    ) -> Result<Self, Error> {
        let columns = Columns::of(corpus);
        let mut reading = Reading::new(corpus, layout, files, canaries, Spool::create(folder)?);
        let mut progress = Progress::new("reading", files.all.len() as u64, "files");
        for (number, file) in (0u32..).zip(&files.all) {
            for item in ingest::documents(file, &columns)? {
                reading.add(number, item)?;
                if reading.tally.read.is_multiple_of(REMARK_EVERY) {
                    progress.advance(0, &format!("{} documents", reading.tally.read));
                }
            }
            progress.advance(1, "");
        }
        reading.into_collection()
    }

    /// Keeps `documents` of them, chosen by the hash of their texts, and all that come from files of held-out text; without
    /// it, all.
    ///
    /// # Errors
    /// [`Error::Input`] where there are fewer, unless that is to be accepted.
    pub(crate) fn limit(
        &mut self,
        documents: Option<usize>,
        shortage: Shortage,
        pipeline_file: &Path,
    ) -> Result<(), Error> {
        let Some(asked) = documents else { return Ok(()) };
        let (kept_back, candidates): (Vec<Facts>, Vec<Facts>) =
            self.documents.iter().partition(|document| document.kept_back);
        let found = candidates.len();
        if found < asked {
            if shortage == Shortage::Accept {
                tracing::warn!(
                    "corpus.documents asks for {asked} documents; going on with the {found} that there are"
                );
                return Ok(());
            }
            return Err(Error::input(
                pipeline_file,
                format!(
                    "corpus.documents: expected {asked} documents, found {found} that can be used of {} read. Ask for fewer, or \
                     set corpus.shortage = \"accept\"",
                    self.tally.read
                ),
            ));
        }
        let digests: Vec<Digest> = candidates.iter().map(|document| document.digest).collect();
        let chosen = split::lowest(&digests, asked).into_iter();
        self.documents = chosen
            .map(|document| candidates[document])
            .chain(kept_back)
            .collect();
        self.tally.leave_out(Reason::OverLimit, found - asked);
        Ok(())
    }

    /// The digests of the texts, in the order of the corpus, and whether each comes from a file of held-out text.
    pub(crate) fn digests(&self) -> impl Iterator<Item = (Digest, bool)> {
        self.documents
            .iter()
            .map(|document| (document.digest, document.kept_back))
    }

    /// Whether a document comes from a file of held-out text.
    pub(crate) fn any_kept_back(&self) -> bool {
        self.documents.iter().any(|document| document.kept_back)
    }

    /// How often the texts of some of the documents occur in the corpus, in the order given.
    pub(crate) fn found(&self, documents: &[usize]) -> Vec<u32> {
        documents
            .iter()
            .map(|&document| self.documents[document].found)
            .collect()
    }

    /// The digests of some of the documents, in the order given.
    pub(crate) fn digests_of(&self, documents: &[usize]) -> Vec<Digest> {
        documents
            .iter()
            .map(|&document| self.documents[document].digest)
            .collect()
    }

    /// Reads some of the documents again, in batches that are bounded in number and in bytes, and hands the numbers and the texts
    /// of each to `each`; tells the progress under `label`.
    ///
    /// # Errors
    /// [`Error::Run`] where the temporary file was tampered with, and what `each` returns.
    pub(crate) fn for_each_batch(
        &mut self,
        documents: &[usize],
        label: &str,
        mut each: impl FnMut(&[usize], &[String]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut progress = Progress::new(label, documents.len() as u64, "documents");
        let mut left = documents;
        while !left.is_empty() {
            let (mut texts, mut bytes) = (Vec::new(), 0);
            for &document in left.iter().take(BATCH_DOCUMENTS) {
                let text = self.document(document)?.text;
                bytes += text.len();
                texts.push(text);
                if bytes >= BATCH_BYTES {
                    break;
                }
            }
            let (batch, rest) = left.split_at(texts.len());
            each(batch, &texts)?;
            progress.advance(texts.len() as u64, "");
            left = rest;
        }
        Ok(())
    }

    /// One document, its text read from the spool.
    ///
    /// # Errors
    /// [`Error::Run`] where the temporary file was tampered with.
    pub(crate) fn document(&mut self, document: usize) -> Result<Document, Error> {
        let facts = self.documents[document];
        let (identity, text) = self.texts.read(facts.extent)?;
        let id = identity.unwrap_or_else(|| facts.digest.hexadecimal());
        Ok(Document {
            id,
            text,
            prompt_chars: facts.prompt_chars,
        })
    }
}

impl Tally {
    /// Counts `documents` as left out.
    pub(crate) fn leave_out(&mut self, reason: Reason, documents: usize) {
        if documents > 0 {
            *self.left_out.entry(reason).or_default() += documents;
        }
    }
}

/// A collection while the corpus is being read.
struct Reading<'a> {
    corpus: &'a Corpus,
    layout: Layout,
    files: &'a Files,
    spool: Spool,
    documents: Vec<Facts>,
    /// The document of each text, by the digest of its normal form.
    texts_seen: HashMap<Digest, usize>,
    canary_texts: HashSet<Digest>,
    /// Digests of identities, each with its document; none for the canaries'.
    identities: HashMap<u128, Option<usize>>,
    tally: Tally,
}

impl<'a> Reading<'a> {
    fn new(corpus: &'a Corpus, layout: Layout, files: &'a Files, canaries: &Canaries, spool: Spool) -> Self {
        Self {
            corpus,
            layout,
            files,
            spool,
            documents: Vec::new(),
            texts_seen: HashMap::new(),
            canary_texts: canaries
                .all()
                .map(|canary| Digest::of(&normal_form(&canary.text)))
                .collect(),
            identities: canaries
                .all()
                .map(|canary| (xxh3_128(canary.id.as_bytes()), None))
                .collect(),
            tally: Tally::default(),
        }
    }

    fn add(&mut self, file: u32, item: ingest::Item) -> Result<(), Error> {
        self.tally.read += 1;
        let document = match item {
            Ok(document) => document,
            Err(fault) => return self.skip(file, fault),
        };
        if let Some(reason) = self.wrong_length(&document.text) {
            self.tally.leave_out(reason, 1);
            return Ok(());
        }
        let digest = Digest::of(&document.text);
        let normal = Digest::of(&normal_form(&document.text));
        if self.canary_texts.contains(&normal) {
            let problem = format!(
                "`{}` occurs in the corpus itself. Use another canaries.template",
                document.text
            );
            return Err(self.error_at(file, document.position, &problem));
        }
        let kept_back = file as usize >= self.files.training;
        match self.texts_seen.entry(normal) {
            Entry::Vacant(place) => _ = place.insert(self.documents.len()),
            Entry::Occupied(place) => {
                let seen = &mut self.documents[*place.get()];
                let is_variant = seen.digest != digest;
                if kept_back && !seen.kept_back {
                    self.tally.leave_out(Reason::AlsoTrained, 1);
                } else if self.layout == Layout::Found && !kept_back {
                    seen.found += 1;
                    let (same, variants) = &mut self.tally.copies_found;
                    *if is_variant { variants } else { same } += 1;
                } else if is_variant {
                    self.tally.leave_out(Reason::Variant, 1);
                } else {
                    self.tally.leave_out(Reason::Duplicate, 1);
                }
                return Ok(());
            }
        }
        let identity = self.unique_identity(file, &document)?;
        let extent = self.spool.append(identity.as_deref(), &document.text)?;
        let RawDocument {
            prompt_chars,
            position,
            ..
        } = document;
        self.documents.push(Facts {
            digest,
            extent,
            prompt_chars: prompt_chars as i32,
            file,
            position,
            found: 1,
            kept_back,
        });
        Ok(())
    }

    fn skip(&mut self, file: u32, fault: Fault) -> Result<(), Error> {
        let path = &self.files.all[file as usize].path;
        match fault {
            Fault::Document(position, flaw) if self.corpus.bad_documents == BadDocuments::Skip => {
                self.tally.leave_out(flaw.reason, 1);
                let message = Fault::Document(position, flaw).into_error(path).to_string();
                tracing::debug!("skipped: {message}");
                self.tally.first_skipped.get_or_insert(message);
                Ok(())
            }
            fault => Err(fault.into_error(path)),
        }
    }

    fn wrong_length(&self, text: &str) -> Option<Reason> {
        // Offsets into a text are 32-bit numbers throughout the contract.
        if i32::try_from(text.len()).is_err() {
            return Some(Reason::TooLong);
        }
        let characters = text.chars().count();
        if characters < self.corpus.min_chars {
            return Some(Reason::TooShort);
        }
        self.corpus
            .max_chars
            .filter(|&most| characters > most)
            .map(|_| Reason::TooLong)
    }

    /// The document's identity, if it has one: its own, or with a number behind it where another text has that one already and
    /// bad documents are not to stop the run.
    fn unique_identity(&mut self, file: u32, document: &RawDocument) -> Result<Option<String>, Error> {
        let Some(identity) = &document.identity else {
            return Ok(None);
        };
        let mut unique = identity.clone();
        let mut number = 1;
        while let Some(holder) = self.identities.get(&xxh3_128(unique.as_bytes())) {
            // Held-out text comes from files of its own, which may well number their documents alike.
            let kept_back = file as usize >= self.files.training;
            if self.corpus.bad_documents == BadDocuments::Error && !kept_back {
                let holder = holder.map_or("a planted canary".to_owned(), |holder| self.place(holder));
                let problem = format!(
                    "column {}: expected a different identity for each text, found `{identity}` again, which is that of {holder}. \
                     Correct the corpus, leave corpus.identity out, or set corpus.bad_documents = \"skip\" to number them",
                    self.corpus.identity.as_deref().unwrap_or_default()
                );
                return Err(self.error_at(file, document.position, &problem));
            }
            number += 1;
            unique = format!("{identity}-{number}");
        }
        self.tally.renamed += usize::from(number > 1);
        self.identities
            .insert(xxh3_128(unique.as_bytes()), Some(self.documents.len()));
        Ok(Some(unique))
    }

    fn place(&self, document: usize) -> String {
        let Facts { file, position, .. } = self.documents[document];
        format!("{}, {position}", self.files.all[file as usize].path.display())
    }

    fn error_at(&self, file: u32, position: Position, problem: &str) -> Error {
        Error::input(
            &self.files.all[file as usize].path,
            format!("{position}: {problem}"),
        )
    }

    fn into_collection(self) -> Result<Collection, Error> {
        if self.documents.is_empty() {
            let reasons: Vec<String> = self
                .tally
                .left_out
                .iter()
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            let first = self
                .tally
                .first_skipped
                .map_or(String::new(), |first| format!("; the first: {first}"));
            let found = format!("of {} read, {}{first}", self.tally.read, reasons.join(", "));
            let file = self
                .files
                .all
                .first()
                .map_or(Path::new("corpus.files"), |file| &file.path);
            return Err(Error::input(
                file,
                format!("expected at least one document that can be used, found none: {found}"),
            ));
        }
        Ok(Collection {
            documents: self.documents,
            texts: self.spool.into_texts()?,
            tally: self.tally,
        })
    }
}
