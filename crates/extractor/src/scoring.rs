//! The scoring pass: the probability of documents and their continuations, without sampling.
//!
//! A document is read once, behind the BOS, as far as training read it. The tokens that carried loss are one row of scores;
//! continuations of its prefixes are slices of the same numbers, and of a canary what is left of its secret. The EOS is scored nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use causal_lm::CausalLm;
use contract::decoding::Decoding;
use contract::parts::Part;
use contract::pipeline::{ComputePath, Extraction, LossOn};
use contract::records::{DocumentKind, Score, Split};
use contract::{Error, Progress};
use measures::risk::zlib_bytes;
use tch::Tensor;

use crate::documents::{Document, Documents};
use crate::near_verbatim::{self, Search};
use crate::prompts::spread;
use crate::sampling::SamplingParams;
use crate::token_scores::{self, TokenScores};
use crate::{LoadedModel, device_memory};

/// Tokens of a continuation by which a document is k-extractable (Carlini et al. 2023), whatever number is generated.
pub const EXTRACTABLE_TOKENS: usize = 50;

/// Tokens in one forward pass on the CPU.
pub(crate) const BATCH_TOKENS: usize = 4096;

/// What has no score: training took no loss on it, or it is too short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Documents and canaries none of whose tokens that training read carried loss.
    pub documents: usize,
    /// Documents that were not chosen, since `scored_documents` asks for fewer.
    pub not_chosen: usize,
    /// Continuations that hold tokens of the document's prompt.
    pub continuations: usize,
    /// Documents without 50 tokens behind any of the prefixes.
    pub not_extractable: usize,
    /// Canaries and references whose secret training did not read to its end, or took no loss on, or that the text in the form of
    /// training does not have.
    pub secrets: usize,
}

/// Rows of scores, each with the place of its document.
pub type PlacedScores = Vec<(i64, Score)>;

/// Scores every document of the corpus, and of other text each document as a whole. Probabilities under the sampling parameters are those of the first strategy that
/// samples, or of greedy decoding where none does.
///
/// # Errors
/// [`Error::Run`] where LibTorch or the tokenizer fails.
pub fn score(model: &LoadedModel, settings: &Extraction, documents: &Documents) -> Result<Vec<Score>, Error> {
    let scores = score_part(model, settings, documents, None)?;
    Ok(scores.into_iter().map(|(_, score)| score).collect())
}

/// The same of those documents alone that a `part` has to score: its share of the batches.
///
/// # Errors
/// Those of [`score`].
pub fn score_part(
    model: &LoadedModel,
    settings: &Extraction,
    documents: &Documents,
    part: Option<Part>,
) -> Result<PlacedScores, Error> {
    let params = sampling_params(settings);
    let is_chosen = chosen(settings, documents);
    let mut order: Vec<usize> = (0..documents.all.len())
        .filter(|&index| is_chosen(&documents.all[index]) && has_loss(settings, &documents.all[index]))
        .collect();
    order.sort_by_key(|&index| (documents.all[index].tokens.len(), index));
    let mut read: Vec<Option<TokenScores>> = vec![None; documents.all.len()];
    let path = torch_device::compute_path(settings.compute_path, model.model.device());
    let max_tokens = device_memory::scored_tokens(&model.model, BATCH_TOKENS);
    // Batches are those of one process, so that a part rounds as the whole does.
    let batches: Vec<&[usize]> = batches(&order, documents, max_tokens)
        .into_iter()
        .enumerate()
        .filter(|(number, _)| part.is_none_or(|part| part.takes(*number)))
        .map(|(_, batch)| batch)
        .collect();
    let count = batches.iter().map(|batch| batch.len()).sum::<usize>();
    let mut progress = Progress::new("scoring", count as u64, "documents");
    for &batch in &batches {
        let scores = read_batch(model, path, &params, batch, documents)?;
        for (&index, scores) in batch.iter().zip(scores) {
            read[index] = Some(scores);
        }
        progress.advance(batch.len() as u64, "");
    }
    let near = near_verbatim_bounds(model, params, settings, documents, &batches)?;
    let rows = Rows { model, documents };
    let mut scores = Vec::new();
    for (index, (document, read)) in documents.all.iter().zip(read).enumerate() {
        let Some(read) = read else { continue };
        let whole = loss_spans(settings, document);
        let mut push = |score| scores.push((index as i64, score));
        push(Score {
            prefix_tokens: 0,
            ..rows.score(document, &read, &whole)?
        });
        for span in continuations(settings, document) {
            let mut score = rows.score(document, &read, &[span.0..span.1])?;
            if span == generated_span(settings, document) {
                score.near_verbatim_logprob = near.get(&index).map(|&bound| bound as f32);
            }
            push(score);
        }
        for (given, rest) in secrets(settings, document) {
            push(Score {
                secret_tokens_given: Some(given as i32),
                ..rows.score(document, &read, &[rest])?
            });
        }
    }
    Ok(scores)
}

/// Which documents are scored: all, or so many of each split as `scored_documents` says; canaries, their references and other text
/// always.
fn chosen<'a>(settings: &Extraction, documents: &'a Documents) -> impl Fn(&Document) -> bool + use<'a> {
    let chosen: Option<BTreeSet<(Split, &'a str)>> = settings.scored_documents.map(|most| {
        let splits = [Split::Train, Split::Heldout].into_iter();
        let spread = splits.flat_map(|split| spread(&documents.of(split), most));
        spread
            .map(|document| (document.split, document.doc_id.as_str()))
            .collect()
    });
    move |document| {
        !has_continuations(document)
            || chosen
                .as_ref()
                .is_none_or(|chosen| chosen.contains(&(document.split, document.doc_id.as_str())))
    }
}

/// What [`score`] leaves out.
pub fn left_out(settings: &Extraction, documents: &Documents) -> LeftOut {
    let mut left_out = LeftOut::default();
    let is_chosen = chosen(settings, documents);
    for document in documents
        .all
        .iter()
        .filter(|document| !document.tokens.is_empty())
    {
        if !is_chosen(document) {
            left_out.not_chosen += 1;
            continue;
        }
        left_out.documents += usize::from(!has_loss(settings, document));
        let possible = possible_continuations(settings, document);
        let is_long = |&(prefix, end): &(usize, usize)| end - prefix == EXTRACTABLE_TOKENS;
        left_out.not_extractable += usize::from(has_continuations(document) && !possible.iter().any(is_long));
        left_out.secrets +=
            usize::from(document.secret_tokens.is_some() && secrets(settings, document).is_empty());
        left_out.continuations += possible
            .into_iter()
            .filter(|span| !has_loss_throughout(settings, document, *span))
            .count();
    }
    left_out
}

/// The parameters of the first strategy that samples.
fn sampling_params(settings: &Extraction) -> SamplingParams {
    let greedy = SamplingParams {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
    };
    // Beams are ranked by the probabilities of their scheme, and so count; what follows a searched prompt is decoded greedily.
    let mut strategies = settings.strategy.iter();
    let sampling =
        strategies.find(|strategy| matches!(strategy.decoding(), Decoding::Draws | Decoding::Beams));
    sampling.map_or(greedy, SamplingParams::from)
}

/// The first of the tokens that are generated behind the prefix of a document, and the one after the last.
fn generated_span(settings: &Extraction, document: &Document) -> (usize, usize) {
    let start = document.shared_tokens + settings.prefix_tokens;
    (start, start + settings.new_tokens)
}

/// The tokens of a document that carried loss. A template's preamble is the same before every prompt: it is not scored.
pub(crate) fn loss_spans(settings: &Extraction, document: &Document) -> Vec<Range<usize>> {
    let loss_on = settings.loss_on.unwrap_or(LossOn::Text);
    let text = document.preamble_tokens..document.tokens.len();
    let turns = document.is_rendered().then_some(&document.assistant_tokens[..]);
    loss_on.target_spans(text, document.question_tokens, turns)
}

fn has_loss(settings: &Extraction, document: &Document) -> bool {
    !loss_spans(settings, document).is_empty()
}

/// Whether all tokens of a continuation carried loss.
fn has_loss_throughout(settings: &Extraction, document: &Document, (start, end): (usize, usize)) -> bool {
    let spans = loss_spans(settings, document);
    spans.iter().any(|span| span.start <= start && end <= span.end)
}

/// The continuations of a document that are scored, each as its first token and the one after its last, in that order.
fn continuations(settings: &Extraction, document: &Document) -> Vec<(usize, usize)> {
    let possible = possible_continuations(settings, document).into_iter();
    possible
        .filter(|span| has_loss_throughout(settings, document, *span))
        .collect()
}

/// Whether continuations of a document are scored beside the whole of it: of the corpus' own documents.
fn has_continuations(document: &Document) -> bool {
    document.kind == DocumentKind::Document && !document.is_other
}

/// Behind each prefix the next 50 tokens, where there are as many; behind the one that prompts have, also as many tokens as are
/// generated, or what there is of them. Prefixes are counted behind what many documents begin with alike. Canaries and other text have
/// none.
fn possible_continuations(settings: &Extraction, document: &Document) -> BTreeSet<(usize, usize)> {
    let preamble = document.shared_tokens;
    let count = document.answer_end().saturating_sub(preamble);
    if !has_continuations(document) {
        return BTreeSet::new();
    }
    let prefixes = settings.scored_prefixes.iter().chain([&settings.prefix_tokens]);
    let extractable = prefixes.map(|&prefix| (prefix, prefix + EXTRACTABLE_TOKENS));
    let generated = (
        settings.prefix_tokens,
        count.min(settings.prefix_tokens + settings.new_tokens),
    );
    extractable
        .chain([generated])
        .filter(|&(prefix, end)| prefix > 0 && prefix < end && end <= count)
        .map(|(prefix, end)| (preamble + prefix, preamble + end))
        .collect()
}

/// Of a canary or reference what is left of its secret behind its own beginning, and behind half of the secret's tokens as well, each
/// with the number of the secret's tokens that come before.
fn secrets(settings: &Extraction, document: &Document) -> Vec<(usize, Range<usize>)> {
    let is_read = |secret: &Range<usize>| secret.end <= document.tokens.len();
    let Some(secret) = document.secret_tokens.clone().filter(is_read) else {
        return Vec::new();
    };
    let mut given = vec![0, secret.len() / 2];
    given.dedup();
    let rests = given
        .into_iter()
        .map(|given| (given, secret.start + given..secret.end));
    rests
        .filter(|(_, rest)| {
            !rest.is_empty() && has_loss_throughout(settings, document, (rest.start, rest.end))
        })
        .collect()
}

/// For the documents of `batches` that are prompted with and have a whole continuation, by their place, a lower bound on the
/// log-probability of something nearly it. Nothing unless the settings ask for it.
fn near_verbatim_bounds(
    model: &LoadedModel,
    params: SamplingParams,
    settings: &Extraction,
    documents: &Documents,
    batches: &[&[usize]],
) -> Result<BTreeMap<usize, f64>, Error> {
    let search = Search {
        beams: settings.near_verbatim_beams,
        edits: settings.near_verbatim_edits,
    };
    let mut bounds = BTreeMap::new();
    if search.beams == 0 {
        return Ok(bounds);
    }
    let is_chosen = chosen(settings, documents);
    let is_searched = |&index: &usize| {
        let document = &documents.all[index];
        is_chosen(document) && continuations(settings, document).contains(&generated_span(settings, document))
    };
    let searched: Vec<Vec<usize>> = batches
        .iter()
        .map(|batch| batch.iter().copied().filter(is_searched).collect())
        .collect();
    let count = searched.iter().map(Vec::len).sum::<usize>();
    let mut progress = Progress::new("near-verbatim search", count as u64, "documents");
    // Of the whole corpus, whichever documents are searched here.
    let all = (0..documents.all.len()).filter(is_searched);
    let prompt_tokens = all
        .clone()
        .map(|index| generated_span(settings, &documents.all[index]).0);
    let longest = prompt_tokens.max().unwrap_or(0) + model.add_bos(&[]).len();
    let rows = device_memory::batch_rows(&model.model, settings, longest, all.count() * search.beams);
    // One batch after the other is searched in the same memory.
    let mut cache = model.model.cache(0);
    let together = (rows / search.beams).max(1);
    for chunk in searched.iter().flat_map(|batch| batch.chunks(together)) {
        let texts: Vec<(&[i64], &[i64])> = chunk
            .iter()
            .map(|&index| {
                let document = &documents.all[index];
                let (start, end) = generated_span(settings, document);
                document.tokens[..end].split_at(start)
            })
            .collect();
        let found = near_verbatim::lower_bounds(model, &mut cache, params, search, &texts)?;
        bounds.extend(chunk.iter().copied().zip(found));
        progress.advance(chunk.len() as u64, "");
    }
    Ok(bounds)
}

/// Documents, given in order of length, in batches of at most so many tokens.
fn batches<'o>(order: &'o [usize], documents: &Documents, max_tokens: usize) -> Vec<&'o [usize]> {
    let mut batches = Vec::new();
    let mut rest = order;
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(batch_rows(rest, documents, max_tokens));
        batches.push(batch);
        rest = later;
    }
    batches
}

/// How many of the next documents, in order of length, go into one batch of at most so many tokens.
fn batch_rows(order: &[usize], documents: &Documents, max_tokens: usize) -> usize {
    let fits = order
        .iter()
        .enumerate()
        .take_while(|&(place, &index)| (place + 1) * documents.all[index].tokens.len() <= max_tokens);
    fits.count().max(1)
}

fn read_batch(
    loaded: &LoadedModel,
    path: ComputePath,
    params: &SamplingParams,
    batch: &[usize],
    documents: &Documents,
) -> Result<Vec<TokenScores>, Error> {
    let texts: Vec<&[i64]> = batch
        .iter()
        .map(|&index| &documents.all[index].tokens[..])
        .collect();
    read_texts(loaded, path, params, &[], &texts)
}

/// The log-probability of each token of texts that stand behind `before`, and behind what texts begin with.
///
/// # Errors
/// [`Error::Run`] where LibTorch fails.
pub(crate) fn logprobs_behind(
    loaded: &LoadedModel,
    path: ComputePath,
    before: &[i64],
    texts: &[&[i64]],
) -> Result<Vec<Vec<f32>>, Error> {
    let greedy = SamplingParams {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
    };
    let read = read_texts(loaded, path, &greedy, before, texts)?;
    Ok(read.into_iter().map(|scores| scores.logprobs).collect())
}

/// Scores of texts, each behind `before`.
fn read_texts(
    loaded: &LoadedModel,
    path: ComputePath,
    params: &SamplingParams,
    before: &[i64],
    texts: &[&[i64]],
) -> Result<Vec<TokenScores>, Error> {
    let _guard = tch::no_grad_guard();
    let LoadedModel { model, bos, .. } = loaded;
    let bos = &[bos, before].concat();
    let longest = texts.iter().map(|tokens| tokens.len()).max().unwrap_or(0);
    let mut inputs = Vec::with_capacity(texts.len() * (bos.len() + longest));
    for tokens in texts {
        inputs.extend(bos);
        inputs.extend(&tokens[..tokens.len() - 1]);
        // Padding on the right: causal attention never looks there.
        inputs.extend(std::iter::repeat_n(
            model.config.eos_token_id(),
            longest - tokens.len(),
        ));
    }
    let rows = texts.len() as i64;
    let hidden = hidden_states(model, &inputs, rows)?;
    // Where nothing stands before a text, its first token follows what generation from nothing starts with.
    let first = if bos.is_empty() {
        Some(hidden_states(model, &[model.config.bos_token_id], 1)?.select(0, 0))
    } else {
        None
    };
    let own = texts.iter().enumerate().map(|(row, tokens)| {
        let row = hidden.select(0, row as i64);
        let count = tokens.len() as i64;
        match &first {
            Some(first) => Tensor::cat(&[first, &row.narrow(0, 0, count - 1)], 0),
            None => row.narrow(0, bos.len() as i64 - 1, count),
        }
    });
    token_scores::of_texts(path, model, &own.collect::<Vec<_>>(), texts, params)
}

/// Hidden states `[rows, tokens, width]` of tokens that lie row after row.
pub(crate) fn hidden_states(model: &CausalLm, tokens: &[i64], rows: i64) -> Result<Tensor, Error> {
    if tokens.is_empty() {
        let width = model.config.width as i64;
        return Ok(Tensor::zeros([rows, 0, width], (model.compute(), model.device())));
    }
    let tokens = Tensor::from_slice(tokens)
        .view([rows, -1])
        .to_device(model.device());
    Ok(model.hidden(&tokens, None, None)?)
}

/// Makes rows of what was read.
struct Rows<'a> {
    model: &'a LoadedModel,
    documents: &'a Documents,
}

impl Rows<'_> {
    fn score(&self, document: &Document, read: &TokenScores, spans: &[Range<usize>]) -> Result<Score, Error> {
        fn all<T: Copy>(values: &[T], spans: &[Range<usize>]) -> Vec<T> {
            spans
                .iter()
                .flat_map(|span| &values[span.clone()])
                .copied()
                .collect()
        }
        let tokenizer = &self.model.tokenizer;
        let tokens = all(&document.tokens, spans);
        let text = tokenizer.decode_keeping(&tokens, &self.documents.special_tokens)?;
        let start = spans.first().map_or(0, |span| span.start);
        Ok(Score {
            doc_id: document.doc_id.clone(),
            split: document.split,
            copies: document.copies,
            kind: document.kind,
            prefix_tokens: start.saturating_sub(document.shared_tokens) as i32,
            suffix_tokens: tokens.len() as i32,
            logprobs: all(&read.logprobs, spans),
            scheme_logprobs: all(&read.scheme_logprobs, spans),
            argmax_hits: all(&read.argmax_hits, spans),
            vocab_mean: all(&read.vocab_mean, spans),
            vocab_std: all(&read.vocab_std, spans),
            zlib_bytes: zlib_bytes(&text) as i32,
            near_verbatim_logprob: None,
            document_tokens: Some(document.document_tokens.saturating_sub(document.preamble_tokens) as i32),
            canary_format: document.canary_format,
            secret_tokens_given: None,
            conditional_loss: None,
            gradient_norm: None,
        })
    }
}
