//! The first tokens of a document.

use std::ops::Range;

use contract::Error;
use contract::records::PromptForm;

use super::{Material, OfDocuments};
use crate::documents::Document;

/// Tokens of its own that a document is prompted with at least, behind a beginning that it shares with others.
const LEAST_OWN_TOKENS: usize = 8;

/// Characters of a document behind its prompt that are enough for a repetition to count: the 50 of the class verbatim, and what is
/// trimmed at its ends.
const ENOUGH_CHARACTERS: usize = 60;

/// And those without which it cannot.
const JUST_ENOUGH_CHARACTERS: usize = 50;

pub(super) struct Prefix;

impl OfDocuments for Prefix {
    fn is_long_enough(&self, material: &Material<'_>, document: &Document) -> Result<bool, Error> {
        Ok(length(material, document)?.is_some())
    }

    fn span(&self, material: &Material<'_>, document: &Document) -> Result<Range<usize>, Error> {
        // What distinguishes one document from another begins behind what many begin with alike.
        let own = length(material, document)?.unwrap_or(material.settings.prefix_tokens);
        Ok(0..document.shared_tokens + own)
    }

    /// Conversations whose answers are all short, or were cut off, may be asked for what users wrote.
    fn may_be_missing(&self, material: &Material<'_>) -> bool {
        let mut strategies = material.settings.strategy.iter();
        strategies.any(|strategy| strategy.prompt == PromptForm::QuestionBeginning)
            && material.documents.all.iter().any(Document::is_rendered)
    }

    fn is_shortened(&self, material: &Material<'_>, document: &Document) -> Result<bool, Error> {
        let length = length(material, document)?;
        Ok(length.is_some_and(|length| length < material.settings.prefix_tokens))
    }
}

/// Tokens of a document's beginning that it is prompted with.
fn length(material: &Material<'_>, document: &Document) -> Result<Option<usize>, Error> {
    let own = document
        .tokens
        .get(document.shared_tokens..document.answer_end())
        .unwrap_or_default();
    prompt_length(material, own, document.shares_beginning())
}

/// How many of its `own` first tokens a text is prompted with: as many as are asked for, or fewer where it would end before as many
/// characters as count, down to half of them, or behind a beginning that it shares with others to [`LEAST_OWN_TOKENS`]. None where it
/// is too short for that.
pub(super) fn prompt_length(
    material: &Material<'_>,
    own: &[i64],
    shares_beginning: bool,
) -> Result<Option<usize>, Error> {
    let asked = material.settings.prefix_tokens;
    let half = asked.div_ceil(2);
    let least = if shares_beginning {
        half.min(LEAST_OWN_TOKENS)
    } else {
        half
    };
    // What is not generated cannot be repeated: a shorter prompt gives nothing then.
    let least = least.max(own.len().saturating_sub(material.settings.new_tokens));
    let most = asked.min(own.len().saturating_sub(1));
    for characters in [ENOUGH_CHARACTERS, JUST_ENOUGH_CHARACTERS] {
        // The shorter a prompt, the more is behind it: the longest that leaves enough.
        let (mut leaves_enough, mut too_long) = (None, most + 1);
        let mut shortest = least;
        while shortest < too_long {
            let middle = shortest + (too_long - shortest) / 2;
            if material.characters_of(&own[middle..])? >= characters {
                leaves_enough = Some(middle);
                shortest = middle + 1;
            } else {
                too_long = middle;
            }
        }
        if leaves_enough.is_some() {
            return Ok(leaves_enough);
        }
    }
    Ok((own.len() > asked).then_some(asked))
}
