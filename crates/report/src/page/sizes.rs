//! Several models on the same layout: memorization against size.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::{chip, rate_cell, table, visible};
use crate::analysis::{Analysis, Setting};
use crate::format::{parameters, points, times};
use crate::measure::Measure;
use crate::tallies::Tallies;
use crate::trends::per_tenfold_size;

/// One table for each layout that more than one size of model was run on.
pub(super) fn section(analysis: &Analysis<'_>) -> Markup {
    let mut layouts: BTreeMap<&str, Vec<&Setting>> = BTreeMap::new();
    for setting in &analysis.settings {
        layouts.entry(&setting.layout).or_default().push(setting);
    }
    layouts.retain(|_, settings| {
        settings
            .iter()
            .map(|setting| setting.parameters)
            .collect::<BTreeSet<_>>()
            .len()
            > 1
    });
    html! {
        @if !layouts.is_empty() {
            section {
                h2 { "Across sizes" }
                p {
                    "Share of generations that repeat their own document in any of the three classes, and the slope of a straight line against the logarithm of "
                    "the parameters (Carlini et al. 2023), over the documents that all sizes saw."
                }
                @for (layout, mut settings) in layouts {
                    @let () = settings.reverse();
                    (table(&format!("Sizes, {layout} copies"), &layout_table(layout, &settings, analysis)))
                }
            }
        }
    }
}

fn layout_table(layout: &str, settings: &[&Setting], analysis: &Analysis<'_>) -> Markup {
    let copies = settings.iter().filter_map(|setting| setting.most_copies()).max();
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for (label, series) in settings.iter().flat_map(|setting| setting.shown()) {
        if !rows.iter().any(|(known, _)| *known == label) {
            rows.push((label, &series.mode));
        }
    }
    html! {
        thead { tr {
            th scope="col" { (visible(layout)) small { @if let Some(copies) = copies { "documents seen " (times(copies)) } } }
            @for setting in settings { th scope="col" class="n" { (visible(&setting.model)) small { (parameters(setting.parameters)) } } }
            th scope="col" class="n" { "Tenfold size" small { "adds" } }
        } }
        tbody {
            @for (label, mode) in rows {
                @let series = |setting: &&Setting| setting.shown().find(|(shown, _)| *shown == label).map(|(_, series)| series.tallies.clone());
                @let found: Vec<(i64, Tallies)> = settings.iter().filter_map(|setting| Some((setting.parameters, series(setting)?))).collect();
                @let models: Vec<(i64, &Tallies)> = found.iter().map(|(parameters, tallies)| (*parameters, tallies)).collect();
                tr {
                    th scope="row" { (chip(mode, label)) }
                    @for setting in settings {
                        @let estimate = setting.shown().find(|(shown, _)| *shown == label)
                            .and_then(|(_, series)| series.estimate(Measure::OwnAny, setting.seen(), copies));
                        (rate_cell(estimate.as_ref()))
                    }
                    td class="n" {
                        @match per_tenfold_size(&models, Measure::OwnAny, settings.first().map(|setting| setting.strategy.as_str()), copies, analysis.bootstrap) {
                            Some(trend) => (points(trend.slope, trend.slope_interval)),
                            None => span class="none" { "–" },
                        }
                    }
                }
            }
        }
    }
}
