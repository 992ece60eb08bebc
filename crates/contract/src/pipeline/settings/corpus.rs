//! Where the private text is, and which part of it is kept back.

use serde::{Deserialize, Serialize};

use crate::pipeline::OneOrMany;

/// `[corpus]` or one of `[[corpus]]`: where the text is and which part of it is kept back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corpus {
    /// Name of the corpus, with which its training sets and cells begin; one alone needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
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
    /// What separates prompt and response in the training text.
    #[serde(default = "default_separator")]
    pub separator: String,
    /// What the columns of a row are. `auto` looks for `text`; without that column for `messages`,
    /// `conversations`, `chosen`, `prompt` with `completion`, and `instruction` with `output`, in
    /// this order, and says what it found.
    #[serde(default, skip_serializing_if = "is_auto")]
    pub shape: RowShape,
    /// Column of the conversation, for `shape = "messages"` or `"conversations"` where it has
    /// another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<String>,
    /// How training joined columns to a text, in place of `separator`: the name of a template
    /// (`alpaca`), or text with columns in braces,
    /// `"### Instruction:\n{question}\n\n### Response:\n{answer}"`. What comes before the column
    /// `response` is the prompt. For conversations, and for a prompt and a response as a
    /// conversation of two turns, the name of a chat template: `model` (the models' own, which
    /// conversations have without this key), `chatml`, `llama-2`, `llama-3`, `mistral`, `zephyr`,
    /// `gemma`, `phi-3`; or `none`: the turns alone, joined by `separator`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Where the models' own chat template is, in place of their folders: a folder with the files
    /// of a tokenizer, or a file of Jinja. For a named template, a folder whose special tokens it
    /// writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// What is between two fields of separated values: one character. Without it, the comma of
    /// `.csv` and the tab of `.tsv`, unless the header says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
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
    /// Stop at a document that takes more memory than this, in units of 10⁶ bytes: a file without
    /// line ends, or with a quote that never closes, is one document as long as the file.
    #[serde(
        default = "default_max_document_mb",
        skip_serializing_if = "is_default_max_document_mb"
    )]
    pub max_document_mb: usize,
    /// What to do with a document that is empty, not UTF-8, malformed, or without its column.
    #[serde(default)]
    pub bad_documents: BadDocuments,
    /// Stop where a larger share of the documents than this has to be left out because it cannot be
    /// read: empty, not UTF-8, malformed, or without its column.
    #[serde(default = "default_max_left_out")]
    pub max_left_out: f64,
    /// Share of the documents that no training run sees: the control.
    #[serde(default = "default_held_out")]
    pub held_out: f64,
    /// Share of the held-out documents that choose the checkpoint and the learning rate by their
    /// loss (role `validation`). The others choose nothing, and are the non-members of membership
    /// inference (role `test`).
    #[serde(default = "default_validation")]
    pub validation: f64,
    /// Files with more held-out text, of the same format and columns; what `files` holds too, up to
    /// white space, case and Unicode normal form, is left out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_files: Option<OneOrMany<String>>,
    /// Files of text of another kind: no control, and not trained on unless a mode asks for it
    /// (`other_share`), only scored, so that one sees what tuning made the model forget. Their
    /// format goes by name and content. Columns are those of this table where a file has them; else
    /// `text`, else `prompt` and `response`. Plain text has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<OneOrMany<String>>,
    /// Score this many documents of other text, chosen by hash: the same in every run. What is
    /// trained on is among the others.
    #[serde(default = "default_max_other", skip_serializing_if = "is_default_max_other")]
    pub max_other: usize,
}

impl Default for Corpus {
    fn default() -> Self {
        Self {
            name: None,
            files: OneOrMany::Many(Vec::new()),
            format: CorpusFormat::default(),
            text: default_text(),
            prompt: None,
            response: None,
            separator: default_separator(),
            shape: RowShape::default(),
            messages: None,
            template: None,
            chat_template: None,
            delimiter: None,
            identity: None,
            unit: TextUnit::default(),
            documents: None,
            shortage: Shortage::default(),
            min_chars: 0,
            max_chars: None,
            max_document_mb: default_max_document_mb(),
            bad_documents: BadDocuments::default(),
            max_left_out: default_max_left_out(),
            held_out: default_held_out(),
            validation: default_validation(),
            held_out_files: None,
            other: None,
            max_other: default_max_other(),
        }
    }
}

fn default_text() -> String {
    "text".to_owned()
}

fn default_separator() -> String {
    "\n".to_owned()
}

/// The largest value of `corpus.max_document_mb`.
pub const MAX_DOCUMENT_MB: usize = 2000;

/// No text that a model is tuned on comes near it, and a machine on which one is tuned can hold it.
fn default_max_document_mb() -> usize {
    1000
}

/// What is not asked for is left out, so that corpora made without it stay up to date.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
fn is_default_max_document_mb(megabytes: &usize) -> bool {
    *megabytes == default_max_document_mb()
}

fn default_max_left_out() -> f64 {
    0.01
}

fn default_held_out() -> f64 {
    0.2
}

fn default_validation() -> f64 {
    0.5
}

fn default_max_other() -> usize {
    200
}

/// What is not asked for is left out, so that corpora made without it stay up to date.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
fn is_default_max_other(documents: &usize) -> bool {
    *documents == default_max_other()
}

/// What is not asked for is left out, so that corpora made without it stay up to date.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
fn is_auto(shape: &RowShape) -> bool {
    *shape == RowShape::Auto
}

/// What the columns of a row are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowShape {
    /// By the columns that are there.
    #[default]
    Auto,
    /// The columns that `text`, `prompt` and `response`, or `template` name, and nothing else.
    Text,
    /// A conversation as a list of `role` and `content`; `content` may be a list of parts with
    /// `type` and `text`.
    Messages,
    /// A conversation as ShareGPT has it, a list of `from` and `value`.
    #[serde(alias = "sharegpt")]
    Conversations,
    /// `prompt` and `completion`, as text or as lists of messages; `corpus.prompt` and
    /// `corpus.response` may name others.
    Completion,
    /// `chosen` and `rejected`, with or without `prompt`, as text or as lists of messages. The
    /// chosen side is used, and the other is not.
    Preference,
    /// `instruction`, `input` and `output`, joined as Stanford Alpaca does.
    Alpaca,
}

/// Format of corpus files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CorpusFormat {
    /// By extension, below `.gz` or `.zst`: `.jsonl`/`.ndjson`/`.json`, `.csv`/`.tsv`, `.parquet`,
    /// `.arrow`, anything else plain text.
    #[default]
    Auto,
    /// One JSON object a line, or one array of them.
    #[serde(alias = "json")]
    Jsonl,
    /// Comma-separated values with a header (tab-separated for `.tsv`).
    Csv,
    /// Plain text.
    Text,
    /// Parquet.
    Parquet,
    /// Arrow IPC, as `save_to_disk` of Hugging Face's datasets writes it.
    Arrow,
}

/// What one document of a plain text file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextUnit {
    /// A whole file where a folder or several files are given. Where it is one file, what
    /// `<|endoftext|>` divides if it has that; or else a paragraph, or a line if none is blank.
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
