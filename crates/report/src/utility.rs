//! How useful the models still are: the held-out loss at the end of tuning and at its best.

use contract::records::{Split, TrainingMetric};

/// Held-out loss over the course of a run, in nats per token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOutCourse {
    /// The lowest that was logged.
    pub best: f64,
    /// The epoch at which it was.
    pub best_epoch: f64,
    /// The last that was logged.
    pub last: f64,
    /// Evaluations logged.
    pub evaluations: usize,
}

/// The course of held-out loss in a training log; `None` where it was never evaluated.
pub fn held_out_course(metrics: &[TrainingMetric]) -> Option<HeldOutCourse> {
    let evaluations: Vec<&TrainingMetric> = metrics
        .iter()
        .filter(|metric| metric.split == Split::Heldout && metric.loss.is_finite())
        .collect();
    let last = evaluations.last()?;
    let best = evaluations
        .iter()
        .min_by(|left, right| left.loss.total_cmp(&right.loss))?;
    Some(HeldOutCourse {
        best: best.loss,
        best_epoch: best.epoch,
        last: last.loss,
        evaluations: evaluations.len(),
    })
}
