//! Why documents are no part of the corpus.

use std::fmt;

use contract::records::CorpusFact;
use corpus_files::FlawKind;

/// Why a document was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It could not be read.
    Unreadable(FlawKind),
    /// Shorter than asked for.
    TooShort,
    /// Longer than asked for, or than offsets can count.
    TooLong,
    /// The same string occurred in the corpus before.
    Duplicate,
    /// The same text occurred before, in other white space, case or normal form.
    Variant,
    /// Text of the held-out files that occurs in the files to train on too, up to white space, case and normal form.
    AlsoTrained,
    /// Other text that occurs in the corpus too, to train on or held out, up to white space, case and normal form.
    AlsoInCorpus,
    /// A canary that the manifest names: it is no document of the corpus.
    Canary,
    /// More documents than asked for.
    OverLimit,
    /// A training document for which the fixed number of instances has no room.
    OverBudget,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unreadable(kind) => return kind.fmt(formatter),
            Self::TooShort => "too short",
            Self::TooLong => "too long",
            Self::Duplicate => "exact duplicates",
            Self::Variant => "duplicates up to white space, case and normal form",
            Self::AlsoTrained => CorpusFact::ALSO_TRAINED,
            Self::AlsoInCorpus => {
                "other texts that are duplicates of texts of the corpus, up to white space, case and normal form"
            }
            Self::Canary => "planted canaries, as their manifest names them",
            Self::OverLimit => "over the number asked for",
            Self::OverBudget => "over the fixed budget",
        })
    }
}
