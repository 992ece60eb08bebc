//! Where the sentence encoder lies, and how it is put to work on every thread.

use std::borrow::Borrow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use contract::pipeline::Precision;
use contract::{Error, PipelineFile, Progress};
use sentence_embed::{Embeddings, Encoder};
use tch::Device;

use crate::cache::vectors::VectorCache;
use crate::failed;
use crate::paraphrase::similarity::Vectors;

/// Where `make setup` puts the encoder, under the root of the repository.
const FOLDER: &str = "data/toolchain/all-MiniLM-L6-v2";

/// The folder of the encoder: that of `detection.encoder`, or else `data/toolchain/all-MiniLM-L6-v2` under the working
/// folder, or under the repository that the program was built in.
///
/// # Errors
/// [`Error::Input`] where there is none.
pub fn locate(pipeline: &PipelineFile) -> Result<PathBuf, Error> {
    let folder = pipeline.detection.encoder.as_ref();
    find(folder.map(|folder| pipeline.resolve(folder)))
}

/// The folder of the encoder: `named`, or else as [`locate`] looks for it.
///
/// # Errors
/// [`Error::Input`] where there is none.
pub fn find(named: Option<PathBuf>) -> Result<PathBuf, Error> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FOLDER);
    let places = match named {
        Some(folder) => vec![folder],
        None => vec![PathBuf::from(FOLDER), repository],
    };
    if let Some(folder) = places.iter().find(|folder| folder.join("config.json").is_file()) {
        return Ok(folder.clone());
    }
    Err(Error::input(
        &places[0],
        "expected a sentence encoder (a folder with config.json, model.safetensors and tokenizer.json), found none: run \
         `make setup`, or name a folder in detection.encoder",
    ))
}

/// A sentence encoder in its folder, and where the vectors of a corpus are kept.
#[derive(Debug, Clone)]
pub struct SentenceEncoder {
    /// `None` for no encoder at all.
    folder: Option<PathBuf>,
    precision: Precision,
    device: Device,
    digest: String,
    cache: VectorCache,
    loaded: Loaded,
}

/// An encoder once it was needed.
#[derive(Clone, Default)]
struct Loaded(Arc<Mutex<Option<Encoder>>>);

impl fmt::Debug for Loaded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Loaded")
    }
}

impl SentenceEncoder {
    /// The encoder of `folder`, whose files have this digest; it is loaded when it is needed. Vectors of corpora are kept in
    /// `cache`, those of each precision apart.
    pub fn new(folder: PathBuf, precision: Precision, digest: &str, cache: VectorCache) -> Self {
        Self {
            folder: Some(folder),
            precision,
            device: Device::Cpu,
            digest: format!("{digest} {precision:?}"),
            cache,
            loaded: Loaded::default(),
        }
    }

    /// The same, computing on a device.
    pub fn on(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// No encoder: all vectors are zero, so no two sentences are alike by meaning. Use it with `detection.confirm = "none"`.
    pub fn absent() -> Self {
        Self {
            folder: None,
            precision: Precision::Float32,
            device: Device::Cpu,
            digest: String::new(),
            cache: VectorCache::default(),
            loaded: Loaded::default(),
        }
    }

    /// The vectors of `sentences`, row by row.
    ///
    /// # Errors
    /// Those of [`encode`].
    pub fn rows(&self, sentences: &[impl Borrow<str>]) -> Result<Embeddings, Error> {
        let Some(folder) = &self.folder else {
            return Embeddings::from_rows(vec![0.0; sentences.len()], 1)
                .map_err(failed("encoding sentences"));
        };
        let mut loaded = self.loaded.0.lock().unwrap_or_else(PoisonError::into_inner);
        let encoder = match &mut *loaded {
            Some(encoder) => encoder,
            none => none.insert(load(folder, self.precision, self.device)?),
        };
        rows(encoder, sentences)
    }

    /// The vectors of the sentences of a corpus, row by row, from the cache if they are there.
    ///
    /// # Errors
    /// Those of [`encode`].
    pub fn corpus_rows(&self, sentences: &[impl Borrow<str>]) -> Result<Embeddings, Error> {
        self.cache
            .vectors(&self.digest, sentences, || self.rows(sentences))
    }
}

/// The vectors of `sentences` by their place, computed on as many threads as the current pool has.
///
/// # Errors
/// [`Error::Input`] where the folder holds no usable encoder, [`Error::Run`] where the computation fails.
pub fn encode(folder: &Path, sentences: &[impl Borrow<str>]) -> Result<Vectors, Error> {
    let encoder = load(folder, Precision::Float32, Device::Cpu)?;
    rows(&encoder, sentences).map(Vectors::from)
}

fn load(folder: &Path, precision: Precision, device: Device) -> Result<Encoder, Error> {
    let precision = match precision {
        // What is found should not depend on the machine.
        Precision::Float32 | Precision::Auto => sentence_embed::Precision::Single,
        Precision::Bf16 => sentence_embed::Precision::BFloat16,
    };
    Encoder::load_in(precision, folder, device).map_err(|error| Error::input(folder, error))
}

fn rows(encoder: &Encoder, sentences: &[impl Borrow<str>]) -> Result<Embeddings, Error> {
    // One thread within each operation: sums then never depend on how many threads there are.
    tch::set_num_threads(1);
    let mut progress = Progress::new("encoding", sentences.len() as u64, "sentences");
    let sentences: Vec<&str> = sentences.iter().map(Borrow::borrow).collect();
    encoder
        .encode_on(rayon::current_num_threads(), &sentences, |done| {
            progress.advance(done as u64, "");
        })
        .map_err(failed("encoding sentences"))
}
