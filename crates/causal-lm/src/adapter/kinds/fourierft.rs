//! FourierFT (Gao et al. 2024): scale · the real part of the inverse Fourier transform of a spectrum with few numbers.

use model_folder::adapter::FourierFt;
use tch::{Device, Kind, Tensor};

use super::{Effect, Stored};
use crate::Error;
use crate::parts::Linear;
use crate::seeded::seeded;

pub(super) fn effect(change: &FourierFt, layer: &Linear, stored: &Stored<'_>) -> Result<Effect, Error> {
    let spectrum = stored.tensor(&change.spectrum)?;
    let (rows, columns) = (layer.out_features(), layer.in_features());
    let key = format!("places of {}", rows * columns);
    let places = stored.drawn(&key, || {
        let options = (Kind::Int64, Device::Cpu);
        let order = seeded(change.seed, || Tensor::f_randperm(rows * columns, options))?;
        Ok(vec![order])
    })?;
    let places = places[0].f_narrow(0, 0, spectrum.size1()?)?;
    let dense = Tensor::f_zeros([rows * columns], (Kind::Float, Device::Cpu))?;
    let dense = dense
        .f_index_copy(0, &places, &spectrum)?
        .f_view([rows, columns])?;
    let update = dense
        .f_fft_ifft2(None::<&[i64]>, [-2, -1].as_slice(), "backward")?
        .f_real()?;
    Effect::added(layer, &update.f_mul_scalar(change.scale)?)
}
