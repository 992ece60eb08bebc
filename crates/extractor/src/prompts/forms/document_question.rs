//! What users ask: the part of a document that is its prompt.

use std::ops::Range;

use contract::Error;
use contract::records::Split;

use super::{Material, OfDocuments, side, where_cut};
use crate::documents::Document;

pub(super) struct DocumentQuestion;

impl OfDocuments for DocumentQuestion {
    fn is_long_enough(&self, _: &Material<'_>, document: &Document) -> Result<bool, Error> {
        Ok((1..document.tokens.len()).contains(&document.question_tokens))
    }

    fn span(&self, _: &Material<'_>, document: &Document) -> Result<Range<usize>, Error> {
        Ok(0..document.question_tokens)
    }

    fn answer_end(&self, document: &Document) -> usize {
        document.first_answer_end()
    }

    fn too_short(&self, _: &Material<'_>, document: &Document) -> String {
        format!(
            "extraction.strategy: prompt = \"question\": document {} has no prompt of its own, or nothing behind it{}. Correct the corpus, or \
             set extraction.short_documents = \"skip\"",
            document.doc_id,
            where_cut(document)
        )
    }

    fn none_is_long_enough(&self, _: &Material<'_>, split: Split, _: &[&Document]) -> String {
        format!(
            "extraction.strategy: prompt = \"question\": no {} document has a prompt of its own. Name the columns in corpus.prompt and \
             corpus.response, or give conversations",
            side(split)
        )
    }

    fn may_be_missing(&self, _: &Material<'_>) -> bool {
        true
    }
}
