//! How much text there is: counted in a training set that exists, or guessed from the beginnings of the corpus files. Lengths are
//! in tokens of the model that reads the text.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::rc::Rc;

use contract::pipeline::{Budget, CANARY_DIGITS, CANARY_WORDS, Layout};
use contract::records::{DocumentKind, HeldOutDocument, HeldOutRole, TrainingInstance};
use contract::{Error, PipelineFile, parquet};
use corpus_files::{Columns, CorpusFile, FileSize, documents};

use crate::tokens::TokenCounter;
use crate::{PlantedCanaries, TrainingSet};

/// Texts that are cut into tokens to see how long texts are, at most.
const MAX_TEXTS: usize = 1000;

/// Words in place of the `{context}` of a canary, which are words of the corpus.
const CONTEXT: &str = "blue paper folder";

/// The size of a training set.
#[derive(Debug, Clone, PartialEq)]
pub struct Extent {
    /// What is trained on, by the number of copies: documents and canaries.
    pub buckets: Vec<Bucket>,
    /// Different documents among them.
    pub training_documents: f64,
    /// Held-out documents.
    pub held_out_documents: f64,
    /// Documents of other text, which are only scored.
    pub other_documents: f64,
    /// Those of the held-out ones that choose checkpoint and learning rate.
    pub validation_documents: f64,
    /// Canaries, and strings of their formats that are never trained on.
    pub canaries: f64,
    /// Lengths of the different documents.
    pub documents: Lengths,
    /// Length of a canary.
    pub canary_tokens: f64,
    /// Bytes of text that one token stands for.
    pub bytes_per_token: f64,
}

/// Texts that are trained on equally often.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// Times that each occurs in the training set.
    pub copies: f64,
    /// Different texts.
    pub texts: f64,
    /// Their lengths.
    pub lengths: Lengths,
}

/// Lengths of texts in tokens, those of a sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lengths(Rc<[f64]>);

impl Lengths {
    /// The mean of `part` of each length; 0 where there is none.
    pub fn mean(&self, part: impl Fn(f64) -> f64) -> f64 {
        let sum: f64 = self.0.iter().map(|&length| part(length)).sum();
        sum / (self.0.len() as f64).max(1.0)
    }

    /// Share of the texts with more than `max` tokens; none where no length is known.
    pub fn longer(&self, max: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.mean(|length| f64::from(length > max)))
    }
}

impl FromIterator<f64> for Lengths {
    fn from_iter<I: IntoIterator<Item = f64>>(lengths: I) -> Self {
        Self(lengths.into_iter().collect())
    }
}

impl Extent {
    /// The size of the training set in a folder, judged by its first few thousand rows, which are shuffled; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Input`] where the tokenizer cannot encode a text.
    pub(crate) fn of_training_set(folder: &Path, counter: &TokenCounter) -> Result<Option<Self>, Error> {
        let files = [folder.join("train.parquet"), folder.join("heldout.parquet")];
        let Ok(mut train) = parquet::Reader::<TrainingInstance>::open(&files[0]) else {
            return Ok(None);
        };
        let Ok(held_out) = parquet::Reader::<HeldOutDocument>::open(&files[1]) else {
            return Ok(None);
        };
        let instances = train.rows() as f64;
        let Some(Ok(first)) = train.next() else {
            return Ok(None);
        };
        let scale = instances / first.len() as f64;
        let (mut bytes, mut tokens) = (0, 0.0);
        let mut lengths: HashMap<&str, f64> = HashMap::new();
        let mut buckets: BTreeMap<(i32, bool), (f64, Vec<f64>)> = BTreeMap::new();
        for row in &first {
            let is_canary = row.kind != DocumentKind::Document;
            let (rows, of_bucket) = buckets.entry((row.copies.max(1), is_canary)).or_default();
            *rows += 1.0;
            if lengths.len() < MAX_TEXTS && !lengths.contains_key(row.doc_id.as_str()) {
                let length = counter.count(&row.text)? as f64;
                bytes += row.text.len();
                tokens += length;
                lengths.insert(&row.doc_id, length);
                of_bucket.push(length);
            }
        }
        let of_kind = |canaries: bool| {
            let of_kind = buckets
                .iter()
                .filter(move |((_, is_canary), _)| *is_canary == canaries);
            of_kind.map(|((copies, _), (rows, lengths))| (f64::from(*copies), rows * scale, lengths))
        };
        let texts = |canaries| -> f64 { of_kind(canaries).map(|(copies, rows, _)| rows / copies).sum() };
        let all_lengths = |canaries| -> Lengths {
            of_kind(canaries)
                .flat_map(|(.., lengths)| lengths.clone())
                .collect()
        };
        let mut held = [0.0; 4];
        for rows in held_out {
            let Ok(rows) = rows else { return Ok(None) };
            for row in rows {
                match (row.kind, row.role) {
                    (DocumentKind::Document, Some(HeldOutRole::Test)) => held[0] += 1.0,
                    (DocumentKind::Document, Some(HeldOutRole::Other)) => held[3] += 1.0,
                    (DocumentKind::Document, _) => held[1] += 1.0,
                    _ => held[2] += 1.0,
                }
            }
        }
        let [test, validation, references, other_documents] = held;
        Ok(Some(Self {
            training_documents: texts(false),
            held_out_documents: test + validation,
            other_documents,
            validation_documents: validation,
            canaries: texts(true) + references,
            documents: all_lengths(false),
            canary_tokens: all_lengths(true).mean(|length| length),
            bytes_per_token: bytes as f64 / f64::max(tokens, 1.0),
            buckets: [false, true]
                .into_iter()
                .flat_map(of_kind)
                .map(|(copies, rows, lengths)| Bucket {
                    copies,
                    texts: rows / copies,
                    lengths: lengths.iter().copied().collect(),
                })
                .collect(),
        }))
    }

    /// The size that a training set will have.
    ///
    /// # Errors
    /// [`Error::Input`] where the tokenizer cannot encode a text.
    pub(crate) fn expected(
        pipeline: &PipelineFile,
        set: &TrainingSet,
        corpus: &CorpusSize,
        counter: &TokenCounter,
    ) -> Result<Self, Error> {
        let settings = &pipeline.corpora.as_slice()[set.corpus];
        let documents = settings
            .documents
            .map_or(corpus.documents, |most| corpus.documents.min(most as f64));
        let trained_share = pipeline.duplication.trained_share;
        let training_documents = documents * (1.0 - settings.held_out) * trained_share;
        let held_out_documents = documents - training_documents + corpus.in_held_out_files;
        let lengths = corpus.lengths(counter)?;
        let (mut buckets, mut canaries, mut canary_tokens) = (Vec::new(), 0.0, 0.0);
        for (copies, share) in copies_of(pipeline, set) {
            buckets.push(Bucket {
                copies,
                texts: training_documents * share,
                lengths: lengths.clone(),
            });
        }
        if let (Budget::Fixed, Some(instances)) =
            (pipeline.duplication.budget, pipeline.duplication.instances)
        {
            let instances_of_epochs: f64 = buckets.iter().map(|bucket| bucket.copies * bucket.texts).sum();
            for bucket in &mut buckets {
                bucket.texts *= instances as f64 / instances_of_epochs.max(1.0);
            }
        }
        if set.canaries != PlantedCanaries::None {
            let planted = &pipeline.canaries;
            canary_tokens = canary_length(pipeline, counter)?;
            let numbers_of_copies: Vec<f64> = match set.copies {
                Some(copies) => vec![f64::from(copies)],
                None => pipeline
                    .duplication
                    .copies
                    .iter()
                    .map(|&copies| f64::from(copies))
                    .collect(),
            };
            let all = (planted.per_copies * numbers_of_copies.len()) as f64;
            buckets.extend(numbers_of_copies.into_iter().map(|copies| Bucket {
                copies,
                texts: planted.per_copies as f64,
                lengths: Lengths::from_iter([canary_tokens]),
            }));
            // With a context of its own each canary has a format of its own, and each format its references.
            let templates = planted.template.as_slice();
            let formats = if templates.iter().any(|template| template.contains("{context}")) {
                all
            } else {
                all.min(templates.len() as f64)
            };
            let coins = planted.coin_flips as f64;
            buckets.push(Bucket {
                copies: 1.0,
                texts: coins / 2.0,
                lengths: Lengths::from_iter([canary_tokens]),
            });
            canaries = all + formats * planted.references as f64 + coins;
        }
        Ok(Self {
            buckets,
            training_documents,
            held_out_documents,
            // At most, and as long as those of the corpus.
            other_documents: match settings.other {
                Some(_) => settings.max_other as f64,
                None => 0.0,
            },
            validation_documents: held_out_documents * settings.validation,
            canaries,
            bytes_per_token: corpus.bytes_per_text() / lengths.mean(|length| length).max(1.0),
            documents: lengths,
            canary_tokens,
        })
    }

    /// Rows of `train.parquet`: texts times their copies.
    pub fn instances(&self) -> f64 {
        self.buckets
            .iter()
            .map(|bucket| bucket.copies * bucket.texts)
            .sum()
    }

    /// The same training set without copies.
    pub fn each_text_once(&self) -> Self {
        let once = |bucket: &Bucket| Bucket {
            copies: 1.0,
            ..bucket.clone()
        };
        Self {
            buckets: self.buckets.iter().map(once).collect(),
            ..self.clone()
        }
    }
}

/// Numbers of copies, each with its share of the documents.
fn copies_of(pipeline: &PipelineFile, set: &TrainingSet) -> Vec<(f64, f64)> {
    match (set.layout, set.copies) {
        (Layout::Uniform, Some(copies)) => vec![(f64::from(copies), 1.0)],
        // How often texts occur in the corpus is not known before it is read.
        (Layout::Found, _) => vec![(1.0, 1.0)],
        _ => {
            let duplication = &pipeline.duplication;
            let share = |position: usize| duplication.shares.get(position).copied().unwrap_or(1.0);
            let total: f64 = (0..duplication.copies.len()).map(share).sum();
            let copies = duplication.copies.iter().enumerate();
            copies
                .map(|(position, &copies)| {
                    (f64::from(copies), share(position) / total.max(f64::MIN_POSITIVE))
                })
                .collect()
        }
    }
}

/// Tokens of a canary with its prompt, on average over the templates.
fn canary_length(pipeline: &PipelineFile, counter: &TokenCounter) -> Result<f64, Error> {
    let settings = &pipeline.canaries;
    let digits = "4071863592"
        .chars()
        .cycle()
        .take(settings.digits)
        .collect::<String>();
    let words = ["harbour", "patient", "of", "measured", "the", "weekly"]
        .repeat(settings.words.number.div_ceil(6))
        .split_at(settings.words.number)
        .0
        .join(" ");
    let mean = |texts: &[String]| -> Result<f64, Error> {
        let mut sum = 0;
        for text in texts {
            let text = text.replace("{context}", CONTEXT).replace(CANARY_DIGITS, &digits);
            sum += counter.count(&text.replace(CANARY_WORDS, &words))?;
        }
        Ok(sum as f64 / (texts.len() as f64).max(1.0))
    };
    Ok(mean(settings.template.as_slice())? + mean(settings.prompt.as_slice())?)
}

/// The size of a corpus before it is split.
#[derive(Debug, Clone, PartialEq)]
pub struct CorpusSize {
    /// Number of documents, those of held-out files not among them.
    pub documents: f64,
    /// Documents of held-out files.
    pub in_held_out_files: f64,
    /// Texts at the beginnings of the files.
    texts: Vec<String>,
}

impl CorpusSize {
    /// Guesses the size of the corpus in `files` from their beginnings, and of Parquet from its footer; `is_held_out` says which
    /// of the files hold held-out text.
    ///
    /// # Errors
    /// [`Error::Input`] where a file cannot be read.
    pub fn of_files(
        columns: &Columns,
        files: &[CorpusFile],
        is_held_out: impl Fn(&CorpusFile) -> bool,
    ) -> Result<Self, Error> {
        // The size of a text does not depend on what identifies it.
        let columns = Columns {
            identity: None,
            ..columns.clone()
        };
        let mut size = Self {
            documents: 0.0,
            in_held_out_files: 0.0,
            texts: Vec::new(),
        };
        let each = MAX_TEXTS.div_ceil(files.len().max(1));
        for file in files {
            let of_file = FileSize::estimate(file, &columns)?.documents;
            *if is_held_out(file) {
                &mut size.in_held_out_files
            } else {
                &mut size.documents
            } += of_file;
            if size.texts.len() < MAX_TEXTS {
                // A document that cannot be used is no text; dupgen says which and why.
                let usable = documents(file, &columns)?.take(each).filter_map(Result::ok);
                size.texts.extend(usable.map(|document| document.text));
            }
        }
        Ok(size)
    }

    /// Mean length of the texts looked at, in bytes.
    fn bytes_per_text(&self) -> f64 {
        let bytes: usize = self.texts.iter().map(String::len).sum();
        bytes as f64 / (self.texts.len() as f64).max(1.0)
    }

    /// Lengths of the texts looked at, in tokens.
    ///
    /// # Errors
    /// [`Error::Input`] where the tokenizer cannot encode a text.
    pub(crate) fn lengths(&self, counter: &TokenCounter) -> Result<Lengths, Error> {
        let lengths = self
            .texts
            .iter()
            .map(|text| counter.count(text).map(|tokens| tokens as f64));
        lengths.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_averaged_after_they_are_cut() {
        let lengths = Lengths::from_iter([10.0, 20.0, 90.0]);
        assert!((lengths.mean(|length| length) - 40.0).abs() < 1e-12);
        assert!((lengths.mean(|length| length.min(30.0)) - 20.0).abs() < 1e-12);
        assert_eq!(lengths.longer(20.0), Some(1.0 / 3.0));
        assert_eq!(Lengths::default().longer(20.0), None);
    }
}
