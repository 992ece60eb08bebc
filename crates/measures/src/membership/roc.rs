use crate::distribution::{normal_upper_tail, student_t_97_5, student_t_upper_tail};
use crate::error::{Result, require, require_count, require_same_length, require_scores, require_share};
use crate::interval::{CONFIDENCE_95, Interval, mover_difference, wilson_of_share};

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

/// Scores on either side that [`auc_interval`] needs.
///
/// Coverage for normal scores with AUCs of .5, .7 and .9: 96.4, 95.8, 96.8% at 10 a side, 94.7, 94.6, 94.9% at 10 members and 50 non-members,
/// 96.4, 96.3, 95.5% at 20 a side, 95.8, 95.9, 95.1% at 20 and 60. Where the scores of the smaller side are three times as spread as the
/// other's (members of whom only some are memorized), AUCs over .9 cover 80 to 92% up to 30 a side.
pub const MIN_PER_SIDE_AUC: usize = 10;

/// Scores on either side that [`auc_difference`] needs.
///
/// Coverage at 20 a side of two equally good scores with a correlation of ½ and AUCs of .5, .7 and .9: 96.8%; one-sided level of 5%: 4.2%.
pub const MIN_PER_SIDE_AUC_DIFFERENCE: usize = 20;

/// Scores on the smaller side from which on DeLong's variance stands alone in [`auc_interval`].
const MIN_PER_SIDE_DELONG: usize = 20;

/// How many scores Hanley and McNeil's variance counts for beside DeLong's, on smaller sides.
const MODEL_WEIGHT: f64 = 5.0;

/// The 95% confidence interval of [`auc`].
///
/// From 20 scores a side on: DeLong's variance on the logit scale. V = V₁ + V₂ = S²(share of non-members above each member) / members +
/// S²(share of members below each non-member) / non-members, S² the sample variance; the interval is logit⁻¹(logit AUC ± t √V / (AUC (1 −
/// AUC))), so it stays within 0 and 1. t is the 97.5% quantile of Student's t with Welch's degrees of freedom, V² / (V₁²/(members − 1) +
/// V₂²/(non-members − 1)). Where V is 0 (perfect separation, or nothing but ties) it says nothing about certainty: the interval is then
/// Wilson's for a share equal to the AUC in as many trials as the smaller side has documents.
///
/// With fewer scores on a side: the areas θ with |θ − AUC| ≤ 1.96 √(f · H(θ)), H(θ) = θ(1 − θ)(1 + N(1 − θ)/(2 − θ) + Nθ/(1 + θ)) /
/// (members · non-members), N = (members + non-members)/2 − 1, the variance of a model of the scores (Hanley and McNeil's, in
/// Newcombe's method 5), and f the ratio V/H(AUC) moved towards 1 as if 5 further scores had shown 1: (s V/H + 5)/(s + 5), s the smaller side; 1
/// where V or H(AUC) is 0.
///
/// Sources: DeLong et al. 1988; logit scale: Pepe 2003; Welch 1947; Newcombe 2006; f is this project's, chosen by simulation.
///
/// # Errors
/// If either side has fewer than [`MIN_PER_SIDE_AUC`] scores or holds a NaN.
pub fn auc_interval(members: &[f64], non_members: &[f64]) -> Result<Interval> {
    require_count("members", members.len(), MIN_PER_SIDE_AUC)?;
    require_count("non_members", non_members.len(), MIN_PER_SIDE_AUC)?;
    let placements = Placements::of(members, non_members)?;
    let area = mean(&placements.of_members);
    let variance = Variance::of(&placements.of_members, &placements.of_non_members);
    if members.len().min(non_members.len()) < MIN_PER_SIDE_DELONG {
        return Ok(score_interval(area, &variance));
    }
    let logit_slope = area * (1.0 - area);
    if variance.total() == 0.0 || logit_slope == 0.0 {
        return Ok(wilson_of_share(area, variance.smaller_side()));
    }
    let logit = (area / (1.0 - area)).ln();
    let reach = student_t_97_5(variance.degrees_of_freedom()) * variance.total().sqrt() / logit_slope;
    Ok(Interval {
        low: logistic(logit - reach),
        high: logistic(logit + reach),
    })
}

/// The interval of [`auc_interval`] for few scores.
fn score_interval(area: f64, variance: &Variance) -> Interval {
    let (members, non_members) = variance.counts;
    let n = f64::midpoint(members, non_members) - 1.0;
    let model = |theta: f64| {
        let pairs = 1.0 + n * (1.0 - theta) / (2.0 - theta) + n * theta / (1.0 + theta);
        theta * (1.0 - theta) * pairs / (members * non_members)
    };
    let ratio = variance.total() / model(area);
    let side = variance.smaller_side();
    let factor = if ratio > 0.0 && ratio.is_finite() {
        (side * ratio + MODEL_WEIGHT) / (side + MODEL_WEIGHT)
    } else {
        1.0
    };
    // The furthest area towards `bound` that the interval holds; 60 halvings leave 1e-18.
    let end = |bound: f64| {
        let (mut inside, mut outside) = (area, bound);
        for _ in 0..60 {
            let middle = f64::midpoint(inside, outside);
            if (middle - area).powi(2) <= CONFIDENCE_95.powi(2) * factor * model(middle) {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        inside
    };
    Interval {
        low: if area == 0.0 { 0.0 } else { end(0.0) },
        high: if area == 1.0 { 1.0 } else { end(1.0) },
    }
}

/// The difference of the AUC of two scores of the same documents, paired: AUC of the first − AUC of the second (between −1 and 1), its
/// 95% interval, and the one-sided p-value that the first exceeds the second.
///
/// The variance is DeLong's: V = S²(differences of the members' placements) / members + S²(differences of the non-members' placements) /
/// non-members, so that what both scores find easy cancels out. The interval is d ± t √V held to −1 and 1, the p-value P(T > d/√V), with
/// Welch's degrees of freedom as in [`auc_interval`]. Where V is 0 (two scores with the same order of members and non-members, or
/// that both separate them perfectly) the interval is that of two independent ones ([`mover_difference`]) and the p-value follows from it; 1
/// where the first does not exceed the second.
///
/// `first_members[i]` and `second_members[i]` are scores of one document, and so are `first_non_members[i]` and
/// `second_non_members[i]`. Source: DeLong et al. 1988.
///
/// # Errors
/// If either side has fewer than [`MIN_PER_SIDE_AUC_DIFFERENCE`] scores or holds a NaN, or the scores do not pair up.
pub fn auc_difference(
    first_members: &[f64],
    first_non_members: &[f64],
    second_members: &[f64],
    second_non_members: &[f64],
) -> Result<(f64, Interval, f64)> {
    require_same_length(
        ("first_members", first_members.len()),
        ("second_members", second_members.len()),
    )?;
    require_same_length(
        ("first_non_members", first_non_members.len()),
        ("second_non_members", second_non_members.len()),
    )?;
    require_count("members", first_members.len(), MIN_PER_SIDE_AUC_DIFFERENCE)?;
    require_count(
        "non_members",
        first_non_members.len(),
        MIN_PER_SIDE_AUC_DIFFERENCE,
    )?;
    let first = Placements::of(first_members, first_non_members)?;
    let second = Placements::of(second_members, second_non_members)?;
    let difference = mean(&first.of_members) - mean(&second.of_members);
    let variance = Variance::of(
        &differences(&first.of_members, &second.of_members),
        &differences(&first.of_non_members, &second.of_non_members),
    );
    // Equal placements may differ by rounding.
    if variance.total() <= 1e-24 {
        let interval = mover_difference(
            (
                mean(&first.of_members),
                auc_interval(first_members, first_non_members)?,
            ),
            (
                mean(&second.of_members),
                auc_interval(second_members, second_non_members)?,
            ),
        );
        let error = (difference - interval.low) / CONFIDENCE_95;
        let p_value = if difference > 0.0 {
            normal_upper_tail(difference / error)
        } else {
            1.0
        };
        return Ok((difference, interval, p_value));
    }
    let (error, degrees_of_freedom) = (variance.total().sqrt(), variance.degrees_of_freedom());
    let reach = student_t_97_5(degrees_of_freedom) * error;
    let interval = Interval {
        low: (difference - reach).max(-1.0),
        high: (difference + reach).min(1.0),
    };
    let p_value = student_t_upper_tail(difference / error, degrees_of_freedom);
    Ok((difference, interval, p_value))
}

fn differences(first: &[f64], second: &[f64]) -> Vec<f64> {
    first
        .iter()
        .zip(second)
        .map(|(first, second)| first - second)
        .collect()
}

/// DeLong's variance of a mean placement, by what members and non-members contribute.
struct Variance {
    members: f64,
    non_members: f64,
    counts: (f64, f64),
}

impl Variance {
    fn of(of_members: &[f64], of_non_members: &[f64]) -> Self {
        let counts = (of_members.len() as f64, of_non_members.len() as f64);
        Self {
            members: sample_variance(of_members) / counts.0,
            non_members: sample_variance(of_non_members) / counts.1,
            counts,
        }
    }

    fn smaller_side(&self) -> f64 {
        self.counts.0.min(self.counts.1)
    }

    fn total(&self) -> f64 {
        self.members + self.non_members
    }

    /// Welch's, between the smaller side − 1 and both sides − 2.
    fn degrees_of_freedom(&self) -> f64 {
        self.total().powi(2)
            / (self.members.powi(2) / (self.counts.0 - 1.0)
                + self.non_members.powi(2) / (self.counts.1 - 1.0))
    }
}

/// The threshold below which a score passes for a member's, so that a further non-member is accused with a probability of at most this
/// false-positive rate.
///
/// A document is accused whose score is strictly below it. It is the k-th lowest of the m non-members' scores with
/// k = ⌊fpr · (m + 1)⌋: a further non-member, exchangeable with these, lies strictly below that one with a probability of at most
/// k/(m + 1). The threshold of [`tpr_at_fpr`] is exceeded more often than it says. In the unit of the scores; `None` with fewer than
/// 1/fpr non-members (100 for 1%, 10 for 10%), which cannot show so low a rate. Non-members must not have chosen anything, and
/// members must not be among them. Source: split conformal prediction, Vovk et al. 2005.
///
/// # Errors
/// If a score is NaN, or the rate is not between 0 and 1.
pub fn conservative_threshold(non_members: &[f64], false_positive_rate: f64) -> Result<Option<f64>> {
    non_members
        .iter()
        .try_for_each(|&score| require(!score.is_nan(), "non_members", "a number", score))?;
    require_share("false_positive_rate", false_positive_rate)?;
    // 0.29 · 100 is 28.999… in floats; a whole product must not lose its last non-member.
    let whole = |product: f64| (product + 1e-9) as usize;
    let count = non_members.len();
    if whole(false_positive_rate * count as f64) == 0 {
        return Ok(None);
    }
    let place = whole(false_positive_rate * (count + 1) as f64).min(count);
    Ok(sorted(non_members).get(place - 1).copied())
}

/// How many members a threshold finds, of how many: those with a score strictly below it.
///
/// Their share is the true-positive rate, with the interval [`binomial_mid_p`](crate::interval::binomial_mid_p()): the threshold
/// comes from other documents.
///
/// # Errors
/// If there are no members, or a score or the threshold is NaN.
pub fn tpr_at(members: &[f64], threshold: f64) -> Result<(u64, u64)> {
    require_scores("members", members)?;
    require(!threshold.is_nan(), "threshold", "a number", threshold)?;
    let found = members.iter().filter(|&&score| score < threshold).count();
    Ok((found as u64, members.len() as u64))
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

/// The rank of each score among those of the other side, as a share, as DeLong's estimator needs it.
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

    /// Each score this often.
    fn repeated(scores: &[f64], times: usize) -> Vec<f64> {
        scores
            .iter()
            .flat_map(|&score| std::iter::repeat_n(score, times))
            .collect()
    }

    #[test]
    fn auc_interval_is_delongs() {
        // 1, 2, 3 and 2, 4, each ten and fifteen times: placements 1, ¾, ½ (ten each) and ½, 1 (fifteen each).
        let (members, others) = (repeated(&[1.0, 2.0, 3.0], 10), repeated(&[2.0, 4.0], 15));
        let interval = auc_interval(&members, &others).unwrap();
        // S² = 20/16/29 and 30/16/29, both over 30: V₁ = 1/696, V₂ = 1/464; V = 5/1392.
        let (v1, v2) = (1.0 / 696.0, 1.0 / 464.0);
        let degrees: f64 = 29.0 * (v1 + v2) * (v1 + v2) / (v1 * v1 + v2 * v2);
        // 55.77 degrees: between t(55) = 2.0040 and t(56) = 2.0032.
        assert!((degrees - 55.769).abs() < 1e-3);
        let reach = 2.003_43 * (5.0_f64 / 1392.0).sqrt() / (3.0 / 16.0);
        for (end, logit) in [
            (interval.low, 3.0_f64.ln() - reach),
            (interval.high, 3.0_f64.ln() + reach),
        ] {
            assert!((end - logistic(logit)).abs() < 2e-5, "{interval:?}");
        }
    }

    #[test]
    fn perfect_separation_is_not_certainty() {
        // No variance left; Wilson's interval for 20 of 20 begins at 20 / (20 + 1.96²) = .838875.
        let interval = auc_interval(&[1.0; 25], &repeated(&[7.0, 8.0], 10)).unwrap();
        assert!((interval.low - 0.838_875).abs() < 1e-6, "{interval:?}");
        assert!((interval.high - 1.0).abs() < 1e-12, "{interval:?}");
        assert!(auc_interval(&[1.0; 9], &[2.0; 20]).is_err());
        assert!(auc_interval(&[1.0; 20], &[2.0; 9]).is_err());
    }

    #[test]
    fn few_scores_have_the_interval_of_a_scaled_model() {
        // Perfect separation of 10 and 10: factor 1, N = 9, and the lower end θ solves (1 − θ)² = 3.841459 H(θ). H(.8) = .16 (1 +
        // 1.5 + 4)/100 = .0104: .04 and .03995; H(.81) = .009949: .0361 and .0382.
        let interval = auc_interval(&[1.0; 10], &[2.0; 10]).unwrap();
        assert!(
            0.80 < interval.low && interval.low < 0.81 && interval.high == 1.0,
            "{interval:?}"
        );
        let mirrored = auc_interval(&[2.0; 10], &[1.0; 10]).unwrap();
        assert!(
            (mirrored.high - (1.0 - interval.low)).abs() < 1e-12 && mirrored.low == 0.0,
            "{mirrored:?}"
        );
        // Nothing but ties: V is 0, the factor 1; about ½ ± 1.96 √(.25 · 7/100).
        let ties = auc_interval(&[1.0; 10], &[1.0; 10]).unwrap();
        assert!(
            (ties.low + ties.high - 1.0).abs() < 1e-12 && (0.4..0.6).contains(&ties.width()),
            "{ties:?}"
        );
    }

    #[test]
    fn what_both_scores_find_easy_cancels_out() {
        let members: Vec<f64> = (0..30).map(f64::from).collect();
        let others: Vec<f64> = (0..30).map(|index| f64::from(index) + 10.5).collect();
        // The second score sees one member as the worst: its placement falls from 1 to 0, so the area by 1/30. Members' differences: 1 and
        // 29 zeros, S² = 29/30/29; non-members: each 1/30 for those above it; all are, so no variance. V = 1/900.
        let mut worse = members.clone();
        worse[0] = 100.0;
        let (difference, interval, p_value) = auc_difference(&members, &others, &worse, &others).unwrap();
        assert!((difference - 1.0 / 30.0).abs() < 1e-12, "{difference}");
        // One standard error, with 29 degrees of freedom.
        assert!(
            (p_value - student_t_upper_tail(1.0, 29.0)).abs() < 1e-9,
            "{p_value}"
        );
        assert!(
            (interval.high - (1.0 + 2.045_230) / 30.0).abs() < 1e-6,
            "{interval:?}"
        );
        // Two independent areas are far less sure.
        let apart = mover_difference(
            (
                auc(&members, &others).unwrap(),
                auc_interval(&members, &others).unwrap(),
            ),
            (
                auc(&worse, &others).unwrap(),
                auc_interval(&worse, &others).unwrap(),
            ),
        );
        assert!(apart.width() > 2.0 * interval.width());
    }

    #[test]
    fn scores_of_the_same_order_do_not_differ() {
        let members: Vec<f64> = (0..30).map(f64::from).collect();
        let others: Vec<f64> = (0..30).map(|index| f64::from(index) + 10.5).collect();
        let (difference, interval, p_value) = auc_difference(&members, &others, &members, &others).unwrap();
        assert_eq!((difference, p_value), (0.0, 1.0));
        assert!(interval.contains(0.0) && interval.width() > 0.0);
        // Perfect against no separation at all.
        let (difference, interval, p_value) =
            auc_difference(&[0.0; 30], &[1.0; 30], &[0.0; 30], &[0.0; 30]).unwrap();
        assert!(
            difference == 0.5 && p_value < 1e-3 && interval.low > 0.0,
            "{p_value} {interval:?}"
        );
        assert!(auc_difference(&members, &others, &members[1..], &others).is_err());
        assert!(auc_difference(&members, &others, &members, &others[1..]).is_err());
        assert!(auc_difference(&members[..9], &others, &members[..9], &others).is_err());
    }

    #[test]
    fn a_conservative_threshold_leaves_room_for_a_further_non_member() {
        let scores = |count: i32| (0..count).rev().map(f64::from).collect::<Vec<f64>>();
        for (count, rate, expected) in [
            // ⌊1.01⌋ = 1: strictly below the lowest. One fewer cannot show 1%.
            (100, 0.01, Some(0.0)),
            (99, 0.01, None),
            // ⌊2.5⌋ = 2 → the second lowest.
            (249, 0.01, Some(1.0)),
            (10, 0.1, Some(0.0)),
            // ⌊2.0⌋: with 19 a further one makes 20.
            (19, 0.1, Some(1.0)),
            (18, 0.1, Some(0.0)),
            (9, 0.1, None),
            (3, 0.0, None),
            (3, 1.0, Some(2.0)),
            (0, 0.5, None),
        ] {
            assert_eq!(
                conservative_threshold(&scores(count), rate),
                Ok(expected),
                "{count} {rate}"
            );
        }
        assert!(conservative_threshold(&[f64::NAN; 20], 0.1).is_err());
        assert!(conservative_threshold(&[0.0; 20], 1.1).is_err());
        // Strictly below: ties with the threshold are not accused.
        assert_eq!(tpr_at(&[0.0, 1.0, 2.0, f64::NEG_INFINITY], 1.0), Ok((2, 4)));
        assert!(tpr_at(&[], 1.0).is_err());
        assert!(tpr_at(&[1.0], f64::NAN).is_err());
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
