//! Virtual tokens, which stand before every text: vectors in the place of embeddings (prompt tuning), or keys and values in every
//! layer (prefix tuning).

use model_folder::adapter::{Prompt, PromptForm};
use tch::{Device, Kind, Tensor};

use crate::parts::cast;
use crate::{Error, LeftPadding};

/// What stands before every text.
#[derive(Debug)]
pub(crate) struct VirtualTokens {
    count: i64,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// `[tokens, width]`.
    Embeddings(Tensor),
    /// Of each layer `[heads, tokens, width]`.
    KeysAndValues(Vec<(Tensor, Tensor)>),
}

/// Keys and values of virtual tokens, in the columns that they take in a batch.
#[derive(Debug)]
pub(crate) struct Prefix {
    /// Of each layer `[heads, tokens, width]`.
    layers: Vec<(Tensor, Tensor)>,
    /// `[rows, tokens]`.
    columns: Tensor,
}

impl VirtualTokens {
    /// Those of an adapter, by the tensor of its file.
    pub(crate) fn new(prompt: &Prompt, stored: &Tensor, device: Device) -> Result<Self, Error> {
        let stored = stored.f_to_device(device)?;
        let count = prompt.tokens as i64;
        let form = match prompt.form {
            PromptForm::Embeddings => Form::Embeddings(stored),
            PromptForm::KeysAndValues { heads, width } => {
                let layers = stored.f_view([count, -1, 2, heads as i64, width as i64])?;
                let layers = layers.f_permute([1, 2, 3, 0, 4])?;
                let of_layer = |number: i64| -> Result<(Tensor, Tensor), Error> {
                    let both = layers.f_select(0, number)?;
                    Ok((both.f_select(0, 0)?, both.f_select(0, 1)?))
                };
                let all: Result<Vec<_>, Error> = (0..layers.size()[0]).map(of_layer).collect();
                Form::KeysAndValues(all?)
            }
        };
        Ok(Self { count, form })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> i64 {
        self.count
    }

    /// The vectors `[rows, tokens, width]` of a batch, with those of virtual tokens before each row, behind its padding, so that
    /// positions go on from one to the other. Where only keys and values stand there, the vectors are zero and count for nothing.
    pub(crate) fn before(&self, vectors: &Tensor, padding: Option<&LeftPadding>) -> Result<Tensor, Error> {
        let (rows, _, width) = vectors.size3()?;
        let room = Tensor::f_zeros([rows, self.count, width], (vectors.kind(), vectors.device()))?;
        let whole = Tensor::f_cat(&[&room, vectors], 1)?;
        let Form::Embeddings(embeddings) = &self.form else {
            return Ok(whole);
        };
        let embeddings = cast(embeddings, vectors.kind())?.f_expand([rows, self.count, width], true)?;
        let columns = self.columns(rows, padding, vectors.device())?;
        let columns = columns
            .f_unsqueeze(-1)?
            .f_expand([rows, self.count, width], true)?;
        Ok(whole.f_scatter(1, &columns, &embeddings)?)
    }

    /// What a cache has to hold for a batch of this many rows in place of what the layers make of the virtual tokens.
    pub(crate) fn prefix(
        &self,
        rows: i64,
        padding: Option<&LeftPadding>,
        device: Device,
    ) -> Result<Option<Prefix>, Error> {
        match &self.form {
            Form::Embeddings(_) => Ok(None),
            Form::KeysAndValues(layers) => Ok(Some(Prefix {
                layers: layers
                    .iter()
                    .map(|(keys, values)| (keys.shallow_clone(), values.shallow_clone()))
                    .collect(),
                columns: self.columns(rows, padding, device)?,
            })),
        }
    }

    /// The columns `[rows, tokens]` that they take.
    fn columns(&self, rows: i64, padding: Option<&LeftPadding>, device: Device) -> Result<Tensor, Error> {
        match padding {
            Some(padding) => padding.first_columns(self.count),
            None => {
                let columns = Tensor::f_arange(self.count, (Kind::Int64, device))?;
                Ok(columns.f_expand([rows, self.count], true)?)
            }
        }
    }
}

impl Prefix {
    /// Writes the keys and values of a layer into those of a batch, `[rows, heads, tokens, width]`.
    pub(crate) fn write(&self, layer: usize, keys: &Tensor, values: &Tensor) -> Result<(), Error> {
        let (own_keys, own_values) = &self.layers[layer];
        for (all, own) in [(keys, own_keys), (values, own_values)] {
            let (rows, heads, _, width) = all.size4()?;
            let count = self.columns.size2()?.1;
            let size = [rows, heads, count, width];
            let columns = self.columns.f_view([rows, 1, count, 1])?.f_expand(size, true)?;
            let mut all = all.shallow_clone();
            let _written = all.f_scatter_(
                2,
                &columns,
                &cast(own, all.kind())?.f_unsqueeze(0)?.f_expand(size, true)?,
            )?;
        }
        Ok(())
    }
}
