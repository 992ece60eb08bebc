//! How much text there is: taken from a training set that exists, or guessed from the beginnings of the corpus files.

use std::path::Path;

use contract::pipeline::{Budget, Layout};
use contract::records::{DocumentKind, HeldOutDocument, HeldOutRole, TrainingInstance};
use contract::{Error, PipelineFile, parquet};
use corpus_files::{Columns, CorpusFile, FileSize};

use super::BYTES_PER_TOKEN;
use crate::{PlantedCanaries, TrainingSet};

/// The size of a training set.
#[derive(Debug, Clone, PartialEq)]
pub struct Extent {
    /// Rows of `train.parquet`: documents times their copies.
    pub instances: f64,
    /// Different documents among them.
    pub training_documents: f64,
    /// Rows of `heldout.parquet` without those of other text.
    pub held_out_documents: f64,
    /// Documents of other text, which are only scored.
    pub other_documents: f64,
    /// Mean length of a document.
    pub tokens_per_document: f64,
}

impl Extent {
    /// The size of the training set in a folder, judged by its first few thousand rows; `None` where there is none.
    pub fn of_training_set(folder: &Path) -> Option<Self> {
        let mut train = parquet::Reader::<TrainingInstance>::open(&folder.join("train.parquet")).ok()?;
        let held_out = parquet::Reader::<HeldOutDocument>::open(&folder.join("heldout.parquet")).ok()?;
        let instances = train.rows() as f64;
        let (mut held_out_documents, mut other_documents) = (0.0, 0.0);
        for document in held_out.map_while(Result::ok).flatten() {
            match document.role {
                Some(HeldOutRole::Other) => other_documents += 1.0,
                _ => held_out_documents += 1.0,
            }
        }
        // Rows are shuffled, so the first ones stand for all.
        let first = train.next()?.ok()?;
        let mean = |part: fn(&TrainingInstance) -> f64| {
            first.iter().map(part).sum::<f64>() / (first.len() as f64).max(1.0)
        };
        Some(Self {
            instances,
            // A document with c copies has c rows, each of which counts for 1 / c.
            training_documents: instances * mean(|row| 1.0 / f64::from(row.copies.max(1))),
            held_out_documents,
            other_documents,
            tokens_per_document: mean(|row| row.text.len() as f64) / BYTES_PER_TOKEN,
        })
    }

    /// Share of the documents of a training set in a folder that have more than `most` tokens, judged in the same way.
    pub fn longer_in_training_set(folder: &Path, most: f64) -> Option<f64> {
        let mut train = parquet::Reader::<TrainingInstance>::open(&folder.join("train.parquet")).ok()?;
        let first = train.next()?.ok()?;
        let documents = first.iter().filter(|row| row.kind == DocumentKind::Document);
        let (mut longer, mut all) = (0.0, 0.0);
        for row in documents {
            let share = 1.0 / f64::from(row.copies.max(1));
            all += share;
            if row.text.len() as f64 / BYTES_PER_TOKEN > most {
                longer += share;
            }
        }
        (all > 0.0).then(|| longer / all)
    }

    /// The size that a training set will have.
    pub fn expected(pipeline: &PipelineFile, set: &TrainingSet, corpus: &CorpusSize) -> Self {
        let documents = pipeline
            .corpus
            .documents
            .map_or(corpus.documents, |most| corpus.documents.min(most as f64));
        let training_documents = documents * (1.0 - pipeline.corpus.held_out);
        let duplication = &pipeline.duplication;
        let copies = match (set.layout, set.copies) {
            (Layout::Uniform, Some(copies)) => f64::from(copies),
            _ => mean_copies(&duplication.copies, &duplication.shares),
        };
        let documents_laid_out = match duplication.budget {
            Budget::Epochs => training_documents * copies,
            Budget::Fixed => duplication
                .instances
                .map_or(training_documents, |instances| instances as f64),
        };
        let ladder: u32 = set
            .copies
            .map_or(duplication.copies.iter().sum(), |copies| copies);
        let canaries = match set.canaries {
            PlantedCanaries::None => 0.0,
            PlantedCanaries::Among | PlantedCanaries::Apart => {
                pipeline.canaries.per_copies as f64 * f64::from(ladder)
            }
        };
        Self {
            instances: documents_laid_out + canaries,
            training_documents,
            held_out_documents: documents - training_documents,
            // At most, and as long as those of the corpus.
            other_documents: match pipeline.corpus.other {
                Some(_) => pipeline.corpus.max_other as f64,
                None => 0.0,
            },
            tokens_per_document: corpus.bytes_per_document / BYTES_PER_TOKEN,
        }
    }
}

fn mean_copies(copies: &[u32], shares: &[f64]) -> f64 {
    let share = |position: usize| shares.get(position).copied().unwrap_or(1.0);
    let total: f64 = (0..copies.len()).map(share).sum();
    copies
        .iter()
        .enumerate()
        .map(|(position, &copies)| f64::from(copies) * share(position))
        .sum::<f64>()
        / total.max(f64::MIN_POSITIVE)
}

/// The size of a corpus before it is split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CorpusSize {
    /// Number of documents.
    pub documents: f64,
    /// Mean length of their text.
    pub bytes_per_document: f64,
    /// Share of them that have more tokens than was asked; none where no length is known, as in Parquet before it is read.
    pub longer: Option<f64>,
}

impl CorpusSize {
    /// Guesses the size of the corpus in `files` from their beginnings, and of Parquet from its footer; and how many documents
    /// have more than `most` tokens.
    ///
    /// # Errors
    /// [`Error::Input`] where a file cannot be read.
    pub fn of_files(pipeline: &PipelineFile, files: &[CorpusFile], most: f64) -> Result<Self, Error> {
        // The size of a text does not depend on what identifies it.
        let columns = Columns {
            identity: None,
            ..Columns::of(&pipeline.corpus)?
        };
        let (mut documents, mut text_bytes) = (0.0, 0.0);
        let (mut judged, mut longer) = (0.0, 0.0);
        for file in files {
            let size = FileSize::estimate(file, &columns)?;
            documents += size.documents;
            text_bytes += size.text_bytes;
            if !size.sampled.is_empty() {
                let is_longer = |bytes: &&f64| **bytes / BYTES_PER_TOKEN > most;
                let share = size.sampled.iter().filter(is_longer).count() as f64 / size.sampled.len() as f64;
                judged += size.documents;
                longer += size.documents * share;
            }
        }
        Ok(Self {
            longer: (judged > 0.0).then(|| longer / judged),
            documents,
            bytes_per_document: if documents > 0.0 {
                text_bytes / documents
            } else {
                0.0
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_weigh_the_copies() {
        // 0.6 · 1 + 0.25 · 4 + 0.15 · 16 = 4; equal thirds of 1, 4 and 16 are 7.
        assert!((mean_copies(&[1, 4, 16], &[0.6, 0.25, 0.15]) - 4.0).abs() < 1e-12);
        assert!((mean_copies(&[1, 4, 16], &[]) - 7.0).abs() < 1e-12);
    }
}
