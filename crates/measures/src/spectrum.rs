//! Of how many directions is a change of weights made? Ranks that are read off the singular values of a matrix, so that small noise
//! does not make every matrix one of full rank.

use crate::error::{Result, require, require_count, require_share};

/// Stable rank: Σ σᵢ² / max σᵢ².
///
/// Between 1, where one direction holds everything, and the number of singular values, where all hold as much. Without unit. `None` for
/// a matrix of zeros. Source: Rudelson and Vershynin 2007.
///
/// # Errors
/// Without singular values, or if one is negative or not finite.
pub fn stable_rank(singular_values: &[f64]) -> Result<Option<f64>> {
    require_singular_values(singular_values)?;
    let largest = singular_values.iter().copied().fold(0.0, f64::max);
    let shares = singular_values.iter().map(|value| (value / largest).powi(2));
    Ok((largest > 0.0).then(|| shares.sum()))
}

/// Effective rank: exp(−Σ pᵢ ln pᵢ) with pᵢ = σᵢ / Σ σⱼ.
///
/// Between 1 and the number of singular values. Without unit. `None` for a matrix of zeros. Source: Roy and Vetterli 2007.
///
/// # Errors
/// Without singular values, or if one is negative or not finite.
pub fn effective_rank(singular_values: &[f64]) -> Result<Option<f64>> {
    require_singular_values(singular_values)?;
    let sum: f64 = singular_values.iter().sum();
    let shares = singular_values
        .iter()
        .map(|value| value / sum)
        .filter(|&share| share > 0.0);
    Ok((sum > 0.0).then(|| (-shares.map(|share| share * share.ln()).sum::<f64>()).exp()))
}

/// The fewest directions that hold a share of Σ σᵢ², the square of the Frobenius norm.
///
/// Between 0, for a share of 0, and the number of singular values. `None` for a matrix of zeros.
///
/// # Errors
/// Without singular values, if one is negative or not finite, or if the share is not between 0 and 1.
pub fn directions_of_share(singular_values: &[f64], share: f64) -> Result<Option<usize>> {
    require_singular_values(singular_values)?;
    require_share("share", share)?;
    let mut squares: Vec<f64> = singular_values.iter().map(|value| value * value).collect();
    squares.sort_by(|first, second| second.total_cmp(first));
    let whole: f64 = squares.iter().sum();
    let mut held = 0.0;
    let directions = squares.iter().take_while(|&&square| {
        let is_short = held < share * whole;
        held += square;
        is_short
    });
    Ok((whole > 0.0).then(|| directions.count()))
}

fn require_singular_values(values: &[f64]) -> Result<()> {
    require_count("singular values", values.len(), 1)?;
    values.iter().try_for_each(|&value| {
        require(
            value.is_finite() && value >= 0.0,
            "singular value",
            "a finite number, at least 0",
            value,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|found| f64::abs(found - expected) < 1e-12)
    }

    #[test]
    fn ranks_of_singular_values_by_hand() {
        // Two directions: 16 + 9 of which 16 is the largest, 25 / 16; shares of 4/7 and 3/7; 16 / 25 = 0.64 is held by the first.
        let two = [3.0, 4.0, 0.0];
        assert!(close(stable_rank(&two).unwrap(), 1.5625));
        let entropy = -(4.0 / 7.0 * f64::ln(4.0 / 7.0) + 3.0 / 7.0 * f64::ln(3.0 / 7.0));
        assert!(close(effective_rank(&two).unwrap(), entropy.exp()));
        let directions = [(0.0, 0), (0.5, 1), (0.64, 1), (0.65, 2), (1.0, 2)];
        for (share, expected) in directions {
            assert_eq!(
                directions_of_share(&two, share).unwrap(),
                Some(expected),
                "{share}"
            );
        }
        // As many as there are where all are alike, and one where only one is not 0.
        assert!(close(stable_rank(&[2.0; 5]).unwrap(), 5.0));
        assert!(close(effective_rank(&[2.0; 5]).unwrap(), 5.0));
        assert!(close(stable_rank(&[0.0, 7.0]).unwrap(), 1.0));
        assert!(close(effective_rank(&[0.0, 7.0]).unwrap(), 1.0));
    }

    #[test]
    fn a_matrix_of_zeros_has_no_rank_and_nonsense_is_an_error() {
        assert_eq!(stable_rank(&[0.0, 0.0]).unwrap(), None);
        assert_eq!(effective_rank(&[0.0]).unwrap(), None);
        assert_eq!(directions_of_share(&[0.0], 0.9).unwrap(), None);
        for values in [&[][..], &[-1.0], &[f64::NAN], &[f64::INFINITY]] {
            assert!(stable_rank(values).is_err(), "{values:?}");
            assert!(effective_rank(values).is_err(), "{values:?}");
            assert!(directions_of_share(values, 0.9).is_err(), "{values:?}");
        }
        assert!(directions_of_share(&[1.0], 1.1).is_err());
    }
}
