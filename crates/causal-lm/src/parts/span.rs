//! Where in its sequences a batch of tokens stands, and which keys its queries may see.

use std::collections::BTreeMap;
use std::rc::Rc;

use tch::{Device, Kind, Tensor};
use torch_device::ComputePath;
use torch_device::upload::upload;

use super::Together;
use crate::{Error, KvCache, LeftPadding};

/// A batch of tokens behind what is cached already.
#[derive(Debug)]
pub(crate) struct Span<'a> {
    past: i64,
    length: i64,
    padding: Option<&'a LeftPadding>,
    /// Lengths of the documents that stand one behind the other in the one row that there is.
    documents: Option<&'a [i64]>,
    /// How documents are attended to.
    path: ComputePath,
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
        let length = length_of(tokens)?;
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
            documents: None,
            path: ComputePath::Host,
            device: tokens.device(),
        })
    }

    /// The span of rows of `length` tokens that nothing stands before.
    pub(super) fn of_length(length: i64, device: Device) -> Self {
        Self {
            past: 0,
            length,
            padding: None,
            documents: None,
            path: ComputePath::Host,
            device,
        }
    }

    /// The span of documents that stand one behind the other in the one row of `tokens` `[1, tokens]`, each of which sees itself
    /// alone.
    ///
    /// # Errors
    /// [`contract::Error::Run`] where a document does not fit into `context`.
    pub(crate) fn of_documents(
        tokens: &Tensor,
        documents: &'a [i64],
        path: ComputePath,
        context: usize,
    ) -> Result<Self, Error> {
        let longest = documents.iter().copied().max().unwrap_or(0);
        if longest > context as i64 {
            let problem =
                format!("a document of {longest} tokens does not fit into the model's context of {context}");
            return Err(contract::Error::Run(problem).into());
        }
        Ok(Self {
            past: 0,
            length: length_of(tokens)?,
            padding: None,
            documents: Some(documents),
            path,
            device: tokens.device(),
        })
    }

    /// Tokens of the batch in each row.
    pub(crate) fn length(&self) -> i64 {
        self.length
    }

    /// Positions `[rows, tokens]`, or `[1, tokens]` where all rows have the same.
    pub(crate) fn positions(&self) -> Result<Tensor, Error> {
        if let Some(documents) = self.documents {
            let positions: Vec<i64> = documents.iter().flat_map(|&length| 0..length).collect();
            return Ok(upload(&positions, self.device)?.f_unsqueeze(0)?);
        }
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
        if let Some(documents) = self.documents {
            let documents = match self.path {
                ComputePath::Host => self.masks_of_documents(documents, window)?,
                ComputePath::Device => Documents::Together(Together::new(documents, window, self.device)?),
            };
            return Ok(Masks {
                documents: Some(documents),
                ..Masks::none()
            });
        }
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
            documents: None,
        })
    }

    /// The masks of each document; those of one length share theirs.
    fn masks_of_documents(&self, documents: &[i64], window: Option<i64>) -> Result<Documents, Error> {
        let mut by_length: BTreeMap<i64, Rc<Masks>> = BTreeMap::new();
        let mut masks = Vec::with_capacity(documents.len());
        for &length in documents {
            let of_length = match by_length.get(&length) {
                Some(found) => Rc::clone(found),
                None => {
                    let alone = Span {
                        length,
                        documents: None,
                        ..*self
                    };
                    let made = Rc::new(alone.masks(window)?);
                    by_length.insert(length, Rc::clone(&made));
                    made
                }
            };
            masks.push((length, of_length));
        }
        Ok(Documents::OneByOne(masks))
    }

    fn ones(&self) -> Result<Tensor, Error> {
        let shape = [self.length, self.past + self.length];
        Ok(Tensor::f_ones(shape, (Kind::Bool, self.device))?)
    }

    fn triangle(&self) -> Result<Tensor, Error> {
        Ok(self.ones()?.f_tril(self.past)?)
    }
}

/// Tokens in each row of `[rows, tokens]` or `[rows, tokens, width]`.
fn length_of(tokens: &Tensor) -> Result<i64, Error> {
    Ok(match tokens.size()[..] {
        [_, length] | [_, length, _] => length,
        _ => tokens.size2()?.1,
    })
}

/// Which keys each query may attend to: boolean, broadcast to `[rows, heads, tokens, held]`.
#[derive(Debug)]
pub(crate) struct Masks {
    causal: bool,
    full: Option<Tensor>,
    windowed: Option<Tensor>,
    /// The documents, where each sees itself alone.
    documents: Option<Documents>,
}

/// Documents that stand one behind the other, each of which sees itself alone.
#[derive(Debug)]
pub(crate) enum Documents {
    /// Lengths and masks, for attention to each by itself.
    OneByOne(Vec<(i64, Rc<Masks>)>),
    /// All at once.
    Together(Together),
}

impl Masks {
    /// Every query sees every key.
    pub(super) fn none() -> Self {
        Self {
            causal: false,
            full: None,
            windowed: None,
            documents: None,
        }
    }

    /// The documents that stand one behind the other.
    pub(super) fn documents(&self) -> Option<&Documents> {
        self.documents.as_ref()
    }

    /// The mask of a layer; `None` where LibTorch's own causal mask, or none at all, does it.
    pub(crate) fn choose(&self, windowed: bool) -> Option<&Tensor> {
        self.windowed.as_ref().filter(|_| windowed).or(self.full.as_ref())
    }

    /// Whether LibTorch's own causal mask is what a layer needs.
    pub(crate) fn causal(&self, windowed: bool) -> bool {
        self.causal && self.choose(windowed).is_none()
    }
}
