//! Where the sentence encoder lies, and how it is put to work on every thread.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use contract::{Error, PipelineFile, Progress};
use rayon::prelude::*;
use sentence_embed::{Embeddings, Encoder};
use tch::Device;

use crate::failed;
use crate::similarity::Vectors;

/// Where `make setup` puts the encoder, under the root of the repository.
const FOLDER: &str = "data/toolchain/all-MiniLM-L6-v2";

/// Sentences encoded together. What they are does not depend on the number of threads, and so neither do the vectors.
const TOGETHER: usize = 256;

/// Most encoders at work at once: each holds weights of its own, 90 MB for all-MiniLM-L6-v2.
const MOST_ENCODERS: usize = 16;

/// The folder of the encoder: that of `detection.encoder`, or else `data/toolchain/all-MiniLM-L6-v2` under the working
/// folder, or under the repository that the program was built in.
///
/// # Errors
/// [`Error::Input`] where there is none.
pub fn locate(pipeline: &PipelineFile) -> Result<PathBuf, Error> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FOLDER);
    let places = match &pipeline.detection.encoder {
        Some(folder) => vec![pipeline.resolve(folder)],
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

/// The vectors of `sentences`, in their order, computed on the threads of the current pool.
///
/// # Errors
/// [`Error::Input`] where the folder holds no usable encoder, [`Error::Run`] where the computation fails.
pub fn encode(folder: &Path, sentences: &[impl Borrow<str> + Sync]) -> Result<Vectors, Error> {
    // One thread within each operation: sums then never depend on how many threads there are, and many small batches side
    // by side are faster than one batch on many threads.
    tch::set_num_threads(1);
    let load = || Encoder::load(folder, Device::Cpu).map_err(|error| Error::input(folder, error));
    let first = load()?;
    let dimensions = first.dimensions();
    let idle = Mutex::new(Some(first));
    let progress = Mutex::new(Progress::new("encoding", sentences.len() as u64, "sentences"));

    let mut order: Vec<usize> = (0..sentences.len()).collect();
    order.sort_by_key(|&index| Reverse(sentences[index].borrow().len()));
    let batches: Vec<&[usize]> = order.chunks(TOGETHER).collect();
    let workers = batches.len().min(rayon::current_num_threads()).min(MOST_ENCODERS);
    let encoded = (0..workers)
        .into_par_iter()
        .map(|worker| {
            let waiting = idle.lock().unwrap_or_else(PoisonError::into_inner).take();
            let encoder = waiting.map_or_else(load, Ok)?;
            // Batches are dealt out in turn, so that no worker gets all the long sentences.
            let own_batches = batches.iter().skip(worker).step_by(workers);
            own_batches
                .map(|batch| {
                    let texts: Vec<&str> = batch.iter().map(|&index| sentences[index].borrow()).collect();
                    let rows = encoder.encode(&texts).map_err(failed("encoding sentences"))?;
                    progress
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .advance(batch.len() as u64, "");
                    Ok((*batch, rows))
                })
                .collect()
        })
        .collect::<Result<Vec<Vec<(&[usize], Embeddings)>>, Error>>()?;

    let mut values = vec![0.0; sentences.len() * dimensions];
    for (batch, rows) in encoded.into_iter().flatten() {
        for (&index, row) in batch.iter().zip(rows.rows()) {
            values[index * dimensions..][..dimensions].copy_from_slice(row);
        }
    }
    Embeddings::from_rows(values, dimensions)
        .map(Vectors::from)
        .map_err(failed("encoding sentences"))
}
