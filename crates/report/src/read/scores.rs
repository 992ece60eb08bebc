//! What the scoring pass says of one document, reduced from lists of tokens to the numbers that measures need.

use std::collections::BTreeMap;

use contract::records::{DocumentKind, Score, Split};
use measures::{discoverable, membership, memorization};

use crate::estimate::measure::PLACES;

/// Log-probabilities of the tokens of whole documents, by document.
pub(super) type TokensByDocument = BTreeMap<String, Vec<f32>>;

/// The scores of one continuation of one document.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentScore {
    /// The document.
    pub doc_id: String,
    /// Where it stands.
    pub split: Split,
    /// Its copies in the training set.
    pub copies: i32,
    /// Document, canary, reference of a canary, or canary by coin flip.
    pub kind: DocumentKind,
    /// Tokens given before the continuation; 0: the whole document is scored.
    pub prefix_tokens: i32,
    /// Tokens scored.
    pub tokens: usize,
    /// Tokens of the whole document, before it was cut where training ended; none where nobody said.
    pub document_tokens: Option<usize>,
    /// Number of a canary's or reference's format.
    pub canary_format: Option<i32>,
    /// Of the rest of a secret, how many of the secret's tokens come before it; none of all other scores.
    pub secret_tokens_given: Option<i32>,
    /// −Σ ln p over them, in nats.
    pub nats: f64,
    /// Share of tokens that are the model's first choice.
    pub exact_memorization: f64,
    /// The most tokens in a row that are the model's first choice.
    pub longest_run: usize,
    /// 1 − k/L; see [`memorization::extraction_strength`].
    pub extraction_strength: f64,
    /// Whether greedy decoding gives the whole continuation.
    pub extractable: bool,
    /// Natural logarithm of the probability that the sampling scheme draws the continuation.
    pub log_sequence_probability: f64,
    /// Mean surprise of the least likely fifth of the tokens.
    pub min_k: f64,
    /// The same, each token standardised over the vocabulary; none where the scoring pass left no moments.
    pub min_k_plus_plus: Option<f64>,
    /// Share of windows that are no likelier than under the untuned model; see [`membership::window_votes`]. None where that model's
    /// tokens of this document are not there.
    pub window_votes: Option<f64>,
    /// Share of losses among changes at wrong tokens; see [`membership::error_zone`]. None as above.
    pub error_zone: Option<f64>,
    /// Mean loss behind other documents, in nats per token; none where nobody looked.
    pub conditional_loss: Option<f64>,
    /// Norm of the gradient of the mean loss; none where nobody looked.
    pub gradient_norm: Option<f64>,
    /// Natural logarithm of a lower bound on the probability that the scheme draws it or something nearly it.
    pub log_near_verbatim_probability: Option<f64>,
    /// Share of tokens that are the model's first choice, by place in the continuation; none for a part without tokens.
    pub by_place: Vec<Option<f64>>,
    /// Bytes of the continuation after zlib.
    pub zlib_bytes: i32,
}

impl DocumentScore {
    /// Reduces a row of `scores.parquet`; `None` for a continuation without tokens, which says nothing. `untuned` has the
    /// log-probabilities of the same documents' tokens under the untuned model.
    ///
    /// # Errors
    /// If a list holds what cannot be: a positive log-probability, a NaN.
    pub fn of(score: &Score, untuned: Option<&TokensByDocument>) -> measures::Result<Option<Self>> {
        if score.logprobs.is_empty() || score.argmax_hits.is_empty() {
            return Ok(None);
        }
        let loss = membership::loss(&score.logprobs)?;
        let moments =
            score.vocab_mean.len() == score.logprobs.len() && score.vocab_std.len() == score.logprobs.len();
        let min_k_plus_plus = || {
            membership::min_k_plus_plus(
                &score.logprobs,
                &score.vocab_mean,
                &score.vocab_std,
                membership::MIN_K_SHARE,
            )
        };
        let untuned = untuned
            .filter(|_| is_whole_document(score.kind, score.prefix_tokens))
            .and_then(|tokens| tokens.get(&score.doc_id))
            // Another tokenizer has other tokens.
            .filter(|tokens| tokens.len() == score.logprobs.len() && tokens.len() == score.argmax_hits.len());
        Ok(Some(Self {
            doc_id: score.doc_id.clone(),
            split: score.split,
            copies: score.copies,
            kind: score.kind,
            prefix_tokens: score.prefix_tokens,
            tokens: score.logprobs.len(),
            document_tokens: score
                .document_tokens
                .and_then(|tokens| usize::try_from(tokens).ok()),
            canary_format: score.canary_format,
            secret_tokens_given: score.secret_tokens_given,
            nats: loss * score.logprobs.len() as f64,
            exact_memorization: memorization::exact_memorization(&score.argmax_hits)?,
            longest_run: memorization::longest_run(&score.argmax_hits),
            extraction_strength: memorization::extraction_strength(&score.argmax_hits)?,
            extractable: memorization::k_extractable(&score.argmax_hits)?,
            log_sequence_probability: if score.scheme_logprobs.is_empty() {
                f64::NAN
            } else {
                discoverable::log_sequence_probability(&score.scheme_logprobs)?
            },
            min_k: membership::min_k(&score.logprobs, membership::MIN_K_SHARE)?,
            min_k_plus_plus: if moments { Some(min_k_plus_plus()?) } else { None },
            window_votes: untuned
                .map(|tokens| membership::window_votes(&score.logprobs, tokens))
                .transpose()?,
            error_zone: untuned
                .map(|tokens| membership::error_zone(&score.logprobs, tokens, &score.argmax_hits))
                .transpose()?,
            conditional_loss: score.conditional_loss.map(f64::from),
            gradient_norm: score.gradient_norm.map(f64::from),
            log_near_verbatim_probability: score.near_verbatim_logprob.map(f64::from),
            by_place: memorization::exact_memorization_by_place(&score.argmax_hits, usize::from(PLACES))?,
            zlib_bytes: score.zlib_bytes,
        }))
    }

    /// Mean loss in nats per token.
    pub fn loss(&self) -> f64 {
        self.nats / self.tokens as f64
    }

    /// Whether a whole text is scored, whatever its kind.
    pub fn is_of_whole_text(&self) -> bool {
        self.prefix_tokens == 0 && self.secret_tokens_given.is_none()
    }

    /// Whether the whole of a document of the corpus is scored, so that its loss is one of the corpus.
    pub fn is_whole_document(&self) -> bool {
        is_whole_document(self.kind, self.prefix_tokens)
    }
}

/// Whether a row of `scores.parquet` scores the whole of a document of the corpus.
pub(super) fn is_whole_document(kind: DocumentKind, prefix_tokens: i32) -> bool {
    kind == DocumentKind::Document && prefix_tokens == 0
}

/// The tokens of a whole continuation after each prefix: the longest that was scored. One that the document's end cuts short is
/// easier to give whole, so it is not counted among them.
pub fn whole_continuations(scores: &[DocumentScore]) -> BTreeMap<i32, usize> {
    let mut longest: BTreeMap<i32, usize> = BTreeMap::new();
    let continuations = scores
        .iter()
        .filter(|score| score.kind == DocumentKind::Document && score.prefix_tokens > 0);
    for score in continuations {
        let tokens = longest.entry(score.prefix_tokens).or_default();
        *tokens = score.tokens.max(*tokens);
    }
    longest
}
