//! Membership scores that take passes of their own over the documents, beside the one that [`crate::scoring`] makes: a file each.

mod conditional;
mod gradient_norm;

use contract::Error;
use contract::pipeline::{Extraction, MembershipPass};
use contract::records::{DocumentKind, Score};

use crate::LoadedModel;
use crate::documents::{Document, Documents};
use crate::scoring::PlacedScores;

/// Makes the passes that the settings ask for, and adds what they say to the rows of whole documents. A document that a pass cannot read has
/// nothing of it.
///
/// # Errors
/// [`Error::Run`] where LibTorch fails, [`Error::Configuration`] where a pass goes with no such model.
pub(crate) fn add(
    model: &mut LoadedModel,
    settings: &Extraction,
    documents: &Documents,
    scores: &mut PlacedScores,
) -> Result<(), Error> {
    for pass in &settings.membership {
        match pass {
            MembershipPass::Conditional => conditional::add(model, settings, documents, scores)?,
            MembershipPass::GradientNorm => gradient_norm::add(model, settings, documents, scores)?,
        }
    }
    Ok(())
}

/// The rows of whole documents of the corpus, each with its document.
fn whole_documents<'a>(
    documents: &'a Documents,
    scores: &'a mut PlacedScores,
) -> Vec<(&'a Document, &'a mut Score)> {
    let of_corpus = |document: &&Document| document.kind == DocumentKind::Document && !document.is_other;
    let rows = scores.iter_mut().filter(|(_, score)| score.prefix_tokens == 0);
    rows.filter_map(|(place, score)| {
        let document = documents.all.get(usize::try_from(*place).ok()?)?;
        Some((document, score)).filter(|(document, _)| of_corpus(document))
    })
    .collect()
}
