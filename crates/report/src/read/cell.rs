//! What was measured of one checkpoint of a cell: each sample with its verdict, the scores, the training log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use contract::pipeline::LossOn;
use contract::records::{
    CoursePoint, DetailScore, DocumentKind, PassageMatch, PromptForm, Sample, SampleVerdict, Score, Split,
    TextForm, TrainingMetric,
};
use contract::{Cell, Error, PipelineFile, Provenance, parquet};

use super::scores::{TokensByDocument, is_whole_document};
use super::{CellFiles, Corpus, DocumentScore, WhichCheckpoint};

/// What was measured of one checkpoint of a cell.
#[derive(Debug)]
pub struct CellData {
    /// What the cell is.
    pub cell: Cell,
    /// Which of its checkpoints was asked; none where there is only one.
    pub checkpoint: Option<WhichCheckpoint>,
    /// Which tokens training took loss on, and so which are scored.
    pub loss_on: LossOn,
    /// Tokens that were to be generated, and of a document to compare them with; none where the extractor's settings are not
    /// there.
    pub new_tokens: Option<usize>,
    /// Tokens that prompts have at most, but for what many documents begin with; none as above.
    pub prefix_tokens: Option<usize>,
    /// Training documents that a strategy prompts with at most, where it is limited.
    pub most_documents: BTreeMap<String, usize>,
    /// The generations, each with its verdict, in the order of their numbers.
    pub samples: Vec<JudgedSample>,
    /// What the scoring pass found, per document and prefix.
    pub scores: Option<Vec<DocumentScore>>,
    /// Personal details, each behind its own text among others of its kind; empty where none was asked for.
    pub details: Vec<DetailScore>,
    /// The training log.
    pub metrics: Option<Vec<TrainingMetric>>,
    /// What the checkpoints that were kept remember.
    pub course: Option<Vec<CoursePoint>>,
    /// The loss of training documents in each form that training may have written them in, where forms were tried.
    pub forms: Option<Vec<TextForm>>,
    /// Rows of `scores.parquet` with a log-probability that is NaN or infinite: they are in no figure.
    pub non_finite_scores: usize,
    /// Where the samples, scores and verdicts came from, by file name.
    pub origins: BTreeMap<String, Provenance>,
}

/// A generation with its verdict and the passages that it shares with documents.
#[derive(Debug, Clone)]
pub struct JudgedSample {
    /// Number of the sample.
    pub id: i64,
    /// The prompt's document.
    pub doc_id: Option<String>,
    /// Where that document stands.
    pub split: Split,
    /// Its copies in the training set.
    pub copies: i32,
    /// Name of the decoding strategy.
    pub strategy: String,
    /// Whether the strategy takes the most probable token.
    pub greedy: bool,
    /// The prompt.
    pub prompt: String,
    /// What the model wrote.
    pub generation: String,
    /// What the prompt was made of.
    pub form: PromptForm,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens generated.
    pub generated_tokens: usize,
    /// Whether it is, letter for letter, what the document goes on with.
    pub is_truth: bool,
    /// What its document goes on with, up to [`ENOUGH_CHARS`] of it; none where that is not known, or nothing.
    pub goes_on_with: Option<String>,
    /// Whether it begins so, blank space aside.
    pub goes_on_as_document: Option<bool>,
    /// Whether the log-probabilities of all its tokens are finite.
    pub is_finite: bool,
    /// Tokens that were read for it: the cost, where it was told.
    pub tokens_read: Option<i64>,
    /// What it is ranked by, where it came from nothing.
    pub rank: RankScores,
    /// What the detector says.
    pub verdict: SampleVerdict,
    /// Aligned passages, in the order of the file.
    pub matches: Vec<PassageMatch>,
}

/// What is known of a generation without any document; each where it was scored.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RankScores {
    /// Nats per token under the model that wrote it.
    pub loss: Option<f64>,
    /// All of its nats.
    pub nats: Option<f64>,
    /// The same in lower case.
    pub lower_case_loss: Option<f64>,
    /// Under the untuned model.
    pub reference_loss: Option<f64>,
    /// Bytes after zlib.
    pub zlib_bytes: Option<u64>,
}

impl RankScores {
    fn of(sample: &Sample) -> Self {
        let loss = measures::membership::loss(&sample.logprobs).ok();
        Self {
            loss,
            nats: loss.map(|loss| loss * sample.logprobs.len() as f64),
            lower_case_loss: sample.lower_case_loss.map(f64::from),
            reference_loss: sample.reference_loss.map(f64::from),
            zlib_bytes: sample.zlib_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        }
    }
}

impl JudgedSample {
    /// Its passages from training documents, whatever their class.
    pub fn trained_passages(&self) -> impl Iterator<Item = &PassageMatch> {
        self.matches
            .iter()
            .filter(|found| found.doc_split == Split::Train)
    }

    /// The passages from training documents that its class rests on. Older files may record none of that class: then all.
    pub fn passages(&self) -> impl Iterator<Item = &PassageMatch> {
        let class = self.verdict.verdict;
        let has_class = self.trained_passages().any(|found| found.kind == class);
        self.trained_passages()
            .filter(move |found| !has_class || found.kind == class)
    }

    /// Kinds of personal details in the passages that its class rests on, each once.
    pub fn personal_details(&self) -> BTreeSet<&str> {
        self.passages()
            .flat_map(|found| found.personal_details.iter().flatten())
            .map(String::as_str)
            .collect()
    }
}

/// The tokens that the extractor says it generated, which may be more than its settings ask for.
fn generated_tokens(samples: &Path) -> Option<usize> {
    let origin = parquet::provenance(samples).filter(|origin| origin.stage == "extractor")?;
    let settings: serde_json::Value = serde_json::from_str(&origin.configuration).ok()?;
    usize::try_from(settings["new_tokens"].as_u64()?).ok()
}

fn most_documents(file: &PipelineFile) -> BTreeMap<String, usize> {
    let extraction = &file.extraction;
    let strategies = extraction.strategy.iter();
    strategies
        .filter_map(|strategy| {
            Some((
                strategy.name.clone(),
                strategy.documents.or(extraction.documents)?,
            ))
        })
        .collect()
}

impl CellData {
    /// Reads a cell; `untuned` has the tokens of the untuned model, whose cell another one is.
    pub(super) fn load(files: &CellFiles, untuned: Option<&TokensByDocument>) -> Result<Self, Error> {
        let origin = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            Some((name?, parquet::provenance(path)?))
        };
        let parquet_files = [
            Some(&files.samples),
            files.scores.as_ref(),
            files.details.as_ref(),
            Some(&files.verdicts),
            files.metrics.as_ref(),
            files.forms.as_ref(),
        ];
        let scores = files.scores.as_deref();
        let scores = scores.map(|path| read_scores(path, untuned)).transpose()?;
        let settings = files
            .extraction
            .as_deref()
            .map(|path| PipelineFile::load(path, &[]))
            .transpose()?;
        let (scores, non_finite_scores) =
            scores.map_or((None, 0), |read| (Some(read.finite), read.non_finite));
        Ok(Self {
            cell: files.cell.clone(),
            checkpoint: files.checkpoint,
            loss_on: settings
                .as_ref()
                .map_or(LossOn::Text, |file| file.trained_tokens().1),
            new_tokens: settings.as_ref().map(|file| {
                let generated = generated_tokens(&files.samples);
                generated.unwrap_or(file.extraction.new_tokens)
            }),
            prefix_tokens: settings.as_ref().map(|file| file.extraction.prefix_tokens),
            most_documents: settings.as_ref().map(most_documents).unwrap_or_default(),
            samples: judged_samples(files)?,
            scores,
            non_finite_scores,
            details: files
                .details
                .as_deref()
                .map(parquet::read_all)
                .transpose()?
                .unwrap_or_default(),
            forms: files.forms.as_deref().map(parquet::read_all).transpose()?,
            metrics: files.metrics.as_deref().map(parquet::read_all).transpose()?,
            course: files.course.as_deref().map(parquet::read_all).transpose()?,
            origins: parquet_files.into_iter().flatten().filter_map(origin).collect(),
        })
    }

    /// The identities of all documents that the cell's files name.
    pub(super) fn documents(&self) -> impl Iterator<Item = &str> {
        let of_samples = self.samples.iter().flat_map(|sample| {
            sample
                .doc_id
                .as_deref()
                .into_iter()
                .chain(sample.matches.iter().map(|found| found.doc_id.as_str()))
        });
        let of_scores = self.scores.iter().flatten().map(|score| score.doc_id.as_str());
        let of_details = self.details.iter().map(|detail| detail.doc_id.as_str());
        of_samples.chain(of_scores).chain(of_details)
    }

    pub(super) fn leave_out_canary_prompts(&mut self, corpus: &Corpus) {
        self.samples.retain(|sample| {
            let document = sample
                .doc_id
                .as_ref()
                .and_then(|doc_id| corpus.documents.get(doc_id));
            document.is_none_or(|document| document.kind == DocumentKind::Document)
        });
    }

    fn check_emitted(&self, sample: &JudgedSample, files: &CellFiles, corpus: &Corpus) -> Result<(), Error> {
        let mut emitted = sample.verdict.emitted_doc_ids.iter().flatten();
        match emitted.find(|doc_id| !corpus.is_trained(doc_id)) {
            Some(doc_id) => Err(Error::input(
                &files.verdicts,
                format!(
                    "sample {}: {doc_id} is said to have come out, but is no training document of corpus {}. The files come \
                     from different corpora; `make run` makes them again",
                    sample.id, self.cell.corpus
                ),
            )),
            None => Ok(()),
        }
    }

    pub(super) fn check(&self, files: &CellFiles, corpus: &Corpus) -> Result<(), Error> {
        let unknown = |file: &Path, what: String, doc_id: &str| {
            Err(Error::input(
                file,
                format!(
                    "{what}: document {doc_id} is in neither train.parquet nor heldout.parquet of corpus {}. \
                     The files come from different corpora; `make run` makes them again",
                    self.cell.corpus
                ),
            ))
        };
        for sample in &self.samples {
            self.check_emitted(sample, files, corpus)?;
            if let Some(doc_id) = sample
                .doc_id
                .as_deref()
                .filter(|&doc_id| !corpus.documents.contains_key(doc_id))
            {
                return unknown(&files.samples, format!("sample {}", sample.id), doc_id);
            }
            let generation = sample.generation.chars().count();
            for found in &sample.matches {
                let Some(document) = corpus.documents.get(&found.doc_id) else {
                    return unknown(&files.matches, format!("sample {}", sample.id), &found.doc_id);
                };
                let sides = [
                    ("generation", found.gen_start, found.gen_end, generation),
                    (
                        "document",
                        found.doc_start,
                        found.doc_end,
                        document.text.chars().count(),
                    ),
                ];
                for (side, start, end, length) in sides {
                    if start < 0 || start > end || usize::try_from(end).is_ok_and(|end| end > length) {
                        return Err(Error::input(
                            &files.matches,
                            format!(
                                "sample {}: passage {start}..{end} does not lie in the {side} of {length} characters",
                                sample.id
                            ),
                        ));
                    }
                }
            }
        }
        for score in self.scores.iter().flatten() {
            if let (false, Some(file)) = (corpus.documents.contains_key(&score.doc_id), &files.scores) {
                return unknown(file, "a score".to_owned(), &score.doc_id);
            }
        }
        for detail in &self.details {
            if let (false, Some(file)) = (corpus.documents.contains_key(&detail.doc_id), &files.details) {
                return unknown(file, "a personal detail".to_owned(), &detail.doc_id);
            }
        }
        Ok(())
    }
}

/// Characters that are exact enough, whatever follows them.
pub const ENOUGH_CHARS: usize = 60;

/// A text without the tokens that a chat template ends it with, `<|im_end|>` or `</s>`: a generation ends there. What else is in
/// angle brackets is text, as an address is.
fn without_end_marker(text: &str) -> &str {
    let known = ["</s>", "<eos>", "<end_of_turn>", "<|return|>"];
    let mut text = text.trim_end();
    loop {
        let rest = known
            .iter()
            .find_map(|marker| text.strip_suffix(marker))
            .or_else(|| without_bars(text, ["<|", "|>"]))
            .or_else(|| without_bars(text, ["<｜", "｜>"]));
        match rest {
            Some(rest) => text = rest.trim_end(),
            None => return text,
        }
    }
}

/// A text without the marker between bars that it ends with; none where it ends otherwise.
fn without_bars<'a>(text: &'a str, [open, close]: [&str; 2]) -> Option<&'a str> {
    let (rest, name) = text.strip_suffix(close)?.rsplit_once(open)?;
    let is_name = !name.is_empty() && !name.contains(['<', '>']) && !name.contains(char::is_whitespace);
    is_name.then_some(rest)
}

/// What a document goes on with, up to [`ENOUGH_CHARS`] of it.
fn beginning_of(truth: Option<&str>) -> Option<String> {
    let truth = without_end_marker(truth?.trim());
    let beginning: String = truth.chars().take(ENOUGH_CHARS).collect();
    Some(beginning).filter(|beginning| !beginning.is_empty())
}

/// Whether a generation begins so, blank space before it aside.
fn begins_with(generation: &str, beginning: &str) -> bool {
    generation.trim_start().starts_with(beginning)
}

fn judged_samples(files: &CellFiles) -> Result<Vec<JudgedSample>, Error> {
    let mut verdicts: BTreeMap<i64, SampleVerdict> = BTreeMap::new();
    for batch in parquet::Reader::<SampleVerdict>::open(&files.verdicts)? {
        verdicts.extend(batch?.into_iter().map(|verdict| (verdict.sample_id, verdict)));
    }
    let mut matches: BTreeMap<i64, Vec<PassageMatch>> = BTreeMap::new();
    for batch in parquet::Reader::<PassageMatch>::open(&files.matches)? {
        for found in batch? {
            matches.entry(found.sample_id).or_default().push(found);
        }
    }
    let apart = |problem: String| {
        Error::input(
            &files.verdicts,
            format!(
                "{problem}: the two files come from different runs. `plagiarism --force`, or `make run`, makes it again"
            ),
        )
    };
    let mut samples = Vec::new();
    for batch in parquet::Reader::<Sample>::open(&files.samples)? {
        for sample in batch? {
            let id = sample.sample_id;
            let Some(verdict) = verdicts.remove(&id) else {
                return Err(apart(format!("no verdict on sample {id} of samples.parquet")));
            };
            let unnamed = if sample.doc_id.is_some() {
                PromptForm::Prefix
            } else {
                PromptForm::Nothing
            };
            let goes_on_with = beginning_of(sample.truth.as_deref());
            samples.push(JudgedSample {
                id,
                form: sample.prompt_form.unwrap_or(unnamed),
                prompt_tokens: sample.prompt_tokens.len(),
                generated_tokens: sample.generated_tokens.len(),
                is_truth: sample.truth.as_ref() == Some(&sample.generation),
                goes_on_as_document: goes_on_with
                    .as_deref()
                    .map(|truth| begins_with(&sample.generation, truth)),
                goes_on_with,
                is_finite: sample.logprobs.iter().all(|logprob| logprob.is_finite()),
                tokens_read: sample.tokens_read,
                rank: RankScores::of(&sample),
                doc_id: sample.doc_id,
                split: sample.split,
                copies: sample.copies,
                greedy: sample.temperature == 0.0,
                strategy: sample.strategy,
                prompt: sample.prompt,
                generation: sample.generation,
                verdict,
                matches: matches.remove(&id).unwrap_or_default(),
            });
        }
    }
    if let Some(id) = verdicts.keys().chain(matches.keys()).next() {
        return Err(apart(format!(
            "samples.parquet has no sample {id} that a verdict or match is about"
        )));
    }
    samples.sort_by_key(|sample| sample.id);
    Ok(samples)
}

/// The tokens of the whole documents of an untuned model's cell, for others to be compared with.
pub(super) fn tokens_by_document(files: &CellFiles) -> Result<TokensByDocument, Error> {
    let mut tokens = TokensByDocument::new();
    let Some(path) = &files.scores else {
        return Ok(tokens);
    };
    for batch in parquet::Reader::<Score>::open(path)? {
        let whole = batch?
            .into_iter()
            .filter(|score| is_whole_document(score.kind, score.prefix_tokens) && is_finite(score));
        tokens.extend(whole.map(|score| (score.doc_id, score.logprobs)));
    }
    Ok(tokens)
}

fn is_finite(score: &Score) -> bool {
    score.logprobs.iter().all(|logprob| logprob.is_finite())
}

/// The scores of a file that say something.
#[derive(Default)]
struct ReadScores {
    finite: Vec<DocumentScore>,
    /// Rows with a log-probability that is NaN or infinite.
    non_finite: usize,
}

fn read_scores(path: &Path, untuned: Option<&TokensByDocument>) -> Result<ReadScores, Error> {
    let mut scores = ReadScores::default();
    for batch in parquet::Reader::<Score>::open(path)? {
        for score in batch? {
            if !is_finite(&score) {
                scores.non_finite += 1;
                continue;
            }
            let reduced = DocumentScore::of(&score, untuned)
                .map_err(|error| Error::input(path, format!("document {}: {error}", score.doc_id)))?;
            scores.finite.extend(reduced);
        }
    }
    Ok(scores)
}
