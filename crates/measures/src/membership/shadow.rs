//! Scores that compare a model with shadow models: the same way of tuning, on training sets that hold the document and on such that do not.

use crate::error::{Result, require, require_count};

/// Smallest deviation of a document's losses that is believed, in nats per token.
const SMALLEST_DEVIATION: f64 = 1e-3;

/// How far losses of one document lie apart between shadow models, in nats per token: the root of their variance within documents, over all
/// documents together.
///
/// `losses` has those of each document; documents with one say nothing. None where no document has two. At least a thousandth. One
/// deviation for all documents is what few shadow models allow. Source: Carlini et al. 2022, section VI-C.
pub fn shadow_deviation<'a>(losses: impl IntoIterator<Item = &'a [f64]>) -> Option<f64> {
    let (mut squares, mut freedom) = (0.0, 0);
    for losses in losses {
        let mean = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        squares += losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>();
        freedom += losses.len().saturating_sub(1);
    }
    (freedom > 0).then(|| (squares / freedom as f64).sqrt().max(SMALLEST_DEVIATION))
}

/// LiRA: how much likelier a document's loss is among shadow models without it than among such with it, in nats.
///
/// ln N(loss; mean of `losses_without`, `deviation_without`) − ln N(loss; mean of `losses_with`, `deviation_with`), N the normal density. Any
/// sign, lower = member (the sign is turned against the source's). Source: Carlini et al. 2022, on losses themselves.
///
/// # Errors
/// If there is no shadow model on a side, a loss is not finite, or a deviation is not a number over 0.
pub fn lira(
    loss: f64,
    (losses_with, deviation_with): (&[f64], f64),
    (losses_without, deviation_without): (&[f64], f64),
) -> Result<f64> {
    let with = ln_density(loss, losses_with, deviation_with)?;
    Ok(ln_density(loss, losses_without, deviation_without)? - with)
}

/// The logarithm of a normal density at `loss`, its constant left out.
fn ln_density(loss: f64, losses: &[f64], deviation: f64) -> Result<f64> {
    require_losses(losses)?;
    require(loss.is_finite(), "loss", "a finite number", loss)?;
    let is_deviation = deviation > 0.0 && deviation.is_finite();
    require(is_deviation, "deviation", "a number over 0", deviation)?;
    let distance = (loss - losses.iter().sum::<f64>() / losses.len() as f64) / deviation;
    Ok(-0.5 * distance * distance - deviation.ln())
}

/// RMIA's ratio of a document, with shadow models that have not seen it alone: ln of the mean of their e^−loss, + loss.
///
/// In nats per token, any sign, lower = member (the sign is turned against the source's). The source then asks for which share of other
/// documents this ratio is lower by ln γ; among documents of one model, that orders them in the same way. Source: Zarifzadeh et al. 2024,
/// offline, of the mean probability of a token.
///
/// # Errors
/// If there is no shadow model, or a loss is not finite.
pub fn rmia(loss: f64, losses_without: &[f64]) -> Result<f64> {
    require_losses(losses_without)?;
    require(loss.is_finite(), "loss", "a finite number", loss)?;
    let likeliest = losses_without.iter().copied().fold(f64::INFINITY, f64::min);
    let sum: f64 = losses_without.iter().map(|loss| (likeliest - loss).exp()).sum();
    Ok(loss - likeliest + (sum / losses_without.len() as f64).ln())
}

fn require_losses(losses: &[f64]) -> Result<()> {
    require_count("shadow models", losses.len(), 1)?;
    let mut losses = losses.iter();
    losses.try_for_each(|&loss| require(loss.is_finite(), "a shadow model's loss", "a finite number", loss))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_that_within_documents() {
        // Around 2: −1, +1; around 10: −2, 0, +2. (2 + 8) / (1 + 2).
        let documents: [&[f64]; 4] = [&[1.0, 3.0], &[8.0, 10.0, 12.0], &[5.0], &[]];
        let found = shadow_deviation(documents).unwrap();
        assert!((found - (10.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(shadow_deviation([&[1.0][..], &[2.0][..]]), None);
        assert_eq!(shadow_deviation([&[1.0, 1.0][..]]), Some(1e-3));
    }

    #[test]
    fn lira_by_hand() {
        // With: mean 2, deviation 1; without: mean 4, deviation 2. At 3: −½·(½)² − ln 2 against −½·1² − 0.
        let found = lira(3.0, (&[1.0, 3.0], 1.0), (&[4.0], 2.0)).unwrap();
        assert!((found - (-0.125 - 2.0_f64.ln() + 0.5)).abs() < 1e-12);
        // The nearer to the losses with it, the more likely a member.
        let at = |loss| lira(loss, (&[2.0], 1.0), (&[4.0], 1.0)).unwrap();
        assert!(at(2.0) < at(3.0) && at(3.0) == 0.0 && at(3.0) < at(4.0));
        assert!(lira(1.0, (&[], 1.0), (&[2.0], 1.0)).is_err());
        assert!(lira(1.0, (&[1.0], 0.0), (&[2.0], 1.0)).is_err());
        assert!(lira(f64::NAN, (&[1.0], 1.0), (&[2.0], 1.0)).is_err());
    }

    #[test]
    fn rmia_by_hand() {
        // One shadow model: the difference. Two, of e⁻² and e⁻⁴: ln of (e⁻² + e⁻⁴)/2 is −2 + ln((1 + e⁻²)/2).
        assert_eq!(rmia(3.0, &[4.0]).unwrap(), -1.0);
        let expected = 3.0 - 2.0 + f64::midpoint(1.0, (-2.0_f64).exp()).ln();
        assert!((rmia(3.0, &[2.0, 4.0]).unwrap() - expected).abs() < 1e-12);
        // Losses at which e^−loss alone would be 0.
        assert!((rmia(2000.0, &[2000.0, 2000.0]).unwrap()).abs() < 1e-12);
        assert!(rmia(1.0, &[]).is_err());
        assert!(rmia(1.0, &[f64::INFINITY]).is_err());
    }
}
