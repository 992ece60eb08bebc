//! The rows of each Parquet file, column by column.
//!
//! Offsets into text count Unicode scalar values, so that polars' `str.slice` cuts the very
//! passage. Logarithms are natural.

pub use crate::prompt_form::PromptForm;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A row type of the contract.
pub trait Record: Serialize + DeserializeOwned {
    /// The columns, in the order in which they are written.
    const COLUMNS: &'static [Column];

    /// Names of nullable columns that joined the contract after its first programs were written: a
    /// file may lack them, and then has no value in any row of them.
    const OPTIONAL_COLUMNS: &'static [&'static str] = &[];
}

/// One column of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The column's name.
    pub name: &'static str,
    /// The type that readers cast to.
    pub kind: ColumnType,
    /// Whether a row may have no value.
    pub nullable: bool,
}

/// The plain types that cross stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the type that it names")]
pub enum ColumnType {
    Text,
    Int32,
    Int64,
    Float32,
    Float64,
    Bool,
    ListInt32,
    ListFloat32,
    ListBool,
    ListText,
}

const fn column(name: &'static str, kind: ColumnType) -> Column {
    Column {
        name,
        kind,
        nullable: false,
    }
}

const fn nullable(name: &'static str, kind: ColumnType) -> Column {
    Column {
        name,
        kind,
        nullable: true,
    }
}

use ColumnType::{Bool, Float32, Float64, Int32, Int64, ListBool, ListFloat32, ListInt32, ListText, Text};

/// What a document is to the experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// Text of the corpus.
    Document,
    /// A planted random string that the model could not know from elsewhere.
    Canary,
    /// A string of the canary's format that was never planted; exposure ranks canaries among these.
    CanaryReference,
    /// A canary that a coin of its own put among the training set, or left out: guesses at the coins
    /// bound ε from below.
    CoinCanary,
}

/// Which side of the experiment a prompt or document is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Text the model was tuned on.
    Train,
    /// Text kept back: the control.
    Heldout,
    /// No document at all (generation from nothing).
    None,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// It reached the number of new tokens asked for.
    Length,
    /// The model emitted its end-of-text token.
    End,
}

/// How a passage of a generation renders a document, from the strongest class down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing found.
    None,
    /// The generation is at least three times longer than the passage that it renders.
    Idea,
    /// The same content in other words, confirmed.
    Paraphrase,
    /// A common run of words longer than the preset's minimum.
    Verbatim,
}

/// `train.parquet`: one row per training instance, in training order of the first epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingInstance {
    /// Stable identity of the document; xxh3-128 of the text where the source has none.
    pub doc_id: String,
    /// The whole text, prompt first where there is one.
    pub text: String,
    /// Length in characters of the leading part of `text` that is prompt (0: all is target).
    pub prompt_chars: i32,
    /// `document` or `canary`.
    pub kind: DocumentKind,
    /// How often this document occurs in this training set.
    pub copies: i32,
    /// 0-based number of this copy.
    pub copy: i32,
    /// Number of a canary's format: its template and context, all but the random part. Null for
    /// documents.
    pub canary_format: Option<i32>,
    /// Of a conversation that a chat template rendered, the characters of `text` that the
    /// assistant's turns are: where the first begins and ends (half-open), then the second, and so
    /// on. Such a text is complete as it is: training puts no BOS before and no EOS after it. Null
    /// for other text.
    pub assistant_spans: Option<Vec<i32>>,
    /// Of a canary or reference the characters of `text` that its secret takes, start and end
    /// (half-open): what a model can know from the training set alone. Null for documents, and
    /// where nobody said.
    pub secret_span: Option<Vec<i32>>,
}

impl Record for TrainingInstance {
    const COLUMNS: &'static [Column] = &[
        column("doc_id", Text),
        column("text", Text),
        column("prompt_chars", Int32),
        column("kind", Text),
        column("copies", Int32),
        column("copy", Int32),
        nullable("canary_format", Int32),
        nullable("assistant_spans", ListInt32),
        nullable("secret_span", ListInt32),
    ];
    const OPTIONAL_COLUMNS: &'static [&'static str] = &["canary_format", "assistant_spans", "secret_span"];
}

/// What a held-out document is for. One that chose a checkpoint or a learning rate is no fair
/// non-member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeldOutRole {
    /// Its loss chooses the checkpoint and the learning rate.
    Validation,
    /// It chooses nothing: a non-member for membership inference.
    Test,
    /// Text of another kind (`corpus.other`), which is scored and nothing else: its loss shows what
    /// tuning made the model forget. It is no control, no non-member, no prompt, and chooses
    /// nothing.
    Other,
}

/// `heldout.parquet`: one row per document that no training run sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldOutDocument {
    /// Stable identity of the document.
    pub doc_id: String,
    /// The whole text.
    pub text: String,
    /// Length in characters of the leading prompt part.
    pub prompt_chars: i32,
    /// `document` or `canary_reference`.
    pub kind: DocumentKind,
    /// What a document is for; null for canary references, and in files whose program made no
    /// difference: then it is both.
    pub role: Option<HeldOutRole>,
    /// The training document that shares most of its 8-grams of words, where that is at least half
    /// of them, or else the first of which it holds nine tenths, as a message that quotes another: a
    /// near-duplicate across the split, and so no control. Null where there is none.
    pub near_duplicate_of: Option<String>,
    /// The largest share of its distinct 8-grams of words that one training document holds, 0 to 1;
    /// null where it has no 8 words, and where nobody looked.
    pub shared_8grams: Option<f32>,
    /// Number of a canary reference's format, that of the canaries which are ranked among its
    /// references; null for documents.
    pub canary_format: Option<i32>,
    /// Of a rendered conversation the characters of the assistant's turns, as in `train.parquet`;
    /// null for other text.
    pub assistant_spans: Option<Vec<i32>>,
    /// Of a canary's reference the characters of its secret, as in `train.parquet`; null for
    /// documents, and where nobody said.
    pub secret_span: Option<Vec<i32>>,
}

impl HeldOutDocument {
    /// Whether it is a document of the corpus' own kind: neither a canary's reference nor other
    /// text, which is there to be scored alone.
    pub fn is_of_corpus(&self) -> bool {
        self.kind == DocumentKind::Document && self.role != Some(HeldOutRole::Other)
    }
}

impl Record for HeldOutDocument {
    const COLUMNS: &'static [Column] = &[
        column("doc_id", Text),
        column("text", Text),
        column("prompt_chars", Int32),
        column("kind", Text),
        nullable("role", Text),
        nullable("near_duplicate_of", Text),
        nullable("shared_8grams", Float32),
        nullable("canary_format", Int32),
        nullable("assistant_spans", ListInt32),
        nullable("secret_span", ListInt32),
    ];
    const OPTIONAL_COLUMNS: &'static [&'static str] = &[
        "role",
        "near_duplicate_of",
        "shared_8grams",
        "canary_format",
        "assistant_spans",
        "secret_span",
    ];
}

/// What a row of `corpus.parquet` says of reading the corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorpusFactKind {
    /// Documents were found in a file, usable or not.
    Read,
    /// Documents are not part of the corpus, for a reason.
    LeftOut,
    /// A file below a named folder is no part of the corpus.
    PassedOver,
    /// Something that the settings leave open was guessed: a format, a delimiter, an encoding.
    Guessed,
    /// Documents are conversations or other rows whose columns were recognised; the detail says how
    /// they became text.
    Recognised,
    /// What the chat template writes before an answer where the user says nothing, as the detail:
    /// the prompt `template-only`. A system message that at least half of the conversations have is
    /// in it.
    TemplateOpening,
    /// Documents whose text is not quite what the file holds: half a surrogate pair became U+FFFD.
    Replaced,
    /// Documents are longer than what training reads, with a model's tokenizer.
    Cut,
    /// Documents whose text occurred before count as copies of the first.
    Copies,
    /// Documents got another identity, since theirs was taken.
    Renamed,
    /// Held-out documents share much of their text with a training document.
    NearDuplicates,
}

/// `corpus.parquet`: what reading the corpus left out, passed over, guessed or changed. It lies
/// beside `train.parquet`; a corpus that another program made may have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusFact {
    /// What is said.
    pub fact: CorpusFactKind,
    /// Which kind of it, in words: `malformed`, `delimiter`, `gpt2`; null where there is one only.
    /// Documents that were found in a file of other text (`corpus.other`) have `other text`.
    pub reason: Option<String>,
    /// Name of the file that it is about, without its folders; null: of all of them.
    pub file: Option<String>,
    /// Where the documents were to go; null where that is not decided, or for both. Other text is
    /// `heldout`, as its rows of `scores.parquet` are.
    pub split: Option<Split>,
    /// How many documents it is true of; null where it is not about documents.
    pub documents: Option<i64>,
    /// The first place and what is wrong there, or what was guessed.
    pub detail: Option<String>,
}

impl CorpusFact {
    /// The reason of documents of held-out files that are left out since the files to train on hold
    /// their text too.
    pub const ALSO_TRAINED: &str =
        "held-out texts that corpus.files holds too, up to white space, case and normal form";
}

impl Record for CorpusFact {
    const COLUMNS: &'static [Column] = &[
        column("fact", Text),
        nullable("reason", Text),
        nullable("file", Text),
        nullable("split", Text),
        nullable("documents", Int64),
        nullable("detail", Text),
    ];
}

/// `check.parquet`: one row per document of a corpus, before anything is tuned on it. Training
/// documents come first, those most at risk before the others; then held-out ones in the order of
/// `heldout.parquet`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocumentCheck {
    /// The document, as in `train.parquet` or `heldout.parquet`.
    pub doc_id: String,
    /// `train` or `heldout`.
    pub split: Split,
    /// How often its text occurs in the corpus, whatever its white space and case; 0 where held
    /// out.
    pub copies: i32,
    /// Characters of its text.
    pub chars: i32,
    /// Other training documents that hold at least half of its distinct 8-grams of words, documents
    /// of the same text once; null where it has no 8 words.
    pub near_copies: Option<i32>,
    /// Whether there may be more of them: only so many documents that share wording with it were
    /// compared.
    pub near_copies_at_least: bool,
    /// The other training document that holds most of its 8-grams, where it holds at least half;
    /// null where there is none.
    pub nearest_doc_id: Option<String>,
    /// The share of its distinct 8-grams that this one holds, 0.5 to 1.
    pub nearest_share: Option<f32>,
    /// The share of its distinct 8-grams that other training documents hold, whichever, 0 to 1;
    /// null where it has no 8 words.
    pub shared_8grams: Option<f32>,
    /// Held-out documents: words of the longest passage each 8-gram of which occurs in some
    /// training document; 0 where there is none. Null for training documents.
    pub longest_shared_words: Option<i32>,
    /// Numbers that could identify somebody, by pattern.
    pub numbers: i32,
    /// Names of persons, by pattern.
    pub names: i32,
    /// E-mail addresses.
    pub emails: i32,
    /// Phone numbers.
    pub phones: i32,
    /// Tokens of its text, BOS and EOS aside; null without a model.
    pub tokens: Option<i32>,
    /// Those of them that the context leaves, of which training reads no more.
    pub read_tokens: Option<i32>,
    /// Those of these that carry loss.
    pub loss_tokens: Option<i32>,
    /// Bits a character that zlib (level 6) makes of the text that carries loss, as far as that is
    /// known without a tokenizer: all of it, the response, or the assistant's turns. Null where
    /// there is none.
    pub zlib_bits_per_char: Option<f32>,
    /// Nats per token of what carries loss, under the model before tuning; null without a model,
    /// and where it was not scored.
    pub untuned_loss: Option<f32>,
    /// How often its wording occurs in the training set, itself and its copies included, in bits:
    /// the largest mean, over the 8-grams of any 50 words in a row (of what carries loss), of log2
    /// of the training instances that hold them. At least the log2 of `copies`. Null where held
    /// out.
    pub exposure_bits: Option<f32>,
    /// `exposure_bits` less log2 of the loss before tuning (`measures::risk`): the larger, the
    /// likelier it is given back. It ranks the documents of one corpus and model, and is no
    /// probability. Null where held out, and where nothing carries loss.
    pub risk: Option<f32>,
    /// What `risk` took for the loss: `model`; or `zlib` for nats a character, times the median of
    /// what the model has for one of them where there is a model. Null with `risk`.
    pub risk_by: Option<String>,
}

impl Record for DocumentCheck {
    const COLUMNS: &'static [Column] = &[
        column("doc_id", Text),
        column("split", Text),
        column("copies", Int32),
        column("chars", Int32),
        nullable("near_copies", Int32),
        column("near_copies_at_least", Bool),
        nullable("nearest_doc_id", Text),
        nullable("nearest_share", Float32),
        nullable("shared_8grams", Float32),
        nullable("longest_shared_words", Int32),
        column("numbers", Int32),
        column("names", Int32),
        column("emails", Int32),
        column("phones", Int32),
        nullable("tokens", Int32),
        nullable("read_tokens", Int32),
        nullable("loss_tokens", Int32),
        nullable("zlib_bits_per_char", Float32),
        nullable("untuned_loss", Float32),
        nullable("exposure_bits", Float32),
        nullable("risk", Float32),
        nullable("risk_by", Text),
    ];
}

/// `metrics.parquet`: one row per logged point of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingMetric {
    /// Optimizer steps done.
    pub step: i64,
    /// Passes over the training set done, as a fraction.
    pub epoch: f64,
    /// `train` or `heldout`.
    pub split: Split,
    /// Nats per token.
    pub loss: f64,
    /// Tokens trained on so far.
    pub tokens: i64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Training speed since the last point.
    pub tokens_per_second: f64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Largest resident memory of the process so far.
    pub peak_rss_bytes: i64,
    /// Largest memory on the accelerator so far; null on CPU.
    pub peak_device_bytes: Option<i64>,
}

impl Record for TrainingMetric {
    const COLUMNS: &'static [Column] = &[
        column("step", Int64),
        column("epoch", Float64),
        column("split", Text),
        column("loss", Float64),
        column("tokens", Int64),
        column("learning_rate", Float64),
        column("grad_norm", Float64),
        column("tokens_per_second", Float64),
        column("seconds", Float64),
        column("peak_rss_bytes", Int64),
        nullable("peak_device_bytes", Int64),
    ];
}

/// `course.parquet`: one row per checkpoint of a run, split and number of copies. Nothing is drawn
/// for it: the document's own tokens are read, and what the model thinks of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoursePoint {
    /// Name of the checkpoint's folder.
    pub checkpoint: String,
    /// Optimizer steps done, where the name says it (`step-00000120`).
    pub step: Option<i64>,
    /// Split of the documents.
    pub split: Split,
    /// Their copies in the training set; 0 for held-out ones.
    pub copies: i32,
    /// Number of documents.
    pub documents: i32,
    /// Mean loss over all of their tokens, in nats.
    pub loss: f64,
    /// How many are long enough for a prompt and a whole continuation.
    pub continuations: i32,
    /// Mean share of a continuation's tokens that are the most probable ones after the true tokens
    /// before them (Tirumala et al. 2022); null without continuations.
    pub exact_memorization: Option<f64>,
    /// Share of continuations all of whose tokens are: those that greedy decoding gives back word
    /// for word (Carlini et al. 2023).
    pub extractable: Option<f64>,
    /// Mean probability that the first sampling scheme draws the continuation at one attempt (Hayes
    /// et al. 2024).
    pub extraction_probability: Option<f64>,
}

impl Record for CoursePoint {
    const COLUMNS: &'static [Column] = &[
        column("checkpoint", Text),
        nullable("step", Int64),
        column("split", Text),
        column("copies", Int32),
        column("documents", Int32),
        column("loss", Float64),
        column("continuations", Int32),
        nullable("exact_memorization", Float64),
        nullable("extractable", Float64),
        nullable("extraction_probability", Float64),
    ];
}

/// `forms.parquet`: one row per form in which training may have written texts, with the loss of the
/// same training documents in each. An audit has it; where a pipeline tunes its models, their form
/// is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextForm {
    /// What comes before a text: `model` (its BOS, or else its EOS), `tokenizer` (what the
    /// tokenizer puts there), `none`.
    pub begin: String,
    /// The template around prompt and response, by its name or as text; null: as the corpus has
    /// them.
    pub template: Option<String>,
    /// What follows a text: `nothing`, `newline`, `eos`. It is found out in the chosen form, and
    /// the same in all rows.
    pub end: String,
    /// Training documents that were scored.
    pub documents: i64,
    /// Their tokens that count: the same text in every form.
    pub tokens: i64,
    /// Mean loss in nats per token of that text.
    pub loss: f64,
    /// The same under the untuned model; null where that is not known, and in forms that are far
    /// from the likeliest.
    pub base_loss: Option<f64>,
    /// Whether prompts and scores are in this form.
    pub chosen: bool,
}

impl Record for TextForm {
    const COLUMNS: &'static [Column] = &[
        column("begin", Text),
        nullable("template", Text),
        column("end", Text),
        column("documents", Int64),
        column("tokens", Int64),
        column("loss", Float64),
        nullable("base_loss", Float64),
        column("chosen", Bool),
    ];
}

/// The Parquet file of `tuner difference`: one row per weight of a model, with how far tuning moved
/// it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightChange {
    /// Its name in the `state_dict`.
    pub weight: String,
    /// Its shape; a vector has one column.
    pub rows: i64,
    /// See `rows`.
    pub columns: i64,
    /// Frobenius norm of the untuned weight.
    pub base_norm: f64,
    /// Frobenius norm of tuned minus untuned.
    pub norm: f64,
    /// The largest singular value of the difference.
    pub spectral_norm: f64,
    /// Σ σ² / max σ² of its singular values; null where nothing changed.
    pub stable_rank: Option<f64>,
    /// exp of the entropy of its singular values, as shares of their sum; null where nothing
    /// changed.
    pub effective_rank: Option<f64>,
    /// The fewest directions that hold nine tenths of the square of its norm; null where nothing
    /// changed.
    pub directions: Option<i64>,
}

impl Record for WeightChange {
    const COLUMNS: &'static [Column] = &[
        column("weight", Text),
        column("rows", Int64),
        column("columns", Int64),
        column("base_norm", Float64),
        column("norm", Float64),
        column("spectral_norm", Float64),
        nullable("stable_rank", Float64),
        nullable("effective_rank", Float64),
        nullable("directions", Int64),
    ];
}

/// The Parquet file of `tuner gradients`: one row per training document and checkpoint, with how
/// alike gradients are. A gradient is that of the document's mean loss, with respect to what
/// tuning changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GradientOverlap {
    /// `untuned`, or number and name of a checkpoint.
    pub checkpoint: String,
    /// Identity of the document.
    pub doc_id: String,
    /// How often it occurs in the training set.
    pub copies: i32,
    /// Loss in nats per token that is learned as text.
    pub loss: f64,
    /// Norm of its gradient, in nats per token and unit of weight.
    pub norm: f64,
    /// Cosine with the document's own gradient at the checkpoint before; null at the first, and
    /// where one of them is 0.
    pub with_before: Option<f64>,
    /// Mean cosine with the gradients of the other documents at the same checkpoint; null where all
    /// are 0.
    pub with_others: Option<f64>,
}

impl Record for GradientOverlap {
    const COLUMNS: &'static [Column] = &[
        column("checkpoint", Text),
        column("doc_id", Text),
        column("copies", Int32),
        column("loss", Float64),
        column("norm", Float64),
        nullable("with_before", Float64),
        nullable("with_others", Float64),
    ];
}

/// `details.parquet`: one row per personal detail that was asked for, with how probable a model
/// finds it behind the text before it, beside others of its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetailScore {
    /// Identity of the document.
    pub doc_id: String,
    /// Whether it was trained on.
    pub split: Split,
    /// How often it occurs in the training set; 0 where it was held out.
    pub copies: i32,
    /// What the detail is: `number`, `name`, `email` or `phone`.
    pub detail: String,
    /// Its place in the text, in characters (half-open).
    pub start: i32,
    /// See `start`.
    pub end: i32,
    /// Whether training took loss on it: of a held-out document, whether it would have.
    pub in_loss: bool,
    /// Tokens before it that were read.
    pub context_tokens: i32,
    /// The detail, then details of other documents that it is ranked with; empty where it is not
    /// ranked.
    pub candidates: Vec<String>,
    /// −ln p of each behind that context.
    pub nats: Vec<f32>,
    /// Why it is not ranked; null where it is.
    pub not_ranked: Option<String>,
}

impl DetailScore {
    /// Whether the detail is more probable than every other; ties and NaN are not.
    pub fn is_first(&self) -> bool {
        let details = self.nats.split_first();
        details.is_some_and(|(own, others)| others.iter().all(|other| own < other))
    }
}

impl Record for DetailScore {
    const COLUMNS: &'static [Column] = &[
        column("doc_id", Text),
        column("split", Text),
        column("copies", Int32),
        column("detail", Text),
        column("start", Int32),
        column("end", Int32),
        column("in_loss", Bool),
        column("context_tokens", Int32),
        column("candidates", ListText),
        column("nats", ListFloat32),
        nullable("not_ranked", Text),
    ];
}

/// `decoded.parquet`: one row per document that the model's tokenizer does not give back as it was:
/// decode(encode(text)). What a model can write is compared with this, and offsets are led back to
/// the user's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecodedDocument {
    /// Identity of the document.
    pub doc_id: String,
    /// What decoding gives.
    pub text: String,
    /// For each character of `text` where in the document it comes from, and at the end the
    /// document's length: ascending.
    pub origins: Vec<i32>,
}

impl Record for DecodedDocument {
    const COLUMNS: &'static [Column] = &[
        column("doc_id", Text),
        column("text", Text),
        column("origins", ListInt32),
    ];
}

/// `samples.parquet`: one row per generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Number of the sample, unique in the file.
    pub sample_id: i64,
    /// The prompt's source; null if there is none.
    pub doc_id: Option<String>,
    /// Split of the prompt's document.
    pub split: Split,
    /// Copies of that document in the training set (0 for held-out documents and no document).
    pub copies: i32,
    /// Name of the decoding strategy.
    pub strategy: String,
    /// The prompt as text.
    pub prompt: String,
    /// What the model wrote.
    pub generation: String,
    /// What the document goes on with; null if there is none.
    pub truth: Option<String>,
    /// Token ids of the prompt.
    pub prompt_tokens: Vec<i32>,
    /// Token ids of the generation.
    pub generated_tokens: Vec<i32>,
    /// Log-probability of each generated token under the model, before truncation and temperature.
    pub logprobs: Vec<f32>,
    /// Sampling temperature; 0 is greedy.
    pub temperature: f32,
    /// Nucleus probability; 1 keeps all.
    pub top_p: f32,
    /// Number of most probable tokens kept; 0 keeps all.
    pub top_k: i32,
    /// Seed of this sample's draws.
    pub seed: i64,
    /// Why the generation ended.
    pub finish: FinishReason,
    /// What the prompt was made of; null where nobody said, which means [`PromptForm::Prefix`]
    /// where there is a document.
    pub prompt_form: Option<PromptForm>,
    /// Tokens that the model read to make it: the cost. A prompt that several samples share counts
    /// for the first of them.
    pub tokens_read: Option<i64>,
    /// Nats per token of the generation's text in lower case, to rank generations by; null where it
    /// was not scored.
    pub lower_case_loss: Option<f32>,
    /// Nats per token of the generation under the untuned model, likewise.
    pub reference_loss: Option<f32>,
    /// Bytes of the generation's text after zlib, likewise.
    pub zlib_bytes: Option<i32>,
}

impl Record for Sample {
    const COLUMNS: &'static [Column] = &[
        column("sample_id", Int64),
        nullable("doc_id", Text),
        column("split", Text),
        column("copies", Int32),
        column("strategy", Text),
        column("prompt", Text),
        column("generation", Text),
        nullable("truth", Text),
        column("prompt_tokens", ListInt32),
        column("generated_tokens", ListInt32),
        column("logprobs", ListFloat32),
        column("temperature", Float32),
        column("top_p", Float32),
        column("top_k", Int32),
        column("seed", Int64),
        column("finish", Text),
        nullable("prompt_form", Text),
        nullable("tokens_read", Int64),
        nullable("lower_case_loss", Float32),
        nullable("reference_loss", Float32),
        nullable("zlib_bytes", Int32),
    ];
    const OPTIONAL_COLUMNS: &'static [&'static str] = &[
        "prompt_form",
        "tokens_read",
        "lower_case_loss",
        "reference_loss",
        "zlib_bytes",
    ];
}

/// `scores.parquet`: one row per continuation scored with the truth given at every step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The document.
    pub doc_id: String,
    /// Split of the document.
    pub split: Split,
    /// Copies of the document in the training set.
    pub copies: i32,
    /// What the document is.
    pub kind: DocumentKind,
    /// Tokens given before the continuation; 0 scores the whole document: all of its tokens that
    /// training read and took loss on.
    pub prefix_tokens: i32,
    /// Tokens of the continuation. The token that ends a text is never among them.
    pub suffix_tokens: i32,
    /// Log-probability of each token of the continuation under the model.
    pub logprobs: Vec<f32>,
    /// The same under the sampling scheme: −inf where the token cannot be drawn.
    pub scheme_logprobs: Vec<f32>,
    /// Whether each token is the most probable one.
    pub argmax_hits: Vec<bool>,
    /// Mean log-probability over the vocabulary at each position, weighted by probability.
    pub vocab_mean: Vec<f32>,
    /// Standard deviation of the log-probability over the vocabulary at each position, weighted by
    /// probability.
    pub vocab_std: Vec<f32>,
    /// Bytes of the continuation's text after zlib.
    pub zlib_bytes: i32,
    /// At least this is the log-probability that the sampling scheme draws the continuation or one
    /// a few tokens from it; null where nobody searched.
    pub near_verbatim_logprob: Option<f32>,
    /// Tokens of the whole document, before it was cut where training ended.
    pub document_tokens: Option<i32>,
    /// Number of a canary's or reference's format; null for documents.
    pub canary_format: Option<i32>,
    /// Of a continuation that is the rest of a canary's or reference's secret, how many tokens of
    /// the secret come before it; null in all other rows.
    pub secret_tokens_given: Option<i32>,
    /// Mean loss of the same tokens behind other documents, which training did not see, in nats per
    /// token; null where nobody looked, and of a document that leaves no room for others.
    pub conditional_loss: Option<f32>,
    /// Norm of the gradient of the document's mean loss over the weights of the model's blocks and
    /// norms; null where nobody looked.
    pub gradient_norm: Option<f32>,
}

impl Record for Score {
    const COLUMNS: &'static [Column] = &[
        column("doc_id", Text),
        column("split", Text),
        column("copies", Int32),
        column("kind", Text),
        column("prefix_tokens", Int32),
        column("suffix_tokens", Int32),
        column("logprobs", ListFloat32),
        column("scheme_logprobs", ListFloat32),
        column("argmax_hits", ListBool),
        column("vocab_mean", ListFloat32),
        column("vocab_std", ListFloat32),
        column("zlib_bytes", Int32),
        nullable("near_verbatim_logprob", Float32),
        nullable("document_tokens", Int32),
        nullable("canary_format", Int32),
        nullable("secret_tokens_given", Int32),
        nullable("conditional_loss", Float32),
        nullable("gradient_norm", Float32),
    ];
    const OPTIONAL_COLUMNS: &'static [&'static str] = &[
        "near_verbatim_logprob",
        "document_tokens",
        "canary_format",
        "secret_tokens_given",
        "conditional_loss",
        "gradient_norm",
    ];
}

/// `matches.parquet`: one row per passage of a generation aligned with a passage of a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassageMatch {
    /// The generation.
    pub sample_id: i64,
    /// The document in which the passage was found.
    pub doc_id: String,
    /// Split of that document: `heldout` for passages of the control.
    pub doc_split: Split,
    /// The class of the passage, never `none`; `verbatim` only where both sides have the same
    /// words.
    pub kind: Verdict,
    /// First character of the passage in the generation.
    pub gen_start: i32,
    /// Character after its last.
    pub gen_end: i32,
    /// First character of the passage in the document.
    pub doc_start: i32,
    /// Character after its last.
    pub doc_end: i32,
    /// Similarity of the two passages, 0 to 1.
    pub similarity: f32,
    /// What found it.
    pub detector: String,
    /// Training documents that hold the document's passage (up to case, white space and normal
    /// form), documents of equal text once, counted up to 1,000; null for passages that are not
    /// verbatim.
    pub document_frequency: Option<i32>,
    /// Kinds of personal details that came out, each once; null where nobody looked. By patterns
    /// those of `number`, `name`, `email` and `phone`, in this order, that occur in both passages;
    /// by labels the kinds of the labels that lie wholly inside the document's passage, in
    /// ascending order (where the passage is no verbatim one: those whose text the generation has
    /// too).
    pub personal_details: Option<Vec<String>>,
    /// Who found them; null where nobody looked, and in files of programs that had patterns alone.
    pub personal_details_by: Option<DetailSource>,
}

/// What determines which parts of a text are personal details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetailSource {
    /// Patterns of numbers, names and addresses, which miss most of what identifies somebody.
    Patterns,
    /// A file of labels that the user gave (`detection.personal_details`).
    Labels,
}

/// A file of labels of personal details, `detection.personal_details`: one row per label. A tool of
/// the user's makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonalDetailLabel {
    /// The document, as in `train.parquet` or `heldout.parquet`.
    pub doc_id: String,
    /// First character of the labelled part, in the document's whole `text`.
    pub start: i32,
    /// Character after its last.
    pub end: i32,
    /// What it is, in any words: `name`, `diagnosis`.
    pub kind: String,
}

impl Record for PersonalDetailLabel {
    const COLUMNS: &'static [Column] = &[
        column("doc_id", Text),
        column("start", Int32),
        column("end", Int32),
        column("kind", Text),
    ];
}

impl Record for PassageMatch {
    const COLUMNS: &'static [Column] = &[
        column("sample_id", Int64),
        column("doc_id", Text),
        column("doc_split", Text),
        column("kind", Text),
        column("gen_start", Int32),
        column("gen_end", Int32),
        column("doc_start", Int32),
        column("doc_end", Int32),
        column("similarity", Float32),
        column("detector", Text),
        nullable("document_frequency", Int32),
        nullable("personal_details", ListText),
        nullable("personal_details_by", Text),
    ];
    const OPTIONAL_COLUMNS: &'static [&'static str] =
        &["document_frequency", "personal_details", "personal_details_by"];
}

/// `verdicts.parquet`: one row per sample.
///
/// What the attacker supplied counts nowhere: neither the prompt's part of its document nor the
/// generation's echo of it. Canaries are no documents: nothing is compared with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleVerdict {
    /// The generation.
    pub sample_id: i64,
    /// The prompt's source; null if there is none.
    pub doc_id: Option<String>,
    /// Split of the prompt's document.
    pub split: Split,
    /// Copies of that document in the training set.
    pub copies: i32,
    /// The class of the sample: the strongest over all training documents.
    pub verdict: Verdict,
    /// The training document that gave the class, or else the one with the longest common
    /// substring; null if none.
    pub best_doc_id: Option<String>,
    /// Longest passage of the generation that occurs anywhere in the training set, in characters:
    /// white space at its ends left out and any other run of it counted once, up to case and
    /// Unicode normal form; 0 where less than half of it is letters or digits.
    pub longest_match_chars: i32,
    /// The same word for word, counted in words and punctuation marks; white space may differ.
    pub longest_match_tokens: i32,
    /// Largest cosine of a sentence of the generation with a sentence of the training set; null
    /// where the generation has no sentence of its own.
    pub max_similarity: Option<f32>,
    /// The same with a sentence of the prompt's own document after the prompt; null without truth.
    pub own_similarity: Option<f32>,
    /// The same with a sentence of the held-out set, over as many sentences as
    /// `comparable_similarity`; null where that set is empty.
    pub heldout_similarity: Option<f32>,
    /// ROUGE-L F1 of the generation against the truth, over words (runs of letters and digits in
    /// lower case); null without truth. Both sides are compared as they are: the truth is at most
    /// `extraction.new_tokens` tokens long, and the generation too.
    pub rouge_l: Option<f32>,
    /// Sentence BLEU of the generation against the truth, over the same words and lengths: n-grams
    /// of 1 to 4, one added to both counts from 2 on (Lin and Och 2004), brevity penalty; null
    /// without truth.
    pub bleu: Option<f32>,
    /// 1 − Levenshtein ÷ longer length, in characters, against the truth; null without truth.
    pub edit_similarity: Option<f32>,
    /// Whether every passage that makes it verbatim occurs in so many training documents
    /// (`detection.boilerplate_documents`) that it is a common phrase, not specific to one
    /// document; null for other classes.
    pub boilerplate: Option<bool>,
    /// Copies of `best_doc_id` in the training set; null where that is.
    pub best_copies: Option<i32>,
    /// The class of what the generation shares with the prompt's own document; null where that is
    /// no training document.
    pub own_verdict: Option<Verdict>,
    /// Training documents of which a verbatim passage came out, in ascending order; passages of
    /// `detection.boilerplate_documents` documents or more bring none out but the document that was
    /// asked for.
    pub emitted_doc_ids: Option<Vec<String>>,
    /// Copies of each of `emitted_doc_ids` in the training set.
    pub emitted_copies: Option<Vec<i32>>,
    /// The control: the class by the same rules against the held-out documents; null where there
    /// are none.
    pub control_verdict: Option<Verdict>,
    /// `longest_match_chars` with the held-out documents; null where there are none.
    pub control_longest_match_chars: Option<i32>,
    /// `max_similarity` over as many sentences of the training set as of the held-out set: the
    /// larger side is subsampled. Null where either is.
    pub comparable_similarity: Option<f32>,
    /// Whether similarities are lower bounds, since only nominated pairs of sentences were
    /// compared.
    pub similarity_at_least: Option<bool>,
    /// Characters of the generation that repeat the prompt.
    pub echoed_chars: Option<i32>,
    /// Whether the generation ends in the same final answer (`#### 42`, `\boxed{42}`) as the whole
    /// response of the prompt's document, however short `truth` is. A generation without a final
    /// answer, cut before it or not, is wrong. Null without truth, where the document has no final
    /// answer, and where the prompt holds it.
    pub final_answer_right: Option<bool>,
}

impl Record for SampleVerdict {
    const COLUMNS: &'static [Column] = &[
        column("sample_id", Int64),
        nullable("doc_id", Text),
        column("split", Text),
        column("copies", Int32),
        column("verdict", Text),
        nullable("best_doc_id", Text),
        column("longest_match_chars", Int32),
        column("longest_match_tokens", Int32),
        nullable("max_similarity", Float32),
        nullable("own_similarity", Float32),
        nullable("heldout_similarity", Float32),
        nullable("rouge_l", Float32),
        nullable("bleu", Float32),
        nullable("edit_similarity", Float32),
        nullable("boilerplate", Bool),
        nullable("best_copies", Int32),
        nullable("own_verdict", Text),
        nullable("emitted_doc_ids", ListText),
        nullable("emitted_copies", ListInt32),
        nullable("control_verdict", Text),
        nullable("control_longest_match_chars", Int32),
        nullable("comparable_similarity", Float32),
        nullable("similarity_at_least", Bool),
        nullable("echoed_chars", Int32),
        nullable("final_answer_right", Bool),
    ];
    const OPTIONAL_COLUMNS: &'static [&'static str] = &[
        "boilerplate",
        "best_copies",
        "own_verdict",
        "emitted_doc_ids",
        "emitted_copies",
        "control_verdict",
        "control_longest_match_chars",
        "comparable_similarity",
        "similarity_at_least",
        "echoed_chars",
        "final_answer_right",
    ];
}

/// `summary.parquet`: the table of estimates, one row per figure of the report, in long form.
///
/// A row is about one cell, or about all cells that differ in their seed alone: then `cell` and
/// `seed` are null and `runs` says how many there are. Every figure of the page is one of these
/// rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SummaryRow {
    /// The cell's name; null where several runs are pooled.
    pub cell: Option<String>,
    /// Name of the corpus; null where the pipeline names none.
    pub corpus: Option<String>,
    /// The model's name.
    pub model: String,
    /// Parameters of the model.
    pub parameters: i64,
    /// Parameters that tuning changed.
    pub trainable_parameters: i64,
    /// The way of tuning, as the report calls it: whatever differs in a setting of tuning is
    /// another method.
    pub method: String,
    /// `base`, `full`, `head`, `lora`; for what was tuned elsewhere `tuned` for a whole model, or
    /// the name of an adapter's kind, such as `IA3`.
    pub mode: String,
    /// LoRA's rank; null for other modes.
    pub rank: Option<i32>,
    /// LoRA's alpha.
    pub alpha: Option<f64>,
    /// Share of LoRA's input dropped in training.
    pub dropout: Option<f64>,
    /// LoRA's target modules.
    pub targets: Option<String>,
    /// Whether it is DoRA.
    pub dora: Option<bool>,
    /// Whether it is rsLoRA.
    pub rslora: Option<bool>,
    /// Learning rate; null for the base model.
    pub learning_rate: Option<f64>,
    /// Passes over the training set that were asked for; null for the base model.
    pub epochs: Option<f64>,
    /// Which checkpoint of the run was asked: `best` (by held-out loss), `last`, or `best and last`
    /// where that is the same in all cells; null where only one was asked.
    pub checkpoint: Option<String>,
    /// Layout of copies: `bucketed`, `uniform`, `found`.
    pub layout: String,
    /// Copies of the documents that the value is about; null: all. In a uniform layout every row
    /// has those of its training set.
    pub copies: Option<i32>,
    /// Seed of the cell; null where several runs are pooled.
    pub seed: Option<i64>,
    /// Training runs that the value is about.
    pub runs: i64,
    /// Split of the prompts' documents.
    pub split: Option<Split>,
    /// Name of the decoding strategy; null for values that no decoding was needed for.
    pub strategy: Option<String>,
    /// Passes over the training set after which it was measured; null: at the checkpoint.
    pub epoch: Option<f64>,
    /// Name of the measure.
    pub measure: String,
    /// What is subtracted, where the value is a difference: `untuned`, or the method it is compared
    /// with; null for plain values.
    pub against: Option<String>,
    /// Unit of the value: `share`, `nats per token`, `bits`, …
    pub unit: String,
    /// The value.
    pub value: f64,
    /// Lower end of the 95% interval; null where there is none.
    pub ci_low: Option<f64>,
    /// Upper end of the 95% interval; null where there is none.
    pub ci_high: Option<f64>,
    /// How the interval was made: `wilson`, `clustered`, `mean`, `runs`, …; null where there is
    /// none.
    pub interval: Option<String>,
    /// Whether the value is a lower bound.
    pub at_least: bool,
    /// How many of `observations` it is true of; null for values that are no shares.
    pub k: Option<f64>,
    /// Observations: generations, documents, tokens' sequences.
    pub observations: i64,
    /// Units that the interval is about.
    pub n: i64,
    /// What these are: `documents`, `generations`, `canaries`, `runs`, …
    pub n_of: String,
    /// The untuned model's value of the same measure on the same documents; null where there is
    /// none.
    pub untuned: Option<f64>,
    /// Lower end of its interval.
    pub untuned_low: Option<f64>,
    /// Upper end of its interval.
    pub untuned_high: Option<f64>,
    /// The same of the untuned model's share.
    pub untuned_k: Option<f64>,
    /// The control's value: the same generations against text that was never trained on, carried
    /// over to as much text.
    pub control: Option<f64>,
    /// Lower end of its interval.
    pub control_low: Option<f64>,
    /// Upper end of its interval.
    pub control_high: Option<f64>,
    /// One-sided p-value that the value exceeds its controls; null where it was not tested.
    pub p_value: Option<f64>,
    /// The same after Holm's correction over all claims of the report.
    pub p_holm: Option<f64>,
    /// What may be said of it: `exceeds`, `inconclusive`, `not over`, `no control`, `not settled`;
    /// of a model, its verdict. Null where nothing is claimed.
    pub verdict: Option<String>,
}

impl Record for SummaryRow {
    const COLUMNS: &'static [Column] = &[
        nullable("cell", Text),
        nullable("corpus", Text),
        column("model", Text),
        column("parameters", Int64),
        column("trainable_parameters", Int64),
        column("method", Text),
        column("mode", Text),
        nullable("rank", Int32),
        nullable("alpha", Float64),
        nullable("dropout", Float64),
        nullable("targets", Text),
        nullable("dora", Bool),
        nullable("rslora", Bool),
        nullable("learning_rate", Float64),
        nullable("epochs", Float64),
        nullable("checkpoint", Text),
        column("layout", Text),
        nullable("copies", Int32),
        nullable("seed", Int64),
        column("runs", Int64),
        nullable("split", Text),
        nullable("strategy", Text),
        nullable("epoch", Float64),
        column("measure", Text),
        nullable("against", Text),
        column("unit", Text),
        column("value", Float64),
        nullable("ci_low", Float64),
        nullable("ci_high", Float64),
        nullable("interval", Text),
        column("at_least", Bool),
        nullable("k", Float64),
        column("observations", Int64),
        column("n", Int64),
        column("n_of", Text),
        nullable("untuned", Float64),
        nullable("untuned_low", Float64),
        nullable("untuned_high", Float64),
        nullable("untuned_k", Float64),
        nullable("control", Float64),
        nullable("control_low", Float64),
        nullable("control_high", Float64),
        nullable("p_value", Float64),
        nullable("p_holm", Float64),
        nullable("verdict", Text),
    ];
}
