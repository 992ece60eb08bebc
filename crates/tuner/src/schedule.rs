//! The learning rate of each step.

use contract::pipeline::Schedule;

/// The learning rate of step `step` of `steps`, counted from 0: rises in a straight line over the first `warmup` share of
/// the steps, then follows `schedule` down from `peak`.
pub fn learning_rate(schedule: Schedule, peak: f64, warmup: f64, step: usize, steps: usize) -> f64 {
    let warm = (warmup * steps as f64).ceil() as usize;
    if step < warm {
        return peak * (step + 1) as f64 / warm as f64;
    }
    let left = (steps - step) as f64 / (steps - warm).max(1) as f64;
    match schedule {
        Schedule::Constant => peak,
        Schedule::Linear => peak * left,
        Schedule::Cosine => peak * 0.5 * (1.0 - (std::f64::consts::PI * left).cos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_and_falls() {
        // 10 steps, 2 of them warm-up: 0.5, 1, then eight eighths down to one.
        let rates: Vec<f64> = (0..10)
            .map(|step| learning_rate(Schedule::Linear, 1.0, 0.2, step, 10))
            .collect();
        assert_eq!(
            rates,
            [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
        );
        // Half-way down the cosine stands at half the peak.
        assert!((learning_rate(Schedule::Cosine, 1.0, 0.2, 6, 10) - 0.5).abs() < 1e-12);
        assert_eq!(learning_rate(Schedule::Constant, 3e-4, 0.0, 9, 10), 3e-4);
    }
}
