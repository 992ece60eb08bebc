//! The tokenizers of a pipeline's models, to see what `tuning.context` cuts off.

use chat_template::Candidate;
use contract::{Error, PipelineFile};
use model_folder::hub;
use text_tokens::TextTokenizer;

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
    /// Read from the folder of the first of them.
    pub tokenizer: TextTokenizer,
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
            let Some(folder) = folder.filter(|folder| folder.join("tokenizer.json").exists()) else {
                without.push(model.name.clone());
                continue;
            };
            let tokenizer = TextTokenizer::load(&folder)?;
            let is_same = |known: &&mut Self| known.tokenizer.digest() == tokenizer.digest();
            match loaded.iter_mut().find(is_same) {
                Some(known) => known.models.push(model.name.clone()),
                None => loaded.push(Self {
                    models: vec![model.name.clone()],
                    tokenizer,
                }),
            }
        }
        Ok((loaded, without))
    }

    /// Number of tokens that begin before this byte of a text.
    ///
    /// # Errors
    /// [`Error::Input`] where the tokenizer cannot encode it.
    pub fn tokens_before(&self, text: &str, byte: usize) -> Result<usize, Error> {
        let characters = text.char_indices().take_while(|(start, _)| *start < byte).count();
        Ok(self.tokenizer.tokenize(text)?.beginning_within(characters))
    }
}
