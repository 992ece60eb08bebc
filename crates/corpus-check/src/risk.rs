//! Which documents are most at risk: the score of `measures::risk` for each.

use std::collections::HashMap;

use contract::Error;
use contract::records::{DocumentCheck, Split};
use measures::risk::extraction_risk;

use crate::untuned_loss::UntunedLoss;

/// The smallest loss that a risk is made of: a model that knows a text by heart has hardly any, and its logarithm must be a number.
const MIN_LOSS: f64 = 1e-6;

/// What the risk took for the loss: that of the model before tuning.
pub(crate) const BY_MODEL: &str = "model";

/// What the risk took for the loss: compressed nats a character.
pub(crate) const BY_ZLIB: &str = "zlib";

/// Gives every training document with something to learn its risk, and puts those with the most first.
///
/// Where only some documents were scored, the others have their zlib nats a character times what the model has for one of these in the
/// middle of the documents that were: two scales in one ranking would rank the scale.
///
/// # Errors
/// [`Error::Run`] where a figure has no risk.
pub(crate) fn rank(documents: &mut [DocumentCheck], losses: &UntunedLoss) -> Result<(), Error> {
    for document in documents.iter_mut() {
        let key = (document.split, document.doc_id.clone());
        document.untuned_loss = losses.get(&key).map(|&loss| loss as f32);
    }
    let model_for_zlib = model_for_zlib(documents);
    for document in documents
        .iter_mut()
        .filter(|document| document.split == Split::Train)
    {
        let (Some(exposure), Some(zlib)) = (document.exposure_bits, zlib_nats(document)) else {
            continue;
        };
        let (loss, by) = match document.untuned_loss {
            Some(loss) => (f64::from(loss), BY_MODEL),
            None if document.loss_tokens == Some(0) => continue,
            None => (zlib * model_for_zlib, BY_ZLIB),
        };
        let risk = extraction_risk(f64::from(exposure), loss.max(MIN_LOSS))
            .map_err(|error| Error::Run(format!("document {}: {error}", document.doc_id)))?;
        document.risk = Some(risk as f32);
        document.risk_by = Some(by.to_owned());
    }
    let order = |document: &DocumentCheck| document.risk.unwrap_or(f32::NEG_INFINITY);
    documents.sort_by(|first, second| {
        order(second)
            .total_cmp(&order(first))
            .then_with(|| first.doc_id.cmp(&second.doc_id))
    });
    Ok(())
}

/// Nats a character under zlib.
fn zlib_nats(document: &DocumentCheck) -> Option<f64> {
    let bits = document.zlib_bits_per_char?;
    Some(f64::from(bits) * std::f64::consts::LN_2)
}

/// The median, over the documents that were scored, of the model's nats per token for one nat a character of zlib; 1 where none was.
fn model_for_zlib(documents: &[DocumentCheck]) -> f64 {
    let ratio = |document: &DocumentCheck| Some(f64::from(document.untuned_loss?) / zlib_nats(document)?);
    let mut ratios: Vec<f64> = documents.iter().filter_map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(1.0)
}

/// The numbers of documents by what their risk took for the loss.
pub(crate) fn by_source_of<'a>(documents: &[&'a DocumentCheck]) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    for by in documents
        .iter()
        .filter_map(|document| document.risk_by.as_deref())
    {
        *counts.entry(by).or_default() += 1;
    }
    counts
}
