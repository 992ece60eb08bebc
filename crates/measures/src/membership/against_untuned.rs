//! Scores that compare a document's tokens one by one under the tuned and the untuned model.

use crate::error::{Result, require, require_count, require_same_length};

/// Lengths of the windows, in tokens, that [`window_votes`] looks at: about geometric, as its source has them.
pub const WINDOW_TOKENS: [usize; 10] = [2, 3, 4, 6, 9, 13, 18, 25, 32, 40];

/// Loss under the tuned model ÷ loss under a reference, the untuned model.
///
/// Without unit, 0 and up; lower = member. Source: Carlini et al. 2021 (as a ratio of two models' losses).
///
/// # Errors
/// If a loss is negative or not finite, or the reference has none (0: it is certain).
pub fn loss_ratio(loss: f64, reference_loss: f64) -> Result<f64> {
    let valid = loss.is_finite() && loss >= 0.0;
    require(valid, "loss", "a finite loss, 0 or more", loss)?;
    let valid = reference_loss.is_finite() && reference_loss > 0.0;
    require(valid, "reference_loss", "a finite loss, above 0", reference_loss)?;
    Ok(loss / reference_loss)
}

/// The share of windows of a document that the tuned model does not find likelier than the untuned one.
///
/// For each of [`WINDOW_TOKENS`] a window slides over the document by one token, and votes for membership where the sum of its
/// log-probabilities is higher under the tuned model. The score is 1 − the mean over lengths of the share of such votes: between 0 and 1,
/// lower = member. A document shorter than a window is one window. Source: Window-Based Comparison, Chen et al. 2026, arXiv 2601.02751
/// (there the share of votes itself, higher = member).
///
/// # Errors
/// If there are no tokens, the lists differ in length, or a log-probability is not finite.
pub fn window_votes(logprobs: &[f32], untuned_logprobs: &[f32]) -> Result<f64> {
    let changes = changes(logprobs, untuned_logprobs)?;
    let mut sums = Vec::with_capacity(changes.len() + 1);
    sums.push(0.0);
    for change in &changes {
        sums.push(sums[sums.len() - 1] + change);
    }
    let votes = WINDOW_TOKENS.map(|tokens| {
        let tokens = tokens.min(changes.len());
        let windows = changes.len() - tokens + 1;
        let likelier = (0..windows)
            .filter(|&start| sums[start + tokens] > sums[start])
            .count();
        likelier as f64 / windows as f64
    });
    Ok(1.0 - votes.iter().sum::<f64>() / votes.len() as f64)
}

/// Of what tuning changed at the tokens that the tuned model does not predict, the share by which it made them less likely.
///
/// With d the change of a token's log-probability, tuned − untuned, over the tokens that are not the tuned model's first choice:
/// Σ |d| of the negative ones ÷ Σ |d| of all. Between 0 and 1, lower = member. Source: Error Zone, Ilić et al. 2026, arXiv 2601.12104,
/// whose score P / N orders documents in the same way: N / (P + N) = 1 / (1 + P / N).
///
/// Where there is nothing of that kind (every token is the first choice, as of a text that the model knows whole, or none of the others
/// changed), it is that share of all tokens, and ½ where none changed at all. The published program gives 0, its score of
/// non-members, there and where no change is negative.
///
/// # Errors
/// If there are no tokens, the lists differ in length, or a log-probability is not finite.
pub fn error_zone(logprobs: &[f32], untuned_logprobs: &[f32], first_choices: &[bool]) -> Result<f64> {
    let changes = changes(logprobs, untuned_logprobs)?;
    require_same_length(
        ("logprobs", logprobs.len()),
        ("first_choices", first_choices.len()),
    )?;
    let of_errors = changes
        .iter()
        .zip(first_choices)
        .filter(|&(_, first)| !first)
        .map(|(&change, _)| change);
    let share = share_of_losses(of_errors).or_else(|| share_of_losses(changes.iter().copied()));
    Ok(share.unwrap_or(0.5))
}

/// The sum of what is below 0 ÷ the sum of all, without signs; none where all is 0.
fn share_of_losses(changes: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut gained, mut lost) = (0.0, 0.0);
    for change in changes {
        gained += change.max(0.0);
        lost += (-change).max(0.0);
    }
    (gained + lost > 0.0).then(|| lost / (gained + lost))
}

/// By how much each token became likelier, in nats.
fn changes(logprobs: &[f32], untuned_logprobs: &[f32]) -> Result<Vec<f64>> {
    require_count("logprobs", logprobs.len(), 1)?;
    require_same_length(
        ("logprobs", logprobs.len()),
        ("untuned_logprobs", untuned_logprobs.len()),
    )?;
    for (what, values) in [("logprobs", logprobs), ("untuned_logprobs", untuned_logprobs)] {
        for &value in values {
            require(value.is_finite(), what, "a finite number", value.into())?;
        }
    }
    let both = logprobs.iter().zip(untuned_logprobs);
    Ok(both
        .map(|(&tuned, &untuned)| f64::from(tuned) - f64::from(untuned))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_of_losses() {
        assert_eq!(loss_ratio(2.0, 4.0), Ok(0.5));
        assert!(loss_ratio(2.0, 0.0).is_err());
        assert!(loss_ratio(-1.0, 1.0).is_err());
        assert!(loss_ratio(f64::NAN, 1.0).is_err());
    }

    #[test]
    fn windows_vote_by_their_sums() {
        // Changes: +1, −2, +3, −1. Windows of 2: −1, +1, +2, of which 2 of 3 are over 0. Of 3: +2, 0, of which 1 of 2.
        // Of 4 and, as the document has no more, of all longer ones: +1.
        let tuned = [-1.0, -4.0, -1.0, -3.0];
        let untuned = [-2.0, -2.0, -4.0, -2.0];
        let votes = (2.0 / 3.0 + 0.5 + 8.0) / 10.0;
        assert!((window_votes(&tuned, &untuned).unwrap() - (1.0 - votes)).abs() < 1e-12);
        // The same model: nothing is likelier.
        assert_eq!(window_votes(&tuned, &tuned), Ok(1.0));
        // One token is one window.
        assert_eq!(window_votes(&[-1.0], &[-2.0]), Ok(0.0));
    }

    #[test]
    fn only_tokens_that_are_not_predicted_count() {
        // Of the errors −2 and +3 changed: 2 of 5. The first choice's +10 does not count.
        let tuned = [-0.5, -4.0, -1.0];
        let untuned = [-10.5, -2.0, -4.0];
        assert_eq!(error_zone(&tuned, &untuned, &[true, false, false]), Ok(0.4));
        // None of the errors became less likely.
        assert_eq!(error_zone(&tuned, &untuned, &[true, true, false]), Ok(0.0));
        // Everything is predicted: of all, 2 of 15 were lost.
        assert_eq!(error_zone(&tuned, &untuned, &[true; 3]), Ok(2.0 / 15.0));
        // Nothing changed.
        assert_eq!(error_zone(&tuned, &tuned, &[false; 3]), Ok(0.5));
    }

    #[test]
    fn tokens_have_to_pair_up_and_to_be_possible() {
        for (tuned, untuned) in [
            (vec![], vec![]),
            (vec![-1.0], vec![]),
            (vec![f32::NEG_INFINITY], vec![-1.0]),
            (vec![-1.0], vec![f32::NAN]),
        ] {
            assert!(window_votes(&tuned, &untuned).is_err());
            assert!(error_zone(&tuned, &untuned, &[false]).is_err());
        }
        assert!(error_zone(&[-1.0], &[-1.0], &[]).is_err());
    }
}
