//! What can go wrong with a model.

use tch::TchError;

/// A model or adapter that cannot be used, or arithmetic that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that is missing or not what it should be, or settings that do not fit the model.
    #[error("{0}")]
    Contract(contract::Error),

    /// LibTorch refused an operation.
    #[error("LibTorch: {0}")]
    Torch(#[from] TchError),
}

impl From<contract::Error> for Error {
    fn from(error: contract::Error) -> Self {
        Self::Contract(error)
    }
}

impl From<Error> for contract::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Contract(error) => error,
            error @ Error::Torch(_) => Self::Run(error.to_string()),
        }
    }
}
