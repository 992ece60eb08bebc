//! The forward pass of a packed batch, block by block, for whoever does not want all of it at once: gradients of a large model
//! are taken one block after the other.

use tch::Tensor;

use crate::families::Pass;
use crate::parts::{Span, cast};
use crate::{CausalLm, Error};

/// The forward pass of documents that are packed one behind the other without padding; attention looks at each alone.
#[derive(Debug)]
pub struct PackedForward<'a> {
    model: &'a CausalLm,
    token_embeddings: Tensor,
    embedded: Tensor,
    pass: Pass,
}

impl<'a> PackedForward<'a> {
    pub(crate) fn new(
        model: &'a CausalLm,
        tokens: &Tensor,
        lengths: &[i64],
        training: bool,
    ) -> Result<Self, Error> {
        let (decoder, context) = (&*model.decoder, model.config.context);
        let total: i64 = lengths.iter().sum();
        if lengths.is_empty() || total != tokens.numel() as i64 {
            let problem = format!("documents of {total} tokens in a batch of {}", tokens.numel());
            return Err(contract::Error::Run(problem).into());
        }
        // Documents of one length are the rows of a matrix, which attention takes all at once. On a GPU it takes any documents so.
        let even = !model.path.is_device() && lengths.iter().all(|length| *length == lengths[0]);
        let rows = if even { lengths.len() as i64 } else { 1 };
        let tokens = tokens.f_view([rows, -1])?;
        let span = if even {
            Span::new(&tokens, None, None, context)?
        } else {
            Span::of_documents(&tokens, lengths, model.path, context)?
        };
        let embedding = &decoder.embedding().weight;
        let token_embeddings = tch::no_grad(|| decoder.embedding().forward(&tokens))?
            .f_set_requires_grad(embedding.requires_grad())?;
        Ok(Self {
            model,
            embedded: cast(&decoder.embed(&token_embeddings, &span)?, model.compute)?,
            token_embeddings,
            pass: Pass::new(decoder, &span, model.compute, training)?,
        })
    }

    /// The tokens' embeddings `[rows, tokens, width]`, at which the backward pass ends: the gradient of a token's row in the
    /// embedding is the sum of theirs. Where the embedding is the LM head as well, the head's gradient is there already to add
    /// them to.
    pub fn token_embeddings(&self) -> &Tensor {
        &self.token_embeddings
    }

    /// What the first block reads.
    pub fn embedded(&self) -> &Tensor {
        &self.embedded
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.model.decoder.blocks()
    }

    /// What block `number` makes of the hidden states of the one before it, or of what the first block reads.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn block(&self, number: usize, hidden_states: &Tensor) -> Result<Tensor, Error> {
        self.model.decoder.block(number, hidden_states, &self.pass, None)
    }

    /// Final hidden states `[tokens, width]` of what the last block gave.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn final_norm(&self, hidden_states: &Tensor) -> Result<Tensor, Error> {
        let hidden = self.model.decoder.final_norm().forward(hidden_states)?;
        let width = hidden.size3()?.2;
        Ok(hidden.f_reshape([-1, width])?)
    }

    /// Final hidden states `[tokens, width]`, all the way.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn hidden(&self) -> Result<Tensor, Error> {
        let mut hidden_states = self.embedded.shallow_clone();
        for number in 0..self.blocks() {
            hidden_states = self.block(number, &hidden_states)?;
        }
        self.final_norm(&hidden_states)
    }
}
