//! ReCaLL (Xie et al. 2024): the loss of a document behind other documents that the model was not trained on. What a model has memorized it
//! expects of its own accord, and other text before it disturbs.

use contract::pipeline::Extraction;
use contract::records::Split;
use contract::{Error, Progress};

use super::whole_documents;
use crate::LoadedModel;
use crate::documents::Documents;
use crate::scoring::{self, PlacedScores, loss_spans};

/// Fewest tokens of other text that are worth the pass.
const FEWEST_TOKENS: usize = 16;

pub(super) fn add(
    model: &LoadedModel,
    settings: &Extraction,
    documents: &Documents,
    scores: &mut PlacedScores,
) -> Result<(), Error> {
    let context = model.model.config.context;
    let before = other_text(documents, context / 2);
    if before.len() < FEWEST_TOKENS {
        tracing::warn!(
            "extraction.membership = \"conditional\": there are no {FEWEST_TOKENS} tokens of held-out documents that choose (validation): \
             nothing can stand before documents, and there is no such score"
        );
        return Ok(());
    }
    let room = context.saturating_sub(before.len() + model.bos.len());
    let mut rows = whole_documents(documents, scores);
    rows.retain(|(document, _)| document.tokens.len() <= room && !document.is_choosing);
    rows.sort_by_key(|(document, _)| document.tokens.len());
    let path = torch_device::compute_path(settings.compute_path, model.model.device());
    let mut progress = Progress::new("scoring behind other text", rows.len() as u64, "documents");
    let mut rest = rows.as_mut_slice();
    while !rest.is_empty() {
        let longest_of = |rows: usize| before.len() + rest[rows - 1].0.tokens.len();
        let fitting = (1..=rest.len()).take_while(|&rows| rows * longest_of(rows) <= scoring::BATCH_TOKENS);
        let (batch, later) = rest.split_at_mut(fitting.count().max(1));
        let texts: Vec<&[i64]> = batch.iter().map(|(document, _)| &document.tokens[..]).collect();
        for ((document, score), logprobs) in batch
            .iter_mut()
            .zip(scoring::logprobs_behind(model, path, &before, &texts)?)
        {
            let spans = loss_spans(settings, document);
            let learned = spans.iter().flat_map(|span| &logprobs[span.clone()]);
            let nats: f64 = learned.map(|&logprob| -f64::from(logprob)).sum();
            score.conditional_loss = Some((nats / f64::from(score.suffix_tokens.max(1))) as f32);
        }
        progress.advance(texts.len() as u64, "");
        rest = later;
    }
    Ok(())
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
