//! Aligned passages between two texts: which part of a generation renders which part of a document, word for word, in
//! other words, or spun out.
//!
//! The algorithm is the one that won the text-alignment tasks of PAN 2014 and 2015 (Sanchez-Perez, Gelbukh and Sidorov,
//! "The Winning Approach to Text Alignment for Text Reuse Detection at PAN 2014"; "Adaptive Algorithm for Plagiarism
//! Detection", 2015). Lee et al. (WWW 2023) and Zeng et al. (ACL 2024) used it to decide what a language model copied.
//!
//! A text is read once into a [`PreparedText`]: sentences, words, stems. An [`Aligner`] holds the [`Parameters`] and
//! compares any two prepared texts; it keeps no state, so one serves all threads. What it finds is an [`Alignment`]: a
//! [`Class`], and the passages as pairs of [`Span`]s, counted in characters.
//!
//! ```
//! use text_align::{Aligner, Class, Parameters, PreparedText};
//!
//! let document = "The lighthouse keeper climbed the stairs every evening at dusk. \
//!     He trimmed the wick, polished the great lens and lit the lamp. \
//!     Nobody in the village remembered a night without its beam.";
//! let generation = "As the story goes, he was never late. \
//!     He trimmed the wick, polished the great lens and lit the lamp. Then he slept.";
//!
//! let aligner = Aligner::new(Parameters::lee2023())?;
//! let alignment = aligner.align(&PreparedText::new(generation), &PreparedText::new(document));
//!
//! assert_eq!(alignment.class, Class::Verbatim);
//! let passage = "He trimmed the wick, polished the great lens and lit the lamp.";
//! assert_eq!(alignment.cases[0].generated.cut(generation), Some(passage));
//! assert_eq!(alignment.cases[0].document.cut(document), Some(passage));
//! # Ok::<(), text_align::ParameterError>(())
//! ```
//!
//! # How it works
//!
//! 1. Each text is split into sentences and each sentence into stems; a sentence of fewer than three terms is joined to
//!    the next ([`PreparedText`], [`sentences`]).
//! 2. Sentences become vectors, weighted by count × ln(N / df) over the sentences of both texts.
//! 3. Every pair of sentences that is alike, by cosine and by Dice coefficient, is a *seed*.
//! 4. Seeds that lie close together on both sides form *clusters*.
//! 5. A cluster whose two sides as a whole are not alike is broken up again with a smaller gap, or dropped.
//! 6. Of clusters that share suspicious sentences the better one stays.
//! 7. What is too short is dropped; the rest are *cases*.
//! 8. If a case holds a long common word sequence, the pair is *verbatim*, and its cases are those sequences.
//! 9. If not, steps 4 to 7 are repeated with a wide gap. If the passages are much longer on the source side, the pair is
//!    a *summary*; if not, the first cases stay, and the pair is *obfuscated*.
//!
//! # What to know
//!
//! - Roles matter. The document is what PAN calls the suspicious text, the generation is the source: see
//!   [`Aligner::align`], and [`Aligner::align_roles`] for the classic reading.
//! - Weights belong to a pair. A term in every sentence of both texts weighs nothing, so two texts of one and the same
//!   single sentence have no seed, and the class [`Class::None`]. Exact search is for another tool.
//! - Stems are English, and terms are words of three characters or more, so a text in a script without spaces between
//!   words has next to no terms.
//! - [`Mode::Exact`] decides as the published program does, slips included; [`Mode::Fixed`] has them put right, and the
//!   table there lists them.
//! - No input makes it panic, and the same input gives the same output everywhere. Time grows with the number of
//!   sentence pairs that share a term, where equal sentences of a long text count once; common word sequences are found
//!   in linear time.
//!
//! [`case_measures`] scores a detector against known cases.

mod aligner;
pub mod case_measures;
mod clusters;
mod comparisons;
mod lexicon;
mod overlaps;
mod parameters;
mod prepared;
mod published_verbatim;
mod seeds;
pub mod sentences;
mod span;
mod suffix_automaton;
mod vectors;
mod verbatim;
mod words;

pub use aligner::{Aligner, Alignment, Case, Class, RoleAlignment, RoleCase};
pub use parameters::{Mode, ParameterError, Parameters, Preset, Sides};
pub use prepared::PreparedText;
pub use sentences::SentenceError;
pub use span::Span;
