//! What every section needs: the table of estimates, the names and looks of methods, and figures by what they are about.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::components::{Figure, Form, chip, inline_main, visible};
use super::passages::Names;
use crate::estimate::membership::FALSE_POSITIVE_RATES;
use crate::estimate::rows::EPOCHS_TRAINED;
use crate::estimate::{Estimates, Experiment, MembershipScore, RunGroup, Slice, TRAINED};
use crate::findings::capital;
use crate::plot::SeriesStyle;
use crate::read::WhichCheckpoint;

/// The table of estimates as the page looks at it.
pub(super) struct View<'a> {
    /// The table.
    pub(super) estimates: &'a Estimates<'a>,
    /// Whether texts keep their shape alone.
    pub(super) is_redacted: bool,
    styles: BTreeMap<String, SeriesStyle>,
}

impl<'a> View<'a> {
    pub(super) fn new(estimates: &'a Estimates<'a>, is_redacted: bool) -> Self {
        let mut families: Vec<(&str, &str)> = Vec::new();
        for family in estimates
            .experiments
            .iter()
            .flat_map(|experiment| &experiment.families)
        {
            let known = families.iter().any(|(label, _)| *label == family.label);
            if !known {
                families.push((&family.label, &family.mode));
            }
        }
        let styles = SeriesStyle::assign(families.iter().map(|(_, mode)| *mode));
        let labels = families.iter().map(|(label, _)| (*label).to_owned());
        Self {
            estimates,
            is_redacted,
            styles: labels.zip(styles).collect(),
        }
    }

    pub(super) fn group(&self, group: usize) -> &'a RunGroup {
        &self.estimates.groups[group]
    }

    /// The look of a group: that of its family.
    pub(super) fn style(&self, group: usize) -> SeriesStyle {
        let found = self.group(group);
        if found.method.is_untuned() {
            return SeriesStyle::UNTUNED;
        }
        self.styles.get(&found.family_label).copied().unwrap_or_default()
    }

    /// A figure of a group.
    pub(super) fn figure(
        &self,
        group: usize,
        measure: impl ToString,
        at: Slice<'_>,
        copies: Option<i32>,
    ) -> Option<Figure> {
        self.estimates.find(group, measure, at, copies).map(Figure::from)
    }

    /// The same, or that of the first of its runs where the runs have no common figure: how many documents there are.
    pub(super) fn figure_of_a_run(
        &self,
        group: usize,
        measure: &str,
        at: Slice<'_>,
        copies: Option<i32>,
    ) -> Option<Figure> {
        let found = self.group(group);
        let copies = found.uniform_copies.or(copies);
        let subjects = std::iter::once(&found.subject).chain(&found.run_subjects);
        let mut rows =
            subjects.filter_map(|&subject| self.estimates.table.find(subject, measure, at, copies));
        rows.next().map(Figure::from)
    }

    /// The name of a group as the head of a row: its family, and below it what else distinguishes it.
    pub(super) fn row_head(&self, group: usize) -> Markup {
        let found = self.group(group);
        html! {
            (chip(self.style(group), &capital(&found.family_label)))
            small class="second" { (self.particulars(group)) }
        }
    }

    /// Learning rate, copies, checkpoint and epoch of a group.
    fn particulars(&self, group: usize) -> Markup {
        let found = self.group(group);
        let epochs = self.figure(group, EPOCHS_TRAINED, TRAINED, None);
        let runs = self.estimates.subjects[found.subject].runs.len();
        let mut parts: Vec<Markup> = Vec::new();
        if let Some(rate) = found.method.learning_rate {
            parts.push(html! { "learning rate " (format!("{rate:e}")) });
        }
        if let Some(copies) = found.uniform_copies {
            parts.push(html! { (copies) @if copies == 1 { " copy" } @else { " copies" } });
        }
        if runs > 1 {
            parts.push(html! { (runs) " training runs" });
        }
        let point = match found.checkpoint {
            Some(WhichCheckpoint::Best) => Some("best checkpoint"),
            Some(WhichCheckpoint::Last) => Some("end of training"),
            Some(WhichCheckpoint::BestAndLast) => Some("end of training, also the best checkpoint"),
            None => None,
        };
        match (point, epochs) {
            (Some(point), Some(epochs)) => {
                parts.push(html! { (point) ", epoch " (inline_main(&epochs, Form::Whole)) });
            }
            (Some(point), None) => parts.push(html! { (point) }),
            (None, Some(epochs)) => parts.push(html! { "epoch " (inline_main(&epochs, Form::Whole)) }),
            (None, None) => {}
        }
        html! { @for (index, part) in parts.iter().enumerate() { @if index > 0 { "; " } (part) } }
    }

    /// Each experiment's part of a section, under its name where there are several.
    pub(super) fn by_experiment(&self, part: impl Fn(&'a Experiment) -> Markup) -> Markup {
        let several = self.estimates.experiments.len() > 1;
        html! {
            @for experiment in &self.estimates.experiments {
                @let content = part(experiment);
                @if !content.0.trim().is_empty() {
                    @if several { h3 { (visible(&experiment_name(experiment))) } }
                    (content)
                }
            }
        }
    }

    /// The membership score that the page speaks of: compared with the untuned model where there is one.
    pub(super) fn membership_score(&self, experiment: &Experiment) -> MembershipScore {
        let has_reference = experiment.shown().into_iter().any(|group| {
            self.figure(group, MembershipScore::Reference.auc(), TRAINED, None)
                .is_some()
        });
        if has_reference {
            MembershipScore::Reference
        } else {
            MembershipScore::Loss
        }
    }
}

impl View<'_> {
    /// The lowest false-positive rate at which there are unseen documents enough for the members found by a score.
    pub(super) fn false_positive_rate(&self, experiment: &Experiment, score: MembershipScore) -> Option<f64> {
        let copies = experiment.most_copies();
        FALSE_POSITIVE_RATES.into_iter().find(|rate| {
            let found = score.tpr(*rate);
            experiment
                .shown()
                .into_iter()
                .any(|group| self.figure(group, &found, TRAINED, copies).is_some())
        })
    }
}

impl Names for View<'_> {
    fn name(&self, group: usize) -> (String, SeriesStyle) {
        let found = self.group(group);
        let several = self.estimates.experiments.len() > 1;
        let name = if several {
            format!("{}: {}", found.setting(), found.label)
        } else {
            capital(&found.label)
        };
        (name, self.style(group))
    }
}

/// The name of an experiment beside others.
pub(super) fn experiment_name(experiment: &Experiment) -> String {
    experiment.name()
}

/// Copies in words.
pub(super) fn copies_name(copies: i32) -> String {
    if copies == 1 {
        "1 copy".to_owned()
    } else {
        format!("{copies} copies")
    }
}
