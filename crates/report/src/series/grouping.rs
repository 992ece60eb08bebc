use std::collections::{BTreeMap, BTreeSet};

use contract::Cell;

use super::{AnalysedCell, Series, Setting, Variant};
use crate::rates::Bootstrap;
use crate::tallies::Tallies;
use crate::utility::HeldOutCourse;

/// The layout that a corpus folder is one of: `uniform1-s0` and `uniform16-s1` are both `uniform`, with other copies and
/// another seed.
fn layout(corpus: &str) -> &str {
    let digits = |character: char| character.is_ascii_digit();
    let without_seed = match corpus.rsplit_once("-s") {
        Some((layout, seed)) if !seed.is_empty() && seed.chars().all(digits) => layout,
        _ => corpus,
    };
    without_seed.trim_end_matches(digits).trim_end_matches(['-', '_'])
}

fn setting(
    cells: &[AnalysedCell<'_>],
    members: &[usize],
    (model, parameters, layout): (&str, i64, &str),
    bootstrap: Bootstrap,
) -> Setting {
    let facts = |index: usize| &cells[index].data.cell;
    let mut kinds: BTreeMap<(usize, &str, Option<i32>, Option<&str>), BTreeMap<u64, Vec<usize>>> =
        BTreeMap::new();
    for &index in members {
        let cell = facts(index);
        let kind = (
            mode_order(&cell.mode),
            cell.mode.as_str(),
            cell.rank,
            cell.targets.as_deref(),
        );
        // Learning rates are positive, and the bits of positive floats are in their order.
        let rate = cell.learning_rate.unwrap_or(0.0).to_bits();
        kinds
            .entry(kind)
            .or_default()
            .entry(rate)
            .or_default()
            .push(index);
    }
    let names: Vec<(&str, Option<i32>)> = kinds.keys().map(|&(_, mode, rank, _)| (mode, rank)).collect();
    let mut base = None;
    let mut variants = Vec::new();
    for ((_, mode, rank, targets), rates) in kinds {
        let mut series: Vec<Series> = rates
            .into_values()
            .map(|indices| pooled_series(cells, indices, bootstrap))
            .collect();
        if mode == "base" {
            base = series.pop();
            continue;
        }
        let twins = names.iter().filter(|(other, _)| *other == mode).count();
        let same_rank = names
            .iter()
            .filter(|(other, other_rank)| *other == mode && *other_rank == rank)
            .count();
        let label = variant_label(
            mode,
            rank.filter(|_| twins > 1),
            targets.filter(|_| same_rank > 1),
        );
        let chosen = best(&series);
        variants.push(Variant {
            label,
            mode: mode.to_owned(),
            series,
            chosen,
        });
    }
    let strategies = strategies(cells, members);
    let greedy = strategies
        .iter()
        .find(|(_, greedy)| *greedy)
        .or(strategies.first());
    let copies: BTreeSet<i32> = members
        .iter()
        .flat_map(|&index| cells[index].tallies.copies())
        .collect();
    Setting {
        model: model.to_owned(),
        parameters,
        layout: layout.to_owned(),
        base,
        variants,
        strategy: greedy.map(|(name, _)| name.clone()).unwrap_or_default(),
        strategies: strategies.into_iter().map(|(name, _)| name).collect(),
        copies: copies.into_iter().collect(),
    }
}

fn pooled_series(cells: &[AnalysedCell<'_>], indices: Vec<usize>, bootstrap: Bootstrap) -> Series {
    let first: &Cell = &cells[indices[0]].data.cell;
    let courses: Vec<HeldOutCourse> = indices.iter().filter_map(|&index| cells[index].course).collect();
    let mean =
        |field: fn(&HeldOutCourse) -> f64| courses.iter().map(field).sum::<f64>() / courses.len() as f64;
    let course = (!courses.is_empty()).then(|| HeldOutCourse {
        best: mean(|course| course.best),
        best_epoch: mean(|course| course.best_epoch),
        last: mean(|course| course.last),
        evaluations: courses[0].evaluations,
    });
    Series {
        mode: first.mode.clone(),
        learning_rate: first.learning_rate,
        trainable_parameters: first.trainable_parameters,
        tallies: Tallies::pooled(indices.iter().map(|&index| &cells[index].tallies)),
        cells: indices,
        course,
        bootstrap,
    }
}

/// The series with the lowest held-out loss; the first where none is known.
fn best(series: &[Series]) -> usize {
    let losses = series
        .iter()
        .map(|series| series.held_out_loss().map_or(f64::INFINITY, |loss| loss.value));
    losses
        .enumerate()
        .min_by(|left, right| left.1.total_cmp(&right.1))
        .map_or(0, |(index, _)| index)
}

/// The strategies of some cells in the order in which they appear, each with whether it is greedy.
fn strategies(cells: &[AnalysedCell<'_>], members: &[usize]) -> Vec<(String, bool)> {
    let mut found: Vec<(String, bool)> = Vec::new();
    for sample in members.iter().flat_map(|&index| &cells[index].data.samples) {
        if !found.iter().any(|(name, _)| *name == sample.strategy) {
            found.push((sample.strategy.clone(), sample.greedy));
        }
    }
    found
}

fn mode_order(mode: &str) -> usize {
    ["base", "full", "head", "lora"]
        .iter()
        .position(|known| *known == mode)
        .unwrap_or(4)
}

fn variant_label(mode: &str, rank: Option<i32>, targets: Option<&str>) -> String {
    let mut label = match mode {
        "head" => "head-only".to_owned(),
        "lora" => "LoRA".to_owned(),
        other => other.to_owned(),
    };
    if let Some(rank) = rank {
        label = format!("{label} r{rank}");
    }
    if let Some(targets) = targets {
        let count = targets.split(',').count();
        label = if count > 1 {
            format!("{label}, {count} modules")
        } else {
            format!("{label}, {targets}")
        };
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corpora_of_one_layout_go_together() {
        let cases = [
            ("bucketed", "bucketed"),
            ("bucketed-s0", "bucketed"),
            ("uniform16-s0", "uniform"),
            ("uniform-1", "uniform"),
            ("my-set", "my-set"),
        ];
        for (corpus, expected) in cases {
            assert_eq!(layout(corpus), expected);
        }
    }

    #[test]
    fn variants_are_named_by_what_tells_them_apart() {
        assert_eq!(variant_label("lora", None, None), "LoRA");
        assert_eq!(
            variant_label("lora", Some(16), Some("c_attn")),
            "LoRA r16, c_attn"
        );
        assert_eq!(
            variant_label("lora", Some(16), Some("c_attn,c_fc,c_proj")),
            "LoRA r16, 3 modules"
        );
        assert_eq!(variant_label("head", None, None), "head-only");
    }
}
