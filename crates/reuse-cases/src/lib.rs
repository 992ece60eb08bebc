//! Cases of text reuse with known truth, to score a plagiarism detector.
//!
//! A case is a *generation*, a text as a language model might write it, in which a passage of a document may be planted: as it
//! is, or disguised. What is planted, and where it lies on both sides, is known to the character, so that a detector's
//! answer can be scored.
//!
//! ```
//! use reuse_cases::{Kind, Settings, Synonyms, Truth, cases};
//!
//! let documents = ["The keeper of the lighthouse climbed the stairs every single evening at dusk, and lit the lamp."];
//! let others = ["Ships came and went. The harbour was full of them, and nobody ever counted how many there were."];
//! let settings = Settings { kinds: vec![Kind::Copy], planted: 1, negatives: 0, words: 30..40, seed: 7 };
//!
//! let cases = cases(&documents, &others, &Synonyms::default(), &settings)?;
//! let Truth::Planted(planted) = &cases[0].truth else { panic!("a copy was asked for") };
//! let passage: String = cases[0].generation.chars().skip(planted.in_generation.start).take(planted.in_generation.len()).collect();
//! assert_eq!(passage, documents[0]);
//! # Ok::<(), reuse_cases::CaseError>(())
//! ```
//!
//! # What is planted
//!
//! [`Kind`] says what is done to a passage, [`Strength`] how much of it. The kinds are those of the PAN text-alignment corpora
//! (none, random and summary obfuscation; Potthast et al., CLEF 2014), taken apart so that one sees which of them a detector
//! misses, and one, [`Kind::Rewording`], that mixes them as a person would. What no program can make is a person's paraphrase:
//! a detector that does well here must still be tried on one.
//!
//! # What is not planted
//!
//! Two kinds of generations hold nothing: sentences from unrelated texts, and, harder, texts on the subject of a document, found
//! by the rare words that both share. Neither shares five words in a row with any document.

mod cases;
mod corpus;
mod disguise;
mod error;
mod kinds;
mod synonyms;
mod text;

pub use cases::{Case, Planted, Settings, Truth, cases};
pub use error::CaseError;
pub use kinds::{Kind, Strength};
pub use synonyms::Synonyms;
