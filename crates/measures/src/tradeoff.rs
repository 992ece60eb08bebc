//! Ways of tuning compared at equal utility.
//!
//! A way of tuning that memorizes less may only have learned less. So what is compared is memorization at the same held-out loss: along the
//! path of checkpoints of one learning rate, which begins with the untuned model ([`at_loss`]), with intervals from documents
//! of both sets drawn together ([`joint_bootstrap`]).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::distribution::{normal_upper_tail, student_t_97_5};
use crate::error::{Result, require_count, require_finite, require_same_length};
use crate::interval::{Interval, MIN_RESAMPLES, percentile};

/// Documents of a set that [`joint_bootstrap`] draws from, if it draws from it at all.
///
/// Coverage of a mean at 20 documents: 94.7% for normal, 93.2% for gamma(2), 93.0% for exponential values.
pub const MIN_DOCUMENTS_BOOTSTRAP: usize = 20;

/// One point of a path or a sweep: a checkpoint or a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SweepPoint {
    /// Held-out loss, in nats per token.
    pub held_out_loss: f64,
    /// Memorization, by any measure.
    pub memorization: f64,
}

/// Memorization along a path where its held-out loss is a given one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Branches {
    /// While loss falls: up to the path's smallest loss, that point included.
    pub falling: Vec<f64>,
    /// While loss rises again: after the path's smallest loss, in overtraining.
    pub rising: Vec<f64>,
}

/// The memorization of a path of checkpoints at each place where its held-out loss is the given one, interpolated.
///
/// The points follow each other in the order of training, for one learning rate, and begin with the untuned model; neighbours are
/// joined by a straight line in the plane of loss and memorization. Each place is given once, in the order of training: on a point,
/// or between two points on either side of the loss. The first point with the path's smallest loss divides the branches. Loss may
/// waver, so a branch may hold several places, or none; nothing is extrapolated. In the unit of the memorization measure. This
/// project's.
///
/// # Errors
/// If there are no points, or a number is not finite.
pub fn at_loss(points: &[SweepPoint], held_out_loss: f64) -> Result<Branches> {
    require_count("points", points.len(), 1)?;
    require_finite("held_out_loss", held_out_loss)?;
    let mut smallest = 0;
    for (index, point) in points.iter().enumerate() {
        require_finite("held_out_loss of a point", point.held_out_loss)?;
        require_finite("memorization of a point", point.memorization)?;
        if point.held_out_loss < points[smallest].held_out_loss {
            smallest = index;
        }
    }
    let mut branches = Branches::default();
    for (index, &point) in points.iter().enumerate() {
        let branch = if index <= smallest {
            &mut branches.falling
        } else {
            &mut branches.rising
        };
        if let Some(previous) = index.checked_sub(1) {
            branch.extend(crossing(points[previous], point, held_out_loss));
        }
        if point.held_out_loss == held_out_loss {
            branch.push(point.memorization);
        }
    }
    Ok(branches)
}

/// What [`joint_bootstrap`] finds for one statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampled {
    /// Its 95% interval over the resamples in which it has a value; none where fewer than [`MIN_RESAMPLES`] have one, or
    /// all agree.
    pub interval: Option<Interval>,
    /// Share of resamples in which it has a value, between 0 and 1.
    pub share_with_value: f64,
}

/// The 95% bootstrap intervals of several statistics of the same resampled documents.
///
/// Each resample draws as many training documents and as many held-out documents as there are, each with replacement (ChaCha8, seeded),
/// and all statistics see the same draw: jointly, so that differences and comparisons between them hold. `statistics` gets the
/// indices of both draws and answers with one entry a statistic, `None` where it has no value (a loss that the path does not pass). With
/// `held_out` 0 only training documents are drawn.
///
/// The interval is the expanded percentile interval: from the share q to 1 − q of the sorted values, interpolated linearly, with
/// q = Φ(−√(n/(n − 1)) · t), t the 97.5% quantile of Student's t with n − 1 degrees of freedom and n the smaller number of documents
/// drawn; the plain 2.5% is too narrow for few documents. In each statistic's unit. Source: Hesterberg 2015.
///
/// # Errors
/// With fewer than [`MIN_DOCUMENTS_BOOTSTRAP`] training documents (or held-out ones, unless 0) or fewer than [`MIN_RESAMPLES`]
/// resamples; if the number of statistics varies, or a value is not finite.
pub fn joint_bootstrap(
    documents: usize,
    held_out: usize,
    resamples: usize,
    seed: u64,
    mut statistics: impl FnMut(&[usize], &[usize]) -> Vec<Option<f64>>,
) -> Result<Vec<Resampled>> {
    require_count("training documents", documents, MIN_DOCUMENTS_BOOTSTRAP)?;
    if held_out > 0 {
        require_count("held-out documents", held_out, MIN_DOCUMENTS_BOOTSTRAP)?;
    }
    require_count("resamples", resamples, MIN_RESAMPLES)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut drawn, mut drawn_held_out) = (vec![0; documents], vec![0; held_out]);
    let mut values: Vec<Vec<f64>> = Vec::new();
    for resample in 0..resamples {
        drawn.fill_with(|| random.random_range(0..documents));
        drawn_held_out.fill_with(|| random.random_range(0..held_out));
        let found = statistics(&drawn, &drawn_held_out);
        if resample == 0 {
            values.resize(found.len(), Vec::new());
        }
        require_same_length(
            ("statistics of the first resample", values.len()),
            ("statistics of a later one", found.len()),
        )?;
        for (values, found) in values.iter_mut().zip(found) {
            if let Some(value) = found {
                require_finite("statistic of a resample", value)?;
                values.push(value);
            }
        }
    }
    let smaller = if held_out == 0 {
        documents
    } else {
        documents.min(held_out)
    };
    let outside = expanded_share(smaller);
    Ok(values
        .into_iter()
        .map(|mut values| {
            values.sort_by(f64::total_cmp);
            let interval = (values.len() >= MIN_RESAMPLES).then(|| Interval {
                low: percentile(&values, outside),
                high: percentile(&values, 1.0 - outside),
            });
            Resampled {
                interval: interval.filter(|interval| interval.width() > 0.0),
                share_with_value: values.len() as f64 / resamples as f64,
            }
        })
        .collect())
}

/// The share of resamples outside either end of an expanded percentile interval.
fn expanded_share(documents: usize) -> f64 {
    let count = documents as f64;
    normal_upper_tail((count / (count - 1.0)).sqrt() * student_t_97_5(count - 1.0))
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

    fn path(points: &[(f64, f64)]) -> Vec<SweepPoint> {
        points
            .iter()
            .map(|&(held_out_loss, memorization)| SweepPoint {
                held_out_loss,
                memorization,
            })
            .collect()
    }

    #[test]
    fn both_branches_of_a_path_are_read_off() {
        let overtrained = path(&[(4.0, 0.0), (3.0, 0.2), (3.5, 0.8)]);
        let wavering = path(&[
            (4.0, 0.0),
            (3.5, 0.1),
            (3.7, 0.2),
            (3.0, 0.3),
            (3.0, 0.5),
            (3.4, 0.6),
        ]);
        let cases: [(&[SweepPoint], f64, &[f64], &[f64]); 9] = [
            // A quarter of the way down; the end of training is below.
            (&overtrained, 3.75, &[0.05], &[]),
            // Three quarters of the way down, half of the way up.
            (&overtrained, 3.25, &[0.15], &[0.5]),
            // The untuned model; the end of training.
            (&overtrained, 4.0, &[0.0], &[]),
            (&overtrained, 3.5, &[0.1], &[0.8]),
            // The smallest loss is touched once.
            (&overtrained, 3.0, &[0.2], &[]),
            (&overtrained, 2.9, &[], &[]),
            // Down, up and down again before the smallest loss: a fifth, half, and a seventh of three steps.
            (&wavering, 3.6, &[0.08, 0.15, 0.2 + 0.1 / 7.0], &[]),
            // A point between, passed once.
            (&wavering, 3.5, &[0.1, 0.2 + 0.2 / 7.0], &[]),
            // The first of two equal smallest losses divides.
            (&wavering, 3.0, &[0.3], &[0.5]),
        ];
        for (points, loss, falling, rising) in cases {
            let found = at_loss(points, loss).unwrap();
            for (found, expected) in [(&found.falling, falling), (&found.rising, rising)] {
                assert_eq!(found.len(), expected.len(), "{loss}: {found:?}");
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-12, "{loss}: {found} {expected}");
                }
            }
        }
        assert!(at_loss(&[], 3.0).is_err());
        assert!(at_loss(&path(&[(f64::NAN, 0.0)]), 3.0).is_err());
        assert!(at_loss(&overtrained, f64::NAN).is_err());
    }

    #[test]
    fn statistics_of_one_draw_are_joint() {
        let values: Vec<f64> = (0..30).map(f64::from).collect();
        let mean =
            |drawn: &[usize]| drawn.iter().map(|&index| values[index]).sum::<f64>() / drawn.len() as f64;
        let found = joint_bootstrap(30, 25, 1_000, 3, |documents, held_out| {
            assert_eq!((documents.len(), held_out.len()), (30, 25));
            assert!(held_out.iter().all(|&index| index < 25));
            let (mean, held_out) = (mean(documents), mean(held_out));
            // The third is always the same; the fourth is a difference of one draw; the fifth has a value in about half.
            vec![
                Some(mean),
                Some(held_out),
                Some(1.0),
                Some((mean + 3.0) - mean),
                (mean > 14.5).then_some(mean),
                None,
            ]
        })
        .unwrap();
        assert_eq!(found.len(), 6);
        assert!(found[0].interval.unwrap().contains(14.5));
        assert!(found[1].interval.unwrap().contains(12.0));
        assert_eq!(
            found[2],
            Resampled {
                interval: None,
                share_with_value: 1.0
            }
        );
        assert!(found[3].interval.is_none_or(|interval| interval.width() < 1e-9));
        assert!((found[4].share_with_value - 0.5).abs() < 0.1);
        assert!(found[4].interval.unwrap().low > 14.5);
        assert_eq!(
            found[5],
            Resampled {
                interval: None,
                share_with_value: 0.0
            }
        );
    }

    #[test]
    fn few_documents_reach_further_than_the_outer_2_5_percent() {
        // Ten: √(10/9) · 2.262157 = 2.384524 standard errors; Φ(−2.384524) = .0085506.
        assert!(
            (expanded_share(10) - 0.008_550_6).abs() < 1e-6,
            "{}",
            expanded_share(10)
        );
        assert!((expanded_share(100_000) - 0.025).abs() < 1e-5);
    }

    #[test]
    fn a_joint_bootstrap_needs_documents_and_steady_statistics() {
        let one = |_: &[usize], _: &[usize]| vec![Some(1.0)];
        assert!(joint_bootstrap(19, 0, 100, 0, one).is_err());
        assert!(joint_bootstrap(20, 19, 100, 0, one).is_err());
        assert!(joint_bootstrap(20, 0, 39, 0, one).is_err());
        assert!(joint_bootstrap(20, 0, 100, 0, |_, _| vec![Some(f64::NAN)]).is_err());
        let mut calls = 0;
        let varying = |_: &[usize], _: &[usize]| {
            calls += 1;
            vec![None; calls.min(2)]
        };
        assert!(joint_bootstrap(20, 0, 100, 0, varying).is_err());
    }
}
