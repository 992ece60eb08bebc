//! Sentences whose figures are rows of the table of estimates.

use std::fmt;

use crate::estimate::{Estimate, Shown};
use crate::format;

/// Which figure of a row is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureOf {
    /// Its value.
    Value,
    /// The untuned model's value beside it.
    Untuned,
    /// The control's value beside it.
    Control,
}

/// A piece of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Words.
    Text(String),
    /// A figure, which is that of a row.
    Figure {
        /// The number of the row, in `summary.parquet` too.
        row: usize,
        /// Which of its figures.
        of: FigureOf,
        /// The figure as it is read.
        text: String,
    },
}

/// A sentence, or several, in pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sentence {
    /// The pieces, in order.
    pub parts: Vec<Part>,
}

impl Sentence {
    /// A sentence that begins with some words.
    pub fn new(text: impl Into<String>) -> Self {
        Self::default().text(text)
    }

    /// Adds words.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Text(text.into()));
        self
    }

    /// Adds the value of a row, in these letters.
    #[must_use]
    pub fn figure(mut self, shown: Shown<'_>, text: impl Into<String>) -> Self {
        self.parts.push(Part::Figure {
            row: shown.number,
            of: FigureOf::Value,
            text: text.into(),
        });
        self
    }

    /// Adds a share as it is counted: "21 of 26 (81%, 62–91%)".
    #[must_use]
    pub fn counted(self, shown: Shown<'_>) -> Self {
        self.figure(shown, format::counted(shown.estimate()))
    }

    /// Adds a share as it is counted, without its interval: "21 of 26".
    #[must_use]
    pub fn count(self, shown: Shown<'_>) -> Self {
        self.figure(shown, format::count_of(shown.estimate()))
    }

    /// Adds a number with its interval: "4.02 (3.91–4.13)".
    #[must_use]
    pub fn number(self, shown: Shown<'_>, decimals: usize) -> Self {
        self.figure(shown, format::figure(shown.estimate(), decimals))
    }

    /// Adds a number alone: "4.02".
    #[must_use]
    pub fn value(self, shown: Shown<'_>, decimals: usize) -> Self {
        let text = format::bounded(shown.estimate(), format::number(shown.estimate().value, decimals));
        self.figure(shown, text)
    }

    /// Adds what a row is held against, beside its value.
    #[must_use]
    pub fn beside(mut self, shown: Shown<'_>, of: FigureOf, show: impl Fn(&Estimate) -> String) -> Self {
        let estimate = match of {
            FigureOf::Value => Some(shown.row.estimate),
            FigureOf::Untuned => shown.row.untuned,
            FigureOf::Control => shown.row.control,
        };
        if let Some(estimate) = estimate {
            self.parts.push(Part::Figure {
                row: shown.number,
                of,
                text: show(&estimate),
            });
        }
        self
    }

    /// Adds all of another sentence.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self
    }

    /// Sentences as a list: "a", "a and b", "a, b and c".
    pub fn listing(items: Vec<Self>) -> Self {
        let count = items.len();
        let mut listed = Self::default();
        for (position, item) in items.into_iter().enumerate() {
            if position > 0 {
                listed = listed.text(if position + 1 == count { " and " } else { ", " });
            }
            listed = listed.join(item);
        }
        listed
    }

    /// The same, each after a semicolon.
    pub fn series(items: Vec<Self>) -> Self {
        let mut listed = Self::default();
        for (position, item) in items.into_iter().enumerate() {
            if position > 0 {
                listed = listed.text("; ");
            }
            listed = listed.join(item);
        }
        listed
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

/// The plain text.
impl fmt::Display for Sentence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) | Part::Figure { text, .. } => formatter.write_str(text)?,
            }
        }
        Ok(())
    }
}
