//! Whether two aligned passages say the same thing.
//!
//! Alignment finds passages that share words; that they share meaning is a second question. Lee et al. (WWW 2023) asked a
//! classifier trained on MRPC about every pair of sentences of the two passages. Here the cosine of the sentences' vectors
//! has to reach a threshold that was calibrated on labelled pairs (`examples/calibrate.rs`).

use contract::pipeline::{Confirmation, Detection};

use crate::sentences::{Sentence, SentenceTable};
use crate::similarity::Vectors;

/// Confirms paraphrases.
#[derive(Debug, Clone, Copy)]
pub struct Confirmer<'run> {
    threshold: Option<f32>,
    table: &'run SentenceTable,
    vectors: &'run Vectors,
}

impl<'run> Confirmer<'run> {
    /// A confirmer as `detection` asks for, over the vectors of all sentences.
    pub fn new(detection: &Detection, table: &'run SentenceTable, vectors: &'run Vectors) -> Self {
        let threshold = match detection.confirm {
            Confirmation::Encoder => Some(detection.confirm_cosine as f32),
            Confirmation::None => None,
        };
        Self {
            threshold,
            table,
            vectors,
        }
    }

    /// Whether some sentence of one passage rewords some sentence of the other.
    ///
    /// Sentences that are equal but for the case of their letters reword nothing, as in Lee et al. So a passage in which
    /// only equal sentences are near is not confirmed: it is a copy, and if it were long enough to count as one it would
    /// be verbatim. The length of such a copy still shows in `longest_match_chars`.
    pub fn confirms(&self, generated: &[Sentence], document: &[Sentence]) -> bool {
        self.threshold.is_none_or(|threshold| {
            self.vectors
                .largest_unequal(self.table, generated, document)
                .is_some_and(|cosine| cosine >= threshold)
        })
    }
}
