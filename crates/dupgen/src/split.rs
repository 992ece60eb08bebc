//! Which documents are used, and which of them no training run sees.
//!
//! Both follow from the text alone. A document therefore stays on its side whatever else is in the corpus, whatever the seed
//! and whatever its identity, and results of several runs can be compared document by document.

use crate::digest::{Digest, Purpose};

/// The two sides of the experiment, each a list of document numbers in the order of the corpus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sides {
    /// Documents to train on.
    pub training: Vec<usize>,
    /// Documents kept back: the control.
    pub held_out: Vec<usize>,
}

/// Splits documents, given by the digests of their texts, so that about `share` (0 to 1) of them are held out; and all that are
/// marked as kept back anyway.
pub fn by_text(digests: impl IntoIterator<Item = (Digest, bool)>, share: f64) -> Sides {
    let mut sides = Sides::default();
    for (document, (digest, kept_back)) in digests.into_iter().enumerate() {
        let side = if kept_back || is_held_out(digest, share) {
            &mut sides.held_out
        } else {
            &mut sides.training
        };
        side.push(document);
    }
    sides
}

/// Whether the text with this digest is held out when `share` of all texts is: its rank, as a fraction of all ranks, is
/// below `share`. A text held out at one share is held out at every larger one.
pub fn is_held_out(digest: Digest, share: f64) -> bool {
    (digest.rank(Purpose::HoldingOut, 0) as f64) < share * 2f64.powi(64)
}

/// The `limit` documents of lowest rank, by their numbers in ascending order. A smaller limit chooses from the same documents.
pub fn lowest(digests: &[Digest], limit: usize) -> Vec<usize> {
    let mut documents: Vec<usize> = (0..digests.len()).collect();
    documents
        .sort_unstable_by_key(|&document| (digests[document].rank(Purpose::Selection, 0), digests[document]));
    documents.truncate(limit);
    documents.sort_unstable();
    documents
}
