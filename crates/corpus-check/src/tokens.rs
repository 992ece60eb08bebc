//! What training reads of a document, and what of that carries loss.

use std::path::{Path, PathBuf};

use contract::Error;
use contract::pipeline::{LossOn, PipelineFile};
use model_folder::Model;
use text_tokens::TextTokenizer;

use crate::texts::CorpusDocument;

/// The tokenizer of a model, and where training cuts a text.
pub(crate) struct TokenCounter {
    tokenizer: TextTokenizer,
    file: PathBuf,
    /// Tokens of a row of training, BOS included.
    context: usize,
    loss_on: LossOn,
}

/// Numbers of tokens of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenCounts {
    /// All.
    pub(crate) all: usize,
    /// Those that the context leaves.
    pub(crate) read: usize,
    /// Those of these that carry loss.
    pub(crate) loss: usize,
}

impl TokenCounter {
    /// The tokenizer in a model's folder. A row of training is as long as the pipeline file says, and no longer than the model's context.
    ///
    /// # Errors
    /// [`Error::Input`] where the folder holds no tokenizer, [`Error::Configuration`] where nothing says how long a row is.
    pub(crate) fn open(folder: &Path, pipeline: &PipelineFile) -> Result<Self, Error> {
        let (asked, loss_on) = pipeline.trained_tokens();
        let own = Model::open(folder).ok().map(|model| model.config.context);
        let context = match (asked, own) {
            (Some(asked), Some(own)) => asked.min(own),
            (Some(known), None) | (None, Some(known)) => known,
            (None, None) => {
                return Err(Error::Configuration(format!(
                    "{}: says no context, for its config.json is not one that is read here. Say at how many tokens training cuts a text: \
                     --set extraction.context=1024",
                    folder.display()
                )));
            }
        };
        Ok(Self {
            tokenizer: TextTokenizer::load(folder)?,
            file: folder.join("tokenizer.json"),
            context,
            loss_on,
        })
    }

    /// Tokens of a row of training, BOS included.
    pub(crate) fn context(&self) -> usize {
        self.context
    }

    /// Counts the tokens of a document.
    ///
    /// # Errors
    /// [`Error::Input`] where the tokenizer cannot encode it.
    pub(crate) fn count(&self, text: &CorpusDocument) -> Result<TokenCounts, Error> {
        let tokenized = self.tokenizer.tokenize(&text.text).map_err(|error| {
            let problem = format!("document {} cannot be encoded: {error}", text.doc_id);
            Error::input(&self.file, problem)
        })?;
        let prompt = tokenized.beginning_within(text.prompt_chars);
        // A rendered conversation is complete: no BOS comes before it, and nothing predicts its first token.
        let turns = text.assistant_spans.as_ref().map(|spans| tokenized.spans(spans));
        let bos = usize::from(turns.is_none());
        let all = tokenized.ids.len();
        let read = all.min(self.context.saturating_sub(bos));
        let start = usize::from(turns.is_some()).min(read);
        let turns = turns.map(|turns| {
            let turns = turns.into_iter();
            turns
                .map(|turn| turn.start.max(start).min(read)..turn.end.min(read))
                .collect::<Vec<_>>()
        });
        let spans = self
            .loss_on
            .target_spans(start..read, prompt.clamp(start, read), turns.as_deref());
        Ok(TokenCounts {
            all,
            read,
            loss: spans.iter().map(ExactSizeIterator::len).sum(),
        })
    }
}
