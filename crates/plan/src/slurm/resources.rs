//! What the jobs of an array ask for: what `[cluster]` says, and of time and memory so much as the estimate of its largest element needs.

use contract::pipeline::{Cluster, StageResources};

use super::arrays::Array;
use crate::estimate::Estimate;
use crate::stage_runs::{Stage, StageRun};
use crate::{Plan, PlannedCell};

/// What each job of an array asks for.
#[derive(Debug, PartialEq)]
pub(super) struct Resources<'a> {
    /// Partition; none for the site's default.
    pub(super) partition: Option<&'a str>,
    pub(super) cpus: usize,
    pub(super) gpus: usize,
    pub(super) minutes: u64,
    /// Where the minutes come from.
    pub(super) time_note: String,
    pub(super) mebibytes: u64,
    /// Where the memory comes from.
    pub(super) memory_note: String,
}

/// What the jobs of an array ask for. `estimates` are those of the plan's cells, in their order.
pub(super) fn of_array<'a>(array: &Array, plan: &'a Plan, estimates: &[Estimate]) -> Resources<'a> {
    let cluster = &plan.pipeline.cluster;
    let stage = of_stage(cluster, array.stage);
    let partition = stage.partition.as_ref().unwrap_or(&cluster.partition);
    let largest = |cost: fn(Cost) -> Option<f64>| {
        let costs = array.elements.values().filter_map(|element| {
            let cost_of_run = Cost::of(element.run, plan, estimates)?;
            cost(cost_of_run)
        });
        costs.reduce(f64::max)
    };
    let (minutes, time_note) = time(cluster, stage, largest(|cost| Some(cost.seconds)));
    let (mebibytes, memory_note) = memory(cluster, stage, largest(|cost| cost.bytes));
    Resources {
        partition: Some(partition.as_str()).filter(|name| !name.is_empty()),
        cpus: stage.cpus.unwrap_or(cluster.cpus),
        gpus: stage
            .gpus
            .unwrap_or(if can_use_gpu(array.stage) { cluster.gpus } else { 0 }),
        minutes,
        time_note,
        mebibytes,
        memory_note,
    }
}

/// The table of a stage.
pub(super) fn of_stage(cluster: &Cluster, stage: Stage) -> &StageResources {
    match stage {
        Stage::Dupgen => &cluster.dupgen,
        Stage::Tuner => &cluster.tuner,
        Stage::Extractor => &cluster.extractor,
        Stage::Plagiarism => &cluster.plagiarism,
        Stage::Report => &cluster.report,
        Stage::Check => &cluster.check,
    }
}

fn can_use_gpu(stage: Stage) -> bool {
    matches!(stage, Stage::Tuner | Stage::Extractor | Stage::Plagiarism)
}

/// What one run of a stage is estimated to take.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    /// None for plagiarism.
    bytes: Option<f64>,
}

impl Cost {
    /// None for a stage that is not estimated.
    fn of(run: &StageRun, plan: &Plan, estimates: &[Estimate]) -> Option<Self> {
        let position = run.cell?.number.checked_sub(1)?;
        let (cell, estimate): (&PlannedCell, &Estimate) =
            (plan.cells.get(position)?, estimates.get(position)?);
        let bytes = Some(estimate.memory_bytes);
        match run.stage {
            Stage::Tuner => Some(Self {
                seconds: estimate.seconds.tuner,
                bytes,
            }),
            Stage::Extractor => Some(Self {
                seconds: estimate.seconds.extractor,
                bytes,
            }),
            // Each of two checkpoints has a run of its own.
            Stage::Plagiarism => Some(Self {
                seconds: estimate.seconds.plagiarism / if cell.has_best() { 2.0 } else { 1.0 },
                bytes: None,
            }),
            Stage::Dupgen | Stage::Report | Stage::Check => None,
        }
    }
}

/// Minutes to ask for, and where they come from. `seconds`: the longest estimate.
fn time(cluster: &Cluster, stage: &StageResources, seconds: Option<f64>) -> (u64, String) {
    if let Some(hours) = stage.hours {
        return (whole(60.0 * hours), "As the pipeline file says.".to_owned());
    }
    let asked = seconds.map_or(0.0, |seconds| cluster.time_factor * seconds / 60.0);
    let (mut minutes, mut note) = match seconds {
        None => (
            cluster.min_minutes,
            "Not estimated: cluster.min_minutes.".to_owned(),
        ),
        Some(seconds) if asked < cluster.min_minutes => (
            cluster.min_minutes,
            format!("Estimate {}: cluster.min_minutes.", minutes_text(seconds)),
        ),
        Some(seconds) => (
            asked,
            format!(
                "{} times the estimate of {}.",
                cluster.time_factor,
                minutes_text(seconds)
            ),
        ),
    };
    if let Some(hours) = cluster.max_hours.filter(|hours| minutes > 60.0 * hours) {
        minutes = 60.0 * hours;
        note.push_str(
            " Cut to cluster.max_hours: what takes longer is ended, and goes on when submit.sh is run once more.",
        );
    }
    (whole(minutes), note)
}

/// Mebibytes to ask for, and where they come from. `bytes`: the largest estimate.
fn memory(cluster: &Cluster, stage: &StageResources, bytes: Option<f64>) -> (u64, String) {
    if let Some(gigabytes) = stage.memory_gb {
        return (mebibytes(gigabytes), "As the pipeline file says.".to_owned());
    }
    let least = cluster.min_memory_gb;
    match bytes.map(|bytes| bytes / 1e9) {
        None => (
            mebibytes(least),
            "Not estimated: cluster.min_memory_gb.".to_owned(),
        ),
        Some(estimate) if cluster.memory_factor * estimate < least => (
            mebibytes(least),
            format!("Estimate {estimate:.1} GB: cluster.min_memory_gb."),
        ),
        Some(estimate) => (
            mebibytes(cluster.memory_factor * estimate),
            format!(
                "{} times the estimate of {estimate:.1} GB.",
                cluster.memory_factor
            ),
        ),
    }
}

fn mebibytes(gigabytes: f64) -> u64 {
    whole(gigabytes * 1e9 / f64::from(1 << 20))
}

/// The next whole number, at least 1.
fn whole(number: f64) -> u64 {
    number.ceil().max(1.0) as u64
}

fn minutes_text(seconds: f64) -> String {
    if seconds < 60.0 {
        "less than a minute".to_owned()
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_a_multiple_of_the_estimate_within_limits() {
        let cluster = Cluster {
            time_factor: 3.0,
            min_minutes: 10.0,
            max_hours: Some(24.0),
            ..Cluster::default()
        };
        let of_stage = StageResources::default();
        let minutes = |seconds| time(&cluster, &of_stage, seconds).0;
        assert_eq!(minutes(None), 10);
        assert_eq!(minutes(Some(5.0)), 10);
        // 3 · 3,601 s = 180.05 min.
        assert_eq!(minutes(Some(3601.0)), 181);
        assert_eq!(minutes(Some(100.0 * 3600.0)), 24 * 60);
        let (_, note) = time(&cluster, &of_stage, Some(100.0 * 3600.0));
        assert!(
            note.contains("6000 min") && note.contains("cluster.max_hours"),
            "{note}"
        );
        let given = StageResources {
            hours: Some(30.5),
            ..StageResources::default()
        };
        assert_eq!(time(&cluster, &given, Some(5.0)).0, 1830);
    }

    #[test]
    fn memory_is_a_multiple_of_the_estimate() {
        let cluster = Cluster {
            memory_factor: 1.5,
            min_memory_gb: 4.0,
            ..Cluster::default()
        };
        let of_stage = StageResources::default();
        // 4 · 10⁹ / 2²⁰ = 3,814.7, and 1.5 · 10 · 10⁹ / 2²⁰ = 14,305.1.
        for (bytes, expected) in [(None, 3815), (Some(2e9), 3815), (Some(1e10), 14_306)] {
            assert_eq!(memory(&cluster, &of_stage, bytes).0, expected, "{bytes:?}");
        }
        let given = StageResources {
            memory_gb: Some(1.048_576),
            ..StageResources::default()
        };
        assert_eq!(memory(&cluster, &given, Some(1e12)).0, 1000);
    }
}
