use std::path::Path;

use tch::{Device, Kind};

use crate::bert::Bert;
use crate::packing::{Plan, Sequence};
use crate::pooling::Pooling;
use crate::settings::Settings;
use crate::tokens::{Room, TextTokenizer};
use crate::weights::Weights;
use crate::workers::{Worker, work_through};
use crate::{EmbedError, Embeddings};

/// How exactly an encoder computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// In single precision: every cosine is within 1e-4 of that of sentence-transformers, in practice within 1e-6.
    #[default]
    Single,
    /// Matrix products and attention in bfloat16 with sums in single precision, all else in single precision. Several times
    /// as fast on processors with instructions for it (AVX512-BF16, AMX), and slower on others. Under all-MiniLM-L6-v2 a
    /// vector has a cosine of at least 0.9999 with the one in single precision, and the cosine of two sentences changes by
    /// up to 0.004.
    BFloat16,
}

/// A sentence encoder: tokenizer, BERT, pooling.
pub struct Encoder {
    tokenizer: TextTokenizer,
    lower_case: bool,
    worker: Worker<Pooling>,
    dimensions: usize,
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
        Self::load_in(Precision::Single, folder, device)
    }

    /// [`Encoder::load`], to compute in `precision`.
    ///
    /// # Errors
    /// Those of [`Encoder::load`].
    pub fn load_in(
        precision: Precision,
        folder: impl AsRef<Path>,
        device: Device,
    ) -> Result<Self, EmbedError> {
        let products = match precision {
            Precision::Single => Kind::Float,
            Precision::BFloat16 => Kind::BFloat16,
        };
        let settings = Settings::read(folder.as_ref())?;
        let room = Room {
            maximum_tokens: settings.maximum_tokens,
            vocabulary: settings.transformer.vocab_size,
            pairs: false,
        };
        let bytes = Weights::read(&settings.model_folder)?;
        let weights = Weights::parse(&settings.model_folder, &bytes, device)?;
        let _no_gradients = tch::no_grad_guard();
        Ok(Self {
            tokenizer: TextTokenizer::load(&settings.model_folder, &room)?,
            lower_case: settings.lower_case,
            dimensions: settings.transformer.hidden_size as usize,
            worker: Worker {
                bert: Bert::load(&settings.transformer, &weights, products)?,
                head: settings.pooling,
                config: settings.transformer,
                device,
            },
        })
    }

    /// Values of a vector; 384 for all-MiniLM-L6-v2.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The vectors of `sentences`, in their order. Any text is a sentence, the empty one too; what is beyond the encoder's
    /// length is not read. A sentence in which the tokenizer finds nothing at all, not even special tokens, gets zeros.
    ///
    /// With the sentences it is computed together with, a value may differ by rounding, less than 1e-5 in single precision.
    /// Equal sentences are computed once.
    ///
    /// # Errors
    /// [`EmbedError::Tokenizer`] and [`EmbedError::Torch`] if these libraries fail.
    pub fn encode(&self, sentences: &[&str]) -> Result<Embeddings, EmbedError> {
        self.encode_on(1, sentences, |_| ())
    }

    /// [`Encoder::encode`] on several threads at once, which is faster than several threads within each operation. The
    /// vectors are those of one thread, bit for bit, if LibTorch used one for each operation there too; here it is told
    /// to, until the work is done. `progress` hears how many more sentences are done.
    ///
    /// # Errors
    /// Those of [`Encoder::encode`].
    pub fn encode_on(
        &self,
        threads: usize,
        sentences: &[&str],
        mut progress: impl FnMut(usize),
    ) -> Result<Embeddings, EmbedError> {
        let sequences = self.tokenize(sentences)?;
        let plan = Plan::new(&sequences, self.worker.batch_tokens());
        let mut values = vec![0.0; sentences.len() * self.dimensions];
        progress(sentences.len() - plan.order.len());
        work_through(&self.worker, threads, &plan, &sequences, |numbers, vectors| {
            for (&number, vector) in numbers.iter().zip(vectors.chunks_exact(self.dimensions)) {
                values[number * self.dimensions..][..self.dimensions].copy_from_slice(vector);
            }
            progress(numbers.len());
        })?;
        for (number, place) in plan.places.iter().enumerate() {
            if let Some(equal) = place
                .map(|place| plan.order[place])
                .filter(|&equal| equal != number)
            {
                let start = equal * self.dimensions;
                values.copy_within(start..start + self.dimensions, number * self.dimensions);
            }
        }
        Embeddings::from_rows(values, self.dimensions)
    }

    fn tokenize(&self, sentences: &[&str]) -> Result<Vec<Sequence>, EmbedError> {
        if self.lower_case {
            let lower: Vec<String> = sentences.iter().map(|sentence| sentence.to_lowercase()).collect();
            self.tokenizer.sentences(&lower)
        } else {
            self.tokenizer.sentences(sentences)
        }
    }
}
