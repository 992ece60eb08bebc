//! The LM head: from hidden states to logits, for training, scoring and decoding alike. What a family makes of the products of
//! hidden states and weight, a divisor and a soft cap, is in [`logits_of`] alone, and its derivative in [`LmHead::reversible`].

use cpu_kernels::DifferentiableProduct;
use model_folder::LogitSettings;
use tch::{Kind, Tensor};

use crate::Error;
use crate::parts::cast;

/// The LM head of a model: its weight, and what becomes of the products.
#[derive(Debug)]
pub struct LmHead {
    /// `[vocabulary, width]`.
    weight: Tensor,
    settings: LogitSettings,
}

impl LmHead {
    pub(crate) fn new(weight: &Tensor, settings: LogitSettings) -> Self {
        Self {
            weight: weight.shallow_clone(),
            settings,
        }
    }

    /// The same head with its weight in another precision.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn to_kind(&self, kind: Kind) -> Result<Self, Error> {
        Ok(Self::new(&cast(&self.weight, kind)?, self.settings))
    }

    /// Tokens that it has logits for.
    pub fn vocabulary(&self) -> usize {
        self.weight.size().first().map_or(0, |&entries| entries as usize)
    }

    /// How many matrices of the size of the logits are held until their gradients are taken.
    pub fn held_matrices(&self) -> usize {
        1 + usize::from(self.settings.cap.is_some())
    }

    /// Logits `[rows, vocabulary]` of hidden states `[rows, width]`, computed in their precision. Gradients will be asked for of
    /// the hidden states, the weight, or both.
    ///
    /// # Errors
    /// [`Error::Torch`] for wrong shapes, or where memory runs out.
    pub fn reversible(
        &self,
        hidden: &Tensor,
        of_hidden: bool,
        of_weight: bool,
    ) -> Result<ReversibleLogits, Error> {
        let _guard = tch::no_grad_guard();
        let weight = cast(&self.weight.f_detach()?, hidden.kind())?;
        let product = DifferentiableProduct::new(hidden, &weight, of_hidden, of_weight)?;
        let logits = logits_of(self.settings, product.output()?)?;
        let derivative = match self.settings.cap {
            Some(cap) if of_hidden || of_weight => {
                // 1 − (logit / cap)², before the logits are overwritten.
                let slope = logits
                    .f_div_scalar(cap)?
                    .f_square_()?
                    .f_neg_()?
                    .f_add_scalar_(1.0)?;
                Derivative::Each(slope.f_div_scalar(self.settings.divisor)?)
            }
            _ => Derivative::Constant(1.0 / self.settings.divisor),
        };
        Ok(ReversibleLogits {
            product,
            logits,
            derivative,
        })
    }
}

/// Logits that are gone back through by hand, with whatever gradient they are given.
#[derive(Debug)]
pub struct ReversibleLogits {
    product: DifferentiableProduct,
    logits: Tensor,
    derivative: Derivative,
}

/// The derivative of each logit by its product.
#[derive(Debug)]
enum Derivative {
    /// Of all alike.
    Constant(f64),
    /// Of each its own, `[rows, vocabulary]`.
    Each(Tensor),
}

impl ReversibleLogits {
    /// The logits `[rows, vocabulary]`, those of a row side by side. They may be overwritten: nothing here reads them again.
    pub fn logits(&self) -> Tensor {
        self.logits.shallow_clone()
    }

    /// Gradients of hidden states and weight, those that were asked for, from `upstream` `[rows, vocabulary]`, the gradient of the
    /// logits.
    ///
    /// # Errors
    /// [`Error::Torch`] for a shape that does not fit, or where memory runs out.
    pub fn gradients(&self, upstream: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>), Error> {
        let _guard = tch::no_grad_guard();
        Ok(match &self.derivative {
            Derivative::Constant(1.0) => self.product.gradients(upstream)?,
            Derivative::Constant(factor) => self.product.gradients(&upstream.f_mul_scalar(*factor)?)?,
            Derivative::Each(factors) => self.product.gradients(&upstream.f_mul(factors)?)?,
        })
    }
}

/// Logits of products `[…, vocabulary]` of hidden states and LM head: cap · tanh(product / divisor / cap). In the products' own
/// memory where no gradient is taken.
pub(crate) fn logits_of(settings: LogitSettings, products: Tensor) -> Result<Tensor, Error> {
    let LogitSettings { divisor, cap } = settings;
    let mut logits = products;
    if settings == LogitSettings::default() {
        return Ok(logits);
    }
    if logits.requires_grad() {
        logits = logits.f_div_scalar(divisor)?;
        if let Some(cap) = cap {
            logits = logits.f_div_scalar(cap)?.f_tanh()?.f_mul_scalar(cap)?;
        }
        return Ok(logits);
    }
    logits = logits.f_div_scalar_(divisor)?;
    if let Some(cap) = cap {
        logits = logits.f_div_scalar_(cap)?.f_tanh_()?.f_mul_scalar_(cap)?;
    }
    Ok(logits)
}
