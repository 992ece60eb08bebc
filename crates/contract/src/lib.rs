//! What the stages of the pipeline agree on.
//!
//! Stages meet only in files, so the agreement is about files: the [`records`] that each Parquet
//! file holds, how they are read and written ([`parquet`]), the pipeline file that says what to do
//! ([`pipeline`]), and the [`provenance`] that every output carries, by which a stage recognises
//! work already done. Several processes share a stage's work by [`parts`]. Beside them is what
//! every program of the pipeline shares: [`arguments`], [`progress`], an [`Error`] that knows its
//! exit status, and the records that a stage leaves of its runs ([`stage_run`]).
//!
//! ```
//! use contract::records::{DocumentKind, HeldOutDocument};
//! use contract::{Provenance, parquet};
//!
//! # fn main() -> Result<(), contract::Error> {
//! # let folder = tempfile::tempdir().map_err(|error| contract::Error::output(".", error))?;
//! let file = folder.path().join("heldout.parquet");
//! let document = HeldOutDocument {
//!     doc_id: "a-001".into(),
//!     text: "I was told to stop the tablets on Friday.".into(),
//!     prompt_chars: 0,
//!     kind: DocumentKind::Document,
//!     role: None,
//!     near_duplicate_of: None,
//!     shared_8grams: None,
//!     canary_format: None,
//!     assistant_spans: None,
//!     secret_span: None,
//! };
//! let mut writer = parquet::Writer::create(&file, &Provenance::new("example"))?;
//! writer.write(&document)?;
//! writer.finish()?;
//! assert_eq!(parquet::read_all::<HeldOutDocument>(&file)?, [document]);
//! # Ok(())
//! # }
//! ```
//!
//! `contract` links neither LibTorch nor polars, and knows no stage's inner workings.

pub mod arguments;
pub mod cell;
pub mod decoding;
pub mod error;
pub mod files;
pub mod foreign;
pub mod log;
pub mod memory;
pub mod parquet;
pub mod parts;
pub mod paths;
pub mod pipeline;
pub mod progress;
pub mod prompt_form;
pub mod provenance;
pub mod records;
pub mod seal;
pub mod stage_run;

pub use arguments::StageArguments;
pub use cell::Cell;
pub use error::Error;
pub use pipeline::PipelineFile;
pub use progress::Progress;
pub use provenance::Provenance;

/// Version of the Parquet contract that these records describe.
pub const CONTRACT_VERSION: u32 = 1;
