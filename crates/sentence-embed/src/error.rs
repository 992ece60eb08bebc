use std::path::PathBuf;

/// Why an encoder could not be loaded or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// A file of the encoder's folder could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There are only pickled weights.
    #[error(
        "{path}: expected model.safetensors, found only pickled weights ({found}), which can run code when they are read. Load them where you \
         trust them and save them again, as safetensors: SentenceTransformer(FOLDER).save_pretrained(NEW_FOLDER), or transformers' \
         from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
    )]
    Pickled {
        /// The encoder's folder.
        path: PathBuf,
        /// The file with the pickled weights.
        found: String,
    },
    /// A settings file is not the JSON it should be.
    #[error("{path} is not what an encoder's settings look like: {source}")]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// The encoder is of a kind that this crate does not compute.
    #[error("{path} asks for {found}; only {supported} is supported")]
    Unsupported {
        /// The file that asks for it.
        path: PathBuf,
        /// What it asks for.
        found: String,
        /// What is supported instead.
        supported: &'static str,
    },
    /// `tokenizer.json` could not be read, or a text could not be tokenized.
    #[error("the tokenizer {path} failed: {source}")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What the tokenizer said.
        source: tokenizers::Error,
    },
    /// `model.safetensors` is damaged, or lacks a tensor.
    #[error("the weights {path} cannot be used, tensor {tensor:?}: {source}")]
    Weights {
        /// The file.
        path: PathBuf,
        /// The tensor that was wanted; empty for the file's header.
        tensor: String,
        /// What is wrong.
        source: safetensors::SafeTensorError,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor {tensor:?} of {path}: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape by `config.json`.
        expected: Vec<i64>,
        /// The shape in the file.
        found: Vec<i64>,
    },
    /// Rows and dimensions do not fit together.
    #[error("expected vectors of {expected} dimensions, found {found} values")]
    Dimensions {
        /// Dimensions of a row.
        expected: usize,
        /// Values, or dimensions, that were given.
        found: usize,
    },
    /// LibTorch failed, for want of memory for instance.
    #[error("LibTorch failed: {0}")]
    Torch(#[from] tch::TchError),
}
