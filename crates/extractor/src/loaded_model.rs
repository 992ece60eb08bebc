//! A model with its tokenizer, and copies of a small one to work side by side.

use std::collections::BTreeSet;

use causal_lm::CausalLm;
use contract::Error;
use contract::pipeline::Begin;
use model_folder::cost::{MAX_PREPACKED_BYTES, SMALL_MODEL_BYTES};
use text_tokens::TextTokenizer;

use crate::forms::TextBegin;

/// Copies of a small model, at most: each holds the weights, and batches to share among them run out.
const MAX_COPIES: usize = 16;

/// A model with its tokenizer, and how texts begin for it.
#[derive(Debug)]
pub struct LoadedModel {
    /// The model.
    pub model: CausalLm,
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
    /// The tokens that stand before every text; there may be none.
    pub bos: Vec<i64>,
    /// The tokens that end a generation.
    pub end_tokens: Vec<i64>,
}

impl LoadedModel {
    /// A model with its tokenizer. Under `auto` texts begin as the tokenizer has it: [`crate::forms`] finds out more.
    ///
    /// # Errors
    /// [`Error::Run`] where the tokenizer cannot say how it begins texts.
    pub fn new(model: CausalLm, tokenizer: TextTokenizer, begin: Begin) -> Result<Self, Error> {
        Self::beginning_as(model, tokenizer, begin.into())
    }

    /// A model with its tokenizer, whose texts begin as was found out.
    ///
    /// # Errors
    /// [`Error::Run`] where the tokenizer cannot say how it begins texts.
    pub fn beginning_as(model: CausalLm, tokenizer: TextTokenizer, begin: TextBegin) -> Result<Self, Error> {
        let tokenizer = tokenizer.with_rows(model.config.vocabulary);
        let bos = begin.bos(&model.config, &tokenizer)?;
        let end_tokens = model.config.eos_token_ids.clone();
        Ok(Self {
            model,
            tokenizer,
            bos,
            end_tokens,
        })
    }

    /// Lets generations go on past some of the end tokens: those that documents hold within their text, where a generation that stopped
    /// would reproduce less of it than the model knows.
    pub fn go_on_past(&mut self, tokens: &BTreeSet<i64>) {
        self.end_tokens.retain(|token| !tokens.contains(token));
    }

    /// One model to generate with side by side: as many copies as `threads`, up to sixteen, where it is small and on the CPU, else
    /// one.
    ///
    /// # Errors
    /// As `load`.
    pub fn side_by_side(threads: usize, load: impl Fn() -> Result<Self, Error>) -> Result<Vec<Self>, Error> {
        let mut first = load()?;
        let parameters = first.model.parameters_mut();
        let bytes: usize = parameters
            .iter()
            .map(|parameter| parameter.tensor.numel() * parameter.tensor.kind().elt_size_in_bytes())
            .sum();
        let on_cpu = first.model.device() == tch::Device::Cpu;
        let count = if on_cpu && bytes <= SMALL_MODEL_BYTES {
            threads.clamp(1, MAX_COPIES)
        } else {
            1
        };
        let more = (1..count).map(|_| load());
        let mut models = std::iter::once(Ok(first))
            .chain(more)
            .collect::<Result<Vec<_>, _>>()?;
        if on_cpu && bytes <= MAX_PREPACKED_BYTES {
            for model in &mut models {
                model.model.prepare_to_decode()?;
            }
        }
        Ok(models)
    }

    /// How many tokens of a text training read, where it cut rows at `context` tokens with the BOS among them; without that, the
    /// model's own context.
    pub fn trained_tokens(&self, context: Option<usize>) -> usize {
        self.whole_context(context).saturating_sub(self.bos.len().max(1))
    }

    /// The same of a text that nothing is put before.
    pub fn whole_context(&self, context: Option<usize>) -> usize {
        let own = self.model.config.context;
        context.map_or(own, |context| context.min(own))
    }

    /// Tokens of a prompt behind the BOS. Where nothing at all would stand before the first new token, the BOS does.
    pub(crate) fn add_bos(&self, prompt: &[i64]) -> Vec<i64> {
        if self.bos.is_empty() && prompt.is_empty() {
            return vec![self.model.config.bos_token_id];
        }
        [&self.bos, prompt].concat()
    }

    /// What stands before nothing, and before no other text: see [`Self::add_bos`].
    pub(crate) fn before_nothing(&self) -> Vec<i64> {
        if self.bos.is_empty() {
            self.add_bos(&[])
        } else {
            Vec::new()
        }
    }
}
