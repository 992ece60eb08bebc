//! What a sample can carry: a rate beside its floor, and whether it may be said to lie over it.

use contract::records::Split;
use measures::interval::samples_to_separate;

use crate::analysis::{Series, Setting};
use crate::measure::Measure;
use crate::rates::{Estimate, exceeds};
use crate::tallies::Where;

/// A rate of a tuned model with its two controls.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The rate on training documents.
    pub rate: Estimate,
    /// The untuned model's rate on the same documents.
    pub untuned: Option<Estimate>,
    /// The tuned model's rate on documents that it never saw.
    pub unseen: Option<Estimate>,
    /// What may be said.
    pub standing: Standing,
}

/// How a rate stands to its floor, the controls that the run has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standing {
    /// Over every control, by more than chance.
    Over,
    /// Not higher than a control, as measured.
    NotOver,
    /// Higher as measured, but perhaps by chance; about so many documents a side would tell.
    Open {
        /// Documents needed on either side; infinite where no number is enough.
        documents: f64,
    },
    /// The run has no control.
    NoFloor,
}

impl Claim {
    /// The claim about a measure at so many copies; `None` where nothing was sampled.
    pub fn of(
        setting: &Setting,
        series: &Series,
        measure: Measure,
        strategy: &str,
        copies: Option<i32>,
    ) -> Option<Self> {
        let seen = Where {
            split: Split::Train,
            strategy: Some(strategy),
        };
        let unseen = Where {
            split: Split::Heldout,
            strategy: Some(strategy),
        };
        let rate = series.estimate(measure, seen, copies)?;
        let untuned = setting
            .base
            .as_ref()
            .and_then(|base| base.estimate(measure, seen, copies));
        let unseen = series.estimate(measure, unseen, None);
        Some(Self::against(rate, untuned, unseen))
    }

    /// The claim about a rate with the controls that there are.
    pub fn against(rate: Estimate, untuned: Option<Estimate>, unseen: Option<Estimate>) -> Self {
        Self {
            standing: Standing::of(&rate, &[untuned, unseen]),
            rate,
            untuned,
            unseen,
        }
    }

    /// Whether the rate lies over its floor.
    pub fn holds(&self) -> bool {
        self.standing == Standing::Over
    }
}

impl Standing {
    /// Sets a rate against its controls; those that are missing don't count.
    pub fn of(rate: &Estimate, controls: &[Option<Estimate>]) -> Self {
        let controls: Vec<&Estimate> = controls.iter().flatten().collect();
        if controls.is_empty() {
            return Self::NoFloor;
        }
        let unseparated: Vec<&&Estimate> = controls
            .iter()
            .filter(|control| !exceeds(rate, control))
            .collect();
        if unseparated.is_empty() {
            return Self::Over;
        }
        if unseparated.iter().any(|control| control.value >= rate.value) {
            return Self::NotOver;
        }
        let documents = unseparated
            .iter()
            .filter_map(|control| samples_to_separate(rate.value, control.value).ok())
            .fold(1.0, f64::max);
        Self::Open { documents }
    }
}

#[cfg(test)]
mod tests {
    use measures::Tally;

    use super::*;
    use crate::measure::Kind;
    use crate::rates::Bootstrap;

    fn rate(successes: usize, trials: usize) -> Estimate {
        let tallies: Vec<Tally> = (0..trials)
            .map(|trial| Tally::new(f64::from(u8::from(trial < successes)), 1.0))
            .collect();
        Estimate::of(
            &tallies,
            Kind::Rate,
            Bootstrap {
                resamples: 100,
                seed: 0,
            },
        )
        .unwrap()
    }

    #[test]
    fn only_a_rate_over_both_controls_is_over_the_floor() {
        let high = rate(16, 40);
        assert_eq!(
            Standing::of(&high, &[Some(rate(0, 40)), Some(rate(1, 40))]),
            Standing::Over
        );
        assert_eq!(Standing::of(&high, &[Some(rate(0, 40)), None]), Standing::Over);
        // The same rate on text never seen: boilerplate, not memory.
        assert_eq!(
            Standing::of(&high, &[Some(rate(0, 40)), Some(rate(16, 40))]),
            Standing::NotOver
        );
        assert_eq!(
            Standing::of(&rate(0, 40), &[Some(rate(0, 40)), None]),
            Standing::NotOver
        );
        assert_eq!(Standing::of(&high, &[None, None]), Standing::NoFloor);
    }

    #[test]
    fn too_few_documents_leave_it_open_and_say_how_many_would_do() {
        let Standing::Open { documents } =
            Standing::of(&rate(2, 40), &[Some(rate(0, 40)), Some(rate(0, 40))])
        else {
            panic!("2 of 40 cannot be told from 0 of 40");
        };
        // p₁ = .05, p₂ = 0: (1.96 √(2 · .025 · .975) + .8416 √(.05 · .95))² / .05² = (.43275 + .18343)² / .0025 = 151.9.
        assert_eq!(documents, 152.0);
    }
}
