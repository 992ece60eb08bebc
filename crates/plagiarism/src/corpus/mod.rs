//! What generations are compared with: documents, and the sentences of texts.

pub mod decoded;
pub mod generation;
pub mod normal_form;
pub mod sentences;
pub mod sources;
