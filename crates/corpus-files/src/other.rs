//! The files beside the corpus itself: held-out text, and text of another kind, which need not have the columns of the corpus.

use std::path::Path;

use contract::Error;
use contract::pipeline::{Corpus, CorpusFormat};

use crate::columns::{Columns, TextColumns};
use crate::discovery::{CorpusFile, Found, find_files};
use crate::document::{Fault, Guess, documents};

/// Documents at the beginning of a file of which one must be readable for its columns to be the right ones.
const MAX_TRIED: usize = 50;

/// The columns that other text may have instead of those of the corpus, in the order in which they are tried.
const INSTEAD: &str = "text, or prompt and response";

/// Finds the files that `corpus.held_out_files` names, relative to `base`; `None` where it names none.
///
/// # Errors
/// As [`find_files`].
pub fn find_held_out_files(corpus: &Corpus, base: &Path) -> Result<Option<Found>, Error> {
    let Some(files) = &corpus.held_out_files else {
        return Ok(None);
    };
    let held_out = Corpus {
        files: files.clone(),
        ..corpus.clone()
    };
    find_files(&held_out, base).map(Some)
}

/// Finds the files that `corpus.other` names, relative to `base`; `None` where it names none. Their formats and delimiters are their
/// own: they go by name and content, whatever `corpus.format` and `corpus.delimiter` say of the corpus.
///
/// # Errors
/// As [`find_files`].
pub fn find_other_files(corpus: &Corpus, base: &Path) -> Result<Option<Found>, Error> {
    let Some(files) = &corpus.other else {
        return Ok(None);
    };
    let other = Corpus {
        files: files.clone(),
        format: CorpusFormat::Auto,
        delimiter: None,
        ..corpus.clone()
    };
    find_files(&other, base).map(Some)
}

/// The columns of a file of other text, and what was guessed about them: `own`, those of the corpus, where the file has them; the same
/// without `corpus.identity`; `text`; or `prompt` and `response`. Plain text has none.
///
/// # Errors
/// [`Error::Input`] or [`Error::Configuration`] where no document at its beginning can be read in any of these ways.
pub fn other_columns(
    corpus: &Corpus,
    own: &Columns,
    file: &CorpusFile,
) -> Result<(Columns, Option<Guess>), Error> {
    let Some(own_fault) = first_fault(file, own) else {
        return Ok((own.clone(), None));
    };
    let instead = [
        own.text.clone(),
        TextColumns::One("text".to_owned()),
        TextColumns::PromptAndResponse {
            prompt: "prompt".to_owned(),
            response: "response".to_owned(),
            separator: corpus.separator.clone(),
        },
    ];
    for text in instead {
        let columns = Columns {
            text,
            identity: None,
            rendering: own.rendering.clone(),
        };
        if first_fault(file, &columns).is_none() {
            let guess = Guess::new("columns", taken(&columns, corpus));
            return Ok((columns, Some(guess)));
        }
    }
    Err(match own_fault {
        Error::Input { file, problem } => Error::Input {
            file,
            problem: format!("{problem}. Other text (corpus.other) may have the columns {INSTEAD} instead"),
        },
        error => error,
    })
}

/// What stands in the way of the documents at the beginning of a file; `None` where one of them can be read, or where there is none.
fn first_fault(file: &CorpusFile, columns: &Columns) -> Option<Error> {
    let items = match documents(file, columns) {
        Ok(items) => items,
        Err(error) => return Some(error),
    };
    let mut first = None;
    for item in items.take(MAX_TRIED) {
        match item {
            Ok(_) => return None,
            Err(Fault::File(error)) => return Some(error),
            Err(fault) => _ = first.get_or_insert(fault),
        }
    }
    first.map(|fault| fault.into_error(&file.path))
}

fn taken(columns: &Columns, corpus: &Corpus) -> String {
    let names = columns.description();
    match &corpus.identity {
        Some(identity) => {
            format!("{names}, without the identity {identity}: not all columns of [corpus] are there")
        }
        None => format!("{names}: the columns of [corpus] are not there"),
    }
}
