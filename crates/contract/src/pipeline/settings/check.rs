//! A look at a corpus before anything is tuned on it.

use serde::{Deserialize, Serialize};

/// `[check]`: a look at a corpus before anything is tuned on it. A pipeline file with this table
/// tunes and asks nothing: `[[checkpoint]]`, where there is one, is the model that is going to be
/// tuned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Check {
    /// Documents most at risk that the page lists.
    pub listed: usize,
    /// Characters of a document's beginning that the page shows; 0 shows no text.
    pub excerpt_chars: usize,
    /// Heading of the page; without it, the pipeline's name.
    pub title: String,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            listed: 50,
            excerpt_chars: 80,
            title: String::new(),
        }
    }
}
