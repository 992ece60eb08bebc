//! Text corpora on disk: which files a corpus is made of, and the documents in them.
//!
//! - [`find_files`] turns the `[corpus]` settings into a sorted list of [`CorpusFile`]s. What lies in a named folder and is no
//!   part of the corpus is in the result too, file by file.
//! - [`documents`] reads one file as an iterator of [`RawDocument`]s, whatever its format, compression and encoding.
//! - Rows are text, or conversations in one of the shapes that trainers read (`corpus.shape`); conversations become text by a
//!   [`Rendering`], for the most part the chat template of the model.
//! - [`Columns::record`] makes a document out of a JSON object that is in no file of the corpus.
//! - [`FileSize::estimate`] guesses from the beginning of a file how much text is in it.
//!
//! A reader keeps one document in memory at a time (of a table, a batch of rows). What is wrong with one document is kept apart
//! from what is wrong with the file: after a [`Fault::Document`] the next document can be read, after a [`Fault::File`] none.
//! A file that ends too early is a [`Fault::File`] in every format, never a short corpus.
//!
//! Each format is one file in `formats/` and one line in the table [`FORMATS`].
//!
//! ```
//! use std::path::Path;
//!
//! use contract::pipeline::{Corpus, OneOrMany};
//! use corpus_files::{Columns, documents, find_files};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let base = folder.path();
//! std::fs::write(base.join("letters.json"), r#"[{"text": "Dear Ann", "score": NaN}, {"text": "Dear Ben"}]"#)?;
//! std::fs::write(base.join("README.md"), "About these letters.")?;
//! let corpus = Corpus { files: OneOrMany::One(".".into()), ..Corpus::default() };
//! let found = find_files(&corpus, base)?;
//! assert_eq!((found.files.len(), found.passed_over.len()), (1, 1));
//!
//! let columns = Columns::of(&corpus)?;
//! let texts: Vec<String> = documents(&found.files[0], &columns)?
//!     .filter_map(Result::ok)
//!     .map(|document| document.text)
//!     .collect();
//! assert_eq!(texts, ["Dear Ann", "Dear Ben"]);
//! # Ok(())
//! # }
//! ```

mod columns;
mod discovery;
mod document;
mod encoding;
mod formats;
mod input;
mod limits;
mod other;
mod record;
mod rendering;
mod shape;
mod size;
mod template;

pub use columns::{Columns, TextColumns, join};
pub use discovery::{CorpusFile, Found, PassedOver, Unit, find_files};
pub use document::{Documents, Fault, Flaw, FlawKind, Guess, Item, Position, RawDocument, documents};
pub use formats::{FORMATS, Format};
pub use other::{find_held_out_files, find_other_files, other_columns};
pub use rendering::{Rendering, is_chat_template};
pub use size::FileSize;
pub use template::Template;
