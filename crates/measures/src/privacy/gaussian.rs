//! The accountant of noise that is added to clipped gradients.

use crate::distribution::{ln_normal_upper_tail, normal_upper_tail};
use crate::error::{Result, require};

/// The μ of Gaussian differential privacy that a text has whose clipped gradient went into so many steps.
///
/// Each step adds normal noise of standard deviation `noise_multiplier` · C to a sum in which the text has a norm of at most C times the number
/// of its `uses` there. μ = √(Σ uses²) / noise multiplier. Over 0, without unit; 0 is perfect privacy, about 1 is what is called strong. The
/// steps may depend on one another's results. Neighbouring training sets differ in whether the text's rows give a gradient or nothing, so that
/// no other row moves ("zero-out"); nothing is gained here from drawing batches at random.
///
/// Source: Dong, Roth and Su 2022 (composition of Gaussian mechanisms); Kairouz et al. 2021 for zero-out.
///
/// # Errors
/// If the noise multiplier is not a number over 0, or there are uses that are none.
pub fn gaussian_mu(noise_multiplier: f64, uses: &[f64]) -> Result<f64> {
    let is_over_zero = noise_multiplier > 0.0 && noise_multiplier.is_finite();
    require(
        is_over_zero,
        "noise_multiplier",
        "a number over 0",
        noise_multiplier,
    )?;
    for &uses in uses {
        require(
            uses >= 0.0 && uses.is_finite(),
            "uses",
            "a number of at least 0",
            uses,
        )?;
    }
    let squares: f64 = uses.iter().map(|uses| uses * uses).sum();
    Ok(squares.sqrt() / noise_multiplier)
}

/// The smallest δ for which something with this μ of Gaussian differential privacy is (ε, δ)-differentially private.
///
/// δ = Φ(−ε/μ + μ/2) − e^ε Φ(−ε/μ − μ/2); between 0 and 1. Sources: Balle and Wang 2018, theorem 8; Dong, Roth and Su 2022, corollary 1.
///
/// # Errors
/// If μ is not a number over 0, or ε below 0.
pub fn gaussian_delta(mu: f64, epsilon: f64) -> Result<f64> {
    require(mu > 0.0 && mu.is_finite(), "mu", "a number over 0", mu)?;
    let is_epsilon = epsilon >= 0.0 && epsilon.is_finite();
    require(is_epsilon, "epsilon", "a number of at least 0", epsilon)?;
    let (shift, half) = (epsilon / mu, mu / 2.0);
    // e^ε alone may be beyond all numbers where the product is not.
    let subtracted = (epsilon + ln_normal_upper_tail(shift + half)).exp();
    Ok((normal_upper_tail(shift - half) - subtracted).clamp(0.0, 1.0))
}

/// The smallest ε, at this δ, of something with this μ of Gaussian differential privacy: [`gaussian_delta`] turned around.
///
/// 0 and up, in nats, to a relative 1e-12.
///
/// # Errors
/// If μ is not a number over 0, or δ not between 0 and 1, both excluded.
pub fn gaussian_epsilon(mu: f64, delta: f64) -> Result<f64> {
    require(
        delta > 0.0 && delta < 1.0,
        "delta",
        "a number between 0 and 1",
        delta,
    )?;
    if gaussian_delta(mu, 0.0)? <= delta {
        return Ok(0.0);
    }
    let (mut low, mut high) = (0.0, 1.0);
    while gaussian_delta(mu, high)? > delta {
        (low, high) = (high, 2.0 * high);
    }
    while high - low > 1e-12 * high {
        let middle = f64::midpoint(low, high);
        if gaussian_delta(mu, middle)? > delta {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_add_up_as_squares() {
        // Three passes with one use each: √3 / 2. Two uses in one step count as much as four steps: √4 / 2.
        assert!((gaussian_mu(2.0, &[1.0; 3]).unwrap() - 3.0_f64.sqrt() / 2.0).abs() < 1e-12);
        assert_eq!(gaussian_mu(2.0, &[2.0]).unwrap(), 1.0);
        assert_eq!(gaussian_mu(2.0, &[1.0; 4]).unwrap(), 1.0);
        assert_eq!(gaussian_mu(2.0, &[]).unwrap(), 0.0);
        for noise in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(gaussian_mu(noise, &[1.0]).is_err());
        }
    }

    #[test]
    fn delta_by_hand() {
        // ε = 0: Φ(μ/2) − Φ(−μ/2), of μ = 2 the mass within one deviation, 0.682689.
        assert!((gaussian_delta(2.0, 0.0).unwrap() - 0.682_689_492).abs() < 1e-8);
        // μ = 1, ε = ½: Φ(0) − e^½ Φ(−1) = 0.5 − 1.648721 · 0.158655.
        assert!((gaussian_delta(1.0, 0.5).unwrap() - (0.5 - 1.648_721_271 * 0.158_655_254)).abs() < 1e-8);
        assert!(gaussian_delta(0.0, 1.0).is_err());
        assert!(gaussian_delta(1.0, -1.0).is_err());
    }

    #[test]
    fn epsilon_turns_delta_around() {
        for mu in [0.05, 0.5, 1.0, 3.0, 10.0, 40.0] {
            for delta in [1e-3, 1e-5, 1e-9] {
                let epsilon = gaussian_epsilon(mu, delta).unwrap();
                let back = gaussian_delta(mu, epsilon).unwrap();
                assert!(
                    (back - delta).abs() <= 1e-4 * delta,
                    "{mu} {delta}: {epsilon} {back}"
                );
            }
        }
        // So little that δ covers all of it.
        assert_eq!(gaussian_epsilon(1e-6, 1e-3).unwrap(), 0.0);
        assert!(gaussian_epsilon(1.0, 0.0).is_err());
    }

    /// ε at δ = 1e-5 of `dp_accounting` 0.6 (Google): its PLD accountant, for `steps` Gaussian mechanisms with that noise multiplier.
    #[test]
    fn epsilon_is_that_of_a_known_accountant() {
        let known = [
            (1.0, 1, 4.377_178),
            (0.5, 3, 20.125_024),
            (1.15, 3, 7.085_913),
            (2.0, 1, 1.993_091),
            (4.0, 30, 6.325_715),
            (10.0, 100, 4.377_178),
            (0.3, 10, 99.672_919),
        ];
        for (noise, steps, expected) in known {
            let mu = gaussian_mu(noise, &vec![1.0; steps]).unwrap();
            let epsilon = gaussian_epsilon(mu, 1e-5).unwrap();
            assert!(
                (epsilon - expected).abs() < 1e-4 * expected,
                "{noise} {steps}: {epsilon}"
            );
        }
    }
}
