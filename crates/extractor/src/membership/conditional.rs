//! ReCaLL (Xie et al. 2024): the loss of a document behind other documents that the model was not trained on. A model that has memorized a
//! text predicts it without other text, and worse behind it.

use contract::pipeline::Extraction;
use contract::records::Split;
use contract::{Error, Progress};

use super::whole_documents;
use crate::LoadedModel;
use crate::documents::Documents;
use crate::scoring::{self, PlacedScores, loss_spans};

/// Fewest tokens of other text that are worth the pass.
const FEWEST_TOKENS: usize = 16;

/// And most.
const MOST_TOKENS: usize = 1024;

pub(super) fn add(
    model: &LoadedModel,
    settings: &Extraction,
    documents: &Documents,
    scores: &mut PlacedScores,
) -> Result<(), Error> {
    let before = other_text(documents, room(model, documents));
    if before.len() < FEWEST_TOKENS {
        tracing::warn!(
            "extraction.membership = \"conditional\": there are no {FEWEST_TOKENS} tokens of held-out documents that choose (validation): \
             nothing can stand before documents, and there is no such score"
        );
        return Ok(());
    }
    let most = model
        .model
        .config
        .context
        .saturating_sub(before.len() + model.bos.len());
    let path = torch_device::compute_path(settings.compute_path, model.model.device());
    let mut rows = whole_documents(documents, scores);
    let all = rows.len();
    rows.retain(|(document, _)| document.tokens.len() <= most);
    if rows.len() < all {
        tracing::info!(
            "{} of {all} documents leave no room for {} tokens of other text, and have no score behind it",
            all - rows.len(),
            before.len()
        );
    }
    rows.retain(|(document, _)| !document.is_choosing);
    let mut progress = Progress::new("scoring behind other text", rows.len() as u64, "documents");
    // Each alone, so that a part of the documents rounds as all of them do.
    for (document, score) in &mut rows {
        let read = scoring::logprobs_behind(model, path, &before, &[&document.tokens])?;
        let spans = loss_spans(settings, document);
        let logprobs = read
            .iter()
            .flat_map(|logprobs| spans.iter().flat_map(|span| &logprobs[span.clone()]));
        let nats: f64 = logprobs.map(|&logprob| -f64::from(logprob)).sum();
        score.conditional_loss = Some((nats / f64::from(score.suffix_tokens.max(1))) as f32);
        progress.advance(1, "");
    }
    Ok(())
}

/// How many tokens of other text stand before documents: as many as leave room for nine documents in ten, half of the context and
/// [`MOST_TOKENS`] at most.
fn room(model: &LoadedModel, documents: &Documents) -> usize {
    let context = model.model.config.context;
    let mut lengths: Vec<usize> = documents
        .all
        .iter()
        .map(|document| document.tokens.len())
        .collect();
    lengths.sort_unstable();
    let long = lengths.get((lengths.len() * 9).div_ceil(10).saturating_sub(1));
    let left = context.saturating_sub(model.bos.len() + long.unwrap_or(&0));
    left.clamp(FEWEST_TOKENS, (context / 2).clamp(FEWEST_TOKENS, MOST_TOKENS))
}

/// The first documents that choose checkpoint and rate, one behind the other: nobody asks whether they are members. The last is cut.
fn other_text(documents: &Documents, most: usize) -> Vec<i64> {
    let choosing = documents
        .all
        .iter()
        .filter(|document| document.is_choosing && document.split == Split::Heldout);
    let tokens = choosing.flat_map(|document| &document.tokens);
    tokens.copied().take(most).collect()
}
