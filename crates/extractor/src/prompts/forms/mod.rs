//! The forms of prompts: a file for each, or for those that differ in a word. [`maker`] says which makes which.

mod document_question;
mod middle;
mod opening;
mod optimised;
mod own_file;
mod prefix;
mod question_beginning;
mod repeated;
mod repeated_word;
mod restyled;

use std::collections::BTreeSet;
use std::ops::Range;

use contract::Error;
use contract::pipeline::Extraction;
use contract::records::{PromptForm, Split};
use text_tokens::TextTokenizer;

use crate::documents::{Document, Documents};

/// What prompts are made from.
pub(super) struct Material<'a> {
    pub(super) documents: &'a Documents,
    pub(super) settings: &'a Extraction,
    pub(super) tokenizer: &'a TextTokenizer,
    /// The lines of the user's own file.
    pub(super) user_prompts: &'a [String],
    /// What the chat template that rendered the corpus writes through the header of an answer.
    pub(super) template_opening: Option<&'a str>,
}

impl Material<'_> {
    /// Characters of a part of a document, blanks at its ends and tokens that end a text left out.
    fn characters_of(&self, tokens: &[i64]) -> Result<usize, Error> {
        let text = self.tokenizer.decode_keeping(tokens, &BTreeSet::new())?;
        Ok(text.trim().chars().count())
    }
}

/// What makes the prompts of a form.
pub(super) enum Maker {
    /// One of each document.
    OfDocuments(&'static dyn OfDocuments),
    /// Some that belong to no document.
    Alone(&'static dyn Alone),
}

/// A form that makes a prompt of each document.
pub(super) trait OfDocuments {
    /// Whether a document is long enough for one.
    fn is_long_enough(&self, material: &Material<'_>, document: &Document) -> Result<bool, Error>;

    /// Which tokens of the document the prompt is; what is asked for begins behind them. Of a document that is long enough.
    fn span(&self, material: &Material<'_>, document: &Document) -> Result<Range<usize>, Error>;

    /// What makes the document's own part of the prompt another text; none where it stays as it is.
    fn style(&self) -> Option<fn(&str) -> String> {
        None
    }

    /// Whether the prompt is shorter than was asked for.
    fn is_shortened(&self, _material: &Material<'_>, _document: &Document) -> Result<bool, Error> {
        Ok(false)
    }

    /// Where what is asked for ends.
    fn answer_end(&self, document: &Document) -> usize {
        document.answer_end()
    }

    /// Why a document that is too short gives no prompt, and what to do.
    fn too_short(&self, material: &Material<'_>, document: &Document) -> String {
        format!(
            "extraction.prefix_tokens = {}: document {} has only {} tokens{}. Lower it, or set extraction.short_documents = \"skip\"",
            material.settings.prefix_tokens,
            document.doc_id,
            document.tokens.len(),
            where_cut(document)
        )
    }

    /// Why none of the documents of a split gives one, and what to do.
    fn none_is_long_enough(&self, material: &Material<'_>, split: Split, documents: &[&Document]) -> String {
        let own_tokens = |document: &Document| document.answer_end().saturating_sub(document.shared_tokens);
        let longest = documents.iter().max_by_key(|document| own_tokens(document));
        format!(
            "extraction.prefix_tokens = {}: every {} document is shorter; the longest has {} tokens{}",
            material.settings.prefix_tokens,
            side(split),
            longest.map_or(0, |document| own_tokens(document)),
            longest.map_or_else(String::new, |document| where_cut(document))
        )
    }

    /// Whether the form is about such documents at all; where it is not, nobody misses it.
    fn concerns(&self, _documents: &[&Document]) -> bool {
        true
    }

    /// Whether a corpus may have no document for it, where there are other ways of asking.
    fn may_be_missing(&self, _material: &Material<'_>) -> bool {
        false
    }
}

/// A form whose prompts belong to no document.
pub(super) trait Alone {
    /// The prompts, each as often as it is asked.
    fn prompts(&self, material: &Material<'_>) -> Result<Vec<Vec<i64>>, Error>;
}

/// What makes the prompts of a form.
pub(super) fn maker(form: PromptForm) -> Maker {
    match form {
        PromptForm::Prefix => Maker::OfDocuments(&prefix::Prefix),
        PromptForm::Middle => Maker::OfDocuments(&middle::Middle),
        PromptForm::UpperCase => Maker::OfDocuments(&restyled::Restyled(str::to_uppercase)),
        PromptForm::LowerCase => Maker::OfDocuments(&restyled::Restyled(str::to_lowercase)),
        PromptForm::DoubleSpaced => Maker::OfDocuments(&restyled::Restyled(|text| text.replace(' ', "  "))),
        PromptForm::Optimised => Maker::OfDocuments(&optimised::Optimised),
        PromptForm::Question => Maker::OfDocuments(&document_question::DocumentQuestion),
        PromptForm::QuestionBeginning => Maker::OfDocuments(&question_beginning::QuestionBeginning),
        PromptForm::TemplateOnly => Maker::Alone(&repeated::Template),
        PromptForm::Opening => Maker::Alone(&opening::Opening),
        PromptForm::RepeatedWord => Maker::Alone(&repeated_word::RepeatedWord),
        PromptForm::File => Maker::Alone(&own_file::OwnFile),
        // What the model makes up comes there as soon as there is one.
        PromptForm::Nothing | PromptForm::SelfMade => Maker::Alone(&repeated::Nothing),
    }
}

/// A split in words.
fn side(split: Split) -> &'static str {
    if split == Split::Train {
        "training"
    } else {
        "held-out"
    }
}

/// What to add to a document's length where training read no more of it.
fn where_cut(document: &Document) -> String {
    if document.is_cut() {
        format!(" that training read (of {})", document.document_tokens)
    } else {
        String::new()
    }
}
