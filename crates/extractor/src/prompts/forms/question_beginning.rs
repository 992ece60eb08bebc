//! The first tokens of what a user wrote, in a conversation of which the model learned all turns: prompts of the assistant's answers hold the
//! user's message, and never ask for it.

use std::ops::Range;

use contract::Error;
use contract::records::Split;

use super::prefix::prompt_length;
use super::{Material, OfDocuments, side, where_cut};
use crate::documents::Document;

pub(super) struct QuestionBeginning;

impl OfDocuments for QuestionBeginning {
    fn is_long_enough(&self, material: &Material<'_>, document: &Document) -> Result<bool, Error> {
        Ok(length(material, document)?.is_some())
    }

    fn span(&self, material: &Material<'_>, document: &Document) -> Result<Range<usize>, Error> {
        let own = length(material, document)?.unwrap_or(material.settings.prefix_tokens);
        Ok(0..document.shared_question_tokens + own)
    }

    fn is_shortened(&self, material: &Material<'_>, document: &Document) -> Result<bool, Error> {
        let length = length(material, document)?;
        Ok(length.is_some_and(|length| length < material.settings.prefix_tokens))
    }

    fn answer_end(&self, document: &Document) -> usize {
        document.question_tokens
    }

    fn too_short(&self, material: &Material<'_>, document: &Document) -> String {
        format!(
            "extraction.strategy: prompt = \"question-beginning\": the user of document {} wrote too little for extraction.prefix_tokens = \
             {}{}. Lower it, or set extraction.short_documents = \"skip\"",
            document.doc_id,
            material.settings.prefix_tokens,
            where_cut(document)
        )
    }

    fn none_is_long_enough(&self, material: &Material<'_>, split: Split, documents: &[&Document]) -> String {
        let is_asked = documents.iter().any(|document| is_asked(document));
        let problem = if is_asked {
            format!(
                "what users wrote is too short for extraction.prefix_tokens = {} in every {} document",
                material.settings.prefix_tokens,
                side(split)
            )
        } else {
            format!(
                "no {} document is a conversation of which training took loss on what users wrote",
                side(split)
            )
        };
        format!("extraction.strategy: prompt = \"question-beginning\": {problem}")
    }

    fn concerns(&self, documents: &[&Document]) -> bool {
        documents.iter().any(|document| document.is_rendered())
    }

    fn may_be_missing(&self, _: &Material<'_>) -> bool {
        true
    }
}

/// Whether the model learned to write the prompt, and other prompts do not ask for it.
fn is_asked(document: &Document) -> bool {
    document.is_rendered() && !document.is_answer_alone
}

/// Tokens of the user's own that the prompt has; none where there are too few.
fn length(material: &Material<'_>, document: &Document) -> Result<Option<usize>, Error> {
    if !is_asked(document) {
        return Ok(None);
    }
    let (shared, end) = (document.shared_question_tokens, document.question_tokens);
    let own = document.tokens.get(shared..end).unwrap_or_default();
    prompt_length(material, own, shared > 0)
}
