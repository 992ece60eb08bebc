//! Rotary positions (Su et al. 2021): each pair of a query's or key's numbers is rotated by an angle that grows with the
//! position. Pairs are numbers of the first and of the second half, as the Hugging Face formats have them.

use model_folder::{FrequencyScaling, RotarySettings};
use tch::{Device, Kind, Tensor};

use super::cast;
use crate::Error;

/// The frequencies of a model's rotary positions.
#[derive(Debug)]
pub(crate) struct Rotary {
    /// `[rotated / 2]`, float32.
    frequencies: Tensor,
    /// Factor on cosines and sines.
    attention_factor: f64,
    /// Whether the tables are kept in float32 whatever the model computes in.
    in_float32: bool,
}

/// Cosines and sines of some positions, `[rows, 1, tokens, rotated]`.
#[derive(Debug)]
pub(crate) struct RotaryTables {
    cosines: Tensor,
    sines: Tensor,
}

impl Rotary {
    pub(crate) fn new(settings: &RotarySettings, device: Device) -> Result<Self, Error> {
        // In float32 and in this order, as transformers computes them: at position 8,000 the last bit is seen.
        let exponents = Tensor::f_arange_start_step(0, settings.rotated, 2, (Kind::Int64, Device::Cpu))?
            .f_to_kind(Kind::Float)?
            .f_div_scalar(settings.rotated as f64)?;
        let wavelengths = Tensor::f_pow_scalar(settings.theta, &exponents)?;
        let frequencies = wavelengths.f_reciprocal()?;
        let mut attention_factor = 1.0;
        let frequencies = match &settings.scaling {
            FrequencyScaling::None => frequencies,
            FrequencyScaling::Linear { factor } => frequencies.f_div_scalar(*factor)?,
            FrequencyScaling::LongRope {
                factors,
                attention_factor: on_tables,
            } => {
                attention_factor = *on_tables;
                let factors = Tensor::f_from_slice(factors)?.f_to_kind(Kind::Float)?;
                factors.f_mul(&wavelengths)?.f_reciprocal()?
            }
            FrequencyScaling::Llama3 {
                factor,
                low,
                high,
                original_context,
            } => {
                // How many waves fit into the original context, and from that how much of a frequency is kept.
                let waves = frequencies.f_mul_scalar(original_context / (2.0 * std::f64::consts::PI))?;
                let kept = waves
                    .f_sub_scalar(*low)?
                    .f_div_scalar(high - low)?
                    .f_clamp(0.0, 1.0)?;
                let stretched = frequencies.f_div_scalar(*factor)?;
                stretched.f_lerp_tensor(&frequencies, &kept)?
            }
        };
        Ok(Self {
            frequencies: frequencies.f_to_device(device)?,
            attention_factor,
            in_float32: settings.in_float32,
        })
    }

    /// The tables of `positions` `[rows, tokens]`, computed in float32 and given in `kind`.
    pub(crate) fn tables(&self, positions: &Tensor, kind: Kind) -> Result<RotaryTables, Error> {
        let angles = positions
            .f_to_kind(Kind::Float)?
            .f_unsqueeze(-1)?
            .f_mul(&self.frequencies)?;
        let both_halves = Tensor::f_cat(&[&angles, &angles], -1)?.f_unsqueeze(1)?;
        let kind = if self.in_float32 { Kind::Float } else { kind };
        let (mut cosines, mut sines) = (both_halves.f_cos()?, both_halves.f_sin()?);
        if self.attention_factor != 1.0 {
            cosines = cosines.f_mul_scalar(self.attention_factor)?;
            sines = sines.f_mul_scalar(self.attention_factor)?;
        }
        Ok(RotaryTables {
            cosines: cosines.f_to_kind(kind)?,
            sines: sines.f_to_kind(kind)?,
        })
    }
}

impl RotaryTables {
    /// Rotates queries or keys `[rows, heads, tokens, width]`.
    pub(crate) fn apply(&self, input: &Tensor) -> Result<Tensor, Error> {
        let (rotated, width) = (self.cosines.size4()?.3, input.size4()?.3);
        let rotated_part = input.f_narrow(-1, 0, rotated)?;
        let half = rotated / 2;
        let (first, second) = (
            rotated_part.f_narrow(-1, 0, half)?,
            rotated_part.f_narrow(-1, half, half)?,
        );
        let across = Tensor::f_cat(&[second.f_neg()?, first], -1)?;
        // Of two precisions LibTorch takes the higher.
        let rotated_part = rotated_part
            .f_mul(&self.cosines)?
            .f_add(&across.f_mul(&self.sines)?)?;
        let rotated_part = cast(&rotated_part, input.kind())?;
        if rotated == width {
            return Ok(rotated_part);
        }
        let rest = input.f_narrow(-1, rotated, width - rotated)?;
        Ok(Tensor::f_cat(&[rotated_part, rest], -1)?)
    }
}
