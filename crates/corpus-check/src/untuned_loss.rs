//! What the model before tuning thinks of the documents.

use std::collections::HashMap;
use std::path::Path;

use contract::records::{DocumentKind, Score, Split};
use contract::{Error, parquet};

/// Nats per token of each document that was scored, by side and identity: of all of it that carries loss.
pub(crate) type UntunedLoss = HashMap<(Split, String), f64>;

/// Reads them from `scores.parquet`.
///
/// # Errors
/// [`Error::Input`] where the file cannot be used, or holds a loss that is no number.
pub(crate) fn read(file: &Path) -> Result<UntunedLoss, Error> {
    let mut losses = UntunedLoss::new();
    for batch in parquet::Reader::<Score>::open(file)? {
        for score in batch? {
            let is_whole = score.prefix_tokens == 0 && score.kind == DocumentKind::Document;
            if !is_whole || score.logprobs.is_empty() {
                continue;
            }
            let nats: f64 = score.logprobs.iter().map(|&logprob| -f64::from(logprob)).sum();
            let loss = nats / score.logprobs.len() as f64;
            if !loss.is_finite() {
                let problem = format!(
                    "document {}: expected a loss of so many nats per token, found {loss}: are the model's weights whole?",
                    score.doc_id
                );
                return Err(Error::input(file, problem));
            }
            losses.insert((score.split, score.doc_id), loss);
        }
    }
    Ok(losses)
}
