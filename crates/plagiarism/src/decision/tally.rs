//! Verdicts counted, as the table that a run ends with.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use contract::records::{Sample, SampleVerdict, Split, Verdict};

use crate::corpus::sentences::MIN_WORDS;
use crate::paraphrase::evidence::Scope;
use crate::personal_details::labels::LabelCounts;

/// What a run tells at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The verdicts, counted.
    pub tally: VerdictTally,
    /// Which sentences were compared by meaning.
    pub scope: Scope,
    /// Generations that have no sentence, and so no similarity.
    pub without_sentence: usize,
    /// Documents that are compared as the model's tokenizer gives them back, which is not as they are written.
    pub decoded: usize,
    /// Generations that repeat some of their prompt, which counts nowhere.
    pub with_echo: usize,
    /// What became of the user's labels of personal details, where there are any.
    pub labels: Option<LabelCounts>,
    /// What each phase took.
    pub phases: Vec<(&'static str, Duration)>,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}", self.tally)?;
        if self.scope == Scope::Nominated {
            write!(formatter, "\n{}", self.scope)?;
        }
        if self.without_sentence > 0 {
            write!(
                formatter,
                "\n{} generations have no sentence of {MIN_WORDS} words, and so no similarity",
                self.without_sentence
            )?;
        }
        if self.decoded > 0 {
            write!(
                formatter,
                "\n{} documents are compared as the model's tokenizer gives them back, not as they are written",
                self.decoded
            )?;
        }
        if self.with_echo > 0 {
            write!(
                formatter,
                "\n{} generations repeat some of their prompt, which counts nowhere",
                self.with_echo
            )?;
        }
        if let Some(labels) = &self.labels {
            write!(formatter, "\n{labels}")?;
        }
        for (phase, taken) in &self.phases {
            tracing::debug!("{phase}: {:.1} s", taken.as_secs_f64());
        }
        let [train, held_out] = [Split::Train, Split::Heldout].map(|split| self.tally.of_split(split));
        write!(
            formatter,
            "\nplagiarism: {} of {} generations from training prompts repeat their own document word for word",
            train.own_verbatim,
            train.generations()
        )?;
        if held_out.generations() > 0 {
            write!(
                formatter,
                "; {} of {} from held-out prompts repeat some training document",
                held_out.verbatim,
                held_out.generations()
            )?;
        }
        Ok(())
    }
}

/// Verdicts by strategy, split and copies of the prompt's document. What is verbatim of whichever document says nothing about these
/// copies; what is verbatim of the prompt's own document does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerdictTally {
    groups: BTreeMap<(String, Split, i32), Counts>,
}

/// Generations of each class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Generations in which nothing was found.
    pub none: usize,
    /// Generations of class idea.
    pub idea: usize,
    /// Generations of class paraphrase.
    pub paraphrase: usize,
    /// Generations of class verbatim, of whichever training document.
    pub verbatim: usize,
    /// Generations that are verbatim of the prompt's own document.
    pub own_verbatim: usize,
}

impl Counts {
    /// All generations.
    pub fn generations(self) -> usize {
        self.none + self.idea + self.paraphrase + self.verbatim
    }
}

impl VerdictTally {
    /// Counts `verdicts`, each of the sample at its place.
    pub fn of(samples: &[Sample], verdicts: &[SampleVerdict]) -> Self {
        let mut groups: BTreeMap<_, Counts> = BTreeMap::new();
        for (sample, verdict) in samples.iter().zip(verdicts) {
            let counts = groups
                .entry((sample.strategy.clone(), sample.split, sample.copies))
                .or_default();
            counts.own_verbatim += usize::from(verdict.own_verdict == Some(Verdict::Verbatim));
            match verdict.verdict {
                Verdict::None => counts.none += 1,
                Verdict::Idea => counts.idea += 1,
                Verdict::Paraphrase => counts.paraphrase += 1,
                Verdict::Verbatim => counts.verbatim += 1,
            }
        }
        Self { groups }
    }

    /// The counts of all strategies and copies of one split.
    pub fn of_split(&self, split: Split) -> Counts {
        let groups = self.groups.iter().filter(|((_, of, _), _)| *of == split);
        groups.fold(Counts::default(), |sum, (_, counts)| Counts {
            none: sum.none + counts.none,
            idea: sum.idea + counts.idea,
            paraphrase: sum.paraphrase + counts.paraphrase,
            verbatim: sum.verbatim + counts.verbatim,
            own_verbatim: sum.own_verbatim + counts.own_verbatim,
        })
    }

    /// The counts of one group; zeros where it has no sample.
    pub fn group(&self, strategy: &str, split: Split, copies: i32) -> Counts {
        self.groups
            .get(&(strategy.to_owned(), split, copies))
            .copied()
            .unwrap_or_default()
    }
}

impl fmt::Display for VerdictTally {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let width = self
            .groups
            .keys()
            .map(|(strategy, ..)| strategy.chars().count())
            .max()
            .unwrap_or(0)
            .max(8);
        write!(
            formatter,
            "{:width$}  {:7}  {:>6}  {:>12}  {:>8}  {:>10}  {:>6}  {:>6}",
            "strategy", "split", "copies", "own verbatim", "verbatim", "paraphrase", "idea", "none"
        )?;
        for ((strategy, split, copies), counts) in &self.groups {
            let split = match split {
                Split::Train => "train",
                Split::Heldout => "heldout",
                Split::None => "none",
            };
            write!(
                formatter,
                "\n{strategy:width$}  {split:7}  {copies:>6}  {:>12}  {:>8}  {:>10}  {:>6}  {:>6}",
                counts.own_verbatim, counts.verbatim, counts.paraphrase, counts.idea, counts.none
            )?;
        }
        Ok(())
    }
}
