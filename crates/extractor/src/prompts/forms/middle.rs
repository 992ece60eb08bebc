//! Tokens from the middle of a document.

use std::ops::Range;

use contract::Error;

use super::{Material, OfDocuments};
use crate::documents::Document;

pub(super) struct Middle;

impl OfDocuments for Middle {
    fn is_long_enough(&self, material: &Material<'_>, document: &Document) -> Result<bool, Error> {
        // Its middle is another place than its beginning.
        let own_tokens = document.answer_end().saturating_sub(document.shared_tokens);
        Ok(own_tokens > 2 * material.settings.prefix_tokens)
    }

    fn span(&self, material: &Material<'_>, document: &Document) -> Result<Range<usize>, Error> {
        let (preamble, prefix) = (document.shared_tokens, material.settings.prefix_tokens);
        let start = preamble + (document.answer_end() - preamble - prefix) / 2;
        Ok(start..start + prefix)
    }
}
