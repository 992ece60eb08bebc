//! Sentence vectors kept on disk beside a corpus, because all cells of a pipeline are compared with the same few corpora.
//!
//! A file is named by what its vectors depend on, the encoder and the sentences, so a stale one is never found. It is there
//! whole or not at all, and a damaged one is made anew.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use contract::Error;
use contract::files::AtomicFile;
use sentence_embed::Embeddings;
use xxhash_rust::xxh3::Xxh3;

use super::lock::Lock;

/// Begins a file; changes whenever the same encoder and sentences would give other vectors.
const MAGIC: &[u8; 16] = b"sentence vec\0\0\0\x01";

/// Where vectors are kept, if anywhere.
#[derive(Debug, Clone, Default)]
pub struct VectorCache {
    folder: Option<PathBuf>,
}

impl VectorCache {
    /// A cache in the folder `detection-cache` of `corpus`.
    pub fn beside(corpus: &Path) -> Self {
        Self {
            folder: Some(corpus.join("detection-cache")),
        }
    }

    /// The vectors of `sentences` under the encoder of this digest: as kept, or else computed and kept. Where they cannot be
    /// kept the work goes on without, and the log says why.
    ///
    /// # Errors
    /// Those of `compute`.
    pub fn vectors(
        &self,
        encoder_digest: &str,
        sentences: &[impl Borrow<str>],
        compute: impl FnOnce() -> Result<Embeddings, Error>,
    ) -> Result<Embeddings, Error> {
        let Some(folder) = self.folder.as_ref().filter(|_| !sentences.is_empty()) else {
            return compute();
        };
        let file = folder.join(format!("vectors-{}", key(encoder_digest, sentences)));
        let kept = || read(&file).filter(|kept| kept.len() == sentences.len());
        if let Some(kept) = kept() {
            return Ok(kept);
        }
        let _lock = Lock::wait(&file);
        // Another process may have computed them meanwhile.
        if let Some(kept) = kept() {
            return Ok(kept);
        }
        let vectors = compute()?;
        if let Err(error) = write(&file, &vectors) {
            tracing::warn!("sentence vectors are not kept for the next run: {error}");
        }
        Ok(vectors)
    }
}

/// Digest of everything that the vectors depend on.
fn key(encoder_digest: &str, sentences: &[impl Borrow<str>]) -> String {
    let mut hasher = Xxh3::new();
    hasher.update(encoder_digest.as_bytes());
    for sentence in sentences {
        let sentence = sentence.borrow();
        hasher.update(&(sentence.len() as u64).to_le_bytes());
        hasher.update(sentence.as_bytes());
    }
    format!("{:032x}", hasher.digest128())
}

/// Layout: magic, rows and dimensions (8 bytes each), digest of the values (16), values; all little-endian.
fn write(file: &Path, vectors: &Embeddings) -> Result<(), Error> {
    // Two cells may come to write the same file at once.
    let partial = AtomicFile::create_shared(file)?;
    let failed = |error| Error::output(file, error);
    let mut output = BufWriter::new(File::create(partial.path()).map_err(failed)?);
    let values: Vec<u8> = vectors
        .values()
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let header = [
        MAGIC.as_slice(),
        &(vectors.len() as u64).to_le_bytes(),
        &(vectors.dimensions() as u64).to_le_bytes(),
        &digest(&values).to_le_bytes(),
        &values,
    ];
    header
        .iter()
        .try_for_each(|part| output.write_all(part))
        .and_then(|()| output.flush())
        .map_err(failed)?;
    drop(output);
    partial.commit()
}

/// The vectors of a file; `None` where it is missing, cut off, or damaged.
fn read(file: &Path) -> Option<Embeddings> {
    let mut input = File::open(file).ok()?;
    let (mut magic, mut rows, mut dimensions, mut expected) = ([0; 16], [0; 8], [0; 8], [0; 16]);
    input.read_exact(&mut magic).ok()?;
    input.read_exact(&mut rows).ok()?;
    input.read_exact(&mut dimensions).ok()?;
    input.read_exact(&mut expected).ok()?;
    let mut values = Vec::new();
    input.read_to_end(&mut values).ok()?;
    let dimensions = usize::try_from(u64::from_le_bytes(dimensions)).ok()?;
    let whole = &magic == MAGIC && digest(&values) == u128::from_le_bytes(expected);
    let (numbers, rest) = values.as_chunks();
    if !whole || !rest.is_empty() {
        return None;
    }
    let numbers = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    Embeddings::from_rows(numbers, dimensions)
        .ok()
        .filter(|vectors| vectors.len() as u64 == u64::from_le_bytes(rows))
}

fn digest(values: &[u8]) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(values);
    hasher.digest128()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn vectors_are_computed_once_for_each_encoder_and_list_of_sentences() {
        let corpus = tempfile::tempdir().unwrap();
        let cache = VectorCache::beside(corpus.path());
        let computed = Cell::new(0);
        let ask = |encoder: &str, sentences: &[&str], value: f32| {
            let compute = || {
                computed.set(computed.get() + 1);
                Ok(Embeddings::from_rows(vec![value; 2 * sentences.len()], 2).unwrap())
            };
            cache
                .vectors(encoder, sentences, compute)
                .unwrap()
                .values()
                .to_vec()
        };
        assert_eq!(ask("e", &["ab", "c"], 1.5), [1.5; 4]);
        assert_eq!(ask("e", &["ab", "c"], 2.5), [1.5; 4], "as kept");
        assert_eq!(ask("e", &["a", "bc"], 3.5), [3.5; 4], "cut elsewhere");
        assert_eq!(ask("f", &["ab", "c"], 4.5), [4.5; 4], "another encoder");
        assert_eq!(ask("e", &[], 0.0), [0.0; 0]);
        assert_eq!(computed.get(), 4);

        // Every file cut off by a byte, or with one bit turned: computed anew, and kept again.
        for damage in [true, false] {
            for file in std::fs::read_dir(corpus.path().join("detection-cache")).unwrap() {
                let path = file.unwrap().path();
                let mut bytes = std::fs::read(&path).unwrap();
                if damage {
                    bytes.pop();
                } else {
                    *bytes.last_mut().unwrap() ^= 1;
                }
                std::fs::write(path, bytes).unwrap();
            }
            assert_eq!(ask("e", &["ab", "c"], 5.5), [5.5; 4]);
            assert_eq!(ask("e", &["ab", "c"], 6.5), [5.5; 4]);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_done_without() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "").unwrap();
        let one = || Ok(Embeddings::from_rows(vec![1.0], 1).unwrap());
        let vectors = VectorCache::beside(&file).vectors("e", &["a"], one).unwrap();
        assert_eq!(vectors.values(), [1.0]);
    }
}
