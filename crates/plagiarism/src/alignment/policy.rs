//! What each preset decides by. A further preset is one more constructor of [`DetectorPolicy`], named in [`DetectorPolicy::preset`].

use contract::pipeline::{Candidates, Detection, DetectorPreset};
use text_align::{Mode, Parameters};

/// All that a preset decides by, but for the confirmation of paraphrases, which `detection.confirm` chooses for every preset.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorPolicy {
    /// Thresholds of the alignment, and whether it decides as published ([`Mode::Exact`]) or with its slips put right.
    pub parameters: Parameters,
    /// Ways to find documents, in the order in which their results are taken.
    pub candidates: Vec<Candidates>,
    /// Whether the strongest class over all candidates counts, and an exact passage of the verbatim length wherever it
    /// occurs. If not, the first candidate with a detection gives the class (Lee et al., WWW 2023).
    pub strongest_over_all: bool,
    /// How aligned passages become passages of a generation.
    pub passages: PassageRule,
}

/// How aligned passages become passages of a generation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PassageRule {
    /// As they are aligned; a paraphrase counts if it is confirmed.
    Aligned,
    /// Joined with what is close to them and reworded, trimmed, and accepted on evidence.
    Joined(Acceptance),
}

/// What a passage of joined pieces needs in order to count as a paraphrase: words, meaning, and more than one sentence that
/// shows them. Two texts on one subject have a sentence or two that are near in meaning and share the subject's words, so
/// neither is evidence by itself.
///
/// - *Aligned words.* One of its pieces was aligned, which weighs words by how rare they are in the two texts, and is confirmed.
///   Texts so short that the passage is half of both have no rare words, and need none.
/// - *Meaning.* Some of its sentences reword sentences of the document
///   ([`Confirmer::reworded_sentences`](crate::paraphrase::confirm::Confirmer::reworded_sentences)).
/// - *Shared words.* The two sides share enough of their words, more of them where a single sentence of longer texts is reworded.
/// - *Length.* It has [`Acceptance::min_paraphrase_chars`] on either side, or is half of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Acceptance {
    /// Maximum number of characters between two pieces of one passage: about a sentence.
    pub max_gap: usize,
    /// Minimum number of characters of a paraphrase on either side, unless it is half of a text.
    pub min_paraphrase_chars: usize,
    /// Minimum weighted Dice coefficient of the words of both sides, where two sentences or more are reworded, or one that is
    /// half of both texts,
    pub min_shared_words: f32,
    /// and where one of longer texts is.
    pub min_shared_words_of_one: f32,
    /// Minimum number of sentences of a generation that reword the passage which they spin out, for the class idea.
    pub min_idea_sentences: usize,
}

impl DetectorPolicy {
    /// The policy that `detection` asks for: that of its preset, with the values that it sets itself.
    pub fn of(detection: &Detection) -> Self {
        let mut policy = Self::preset(detection.preset);
        if let Some(minimum) = detection.verbatim_chars {
            policy.parameters.verbatim_minimum = minimum;
        }
        if let Some(candidates) = &detection.candidates {
            policy.candidates.clone_from(candidates);
        }
        policy
    }

    /// The policy of a preset.
    pub fn preset(preset: DetectorPreset) -> Self {
        match preset {
            DetectorPreset::Ours => Self::ours(),
            DetectorPreset::Lee2023 => Self::lee2023(),
            DetectorPreset::Pan2015 => Self::pan2015(),
        }
    }

    /// This project's default.
    fn ours() -> Self {
        Self {
            parameters: Parameters::lee2023(),
            candidates: vec![Candidates::Bm25, Candidates::Exact, Candidates::Nearest],
            strongest_over_all: true,
            passages: PassageRule::Joined(Acceptance {
                max_gap: 100,
                // The minimum of `pan2015`.
                min_paraphrase_chars: Parameters::pan2015().passage_minimum,
                min_shared_words: 0.5,
                min_shared_words_of_one: 0.75,
                min_idea_sentences: 2,
            }),
        }
    }

    /// Lee et al. (WWW 2023): BM25 candidates, the first with a detection decides.
    fn lee2023() -> Self {
        Self {
            parameters: Parameters {
                mode: Mode::Exact,
                ..Parameters::lee2023()
            },
            candidates: vec![Candidates::Bm25],
            strongest_over_all: false,
            passages: PassageRule::Aligned,
        }
    }

    /// Sanchez-Perez, Gelbukh and Sidorov (PAN 2015). Their task gave the pairs to compare, so candidates, and which of them
    /// decides, are not theirs.
    fn pan2015() -> Self {
        Self {
            parameters: Parameters {
                mode: Mode::Exact,
                ..Parameters::pan2015()
            },
            candidates: vec![Candidates::Bm25, Candidates::Exact, Candidates::Nearest],
            strongest_over_all: false,
            passages: PassageRule::Aligned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_presets_decide_as_published_and_ours_with_slips_put_right() {
        for (preset, mode, strongest_over_all, lengths) in [
            (DetectorPreset::Ours, Mode::Fixed, true, (50, 50)),
            (DetectorPreset::Lee2023, Mode::Exact, false, (50, 50)),
            (DetectorPreset::Pan2015, Mode::Exact, false, (256, 150)),
        ] {
            let policy = DetectorPolicy::preset(preset);
            let parameters = &policy.parameters;
            assert_eq!(parameters.mode, mode, "{preset:?}");
            assert_eq!(policy.strongest_over_all, strongest_over_all, "{preset:?}");
            assert_eq!(
                (parameters.verbatim_minimum, parameters.passage_minimum),
                lengths,
                "{preset:?}"
            );
            let is_aligned = policy.passages == PassageRule::Aligned;
            assert_eq!(is_aligned, preset != DetectorPreset::Ours, "{preset:?}");
        }
    }

    #[test]
    fn settings_replace_the_values_of_their_preset_and_no_others() {
        for preset in [
            DetectorPreset::Ours,
            DetectorPreset::Lee2023,
            DetectorPreset::Pan2015,
        ] {
            let usual = DetectorPolicy::preset(preset);
            let detection = Detection {
                preset,
                ..Detection::default()
            };
            assert_eq!(DetectorPolicy::of(&detection), usual);
            let changed = DetectorPolicy::of(&Detection {
                verbatim_chars: Some(77),
                candidates: Some(vec![Candidates::Exact]),
                ..detection
            });
            assert_eq!(changed.parameters.verbatim_minimum, 77);
            assert_eq!(changed.candidates, [Candidates::Exact]);
            assert_eq!(
                (changed.strongest_over_all, changed.passages),
                (usual.strongest_over_all, usual.passages)
            );
        }
    }
}
