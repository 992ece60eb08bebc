//! The scoring pass: the probability of documents and their continuations, without sampling.
//!
//! A document is read once, behind what begins a text, up to the model's context. Its whole is one row of scores;
//! the continuation of its first `prefix_tokens` tokens, as long as what is generated, is a slice of the same numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use causal_lm::TextTokenizer;
use contract::pipeline::Extraction;
use contract::records::{DocumentKind, Score};
use contract::{Error, Progress};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use tch::{Kind, Tensor};

use crate::Reader;
use crate::batch::floats;
use crate::documents::{Document, Documents};
use crate::near_verbatim::{self, Search};
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
pub fn score(reader: &Reader, settings: &Extraction, documents: &Documents) -> Result<Vec<Score>, Error> {
    let tokenizer = &reader.tokenizer;
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
        let rows = batch_rows(rest, documents, longest_text(reader));
        let (batch, later) = rest.split_at(rows);
        let read = read(reader, scheme, batch, documents)?;
        for (&index, reading) in batch.iter().zip(read) {
            readings[index] = Some(reading);
        }
        progress.advance(rows as u64, "");
        rest = later;
    }
    let near = near_verbatim_bounds(reader, *scheme, settings, documents)?;
    let mut scores = Vec::new();
    for (index, (document, reading)) in documents.all.iter().zip(readings).enumerate() {
        let Some(reading) = reading else { continue };
        let whole = reading.logprobs.len();
        scores.push(row(document, &reading, 0, whole, tokenizer)?);
        if document.kind != DocumentKind::Document {
            continue;
        }
        for (prefix, end) in continuations(settings, whole) {
            let mut score = row(document, &reading, prefix, end, tokenizer)?;
            if prefix == settings.prefix_tokens {
                score.near_verbatim_logprob = near.get(&index).map(|&bound| bound as f32);
            }
            scores.push(score);
        }
    }
    Ok(scores)
}

/// The continuations scored of a document of which `whole` tokens were read, each as prefix and end: behind the prefix that prompts
/// have, whatever there is of it; behind others, whole continuations alone.
fn continuations(settings: &Extraction, whole: usize) -> Vec<(usize, usize)> {
    let mut prefixes: BTreeSet<usize> = settings.scored_prefixes.iter().copied().collect();
    prefixes.insert(settings.prefix_tokens);
    prefixes
        .into_iter()
        .filter(|&prefix| {
            let least = if prefix == settings.prefix_tokens {
                1
            } else {
                settings.new_tokens
            };
            prefix > 0 && whole >= prefix + least
        })
        .map(|prefix| (prefix, whole.min(prefix + settings.new_tokens)))
        .collect()
}

/// For the documents that are prompted with and have a whole continuation, by their place, a lower bound on the log-probability of
/// something nearly it. Nothing unless the settings ask for it.
fn near_verbatim_bounds(
    reader: &Reader,
    scheme: Scheme,
    settings: &Extraction,
    documents: &Documents,
) -> Result<BTreeMap<usize, f64>, Error> {
    let (prefix, new) = (settings.prefix_tokens, settings.new_tokens);
    let search = Search {
        beams: settings.near_verbatim_beams,
        edits: settings.near_verbatim_edits,
    };
    let mut bounds = BTreeMap::new();
    if search.beams == 0 || prefix == 0 {
        return Ok(bounds);
    }
    let chosen: Vec<usize> = (0..documents.all.len())
        .filter(|&index| {
            let document = &documents.all[index];
            document.kind == DocumentKind::Document && document.tokens.len() >= prefix + new
        })
        .collect();
    let mut progress = Progress::new("near-verbatim search", chosen.len() as u64, "documents");
    for chunk in chosen.chunks((settings.batch_size / search.beams).max(1)) {
        let texts: Vec<(&[i64], &[i64])> = chunk
            .iter()
            .map(|&index| documents.all[index].tokens[..prefix + new].split_at(prefix))
            .collect();
        let found = near_verbatim::lower_bounds(reader, scheme, search, &texts)?;
        bounds.extend(chunk.iter().copied().zip(found));
        progress.advance(chunk.len() as u64, "");
    }
    Ok(bounds)
}

/// How many of the next documents, in order of length, go into one batch.
fn batch_rows(order: &[usize], documents: &Documents, context: usize) -> usize {
    let fits = order.iter().enumerate().take_while(|&(place, &index)| {
        let longest = documents.all[index].tokens.len().min(context);
        (place + 1) * longest <= BATCH_TOKENS
    });
    fits.count().max(1)
}

/// The most tokens of a text that can be scored.
fn longest_text(reader: &Reader) -> usize {
    (reader.model.config.context + 1).saturating_sub(reader.begin.len())
}

fn read(
    reader: &Reader,
    scheme: &Scheme,
    batch: &[usize],
    documents: &Documents,
) -> Result<Vec<Reading>, Error> {
    let _guard = tch::no_grad_guard();
    let Reader { model, begin, .. } = reader;
    let texts: Vec<&[i64]> = batch
        .iter()
        .map(|&index| {
            let tokens = &documents.all[index].tokens;
            &tokens[..tokens.len().min(longest_text(reader))]
        })
        .collect();
    let longest = texts.iter().map(|tokens| tokens.len()).max().unwrap_or(0);
    let mut inputs = Vec::with_capacity(texts.len() * (begin.len() + longest));
    for tokens in &texts {
        inputs.extend(begin);
        inputs.extend(&tokens[..tokens.len() - 1]);
        // Padding on the right: causal attention never looks there.
        inputs.extend(std::iter::repeat_n(
            model.config.end_token(),
            longest - tokens.len(),
        ));
    }
    let rows = texts.len() as i64;
    let hidden = read_rows(reader, &inputs, rows)?;
    // Where nothing stands before a text, its first token follows what generation from nothing starts with.
    let first = if begin.is_empty() {
        Some(read_rows(reader, &[model.config.begin_token], 1)?.select(0, 0))
    } else {
        None
    };
    texts
        .iter()
        .enumerate()
        .map(|(row, tokens)| {
            let row = hidden.select(0, row as i64);
            let count = tokens.len() as i64;
            let own = match &first {
                Some(first) => Tensor::cat(&[first, &row.narrow(0, 0, count - 1)], 0),
                None => row.narrow(0, begin.len() as i64 - 1, count),
            };
            reading(&model.logits(&own)?, tokens, scheme)
        })
        .collect()
}

/// Hidden states `[rows, tokens, width]` of tokens that lie row after row.
fn read_rows(reader: &Reader, tokens: &[i64], rows: i64) -> Result<Tensor, Error> {
    let model = &reader.model;
    if tokens.is_empty() {
        let width = model.config.width as i64;
        return Ok(Tensor::zeros([rows, 0, width], (Kind::Float, model.device())));
    }
    let tokens = Tensor::from_slice(tokens)
        .view([rows, -1])
        .to_device(model.device());
    Ok(model.hidden(&tokens, None, None)?)
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
        near_verbatim_logprob: None,
        document_tokens: None,
        canary_format: None,
    })
}

pub(crate) fn zlib_bytes(text: &str) -> Result<i32, Error> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    compressed
        .map(|bytes| bytes.len() as i32)
        .map_err(|error| Error::Run(format!("zlib: {error}")))
}
