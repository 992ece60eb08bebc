use crate::error::{Result, require_count, require_scores, require_share};
use crate::interval::{CONFIDENCE_95, Interval, percentile_interval, wilson_of_share};

/// The area under the ROC curve of a score where lower = member.
///
/// P(member < non-member) + ½ P(equal), over all pairs: the Mann–Whitney statistic U / (members ·
/// non-members). Between 0 and 1, without unit; ½ is what guessing gives, under ½ the score points the wrong
/// way. Source: Hanley and McNeil 1982.
///
/// # Errors
/// If either side is empty or holds a NaN.
pub fn auc(members: &[f64], non_members: &[f64]) -> Result<f64> {
    Ok(mean(&Placements::of(members, non_members)?.of_members))
}

/// The 95% confidence interval of [`auc`], by DeLong's variance on the logit scale.
///
/// Var = S²(share of non-members above each member) / members + S²(share of members below each non-member) /
/// non-members, S² the sample variance; the interval is logit⁻¹(logit AUC ± 1.96 √Var / (AUC (1 − AUC))), so
/// it stays within 0 and 1. Sources: DeLong et al. 1988; logit scale: Pepe 2003.
///
/// Where that variance is 0 (perfect separation, or nothing but ties) it says nothing about certainty. The
/// interval is then Wilson's for a share equal to the AUC in as many trials as the smaller side has
/// documents.
///
/// # Errors
/// If either side has fewer than two scores or holds a NaN.
pub fn auc_interval(members: &[f64], non_members: &[f64]) -> Result<Interval> {
    require_count("members", members.len(), 2)?;
    require_count("non_members", non_members.len(), 2)?;
    let placements = Placements::of(members, non_members)?;
    let area = mean(&placements.of_members);
    let variance = sample_variance(&placements.of_members) / members.len() as f64
        + sample_variance(&placements.of_non_members) / non_members.len() as f64;
    let logit_slope = area * (1.0 - area);
    if variance == 0.0 || logit_slope == 0.0 {
        return Ok(wilson_of_share(area, members.len().min(non_members.len()) as f64));
    }
    let logit = (area / (1.0 - area)).ln();
    let reach = CONFIDENCE_95 * variance.sqrt() / logit_slope;
    Ok(Interval {
        low: logistic(logit - reach),
        high: logistic(logit + reach),
    })
}

/// The true-positive rate at a false-positive rate: the share of members found by the loosest threshold that
/// accuses at most that share of the non-members.
///
/// A threshold accuses every score up to it, so tied scores are accused together; nothing is interpolated.
/// With m non-members at most ⌊fpr · m⌋ may be accused: 1% of fewer than 100 is none. Between 0 and 1.
/// As the figure of merit at a low rate: Carlini et al. 2022.
///
/// # Errors
/// If either side is empty or holds a NaN, or the rate is not between 0 and 1.
pub fn tpr_at_fpr(members: &[f64], non_members: &[f64], false_positive_rate: f64) -> Result<f64> {
    require_scores("members", members)?;
    require_scores("non_members", non_members)?;
    require_share("false_positive_rate", false_positive_rate)?;
    // 0.29 · 100 is 28.999… in floats; a whole product must not lose its last non-member.
    let accused = (false_positive_rate * non_members.len() as f64 + 1e-9) as usize;
    let Some(&first_spared) = sorted(non_members).get(accused) else {
        return Ok(1.0);
    };
    let found = members.iter().filter(|&&score| score < first_spared).count();
    Ok(found as f64 / members.len() as f64)
}

/// The 95% bootstrap interval of [`tpr_at_fpr`]: members and non-members are drawn anew together, so that the threshold, which
/// rests on the few non-members at the edge, is as uncertain as it is.
///
/// Where nothing varies (a rate of 0 or 1) the interval is Wilson's for the number of members.
///
/// # Errors
/// As [`tpr_at_fpr`]; also with fewer than [`crate::interval::FEWEST_RESAMPLES`] resamples.
pub fn tpr_interval(
    members: &[f64],
    non_members: &[f64],
    false_positive_rate: f64,
    resamples: usize,
    seed: u64,
) -> Result<Interval> {
    let rate = tpr_at_fpr(members, non_members, false_positive_rate)?;
    let interval = percentile_interval(members.len() + non_members.len(), resamples, seed, |drawn| {
        let (mut found, mut others) = (Vec::new(), Vec::new());
        for &index in drawn {
            match members.get(index) {
                Some(&score) => found.push(score),
                None => others.push(non_members[index - members.len()]),
            }
        }
        tpr_at_fpr(&found, &others, false_positive_rate).ok()
    })?;
    if interval.width() > 0.0 {
        return Ok(interval);
    }
    Ok(wilson_of_share(rate, members.len() as f64))
}

/// Where each score stands among those of the other side, as DeLong's estimator needs it.
struct Placements {
    /// Per member, the share of non-members above it.
    of_members: Vec<f64>,
    /// Per non-member, the share of members below it.
    of_non_members: Vec<f64>,
}

impl Placements {
    fn of(members: &[f64], non_members: &[f64]) -> Result<Self> {
        require_scores("members", members)?;
        require_scores("non_members", non_members)?;
        let (sorted_members, sorted_non_members) = (sorted(members), sorted(non_members));
        Ok(Self {
            of_members: members
                .iter()
                .map(|&score| 1.0 - share_below(&sorted_non_members, score))
                .collect(),
            of_non_members: non_members
                .iter()
                .map(|&score| share_below(&sorted_members, score))
                .collect(),
        })
    }
}

/// The share of sorted scores below a value, equal ones counted half.
fn share_below(sorted: &[f64], value: f64) -> f64 {
    let below = sorted.partition_point(|&score| score < value);
    let up_to = sorted.partition_point(|&score| score <= value);
    (below + up_to) as f64 / (2 * sorted.len()) as f64
}

fn sorted(scores: &[f64]) -> Vec<f64> {
    let mut scores = scores.to_vec();
    scores.sort_by(f64::total_cmp);
    scores
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn sample_variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_counts_pairs() {
        let cases: [(&[f64], &[f64], f64); 5] = [
            // Pairs won: 1<2, 1<4, 2<4, 3<4; tied: 2=2; lost: 3>2. (4 + ½) / 6.
            (&[1.0, 2.0, 3.0], &[2.0, 4.0], 0.75),
            (&[1.0, 2.0], &[3.0, 4.0], 1.0),
            (&[3.0, 4.0], &[1.0, 2.0], 0.0),
            (&[1.0, 1.0], &[1.0], 0.5),
            (&[0.0, f64::NEG_INFINITY], &[-0.0, f64::INFINITY], 0.875),
        ];
        for (members, non_members, expected) in cases {
            assert_eq!(
                auc(members, non_members),
                Ok(expected),
                "{members:?} {non_members:?}"
            );
        }
        assert!(auc(&[], &[1.0]).is_err());
        assert!(auc(&[1.0], &[]).is_err());
        assert!(auc(&[1.0], &[f64::NAN]).is_err());
    }

    #[test]
    fn auc_interval_is_delongs() {
        // Non-members above 1, 2, 3: 1, ¾, ½, sample variance 1/16; members below 2, 4: ½, 1, variance 1/8.
        // Var = 1/48 + 1/16 = 1/12. Logit: ln 3 ± 1.959964 · √(1/12) / (3/16) = 1.098612 ± 3.017563.
        let interval = auc_interval(&[1.0, 2.0, 3.0], &[2.0, 4.0]).unwrap();
        assert!((interval.low - 0.127_979).abs() < 1e-6, "{interval:?}");
        assert!((interval.high - 0.983_955).abs() < 1e-6, "{interval:?}");
    }

    #[test]
    fn perfect_separation_is_not_certainty() {
        // No variance left; Wilson's interval for 3 of 3 begins at 3 / (3 + 1.96²) = .4385.
        let interval = auc_interval(&[1.0, 2.0, 3.0, 4.0], &[7.0, 8.0, 9.0]).unwrap();
        assert!((interval.low - 0.438_503).abs() < 1e-6, "{interval:?}");
        assert!((interval.high - 1.0).abs() < 1e-12, "{interval:?}");
        assert!(auc_interval(&[1.0], &[2.0, 3.0]).is_err());
    }

    #[test]
    fn a_true_positive_rate_is_as_uncertain_as_its_threshold() {
        // Forty members at 0 to 39 and forty others at 10 to 49: one in ten of the others lie under 14, so 14 of 40 are found.
        let members: Vec<f64> = (0..40).map(f64::from).collect();
        let others: Vec<f64> = (10..50).map(f64::from).collect();
        assert_eq!(tpr_at_fpr(&members, &others, 0.1), Ok(0.35));
        let interval = tpr_interval(&members, &others, 0.1, 1000, 0).unwrap();
        assert!(interval.contains(0.35) && interval.width() > 0.2, "{interval:?}");
        // Were the threshold known, Wilson's interval would be narrower.
        assert!(interval.width() > wilson_of_share(0.35, 40.0).width());
        // All found, and no draw says otherwise: 4 of 4 begins at 4 / (4 + 1.96²) = .5101.
        let certain = tpr_interval(&[1.0, 1.0, 1.0, 1.0], &[2.0, 2.0], 0.5, 1000, 0).unwrap();
        assert!((certain.low - 0.510_1).abs() < 1e-4, "{certain:?}");
    }

    #[test]
    fn tpr_at_fpr_spends_its_false_positives() {
        let members = [1.0, 2.0, 3.0, 6.0];
        let non_members = [2.5, 4.0, 5.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0];
        let cases = [
            // None of ten may be accused: thresholds below 2.5 find 1 and 2.
            (0.01, 0.5),
            // One may: below 4 there is also 3.
            (0.1, 0.75),
            // Two may, but the next member is at 6, above 5.
            (0.2, 0.75),
            (0.3, 1.0),
            (1.0, 1.0),
        ];
        for (rate, expected) in cases {
            assert_eq!(tpr_at_fpr(&members, &non_members, rate), Ok(expected), "{rate}");
        }
        // 29 of 100 may be accused, those at 0 to 28, though 0.29 · 100 is 28.999… in floats: 28.5 is found.
        let hundred: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(tpr_at_fpr(&[28.5, 29.5], &hundred, 0.29), Ok(0.5));
        // A member tied with the first non-member to be spared cannot be accused alone.
        assert_eq!(tpr_at_fpr(&[1.0, 2.0], &[2.0, 3.0], 0.0), Ok(0.5));
        assert!(tpr_at_fpr(&members, &non_members, 1.5).is_err());
        assert!(tpr_at_fpr(&[], &non_members, 0.1).is_err());
    }
}
