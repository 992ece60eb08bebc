//! What sampling finds beside what stronger attacks find, what ordinary prompts bring up, and what it costs.

use std::collections::BTreeMap;

use contract::records::{PromptForm, Split};
use maud::{Markup, html};

use super::{cell, chip, dense_table, rate_cell, visible};
use crate::analysis::{Analysis, Series, Setting, Strategy};
use crate::claims::{Claim, Standing};
use crate::findings::not_over;
use crate::format::{about, number, percent, percent_interval, times};
use crate::measure::{DISCOVERY_SAMPLES, EXTRACTED_CHARS, Measure, PLACES};
use crate::membership::Attack;
use crate::ranking::{LOOKED_AT, Precision, Ranking, precisions};
use crate::rates::Estimate;
use crate::tallies::Where;

/// Scores come from one pass over the true text.
const SCORED: Where<'_> = Where {
    split: Split::Train,
    strategy: None,
};

pub(super) fn section(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let ordinary = |strategy: &&Strategy| strategy.form.is_ordinary();
    let forcing: Vec<&Strategy> = setting
        .strategies
        .iter()
        .filter(|strategy| !ordinary(strategy))
        .collect();
    let asking: Vec<&Strategy> = setting.strategies.iter().filter(ordinary).collect();
    let ranked = rankings(setting, analysis);
    let sampled_alone = setting.strategies.iter().all(Strategy::is_plain);
    let searched = setting.shown().any(|(_, series)| nearly_prefix(series).is_some());
    if sampled_alone && !searched && ranked.is_empty() {
        return html! {};
    }
    let at = setting.most_copies().map_or(String::new(), |copies| {
        format!(", documents seen {}", times(copies))
    });
    html! {
        section {
            h2 { "Stronger attacks" }
            p {
                "Sampling is what most studies stop at. Beside it stand searches, prompts in another style or from elsewhere in the "
                "document, and membership inference, which asks for no text at all: a model that gives nothing back by sampling may "
                "hold it all the same. Shares are of generations that repeat the document of their prompt, in any class" (at) "; of prompts "
                "without a document, of generations that repeat any training document."
            }
            (dense_table("What each kind of attack sees", &three_views(setting, analysis)))
            @if forcing.len() > 1 {
                h3 { "Prompts that force recall: capability" }
                (dense_table("Attacks with their yield and cost", &yields(setting, &forcing)))
            }
            @if !asking.is_empty() {
                h3 { "Prompts that anybody might ask: propensity" }
                p {
                    "What a model can be made to say is not what it says. These prompts hold nothing of the documents but "
                    "what a user would write."
                }
                (dense_table("Ordinary prompts", &yields(setting, &asking)))
            }
            @if !ranked.is_empty() {
                h3 { "Generate, then rank" }
                p {
                    "From nothing, without any document: what the model wrote twice is dropped, the rest ranked by a score, and the "
                    "best looked at. Shares of those looked at that repeat training text (any class, or " (EXTRACTED_CHARS)
                    " characters)."
                }
                (dense_table("Precision of rankings", &ranked_table(&ranked)))
            }
            (by_place(setting))
        }
    }
}

/// Per way of tuning: what sampling finds, what the strongest attack finds, what membership inference sees.
fn three_views(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let copies = setting.most_copies();
    let sampled = setting
        .strategies
        .iter()
        .find(|strategy| strategy.is_plain() && !strategy.greedy);
    let prefix = setting.shown().find_map(|(_, series)| nearly_prefix(series));
    let most_draws = DISCOVERY_SAMPLES[DISCOVERY_SAMPLES.len() - 1];
    html! {
        thead { tr {
            th scope="col" { "Tuning" }
            @if let Some(sampled) = sampled { th scope="col" class="n" { "Sampling" small { (visible(&sampled.name)) } } }
            th scope="col" class="n" { "Strongest attack" small { "on documents" } }
            @if setting.strategies.iter().any(|strategy| strategy.form.is_ordinary()) {
                th scope="col" class="n" { "Ordinary prompts" small { "the most that one brings up" } }
            }
            @if prefix.is_some() { th scope="col" class="n" { "Nearly verbatim" small { "in " (most_draws) " draws, at least" } } }
            th scope="col" class="n" { "Membership AUC" small { "best score" } }
        } }
        tbody {
            @for (label, series) in setting.shown() {
                tr {
                    th scope="row" { (chip(&series.mode, label)) }
                    @if let Some(sampled) = sampled { (rate_cell(claim(setting, series, sampled).map(|claim| claim.rate).as_ref())) }
                    (strongest(setting, series, |strategy| !strategy.form.is_ordinary() && strategy.form != PromptForm::Optimised))
                    @if setting.strategies.iter().any(|strategy| strategy.form.is_ordinary()) {
                        (strongest(setting, series, |strategy| strategy.form.is_ordinary()))
                    }
                    @if let Some(prefix) = prefix {
                        (rate_cell(series.estimate(Measure::NearlyDiscoverable { prefix, samples: most_draws }, SCORED, copies).as_ref()))
                    }
                    (best_membership(series, analysis, copies))
                }
            }
        }
    }
}

fn nearly_prefix(series: &Series) -> Option<i32> {
    series
        .tallies
        .questions()
        .into_iter()
        .find_map(|(measure, ..)| match measure {
            Measure::NearlyDiscoverable { prefix, .. } => Some(prefix),
            _ => None,
        })
}

/// The strategy with the highest rate, named; it says so where that rate does not stand clear of its controls.
fn strongest(setting: &Setting, series: &Series, wanted: impl Fn(&Strategy) -> bool) -> Markup {
    let strategies = setting.strategies.iter().filter(|strategy| wanted(strategy));
    let best = strategies
        .filter_map(|strategy| Some((strategy, claim(setting, series, strategy)?)))
        .max_by(|left, right| left.1.rate.value.total_cmp(&right.1.rate.value));
    html! {
        td class="n" {
            @match best {
                Some((strategy, claim)) => {
                    (percent(claim.rate.value))
                    @if let Some(interval) = claim.rate.interval { span class="ci" { (percent_interval(interval)) } }
                    @if claim.rate.value > 0.0 { span class="ci" {
                        (visible(&strategy.name))
                        @match claim.standing {
                            Standing::NotOver | Standing::Open { .. } | Standing::NoFloor if series.mode != "base" => { ", " (not_over()) }
                            _ => {}
                        }
                    } }
                }
                None => { span class="none" { "–" } }
            }
        }
    }
}

/// What a strategy finds: of the prompt's own document, those seen most often; or, without a document, of any.
fn claim(setting: &Setting, series: &Series, strategy: &Strategy) -> Option<Claim> {
    let at = |split| Where {
        split,
        strategy: Some(&strategy.name),
    };
    let copies = setting.most_copies();
    Claim::of(setting, series, Measure::OwnAny, at(Split::Train), copies)
        .or_else(|| Claim::of(setting, series, Measure::Any, at(Split::None), None))
}

fn best_membership(series: &Series, analysis: &Analysis<'_>, copies: Option<i32>) -> Markup {
    let found = Attack::ALL
        .into_iter()
        .filter_map(|attack| Some((attack, series.auc(analysis, attack, copies)?)))
        .max_by(|left, right| left.1.value.total_cmp(&right.1.value));
    html! {
        td class="n" {
            @match found {
                Some((attack, auc)) => {
                    (number(auc.value, 2))
                    @if let Some(interval) = auc.interval { span class="ci" { (number(interval.low, 2)) "–" (number(interval.high, 2)) } }
                    span class="ci" { (attack.name()) }
                }
                None => { span class="none" { "–" } }
            }
        }
    }
}

/// A row a strategy, a column a way of tuning: the rate, its control, what comes out after unseen documents, tokens read for each leak.
fn yields(setting: &Setting, strategies: &[&Strategy]) -> Markup {
    html! {
        thead { tr {
            th scope="col" { "Attack" }
            @for (label, series) in setting.shown() { th scope="col" class="n" { (chip(&series.mode, label)) } }
        } }
        tbody {
            @for strategy in strategies {
                tr {
                    th scope="row" { (visible(&strategy.name)) span class="ci" { (form_name(strategy.form)) } }
                    @for (_, series) in setting.shown() { (yield_cell(setting, series, strategy)) }
                }
            }
        }
    }
}

fn yield_cell(setting: &Setting, series: &Series, strategy: &Strategy) -> Markup {
    if strategy.form == PromptForm::Optimised {
        return compressed_cell(setting, series, strategy);
    }
    let Some(claim) = claim(setting, series, strategy) else {
        return cell(None);
    };
    let at = |split| Where {
        split,
        strategy: Some(&strategy.name),
    };
    let cost = [Split::Train, Split::None]
        .into_iter()
        .find_map(|split| series.estimate(Measure::TokensRead, at(split), None));
    let unseen = series.estimate(Measure::Any, at(Split::Heldout), None);
    html! {
        td class="n" {
            (percent(claim.rate.value))
            @if let Some(interval) = claim.rate.interval { span class="ci" { (percent_interval(interval)) } }
            @if let Some(control) = claim.control { span class="ci" { "control " (percent(control.floor().value)) } }
            @if let Some(unseen) = unseen { span class="ci" { "any text after unseen " (percent(unseen.value)) } }
            @if let Some(cost) = cost { span class="ci" { (cost_of(cost.value, claim.rate.value)) } }
        }
    }
}

/// Tokens that are read for each generation that repeats training text.
fn cost_of(tokens: f64, rate: f64) -> String {
    if rate > 0.0 {
        format!("{} tokens per leak", about(tokens / rate))
    } else {
        format!("{} tokens each, none found", about(tokens))
    }
}

fn compressed_cell(setting: &Setting, series: &Series, strategy: &Strategy) -> Markup {
    let at = Where {
        split: Split::Train,
        strategy: Some(&strategy.name),
    };
    let copies = setting.most_copies();
    let Some(share) = series.estimate(Measure::Compressed, at, copies) else {
        return cell(None);
    };
    let ratio = series.estimate(Measure::CompressionRatio, at, copies);
    let cost = series.estimate(Measure::TokensRead, at, copies);
    html! {
        td class="n" {
            (percent(share.value)) " compressed"
            @if let Some(interval) = share.interval { span class="ci" { (percent_interval(interval)) } }
            @if let Some(ratio) = ratio { span class="ci" { "mean ratio " (number(ratio.value, 1)) } }
            @if let Some(cost) = cost { span class="ci" { (cost_of(cost.value, share.value)) } }
        }
    }
}

fn form_name(form: PromptForm) -> &'static str {
    match form {
        PromptForm::Prefix => "from the beginning",
        PromptForm::Middle => "from the middle",
        PromptForm::UpperCase => "in upper case",
        PromptForm::LowerCase => "in lower case",
        PromptForm::DoubleSpaced => "with doubled blanks",
        PromptForm::Optimised => "prompt found by gradient search",
        PromptForm::Question => "the document’s own prompt",
        PromptForm::Opening => "the commonest first words",
        PromptForm::File => "prompts of a file",
        PromptForm::Nothing => "nothing",
    }
}

/// Per way of tuning, the precision of each ranking, over the strategy that wrote most from nothing.
fn rankings<'a>(
    setting: &'a Setting,
    analysis: &'a Analysis<'_>,
) -> Vec<(&'a str, &'a Series, Vec<Precision>)> {
    let found = setting.shown().map(|(label, series)| {
        let from_nothing = || {
            let samples = series
                .cells
                .iter()
                .flat_map(|&cell| &analysis.cells[cell].data.samples);
            samples.filter(|sample| sample.form == PromptForm::Nothing)
        };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for sample in from_nothing() {
            *counts.entry(&sample.strategy).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let of_strategy =
            from_nothing().filter(|sample| most.is_some_and(|(name, _)| name == sample.strategy));
        (label, series, precisions(of_strategy))
    });
    found.filter(|(.., precisions)| precisions.len() > 1).collect()
}

fn ranked_table(ranked: &[(&str, &Series, Vec<Precision>)]) -> Markup {
    let share = |precisions: &[Precision], ranking: Option<Ranking>, looked_at: Option<usize>| {
        let mut fitting = precisions.iter().filter(|precision| {
            precision.ranking == ranking && looked_at.is_none_or(|looked_at| looked_at == precision.looked_at)
        });
        fitting.next().map(|precision| precision.share)
    };
    html! {
        thead {
            tr {
                th rowspan="2" scope="col" { "Tuning" }
                th rowspan="2" scope="col" class="n" { "All" small { "distinct" } }
                @for ranking in Ranking::ALL { th colspan=(LOOKED_AT.len()) scope="colgroup" class="group" { (ranking_name(ranking)) } }
            }
            tr { @for _ in Ranking::ALL { @for looked_at in LOOKED_AT { th scope="col" class="n" { "best " (looked_at) } } } }
        }
        tbody {
            @for (label, series, precisions) in ranked {
                tr {
                    th scope="row" { (chip(&series.mode, label)) }
                    (rate_cell(share(precisions, None, None).as_ref()))
                    @for ranking in Ranking::ALL {
                        @for looked_at in LOOKED_AT { (rate_cell(share(precisions, Some(ranking), Some(looked_at)).as_ref())) }
                    }
                }
            }
        }
    }
}

fn ranking_name(ranking: Ranking) -> &'static str {
    match ranking {
        Ranking::Perplexity => "perplexity",
        Ranking::Reference => "loss − untuned loss",
        Ranking::Zlib => "loss ÷ zlib",
        Ranking::LowerCase => "loss ÷ lower-case loss",
    }
}

/// Exact memorization along the document.
fn by_place(setting: &Setting) -> Markup {
    let copies = setting.most_copies();
    let row = |series: &Series| -> Vec<Option<Estimate>> {
        (0..PLACES)
            .map(|place| series.estimate(Measure::ExactMemorizationAt(place), SCORED, copies))
            .collect()
    };
    let rows: Vec<_> = setting
        .shown()
        .map(|(label, series)| (label, series, row(series)))
        .collect();
    if rows.iter().all(|(.., places)| places.iter().all(Option::is_none)) {
        return html! {};
    }
    let content = html! {
        thead { tr {
            th scope="col" { "Tuning" }
            @for place in 1..=PLACES { th scope="col" class="n" { (place) " of " (PLACES) } }
        } }
        tbody {
            @for (label, series, places) in &rows {
                tr {
                    th scope="row" { (chip(&series.mode, label)) }
                    @for place in places { (rate_cell(place.as_ref())) }
                }
            }
        }
    };
    html! {
        h3 { "Along the document" }
        p { "Share of tokens that are the model’s first choice, in five equal parts of each document, the whole text before them given." }
        (dense_table("Exact memorization along the document", &content))
    }
}
