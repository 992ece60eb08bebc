//! Properties that hold for every input, and agreement with slow references written from the definitions.

use measures::discoverable::{is_discoverable, log_sequence_probability, probability_after, samples_needed};
use measures::exposure::{exposure, highest_exposure};
use measures::interval::{
    Tally, bootstrap_mean, bootstrap_rate, mean, newcombe_difference, samples_for_width, samples_to_separate,
    wilson,
};
use measures::membership::{auc, auc_interval, loss, min_k, min_k_plus_plus, tpr_at_fpr};
use measures::memorization::{exact_memorization, extraction_strength, k_extractable};
use measures::overlap::{
    bleu, covered_length, edit_distance, edit_similarity, longest_common_subsequence,
    longest_common_substring, rouge_l,
};
use measures::similarity::largest_cosine;
use proptest::collection::vec;
use proptest::prelude::*;

/// Few different tokens, so that random sequences have something in common; long enough for three machine
/// words.
fn tokens() -> impl Strategy<Value = Vec<u8>> {
    vec(0_u8..4, 0..150)
}

/// Whole scores, so that ties are frequent.
fn scores() -> impl Strategy<Value = Vec<f64>> {
    vec((0_i32..12).prop_map(f64::from), 2..40)
}

fn log_probabilities() -> impl Strategy<Value = Vec<f32>> {
    vec(-12.0_f32..=0.0, 1..60)
}

/// Levenshtein's recurrence over the whole matrix.
fn slow_edit_distance(left: &[u8], right: &[u8]) -> usize {
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
                replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[left.len()][right.len()]
}

/// Every run of the left slice, looked up in the right one.
fn slow_common_substring(left: &[u8], right: &[u8]) -> usize {
    (0..left.len())
        .flat_map(|start| (start + 1..=left.len()).map(move |end| start..end))
        .filter(|run| {
            right
                .windows(run.len())
                .any(|window| window == &left[run.clone()])
        })
        .map(|run| run.len())
        .max()
        .unwrap_or(0)
}

/// Every pair of a member and a non-member.
fn slow_auc(members: &[f64], non_members: &[f64]) -> f64 {
    let mut won = 0.0;
    for member in members {
        for non_member in non_members {
            won += if member < non_member { 1.0 } else { 0.0 };
            won += if member == non_member { 0.5 } else { 0.0 };
        }
    }
    won / (members.len() * non_members.len()) as f64
}

/// Every threshold that is a score, and none at all.
fn slow_tpr_at_fpr(members: &[f64], non_members: &[f64], rate: f64) -> f64 {
    let accused = |scores: &[f64], threshold: f64| {
        scores.iter().filter(|&&score| score <= threshold).count() as f64 / scores.len() as f64
    };
    members
        .iter()
        .filter(|&&threshold| accused(non_members, threshold) <= rate + 1e-9)
        .map(|&threshold| accused(members, threshold))
        .fold(0.0, f64::max)
}

/// 1 − (1 − a/b)ⁿ in whole numbers: (bⁿ − (b − a)ⁿ) / bⁿ.
fn exact_probability_after(a: u128, b: u128, samples: u32) -> (u128, u128) {
    (b.pow(samples) - (b - a).pow(samples), b.pow(samples))
}

proptest! {
    /// A toy model gives the wanted token the weight `wanted` and all others together `others`, step by step: every probability is
    /// a fraction, and 1 − (1 − p)ⁿ is computed with whole numbers.
    #[test]
    fn log_space_agrees_with_fractions(
        steps in vec((1_u32..12, 0_u32..12), 1..5),
        samples in 1_u32..6,
        sixteenths in 1_u128..16,
    ) {
        let (mut numerator, mut denominator) = (1_u128, 1_u128);
        let mut logprobs = Vec::new();
        for (wanted, others) in steps {
            numerator *= u128::from(wanted);
            denominator *= u128::from(wanted + others);
            logprobs.push((f64::from(wanted) / f64::from(wanted + others)).ln() as f32);
        }
        let exact = (numerator as f64 / denominator as f64).ln().min(0.0);
        prop_assert!((log_sequence_probability(&logprobs).unwrap() - exact).abs() < 1e-5);

        let all = denominator.pow(samples);
        let found = all - (denominator - numerator).pow(samples);
        let after = probability_after(exact, u64::from(samples)).unwrap();
        prop_assert!((after - found as f64 / all as f64).abs() < 1e-12, "{after} for {found}/{all}");
        let probability = sixteenths as f64 / 16.0;
        prop_assert_eq!(
            is_discoverable(exact, u64::from(samples), probability).unwrap(),
            16 * found >= sixteenths * all
        );
    }

    #[test]
    fn edit_distance_agrees_with_the_matrix(left in tokens(), right in tokens()) {
        prop_assert_eq!(edit_distance(&left, &right), slow_edit_distance(&left, &right));
    }

    #[test]
    fn edit_distance_is_a_metric(a in tokens(), b in tokens(), c in tokens()) {
        prop_assert_eq!(edit_distance(&a, &b), edit_distance(&b, &a));
        prop_assert_eq!(edit_distance(&a, &b) == 0, a == b);
        prop_assert!(edit_distance(&a, &c) <= edit_distance(&a, &b) + edit_distance(&b, &c));
    }

    #[test]
    fn common_substring_agrees_with_trying_every_run(
        left in vec(0_u8..3, 0..40),
        right in vec(0_u8..3, 0..40),
    ) {
        let found = longest_common_substring(&left, &right);
        prop_assert_eq!(found.length, slow_common_substring(&left, &right));
        prop_assert_eq!(
            &left[found.left_start..][..found.length],
            &right[found.right_start..][..found.length]
        );
        prop_assert!(found.length <= longest_common_subsequence(&left, &right));
    }

    #[test]
    fn common_subsequence_and_indel_distance_add_up(left in tokens(), right in tokens()) {
        // Without replacements, whatever is not common is deleted or inserted; replacements can only save.
        let common = longest_common_subsequence(&left, &right);
        let without_replacement = left.len() + right.len() - 2 * common;
        let distance = edit_distance(&left, &right);
        prop_assert!(distance <= without_replacement && without_replacement <= 2 * distance);
    }

    #[test]
    fn text_overlaps_stay_between_nothing_and_equality(left in "[ab ü,]{0,30}", right in "[ab ü,]{0,30}") {
        for value in [rouge_l(&left, &right), edit_similarity(&left, &right)] {
            prop_assert!((0.0..=1.0).contains(&value));
        }
        prop_assert_eq!(rouge_l(&left, &right), rouge_l(&right, &left));
        prop_assert_eq!(edit_similarity(&left, &right), edit_similarity(&right, &left));
        prop_assert_eq!(edit_similarity(&left, &left), 1.0);
    }

    #[test]
    fn bleu_is_one_for_equals_and_at_most_one(candidate in vec(0_u8..4, 1..40), reference in tokens()) {
        let value = bleu(&candidate, &reference);
        prop_assert!((0.0..=1.0 + 1e-12).contains(&value));
        prop_assert!((bleu(&candidate, &candidate) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn covered_length_counts_every_position_once(spans in vec((0_usize..50, 0_usize..20), 0..10)) {
        let spans: Vec<_> = spans.into_iter().map(|(start, length)| start..start + length).collect();
        let covered = (0..100).filter(|position| spans.iter().any(|span| span.contains(position))).count();
        prop_assert_eq!(covered_length(&spans), covered);
    }

    #[test]
    fn extraction_is_no_stronger_than_memorization(hits in vec(any::<bool>(), 1..60)) {
        let exact = exact_memorization(&hits).unwrap();
        let strength = extraction_strength(&hits).unwrap();
        prop_assert!(0.0 <= strength && strength <= exact && exact <= 1.0);
        prop_assert_eq!(k_extractable(&hits).unwrap(), strength == 1.0);
        // The definition: the least start from which all are hits.
        let start = (0..=hits.len()).find(|&start| hits[start..].iter().all(|&hit| hit)).unwrap();
        prop_assert!((strength - (1.0 - start as f64 / hits.len() as f64)).abs() < 1e-12);
    }

    #[test]
    fn probability_after_agrees_with_whole_numbers(
        b in 1_u128..=60,
        share in 0.0..=1.0,
        samples in 0_u32..=18,
    ) {
        let a = (b as f64 * share) as u128;
        let (found, all) = exact_probability_after(a, b, samples);
        let expected = found as f64 / all as f64;
        let log_p_z = (a as f64 / b as f64).ln();
        let probability = probability_after(log_p_z, samples.into()).unwrap();
        prop_assert!((probability - expected).abs() <= 1e-12 * expected, "{probability} {expected}");
    }

    #[test]
    fn samples_needed_are_the_least_that_suffice(
        (a, b) in (2_u128..=40).prop_flat_map(|b| (1..b, Just(b))),
        exponent in 1_u32..=12,
        part in 0.001..0.999,
    ) {
        let log_p_z = (a as f64 / b as f64).ln();
        // Any p, and one that some number of samples reaches exactly.
        let (found, all) = exact_probability_after(a, b, exponent);
        let reached = found as f64 / all as f64;
        if reached < 0.999 {
            prop_assert_eq!(samples_needed(log_p_z, reached).unwrap(), f64::from(exponent));
        }
        let needed = samples_needed(log_p_z, part).unwrap() as u64;
        prop_assert!(probability_after(log_p_z, needed).unwrap() >= part - 1e-12);
        prop_assert!(probability_after(log_p_z, needed - 1).unwrap() < part + 1e-12);
        prop_assert!(is_discoverable(log_p_z, needed, part).unwrap());
        prop_assert!(!is_discoverable(log_p_z, needed - 1, part).unwrap());
    }

    #[test]
    fn likelier_sequences_need_fewer_samples(x in -900.0..=0.0, y in -900.0..=0.0, p in 0.01..0.99) {
        let (rare, common) = if x < y { (x, y) } else { (y, x) };
        prop_assert!(samples_needed(rare, p).unwrap() >= samples_needed(common, p).unwrap());
        prop_assert!(probability_after(rare, 50).unwrap() <= probability_after(common, 50).unwrap());
    }

    #[test]
    fn exposure_falls_with_the_canarys_score(references in scores(), canary in -1.0..13.0) {
        let bits = exposure(canary, &references).unwrap();
        prop_assert!((0.0..=highest_exposure(references.len()).unwrap()).contains(&bits));
        prop_assert!(exposure(canary + 1.0, &references).unwrap() <= bits);
    }

    #[test]
    fn auc_agrees_with_counting_pairs(members in scores(), non_members in scores()) {
        let area = auc(&members, &non_members).unwrap();
        prop_assert!((area - slow_auc(&members, &non_members)).abs() < 1e-12);
        // Turning the score round turns the area round.
        prop_assert!((auc(&non_members, &members).unwrap() + area - 1.0).abs() < 1e-12);
        let interval = auc_interval(&members.repeat(10), &non_members.repeat(10)).unwrap();
        prop_assert!(0.0 <= interval.low && interval.high <= 1.0 && interval.width() > 0.0);
        prop_assert!(interval.low <= area + 1e-12 && area <= interval.high + 1e-12);
    }

    #[test]
    fn tpr_at_fpr_agrees_with_trying_every_threshold(
        members in scores(),
        non_members in scores(),
        rate in 0.0..=1.0,
    ) {
        let found = tpr_at_fpr(&members, &non_members, rate).unwrap();
        prop_assert_eq!(found, slow_tpr_at_fpr(&members, &non_members, rate));
    }

    #[test]
    fn a_smaller_share_of_tokens_is_more_surprising(logprobs in log_probabilities(), share in 0.01..=1.0) {
        let least_likely = min_k(&logprobs, share).unwrap();
        prop_assert!(least_likely >= loss(&logprobs).unwrap() - 1e-9);
        // Standardising by mean 0 and deviation 1 changes nothing; the bound p^(−½) lies beyond −ln p
        // everywhere.
        let zeros = vec![0.0; logprobs.len()];
        let ones = vec![1.0; logprobs.len()];
        let standardised = min_k_plus_plus(&logprobs, &zeros, &ones, share).unwrap();
        prop_assert!((standardised - least_likely).abs() < 1e-9);
    }

    #[test]
    fn min_k_plus_plus_is_finite_whatever_the_deviation(
        logprobs in log_probabilities(),
        deviation in 0.0_f32..1e-6,
    ) {
        let means = vec![-1.0; logprobs.len()];
        let deviations = vec![deviation; logprobs.len()];
        prop_assert!(min_k_plus_plus(&logprobs, &means, &deviations, 0.2).unwrap().is_finite());
    }

    #[test]
    fn cosines_ignore_lengths(vectors in vec(vec(-1.0_f32..1.0, 3), 1..6), scale in 0.1_f32..10.0) {
        let scaled: Vec<Vec<f32>> =
            vectors.iter().map(|vector| vector.iter().map(|x| x * scale).collect()).collect();
        let cosine = largest_cosine(&vectors, &scaled).unwrap();
        prop_assert!((-1.0..=1.0).contains(&cosine));
        let content = vectors.iter().any(|vector| vector.iter().any(|x| x.abs() > 1e-3));
        prop_assert!(!content || cosine > 1.0 - 1e-5);
    }

    #[test]
    fn wilson_holds_the_rate_and_mirrors(trials in 1_u64..500, share in 0.0..=1.0) {
        let successes = (trials as f64 * share) as u64;
        let interval = wilson(successes, trials).unwrap();
        let mirrored = wilson(trials - successes, trials).unwrap();
        prop_assert!(interval.contains(successes as f64 / trials as f64));
        prop_assert!(0.0 <= interval.low && interval.high <= 1.0 && interval.width() > 0.0);
        prop_assert!((interval.low + mirrored.high - 1.0).abs() < 1e-12);
        prop_assert!(wilson(2 * successes, 2 * trials).unwrap().width() < interval.width());
    }

    #[test]
    fn newcombe_holds_the_difference_and_mirrors(a in 0_u64..50, b in 0_u64..80) {
        let interval = newcombe_difference((a, 50), (b, 80)).unwrap();
        let mirrored = newcombe_difference((b, 80), (a, 50)).unwrap();
        prop_assert!(interval.contains(a as f64 / 50.0 - b as f64 / 80.0));
        prop_assert!((interval.low + mirrored.high).abs() < 1e-12);
        prop_assert!(-1.0 <= interval.low && interval.high <= 1.0);
    }

    #[test]
    fn a_wider_gap_takes_fewer_samples(low in 0.0..0.4, gap in 0.05..0.3, more in 0.01..0.3) {
        let narrow = samples_to_separate(low, low + gap).unwrap();
        prop_assert!(samples_to_separate(low, low + gap + more).unwrap() <= narrow);
        prop_assert_eq!(samples_to_separate(low + gap, low).unwrap(), narrow);
    }

    #[test]
    fn samples_for_width_are_the_least_that_suffice(trials in 2_u64..2_000, share in 0.0..=1.0) {
        // The width that these trials reach is reached by them and by no fewer, at the same rate.
        let successes = (trials as f64 * share) as u64;
        let width = wilson(successes, trials).unwrap().width();
        let rate = successes as f64 / trials as f64;
        let needed = samples_for_width(rate, width * (1.0 + 1e-9)).unwrap();
        prop_assert_eq!(needed, trials as f64);
    }

    #[test]
    fn bootstrap_stays_between_the_extreme_documents(
        documents in vec(vec(-5.0..5.0, 1..6), 2..12),
        seed in any::<u64>(),
    ) {
        let interval = bootstrap_mean(&documents, 100, seed).unwrap();
        let means: Vec<f64> = documents.iter().map(|document| mean(&[document]).unwrap()).collect();
        let least = means.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        prop_assert!(interval.low <= interval.high);
        prop_assert!(least - 1e-9 <= interval.low && interval.high <= greatest + 1e-9);
    }

    #[test]
    fn bootstrap_rates_are_rates(documents in vec((0_u8..=4, 0_u8..=4), 2..12), seed in any::<u64>()) {
        let tallies: Vec<Tally> = documents
            .iter()
            .map(|&(part, rest)| Tally::new(part.into(), f64::from(part) + f64::from(rest)))
            .collect();
        prop_assume!(tallies.iter().any(|tally| tally.whole > 0.0));
        let interval = bootstrap_rate(&tallies, 100, seed).unwrap();
        prop_assert!(0.0 <= interval.low && interval.low <= interval.high && interval.high <= 1.0);
    }
}
