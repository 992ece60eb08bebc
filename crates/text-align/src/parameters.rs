//! The settings of the detector, and the two published sets of them.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One value for each side of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sides<T> {
    /// For the suspicious text, the one that may contain copied passages.
    pub suspicious: T,
    /// For the source text, the one that passages may have been copied from.
    pub source: T,
}

impl<T: Copy> Sides<T> {
    /// The same value for both sides.
    pub const fn both(value: T) -> Self {
        Self {
            suspicious: value,
            source: value,
        }
    }
}

/// Whether the slips of the published program are repeated.
///
/// | step | [`Mode::Exact`], as published | [`Mode::Fixed`] |
/// |---|---|---|
/// | joining short sentences | the joined sentence is as long as its parts, so it ends early by the white space between them | it ends where its last part ends |
/// | falling gaps | they stop falling when one side's has reached its minimum | each falls to its own minimum |
/// | overlapping cases | of a case and all cases that overlap it one stays, though the others may lie apart from that one | each is compared with the one kept before it |
/// | summary pass | the suspicious gap is read from the setting of the source gap | each side has its own |
/// | verbatim words | punctuation marks are no words; a passage reaches to the ends of its sentence if it has their first or last word | punctuation marks count, and nothing is added |
/// | verbatim length | the suspicious passage must be longer than the minimum | both must be |
/// | verbatim repetitions | a passage that lies in a longer one of the source is dropped, and so are two that are one and the same there | every word that is part of a long common passage is covered, on both sides |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As published, to reproduce published figures.
    Exact,
    /// With the slips put right.
    #[default]
    Fixed,
}

impl Mode {
    /// Joined sentences lose the white space between their parts from their end.
    pub(crate) fn joining_loses_white_space(self) -> bool {
        self == Self::Exact
    }

    /// No gap falls further once that of one side has reached its minimum.
    pub(crate) fn gaps_fall_together(self) -> bool {
        self == Self::Exact
    }

    /// A case is compared with all that overlap it, and the best of them replaces all.
    pub(crate) fn one_case_replaces_all_it_overlaps(self) -> bool {
        self == Self::Exact
    }

    /// The summary pass uses the source gap on the suspicious side.
    pub(crate) fn summary_gap_is_the_source_gap(self) -> bool {
        self == Self::Exact
    }

    /// Verbatim passages are those of the published program.
    pub(crate) fn verbatim_passages_as_published(self) -> bool {
        self == Self::Exact
    }
}

/// A published set of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// The winner of the PAN text-alignment task (Sanchez-Perez, Gelbukh and Sidorov, 2014 and 2015).
    Pan2015,
    /// The lengths lowered for texts of language models (Lee et al., WWW 2023).
    #[default]
    Lee2023,
}

impl Preset {
    /// The parameters of this preset, in [`Mode::Fixed`].
    pub const fn parameters(self) -> Parameters {
        match self {
            Self::Pan2015 => Parameters::pan2015(),
            Self::Lee2023 => Parameters::lee2023(),
        }
    }
}

/// All settings of an alignment. Lengths are in characters, gaps and sizes in sentences, similarities in 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// As published, or with its slips put right.
    pub mode: Mode,
    /// Two sentences are a seed if their cosine is greater than this,
    pub seed_cosine: f64,
    /// and the Dice coefficient of their term sets is greater than this.
    pub seed_dice: f64,
    /// A cluster of seeds is a case if the cosine of its two sides is greater than this.
    pub cluster_cosine: f64,
    /// Maximum number of sentences without a seed between two seeds of one cluster.
    pub gap: Sides<usize>,
    /// How far the gap may fall, one by one, for clusters that are not similar enough.
    pub min_gap: Sides<usize>,
    /// Minimum number of sentences with a seed that a cluster has on either side.
    pub min_cluster_sentences: usize,
    /// A sentence of fewer words than this is joined to the next.
    pub min_sentence_words: usize,
    /// A common passage is verbatim if it is longer than this on both sides.
    pub verbatim_minimum: usize,
    /// A case shorter than this on either side is dropped.
    pub passage_minimum: usize,
    /// The gap of the summary pass.
    pub summary_gap: Sides<usize>,
    /// The pair is a summary if its source passages have at least this many times the characters of its suspicious ones.
    pub summary_ratio: f64,
}

impl Parameters {
    /// The published parameters of the PAN winner, for documents of many pages.
    pub const fn pan2015() -> Self {
        Self {
            mode: Mode::Fixed,
            seed_cosine: 0.30,
            seed_dice: 0.33,
            cluster_cosine: 0.34,
            gap: Sides::both(4),
            min_gap: Sides::both(0),
            min_cluster_sentences: 1,
            min_sentence_words: 3,
            verbatim_minimum: 256,
            passage_minimum: 150,
            summary_gap: Sides::both(24),
            summary_ratio: 3.0,
        }
    }

    /// The same with the two minimum lengths at 50 characters (Lee et al., WWW 2023), for generations of a few
    /// hundred tokens.
    pub const fn lee2023() -> Self {
        Self {
            verbatim_minimum: 50,
            passage_minimum: 50,
            ..Self::pan2015()
        }
    }

    /// Checks that similarities lie in 0 to 1, that the ratio is a number not below 0, and that gaps can only fall.
    ///
    /// # Errors
    /// If one of them does not, naming it.
    pub fn check(&self) -> Result<(), ParameterError> {
        let similarities = [
            ("seed_cosine", self.seed_cosine),
            ("seed_dice", self.seed_dice),
            ("cluster_cosine", self.cluster_cosine),
        ];
        for (name, value) in similarities {
            if !(0.0..=1.0).contains(&value) {
                return Err(ParameterError::Similarity { name, value });
            }
        }
        if !(self.summary_ratio.is_finite() && self.summary_ratio >= 0.0) {
            return Err(ParameterError::Ratio {
                value: self.summary_ratio,
            });
        }
        let gaps = [
            (self.gap.suspicious, self.min_gap.suspicious),
            (self.gap.source, self.min_gap.source),
            (self.summary_gap.suspicious, self.min_gap.suspicious),
            (self.summary_gap.source, self.min_gap.source),
        ];
        match gaps.into_iter().find(|(gap, min_gap)| min_gap > gap) {
            Some((gap, min_gap)) => Err(ParameterError::Gap { gap, min_gap }),
            None => Ok(()),
        }
    }
}

impl Default for Parameters {
    /// [`Parameters::lee2023`].
    fn default() -> Self {
        Self::lee2023()
    }
}

/// Why a set of parameters makes no sense.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ParameterError {
    /// A similarity threshold that nothing, or everything, exceeds.
    #[error("{name} must lie between 0 and 1, found {value}")]
    Similarity {
        /// Name of the field.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A summary ratio below 0, infinite, or not a number.
    #[error("summary_ratio must be a number of at least 0, found {value}")]
    Ratio {
        /// Its value.
        value: f64,
    },
    /// A gap that starts below the minimum gap.
    #[error("a gap of {gap} is below its min_gap of {min_gap}")]
    Gap {
        /// The gap, of the first or of the summary pass.
        gap: usize,
        /// The minimum gap of the same side.
        min_gap: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_differ_in_two_lengths_only() {
        let widened = Parameters {
            verbatim_minimum: 256,
            passage_minimum: 150,
            ..Parameters::lee2023()
        };
        assert_eq!(widened, Parameters::pan2015());
        assert_eq!(
            (
                Parameters::lee2023().verbatim_minimum,
                Parameters::lee2023().passage_minimum
            ),
            (50, 50)
        );
        assert_eq!(Parameters::default(), Preset::default().parameters());
        for preset in [Preset::Pan2015, Preset::Lee2023] {
            assert_eq!(preset.parameters().check(), Ok(()));
        }
    }

    #[test]
    fn survive_a_round_trip_and_fill_in_what_is_missing() {
        let parameters = Parameters {
            mode: Mode::Exact,
            summary_ratio: 2.5,
            ..Parameters::pan2015()
        };
        let json = serde_json::to_string(&parameters).expect("serializes");
        assert_eq!(
            serde_json::from_str::<Parameters>(&json).expect("parses"),
            parameters
        );
        let partial: Parameters = serde_json::from_str(r#"{"mode": "exact"}"#).expect("parses");
        assert_eq!(
            partial,
            Parameters {
                mode: Mode::Exact,
                ..Parameters::lee2023()
            }
        );
        assert_eq!(
            serde_json::to_string(&Preset::Pan2015).expect("serializes"),
            r#""pan2015""#
        );
    }

    #[test]
    fn senseless_values_are_named() {
        let sound = Parameters::lee2023();
        let similarity = Parameters {
            seed_dice: 1.5,
            ..sound.clone()
        };
        assert_eq!(
            similarity.check(),
            Err(ParameterError::Similarity {
                name: "seed_dice",
                value: 1.5
            })
        );
        assert!(
            Parameters {
                cluster_cosine: f64::NAN,
                ..sound.clone()
            }
            .check()
            .is_err()
        );
        assert_eq!(
            Parameters {
                summary_ratio: -1.0,
                ..sound.clone()
            }
            .check(),
            Err(ParameterError::Ratio { value: -1.0 })
        );
        assert_eq!(
            Parameters {
                min_gap: Sides {
                    suspicious: 0,
                    source: 5
                },
                ..sound
            }
            .check(),
            Err(ParameterError::Gap { gap: 4, min_gap: 5 })
        );
    }
}
