//! Numbers that a step leaves where they were computed.

use causal_lm::Error;
use tch::{Device, Kind, Tensor};

/// One number. On a GPU it is asked for when somebody must know it, since that waits until the GPU has come so far.
#[derive(Debug)]
pub(crate) enum Scalar {
    /// Known.
    Host(f64),
    /// In a tensor without dimensions, float64.
    Device(Tensor),
}

impl Scalar {
    /// Of a tensor with one number.
    ///
    /// # Errors
    /// [`Error::Torch`] for more than one, or where memory runs out.
    pub(crate) fn on_device(tensor: &Tensor) -> Result<Self, Error> {
        let tensor = tensor.f_detach()?.f_to_kind(Kind::Double)?;
        Ok(Self::Device(tensor.f_view(&[] as &[i64])?))
    }

    /// Whether it is a number, as 1 or 0 without dimensions on a device: float32.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub(crate) fn is_finite_on(&self, device: Device) -> Result<Tensor, Error> {
        Ok(match self {
            Self::Host(number) => {
                let is_finite = f64::from(u8::from(number.is_finite()));
                Tensor::f_full(&[] as &[i64], is_finite, (Kind::Float, device))?
            }
            Self::Device(tensor) => tensor.f_isfinite()?.f_to_kind(Kind::Float)?,
        })
    }

    /// The sum of two.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub(crate) fn add(self, other: Self) -> Result<Self, Error> {
        Ok(match (self, other) {
            (Self::Host(first), Self::Host(second)) => Self::Host(first + second),
            (Self::Device(first), Self::Device(second)) => Self::Device(first.f_add(&second)?),
            (Self::Device(tensor), Self::Host(number)) | (Self::Host(number), Self::Device(tensor)) => {
                Self::Device(tensor.f_add_scalar(number)?)
            }
        })
    }

    /// So many times the number.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub(crate) fn times(self, factor: f64) -> Result<Self, Error> {
        Ok(match self {
            Self::Host(number) => Self::Host(factor * number),
            Self::Device(tensor) => Self::Device(tensor.f_mul_scalar(factor)?),
        })
    }

    /// The number.
    ///
    /// # Errors
    /// [`Error::Torch`] where the device fails.
    pub(crate) fn value(&self) -> Result<f64, Error> {
        match self {
            Self::Host(number) => Ok(*number),
            Self::Device(tensor) => Ok(tensor.f_double_value(&[])?),
        }
    }

    /// Several numbers, copied from their device at once.
    ///
    /// # Errors
    /// [`Error::Torch`] where the device fails.
    pub(crate) fn values(scalars: &[&Self]) -> Result<Vec<f64>, Error> {
        let on_device: Vec<&Tensor> = scalars
            .iter()
            .filter_map(|scalar| match scalar {
                Self::Device(tensor) => Some(tensor),
                Self::Host(_) => None,
            })
            .collect();
        let mut copied = if on_device.is_empty() {
            Vec::new()
        } else {
            let stacked = Tensor::f_stack(&on_device, 0)?.f_to_device(Device::Cpu)?;
            Vec::<f64>::try_from(&stacked)?
        }
        .into_iter();
        let known = scalars.iter().map(|scalar| match scalar {
            Self::Host(number) => Some(*number),
            Self::Device(_) => copied.next(),
        });
        known
            .collect::<Option<Vec<f64>>>()
            .ok_or_else(|| contract::Error::Run("numbers of a step were lost".to_owned()).into())
    }
}
