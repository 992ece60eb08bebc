//! The tables of a pipeline file, every key with its meaning, unit and default.

use serde::{Deserialize, Serialize};

use super::OneOrMany;

/// A whole pipeline file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Name of the pipeline; results go to `data/runs/<name>` unless told otherwise.
    pub name: String,
    /// One line on what is asked, shown at the top of the report.
    #[serde(default)]
    pub description: String,
    /// Seeds; every cell runs once with each.
    #[serde(default = "default_seeds")]
    pub seeds: Vec<u64>,
    /// The private text. The files that `plan` writes for the stages after `dupgen` leave it out.
    #[serde(default)]
    pub corpus: Corpus,
    /// How often documents stand in the training set.
    #[serde(default)]
    pub duplication: Duplication,
    /// Random strings planted to measure exposure.
    #[serde(default)]
    pub canaries: Canaries,
    /// Models to tune.
    #[serde(default)]
    pub model: Vec<Model>,
    /// Ways of tuning, with their learning rates.
    #[serde(default)]
    pub mode: Vec<Mode>,
    /// How training runs.
    #[serde(default)]
    pub tuning: Tuning,
    /// How generations are drawn and continuations scored.
    #[serde(default)]
    pub extraction: Extraction,
    /// How generations are compared with the corpus.
    #[serde(default)]
    pub detection: Detection,
    /// What the report shows.
    #[serde(default)]
    pub report: Reporting,
}

fn default_seeds() -> Vec<u64> {
    vec![0]
}

/// `[corpus]`: where the text is and which part of it is kept back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corpus {
    /// A file, a folder, or a glob; several as a list.
    pub files: OneOrMany<String>,
    /// Format of the files; `auto` goes by their extension.
    #[serde(default)]
    pub format: CorpusFormat,
    /// Column that holds the text.
    #[serde(default = "default_text")]
    pub text: String,
    /// Column that holds a prompt; given together with `response`, and then `text` is not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Column that holds the response to the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// What stands between prompt and response in the training text.
    #[serde(default = "default_separator")]
    pub separator: String,
    /// Column that identifies a document; without it, the digest of the text does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// What one document of a plain text file is.
    #[serde(default)]
    pub unit: TextUnit,
    /// Use this many documents, chosen by hash; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<usize>,
    /// What to do where there are fewer documents than asked for.
    #[serde(default)]
    pub shortage: Shortage,
    /// Leave out documents shorter than this many characters.
    #[serde(default)]
    pub min_chars: usize,
    /// Leave out documents longer than this many characters; without it, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_chars: Option<usize>,
    /// What to do with a document that is empty, not UTF-8, malformed, or without its column.
    #[serde(default)]
    pub bad_documents: BadDocuments,
    /// Share of the documents that no training run sees: the control.
    #[serde(default = "default_held_out")]
    pub held_out: f64,
}

impl Default for Corpus {
    fn default() -> Self {
        Self {
            files: OneOrMany::Many(Vec::new()),
            format: CorpusFormat::default(),
            text: default_text(),
            prompt: None,
            response: None,
            separator: default_separator(),
            identity: None,
            unit: TextUnit::default(),
            documents: None,
            shortage: Shortage::default(),
            min_chars: 0,
            max_chars: None,
            bad_documents: BadDocuments::default(),
            held_out: default_held_out(),
        }
    }
}

fn default_text() -> String {
    "text".to_owned()
}

fn default_separator() -> String {
    "\n".to_owned()
}

fn default_held_out() -> f64 {
    0.2
}

/// Format of corpus files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CorpusFormat {
    /// By extension: `.jsonl`/`.ndjson`/`.json`, `.csv`/`.tsv`, `.parquet`, anything else plain text.
    #[default]
    Auto,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header (tab-separated for `.tsv`).
    Csv,
    /// Plain text.
    Text,
    /// Parquet.
    Parquet,
}

/// What one document of a plain text file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextUnit {
    /// A whole file where a folder or several files are given; a paragraph where it is one file.
    #[default]
    Auto,
    /// A whole file.
    File,
    /// Lines up to the next blank one.
    Paragraph,
    /// A line.
    Line,
}

/// What to do where the corpus is smaller than asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shortage {
    /// Stop.
    #[default]
    Error,
    /// Go on with what there is, and say so.
    Accept,
}

/// What to do with a document that cannot be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BadDocuments {
    /// Stop, naming file and line.
    #[default]
    Error,
    /// Leave it out, and say how many were.
    Skip,
}

/// `[duplication]`: how copies are laid out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Duplication {
    /// `bucketed`: documents of one training set carry different numbers of copies; `uniform`: every document the same
    /// number, one training set for each.
    pub layout: OneOrMany<Layout>,
    /// Numbers of copies.
    pub copies: Vec<u32>,
    /// `bucketed` only: share of the documents that each number of copies gets, in the order of `copies`; empty: equal.
    pub shares: Vec<f64>,
    /// `epochs`: more copies mean more steps; `fixed`: the same number of training instances whatever the copies.
    pub budget: Budget,
    /// `fixed` only: that number of instances; without it, the number of training documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<usize>,
}

impl Default for Duplication {
    fn default() -> Self {
        Self {
            layout: OneOrMany::One(Layout::Bucketed),
            copies: vec![1, 4, 16],
            shares: Vec::new(),
            budget: Budget::Epochs,
            instances: None,
        }
    }
}

/// Layout of copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Every document the same number of copies.
    Uniform,
    /// Different numbers of copies in one training set.
    Bucketed,
}

/// What is held equal between numbers of copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Budget {
    /// Passes over the training set.
    Epochs,
    /// Training instances.
    Fixed,
}

/// `[canaries]`: random strings planted in the training set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Canaries {
    /// Canaries for each number of copies in `duplication.copies`; 0 plants none.
    pub per_copies: usize,
    /// Strings of the same format that are never planted; exposure is at most log2 of their number.
    pub references: usize,
    /// Text of a canary; `{digits}` stands for the random part.
    pub template: String,
    /// Prompt before the text, for corpora of prompts and responses; it too may hold `{digits}`.
    pub prompt: String,
    /// Number of random decimal digits.
    pub digits: usize,
}

impl Default for Canaries {
    fn default() -> Self {
        Self {
            per_copies: 0,
            references: 512,
            template: "The secret number is {digits}.".to_owned(),
            prompt: String::new(),
            digits: 6,
        }
    }
}

/// `[[model]]`: a model to tune.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Name in cells and in the report.
    pub name: String,
    /// Folder in the Hugging Face format; for pre-training it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Shape of a model to pre-train from scratch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
}

/// `[model.architecture]`: a GPT-2 shape for pre-training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Transformer blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Attention heads; must divide the width.
    pub heads: usize,
    /// Longest sequence in tokens.
    pub context: usize,
    /// Tokens of the byte-level BPE that is trained on the corpus.
    pub vocabulary: usize,
}

/// `[[mode]]`: a way of tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mode {
    /// `full`, `head`, `lora` or `pretrain`.
    pub kind: ModeKind,
    /// Learning rates to sweep.
    pub learning_rate: OneOrMany<f64>,
    /// LoRA's rank r.
    #[serde(default = "default_rank")]
    pub rank: usize,
    /// LoRA's alpha; the update is scaled by alpha / r. Without it, twice the rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Share of the adapter's input dropped in training.
    #[serde(default)]
    pub dropout: f64,
    /// Modules that LoRA adapts: names, or "all-linear". Without it, peft's own choice for the family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Targets>,
    /// Passes over the training set, in place of `tuning.epochs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
}

fn default_rank() -> usize {
    16
}

impl Mode {
    /// LoRA's alpha, twice the rank unless given.
    pub fn alpha(&self) -> f64 {
        self.alpha.unwrap_or(2.0 * self.rank as f64)
    }
}

/// LoRA's target modules.
pub type Targets = OneOrMany<String>;

/// Ways of tuning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModeKind {
    /// No tuning at all: the control.
    Base,
    /// Training from random weights.
    Pretrain,
    /// Every parameter.
    Full,
    /// The output head alone.
    Head,
    /// A low-rank update of chosen linear layers.
    Lora,
}

impl ModeKind {
    /// The name as it stands in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Pretrain => "pretrain",
            Self::Full => "full",
            Self::Head => "head",
            Self::Lora => "lora",
        }
    }
}

/// `[tuning]`: how training runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tuning {
    /// Passes over the training set; a fraction stops inside one.
    pub epochs: f64,
    /// Rows in one forward pass.
    pub batch_size: usize,
    /// Forward passes per optimizer step.
    pub accumulation: usize,
    /// Longest row in tokens; longer documents are cut off there when each has a row of its own.
    pub context: usize,
    /// `documents`: one a row, padded; `packed`: joined by the end-of-text token and cut into full rows.
    pub rows: Rows,
    /// `text`: every token counts; `response`: only those after the prompt.
    pub loss_on: LossOn,
    /// `float32`, or `bf16` with float32 master weights.
    pub precision: Precision,
    /// Learning rate over the steps after warm-up.
    pub schedule: Schedule,
    /// Share of the steps over which the learning rate rises from 0.
    pub warmup: f64,
    /// AdamW's weight decay, not applied to biases and norms.
    pub weight_decay: f64,
    /// AdamW's decay rates of the two moments.
    pub betas: [f64; 2],
    /// Largest norm of the gradient; 0 clips nothing.
    pub clip: f64,
    /// Steps between evaluations on held-out text; 0 evaluates once an epoch.
    pub evaluate_every: usize,
    /// Most held-out documents in one evaluation.
    pub evaluate_documents: usize,
    /// Steps between rows of metrics.
    pub log_every: usize,
    /// Seconds between saved states to resume from.
    pub save_seconds: f64,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            epochs: 3.0,
            batch_size: 16,
            accumulation: 1,
            context: 256,
            rows: Rows::Documents,
            loss_on: LossOn::Text,
            precision: Precision::Float32,
            schedule: Schedule::Linear,
            warmup: 0.05,
            weight_decay: 0.01,
            betas: [0.9, 0.999],
            clip: 1.0,
            evaluate_every: 0,
            evaluate_documents: 64,
            log_every: 10,
            save_seconds: 60.0,
            device: "auto".to_owned(),
        }
    }
}

/// What a row of a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rows {
    /// One document, padded.
    Documents,
    /// Documents joined and cut into full rows.
    Packed,
}

/// Which tokens the loss counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossOn {
    /// All of the text.
    Text,
    /// What follows the prompt.
    Response,
}

/// Precision of the arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point.
    Float32,
    /// 16-bit brain floating point, with float32 where it matters.
    Bf16,
}

/// Course of the learning rate after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// The same throughout.
    Constant,
    /// Straight down to 0.
    Linear,
    /// Along half a cosine down to 0.
    Cosine,
}

/// `[extraction]`: how generations are drawn and continuations scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Extraction {
    /// Where prompts come from.
    pub prompts: Vec<PromptSource>,
    /// Length of a prompt in tokens.
    pub prefix_tokens: usize,
    /// Tokens to generate.
    pub new_tokens: usize,
    /// Most training documents, and most held-out documents, to prompt with; without it, all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<usize>,
    /// Generations from no prompt at all, where `prompts` has `none`.
    pub unprompted: usize,
    /// What to do with a document no longer than the prompt, and with a prompt that leaves no room in the context.
    pub short_documents: BadDocuments,
    /// Generations in one forward pass; results do not depend on it.
    pub batch_size: usize,
    /// Ways of decoding.
    pub strategy: Vec<Strategy>,
    /// Whether to score whole documents and continuations as well.
    pub score: bool,
    /// Precision of the arithmetic.
    pub precision: Precision,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
}

impl Default for Extraction {
    fn default() -> Self {
        Self {
            prompts: vec![PromptSource::Train, PromptSource::Heldout],
            prefix_tokens: 50,
            new_tokens: 50,
            documents: None,
            unprompted: 100,
            short_documents: BadDocuments::Skip,
            batch_size: 32,
            strategy: vec![Strategy::default()],
            score: true,
            precision: Precision::Float32,
            device: "auto".to_owned(),
        }
    }
}

/// Where prompts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptSource {
    /// The first tokens of training documents.
    Train,
    /// The first tokens of held-out documents: the control.
    Heldout,
    /// Nothing but the token that begins a text.
    None,
}

/// `[[extraction.strategy]]`: a way of decoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Strategy {
    /// Name in files and in the report.
    pub name: String,
    /// Divides the logits; 0 takes the most probable token.
    pub temperature: f64,
    /// Keeps this many most probable tokens (and ties with the last of them); 0 keeps all.
    pub top_k: usize,
    /// Keeps the most probable tokens that together reach this probability; 1 keeps all.
    pub top_p: f64,
    /// Generations per prompt; greedy decoding makes one whatever is asked.
    pub samples: usize,
}

impl Default for Strategy {
    fn default() -> Self {
        Self {
            name: "top-k 40".to_owned(),
            temperature: 1.0,
            top_k: 40,
            top_p: 1.0,
            samples: 10,
        }
    }
}

/// `[detection]`: how generations are compared with the corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Detection {
    /// Thresholds of the alignment: `ours`, `lee2023` (as used for language models) or `pan2015` (as published first).
    pub preset: DetectorPreset,
    /// Shortest verbatim passage in characters, in place of the preset's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbatim_chars: Option<usize>,
    /// Where documents to align with come from; without it, all ways, and for `lee2023` BM25 alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates: Option<Vec<Candidates>>,
    /// Most documents from each of those ways.
    pub candidate_limit: usize,
    /// What must agree before an aligned passage counts as a paraphrase.
    pub confirm: Confirmation,
    /// Sentence cosine from which a paraphrase counts as confirmed. The default has the best F1 on half of the labelled pairs
    /// of MRPC (Dolan and Brockett, 2005) and of PAN 2010's obfuscated passages; on the other half, under all-MiniLM-L6-v2,
    /// precision is 0.74 and 0.84, recall 0.94 and 0.85 (`crates/plagiarism/examples/calibrate.rs`).
    pub confirm_cosine: f64,
    /// Folder of the sentence encoder; without it, where `make setup` puts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            preset: DetectorPreset::Ours,
            verbatim_chars: None,
            candidates: None,
            candidate_limit: 10,
            confirm: Confirmation::Encoder,
            confirm_cosine: 0.64,
            encoder: None,
        }
    }
}

/// Named sets of thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetectorPreset {
    /// This project's default.
    Ours,
    /// Lee et al. 2023.
    Lee2023,
    /// Sanchez-Perez et al., PAN 2015.
    Pan2015,
}

/// Ways to find documents that a generation may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Candidates {
    /// Ranked by BM25 over words.
    Bm25,
    /// Sharing the longest exact substrings.
    Exact,
    /// Holding the nearest sentences by cosine.
    Nearest,
}

/// How a paraphrase is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirmation {
    /// By the cosine of sentence vectors.
    Encoder,
    /// Not at all: every aligned passage counts.
    None,
}

/// `[report]`: what the page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reporting {
    /// Heading of the page; without it, the pipeline's name.
    pub title: String,
    /// Passages shown for each class and mode.
    pub examples: usize,
    /// Resamples of the bootstrap.
    pub resamples: usize,
}

impl Default for Reporting {
    fn default() -> Self {
        Self {
            title: String::new(),
            examples: 4,
            resamples: 1000,
        }
    }
}
