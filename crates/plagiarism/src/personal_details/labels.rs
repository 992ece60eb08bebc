//! Personal details by labels: a tool of the user's says which parts of documents they are.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use contract::records::{PersonalDetailLabel, Verdict};
use contract::{Error, parquet};
use text_align::Span;

use crate::corpus::normal_form::folded;
use crate::corpus::sources::{Document, Sources};

/// A labelled part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where it is, in characters of the text in the file.
    pub span: Span,
    /// What it is, in the words of the tool that made it.
    pub kind: String,
}

/// What became of the rows of a file of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelCounts {
    file: PathBuf,
    /// Labels of documents that generations are compared with.
    pub used: usize,
    /// Labels of documents that are not among these: of another corpus, left out of this one, canaries, or other text.
    pub unknown: usize,
}

impl fmt::Display for LabelCounts {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(
            formatter,
            "{} labels of personal details take the place of patterns ({})",
            self.used,
            self.file.display()
        )?;
        if self.unknown > 0 {
            write!(
                formatter,
                "; {} more are of documents that are not in this corpus",
                self.unknown
            )?;
        }
        Ok(())
    }
}

/// Reads a file of labels and gives each document of `sources` its own: none to those that have none in it.
///
/// # Errors
/// [`Error::Input`] where the file is damaged or lacks a column, where a label does not lie in its document's text, has no kind, and
/// where no label is of a document in `sources`.
pub fn attach(file: &Path, sources: &mut Sources) -> Result<LabelCounts, Error> {
    let mut counts = LabelCounts {
        file: file.to_path_buf(),
        used: 0,
        unknown: 0,
    };
    for document in sources.training.iter_mut().chain(&mut sources.held_out) {
        document.labels = Some(Vec::new());
    }
    let mut first_unknown = None;
    let mut row = 0;
    for batch in parquet::Reader::<PersonalDetailLabel>::open(file)? {
        for label in batch? {
            row += 1;
            let Some(document) = find(sources, &label.doc_id) else {
                counts.unknown += 1;
                first_unknown.get_or_insert(label.doc_id);
                continue;
            };
            let label = checked(&label, document).map_err(|problem| {
                Error::input(
                    file,
                    format!("row {row}: document {}: {problem}", document.doc_id),
                )
            })?;
            document.labels.get_or_insert_default().push(label);
            counts.used += 1;
        }
    }
    match first_unknown {
        Some(doc_id) if counts.used == 0 => Err(Error::input(
            file,
            format!(
                "expected labels of documents of the corpus, found none: the doc_id of all {row} rows is in neither train.parquet nor \
                 heldout.parquet (the first: {doc_id}). Take the doc_id from there; with corpus.identity it is that column of yours"
            ),
        )),
        _ => Ok(counts),
    }
}

fn find<'a>(sources: &'a mut Sources, doc_id: &str) -> Option<&'a mut Document> {
    match Sources::index(&sources.training, doc_id) {
        Some(place) => sources.training.get_mut(place),
        None => Sources::index(&sources.held_out, doc_id).and_then(|place| sources.held_out.get_mut(place)),
    }
}

/// The label of a document, or what is wrong with it.
fn checked(label: &PersonalDetailLabel, document: &Document) -> Result<Label, String> {
    let PersonalDetailLabel { start, end, kind, .. } = label;
    let characters = document.written().chars().count();
    let place = |offset: i32| usize::try_from(offset).ok().filter(|&place| place <= characters);
    match (place(*start), place(*end)) {
        (Some(from), Some(to)) if from < to => {
            if kind.trim().is_empty() {
                return Err("kind: expected a word such as name, found none".to_owned());
            }
            Ok(Label {
                span: Span::new(from, to),
                kind: kind.trim().to_owned(),
            })
        }
        _ => Err(format!(
            "expected a part of its {characters} characters, found {start}..{end}. Offsets count the characters of its text in \
             train.parquet or heldout.parquet, not bytes; end is the one after the last"
        )),
    }
}

/// The kinds of the labels that came out with a passage, each once, in ascending order: those of the labels wholly inside `span`, the
/// document's passage in characters of the text in the file. Of a passage that is not verbatim the text of a label must be in the
/// generation too, up to case, white space and normal form: what was reworded did not come out.
pub fn kinds(
    document: &Document,
    labels: &[Label],
    span: Span,
    kind: Verdict,
    generated: &str,
) -> Vec<String> {
    let inside = labels
        .iter()
        .filter(|label| span.start <= label.span.start && label.span.end <= span.end);
    let came_out = |label: &&Label| {
        kind == Verdict::Verbatim || {
            let text = label.span.cut(document.written()).unwrap_or_default();
            folded(generated).contains(folded(text).trim())
        }
    };
    let kinds: BTreeSet<&str> = inside.filter(came_out).map(|label| label.kind.as_str()).collect();
    kinds.into_iter().map(str::to_owned).collect()
}
