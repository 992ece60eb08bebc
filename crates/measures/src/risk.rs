//! Which documents of a corpus would a model that is tuned on it give back? What can be said before it is tuned.
//!
//! Two things are known to decide it. What a model gives back grows with the logarithm of how often the text was trained on (Carlini et
//! al., "Quantifying Memorization Across Neural Language Models", 2023; Kandpal et al. 2022 and Lee et al. 2022 for near-duplicates and
//! passages). And of texts that were trained on equally often, those come out first that need the least learning: a continuation comes out
//! where every token of it has become likely, and its loss before tuning says how far that is (the reference of "counterfactual"
//! memorization, Zhang et al. 2023, is that loss). [`extraction_risk`] joins the two as a power law: a loss that falls as the inverse of how
//! often a text was trained on has fallen to L₀ ÷ exposures, and the risk is the negative logarithm of that. No constant in it was fitted;
//! how well it ranks is measured in the README of the crate `corpus-check`.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::error::{Result, require, require_count};

/// How often a text's wording occurs in a training set, in bits: the mean of log2 of `instances`, which says of each passage of the text
/// (of equal length) how many training instances hold it, its own included. A text that occurs c times and shares nothing has log2 c;
/// where half of it occurs four times and half once, it is 1. The logarithm of the geometric mean: a short passage that everybody has
/// weighs no more than its length.
///
/// # Errors
/// [`crate::MeasureError`] where there is no passage, or one that no instance holds.
pub fn exposure_bits(instances: &[u64]) -> Result<f64> {
    require_count("passages of the text", instances.len(), 1)?;
    let fewest = instances.iter().min().copied().unwrap_or(0);
    require(
        fewest > 0,
        "instances that hold a passage of the text",
        "at least 1: the text itself",
        fewest as f64,
    )?;
    let bits: f64 = instances.iter().map(|&instances| (instances as f64).log2()).sum();
    Ok(bits / instances.len() as f64)
}

/// How often the passage of a text that occurs most often occurs, in bits: the largest [`exposure_bits`] of any `window` consecutive passages
/// (of all, where there are fewer). What comes out of a model is a passage, not a document: of a long text of which one page is in many
/// others, that page comes out.
///
/// # Errors
/// As [`exposure_bits`], and [`crate::MeasureError`] for a window of none.
pub fn peak_exposure_bits(instances: &[u64], window: usize) -> Result<f64> {
    require_count("passages of a window", window, 1)?;
    let mut peak = exposure_bits(&instances[..window.min(instances.len())])?;
    for passages in instances.windows(window).skip(1) {
        peak = peak.max(exposure_bits(passages)?);
    }
    Ok(peak)
}

/// The risk that a text is given back, in bits: `exposure_bits` − log2 `loss`, where `loss` is that of the text under the model before
/// tuning (nats per token), or another figure that is proportional to it (compressed nats a character). Any real number; the larger, the
/// likelier. It ranks texts of one corpus and one model, and is no probability: one bit more is twice the copies, or half the loss.
///
/// # Errors
/// [`crate::MeasureError`] where one of them is NaN or infinite, `exposure_bits` is negative, or `loss` is not over 0.
pub fn extraction_risk(exposure_bits: f64, loss: f64) -> Result<f64> {
    require(
        exposure_bits.is_finite() && exposure_bits >= 0.0,
        "exposure in bits",
        "a number of at least 0",
        exposure_bits,
    )?;
    require(
        loss.is_finite() && loss > 0.0,
        "loss before tuning",
        "a number over 0",
        loss,
    )?;
    Ok(exposure_bits - loss.log2())
}

/// Bytes that zlib makes of a text (level 6, its default): the entropy that a compressor without any knowledge of language leaves
/// (Carlini et al. 2021). Eight bytes for no text at all.
pub fn zlib_bytes(text: &str) -> usize {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to memory cannot fail.
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.map_or(0, |compressed| compressed.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposure_is_the_logarithm_of_the_geometric_mean() {
        // Eight copies that share nothing: 2³ each.
        assert_eq!(exposure_bits(&[8; 40]).unwrap(), 3.0);
        // Half of it four times, half once: (2 + 0) ÷ 2.
        assert_eq!(exposure_bits(&[4, 4, 1, 1]).unwrap(), 1.0);
        assert_eq!(exposure_bits(&[1]).unwrap(), 0.0);
        assert!(exposure_bits(&[]).is_err() && exposure_bits(&[1, 0]).is_err());
    }

    #[test]
    fn the_peak_is_that_of_the_passage_that_occurs_most_often() {
        let instances = [1, 1, 1, 8, 8, 2, 1];
        // (3 + 3) ÷ 2, (3 + 3 + 1) ÷ 3, and over all of it 7 ÷ 7.
        assert_eq!(peak_exposure_bits(&instances, 2).unwrap(), 3.0);
        assert_eq!(peak_exposure_bits(&instances, 3).unwrap(), 7.0 / 3.0);
        for window in [7, 100] {
            assert_eq!(peak_exposure_bits(&instances, window).unwrap(), 1.0);
        }
        assert!(peak_exposure_bits(&instances, 0).is_err() && peak_exposure_bits(&[], 2).is_err());
    }

    #[test]
    fn twice_the_copies_or_half_the_loss_are_one_bit_of_risk() {
        // 16 copies at 4 nats: 4 − 2.
        assert_eq!(extraction_risk(4.0, 4.0).unwrap(), 2.0);
        assert_eq!(extraction_risk(5.0, 4.0).unwrap(), 3.0);
        assert_eq!(extraction_risk(4.0, 2.0).unwrap(), 3.0);
        assert_eq!(extraction_risk(0.0, 0.5).unwrap(), 1.0);
        for (exposure, loss) in [
            (f64::NAN, 1.0),
            (-1.0, 1.0),
            (1.0, 0.0),
            (1.0, f64::INFINITY),
            (1.0, f64::NAN),
        ] {
            assert!(extraction_risk(exposure, loss).is_err(), "{exposure} {loss}");
        }
    }

    #[test]
    fn repeated_text_is_compressed_and_random_text_hardly() {
        assert_eq!(zlib_bytes(""), 8);
        assert!(zlib_bytes(&"the same words again and again. ".repeat(40)) < 60);
        let mut state = 1_u64;
        let letters: String = (0..1000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b'a' + ((state >> 33) % 26) as u8)
            })
            .collect();
        // 1000 letters of 26 that are equally likely: 1000 × log2 26 ÷ 8 = 588 bytes.
        assert!(zlib_bytes(&letters) > 580);
    }
}
