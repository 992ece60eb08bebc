//! Rows that are decoded together: what each has read, and what the model says of its next token.

use causal_lm::{KvCache, LeftPadding};
use contract::Error;
use tch::{Kind, Tensor};

use crate::LoadedModel;

/// Rows behind their prompts, one token further with each step.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    model: &'a LoadedModel,
    cache: &'a mut KvCache,
    padding: Option<LeftPadding>,
    next: Tensor,
}

/// What a batch may grow to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Rows that it may come to have.
    pub(crate) rows: usize,
    /// Tokens that each may be given behind its prompt.
    pub(crate) new_tokens: usize,
}

impl<'a> Batch<'a> {
    /// Reads prompts, each behind the BOS, into a cache of this model, whatever it held before.
    pub(crate) fn read(
        loaded: &'a LoadedModel,
        cache: &'a mut KvCache,
        prompts: &[&[i64]],
        room: Room,
    ) -> Result<Self, Error> {
        let _guard = tch::no_grad_guard();
        let model = &loaded.model;
        let read: Vec<Vec<i64>> = prompts.iter().map(|prompt| loaded.add_bos(prompt)).collect();
        let longest = read.iter().map(Vec::len).max().unwrap_or(0);
        let mut tokens = Vec::with_capacity(read.len() * longest);
        let mut missing = Vec::with_capacity(read.len());
        for row in &read {
            let pad = longest - row.len();
            missing.push(pad as i64);
            tokens.extend(std::iter::repeat_n(model.config.eos_token_id(), pad));
            tokens.extend(row);
        }
        let device = model.device();
        let tokens = Tensor::from_slice(&tokens)
            .view([read.len() as i64, longest as i64])
            .to_device(device);
        let padding = LeftPadding::new(&missing, device);
        model.restart(cache, room.rows.max(read.len()), longest + room.new_tokens);
        let hidden = model.hidden(&tokens, padding.as_ref(), Some(&mut *cache))?;
        let next = model.logits(&hidden.select(1, longest as i64 - 1))?;
        Ok(Self {
            model: loaded,
            cache,
            padding,
            next,
        })
    }

    /// Goes on with these rows alone, in this order; a row may be taken several times, so that samples of one prompt share the
    /// work of reading it.
    pub(crate) fn select(&mut self, rows: &[i64]) -> Result<(), Error> {
        let _guard = tch::no_grad_guard();
        let rows = Tensor::from_slice(rows).to_device(self.model.model.device());
        self.cache.select(&rows)?;
        self.padding = match &self.padding {
            Some(padding) => Some(padding.select(&rows)?),
            None => None,
        };
        self.next = self
            .next
            .f_index_select(0, &rows)
            .map_err(causal_lm::Error::from)?;
        Ok(())
    }

    /// Reads one more token in each row.
    pub(crate) fn advance_by(&mut self, tokens: &[i64]) -> Result<(), Error> {
        self.advance(&Tensor::from_slice(tokens).to_device(self.model.model.device()))
    }

    /// Reads one more token in each row, `[rows]` (int64) on the model's device.
    pub(crate) fn advance(&mut self, tokens: &Tensor) -> Result<(), Error> {
        let _guard = tch::no_grad_guard();
        let model = &self.model.model;
        let tokens = tokens.f_unsqueeze(1).map_err(causal_lm::Error::from)?;
        let hidden = model.hidden(&tokens, self.padding.as_ref(), Some(&mut *self.cache))?;
        self.next = model.logits(&hidden.squeeze_dim(1))?;
        Ok(())
    }

    /// Reads as many more tokens in each row, `[rows, tokens]`, and says what comes behind each: hidden states of which
    /// [`Batch::logits_behind`] makes logits.
    pub(crate) fn read_on(&mut self, tokens: &[i64]) -> Result<Tensor, Error> {
        let _guard = tch::no_grad_guard();
        let model = &self.model.model;
        let rows = self.next.size()[0];
        let tokens = Tensor::from_slice(tokens)
            .f_view([rows, -1])
            .map_err(causal_lm::Error::from)?
            .to_device(model.device());
        Ok(model.hidden(&tokens, self.padding.as_ref(), Some(&mut *self.cache))?)
    }

    /// What the model says of each row's token behind one place of hidden states `[rows, tokens, width]`, on the host.
    pub(crate) fn logits_behind(&self, hidden: &Tensor, place: usize) -> Result<Logits, Error> {
        let _guard = tch::no_grad_guard();
        let hidden = hidden.f_select(1, place as i64).map_err(causal_lm::Error::from)?;
        Logits::of(&self.model.model.logits(&hidden)?)
    }

    /// What the model says of each row's next token: logits `[rows, vocabulary]` on its device.
    pub(crate) fn logits(&self) -> &Tensor {
        &self.next
    }

    /// The same on the host.
    pub(crate) fn host_logits(&self) -> Result<Logits, Error> {
        Logits::of(&self.next)
    }
}

/// Logits of several places on the host, row by row.
#[derive(Debug)]
pub(crate) struct Logits {
    values: Vec<f32>,
    normalizers: Vec<f32>,
    vocabulary: usize,
}

impl Logits {
    /// Takes logits `[rows, vocabulary]` off the device.
    pub(crate) fn of(logits: &Tensor) -> Result<Self, Error> {
        let vocabulary = logits.size2().map_err(causal_lm::Error::from)?.1 as usize;
        let normalizers = logits
            .f_logsumexp([-1].as_slice(), false)
            .map_err(causal_lm::Error::from)?;
        let normalizers = floats(&normalizers)?;
        if normalizers.iter().any(|normalizer| !normalizer.is_finite()) {
            return Err(not_finite());
        }
        Ok(Self {
            values: floats(logits)?,
            normalizers,
            vocabulary,
        })
    }

    /// The logits of a row.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.vocabulary..(row + 1) * self.vocabulary]
    }

    /// Natural logarithm of the model's probability of `token`, before any truncation.
    pub(crate) fn logprob(&self, row: usize, token: usize) -> f32 {
        (self.row(row)[token] - self.normalizers[row]).min(0.0)
    }
}

/// What is said of logits that no probability follows from: nothing that they lead to may count as a result.
pub(crate) fn not_finite() -> Error {
    let problem = "the model's logits are not finite: a number in it grew beyond what its precision holds. With                    extraction.precision = \"bf16\" try \"float32\"; else its weights are damaged";
    Error::Run(problem.to_owned())
}

/// A tensor's numbers, row by row.
pub(crate) fn floats(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    let flat = tensor
        .f_to_kind(Kind::Float)
        .and_then(|tensor| tensor.f_contiguous())
        .and_then(|tensor| tensor.f_view([-1]));
    Ok(flat
        .and_then(|flat| Vec::<f32>::try_from(&flat))
        .map_err(causal_lm::Error::from)?)
}
