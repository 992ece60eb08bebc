//! A look at a corpus before anything is tuned on it: nothing is trained, and it takes seconds to minutes.
//!
//! `dupgen` has read the corpus (layout `found`), counted copies and compared held-out text with it; where a model is known, the
//! extractor has had it score some of the documents before tuning. [`run`] reads what they wrote and says of each document
//!
//! - how often it occurs, and how many others hold at least half of its wording ([`word_ngrams`]),
//! - which personal details patterns find in it ([`personal_details`]),
//! - what the model's context cuts off, and how many of its tokens carry loss,
//! - how much it is at risk of being given back ([`measures::risk`]), by its copies, near copies and shared passages, and by its loss under
//!   the model before tuning, or under zlib;
//!
//! and of each held-out document how much of it training documents hold.
//!
//! The results are `check.parquet` ([`contract::records::DocumentCheck`]), a table, and a page that shows no text beyond the beginnings of
//! the documents that it lists.
//!
//! Texts are read batch by batch; what stays in memory are some 300 bytes a document and some 24 bytes for each of its words.

mod arguments;
mod near_copies;
mod page;
mod risk;
mod summary;
mod texts;
mod tokens;
mod untuned_loss;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use contract::pipeline::{Check, LossOn};
use contract::records::{CorpusFact, DocumentCheck, Split};
use contract::{Error, Progress, Provenance, files, parquet};
use measures::risk::zlib_bytes;
use personal_details::DetailKind;
use rayon::prelude::*;
use serde::Serialize;
use word_ngrams::NgramIndex;

pub use arguments::Arguments;
pub use summary::Summary;

use near_copies::Wording;
use texts::{CorpusDocument, HeldOut};
use tokens::TokenCounter;

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// The results were there already, made from the same files and settings: their folder, and the table.
    UpToDate(PathBuf, String),
    /// The results were written: their folder, and what they come to.
    Done(PathBuf, Box<Summary>),
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, table) = match self {
            Self::UpToDate(folder, table) => (folder, table.clone()),
            Self::Done(folder, summary) => (folder, summary.to_string()),
        };
        write!(formatter, "{table}\n{}", folder.join(PAGE).display())
    }
}

const RECORDS: &str = "check.parquet";
const TABLE: &str = "table.txt";
const PAGE: &str = "check.html";

/// What the results depend on, beside the files.
#[derive(Serialize)]
struct Settings<'a> {
    check: &'a Check,
    context: Option<usize>,
    loss_on: LossOn,
}

/// Looks at the corpus in a folder, and writes `check.parquet`, `table.txt` and `check.html`.
///
/// # Errors
/// [`Error::Input`] for files that cannot be used, [`Error::Configuration`] where nothing says how much of a text training reads,
/// [`Error::Output`] where the results cannot be written.
pub fn run(arguments: &Arguments) -> Result<Outcome, Error> {
    let pipeline = arguments.stage.pipeline()?;
    let check = pipeline.check.clone().unwrap_or_default();
    let counter = match &arguments.model {
        Some(folder) => Some(TokenCounter::open(folder, &pipeline)?),
        None => None,
    };
    let (_, loss_on) = pipeline.trained_tokens();
    let settings = Settings {
        check: &check,
        context: counter.as_ref().map(TokenCounter::context),
        loss_on,
    };
    let provenance = provenance(arguments, &settings)?;
    let folder = &arguments.stage.out;
    let [records, table, page] = [RECORDS, TABLE, PAGE].map(|name| folder.join(name));
    let is_done = !arguments.stage.force && provenance.is_done(&[&records]) && page.is_file();
    if is_done && let Ok(table) = std::fs::read_to_string(&table) {
        return Ok(Outcome::UpToDate(folder.clone(), table.trim_end().to_owned()));
    }
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.stage.threads())
        .build()
        .map_err(|error| Error::Run(format!("cannot start threads: {error}")))?;
    let documents = threads.install(|| looked_at(arguments, counter.as_ref(), loss_on))?;
    let facts = parquet::read_all::<CorpusFact>(&arguments.corpus.join("corpus.parquet"))?;
    let summary = Summary::of(
        &documents,
        &facts,
        settings.context,
        loss_on,
        arguments.scores.is_some(),
    );
    let listed: Vec<&DocumentCheck> = documents
        .iter()
        .filter(|document| document.split == Split::Train && document.risk.is_some())
        .take(check.listed)
        .collect();
    let excerpts = excerpts(arguments, &listed, check.excerpt_chars)?;
    let title = if check.title.is_empty() {
        &pipeline.name
    } else {
        &check.title
    };
    let html = page::write(
        title,
        &summary,
        &listed,
        &excerpts,
        check.excerpt_chars,
        &provenance,
    );
    files::remove_if_present(&records)?;
    files::write_atomic(&page, html.as_bytes())?;
    files::write_atomic(&table, format!("{summary}\n").as_bytes())?;
    // The file that everything is known by comes last.
    parquet::write_all(&records, &provenance, &documents)?;
    Ok(Outcome::Done(folder.clone(), Box::new(summary)))
}

fn provenance(arguments: &Arguments, settings: &Settings<'_>) -> Result<Provenance, Error> {
    let mut provenance = Provenance::new("check").with_configuration(settings)?;
    for name in ["train.parquet", "heldout.parquet", "corpus.parquet"] {
        provenance = provenance.with_input(name, &arguments.corpus.join(name))?;
    }
    if let Some(folder) = &arguments.model {
        provenance = provenance.with_input("tokenizer.json", &folder.join("tokenizer.json"))?;
    }
    if let Some(scores) = &arguments.scores {
        provenance = provenance.with_input("scores.parquet", scores)?;
    }
    Ok(provenance)
}

/// A row for each document: those to train on by their risk, then those held out.
fn looked_at(
    arguments: &Arguments,
    counter: Option<&TokenCounter>,
    loss_on: LossOn,
) -> Result<Vec<DocumentCheck>, Error> {
    let corpus = &arguments.corpus;
    let losses = match &arguments.scores {
        Some(file) => untuned_loss::read(file)?,
        None => HashMap::new(),
    };
    let mut progress = Progress::new("reading", texts::instances(corpus)?, "instances");
    let mut index = NgramIndex::default();
    let mut documents: Vec<DocumentCheck> = Vec::new();
    texts::for_each_training_batch(corpus, |batch| {
        let rows = batch
            .par_iter()
            .map(|text| document(text, Split::Train, counter, loss_on));
        documents.par_extend(rows.collect::<Result<Vec<_>, Error>>()?);
        progress.advance(batch.iter().map(|text| text.copies as u64).sum(), "");
        let texts: Vec<String> = batch.into_iter().map(|text| text.text).collect();
        index.extend(&texts);
        Ok(())
    })?;
    let copies: Vec<i32> = documents.iter().map(|document| document.copies).collect();
    let wording = Wording::new(index, &copies);
    compare(corpus, &wording, &mut documents, loss_on)?;
    let mut held_out: Vec<DocumentCheck> = Vec::new();
    texts::for_each_held_out_batch(corpus, |batch| {
        let rows = batch
            .par_iter()
            .map(|document| held_out_document(document, &wording, counter, loss_on));
        held_out.par_extend(rows.collect::<Result<Vec<_>, Error>>()?);
        Ok(())
    })?;
    risk::rank(&mut documents, &losses)?;
    for document in &mut held_out {
        let key = (Split::Heldout, document.doc_id.clone());
        document.untuned_loss = losses.get(&key).map(|&loss| loss as f32);
    }
    documents.extend(held_out);
    Ok(documents)
}

/// What a document's own text says.
fn document(
    text: &CorpusDocument,
    split: Split,
    counter: Option<&TokenCounter>,
    loss_on: LossOn,
) -> Result<DocumentCheck, Error> {
    let target = text.target(loss_on);
    let counts = counter.map(|counter| counter.count(text)).transpose()?;
    let details = personal_details::find(&text.text);
    let of_kind = |kind: DetailKind| details.iter().filter(|(found, _)| *found == kind).count() as i32;
    Ok(DocumentCheck {
        doc_id: text.doc_id.clone(),
        split,
        copies: text.copies,
        chars: text.text.chars().count() as i32,
        near_copies: None,
        near_copies_at_least: false,
        nearest_doc_id: None,
        nearest_share: None,
        shared_8grams: None,
        longest_shared_words: None,
        numbers: of_kind(DetailKind::Number),
        names: of_kind(DetailKind::Name),
        emails: of_kind(DetailKind::Email),
        phones: of_kind(DetailKind::Phone),
        tokens: counts.map(|counts| counts.all as i32),
        read_tokens: counts.map(|counts| counts.read as i32),
        loss_tokens: counts.map(|counts| counts.loss as i32),
        zlib_bits_per_char: bits_per_char(&target),
        untuned_loss: None,
        exposure_bits: None,
        risk: None,
        risk_by: None,
    })
}

/// Bits a character of the pieces of a text under zlib; none where there are no characters.
fn bits_per_char(pieces: &[&str]) -> Option<f32> {
    let text = pieces.concat();
    let characters = text.chars().count();
    (characters > 0).then(|| (8.0 * zlib_bytes(&text) as f64 / characters as f64) as f32)
}

/// Adds what other documents hold of each training document. They come in the order in which they were indexed.
fn compare(
    corpus: &std::path::Path,
    wording: &Wording,
    documents: &mut [DocumentCheck],
    loss_on: LossOn,
) -> Result<(), Error> {
    let mut progress = Progress::new("comparing", documents.len() as u64, "documents");
    let names: Vec<String> = documents.iter().map(|document| document.doc_id.clone()).collect();
    let mut first = 0;
    texts::for_each_training_batch(corpus, |batch| {
        let number = batch.len();
        let Some(rows) = documents.get_mut(first..first + number) else {
            return Err(Error::input(
                corpus.join("train.parquet"),
                "changed while it was read",
            ));
        };
        let work = rows.par_iter_mut().zip(&batch).enumerate();
        work.try_for_each(|(place, (row, text))| {
            let near = wording.near_copies(&text.text, first + place);
            row.near_copies = near.documents.map(|documents| documents as i32);
            row.near_copies_at_least = near.at_least;
            row.nearest_doc_id = near.nearest.map(|(nearest, _)| names[nearest].clone());
            row.nearest_share = near.nearest.map(|(_, share)| share);
            row.shared_8grams = near.shared;
            let bits = wording
                .exposure_bits(&text.target(loss_on), text.copies)
                .map_err(|error| Error::Run(format!("document {}: {error}", row.doc_id)))?;
            row.exposure_bits = Some(bits as f32);
            Ok::<_, Error>(())
        })?;
        first += number;
        progress.advance(number as u64, "");
        Ok(())
    })
}

fn held_out_document(
    held_out: &HeldOut,
    wording: &Wording,
    counter: Option<&TokenCounter>,
    loss_on: LossOn,
) -> Result<DocumentCheck, Error> {
    let text = &held_out.text;
    let nearest_share = held_out.near_duplicate_of.as_ref().and(held_out.shared_8grams);
    Ok(DocumentCheck {
        nearest_doc_id: held_out.near_duplicate_of.clone(),
        nearest_share,
        shared_8grams: wording.shared(&text.text),
        longest_shared_words: Some(wording.longest_shared_words(&text.text) as i32),
        ..document(text, Split::Heldout, counter, loss_on)?
    })
}

/// The beginnings of the documents that the page lists.
fn excerpts(
    arguments: &Arguments,
    listed: &[&DocumentCheck],
    characters: usize,
) -> Result<HashMap<String, String>, Error> {
    let mut excerpts = HashMap::new();
    if characters == 0 {
        return Ok(excerpts);
    }
    let wanted: std::collections::HashSet<&str> =
        listed.iter().map(|document| document.doc_id.as_str()).collect();
    texts::for_each_training_batch(&arguments.corpus, |batch| {
        let wanted = batch
            .into_iter()
            .filter(|text| wanted.contains(text.doc_id.as_str()));
        excerpts.extend(wanted.map(|text| (text.doc_id, text.text.chars().take(characters).collect())));
        Ok(())
    })?;
    Ok(excerpts)
}
