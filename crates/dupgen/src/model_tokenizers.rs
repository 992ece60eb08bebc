//! The tokenizers of a pipeline's models, to see what `tuning.context` cuts off.

use std::fs;
use std::path::{Path, PathBuf};

use chat_template::Candidate;
use contract::{Error, PipelineFile};
use model_folder::hub;
use tokenizers::Tokenizer;

/// The models of a pipeline with their folders, which may hold a chat template.
pub fn candidates(pipeline: &PipelineFile) -> Vec<Candidate> {
    let models = pipeline.model.iter().map(|model| Candidate {
        name: model.name.clone(),
        folders: model
            .path
            .iter()
            .filter_map(|path| hub::find(path, &pipeline.resolve(".")))
            .collect(),
    });
    models.collect()
}

/// A tokenizer, and the models whose folders hold it.
#[derive(Debug)]
pub struct ModelTokenizer {
    /// Names of the models.
    pub models: Vec<String>,
    /// Its `tokenizer.json`, in the folder of the first of them.
    path: PathBuf,
    json: Vec<u8>,
    tokenizer: Tokenizer,
}

impl ModelTokenizer {
    /// Reads the tokenizers of all models, those with the same `tokenizer.json` as one; and the names of the models that have
    /// none.
    ///
    /// # Errors
    /// [`Error::Input`] for an unusable one.
    pub fn load_all(pipeline: &PipelineFile) -> Result<(Vec<Self>, Vec<String>), Error> {
        let mut loaded: Vec<Self> = Vec::new();
        let mut without = Vec::new();
        for model in &pipeline.model {
            let folder = model
                .path
                .as_ref()
                .and_then(|path| hub::find(path, &pipeline.resolve(".")));
            let Some(path) = folder
                .map(|folder| folder.join("tokenizer.json"))
                .filter(|path| path.exists())
            else {
                without.push(model.name.clone());
                continue;
            };
            let json = fs::read(&path)
                .map_err(|error| Error::input(&path, format!("expected a readable file: {error}")))?;
            match loaded.iter_mut().find(|known| known.json == json) {
                Some(known) => known.models.push(model.name.clone()),
                None => loaded.push(Self {
                    models: vec![model.name.clone()],
                    tokenizer: tokenizer(&path, &json)?,
                    path,
                    json,
                }),
            }
        }
        Ok((loaded, without))
    }

    /// The digest of `tokenizer.json`.
    pub fn digest(&self) -> String {
        format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&self.json))
    }

    /// Number of tokens of a text, without special tokens.
    ///
    /// # Errors
    /// [`Error::Input`] where the tokenizer cannot encode it.
    pub fn tokens(&self, text: &str) -> Result<usize, Error> {
        let encoding = self.tokenizer.encode_fast(text, false);
        Ok(encoding.map_err(|error| unusable(&self.path, &error))?.len())
    }

    /// Number of tokens that begin before this byte of a text.
    ///
    /// # Errors
    /// [`Error::Input`] where the tokenizer cannot encode it.
    pub fn tokens_before(&self, text: &str, byte: usize) -> Result<usize, Error> {
        let encoding = self
            .tokenizer
            .encode(text, false)
            .map_err(|error| unusable(&self.path, &error))?;
        let last = encoding
            .get_offsets()
            .iter()
            .rposition(|&(start, _)| start < byte);
        Ok(last.map_or(0, |index| index + 1))
    }

    /// Whether a text of so many UTF-8 bytes may have more than `tokens` tokens. A token covers at least one byte, of the
    /// text or of one blank that some tokenizers put before it; but a normalizer may lengthen the text first.
    pub fn may_exceed(&self, bytes: usize, tokens: usize) -> bool {
        bytes + 1 > tokens || self.tokenizer.get_normalizer().is_some()
    }
}

fn tokenizer(path: &Path, json: &[u8]) -> Result<Tokenizer, Error> {
    let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| unusable(path, &error))?;
    // A file may fix padding or truncation, which training leaves out.
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(None)
        .map_err(|error| unusable(path, &error))?;
    Ok(tokenizer)
}

fn unusable(path: &Path, error: &tokenizers::Error) -> Error {
    Error::input(path, format!("expected a tokenizer: {error}"))
}
