//! Modes of tuning compared at equal utility.
//!
//! A mode that memorizes less may only have learned less. So each mode is swept over learning rates, and
//! what is compared is memorization at the same held-out loss.

use crate::error::{Result, require_count, require_finite};

/// One run of a sweep: what it cost and what it leaked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SweepPoint {
    /// Held-out loss, in nats per token.
    pub held_out_loss: f64,
    /// Memorization, by any measure.
    pub memorization: f64,
}

/// The memorization of a mode where its held-out loss is the given one, interpolated along its sweep.
///
/// The points must follow each other as their learning rates do: each neighbouring pair is joined by a
/// straight line in the plane of loss and memorization. Loss first falls and then rises again as the learning
/// rate grows, so the sweep may pass the given loss more than once; the least memorization counts, because
/// that run is the one to prefer among equals. `None` where the sweep never has that loss: nothing is
/// extrapolated. In the unit of the memorization measure.
///
/// # Errors
/// If there are no points, or a number is not finite.
pub fn memorization_at_loss(sweep: &[SweepPoint], held_out_loss: f64) -> Result<Option<f64>> {
    require_count("sweep", sweep.len(), 1)?;
    require_finite("held_out_loss", held_out_loss)?;
    for point in sweep {
        require_finite("held_out_loss of the sweep", point.held_out_loss)?;
        require_finite("memorization of the sweep", point.memorization)?;
    }
    let on_points = sweep
        .iter()
        .filter(|point| point.held_out_loss == held_out_loss)
        .map(|point| point.memorization);
    let between_points = sweep
        .windows(2)
        .filter_map(|pair| crossing(pair[0], pair[1], held_out_loss));
    Ok(on_points.chain(between_points).reduce(f64::min))
}

/// Memorization where the line from one point to the next has the given loss strictly between its ends.
fn crossing(from: SweepPoint, to: SweepPoint, held_out_loss: f64) -> Option<f64> {
    let before = held_out_loss - from.held_out_loss;
    let after = to.held_out_loss - held_out_loss;
    let passed = before * after > 0.0;
    passed.then(|| from.memorization + (to.memorization - from.memorization) * before / (before + after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep() -> Vec<SweepPoint> {
        // Loss falls from 4 to 3 and rises again as the learning rate grows; memorization only grows.
        [(4.0, 0.0), (3.0, 0.2), (3.5, 0.8)]
            .map(|(held_out_loss, memorization)| SweepPoint {
                held_out_loss,
                memorization,
            })
            .to_vec()
    }

    #[test]
    fn memorization_is_read_off_the_sweep() {
        let cases = [
            // A quarter of the way from 4 to 3; the sweep passes 3.75 only once.
            (3.75, Some(0.05)),
            // Three quarters of the way down, .15, and half of the way up again, .5: the lesser.
            (3.25, Some(0.15)),
            // On a point.
            (3.0, Some(0.2)),
            // On the last point, .8, but also half way down, .1.
            (3.5, Some(0.1)),
            // Never reached.
            (2.9, None),
            (4.1, None),
        ];
        for (loss, expected) in cases {
            let found = memorization_at_loss(&sweep(), loss).unwrap();
            let close = match (found, expected) {
                (Some(found), Some(expected)) => f64::abs(found - expected) < 1e-12,
                (found, expected) => found == expected,
            };
            assert!(close, "{loss}: {found:?}");
        }
    }

    #[test]
    fn an_empty_sweep_or_a_run_that_diverged_is_an_error() {
        assert!(memorization_at_loss(&[], 3.0).is_err());
        let diverged = SweepPoint {
            held_out_loss: f64::NAN,
            memorization: 0.0,
        };
        assert!(memorization_at_loss(&[diverged], 3.0).is_err());
    }
}
