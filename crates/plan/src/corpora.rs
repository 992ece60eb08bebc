//! The corpora of a pipeline, with the files that each is made of.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chat_template::Candidate;
use contract::pipeline::Corpus;
use contract::{Error, PipelineFile};
use corpus_files::{
    Columns, CorpusFile, RawDocument, documents, find_files, find_held_out_files, find_other_files,
};

use crate::estimate::CorpusSize;

/// Corpus files that are opened before anything starts, at most.
pub(crate) const MAX_FILES: usize = 8;

/// Documents that are read from each of them, at most.
const MAX_DOCUMENTS: usize = 50;

/// One corpus, as seen from where the program runs.
#[derive(Debug)]
pub struct PlannedCorpus {
    /// Its settings.
    pub settings: Corpus,
    /// Its files, with those of held-out and of other text: sorted, each once.
    pub files: Vec<PathBuf>,
    /// How those of the corpus and of held-out text are read.
    pub(crate) texts: Vec<CorpusFile>,
    /// How those of other text are read.
    pub(crate) other: Vec<CorpusFile>,
    /// Its columns, conversations rendered by the chat template that all models of the pipeline share.
    pub(crate) columns: Columns,
}

impl PlannedCorpus {
    /// Finds the files of a corpus of `pipeline`.
    ///
    /// # Errors
    /// As [`corpus_files`], and those of a chat template.
    pub(crate) fn of(
        pipeline: &PipelineFile,
        settings: &Corpus,
        candidates: &[Candidate],
    ) -> Result<Self, Error> {
        let base = pipeline.resolve(".");
        let texts = corpus_files(pipeline, settings)?;
        let other = find_other_files(settings, &base)?;
        let other = in_order(other.map_or_else(Vec::new, |found| found.files));
        let files: BTreeSet<PathBuf> = texts.iter().chain(&other).map(|file| file.path.clone()).collect();
        Ok(Self {
            settings: settings.clone(),
            files: files.into_iter().collect(),
            columns: Columns::of_models(settings, &base, candidates)?,
            texts,
            other,
        })
    }

    /// How much text there is before it is split, guessed from the beginnings of the files.
    ///
    /// # Errors
    /// [`Error::Input`] where a file cannot be read.
    pub(crate) fn size(&self, pipeline: &PipelineFile) -> Result<CorpusSize, Error> {
        let held_out = find_held_out_files(&self.settings, &pipeline.resolve("."))?;
        let held_out = held_out.map_or_else(Vec::new, |found| found.files);
        let held_out: Vec<PathBuf> = held_out
            .iter()
            .map(|file| contract::paths::normalized(&file.path))
            .collect();
        CorpusSize::of_files(&self.columns, &self.texts, |file| held_out.contains(&file.path))
    }

    /// The documents at the beginning of the files.
    ///
    /// # Errors
    /// [`Error::Input`] where a file cannot be read, or none of the documents at its beginning: a column that is not there.
    pub(crate) fn first_documents(&self) -> Result<Vec<RawDocument>, Error> {
        let mut found = Vec::new();
        for file in self.texts.iter().take(MAX_FILES) {
            found.extend(documents_of(file, &self.columns)?);
        }
        Ok(found)
    }

    /// Whether documents have a user's prompt before their text; none where no document could be looked at.
    ///
    /// # Errors
    /// As [`Self::first_documents`].
    pub(crate) fn has_prompts(&self) -> Result<Option<bool>, Error> {
        let documents = self.first_documents()?;
        let has_prompts = documents.iter().any(|document| document.prompt_chars > 0);
        Ok((!documents.is_empty()).then_some(has_prompts))
    }
}

fn documents_of(file: &CorpusFile, columns: &Columns) -> Result<Vec<RawDocument>, Error> {
    let mut texts = Vec::new();
    let mut first_fault = None;
    for item in documents(file, columns)?.take(MAX_DOCUMENTS) {
        match item {
            Ok(document) => texts.push(document),
            Err(fault) => {
                first_fault.get_or_insert(fault);
            }
        }
    }
    match first_fault {
        Some(fault) if texts.is_empty() => Err(fault.into_error(&file.path)),
        _ => Ok(texts),
    }
}

/// The files of a corpus of a pipeline, with those of held-out text, as seen from where the program runs: sorted, each once.
///
/// # Errors
/// As [`find_files`], and [`Error::Configuration`] where none is named.
pub(crate) fn corpus_files(pipeline: &PipelineFile, corpus: &Corpus) -> Result<Vec<CorpusFile>, Error> {
    if corpus.files.as_slice().is_empty() {
        return Err(Error::Configuration(format!(
            "{}: corpus.files: expected a file, a folder or a glob",
            pipeline.path.display()
        )));
    }
    let base = pipeline.resolve(".");
    let mut files = find_files(corpus, &base)?.files;
    if let Some(held_out) = find_held_out_files(corpus, &base)? {
        files.extend(held_out.files);
    }
    Ok(in_order(files))
}

fn in_order(mut files: Vec<CorpusFile>) -> Vec<CorpusFile> {
    for file in &mut files {
        file.path = contract::paths::normalized(&file.path);
    }
    files.sort_by(|first, second| first.path.cmp(&second.path));
    files.dedup_by(|first, second| first.path == second.path);
    files
}
