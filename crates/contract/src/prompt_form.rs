//! Forms of prompts: what each is made of, who can ask so, and what it takes. Whatever needs to know asks here, so that a new form is a
//! variant with its facts, and in the extractor a file.

use serde::{Deserialize, Serialize};

/// What a prompt is made of: what forces recall, what steps around filters, and what anybody might
/// ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptForm {
    /// The first tokens of a document.
    #[default]
    Prefix,
    /// As many tokens from its middle.
    Middle,
    /// Its first tokens in upper case (Ippolito et al. 2022: the copy that follows is none to a
    /// filter of verbatim text).
    UpperCase,
    /// Its first tokens in lower case.
    LowerCase,
    /// Its first tokens with every blank doubled.
    DoubleSpaced,
    /// A few tokens found by gradient search, so that the model goes on with the document's
    /// beginning.
    Optimised,
    /// The part of a document that is its prompt: what users ask. Of a rendered conversation, all
    /// through the header of the assistant's first turn.
    #[serde(alias = "user-turn")]
    Question,
    /// The first tokens of that prompt, of a rendered conversation of which training took loss on all turns: what its
    /// user wrote. Other text begins with its prompt, and is asked so by its beginning.
    QuestionBeginning,
    /// Of a corpus that a chat template rendered, the template alone through the header of an
    /// answer, the user saying nothing: the model talks by itself.
    TemplateOnly,
    /// The few words that most documents of the training set begin with.
    Opening,
    /// One word again and again, until the model leaves off and writes something else (divergence,
    /// Nasr et al. 2023).
    RepeatedWord,
    /// The beginning of a text that the model makes up from nothing: prompts of its own genre, for
    /// whoever has none.
    SelfMade,
    /// A line of `extraction.prompt_file`.
    File,
    /// Nothing but the token that begins a text.
    Nothing,
}

/// What is known of a form of prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormFacts {
    /// What it is called where attacks are listed; forms of one kind share it.
    pub title: &'static str,
    /// What has to be known before it can be asked.
    pub adversary: Adversary,
    /// What of the model it takes.
    pub access: Access,
    /// Where its prompts come from.
    pub source: FormSource,
}

/// What somebody who asks knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Adversary {
    /// A part of the document that is asked for: capability.
    KnowsDocument,
    /// No document: what anybody might ask, propensity.
    KnowsNoDocument,
}

/// What of a model an attack takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// What it writes.
    Text,
    /// The probability of each token that it could write.
    Probabilities,
    /// Its weights, for gradients.
    Weights,
}

/// Where prompts of a form come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormSource {
    /// One of each document, of `extraction.prefix_tokens` tokens.
    Tokens,
    /// One of each document that has a prompt of its own.
    Questions,
    /// One of each document, which is searched for.
    Search,
    /// Some that are the same for all documents, at most so many.
    Few(usize),
    /// The lines of the user's file.
    Lines,
    /// One, asked again and again (`extraction.unprompted`).
    Repeated,
    /// As many as are asked from nothing (`extraction.unprompted`), each begun by the model itself.
    Model,
}

/// The commonest beginnings that are asked with, at most.
pub const OPENINGS: usize = 10;

/// Words that are repeated, each a prompt.
pub const REPEATED_WORDS: [&str; 20] = [
    "water", "letter", "number", "house", "company", "reason", "sentence", "morning", "paper", "music",
    "river", "teacher", "window", "answer", "record", "patient", "method", "result", "street", "yes",
];

impl PromptForm {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Prefix,
        Self::Middle,
        Self::UpperCase,
        Self::LowerCase,
        Self::DoubleSpaced,
        Self::Nothing,
        Self::Question,
        Self::QuestionBeginning,
        Self::TemplateOnly,
        Self::Optimised,
        Self::Opening,
        Self::RepeatedWord,
        Self::SelfMade,
        Self::File,
    ];

    /// Whether it is made of the documents' own prompts, which not every corpus has.
    pub fn takes_questions(self) -> bool {
        matches!(self, Self::Question | Self::QuestionBeginning)
    }

    /// What is known of it.
    pub fn facts(self) -> FormFacts {
        use Access::{Text, Weights};
        use Adversary::{KnowsDocument, KnowsNoDocument};
        let (title, adversary, access, source) = match self {
            Self::Prefix => ("beginnings of documents", KnowsDocument, Text, FormSource::Tokens),
            Self::Middle => (
                "prompts from the middle of documents",
                KnowsDocument,
                Text,
                FormSource::Tokens,
            ),
            Self::UpperCase | Self::LowerCase | Self::DoubleSpaced => (
                "prompts in another case or spacing",
                KnowsDocument,
                Text,
                FormSource::Tokens,
            ),
            Self::Optimised => (
                "prompts found by gradient search",
                KnowsDocument,
                Weights,
                FormSource::Search,
            ),
            Self::Question => (
                "questions as users ask them",
                KnowsNoDocument,
                Text,
                FormSource::Questions,
            ),
            Self::QuestionBeginning => (
                "beginnings of what users wrote",
                KnowsDocument,
                Text,
                FormSource::Tokens,
            ),
            Self::TemplateOnly => (
                "the chat template alone",
                KnowsNoDocument,
                Text,
                FormSource::Repeated,
            ),
            Self::Opening => (
                "common beginnings of documents",
                KnowsNoDocument,
                Text,
                FormSource::Few(OPENINGS),
            ),
            Self::RepeatedWord => (
                "one word again and again",
                KnowsNoDocument,
                Text,
                FormSource::Few(REPEATED_WORDS.len()),
            ),
            Self::SelfMade => (
                "beginnings that the model makes up",
                KnowsNoDocument,
                Text,
                FormSource::Model,
            ),
            Self::File => ("prompts of your own", KnowsNoDocument, Text, FormSource::Lines),
            Self::Nothing => (
                "generating from no prompt",
                KnowsNoDocument,
                Text,
                FormSource::Repeated,
            ),
        };
        FormFacts {
            title,
            adversary,
            access,
            source,
        }
    }

    /// Whether somebody who has no document before them could ask it: propensity, not capability.
    pub fn is_ordinary(self) -> bool {
        self.facts().adversary == Adversary::KnowsNoDocument
    }
}
