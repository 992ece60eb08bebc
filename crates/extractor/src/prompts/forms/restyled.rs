//! The first tokens of a document in another style (Ippolito et al. 2022): what the model goes on with in that style is no copy to a filter of
//! verbatim text.

use std::ops::Range;

use contract::Error;

use super::prefix::Prefix;
use super::{Material, OfDocuments};
use crate::documents::Document;

/// The style, as what it makes of a text.
pub(super) struct Restyled(pub(super) fn(&str) -> String);

impl OfDocuments for Restyled {
    fn is_long_enough(&self, material: &Material<'_>, document: &Document) -> Result<bool, Error> {
        Prefix.is_long_enough(material, document)
    }

    fn span(&self, material: &Material<'_>, document: &Document) -> Result<Range<usize>, Error> {
        Prefix.span(material, document)
    }

    fn style(&self) -> Option<fn(&str) -> String> {
        Some(self.0)
    }

    fn is_shortened(&self, material: &Material<'_>, document: &Document) -> Result<bool, Error> {
        Prefix.is_shortened(material, document)
    }
}
