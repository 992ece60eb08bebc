//! Which documents are used, and which of them no training run sees.
//!
//! Both follow from the text alone. A document therefore stays on its side whatever else is in the corpus, whatever the seed
//! and whatever its identity, and results of several runs can be compared document by document. (Of texts that differ in white
//! space, case or normal form alone the first in the corpus decides.) Only with `duplication.trained_share` does the seed decide which part
//! of the training side a run sees.

use contract::records::HeldOutRole;

use crate::digest::{Digest, Purpose};

/// The two sides of the experiment, each a list of document numbers in the order of the corpus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sides {
    /// Documents to train on.
    pub training: Vec<usize>,
    /// Documents held out: the control.
    pub held_out: Vec<usize>,
}

/// Splits documents, given by the digests of their texts, so that about `share` (0 to 1) of them are held out; and all that are
/// marked as held out anyway.
pub fn by_text(digests: impl IntoIterator<Item = (Digest, bool)>, share: f64) -> Sides {
    let mut sides = Sides::default();
    for (document, (digest, marked)) in digests.into_iter().enumerate() {
        let side = if marked || is_held_out(digest, share) {
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
    ranks_below(digest, Purpose::HoldingOut, share)
}

/// Divides the training side, given with the digests of its texts, into what is trained on under a seed, about `share` (0 to 1) of it, and what
/// is withheld under this seed.
pub fn under_seed(
    training: Vec<usize>,
    digests: &[Digest],
    share: f64,
    seed: u64,
) -> (Vec<usize>, Vec<usize>) {
    let is_trained = |place: usize| {
        share >= 1.0 || (digests[place].rank(Purpose::Training, seed) as f64) < share * 2f64.powi(64)
    };
    let (mut trained, mut withheld) = (Vec::new(), Vec::new());
    for (place, document) in training.into_iter().enumerate() {
        let side = if is_trained(place) {
            &mut trained
        } else {
            &mut withheld
        };
        side.push(document);
    }
    (trained, withheld)
}

/// What each held-out document is for, given the digests of their texts: about `share` (0 to 1) of them choose checkpoint and
/// learning rate, by a rank of their own. Of two documents or more, with a share between 0 and 1, at least one is for each.
pub fn roles(digests: &[Digest], share: f64) -> Vec<HeldOutRole> {
    let mut roles: Vec<HeldOutRole> = digests
        .iter()
        .map(|&digest| {
            if ranks_below(digest, Purpose::Validation, share) {
                HeldOutRole::Validation
            } else {
                HeldOutRole::Test
            }
        })
        .collect();
    let rank = |&document: &usize| (digests[document].rank(Purpose::Validation, 0), digests[document]);
    let both_asked = share > 0.0 && share < 1.0 && digests.len() > 1;
    let missing = |role| both_asked && !roles.contains(&role);
    let documents = 0..digests.len();
    let moved = if missing(HeldOutRole::Validation) {
        (documents.min_by_key(rank), HeldOutRole::Validation)
    } else if missing(HeldOutRole::Test) {
        (documents.max_by_key(rank), HeldOutRole::Test)
    } else {
        (None, HeldOutRole::Test)
    };
    if let (Some(document), role) = moved {
        roles[document] = role;
    }
    roles
}

/// Whether the digest's rank for `purpose`, as a fraction of all ranks, is below `share`.
fn ranks_below(digest: Digest, purpose: Purpose, share: f64) -> bool {
    share >= 1.0 || (digest.rank(purpose, 0) as f64) < share * 2f64.powi(64)
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
