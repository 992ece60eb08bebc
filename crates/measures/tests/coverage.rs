//! Simulations: every interval covers 93 to 97% at its smallest allowed number, every test rejects at most 5% without an effect.
//!
//! "Covers" is an average over true values that are drawn anew in each simulation; from which range is said at each. The seeds are fixed.

mod draw;

use std::cell::Cell;

use draw::{Random, beta, binomial, exponential, gamma, normal, paired_scores, uniform};
use measures::exposure::exposure;
use measures::interval::{
    MIN_DOCUMENTS_BOUNDED_MEAN, MIN_DOCUMENTS_CLUSTERED_RATE, MIN_DOCUMENTS_MEAN, MIN_DOCUMENTS_PAIRED,
    MIN_RUNS, MIN_TRIALS_MID_P, binomial_mid_p, bounded_mean_interval, clustered_rate, mean_interval,
    mover_difference, over_runs, paired_difference, paired_mean_difference, wilson,
};
use measures::membership::{
    MIN_PER_SIDE_AUC, MIN_PER_SIDE_AUC_DIFFERENCE, auc_difference, auc_interval, conservative_threshold,
    tpr_at,
};
use measures::test::{auc_exceeds, exceeds_p_value, exposure_exceeds, holm, paired_exceeds};
use measures::tradeoff::{MIN_DOCUMENTS_BOOTSTRAP, joint_bootstrap};
use measures::{Interval, MeasureError, Result, Tally};
use rand::{RngExt, SeedableRng};

const LEVEL: f64 = 0.05;

/// Coverage of an interval over simulations, each of which gives the true value and the interval. Where there is no interval
/// because nothing varied, the simulation does not count.
fn coverage(simulations: usize, mut simulate: impl FnMut(&mut Random) -> (f64, Result<Interval>)) -> f64 {
    let mut random = Random::seed_from_u64(1);
    let (mut covered, mut counted) = (0, 0);
    for _ in 0..simulations {
        match simulate(&mut random) {
            (truth, Ok(interval)) => {
                counted += 1;
                covered += usize::from(interval.contains(truth));
            }
            (_, Err(MeasureError::NoVariation { .. })) => {}
            (_, Err(error)) => panic!("{error}"),
        }
    }
    assert!(counted > simulations / 2, "no interval in most simulations");
    f64::from(covered as u32) / f64::from(counted as u32)
}

fn assert_covers(
    what: &str,
    simulations: usize,
    simulate: impl FnMut(&mut Random) -> (f64, Result<Interval>),
) {
    let found = coverage(simulations, simulate);
    println!("{what}: {found:.4}");
    assert!((0.93..=0.97).contains(&found), "{what}: {found}");
}

/// Under no effect at most 5% of p-values are 5% or less. The share of simulations may exceed that by 2.6 of its standard errors, which one of two
/// hundred exact tests does.
fn assert_holds_level(what: &str, simulations: usize, mut p_value: impl FnMut(&mut Random) -> f64) {
    let mut random = Random::seed_from_u64(2);
    let rejected = (0..simulations).filter(|_| p_value(&mut random) <= LEVEL).count();
    let share = rejected as f64 / simulations as f64;
    println!("{what}: {share:.4}");
    let slack = 2.6 * (LEVEL * (1.0 - LEVEL) / simulations as f64).sqrt();
    assert!(share <= LEVEL + slack, "{what}: {share}");
}

/// Average coverage of an interval of a rate over rates from 2 to 98%, exactly.
fn rate_coverage(trials: u64, interval: impl Fn(u64, u64) -> Result<Interval>) -> Result<f64> {
    let intervals: Vec<Interval> = (0..=trials)
        .map(|hits| interval(hits, trials))
        .collect::<Result<_>>()?;
    let coverage_at = |rate: f64| {
        let mut probability = (1.0 - rate).powi(trials as i32);
        let mut covered = 0.0;
        for (hits, interval) in intervals.iter().enumerate() {
            covered += if interval.contains(rate) { probability } else { 0.0 };
            probability *= (trials as f64 - hits as f64) / (hits as f64 + 1.0) * rate / (1.0 - rate);
        }
        covered
    };
    Ok((0..961)
        .map(|step| coverage_at(0.02 + 0.001 * f64::from(step)))
        .sum::<f64>()
        / 961.0)
}

fn means(count: usize, random: &mut Random, draw: impl Fn(&mut Random) -> f64) -> Vec<Tally> {
    (0..count).map(|_| Tally::new(draw(random), 1.0)).collect()
}

/// Documents with rates of their own around a mean, and so many samples each.
fn clustered(
    documents: usize,
    samples: usize,
    mean: f64,
    correlation: f64,
    random: &mut Random,
) -> Vec<Tally> {
    (0..documents)
        .map(|_| {
            let rate = beta(random, mean, correlation);
            Tally::new(binomial(random, samples, rate), samples as f64)
        })
        .collect()
}

#[test]
fn intervals_of_a_rate_cover() {
    for trials in [1, 2, 5, 10, 30] {
        let found = rate_coverage(trials, wilson).unwrap();
        assert!((0.93..=0.97).contains(&found), "wilson, {trials}: {found}");
    }
    for trials in [MIN_TRIALS_MID_P, 20, 50] {
        let found = rate_coverage(trials, binomial_mid_p).unwrap();
        assert!((0.93..=0.97).contains(&found), "mid-P, {trials}: {found}");
    }
}

#[test]
fn clustered_rates_cover() {
    // Rates from 2 to 98%, 2 to 10 samples a document, a correlation of its samples from 1 to 95%.
    assert_covers("clustered rate", 10_000, |random| {
        let mean = 0.02 + 0.96 * uniform(random);
        let correlation = 0.01 + 0.94 * uniform(random);
        let samples = random.random_range(2..=10);
        let documents = clustered(MIN_DOCUMENTS_CLUSTERED_RATE, samples, mean, correlation, random);
        (mean, clustered_rate(&documents))
    });
    assert_covers("low clustered rate", 10_000, |random| {
        let mean = 0.005 + 0.095 * uniform(random);
        let correlation = 0.01 + 0.94 * uniform(random);
        let samples = random.random_range(2..=10);
        let documents = clustered(MIN_DOCUMENTS_CLUSTERED_RATE, samples, mean, correlation, random);
        (mean, clustered_rate(&documents))
    });
    assert_covers("clustered rate, documents of 1 to 10 samples", 10_000, |random| {
        let mean = 0.02 + 0.96 * uniform(random);
        let correlation = 0.01 + 0.94 * uniform(random);
        let documents: Vec<Tally> = (0..MIN_DOCUMENTS_CLUSTERED_RATE)
            .map(|_| {
                let samples = random.random_range(1..=10);
                let rate = beta(random, mean, correlation);
                Tally::new(binomial(random, samples, rate), samples as f64)
            })
            .collect();
        (mean, clustered_rate(&documents))
    });
}

#[test]
fn intervals_of_a_mean_cover() {
    let kinds: [(&str, f64, fn(&mut Random) -> f64); 4] = [
        ("normal", 0.0, normal),
        ("uniform", 0.5, uniform),
        ("exponential", 1.0, exponential),
        ("gamma(2)", 2.0, |random| gamma(random, 2.0)),
    ];
    for (what, mean, draw) in kinds {
        assert_covers(what, 4_000, |random| {
            (mean, mean_interval(&means(MIN_DOCUMENTS_MEAN, random, draw)))
        });
    }
    // Loss of documents of 20 to 40 tokens, gamma(2) each.
    assert_covers("ratio", 2_000, |random| {
        let documents: Vec<Tally> = (0..MIN_DOCUMENTS_MEAN)
            .map(|_| {
                let tokens = f64::from(random.random_range(20..=40));
                Tally::new(gamma(random, 2.0) * tokens, tokens)
            })
            .collect();
        (2.0, mean_interval(&documents))
    });
}

#[test]
fn intervals_of_a_bounded_mean_cover() {
    // Beta values around means from 10 to 90%, from nearly equal to nearly 0 and 1.
    assert_covers("beta", 10_000, |random| {
        let mean = 0.1 + 0.8 * uniform(random);
        let spread = 0.01 + 0.94 * uniform(random);
        let documents = means(MIN_DOCUMENTS_BOUNDED_MEAN, random, |random| {
            beta(random, mean, spread)
        });
        (mean, bounded_mean_interval(&documents, (0.0, 1.0)))
    });
    // Shares that are 0 in half to nine tenths of the documents, else uniform, as cosines.
    assert_covers("mostly none", 10_000, |random| {
        let none = 0.5 + 0.4 * uniform(random);
        let documents = means(MIN_DOCUMENTS_BOUNDED_MEAN, random, |random| {
            if uniform(random) < none {
                -1.0
            } else {
                2.0 * uniform(random) - 1.0
            }
        });
        (-none, bounded_mean_interval(&documents, (-1.0, 1.0)))
    });
}

#[test]
fn intervals_over_runs_cover() {
    for runs in [MIN_RUNS, 3, 5] {
        assert_covers("runs", 10_000, |random| {
            let values: Vec<f64> = (0..runs).map(|_| normal(random)).collect();
            (0.0, over_runs(&values, None))
        });
    }
    // Three runs, rates of 40 documents each that also differ by run.
    assert_covers("rates of runs", 10_000, |random| {
        let mean = 0.1 + 0.8 * uniform(random);
        let rates: Vec<f64> = (0..3)
            .map(|_| {
                let rate = beta(random, mean, 0.05);
                binomial(random, 40, rate) / 40.0
            })
            .collect();
        (mean, over_runs(&rates, Some((0.0, 1.0))))
    });
}

#[test]
fn intervals_of_a_difference_cover() {
    // Independent rates from 0 to 1, ten documents each.
    assert_covers("independent rates", 20_000, |random| {
        let (first, second) = (uniform(random), uniform(random));
        let mut around = |rate: f64| {
            let hits = binomial(random, 10, rate);
            (hits / 10.0, wilson(hits as u64, 10).unwrap())
        };
        let interval = mover_difference(around(first), around(second));
        (first - second, Ok(interval))
    });
    // One sample a document: all tables of four probabilities alike.
    assert_covers("paired, one sample", 10_000, |random| {
        let weights = [(); 4].map(|()| exponential(random));
        let all: f64 = weights.iter().sum();
        let pairs: Vec<(Tally, Tally)> = (0..MIN_DOCUMENTS_PAIRED)
            .map(|_| {
                let place = uniform(random) * all;
                let first = place < weights[0] + weights[1];
                let second = place < weights[0] || (!first && place < weights[0] + weights[1] + weights[2]);
                let tally = |hit: bool| Tally::new(f64::from(u8::from(hit)), 1.0);
                (tally(first), tally(second))
            })
            .collect();
        ((weights[1] - weights[2]) / all, paired_difference(&pairs))
    });
    // Several samples: the second is independent of the first, or a share of it in each document, or nearly 0.
    assert_covers("paired, several samples", 10_000, |random| {
        let samples = random.random_range(2..=10);
        let correlation = 0.02 + 0.9 * uniform(random);
        let (mean, other, kind) = (uniform(random), uniform(random), random.random_range(0..3));
        let second_mean = [other, mean * other, 0.02][kind];
        let pairs: Vec<(Tally, Tally)> = (0..MIN_DOCUMENTS_PAIRED)
            .map(|_| {
                let first = beta(random, mean, correlation);
                let second = match kind {
                    0 => beta(random, other, correlation),
                    1 => first * other,
                    _ => 0.02,
                };
                let mut drawn = |rate: f64| Tally::new(binomial(random, samples, rate), samples as f64);
                (drawn(first), drawn(second))
            })
            .collect();
        (mean - second_mean, paired_difference(&pairs))
    });
    // Losses that fall by an exponential amount.
    assert_covers("paired means", 2_000, |random| {
        let pairs: Vec<(Tally, Tally)> = (0..MIN_DOCUMENTS_MEAN)
            .map(|_| {
                let loss = 4.0 + normal(random);
                (Tally::new(loss, 1.0), Tally::new(loss - exponential(random), 1.0))
            })
            .collect();
        (1.0, paired_mean_difference(&pairs))
    });
}

/// Normal scores whose members lie lower by so much have these AUCs: Φ(shift/√2).
const SHIFTS: [(f64, f64); 3] = [(0.0, 0.5), (0.741_614, 0.7), (1.812_388, 0.9)];

#[test]
fn intervals_of_an_auc_cover() {
    for (few, many) in [
        (MIN_PER_SIDE_AUC, MIN_PER_SIDE_AUC),
        (MIN_PER_SIDE_AUC, 50),
        (20, 20),
        (20, 60),
    ] {
        let mut sides = vec![(few, many), (many, few)];
        sides.dedup();
        for (members, non_members) in sides {
            for (shift, truth) in SHIFTS {
                assert_covers(
                    &format!("AUC {truth}, {members} and {non_members}"),
                    8_000,
                    |random| {
                        let lower: Vec<f64> = (0..members).map(|_| normal(random) - shift).collect();
                        let others: Vec<f64> = (0..non_members).map(|_| normal(random)).collect();
                        (truth, auc_interval(&lower, &others))
                    },
                );
            }
        }
    }
}

#[test]
fn differences_of_aucs_cover_and_hold_their_level() {
    // Two scores with a correlation of ½, equally good.
    let side = MIN_PER_SIDE_AUC_DIFFERENCE;
    let p_value = Cell::new(1.0);
    let simulate = |random: &mut Random| {
        let (shift, _) = SHIFTS[random.random_range(0..SHIFTS.len())];
        let (first, second) = paired_scores(random, side, shift);
        let (first_others, second_others) = paired_scores(random, side, 0.0);
        let (_, interval, p) = auc_difference(&first, &first_others, &second, &second_others).unwrap();
        p_value.set(p);
        (0.0, Ok(interval))
    };
    assert_covers("difference of AUCs", 6_000, simulate);
    assert_holds_level("difference of AUCs", 6_000, |random| {
        simulate(random).1.unwrap();
        p_value.get()
    });
}

#[test]
fn joint_bootstrap_covers() {
    // A mean, and the difference of a mean of training documents and one of held-out documents.
    let kinds: [(&str, f64, fn(&mut Random) -> f64); 2] = [
        ("normal", 0.0, normal),
        ("gamma(2)", 2.0, |random| gamma(random, 2.0)),
    ];
    for (what, mean, draw) in kinds {
        let count = MIN_DOCUMENTS_BOOTSTRAP;
        let difference = Cell::new(0);
        assert_covers(what, 2_000, |random| {
            let training: Vec<f64> = (0..count).map(|_| draw(random)).collect();
            let held_out: Vec<f64> = (0..count).map(|_| draw(random)).collect();
            let mean_of = |values: &[f64], drawn: &[usize]| {
                drawn.iter().map(|&index| values[index]).sum::<f64>() / drawn.len() as f64
            };
            let found = joint_bootstrap(count, count, 1_000, 0, |documents, others| {
                let mean = mean_of(&training, documents);
                vec![Some(mean), Some(mean - mean_of(&held_out, others))]
            })
            .unwrap();
            difference.set(difference.get() + usize::from(found[1].interval.unwrap().contains(0.0)));
            (mean, Ok(found[0].interval.unwrap()))
        });
        let covered = difference.get() as f64 / 2_000.0;
        assert!((0.93..=0.97).contains(&covered), "difference, {what}: {covered}");
    }
}

#[test]
fn a_true_positive_rate_covers_at_a_threshold_from_other_non_members() {
    // The rate is the one at the threshold found, the false-positive rate is held on average.
    let false_positives = Cell::new(0.0);
    for (non_members, rate) in [(10, 0.1), (19, 0.1), (100, 0.01)] {
        let simulations = 4_000;
        false_positives.set(0.0);
        assert_covers("true-positive rate", simulations, |random| {
            let power = 0.05 + 0.55 * uniform(random);
            let others: Vec<f64> = (0..non_members).map(|_| uniform(random)).collect();
            let threshold = conservative_threshold(&others, rate).unwrap().unwrap();
            false_positives.set(false_positives.get() + threshold);
            // P(u^(1/power) < t) = t^power.
            let members: Vec<f64> = (0..30).map(|_| uniform(random).powf(1.0 / power)).collect();
            let (found, count) = tpr_at(&members, threshold).unwrap();
            (threshold.powf(power), binomial_mid_p(found, count))
        });
        let found = false_positives.get() / simulations as f64;
        assert!(found <= rate * 1.03, "{non_members} {rate}: {found}");
    }
}

#[test]
fn paired_tests_hold_their_level() {
    for (documents, samples, correlation) in [(10, 1, 0.5), (10, 10, 0.8), (8, 50, 0.95), (30, 10, 0.8)] {
        for mean in [0.01, 0.3] {
            let what = format!("{documents} documents, {samples} samples, {correlation}, rate {mean}");
            assert_holds_level(&what, 2_000, |random| {
                let first = clustered(documents, samples, mean, correlation, random);
                let second = clustered(documents, samples, mean, correlation, random);
                let pairs: Vec<(Tally, Tally)> = first.into_iter().zip(second).collect();
                paired_exceeds(&pairs, 499, 1).unwrap()
            });
        }
    }
}

#[test]
fn unpaired_tests_hold_their_level() {
    for (first, second) in [(5, 5), (20, 8), (40, 100)] {
        assert_holds_level(&format!("Fisher, {first} and {second}"), 4_000, |random| {
            let rate = uniform(random).powi(2);
            let hits =
                |count: usize, random: &mut Random| (binomial(random, count, rate) as u64, count as u64);
            exceeds_p_value(hits(first, random), hits(second, random)).unwrap()
        });
    }
    for (members, non_members) in [(4, 6), (10, 10), (60, 60)] {
        for levels in [1e9, 3.0] {
            let what = format!("Mann-Whitney, {members} and {non_members}, {levels} different scores");
            assert_holds_level(&what, 2_000, |random| {
                let mut scores = |count| {
                    (0..count)
                        .map(|_| (levels * uniform(random)).floor())
                        .collect::<Vec<f64>>()
                };
                auc_exceeds(&scores(members), &scores(non_members)).unwrap()
            });
        }
    }
}

#[test]
fn holm_rejects_any_of_six_null_tests_in_at_most_five_percent() {
    assert_holds_level("Holm", 4_000, |random| {
        let p_values: Vec<f64> = (0..6).map(|_| uniform(random)).collect();
        holm(&p_values).unwrap().into_iter().fold(1.0, f64::min)
    });
    // Six tests of the same non-members: dependent.
    assert_holds_level("Holm, dependent", 2_000, |random| {
        let others: Vec<f64> = (0..12).map(|_| uniform(random)).collect();
        let p_values: Vec<f64> = (0..6)
            .map(|_| {
                let members: Vec<f64> = (0..8).map(|_| uniform(random)).collect();
                auc_exceeds(&members, &others).unwrap()
            })
            .collect();
        holm(&p_values).unwrap().into_iter().fold(1.0, f64::min)
    });
}

#[test]
fn exposures_of_canaries_that_share_references_hold_the_level() {
    for canaries in [4, 12, 24, 96] {
        for references in [20, 128] {
            assert_holds_level(
                &format!("{canaries} canaries, {references} references"),
                6_000,
                |random| {
                    let scores: Vec<f64> = (0..references).map(|_| uniform(random)).collect();
                    let exposures: Vec<f64> = (0..canaries)
                        .map(|_| exposure(uniform(random), &scores).unwrap())
                        .collect();
                    exposure_exceeds(&exposures, references).unwrap()
                },
            );
        }
    }
}
