//! The documents of a corpus folder, batch by batch, and which part of each carries loss.

use std::ops::Range;
use std::path::Path;

use contract::pipeline::LossOn;
use contract::records::{DocumentKind, HeldOutDocument, TrainingInstance};
use contract::{Error, parquet};

/// A document as its file has it.
#[derive(Debug, Clone)]
pub(crate) struct CorpusDocument {
    pub(crate) doc_id: String,
    pub(crate) text: String,
    pub(crate) copies: i32,
    /// Characters of `text` that are its prompt.
    pub(crate) prompt_chars: usize,
    /// Of a rendered conversation, where each of the assistant's turns begins and ends, as the records have it.
    pub(crate) assistant_spans: Option<Vec<i32>>,
}

impl CorpusDocument {
    /// The pieces of the text that carry loss; none where nothing does.
    pub(crate) fn target(&self, loss_on: LossOn) -> Vec<&str> {
        let characters = self.text.chars().count();
        let turns: Option<Vec<Range<usize>>> = self.assistant_spans.as_ref().map(|spans| {
            let spans = spans.as_chunks::<2>().0.iter();
            spans
                .map(|&[start, end]| start.max(0) as usize..end.max(0) as usize)
                .collect()
        });
        let spans = loss_on.target_spans(0..characters, self.prompt_chars, turns.as_deref());
        // The places in bytes of all characters, and of the end.
        let mut places: Vec<usize> = self.text.char_indices().map(|(place, _)| place).collect();
        places.push(self.text.len());
        let byte = |character: usize| places[character.min(characters)];
        let pieces = spans
            .into_iter()
            .filter_map(|span| self.text.get(byte(span.start)..byte(span.end)));
        pieces.filter(|piece| !piece.trim().is_empty()).collect()
    }
}

/// Rows of `train.parquet`, every copy counted.
///
/// # Errors
/// [`Error::Input`] where the file cannot be used.
pub(crate) fn instances(corpus: &Path) -> Result<u64, Error> {
    let reader = parquet::Reader::<TrainingInstance>::open(&corpus.join("train.parquet"))?;
    Ok(reader.rows() as u64)
}

/// Gives `each` the training documents of a corpus folder in batches, each document once, in the order of `train.parquet`. Canaries are
/// none of the corpus.
///
/// # Errors
/// [`Error::Input`] where the file cannot be used, and those of `each`.
pub(crate) fn for_each_training_batch(
    corpus: &Path,
    mut each: impl FnMut(Vec<CorpusDocument>) -> Result<(), Error>,
) -> Result<(), Error> {
    for batch in parquet::Reader::<TrainingInstance>::open(&corpus.join("train.parquet"))? {
        let mut instances = batch?;
        instances.retain(|instance| instance.copy == 0 && instance.kind == DocumentKind::Document);
        let texts = instances.into_iter().map(|instance| CorpusDocument {
            doc_id: instance.doc_id,
            text: instance.text,
            copies: instance.copies.max(1),
            prompt_chars: usize::try_from(instance.prompt_chars).unwrap_or(0),
            assistant_spans: instance.assistant_spans,
        });
        each(texts.collect())?;
    }
    Ok(())
}

/// A held-out document, and what `dupgen` found of it in the training text.
#[derive(Debug, Clone)]
pub(crate) struct HeldOut {
    pub(crate) text: CorpusDocument,
    pub(crate) near_duplicate_of: Option<String>,
    pub(crate) shared_8grams: Option<f32>,
}

/// The same of held-out documents; text of another kind is none of them.
///
/// # Errors
/// As [`for_each_training_batch`].
pub(crate) fn for_each_held_out_batch(
    corpus: &Path,
    mut each: impl FnMut(Vec<HeldOut>) -> Result<(), Error>,
) -> Result<(), Error> {
    for batch in parquet::Reader::<HeldOutDocument>::open(&corpus.join("heldout.parquet"))? {
        let mut documents = batch?;
        documents.retain(HeldOutDocument::is_of_corpus);
        let held_out = documents.into_iter().map(|document| HeldOut {
            near_duplicate_of: document.near_duplicate_of,
            shared_8grams: document.shared_8grams,
            text: CorpusDocument {
                doc_id: document.doc_id,
                text: document.text,
                copies: 0,
                prompt_chars: usize::try_from(document.prompt_chars).unwrap_or(0),
                assistant_spans: document.assistant_spans,
            },
        });
        each(held_out.collect())?;
    }
    Ok(())
}
