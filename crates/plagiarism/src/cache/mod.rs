//! What is kept on disk beside a corpus, since all cells of a pipeline are compared with the same few corpora.

pub mod indexes;
mod lock;
pub mod vectors;
