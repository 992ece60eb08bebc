//! What generations are compared with: documents, and the sentences of texts.

pub mod sentences;
pub mod sources;
