//! Keys and values of the tokens read so far, one pair of buffers a layer.

use tch::{Kind, Tensor};

use crate::Error;
use crate::virtual_tokens::Prefix;

/// Keys and values of up to `capacity` tokens for each row of a batch.
#[derive(Debug)]
pub struct KvCache {
    capacity: i64,
    length: i64,
    layers: Vec<Option<(Tensor, Tensor)>>,
    /// Keys and values that the first tokens are given in place of their own.
    prefix: Option<Prefix>,
}

impl KvCache {
    /// An empty cache for `layers` layers and at most `capacity` tokens; the buffers are made at first use.
    pub fn new(layers: usize, capacity: usize) -> Self {
        Self {
            capacity: capacity as i64,
            length: 0,
            layers: (0..layers).map(|_| None).collect(),
            prefix: None,
        }
    }

    /// Gives the tokens that are read first keys and values of virtual tokens.
    pub(crate) fn begin_with(&mut self, prefix: Option<Prefix>) {
        self.prefix = prefix;
    }

    /// Tokens held for each row.
    pub fn len(&self) -> i64 {
        self.length
    }

    /// Whether nothing has been read yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends keys and values `[rows, heads, tokens, head width]` of one layer and returns all held, oldest first.
    pub(crate) fn append(
        &mut self,
        layer: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor), Error> {
        let (rows, heads, tokens, width) = keys.size4()?;
        let held = self.length + tokens;
        if held > self.capacity {
            return Err(contract::Error::Run(format!(
                "the key-value cache holds {} tokens and was given {tokens} beyond {}",
                self.capacity, self.length
            ))
            .into());
        }
        let (all_keys, all_values) = self.layers[layer].get_or_insert_with(|| {
            let size = [rows, heads, self.capacity, width];
            let options = (keys.kind(), keys.device());
            (Tensor::empty(size, options), Tensor::empty(size, options))
        });
        all_keys.f_narrow(2, self.length, tokens)?.f_copy_(keys)?;
        all_values.f_narrow(2, self.length, tokens)?.f_copy_(values)?;
        let (held_keys, held_values) = (all_keys.f_narrow(2, 0, held)?, all_values.f_narrow(2, 0, held)?);
        if let Some(prefix) = self.prefix.as_ref().filter(|_| self.length == 0) {
            prefix.write(layer, &held_keys, &held_values)?;
        }
        Ok((held_keys, held_values))
    }

    /// Counts `tokens` as read; called once all layers have appended them.
    pub(crate) fn advance(&mut self, tokens: i64) {
        self.length += tokens;
    }

    /// A cache of the given rows, in that order; a row may be taken several times, so that samples of one prompt share
    /// the work of reading it.
    ///
    /// # Errors
    /// [`Error::Torch`] where a row does not exist.
    pub fn select(&self, rows: &Tensor) -> Result<Self, Error> {
        debug_assert_eq!(rows.kind(), Kind::Int64);
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            layers.push(match layer {
                Some((keys, values)) => {
                    Some((keys.f_index_select(0, rows)?, values.f_index_select(0, rows)?))
                }
                None => None,
            });
        }
        Ok(Self {
            capacity: self.capacity,
            length: self.length,
            layers,
            prefix: None,
        })
    }
}
