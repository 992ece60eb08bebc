//! Where in its sequences a batch of tokens stands, and which keys its queries may see.

use tch::{Device, Kind, Tensor};

use crate::{Error, KvCache, LeftPadding};

/// A batch of tokens behind what is cached already.
#[derive(Debug)]
pub(crate) struct Span<'a> {
    past: i64,
    length: i64,
    padding: Option<&'a LeftPadding>,
    device: Device,
}

impl<'a> Span<'a> {
    /// The span of `tokens` `[rows, tokens]`, or of their vectors `[rows, tokens, width]`, behind what `cache` holds.
    ///
    /// # Errors
    /// [`contract::Error::Run`] where both together do not fit into `context`.
    pub(crate) fn new(
        tokens: &Tensor,
        padding: Option<&'a LeftPadding>,
        cache: Option<&KvCache>,
        context: usize,
    ) -> Result<Self, Error> {
        let length = match tokens.size()[..] {
            [_, length] | [_, length, _] => length,
            _ => tokens.size2()?.1,
        };
        let past = cache.map_or(0, KvCache::len);
        if past + length > context as i64 {
            let problem = format!(
                "{} tokens do not fit into the model's context of {context}",
                past + length
            );
            return Err(contract::Error::Run(problem).into());
        }
        Ok(Self {
            past,
            length,
            padding,
            device: tokens.device(),
        })
    }

    /// Tokens of the batch in each row.
    pub(crate) fn length(&self) -> i64 {
        self.length
    }

    /// Positions `[rows, tokens]`, or `[1, tokens]` where all rows have the same.
    pub(crate) fn positions(&self) -> Result<Tensor, Error> {
        match self.padding {
            Some(padding) => padding.positions(self.past, self.length),
            None => {
                Ok(
                    Tensor::f_arange_start(self.past, self.past + self.length, (Kind::Int64, self.device))?
                        .f_unsqueeze(0)?,
                )
            }
        }
    }

    /// The masks of this span; with a `window`, also the one of layers that see only that many tokens, their own included.
    pub(crate) fn masks(&self, window: Option<i64>) -> Result<Masks, Error> {
        let held = self.past + self.length;
        let full = match self.padding {
            Some(padding) => Some(padding.mask(self.past, self.length)?),
            // Several tokens after a cache: each sees the whole cache and its elders among the new.
            None if self.past > 0 && self.length > 1 => Some(self.triangle()?),
            None => None,
        };
        // A window that nothing has left yet hides nothing.
        let windowed = match window.filter(|&window| window < held) {
            None => None,
            Some(window) => {
                let recent = self.ones()?.f_triu(self.past - window + 1)?;
                let visible = match &full {
                    Some(full) => full.shallow_clone(),
                    None => self.triangle()?,
                };
                Some(visible.f_logical_and(&recent)?)
            }
        };
        Ok(Masks {
            // LibTorch aligns a causal mask with the first key, so it is asked for only where nothing is cached yet.
            causal: self.past == 0 && self.length > 1,
            full,
            windowed,
        })
    }

    fn ones(&self) -> Result<Tensor, Error> {
        let shape = [self.length, self.past + self.length];
        Ok(Tensor::f_ones(shape, (Kind::Bool, self.device))?)
    }

    fn triangle(&self) -> Result<Tensor, Error> {
        Ok(self.ones()?.f_tril(self.past)?)
    }
}

/// Which keys each query may attend to: boolean, broadcast to `[rows, heads, tokens, held]`.
#[derive(Debug)]
pub(crate) struct Masks {
    causal: bool,
    full: Option<Tensor>,
    windowed: Option<Tensor>,
}

impl Masks {
    /// The mask of a layer; `None` where LibTorch's own causal mask, or none at all, does it.
    pub(crate) fn choose(&self, windowed: bool) -> Option<&Tensor> {
        self.windowed.as_ref().filter(|_| windowed).or(self.full.as_ref())
    }

    /// Whether LibTorch's own causal mask is what a layer needs.
    pub(crate) fn causal(&self, windowed: bool) -> bool {
        self.causal && self.choose(windowed).is_none()
    }
}
