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
pub(crate) use probes::Probes;

use crate::LoadedModel;
use crate::batch::{Batch, Room};
use crate::forms::templates::Template;

/// Rows of `details.parquet`, each with the number of its detail among all that are asked for.
pub(crate) type PlacedDetails = Vec<(i64, DetailScore)>;

/// Asks a model for those details that a `part` has to ask for; one that is not read to its end has no row. Training read so many tokens of a
/// text as `context` says, the BOS included, or as many as the model has room for.
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
        if let Some(asked) = ask(model, &mut cache, probe, context, template)? {
            scores.push((number as i64, probe.scored(asked)));
        }
        progress.advance(1, "");
    }
    Ok(scores)
}

/// What a model says of one detail and those that it is ranked with.
struct Asked {
    /// Tokens before it that were read.
    context_tokens: usize,
    /// −ln p of the detail, then of each other.
    nats: Vec<f32>,
}

/// A detail behind its context.
struct Text {
    tokens: Vec<i64>,
    /// How many of them are context.
    context: usize,
}

/// Each candidate is written behind the context and read as a tokenizer reads the whole: what begins before the detail and ends within
/// it belongs to the detail. None where training did not read the detail to its end, or has no such detail in its form of the text.
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
    let mut texts = Vec::with_capacity(1 + probe.candidates.len());
    for detail in std::iter::once(&probe.detail).chain(&probe.candidates) {
        let text = model.tokenizer.tokenize(&format!("{before}{detail}"))?;
        let first = text.characters.partition_point(|token| token.end <= before_chars);
        let length = text.ids.len();
        if texts.is_empty() && length > trained {
            return Ok(None);
        }
        // A longer candidate than the detail may be cut where the model has no more room, which makes it more probable.
        let end = length.min(room);
        texts.push(Text {
            tokens: text.ids[..end].to_vec(),
            context: first.min(end),
        });
    }
    Ok(Some(Asked {
        context_tokens: texts.first().map_or(0, |text| text.context),
        nats: nats(model, cache, &texts)?,
    }))
}
/// −ln p of the details of some texts.
fn nats(loaded: &LoadedModel, cache: &mut KvCache, texts: &[Text]) -> Result<Vec<f32>, Error> {
    let longest = texts.iter().map(|text| text.tokens.len()).max().unwrap_or(0);
    let shared = shared_beginning(texts);
    let Some(beginning) = texts.first().map(|text| &text.tokens[..shared]) else {
        return Ok(Vec::new());
    };
    let room = Room {
        rows: texts.len(),
        new_tokens: longest - shared,
    };
    let mut batch = Batch::read(loaded, cache, &[beginning], room)?;
    batch.select(&vec![0; texts.len()])?;
    let mut nats = vec![0.0; texts.len()];
    for place in shared..longest {
        let logits = batch.host_logits()?;
        for (row, (text, nats)) in texts.iter().zip(&mut nats).enumerate() {
            if let Some(&token) = text.tokens.get(place).filter(|_| place >= text.context) {
                *nats -= f64::from(logits.logprob(row, token as usize));
            }
        }
        if place + 1 < longest {
            // What has ended is not looked at.
            let end = loaded.model.config.eos_token_id();
            let next = texts
                .iter()
                .map(|text| text.tokens.get(place).copied().unwrap_or(end));
            batch.advance_by(&next.collect::<Vec<_>>())?;
        }
    }
    Ok(nats.into_iter().map(|nats| nats as f32).collect())
}

/// Tokens of the context that all texts begin with, but for the last of the shortest.
fn shared_beginning(texts: &[Text]) -> usize {
    let Some((first, others)) = texts.split_first() else {
        return 0;
    };
    // What belongs to a detail is scored, though all should begin alike.
    let most = texts
        .iter()
        .map(|text| text.context.min(text.tokens.len().saturating_sub(1)))
        .min();
    (0..most.unwrap_or(0))
        .take_while(|&place| {
            others
                .iter()
                .all(|other| other.tokens[place] == first.tokens[place])
        })
        .count()
}
