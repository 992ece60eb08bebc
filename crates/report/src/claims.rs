//! What a sample can carry: a rate beside its floors, and whether it may be said to lie over them.

use measures::control::carried_over;
use measures::interval::{samples_to_separate, wilson};

use crate::analysis::{Series, Setting};
use crate::measure::Measure;
use crate::rates::{Bootstrap, Estimate, exceeds};
use crate::run::TextSizes;
use crate::tallies::{Tallies, Where};

/// A rate of a tuned model with its two floors.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The rate.
    pub rate: Estimate,
    /// The untuned model's rate after the same prompts.
    pub untuned: Option<Estimate>,
    /// The same generations against text that no model here was trained on.
    pub control: Option<Control>,
    /// What may be said.
    pub standing: Standing,
}

/// What the same generations share with held-out text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Control {
    /// As measured, with the held-out text that there is.
    pub measured: Estimate,
    /// Carried over to as much text as there is training text, see [`carried_over`]; as measured for what is shared with one
    /// document, the prompt's own.
    pub carried: Estimate,
    /// The same without held-out documents that are near-duplicates of training documents; none where there are no such.
    pub apart: Option<Estimate>,
    /// How many times more text there is to match with than the floor was measured with; 1 where nothing was carried over.
    pub times: f64,
}

impl Control {
    /// The control of a measure over the generations at `at`; none where held-out text was not looked at.
    pub fn of(series: &Series, measure: Measure, at: Where<'_>, copies: Option<i32>) -> Option<Self> {
        Self::of_tallies(
            &series.tallies,
            series.chars,
            measure,
            at,
            copies,
            series.bootstrap(),
        )
    }

    /// The same of some tallies, on corpora with so much text.
    pub(crate) fn of_tallies(
        tallies: &Tallies,
        chars: TextSizes,
        measure: Measure,
        at: Where<'_>,
        copies: Option<i32>,
        bootstrap: Bootstrap,
    ) -> Option<Self> {
        let control = measure.control()?;
        let found = Self::measured(tallies, chars, control, at, copies, bootstrap)?;
        if !measure.is_of_own_document() {
            return Some(found);
        }
        // One document is less text than the held-out text, so that this floor is high enough as it was measured.
        let apart = control.apart();
        let apart = apart.and_then(|apart| tallies.estimate(apart, at, copies, bootstrap));
        Some(Self {
            apart,
            ..Self::as_measured(found.measured)
        })
    }

    /// The same, given the measure of the control.
    pub(crate) fn measured(
        tallies: &Tallies,
        chars: TextSizes,
        control: Measure,
        at: Where<'_>,
        copies: Option<i32>,
        bootstrap: Bootstrap,
    ) -> Option<Self> {
        let measured = tallies.estimate(control, at, copies, bootstrap)?;
        let Some(apart) = control.apart() else {
            // Similarities were compared over equally many sentences already.
            return Some(Self::as_measured(measured));
        };
        let carry = |estimate: Estimate, held_out: u64| {
            estimate.try_map(|rate| carried_over(rate, chars.training as f64, held_out as f64).ok())
        };
        let apart = tallies
            .estimate(apart, at, copies, bootstrap)
            .and_then(|estimate| carry(estimate, chars.held_out_apart));
        let held_out = if apart.is_some() {
            chars.held_out_apart
        } else {
            chars.held_out
        };
        Some(Self {
            measured,
            carried: carry(measured, chars.held_out)?,
            apart,
            times: chars.training as f64 / held_out as f64,
        })
    }

    /// A control that is to be compared as it was measured.
    pub fn as_measured(measured: Estimate) -> Self {
        Self {
            measured,
            carried: measured,
            apart: None,
            times: 1.0,
        }
    }

    /// With about how many documents a side a rate would lie over the floor, were both measured as they are here. Carrying over
    /// widens an interval, which the size of a plain comparison knows nothing of.
    fn documents_to_clear(&self, rate: &Estimate) -> f64 {
        const MOST: f64 = 1e7;
        let floor = self.floor().value;
        if self.times == 1.0 || !(0.0..1.0).contains(&floor) || rate.value <= floor {
            return 1.0;
        }
        let measured = carried_over(floor, 1.0, self.times).unwrap_or(floor);
        let of = |share: f64, documents: f64| {
            let successes = (share * documents).round();
            Estimate {
                value: successes / documents,
                interval: wilson(successes as u64, documents as u64).ok(),
                ..*rate
            }
        };
        let clears = |documents: f64| {
            let floor = of(measured, documents).try_map(|share| carried_over(share, self.times, 1.0).ok());
            floor.is_some_and(|floor| exceeds(&of(rate.value, documents), &floor))
        };
        let mut documents = rate.documents.max(1) as f64;
        while documents < MOST && !clears(documents) {
            documents = (documents * 1.05).ceil();
        }
        documents
    }

    /// The floor: a near-duplicate of training text is no control, so without those where there are any.
    pub fn floor(&self) -> Estimate {
        self.apart.unwrap_or(self.carried)
    }
}

/// How a rate stands to its floors, the controls that the run has.
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
    /// Not over every control, and a check of plausibility failed ([`crate::checks`]): the rate may be about something else than it
    /// seems to be, and nothing is concluded from it.
    Unsettled,
}

impl Claim {
    /// The claim about a measure after the prompts at `at`, with so many copies of their documents (none: all); `None` where
    /// nothing was sampled.
    ///
    /// What comes out after prompts from documents that were never seen is no floor: training text there is a finding too.
    pub fn of(
        setting: &Setting,
        series: &Series,
        measure: Measure,
        at: Where<'_>,
        copies: Option<i32>,
    ) -> Option<Self> {
        let rate = series.estimate(measure, at, copies)?;
        let untuned = setting
            .base
            .as_ref()
            .and_then(|base| base.estimate(measure, at, copies));
        let control = Control::of(series, measure, at, copies);
        Some(Self::against(rate, untuned, control).settled_by(series))
    }

    /// The claim where it is about a series: one that is not over its controls stays open until every check of plausibility passes.
    #[must_use]
    pub fn settled_by(self, series: &Series) -> Self {
        let standing = if self.holds() || series.failed_checks.is_empty() {
            self.standing
        } else {
            Standing::Unsettled
        };
        Self { standing, ..self }
    }

    /// The claim about a rate with the controls that there are.
    pub fn against(rate: Estimate, untuned: Option<Estimate>, control: Option<Control>) -> Self {
        let standing = match Standing::of(&rate, &[untuned, control.map(|control| control.floor())]) {
            Standing::Open { documents } => Standing::Open {
                documents: control
                    .map_or(1.0, |control| control.documents_to_clear(&rate))
                    .max(documents),
            },
            settled => settled,
        };
        Self {
            rate,
            untuned,
            control,
            standing,
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

    #[test]
    fn a_floor_that_was_carried_over_takes_more_documents_to_clear() {
        let over = |rate: Estimate, times: f64| {
            rate.try_map(|share| carried_over(share, times, 1.0).ok())
                .unwrap()
        };
        let control = |documents: usize| Control {
            carried: over(rate(0, documents), 4.0),
            times: 4.0,
            ..Control::as_measured(rate(0, documents))
        };
        // Wilson: 10 of 40 from .142, 0 of 40 up to .0876, four times the text 1 − .9124⁴ = .307: .25 − √(.108² + .307²) < 0.
        let Standing::Open { documents } = Claim::against(rate(10, 40), None, Some(control(40))).standing
        else {
            panic!("10 of 40 lies within what a control of 0 of 40 allows");
        };
        assert!(documents > 40.0, "{documents}");
        // As many do tell: a quarter of them, against none.
        let enough = documents as usize;
        let claim = Claim::against(
            rate((documents / 4.0).round() as usize, enough),
            None,
            Some(control(enough)),
        );
        assert_eq!(claim.standing, Standing::Over);
        // Without carrying over, 10 of 40 is clear of 0 of 40.
        let claim = Claim::against(rate(10, 40), None, Some(Control::as_measured(rate(0, 40))));
        assert_eq!(claim.standing, Standing::Over);
    }
}
