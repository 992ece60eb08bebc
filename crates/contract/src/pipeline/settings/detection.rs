//! How generations are compared with the corpus.

use serde::{Deserialize, Serialize};

use super::Precision;

/// `[detection]`: how generations are compared with the corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Detection {
    /// What the detector decides by: `ours`, `lee2023` (as used for language models) or `pan2015`
    /// (as published first).
    pub preset: DetectorPreset,
    /// Shortest verbatim passage in characters, in place of the preset's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbatim_chars: Option<usize>,
    /// Where documents to align with come from; without it, all ways, and for `lee2023` BM25 alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates: Option<Vec<Candidates>>,
    /// Maximum number of documents from each of those ways.
    pub candidate_limit: usize,
    /// What must agree before an aligned passage counts as a paraphrase, under every preset. Lee et
    /// al. asked a classifier; Sanchez-Perez et al. nothing (`none`).
    pub confirm: Confirmation,
    /// Sentence cosine from which a paraphrase counts as confirmed. The default has the best F1 on
    /// half of the labelled pairs of MRPC (Dolan and Brockett, 2005) and of PAN 2010's obfuscated
    /// passages; on the other half, under all-MiniLM-L6-v2, precision is 0.74 and 0.84, recall 0.94
    /// and 0.85 (`crates/plagiarism/examples/calibrate.rs`).
    pub confirm_cosine: f64,
    /// `confirm = "classifier"` only: probability of the class "paraphrase" over which a pair of
    /// sentences confirms a passage.
    pub confirm_probability: f64,
    /// `confirm = "classifier"` only: folder of a BERT or RoBERTa sequence-pair classifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classifier: Option<String>,
    /// Which sentences generations are compared with by meaning.
    pub similarity: SimilaritySearch,
    /// Training documents, of equal ones one, that a verbatim passage must occur in to count as
    /// boilerplate: a common phrase, not specific to one document. Five is the size of group
    /// commonly asked for before health data are released (k-anonymity with k = 5; El Emam et al.,
    /// 2009).
    pub boilerplate_documents: usize,
    /// Parquet file of labels, made by a tool of the user's, that say which parts of documents are
    /// personal details: columns `doc_id`, `start` and `end` (characters of the document's text,
    /// half-open) and `kind` (any words). They take the place of patterns, which miss most of what
    /// identifies somebody. `doc_id` is as in `train.parquet`: name `corpus.identity` to know it
    /// beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personal_details: Option<String>,
    /// Folder of the sentence encoder; without it, where `make setup` puts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
    /// Precision of the encoder's matrix products. In `bf16` cosines change by a few thousandths,
    /// and processors that have it encode about twice as fast; others are slower.
    pub precision: Precision,
    /// Where encoder and classifier compute: `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// Processes that share the comparison of one checkpoint's generations. Results do not depend
    /// on it, so it is not part of their provenance.
    #[serde(skip_serializing)]
    pub parts: usize,
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
            confirm_probability: 0.5,
            classifier: None,
            similarity: SimilaritySearch::Auto,
            boilerplate_documents: 5,
            personal_details: None,
            encoder: None,
            precision: Precision::Float32,
            device: "auto".to_owned(),
            parts: 1,
        }
    }
}

/// Named detectors. What each decides by is its `DetectorPolicy`, in
/// `crates/plagiarism/src/alignment/policy.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetectorPreset {
    /// This project's default: the strongest class over all candidates, exact passages wherever
    /// they occur, and paraphrases on evidence of words, of meaning and of more than one sentence.
    Ours,
    /// Lee et al. 2023, as published but for the confirmation: the program of the PAN winner with
    /// its slips, passages and verbatim runs from 50 characters on, and the first of ten BM25
    /// candidates with a detection.
    Lee2023,
    /// Sanchez-Perez et al., PAN 2015, as published: passages from 150 and verbatim runs from 256
    /// characters on. The confirmation (without it set `confirm = "none"`) and the candidates are
    /// not theirs: their task gave the pairs.
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

/// Which sentences of the corpus a generation's sentences are compared with by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SimilaritySearch {
    /// All of them up to 50,000 distinct sentences of training and held-out documents, else as
    /// `candidates`.
    Auto,
    /// All of them, however many: each has to be encoded once a corpus.
    Exhaustive,
    /// The one that shares most words with a sentence of the generation, of all in its candidate
    /// documents.
    Candidates,
}

/// How a paraphrase is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirmation {
    /// By the cosine of sentence vectors.
    Encoder,
    /// By a classifier of sentence pairs, as in Lee et al.
    Classifier,
    /// Not at all: every aligned passage counts.
    None,
}
