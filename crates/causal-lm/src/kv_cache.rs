//! Keys and values of the tokens read so far, one pair of buffers a layer.
//!
//! The buffers are made once, for as many rows and tokens as a batch may come to have, and the next batch of the same shape or a smaller
//! one uses them again. Rows that change places are gathered into one more buffer, which takes the place of the one that they come
//! from; that one takes the rows of the next layer.

use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::virtual_tokens::Prefix;

/// Buffers hold a multiple of this many tokens a row, so that batches of nearly one length use the same.
const TOKENS_STEP: i64 = 32;

/// Keys and values of up to `capacity` tokens for each row of a batch.
#[derive(Debug)]
pub struct KvCache {
    /// Tokens that a row may have.
    capacity: i64,
    /// Rows that the batch may come to have.
    max_rows: i64,
    /// Tokens held for each row.
    length: i64,
    /// Rows that hold them.
    rows: i64,
    /// Of each layer keys and values, `[rows, heads, tokens, width]` with at least the rows and tokens above.
    layers: Vec<Option<[Tensor; 2]>>,
    /// A buffer of the same size that holds nothing.
    spare: Option<Tensor>,
    /// Keys and values that the first tokens are given in place of their own.
    prefix: Option<Prefix>,
}

impl KvCache {
    /// An empty cache for `layers` layers and at most `capacity` tokens; the buffers are made at first use.
    pub fn new(layers: usize, capacity: usize) -> Self {
        Self {
            capacity: capacity as i64,
            max_rows: 0,
            length: 0,
            rows: 0,
            layers: (0..layers).map(|_| None).collect(),
            spare: None,
            prefix: None,
        }
    }

    /// Empties the cache for a batch that may come to have `rows` rows of `capacity` tokens. Buffers that are too small are given back
    /// before larger ones are made.
    pub(crate) fn restart(&mut self, rows: usize, capacity: usize) {
        self.capacity = capacity as i64;
        self.max_rows = rows as i64;
        self.length = 0;
        self.rows = 0;
        self.prefix = None;
        let is_enough = |buffer: &Tensor| {
            let size = buffer.size();
            size[0] >= rows as i64 && size[2] >= capacity as i64
        };
        for layer in &mut self.layers {
            if layer.as_ref().is_some_and(|[keys, _]| !is_enough(keys)) {
                *layer = None;
            }
        }
        self.spare.take_if(|spare| !is_enough(spare));
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

    /// Bytes of the buffers, whatever they hold.
    pub fn bytes(&self) -> usize {
        let buffers = self.layers.iter().flatten().flatten().chain(&self.spare);
        buffers
            .map(|buffer| buffer.numel() * buffer.kind().elt_size_in_bytes())
            .sum()
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
        if self.length > 0 && rows != self.rows {
            return Err(contract::Error::Run(format!(
                "the key-value cache holds {} rows and was given tokens of {rows}",
                self.rows
            ))
            .into());
        }
        self.rows = rows;
        let needed = Needed {
            size: [rows.max(self.max_rows), heads, self.capacity, width],
            kind: keys.kind(),
            device: keys.device(),
        };
        let place = &mut self.layers[layer];
        // What it holds of an earlier batch counts for nothing; what it holds of this one fits.
        if self.length == 0 {
            place.take_if(|[keys, _]| !needed.is_met_by(keys));
        }
        let [all_keys, all_values] = match place {
            Some(buffers) => buffers,
            empty => empty.insert([needed.buffer()?, needed.buffer()?]),
        };
        let written = |all: &Tensor, new: &Tensor| -> Result<Tensor, Error> {
            let all = all.f_narrow(0, 0, rows)?;
            all.f_narrow(2, self.length, tokens)?.f_copy_(new)?;
            Ok(all.f_narrow(2, 0, held)?)
        };
        let (held_keys, held_values) = (written(all_keys, keys)?, written(all_values, values)?);
        if let Some(prefix) = self.prefix.as_ref().filter(|_| self.length == 0) {
            prefix.write(layer, &held_keys, &held_values)?;
        }
        Ok((held_keys, held_values))
    }

    /// Counts `tokens` as read; called once all layers have appended them.
    pub(crate) fn advance(&mut self, tokens: i64) {
        self.length += tokens;
    }

    /// Goes on with the given rows (int64), in that order; a row may be taken several times, so that samples of one prompt share the
    /// work of reading it.
    ///
    /// # Errors
    /// [`Error::Torch`] where a row does not exist.
    pub fn select(&mut self, rows: &Tensor) -> Result<(), Error> {
        debug_assert_eq!(rows.kind(), Kind::Int64);
        let count = rows.size1()?;
        for buffer in self.layers.iter_mut().flatten().flatten() {
            let size = buffer.size4()?;
            let needed = Needed {
                size: [size.0.max(count), size.1, size.2, size.3],
                kind: buffer.kind(),
                device: buffer.device(),
            };
            let target = match self.spare.take().filter(|spare| needed.is_met_by(spare)) {
                Some(spare) => spare,
                None => needed.buffer()?,
            };
            let held = buffer.f_narrow(0, 0, self.rows)?.f_narrow(2, 0, self.length)?;
            let gathered = target.f_narrow(0, 0, count)?.f_narrow(2, 0, self.length)?;
            let _gathered = held.f_index_select_out(&gathered, 0, rows)?;
            self.spare = Some(std::mem::replace(buffer, target));
        }
        self.rows = count;
        self.prefix = None;
        Ok(())
    }
}

/// What a buffer has to be.
struct Needed {
    /// Rows, heads, tokens and head width; of rows and tokens there may be more.
    size: [i64; 4],
    kind: Kind,
    device: Device,
}

impl Needed {
    fn is_met_by(&self, buffer: &Tensor) -> bool {
        let [rows, heads, tokens, width] = self.size;
        let size = buffer.size();
        size[0] >= rows
            && size[1] == heads
            && size[2] >= tokens
            && size[3] == width
            && (buffer.kind(), buffer.device()) == (self.kind, self.device)
    }

    fn buffer(&self) -> Result<Tensor, Error> {
        let [rows, heads, tokens, width] = self.size;
        let tokens = (tokens.max(1) + TOKENS_STEP - 1) / TOKENS_STEP * TOKENS_STEP;
        Ok(Tensor::f_empty(
            [rows, heads, tokens, width],
            (self.kind, self.device),
        )?)
    }
}
