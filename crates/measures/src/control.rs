//! The control: what the same generations share with text that no model was trained on.

use crate::error::{Result, require, require_share};

/// A control's rate, carried over from as many characters of never-trained text as there are to as many as the training text has.
///
/// 1 − (1 − r)^(T/H), r the rate with H characters of never-trained text, T the characters of the training text: the chance of a
/// match with any of T/H texts of that size, were they independent. A generation has the more chances to match, the more text it
/// is matched with; without this a small held-out set makes a low baseline. Equal to r where T = H. Between 0 and 1, without unit.
/// This project's.
///
/// # Errors
/// If the rate is not between 0 and 1, or a text has no characters.
pub fn carried_over(rate: f64, training_chars: f64, held_out_chars: f64) -> Result<f64> {
    require_share("rate", rate)?;
    for (what, chars) in [
        ("training_chars", training_chars),
        ("held_out_chars", held_out_chars),
    ] {
        require(chars > 0.0 && chars.is_finite(), what, "above 0", chars)?;
    }
    if training_chars == held_out_chars {
        return Ok(rate);
    }
    // 1 − (1 − r)^x without losing a small r to rounding.
    Ok(-((-rate).ln_1p() * (training_chars / held_out_chars)).exp_m1())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_grows_with_the_text_it_is_matched_with() {
        // Twice the text: 1 − .9² = .19. Half of it: 1 − √.81 = .1. Three times: 1 − .5³ = .875.
        for (rate, training, held_out, expected) in [
            (0.1, 200.0, 100.0, 0.19),
            (0.19, 50.0, 100.0, 0.1),
            (0.5, 300.0, 100.0, 0.875),
            (0.3, 70.0, 70.0, 0.3),
            (0.0, 900.0, 1.0, 0.0),
            (1.0, 900.0, 1.0, 1.0),
        ] {
            let found = carried_over(rate, training, held_out).unwrap();
            assert!(
                (found - expected).abs() < 1e-12,
                "{rate} {training} {held_out}: {found}"
            );
        }
        assert!(carried_over(1.5, 1.0, 1.0).is_err());
        assert!(carried_over(0.5, 1.0, 0.0).is_err());
        assert!(carried_over(0.5, 0.0, 1.0).is_err());
    }
}
