//! A prompt that is searched for: here it is empty, and what the model is to go on with is the document's beginning.

use std::ops::Range;

use contract::Error;

use super::{Material, OfDocuments};
use crate::documents::Document;

pub(super) struct Optimised;

impl OfDocuments for Optimised {
    fn is_long_enough(&self, material: &Material<'_>, document: &Document) -> Result<bool, Error> {
        let own_tokens = document.answer_end().saturating_sub(document.shared_tokens);
        Ok(own_tokens >= material.settings.new_tokens)
    }

    fn span(&self, _: &Material<'_>, document: &Document) -> Result<Range<usize>, Error> {
        Ok(document.shared_tokens..document.shared_tokens)
    }
}
