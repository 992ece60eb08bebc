//! The scoring pass: the probability of documents and their continuations, without sampling.
//!
//! A document is read once, behind the token that begins a text, up to the model's context. Its whole is one row of scores;
//! the continuation of its first `prefix_tokens` tokens, as long as what is generated, is a slice of the same numbers.

use std::io::Write;

use causal_lm::{CausalLm, TextTokenizer};
use contract::pipeline::Extraction;
use contract::records::{DocumentKind, Score};
use contract::{Error, Progress};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use tch::{Kind, Tensor};

use crate::generation::floats;
use crate::prompts::{Document, Documents};
use crate::sampling::{Scheme, most_probable};

/// Tokens in one forward pass.
const BATCH_TOKENS: usize = 4096;

/// What the model says about each token of a document.
#[derive(Debug, Default, Clone)]
struct Reading {
    logprobs: Vec<f32>,
    scheme_logprobs: Vec<f32>,
    argmax_hits: Vec<bool>,
    vocab_mean: Vec<f32>,
    vocab_std: Vec<f32>,
}

/// Scores every document of the corpus. Probabilities under the sampling scheme are those of the first strategy that
/// samples, or of greedy decoding where none does.
///
/// # Errors
/// [`Error::Run`] where LibTorch or the tokenizer fails.
pub fn score(
    model: &CausalLm,
    tokenizer: &TextTokenizer,
    settings: &Extraction,
    documents: &Documents,
) -> Result<Vec<Score>, Error> {
    let schemes: Vec<Scheme> = settings.strategy.iter().map(Scheme::from).collect();
    let greedy = Scheme {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
    };
    let scheme = schemes
        .iter()
        .find(|scheme| !scheme.is_greedy())
        .unwrap_or(&greedy);
    let mut order: Vec<usize> = (0..documents.all.len())
        .filter(|&index| !documents.all[index].tokens.is_empty())
        .collect();
    order.sort_by_key(|&index| (documents.all[index].tokens.len(), index));
    let mut readings: Vec<Option<Reading>> = vec![None; documents.all.len()];
    let mut progress = Progress::new("scoring", order.len() as u64, "documents");
    let mut rest = &order[..];
    while !rest.is_empty() {
        let rows = batch_rows(rest, documents, model.config.context);
        let (batch, later) = rest.split_at(rows);
        let read = read(model, scheme, batch, documents)?;
        for (&index, reading) in batch.iter().zip(read) {
            readings[index] = Some(reading);
        }
        progress.advance(rows as u64, "");
        rest = later;
    }
    let mut scores = Vec::new();
    for (document, reading) in documents.all.iter().zip(readings) {
        let Some(reading) = reading else { continue };
        let whole = reading.logprobs.len();
        scores.push(row(document, &reading, 0, whole, tokenizer)?);
        let prefix = settings.prefix_tokens;
        if document.kind == DocumentKind::Document && prefix > 0 && whole > prefix {
            scores.push(row(
                document,
                &reading,
                prefix,
                whole.min(prefix + settings.new_tokens),
                tokenizer,
            )?);
        }
    }
    Ok(scores)
}

/// How many of the next documents, in order of length, go into one batch.
fn batch_rows(order: &[usize], documents: &Documents, context: usize) -> usize {
    let fits = order.iter().enumerate().take_while(|&(place, &index)| {
        let longest = documents.all[index].tokens.len().min(context);
        (place + 1) * longest <= BATCH_TOKENS
    });
    fits.count().max(1)
}

fn read(
    model: &CausalLm,
    scheme: &Scheme,
    batch: &[usize],
    documents: &Documents,
) -> Result<Vec<Reading>, Error> {
    let _guard = tch::no_grad_guard();
    let texts: Vec<&[i64]> = batch
        .iter()
        .map(|&index| {
            let tokens = &documents.all[index].tokens;
            &tokens[..tokens.len().min(model.config.context)]
        })
        .collect();
    let longest = texts.iter().map(|tokens| tokens.len()).max().unwrap_or(0);
    let mut inputs = Vec::with_capacity(texts.len() * longest);
    for tokens in &texts {
        inputs.push(model.config.begin_token);
        inputs.extend(&tokens[..tokens.len() - 1]);
        // Padding on the right: causal attention never looks there.
        inputs.extend(std::iter::repeat_n(
            model.config.end_token(),
            longest - tokens.len(),
        ));
    }
    let inputs = Tensor::from_slice(&inputs)
        .view([texts.len() as i64, longest as i64])
        .to_device(model.device());
    let hidden = model.hidden(&inputs, None, None)?;
    texts
        .iter()
        .enumerate()
        .map(|(row, tokens)| {
            let own = hidden.select(0, row as i64).narrow(0, 0, tokens.len() as i64);
            reading(&model.logits(&own)?, tokens, scheme)
        })
        .collect()
}

/// Reads off what the logits `[tokens, vocabulary]` say about `tokens`.
fn reading(logits: &Tensor, tokens: &[i64], scheme: &Scheme) -> Result<Reading, Error> {
    let vocabulary = logits.size2().map_err(causal_lm::Error::from)?.1 as usize;
    let logprobs = logits.log_softmax(-1, Kind::Float);
    let probabilities = logprobs.exp();
    let weighted_sum = |values: &Tensor| (values * &probabilities).sum_dim_intlist(-1, true, Kind::Float);
    let mean = weighted_sum(&logprobs);
    let deviation = weighted_sum(&(&logprobs - &mean).square()).sqrt();
    let (vocab_mean, vocab_std) = (floats(&mean)?, floats(&deviation)?);
    let (logits, logprobs) = (floats(logits)?, floats(&logprobs)?);
    let mut reading = Reading {
        vocab_mean,
        vocab_std,
        ..Reading::default()
    };
    for (place, &token) in tokens.iter().enumerate() {
        let span = place * vocabulary..(place + 1) * vocabulary;
        let token = token as usize;
        reading.logprobs.push(logprobs[span.clone()][token]);
        reading
            .scheme_logprobs
            .push(scheme.log_probability(&logits[span.clone()], token) as f32);
        reading.argmax_hits.push(most_probable(&logits[span]) == token);
    }
    Ok(reading)
}

fn row(
    document: &Document,
    reading: &Reading,
    start: usize,
    end: usize,
    tokenizer: &TextTokenizer,
) -> Result<Score, Error> {
    Ok(Score {
        doc_id: document.doc_id.clone(),
        split: document.split,
        copies: document.copies,
        kind: document.kind,
        prefix_tokens: start as i32,
        suffix_tokens: (end - start) as i32,
        logprobs: reading.logprobs[start..end].to_vec(),
        scheme_logprobs: reading.scheme_logprobs[start..end].to_vec(),
        argmax_hits: reading.argmax_hits[start..end].to_vec(),
        vocab_mean: reading.vocab_mean[start..end].to_vec(),
        vocab_std: reading.vocab_std[start..end].to_vec(),
        zlib_bytes: zlib_bytes(&tokenizer.decode(&document.tokens[start..end])?)?,
    })
}

fn zlib_bytes(text: &str) -> Result<i32, Error> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    compressed
        .map(|bytes| bytes.len() as i32)
        .map_err(|error| Error::Run(format!("zlib: {error}")))
}
