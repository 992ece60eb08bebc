//! Writing the two results.

use std::path::Path;

use contract::records::{DocumentKind, HeldOutDocument, HeldOutRole, Record, TrainingInstance};
use contract::{Error, Progress, Provenance, parquet};

use crate::canaries::Canaries;
use crate::collection::Collection;
use crate::copies::Placement;
use crate::near_duplicates::Overlap;

/// Bytes of text after which rows are written out, however few they are, so that long documents do not pile up in memory.
const GROUP_BYTES: usize = 64 << 20;

/// A Parquet file whose row groups are bounded in rows and in bytes. It has its name only once it is finished.
pub(crate) struct RecordFile<R> {
    writer: parquet::Writer<R>,
    pending_bytes: usize,
}

impl<R: Record + Clone> RecordFile<R> {
    fn create(destination: &Path, provenance: &Provenance) -> Result<Self, Error> {
        Ok(Self {
            writer: parquet::Writer::create(destination, provenance)?,
            pending_bytes: 0,
        })
    }

    fn write(&mut self, record: &R, text_bytes: usize) -> Result<(), Error> {
        self.writer.write(record)?;
        self.pending_bytes += text_bytes;
        if self.pending_bytes >= GROUP_BYTES {
            self.pending_bytes = 0;
            self.writer.flush()?;
        }
        Ok(())
    }

    /// Gives the file its name.
    pub(crate) fn finish(self) -> Result<(), Error> {
        self.writer.finish()
    }
}

/// A held-out document: its number in the collection, and what the result says of it beside its text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldOut {
    pub(crate) document: usize,
    pub(crate) role: HeldOutRole,
    pub(crate) overlap: Overlap,
}

/// Writes the held-out `documents`, in the order of the corpus, the `other` ones, and the canaries' reference strings.
pub(crate) fn held_out(
    destination: &Path,
    provenance: &Provenance,
    collection: &mut Collection,
    documents: &[HeldOut],
    other: &[HeldOut],
    canaries: &Canaries,
) -> Result<RecordFile<HeldOutDocument>, Error> {
    let mut file = RecordFile::create(destination, provenance)?;
    for &HeldOut {
        document,
        role,
        overlap,
    } in documents.iter().chain(other)
    {
        let near_duplicate_of = match overlap.near_duplicate_of {
            Some(training) => Some(collection.document(training)?.id),
            None => None,
        };
        let document = collection.document(document)?;
        let bytes = document.text.len();
        file.write(
            &HeldOutDocument {
                doc_id: document.id,
                text: document.text,
                prompt_chars: document.prompt_chars,
                kind: DocumentKind::Document,
                role: Some(role),
                near_duplicate_of,
                shared_8grams: overlap.share,
                canary_format: None,
                assistant_spans: document.assistant_spans,
                secret_span: None,
            },
            bytes,
        )?;
    }
    for reference in canaries.references() {
        file.write(&reference.held_out(), reference.text.len())?;
    }
    Ok(file)
}

/// Writes text of another kind that a mode may train on.
pub(crate) fn other(
    destination: &Path,
    provenance: &Provenance,
    collection: &mut Collection,
    documents: &[usize],
) -> Result<RecordFile<TrainingInstance>, Error> {
    let mut file = RecordFile::create(destination, provenance)?;
    for &document in documents {
        let document = collection.document(document)?;
        let bytes = document.text.len();
        file.write(
            &TrainingInstance {
                doc_id: document.id,
                text: document.text,
                prompt_chars: document.prompt_chars,
                kind: DocumentKind::Document,
                copies: 1,
                copy: 0,
                canary_format: None,
                assistant_spans: document.assistant_spans,
                secret_span: None,
            },
            bytes,
        )?;
    }
    Ok(file)
}

/// Writes the training instances in training order. `order` counts through the `placements` of the `training` documents and
/// on through the planted canaries. Copies of a document are numbered as they come.
pub(crate) fn training(
    destination: &Path,
    provenance: &Provenance,
    collection: &mut Collection,
    training: &[usize],
    placements: &[Placement],
    canaries: &Canaries,
    order: &[u32],
) -> Result<RecordFile<TrainingInstance>, Error> {
    let mut file = RecordFile::create(destination, provenance)?;
    let mut progress = Progress::new("writing", order.len() as u64, "instances");
    let mut written = vec![0; placements.len() + canaries.planted().len()];
    for &index in order {
        let index = index as usize;
        let mut instance = match placements.get(index) {
            Some(placement) => {
                let document = collection.document(training[placement.document])?;
                TrainingInstance {
                    doc_id: document.id,
                    text: document.text,
                    prompt_chars: document.prompt_chars,
                    kind: DocumentKind::Document,
                    copies: placement.copies as i32,
                    copy: 0,
                    canary_format: None,
                    assistant_spans: document.assistant_spans,
                    secret_span: None,
                }
            }
            None => canaries.planted()[index - placements.len()].instance(),
        };
        instance.copy = written[index];
        written[index] += 1;
        file.write(&instance, instance.text.len())?;
        progress.advance(1, "");
    }
    Ok(file)
}
