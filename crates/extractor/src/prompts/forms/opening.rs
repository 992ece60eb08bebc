//! The few words that most documents of the training set begin with.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use contract::Error;
use contract::prompt_form::OPENINGS;
use contract::records::Split;

use super::{Alone, Material};

pub(super) struct Opening;

impl Alone for Opening {
    /// The commonest first; every one of at least two documents.
    fn prompts(&self, material: &Material<'_>) -> Result<Vec<Vec<i64>>, Error> {
        let mut counts: BTreeMap<&[i64], usize> = BTreeMap::new();
        for document in material.documents.of(Split::Train) {
            let length = document.shared_tokens + material.settings.opening_tokens;
            if document.tokens.len() > length {
                *counts.entry(&document.tokens[..length]).or_default() += 1;
            }
        }
        let mut shared: Vec<(&[i64], usize)> = counts.into_iter().filter(|(_, count)| *count > 1).collect();
        shared.sort_by_key(|(tokens, count)| (Reverse(*count), *tokens));
        shared.truncate(OPENINGS);
        Ok(shared.into_iter().map(|(tokens, _)| tokens.to_vec()).collect())
    }
}
