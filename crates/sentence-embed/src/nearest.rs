//! Nearest neighbours, exactly: a matrix product, block by block.

use tch::{Device, Tensor};

use crate::{EmbedError, Embeddings};

/// Rows of one block. Their cosines take 4 bytes each: 32 MiB a block.
const QUERY_ROWS: usize = 1024;
const CORPUS_ROWS: usize = 8192;

/// The nearest row of a corpus.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// Index of the row.
    pub index: usize,
    /// Cosine with it, from −1 to 1.
    pub cosine: f32,
}

/// For every row of `queries` the row of `corpus` with the largest cosine, the first of equal ones; nothing at all if
/// `corpus` is empty. Rows of length 1 are assumed, as [`Encoder::encode`](crate::Encoder::encode) gives them.
///
/// Every pair is compared, on `device`, in single precision.
///
/// # Errors
/// [`EmbedError::Dimensions`] if the two come from different encoders, [`EmbedError::Torch`] if LibTorch fails.
pub fn max_cosine(
    queries: &Embeddings,
    corpus: &Embeddings,
    device: Device,
) -> Result<Vec<Best>, EmbedError> {
    if queries.dimensions() != corpus.dimensions() {
        return Err(EmbedError::Dimensions {
            expected: queries.dimensions(),
            found: corpus.dimensions(),
        });
    }
    if corpus.is_empty() {
        return Ok(Vec::new());
    }
    let _no_gradients = tch::no_grad_guard();
    let dimensions = queries.dimensions();
    let mut best = vec![
        Best {
            index: 0,
            cosine: f32::NEG_INFINITY
        };
        queries.len()
    ];
    for (corpus_block, corpus_values) in corpus.values().chunks(CORPUS_ROWS * dimensions).enumerate() {
        let transposed = matrix(corpus_values, dimensions, device)?.f_transpose(0, 1)?;
        let query_blocks = queries.values().chunks(QUERY_ROWS * dimensions);
        for (query_values, best) in query_blocks.zip(best.chunks_mut(QUERY_ROWS)) {
            let cosines = matrix(query_values, dimensions, device)?.f_matmul(&transposed)?;
            let (cosines, indices) = cosines.f_max_dim(1, false)?;
            let (cosines, indices): (Vec<f32>, Vec<i64>) = (cosines.try_into()?, indices.try_into()?);
            for (best, (cosine, index)) in best.iter_mut().zip(cosines.into_iter().zip(indices)) {
                if cosine > best.cosine {
                    *best = Best {
                        index: corpus_block * CORPUS_ROWS + index as usize,
                        cosine,
                    };
                }
            }
        }
    }
    for best in &mut best {
        best.cosine = best.cosine.clamp(-1.0, 1.0); // rounding may go past 1
    }
    Ok(best)
}

/// `values` as rows of `dimensions`.
fn matrix(values: &[f32], dimensions: usize, device: Device) -> Result<Tensor, EmbedError> {
    Ok(Tensor::f_from_slice(values)?
        .f_reshape([-1, dimensions as i64])?
        .f_to_device(device)?)
}
