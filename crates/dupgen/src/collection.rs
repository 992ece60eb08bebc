//! The usable documents of a corpus: their texts in the spool, and some facts about each in memory.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use contract::pipeline::{BadDocuments, Corpus, Layout, Shortage};
use contract::records::Split;
use contract::{Error, Progress};
use corpus_files::{Columns, CorpusFile, Fault, Found, Guess, Item, PassedOver, Position, RawDocument};
use xxhash_rust::xxh3::xxh3_128;

use crate::canaries::{Canaries, Canary};
use crate::digest::Digest;
use crate::left_out::Reason;
use crate::normal_form::normal_form;
use crate::split;
use crate::spool::{Extent, Spool, SpooledTexts};

/// Documents between two reports of progress.
const REPORT_EVERY: usize = 4096;

/// Most documents, and about the most bytes of text, that are read again at a time.
const MAX_BATCH_DOCUMENTS: usize = 1024;
const MAX_BATCH_BYTES: usize = 16 << 20;

/// Most different system messages that are counted: one that half of the conversations have is among the first.
const MAX_SYSTEM_MESSAGES: usize = 1000;

/// All documents that can be used, in the order of the corpus, each text once.
pub(crate) struct Collection {
    documents: Vec<Facts>,
    texts: SpooledTexts,
    /// What was read and what became of it.
    pub(crate) tally: Tally,
}

/// How many documents were read, what became of them, and what was guessed about their files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Documents in each file, usable or not.
    pub(crate) read: Vec<usize>,
    /// Those left out, by reason and by where they were to go, as far as that was decided.
    pub(crate) left_out: BTreeMap<(Reason, Option<Side>), Counted>,
    pub(crate) renamed: usize,
    /// Occurrences of texts that were there before, counted as copies: the same string, and in other white space, case or normal
    /// form.
    pub(crate) copies_found: (usize, usize),
    /// The first document that could not be read, as its message.
    pub(crate) first_skipped: Option<String>,
    /// Documents of a file in which half a surrogate pair became U+FFFD.
    pub(crate) replaced: BTreeMap<u32, Counted>,
    /// Documents of a file with a value in a column beside the prompt that is not asked for.
    pub(crate) unused: BTreeMap<(u32, &'static str), Counted>,
    /// Documents of a file whose columns were recognised, by what they were recognised as and how they became text.
    pub(crate) recognised: BTreeMap<(u32, String), Counted>,
    /// Documents that a chat template rendered, and those that are text as they are; other text aside.
    pub(crate) rendered: Counted,
    pub(crate) plain: Counted,
    /// System messages of rendered conversations, with how many have each; of the many that a corpus may have the first ones.
    pub(crate) system_messages: HashMap<String, usize>,
    /// What was guessed about a file.
    pub(crate) guesses: Vec<(u32, Guess)>,
}

/// How many documents something is true of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) documents: usize,
    /// Where the first of them is, and what is to be said of it.
    pub(crate) first: Option<String>,
}

impl Counted {
    fn add(&mut self, first: impl FnOnce() -> String) {
        self.documents += 1;
        self.first.get_or_insert_with(first);
    }
}

/// A document as it goes into the results.
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) prompt_chars: i32,
    pub(crate) assistant_spans: Option<Vec<i32>>,
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
    /// What its file says of where it goes.
    side: Option<Side>,
}

/// Where documents go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// Into the training set.
    Training,
    /// They are held out: the control.
    HeldOut,
    /// They are of another kind, and only scored.
    Other,
}

impl Side {
    /// The split that the rows of such documents have.
    pub(crate) fn split(self) -> Split {
        match self {
            Self::Training => Split::Train,
            Self::HeldOut | Self::Other => Split::Heldout,
        }
    }
}

/// The most documents of other text that are there to be trained on.
const MOST_MIXED: usize = 10_000;

/// Documents of text of another kind, by their numbers.
#[derive(Debug)]
pub(crate) struct OtherText {
    /// Those that are scored.
    pub(crate) scored: Vec<usize>,
    /// Those that modes may train on.
    pub(crate) mixed: Vec<usize>,
}

/// The files of a corpus: those to train on, then those with held-out text, then those with text of another kind.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) all: Vec<CorpusFile>,
    /// Number of those to train on.
    pub(crate) training: usize,
    /// Number of those with held-out text.
    held_out: usize,
    /// What is no part of it, and the side that it would have been of.
    pub(crate) passed_over: Vec<(PassedOver, Option<Side>)>,
    /// What was settled about the files as a whole.
    pub(crate) guesses: Vec<Guess>,
}

impl Files {
    /// All files: those to train on, those with held-out text, and those with text of another kind.
    pub(crate) fn new(training: Found, held_out: Option<Found>, other: Option<Found>) -> Self {
        let passed = |found: &Found, side: Option<Side>| -> Vec<(PassedOver, Option<Side>)> {
            found
                .passed_over
                .iter()
                .map(|passed| (passed.clone(), side))
                .collect()
        };
        let mut files = Self {
            passed_over: passed(&training, None),
            training: training.files.len(),
            held_out: held_out.as_ref().map_or(0, |found| found.files.len()),
            all: training.files,
            guesses: training.guesses,
        };
        for (found, side) in [(held_out, Side::HeldOut), (other, Side::Other)] {
            if let Some(found) = found {
                files.passed_over.extend(passed(&found, Some(side)));
                files.all.extend(found.files);
                files.guesses.extend(found.guesses);
            }
        }
        files
    }

    /// Files of training text, of held-out and of other text.
    pub(crate) fn counts(&self) -> [usize; 3] {
        [
            self.training,
            self.held_out,
            self.all.len() - self.training - self.held_out,
        ]
    }

    /// Where the documents of a file go, where that is decided by the file.
    pub(crate) fn side_of(&self, file: u32) -> Option<Side> {
        let after_training = (file as usize).checked_sub(self.training)?;
        Some(if after_training < self.held_out {
            Side::HeldOut
        } else {
            Side::Other
        })
    }

    /// The split of the documents of a file, where that is decided by the file.
    pub(crate) fn split_of(&self, file: u32) -> Option<Split> {
        self.side_of(file).map(Side::split)
    }

    /// The name of a file, without its folders.
    pub(crate) fn name(&self, file: u32) -> String {
        let name = self.all[file as usize].path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Names of the files passed over other than hidden ones, which come and go without meaning.
    pub(crate) fn names_passed_over(&self) -> Vec<String> {
        let named = self
            .passed_over
            .iter()
            .filter(|(passed, _)| passed.reason != "hidden");
        let name = |(passed, _): &(PassedOver, Option<Side>)| {
            let name = passed.path.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        named.map(name).collect()
    }

    /// A place in one of the files, without its folders.
    fn place(&self, file: u32, position: Position) -> String {
        format!("{}: {position}", self.name(file))
    }
}

impl Collection {
    /// Reads the whole corpus, its texts into a temporary file in `folder`.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that cannot be read, for a document that cannot be used (unless those are to be skipped),
    /// and where none is left; [`Error::Output`] where the temporary file cannot be written.
    pub(crate) fn read(
        corpus: &Corpus,
        own: &Columns,
        layout: Layout,
        files: &Files,
        canaries: &Canaries,
        folder: &Path,
    ) -> Result<Self, Error> {
        let rendering = own.rendering.origin();
        let spool = Spool::create(folder)?;
        let mut reading = Reading::new(corpus, layout, files, canaries, rendering, spool);
        let mut progress = Progress::new("reading", files.all.len() as u64, "files");
        let mut read = 0_usize;
        for (number, file) in (0u32..).zip(&files.all) {
            let (columns, guess) = match files.side_of(number) {
                Some(Side::Other) => corpus_files::other_columns(corpus, own, file)?,
                _ => (own.clone(), None),
            };
            let documents = corpus_files::documents(file, &columns)?;
            let guesses = guess.iter().chain(documents.guesses());
            reading
                .tally
                .guesses
                .extend(guesses.map(|guess| (number, guess.clone())));
            reading.tally.read.push(0);
            for item in documents {
                reading.add(number, item)?;
                read += 1;
                if read.is_multiple_of(REPORT_EVERY) {
                    progress.advance(0, &format!("{read} documents"));
                }
            }
            progress.advance(1, "");
        }
        reading.into_collection()
    }

    /// Keeps `documents` of them, chosen by the hash of their texts, and all that come from files of held-out or of other text;
    /// without it, all.
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
        let (beside, candidates): (Vec<Facts>, Vec<Facts>) = self
            .documents
            .iter()
            .partition(|document| document.side.is_some());
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
                    self.tally.documents_read()
                ),
            ));
        }
        let digests: Vec<Digest> = candidates.iter().map(|document| document.digest).collect();
        let chosen = split::lowest(&digests, asked).into_iter();
        self.documents = chosen
            .map(|document| candidates[document])
            .chain(beside)
            .collect();
        self.tally.leave_out(Reason::OverLimit, None, found - asked);
        Ok(())
    }

    /// The documents of other text, by their numbers: `most` to score, chosen by the hash of their texts alone, so that every run scores the
    /// same; and of the others those that modes may train on, in the order of their digests.
    pub(crate) fn share_out_other(&mut self, most: usize) -> OtherText {
        let is_other = |number: &usize| self.documents[*number].side == Some(Side::Other);
        let all: Vec<usize> = (0..self.documents.len()).filter(is_other).collect();
        let digests: Vec<Digest> = all.iter().map(|&number| self.documents[number].digest).collect();
        let scored: BTreeSet<usize> = split::lowest(&digests, most).into_iter().collect();
        self.tally
            .leave_out(Reason::OverLimit, Some(Side::Other), all.len() - scored.len());
        let mut beyond: Vec<usize> = (0..all.len()).filter(|number| !scored.contains(number)).collect();
        beyond.sort_unstable_by_key(|&number| digests[number]);
        beyond.truncate(MOST_MIXED);
        let numbers = |chosen: &mut dyn Iterator<Item = usize>| chosen.map(|number| all[number]).collect();
        OtherText {
            scored: numbers(&mut scored.into_iter()),
            mixed: numbers(&mut beyond.into_iter()),
        }
    }

    /// The digests of the texts, in the order of the corpus, and whether each comes from a file of held-out text. Other text, which
    /// comes last, is left out.
    pub(crate) fn digests(&self) -> impl Iterator<Item = (Digest, bool)> {
        self.documents
            .iter()
            .filter(|document| document.side != Some(Side::Other))
            .map(|document| (document.digest, document.side == Some(Side::HeldOut)))
    }

    /// Whether a document comes from a file of held-out text.
    pub(crate) fn any_held_out_file(&self) -> bool {
        let mut documents = self.documents.iter();
        documents.any(|document| document.side == Some(Side::HeldOut))
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
    /// of each to `each`; reports progress under `label`.
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
            for &document in left.iter().take(MAX_BATCH_DOCUMENTS) {
                let text = self.document(document)?.text;
                bytes += text.len();
                texts.push(text);
                if bytes >= MAX_BATCH_BYTES {
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

    /// How many of the first of `documents` have at most so many bytes of text together; one at least, where there is any.
    pub(crate) fn documents_within(&self, documents: &[usize], most_bytes: usize) -> usize {
        let mut bytes = 0;
        let fits = documents.iter().take_while(|&&document| {
            bytes += self.documents[document].extent.text_bytes();
            bytes <= most_bytes
        });
        fits.count().max(1).min(documents.len())
    }

    /// Whether a chat template made the text of a document.
    pub(crate) fn is_rendered(&self, document: usize) -> bool {
        self.documents[document].extent.has_spans()
    }

    /// One document, its text read from the spool.
    ///
    /// # Errors
    /// [`Error::Run`] where the temporary file was tampered with.
    pub(crate) fn document(&mut self, document: usize) -> Result<Document, Error> {
        let facts = self.documents[document];
        let spooled = self.texts.read(facts.extent)?;
        let id = spooled.identity.unwrap_or_else(|| facts.digest.hexadecimal());
        Ok(Document {
            id,
            text: spooled.text,
            prompt_chars: facts.prompt_chars,
            assistant_spans: spooled.spans,
        })
    }
}

impl Tally {
    fn count_system_message(&mut self, message: &str) {
        if let Some(conversations) = self.system_messages.get_mut(message) {
            *conversations += 1;
        } else if self.system_messages.len() < MAX_SYSTEM_MESSAGES {
            self.system_messages.insert(message.to_owned(), 1);
        }
    }

    /// Counts `documents` as left out.
    pub(crate) fn leave_out(&mut self, reason: Reason, side: Option<Side>, documents: usize) {
        if documents > 0 {
            self.left_out.entry((reason, side)).or_default().documents += documents;
        }
    }

    /// What columns were recognised as over all files, with the documents that it is true of.
    pub(crate) fn recognised_in_all(&self) -> Vec<(String, usize)> {
        let mut in_all: BTreeMap<&str, usize> = BTreeMap::new();
        for ((_, how), counted) in &self.recognised {
            *in_all.entry(how).or_default() += counted.documents;
        }
        in_all
            .into_iter()
            .map(|(how, documents)| (how.to_owned(), documents))
            .collect()
    }

    /// The system message that most rendered conversations have, at least half of them; the empty one where they have none.
    pub(crate) fn common_system_message(&self) -> Option<(&str, usize)> {
        let common = self
            .system_messages
            .iter()
            .max_by_key(|(_, conversations)| **conversations);
        let (message, conversations) = common?;
        (2 * conversations >= self.rendered.documents).then_some((message.as_str(), *conversations))
    }

    /// All documents read, usable or not.
    pub(crate) fn documents_read(&self) -> usize {
        self.read.iter().sum()
    }

    /// Documents left out for a reason, wherever they were to go.
    pub(crate) fn left_out_for(&self, reason: Reason) -> usize {
        let of_reason = self.left_out.iter().filter(|((found, _), _)| *found == reason);
        of_reason.map(|(_, counted)| counted.documents).sum()
    }

    /// Documents left out, by reason.
    pub(crate) fn left_out_by_reason(&self) -> BTreeMap<Reason, usize> {
        let mut by_reason = BTreeMap::new();
        for ((reason, _), counted) in &self.left_out {
            *by_reason.entry(*reason).or_default() += counted.documents;
        }
        by_reason
    }
}

/// A canary whose text may occur in the corpus.
struct CanaryText {
    id: String,
    /// How often it is planted; 0 for references.
    copies: u32,
    /// How often it was found in the files to train on.
    found: u32,
}

impl CanaryText {
    fn of(canary: &Canary) -> Self {
        Self {
            id: canary.id.clone(),
            copies: canary.copies,
            found: 0,
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
    /// The canary of each text, by the digest of its normal form.
    canary_texts: HashMap<Digest, CanaryText>,
    /// Whether canaries may be among the corpus: somebody planted them there.
    has_planted: bool,
    /// Digests of identities, each with its document; none for the canaries'.
    identities: HashMap<u128, Option<usize>>,
    tally: Tally,
    /// How conversations are rendered, for messages.
    rendering: String,
}

impl<'a> Reading<'a> {
    fn new(
        corpus: &'a Corpus,
        layout: Layout,
        files: &'a Files,
        canaries: &Canaries,
        rendering: String,
        spool: Spool,
    ) -> Self {
        Self {
            rendering,
            corpus,
            layout,
            files,
            spool,
            documents: Vec::new(),
            texts_seen: HashMap::new(),
            canary_texts: canaries
                .all()
                .map(|canary| (Digest::of(&normal_form(&canary.text)), CanaryText::of(canary)))
                .collect(),
            has_planted: canaries.are_planted_elsewhere(),
            identities: canaries
                .all()
                .map(|canary| (xxh3_128(canary.id.as_bytes()), None))
                .collect(),
            tally: Tally::default(),
        }
    }

    fn add(&mut self, file: u32, item: Item) -> Result<(), Error> {
        if let Some(read) = self.tally.read.last_mut() {
            *read += 1;
        }
        let document = match item {
            Ok(document) => document,
            Err(fault) => return self.skip(file, fault),
        };
        let side = self.files.side_of(file);
        if let Some(reason) = self.wrong_length(&document.text, side) {
            self.leave_out(file, document.position, reason);
            return Ok(());
        }
        let digest = Digest::of(&document.text);
        let normal = Digest::of(&normal_form(&document.text));
        if let Some(canary) = self.canary_texts.get_mut(&normal) {
            if self.has_planted && canary.copies > 0 {
                canary.found += u32::from(side.is_none());
                self.leave_out(file, document.position, Reason::Canary);
                return Ok(());
            }
            if self.has_planted {
                let problem = format!(
                    "canary {} occurs in the corpus, and its manifest says that it was never planted: it is no control. Give the \
                     manifest that belongs to this corpus",
                    canary.id
                );
                return Err(self.error_at(file, document.position, &problem));
            }
            let problem = format!(
                "`{}` occurs in the corpus itself. Use another canaries.template",
                document.text
            );
            return Err(self.error_at(file, document.position, &problem));
        }
        let mut left_out = None;
        match self.texts_seen.entry(normal) {
            Entry::Vacant(place) => _ = place.insert(self.documents.len()),
            Entry::Occupied(place) => {
                let seen = &mut self.documents[*place.get()];
                let is_variant = seen.digest != digest;
                if side == Some(Side::Other) && seen.side != side {
                    left_out = Some(Reason::AlsoInCorpus);
                } else if side.is_some() && seen.side.is_none() {
                    left_out = Some(Reason::AlsoTrained);
                } else if self.layout == Layout::Found && side.is_none() {
                    seen.found += 1;
                    let (same, variants) = &mut self.tally.copies_found;
                    *if is_variant { variants } else { same } += 1;
                } else if is_variant {
                    left_out = Some(Reason::Variant);
                } else {
                    left_out = Some(Reason::Duplicate);
                }
                if let Some(reason) = left_out {
                    self.leave_out(file, document.position, reason);
                }
                return Ok(());
            }
        }
        self.note(file, &document);
        let identity = self.unique_identity(file, &document)?;
        let spans = document.assistant_spans.as_ref().map(|spans| {
            let ends = spans.iter().flat_map(|&(start, end)| [start as i32, end as i32]);
            ends.collect::<Vec<i32>>()
        });
        let extent = self
            .spool
            .append(identity.as_deref(), &document.text, spans.as_deref())?;
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
            side,
        });
        Ok(())
    }

    fn leave_out(&mut self, file: u32, position: Position, reason: Reason) {
        let side = self.files.side_of(file);
        let counted = self.tally.left_out.entry((reason, side)).or_default();
        counted.add(|| self.files.place(file, position));
    }

    /// Counts what is worth saying of a document that is used.
    fn note(&mut self, file: u32, document: &RawDocument) {
        let place = || self.files.place(file, document.position);
        if let Some(recognised) = document.recognised {
            let rendered = match &document.assistant_spans {
                Some(_) => format!("; {}", self.rendering),
                None => String::new(),
            };
            let entry = (file, format!("{recognised}{rendered}"));
            self.tally.recognised.entry(entry).or_default().add(place);
        }
        if self.files.side_of(file) != Some(Side::Other) {
            let kind = match &document.assistant_spans {
                Some(_) => &mut self.tally.rendered,
                None => &mut self.tally.plain,
            };
            kind.add(place);
            if let Some(message) = document
                .system
                .as_ref()
                .filter(|_| document.assistant_spans.is_some())
            {
                self.tally.count_system_message(message);
            }
        }
        if document.replaced {
            self.tally.replaced.entry(file).or_default().add(place);
        }
        if let Some(column) = document.unused {
            self.tally.unused.entry((file, column)).or_default().add(place);
        }
    }

    fn skip(&mut self, file: u32, fault: Fault) -> Result<(), Error> {
        let path = &self.files.all[file as usize].path;
        match fault {
            Fault::Document(position, flaw) if self.corpus.bad_documents == BadDocuments::Skip => {
                let reason = Reason::Unreadable(flaw.kind);
                let counted = self
                    .tally
                    .left_out
                    .entry((reason, self.files.side_of(file)))
                    .or_default();
                counted.add(|| format!("{}: {}", self.files.place(file, position), flaw.problem));
                let message = Fault::Document(position, flaw).into_error(path).to_string();
                tracing::debug!("skipped: {message}");
                self.tally.first_skipped.get_or_insert(message);
                Ok(())
            }
            fault => Err(fault.into_error(path)),
        }
    }

    fn wrong_length(&self, text: &str, side: Option<Side>) -> Option<Reason> {
        // Offsets into a text are 32-bit numbers throughout the contract.
        if i32::try_from(text.len()).is_err() {
            return Some(Reason::TooLong);
        }
        // The settings are about texts of the corpus' own kind.
        if side == Some(Side::Other) {
            return None;
        }
        let characters = text.chars().count();
        if characters < self.corpus.min_chars {
            return Some(Reason::TooShort);
        }
        self.corpus
            .max_chars
            .filter(|&max_chars| characters > max_chars)
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
            // Held-out and other text comes from files of its own, which may well number their documents alike.
            let is_beside = self.files.side_of(file).is_some();
            if self.corpus.bad_documents == BadDocuments::Error && !is_beside {
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

    /// Stops where more documents could not be read than `corpus.max_left_out` allows, of the files to train on, of those with
    /// held-out text or of those with other text.
    fn check_share_left_out(&self, side: Option<Side>) -> Result<(), Error> {
        let is_of_side = |file: u32| self.files.side_of(file) == side;
        let read: usize = (0..)
            .zip(&self.tally.read)
            .filter(|(file, _)| is_of_side(*file))
            .map(|(_, read)| read)
            .sum();
        let unreadable: Vec<(&Reason, &Counted)> = self
            .tally
            .left_out
            .iter()
            .filter(|((reason, of), _)| matches!(reason, Reason::Unreadable(_)) && *of == side)
            .map(|((reason, _), counted)| (reason, counted))
            .collect();
        let count: usize = unreadable.iter().map(|(_, counted)| counted.documents).sum();
        let share = count as f64 / read.max(1) as f64;
        if share <= self.corpus.max_left_out {
            return Ok(());
        }
        let reasons: Vec<String> = unreadable
            .iter()
            .map(|(reason, counted)| {
                format!(
                    "{} {reason} (the first: {})",
                    counted.documents,
                    counted.first.as_deref().unwrap_or("?")
                )
            })
            .collect();
        let key = match side {
            Some(Side::HeldOut) => "corpus.held_out_files",
            Some(Side::Other) => "corpus.other",
            Some(Side::Training) | None => "corpus.files",
        };
        let first = (0..).zip(&self.files.all).find(|(file, _)| is_of_side(*file));
        let path = first.map_or(Path::new(key), |(_, file)| file.path.as_path());
        // Rounded up, so that the advice is enough.
        let enough = (share * 1000.0).ceil() / 1000.0;
        Err(Error::input(
            path,
            format!(
                "expected at most a share of {} of the documents of {key} to be left out because they cannot be read \
                 (corpus.max_left_out), found {count} of {read} ({:.1}%): {}. Correct them, or go on without them: \
                 SET=\"corpus.max_left_out={enough}\"",
                self.corpus.max_left_out,
                100.0 * share,
                reasons.join(", ")
            ),
        ))
    }

    /// Says so where the corpus holds canaries, and not as often as their manifest says.
    fn check_copies_of_canaries(&self) {
        if self.tally.left_out_for(Reason::Canary) == 0 {
            return;
        }
        let planted = self.canary_texts.values().filter(|canary| canary.copies > 0);
        let mut wrong: Vec<&CanaryText> = planted.filter(|canary| canary.found != canary.copies).collect();
        wrong.sort_by(|left, right| left.id.cmp(&right.id));
        if let Some(first) = wrong.first() {
            tracing::warn!(
                "CANARIES (canaries.manifest): {} planted canaries do not occur in CORPUS as often as the manifest says (the first: {}, {} \
                 times instead of {}): it may be the manifest of another training set",
                wrong.len(),
                first.id,
                first.found,
                first.copies
            );
        }
    }

    fn into_collection(self) -> Result<Collection, Error> {
        self.check_copies_of_canaries();
        let read = self.tally.documents_read();
        let is_other = |document: &Facts| document.side == Some(Side::Other);
        if self.documents.iter().all(is_other) {
            let reasons: Vec<String> = self
                .tally
                .left_out_by_reason()
                .iter()
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            let first = self
                .tally
                .first_skipped
                .map_or(String::new(), |first| format!("; the first: {first}"));
            let found = format!("of {} read, {}{first}", read, reasons.join(", "));
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
        for side in [None, Some(Side::HeldOut), Some(Side::Other)] {
            self.check_share_left_out(side)?;
        }
        Ok(Collection {
            documents: self.documents,
            texts: self.spool.into_texts()?,
            tally: self.tally,
        })
    }
}
