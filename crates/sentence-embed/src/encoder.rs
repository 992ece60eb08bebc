use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::batches::batches;
use crate::bert::Bert;
use crate::pooling::Pooling;
use crate::settings::Settings;
use crate::tokens::SentenceTokenizer;
use crate::weights::Weights;
use crate::{EmbedError, Embeddings};

/// Tokens that go through the encoder at once. A processor is fastest while a batch stays in its cache (1,024 tokens beat
/// both 512 and 8,192); a graphics card wants more at a time.
const CPU_BATCH_TOKENS: usize = 1024;
const CUDA_BATCH_TOKENS: usize = 65_536;

/// A sentence encoder: tokenizer, BERT, pooling.
pub struct Encoder {
    tokenizer: SentenceTokenizer,
    bert: Bert,
    pooling: Pooling,
    dimensions: usize,
    device: Device,
}

impl Encoder {
    /// Loads an encoder from a folder in the layout of sentence-transformers: `config.json`, `model.safetensors` and
    /// `tokenizer.json`, and if there are, `modules.json`, `sentence_bert_config.json` and `1_Pooling/config.json`. Without
    /// these, vectors are means over all tokens, and 256 tokens of a sentence are read. Weights may be in half precision;
    /// they are computed with in single precision.
    ///
    /// # Errors
    /// [`EmbedError`] says which file is missing, damaged, or asks for something else than a BERT with mean or first-token
    /// pooling.
    pub fn load(folder: impl AsRef<Path>, device: Device) -> Result<Self, EmbedError> {
        let settings = Settings::read(folder.as_ref())?;
        let path = settings.model_folder.join("model.safetensors");
        let bytes = std::fs::read(&path).map_err(|source| EmbedError::Read {
            path: path.clone(),
            source,
        })?;
        let weights = Weights::parse(&path, &bytes, device)?;
        let _no_gradients = tch::no_grad_guard();
        Ok(Self {
            tokenizer: SentenceTokenizer::load(&settings)?,
            bert: Bert::load(&settings.bert, &weights)?,
            pooling: settings.pooling,
            dimensions: settings.bert.hidden_size as usize,
            device,
        })
    }

    /// Values of a vector; 384 for all-MiniLM-L6-v2.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The vectors of `sentences`, in their order. Any text is a sentence, the empty one too; what is beyond the encoder's
    /// length is not read. A sentence in which the tokenizer finds nothing at all, not even special tokens, gets zeros.
    ///
    /// A vector may differ in its last bits with the sentences it was computed together with.
    ///
    /// # Errors
    /// [`EmbedError::Tokenizer`] and [`EmbedError::Torch`] if these libraries fail.
    pub fn encode(&self, sentences: &[&str]) -> Result<Embeddings, EmbedError> {
        let tokens = self.tokenizer.encode(sentences)?;
        let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
        let budget = if self.device.is_cuda() {
            CUDA_BATCH_TOKENS
        } else {
            CPU_BATCH_TOKENS
        };

        let _no_gradients = tch::no_grad_guard();
        let mut values = vec![0.0; sentences.len() * self.dimensions];
        for batch in batches(&lengths, budget) {
            let members: Vec<&[u32]> = batch.iter().map(|&index| tokens[index].as_slice()).collect();
            let vectors = self.encode_batch(&members)?;
            for (&index, vector) in batch.iter().zip(vectors.chunks_exact(self.dimensions)) {
                values[index * self.dimensions..][..self.dimensions].copy_from_slice(vector);
            }
        }
        Embeddings::from_rows(values, self.dimensions)
    }

    /// The vectors of sentences that have at least one token each, row after row.
    fn encode_batch(&self, sentences: &[&[u32]]) -> Result<Vec<f32>, EmbedError> {
        let (tokens, mask) = padded(sentences, self.device)?;
        let states = self.bert.forward(&tokens, &mask)?;
        let vectors = self.pooling.pool(&states, &mask)?;
        Ok(Vec::try_from(vectors.f_reshape(-1)?.f_to_device(Device::Cpu)?)?)
    }
}

/// Token ids `[sentences, longest]`, padded on the right, and a mask of the same shape that is true at the tokens.
fn padded(sentences: &[&[u32]], device: Device) -> Result<(Tensor, Tensor), EmbedError> {
    let longest = sentences.iter().map(|tokens| tokens.len()).max().unwrap_or(0);
    // Which token fills the rest does not matter: nothing attends to it, and it is not pooled.
    let mut ids = vec![0_i64; sentences.len() * longest];
    for (row, tokens) in ids.chunks_exact_mut(longest.max(1)).zip(sentences) {
        row.iter_mut()
            .zip(*tokens)
            .for_each(|(id, &token)| *id = i64::from(token));
    }
    let shape = [sentences.len() as i64, longest as i64];
    let ids = Tensor::f_from_slice(&ids)?
        .f_reshape(shape)?
        .f_to_device(device)?;

    let lengths: Vec<i64> = sentences.iter().map(|tokens| tokens.len() as i64).collect();
    let lengths = Tensor::f_from_slice(&lengths)?
        .f_unsqueeze(1)?
        .f_to_device(device)?;
    let places = Tensor::f_arange(longest as i64, (Kind::Int64, device))?;
    Ok((ids, places.f_lt_tensor(&lengths)?))
}
