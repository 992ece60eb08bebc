//! The choice of tokens where the logits are against the choice on the host, on logits of every kind, and against the distribution itself.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use contract::pipeline::ComputePath;
use extractor::choice::{self, NextToken, Row, Written};
use extractor::sampling::SamplingParams;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Tensor};

const NO_TRUNCATION: SamplingParams = SamplingParams {
    temperature: 1.0,
    top_k: 0,
    top_p: 1.0,
};

fn params(temperature: f64, top_k: usize, top_p: f64) -> SamplingParams {
    SamplingParams {
        temperature,
        top_k,
        top_p,
    }
}

/// What rows write whose logits are `steps`, each `[rows, vocabulary]` row after row. As the generation does, all rows go on, or
/// those that have not ended where that is looked up.
fn write(
    path: ComputePath,
    rows: &[Row],
    steps: &[Vec<f32>],
    vocabulary: usize,
    end_tokens: &[i64],
) -> Vec<Written> {
    let mut choice = choice::start(path, rows.to_vec(), end_tokens, Device::Cpu).unwrap();
    let mut active: Vec<i64> = (0..rows.len() as i64).collect();
    for step in steps {
        let logits = Tensor::from_slice(step).view([-1, vocabulary as i64]);
        let logits = logits.index_select(0, &Tensor::from_slice(&active));
        let chosen = choice.choose(&logits).unwrap();
        assert_eq!(chosen.size(), [active.len() as i64]);
        if let Some(running) = choice.running().unwrap() {
            if running.is_empty() {
                break;
            }
            choice.select(&running).unwrap();
            active = running.iter().map(|&place| active[place as usize]).collect();
        }
    }
    choice.finish().unwrap()
}

#[track_caller]
fn check_equal(rows: &[Row], steps: &[Vec<f32>], vocabulary: usize, end_tokens: &[i64]) -> Vec<Written> {
    let written = |path| write(path, rows, steps, vocabulary, end_tokens);
    let (host, device) = (written(ComputePath::Host), written(ComputePath::Device));
    assert_eq!(host.len(), device.len());
    for (number, (host, device)) in host.iter().zip(&device).enumerate() {
        assert_eq!(
            host.tokens, device.tokens,
            "row {number}: {:?}",
            rows[number].params
        );
        assert_eq!(host.ended, device.ended, "row {number}");
        assert_eq!(host.logprobs.len(), device.logprobs.len(), "row {number}");
        for (host, device) in host.logprobs.iter().zip(&device.logprobs) {
            assert!(
                (host - device).abs() < 1e-5 || host == device,
                "row {number}: {host} {device}"
            );
        }
    }
    device
}

/// Rows that all draw with the same numbers.
fn rows(params: &[SamplingParams], uniforms: &[f64]) -> Vec<Row> {
    let row = |&params: &SamplingParams| Row {
        params,
        uniforms: uniforms.to_vec(),
    };
    params.iter().map(row).collect()
}

/// Numbers to draw with from one end to the other, both included; none on the border between two of equally probable tokens, where
/// sums in another order may fall to either side.
const UNIFORMS: [f64; 9] = [
    0.0,
    1e-12,
    0.131_7,
    0.370_9,
    0.501_3,
    0.713_1,
    0.930_7,
    0.999_999,
    1.0 - f64::EPSILON / 2.0,
];

#[test]
fn device_choice_equals_host_choice_on_hard_logits() {
    const NONE: f32 = f32::NEG_INFINITY;
    let cases: &[(&str, Vec<f32>)] = &[
        ("one token", vec![1.5]),
        ("all alike", vec![0.25; 700]),
        (
            "one candidate among none",
            [vec![NONE; 300], vec![-3.0], vec![NONE; 300]].concat(),
        ),
        (
            "two blocks of none around some",
            [vec![NONE; 256], vec![0.0, 1.0, 2.0], vec![NONE; 400]].concat(),
        ),
        (
            "ties of the k-th over several blocks",
            (0..900)
                .map(|id| if id % 100 == 7 { 3.0 } else { (id % 3) as f32 })
                .collect(),
        ),
        ("ties of the largest", vec![2.0, 5.0, 5.0, 1.0, 5.0, 0.0]),
        ("too small for a double", vec![0.0, -2000.0, -1.0, -2000.0]),
        ("far from zero", (0..50).map(|id| 1e4 + id as f32).collect()),
        ("fewer finite than k", vec![NONE, 1.0, NONE, 0.5, NONE, NONE]),
    ];
    let all_params: Vec<SamplingParams> = [0.0, 0.3, 1.0, 2.5]
        .iter()
        .flat_map(|&temperature| {
            [0, 1, 2, 5, 40, 100_000].iter().flat_map(move |&top_k| {
                [1.0, 0.931_3, 0.412_7, 1e-9].map(|top_p| params(temperature, top_k, top_p))
            })
        })
        .collect();
    for (name, logits) in cases {
        println!("{name}");
        let rows = rows(&all_params, &UNIFORMS);
        let step = logits.repeat(rows.len());
        check_next_tokens(&rows, &step, logits.len(), 12);
        let written = check_equal(&rows, &vec![step; UNIFORMS.len()], logits.len(), &[-1]);
        for (row, written) in rows.iter().zip(&written) {
            for &token in &written.tokens {
                assert!(
                    row.params.log_probability(logits, token as usize) > f64::NEG_INFINITY,
                    "{name}: {token}"
                );
            }
        }
    }
}

/// The most probable tokens of each row, by both ways.
#[track_caller]
fn check_next_tokens(rows: &[Row], logits: &[f32], vocabulary: usize, most: usize) {
    let params: Vec<SamplingParams> = rows.iter().map(|row| row.params).collect();
    let logits = Tensor::from_slice(logits).view([-1, vocabulary as i64]);
    let next = |path| choice::next_tokens(path, &logits, &params, most).unwrap();
    let (host, device) = (next(ComputePath::Host), next(ComputePath::Device));
    assert_eq!(host.len(), device.len());
    for (row, (host, device)) in rows.iter().zip(host.iter().zip(&device)) {
        let tokens = |next: &[NextToken]| next.iter().map(|next| next.token).collect::<Vec<_>>();
        assert_eq!(tokens(host), tokens(device), "{:?}", row.params);
        assert!(!host.is_empty() && host.len() <= most);
        for (host, device) in host.iter().zip(device) {
            let difference = (host.log_probability - device.log_probability).abs();
            assert!(difference < 1e-9, "{host:?} {device:?}");
            assert!((host.logprob - device.logprob).abs() < 1e-5 || host.logprob == device.logprob);
        }
    }
}

#[test]
fn device_choice_equals_host_choice_in_several_pieces_of_a_large_vocabulary() {
    let vocabulary = 50_257;
    let mut random = ChaCha8Rng::seed_from_u64(4);
    // Of those with top-p alone there are more than are worked on at once: 512 MiB at 80 bytes a logit hold 133 rows.
    let kinds = [
        params(0.0, 0, 1.0),
        params(1.0, 40, 1.0),
        params(0.8, 0, 0.95),
        params(1.2, 0, 1.0),
        params(1.0, 0, 0.6),
        params(1.0, 1000, 0.9),
    ];
    let rows: Vec<Row> = (0..420)
        .map(|number| Row::new(kinds[number % kinds.len()], number as u64, 1))
        .collect();
    let step: Vec<f32> = (0..rows.len() * vocabulary)
        .map(|_| {
            let uniform: f64 = random.random();
            // As steep as a model's: some tokens have nearly all the probability.
            (-3.0 * (-uniform.ln()).ln()) as f32
        })
        .collect();
    check_equal(&rows, &[step], vocabulary, &[0]);
}

#[test]
fn rows_end_with_their_first_end_token_however_late_the_host_looks() {
    // Row r is made to end with its token number r, and goes on with others behind it.
    let (count, new_tokens, vocabulary) = (40, 37, 5);
    let rows: Vec<Row> = (0..count)
        .map(|number| {
            Row::new(
                if number % 2 == 0 {
                    params(0.0, 0, 1.0)
                } else {
                    NO_TRUNCATION
                },
                number,
                new_tokens,
            )
        })
        .collect();
    let steps: Vec<Vec<f32>> = (0..new_tokens as u64)
        .map(|step| {
            (0..count)
                .flat_map(|number| {
                    let mut logits = vec![0.0, 1.0, 2.0, f32::NEG_INFINITY, f32::NEG_INFINITY];
                    if step == number {
                        logits[3 + (number % 2) as usize] = 100.0;
                    }
                    logits
                })
                .collect()
        })
        .collect();
    let written = check_equal(&rows, &steps, vocabulary, &[3, 4]);
    for (number, written) in written.iter().enumerate() {
        assert_eq!(written.ended, number < new_tokens);
        assert_eq!(written.tokens.len(), (number + 1).min(new_tokens), "row {number}");
        assert_eq!(written.tokens.len(), written.logprobs.len());
    }
}

#[test]
fn more_tokens_than_there_are_numbers_for_are_refused() {
    for path in [ComputePath::Host, ComputePath::Device] {
        let rows = rows(&[NO_TRUNCATION], &[0.5]);
        let mut choice = choice::start(path, rows, &[-1], Device::Cpu).unwrap();
        let logits = Tensor::from_slice(&[0.0_f32, 1.0]).unsqueeze(0);
        let _chosen = choice.choose(&logits).unwrap();
        assert!(choice.choose(&logits).unwrap_err().to_string().contains("all of"));
    }
    let uneven = vec![Row::new(NO_TRUNCATION, 0, 3), Row::new(NO_TRUNCATION, 0, 4)];
    assert!(choice::start(ComputePath::Device, uneven, &[0], Device::Cpu).is_err());
}

/// Pearson's statistic of 20,000 draws against the exact distribution, which 9,999 of 10,000 right ones keep to.
#[test]
fn draws_on_the_device_follow_the_exact_distribution() {
    let logits: Vec<f32> = (0..600)
        .map(|id: i32| ((id * 7919 % 600) as f32 / 60.0).sin() * 4.0)
        .collect();
    let (rows_count, steps) = (2_000, 10);
    for params in [
        params(1.0, 0, 1.0),
        params(0.7, 40, 1.0),
        params(1.3, 0, 0.6),
        params(1.0, 100, 0.8),
    ] {
        let rows: Vec<Row> = (0..rows_count)
            .map(|seed| Row::new(params, seed, steps))
            .collect();
        let step = logits.repeat(rows.len());
        let written = write(
            ComputePath::Device,
            &rows,
            &vec![step; steps],
            logits.len(),
            &[-1],
        );
        let mut counts = vec![0.0; logits.len()];
        for token in written.iter().flat_map(|written| &written.tokens) {
            counts[*token as usize] += 1.0;
        }
        let draws = counts.iter().sum::<f64>();
        assert_eq!(draws, 20_000.0);
        // Tokens that are expected less than five times count as one.
        let (mut statistic, mut cells) = (0.0, 0.0);
        let (mut rare_count, mut rare_expected) = (draws, draws);
        for entry in params.distribution(&logits) {
            let expected = draws * entry.probability;
            if expected >= 5.0 {
                statistic += (counts[entry.token] - expected).powi(2) / expected;
                cells += 1.0;
                rare_count -= counts[entry.token];
                rare_expected -= expected;
            }
        }
        if rare_expected >= 5.0 {
            statistic += (rare_count - rare_expected).powi(2) / rare_expected;
            cells += 1.0;
        } else {
            assert!(
                rare_count <= 30.0,
                "{rare_count} draws of tokens that are never or hardly drawn"
            );
        }
        // Wilson and Hilferty (1931), 3.72 deviations.
        let freedom: f64 = cells - 1.0;
        let limit = freedom * (1.0 - 2.0 / (9.0 * freedom) + 3.72 * (2.0 / (9.0 * freedom)).sqrt()).powi(3);
        println!("{params:?}: {statistic:.1} of at most {limit:.1} in {cells} cells");
        assert!(
            cells > 10.0 && statistic < limit,
            "{params:?}: {statistic} over {limit}"
        );
    }
}

/// Logits of any kind: numbers, few different ones, none.
fn logit() -> impl Strategy<Value = f32> {
    prop_oneof![
        3 => -8.0f32..8.0,
        2 => (0i8..4).prop_map(f32::from),
        1 => Just(f32::NEG_INFINITY),
    ]
}

fn any_params() -> impl Strategy<Value = SamplingParams> {
    let temperature = prop_oneof![1 => Just(0.0), 3 => 0.1f64..4.0];
    let top_k = prop_oneof![1 => Just(0usize), 3 => 1usize..60];
    let top_p = prop_oneof![1 => Just(1.0), 2 => 0.01f64..0.999];
    (temperature, top_k, top_p).prop_map(|(temperature, top_k, top_p)| params(temperature, top_k, top_p))
}

fn batch() -> impl Strategy<Value = (Vec<Row>, Vec<Vec<f32>>, usize)> {
    (1usize..6, 1usize..4, prop_oneof![1usize..20, 250usize..600]).prop_flat_map(
        |(rows, steps, vocabulary)| {
            let row = (any_params(), proptest::collection::vec(0.0f64..1.0, steps))
                .prop_map(|(params, uniforms)| Row { params, uniforms });
            let step = proptest::collection::vec(logit(), rows * vocabulary).prop_map(move |mut logits| {
                // Something can be drawn in every row.
                for row in logits.chunks_mut(vocabulary) {
                    let last = row.len() / 2;
                    row[last] = row[last].max(-8.0);
                }
                logits
            });
            (
                proptest::collection::vec(row, rows),
                proptest::collection::vec(step, steps),
                Just(vocabulary),
            )
        },
    )
}

proptest! {
    #[test]
    fn device_choice_equals_host_choice((rows, steps, vocabulary) in batch()) {
        check_equal(&rows, &steps, vocabulary, &[1]);
        for most in [1, 7, 1000] {
            check_next_tokens(&rows, &steps[0], vocabulary, most);
        }
    }
}
