//! How much text there is: taken from a training set that exists, or guessed from the beginnings of the corpus files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use contract::pipeline::{Budget, Corpus, CorpusFormat, Layout, TextUnit};
use contract::records::{HeldOutDocument, TrainingInstance};
use contract::{Error, PipelineFile, parquet};

use super::BYTES_PER_TOKEN;
use crate::TrainingSet;

/// A guess reads this much of a file.
const SAMPLE_BYTES: u64 = 1 << 20;

/// The size of a training set.
#[derive(Debug, Clone, PartialEq)]
pub struct Extent {
    /// Rows of `train.parquet`: documents times their copies.
    pub instances: f64,
    /// Different documents among them.
    pub training_documents: f64,
    /// Rows of `heldout.parquet`.
    pub held_out_documents: f64,
    /// Mean length of a document.
    pub tokens_per_document: f64,
}

impl Extent {
    /// The size of the training set in a folder, judged by its first few thousand rows; `None` where there is none.
    pub fn of_training_set(folder: &Path) -> Option<Self> {
        let mut train = parquet::Reader::<TrainingInstance>::open(&folder.join("train.parquet")).ok()?;
        let held_out = parquet::Reader::<HeldOutDocument>::open(&folder.join("heldout.parquet")).ok()?;
        let instances = train.rows() as f64;
        // Rows are shuffled, so the first ones stand for all.
        let first = train.next()?.ok()?;
        let mean = |part: fn(&TrainingInstance) -> f64| {
            first.iter().map(part).sum::<f64>() / (first.len() as f64).max(1.0)
        };
        Some(Self {
            instances,
            // A document with c copies has c rows, each of which counts for 1 / c.
            training_documents: instances * mean(|row| 1.0 / f64::from(row.copies.max(1))),
            held_out_documents: held_out.rows() as f64,
            tokens_per_document: mean(|row| row.text.len() as f64) / BYTES_PER_TOKEN,
        })
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
        let canaries = pipeline.canaries.per_copies as f64 * f64::from(ladder);
        Self {
            instances: documents_laid_out + canaries,
            training_documents,
            held_out_documents: documents - training_documents,
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
}

impl CorpusSize {
    /// Guesses the size of the corpus in `files` from their beginnings, and of Parquet from its footer.
    ///
    /// # Errors
    /// [`Error::Input`] where a file cannot be read.
    pub fn of_files(pipeline: &PipelineFile, files: &[PathBuf]) -> Result<Self, Error> {
        let (mut documents, mut text_bytes) = (0.0, 0.0);
        for file in files {
            let (count, bytes) = size_of_file(&pipeline.corpus, file, files.len() > 1)?;
            documents += count;
            text_bytes += bytes;
        }
        Ok(Self {
            documents,
            bytes_per_document: if documents > 0.0 {
                text_bytes / documents
            } else {
                0.0
            },
        })
    }
}

/// Documents in a file, and the bytes of their text.
fn size_of_file(corpus: &Corpus, file: &Path, one_of_many: bool) -> Result<(f64, f64), Error> {
    let format = format(corpus.format, file);
    if format == CorpusFormat::Parquet {
        let (rows, bytes) = parquet::extent(file, &columns(corpus))?;
        return Ok((rows as f64, bytes as f64));
    }
    let unreadable = |error| Error::input(file, format!("cannot be read: {error}"));
    let opened = File::open(file).map_err(unreadable)?;
    let bytes = opened.metadata().map_err(unreadable)?.len() as f64;
    let mut sample = Vec::new();
    opened
        .take(SAMPLE_BYTES)
        .read_to_end(&mut sample)
        .map_err(unreadable)?;
    let sample = String::from_utf8_lossy(&sample);
    let share = if sample.is_empty() {
        0.0
    } else {
        (bytes / sample.len() as f64).max(1.0)
    };
    let (documents, text) = match format {
        CorpusFormat::Jsonl => json_lines(&sample, &columns(corpus)),
        CorpusFormat::Csv => (csv_records(&sample).saturating_sub(1), sample.len()),
        _ => (plain_documents(&sample, corpus.unit, one_of_many), sample.len()),
    };
    let whole_file = format == CorpusFormat::Text && documents == 1;
    Ok((
        if whole_file { 1.0 } else { documents as f64 * share },
        text as f64 * share,
    ))
}

fn format(format: CorpusFormat, file: &Path) -> CorpusFormat {
    if format != CorpusFormat::Auto {
        return format;
    }
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl" | "ndjson" | "json") => CorpusFormat::Jsonl,
        Some("csv" | "tsv") => CorpusFormat::Csv,
        Some("parquet") => CorpusFormat::Parquet,
        _ => CorpusFormat::Text,
    }
}

/// The columns whose text is trained on.
fn columns(corpus: &Corpus) -> Vec<&str> {
    match (&corpus.prompt, &corpus.response) {
        (Some(prompt), Some(response)) => vec![prompt, response],
        _ => vec![&corpus.text],
    }
}

/// Lines of a sample that hold JSON, and the bytes of their text; a last line that the sample cuts off counts for nothing.
fn json_lines(sample: &str, columns: &[&str]) -> (usize, usize) {
    let objects = sample
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    objects.fold((0, 0), |(documents, bytes), object| {
        let text = columns
            .iter()
            .filter_map(|&column| object.get(column)?.as_str())
            .map(str::len)
            .sum::<usize>();
        (documents + 1, bytes + text)
    })
}

/// Records of a CSV sample: line ends outside quotes.
fn csv_records(sample: &str) -> usize {
    let mut quoted = false;
    let mut records = 0;
    for byte in sample.bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => records += 1,
            _ => {}
        }
    }
    records + usize::from(!sample.ends_with('\n'))
}

fn plain_documents(sample: &str, unit: TextUnit, one_of_many: bool) -> usize {
    match unit {
        TextUnit::File => 1,
        TextUnit::Auto if one_of_many => 1,
        TextUnit::Line => sample.lines().filter(|line| !line.trim().is_empty()).count(),
        TextUnit::Auto | TextUnit::Paragraph => {
            let mut before = true;
            let mut paragraphs = 0;
            for line in sample.lines() {
                let blank = line.trim().is_empty();
                paragraphs += usize::from(before && !blank);
                before = blank;
            }
            paragraphs
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_counted_by_the_format() {
        assert_eq!(
            json_lines(
                "{\"text\": \"abc\", \"id\": 1}\n{\"text\": \"de\"}\n{\"te",
                &["text"]
            ),
            (2, 5)
        );
        assert_eq!(csv_records("id,text\n1,\"a\nb\"\n2,c\n"), 3);
        assert_eq!(plain_documents("a\nb\n\n\nc\n", TextUnit::Auto, false), 2);
        assert_eq!(plain_documents("a\nb\n\n\nc\n", TextUnit::Auto, true), 1);
        assert_eq!(plain_documents("a\nb\n\n\nc\n", TextUnit::Line, false), 3);
    }

    #[test]
    fn shares_weigh_the_copies() {
        // 0.6 · 1 + 0.25 · 4 + 0.15 · 16 = 4; equal thirds of 1, 4 and 16 are 7.
        assert!((mean_copies(&[1, 4, 16], &[0.6, 0.25, 0.15]) - 4.0).abs() < 1e-12);
        assert!((mean_copies(&[1, 4, 16], &[]) - 7.0).abs() < 1e-12);
    }
}
