//! Whether a model, given the text before a personal detail, finds that detail more probable than others of its kind.
//!
//! Who knows of somebody all but one detail, and has a list of what it may be, asks so (PII inference, Lukas et al. 2023). There are two
//! controls: the same of documents that were held out, and the untuned model, which is asked for the same details.

mod outcome;
mod probes;

use causal_lm::KvCache;
use contract::parts::Part;
use contract::records::DetailScore;
use contract::{Error, Progress};

pub(crate) use outcome::Ranked;
use probes::Probe;
pub(crate) use probes::{Probes, Wanted};

use crate::LoadedModel;
use crate::batch::{Batch, Logits, Room};
use crate::forms::templates::Template;

/// Tokens that are read at once, each text's context counted: what they leave in the cache is copied for each.
const MOST_TOKENS: usize = 1 << 14;

/// Rows of `details.parquet`, each with the number of its detail among all that are asked for.
pub(crate) type PlacedDetails = Vec<(i64, DetailScore)>;

/// Asks a model for those details that a `part` has to ask for. Training read so many tokens of a text as `context` says, the BOS included, or
/// as many as the model has room for.
///
/// # Errors
/// [`Error::Run`] where LibTorch or the tokenizer fails.
pub(crate) fn score_part(
    model: &LoadedModel,
    probes: &Probes,
    context: Option<usize>,
    template: Option<&Template>,
    part: Option<Part>,
) -> Result<PlacedDetails, Error> {
    let count = probes.of_part(part).count();
    let mut progress = Progress::new("ranking personal details", count as u64, "details");
    let (mut scores, mut cache) = (Vec::with_capacity(count), model.model.cache(0));
    for (number, probe) in probes.of_part(part) {
        let asked = ask(model, &mut cache, probe, context, template)?;
        scores.push((number as i64, probe.scored(asked)));
        progress.advance(1, "");
    }
    let not_asked = probes.not_asked(part);
    scores.extend(not_asked.map(|(number, row)| (number as i64, row.clone())));
    Ok(scores)
}

/// What a model says of one detail and those that it is ranked with.
struct Asked {
    /// Tokens before it that were read.
    context_tokens: usize,
    /// −ln p of the detail, then of each other.
    nats: Vec<f32>,
}

/// Each candidate is written behind the context and read as a tokenizer reads the whole. What all of them begin with is read once, and all that
/// comes behind it is the candidate's: a blank that is a token of its own before one may be a part of the first token of another. None where
/// training did not read the detail to its end, or has no such detail in its form of the text, and where the model has no room for a candidate.
fn ask(
    model: &LoadedModel,
    cache: &mut KvCache,
    probe: &Probe,
    context: Option<usize>,
    template: Option<&Template>,
) -> Result<Option<Asked>, Error> {
    let Some(before) = probe.context(template) else {
        return Ok(None);
    };
    let trained = model.whole_context(context).saturating_sub(model.bos.len());
    let room = model.model.config.context.saturating_sub(model.bos.len());
    let before_chars = before.chars().count();
    let (mut texts, mut shared) = (Vec::with_capacity(probe.details().len()), usize::MAX);
    for detail in probe.details() {
        let text = model.tokenizer.tokenize(&format!("{before}{detail}"))?;
        if text.ids.len() > if texts.is_empty() { trained } else { room } {
            return Ok(None);
        }
        shared = shared.min(text.characters.partition_point(|token| token.end <= before_chars));
        texts.push(text.ids);
    }
    let shared = shared_beginning(&texts, shared);
    Ok(Some(Asked {
        context_tokens: shared,
        nats: nats(model, cache, &texts, shared)?,
    }))
}

/// How many of the first tokens, at most `most`, all texts begin with; each has one more.
fn shared_beginning(texts: &[Vec<i64>], most: usize) -> usize {
    let Some((first, others)) = texts.split_first() else {
        return 0;
    };
    let shortest = texts.iter().map(Vec::len).min().unwrap_or(0);
    (0..most.min(shortest.saturating_sub(1)))
        .take_while(|&place| others.iter().all(|other| other[place] == first[place]))
        .count()
}

/// −ln p of what texts have behind the tokens that they share. As many are read at once as have [`MOST_TOKENS`] together.
fn nats(
    model: &LoadedModel,
    cache: &mut KvCache,
    texts: &[Vec<i64>],
    shared: usize,
) -> Result<Vec<f32>, Error> {
    let longest = texts.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let mut nats = Vec::with_capacity(texts.len());
    for texts in texts.chunks((MOST_TOKENS / longest).max(1)) {
        nats.extend(nats_at_once(model, cache, texts, shared)?);
    }
    Ok(nats)
}

fn nats_at_once(
    model: &LoadedModel,
    cache: &mut KvCache,
    texts: &[Vec<i64>],
    shared: usize,
) -> Result<Vec<f32>, Error> {
    let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
    let Some(beginning) = texts.first().map(|text| &text[..shared]) else {
        return Ok(Vec::new());
    };
    let room = Room {
        rows: texts.len(),
        new_tokens: longest - shared,
    };
    let mut batch = Batch::read(model, cache, &[beginning], room)?;
    batch.select(&vec![0; texts.len()])?;
    // Shorter texts go on with what nobody looks at.
    let end = model.model.config.eos_token_id();
    let behind = texts.iter().flat_map(|text| {
        let own = text.iter().copied().chain(std::iter::repeat(end));
        own.take(longest - 1).skip(shared)
    });
    let behind: Vec<i64> = behind.collect();
    let mut nats = vec![0.0; texts.len()];
    let mut add = |place: usize, logits: &Logits| {
        for (row, (text, nats)) in texts.iter().zip(&mut nats).enumerate() {
            if let Some(&token) = text.get(place) {
                *nats -= f64::from(logits.logprob(row, token as usize));
            }
        }
    };
    add(shared, &batch.host_logits()?);
    if longest > shared + 1 {
        let hidden = batch.read_on(&behind)?;
        for place in shared + 1..longest {
            add(place, &batch.logits_behind(&hidden, place - shared - 1)?);
        }
    }
    Ok(nats.into_iter().map(|nats| nats as f32).collect())
}
