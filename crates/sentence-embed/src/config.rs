//! `config.json`: what a transformer's folder says about its shape.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::EmbedError;

/// The part of `config.json` that decides the computation, under the names it has there.
#[derive(Clone, Deserialize)]
pub(crate) struct TransformerConfig {
    #[serde(default = "bert")]
    model_type: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    pub(crate) vocab_size: i64,
    pub(crate) hidden_size: i64,
    pub(crate) num_hidden_layers: i64,
    pub(crate) num_attention_heads: i64,
    pub(crate) intermediate_size: i64,
    pub(crate) max_position_embeddings: i64,
    pub(crate) type_vocab_size: i64,
    pub(crate) hidden_act: Activation,
    pub(crate) layer_norm_eps: f64,
    pad_token_id: Option<i64>,
}

/// The families of transformers that are computed. They share their layers, and differ in how positions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Devlin et al., 2019.
    Bert,
    /// Liu et al., 2019.
    Roberta,
}

/// The function between the two halves of a feed-forward block.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Activation {
    /// Gaussian error linear unit, exact.
    Gelu,
    /// The same by the tanh approximation (Hendrycks and Gimpel, 2016).
    #[serde(alias = "gelu_pytorch_tanh")]
    GeluNew,
    Relu,
}

impl TransformerConfig {
    /// Reads `config.json` and refuses what would be computed wrongly; `families` are those that the caller can use.
    pub(crate) fn read(path: &Path, families: Families) -> Result<Self, EmbedError> {
        let config: Self = read_json(path)?;
        config.check(path, families)?;
        Ok(config)
    }

    pub(crate) fn family(&self) -> Family {
        if self.model_type == "roberta" {
            Family::Roberta
        } else {
            Family::Bert
        }
    }

    /// The position of a sequence's first token: RoBERTa counts on from the number of its padding token.
    pub(crate) fn first_position(&self) -> i64 {
        match self.family() {
            Family::Bert => 0,
            Family::Roberta => self.padding_token() + 1,
        }
    }

    /// The padding token, whose number is also that of the position that padding has in RoBERTa.
    pub(crate) fn padding_token(&self) -> i64 {
        self.pad_token_id.unwrap_or(match self.family() {
            Family::Bert => 0,
            Family::Roberta => 1,
        })
    }

    /// Tokens of a sequence for which there are positions, special tokens included.
    pub(crate) fn room(&self) -> usize {
        (self.max_position_embeddings - self.first_position()).max(0) as usize
    }

    fn check(&self, path: &Path, families: Families) -> Result<(), EmbedError> {
        let unsupported = |found: String, supported| {
            Err(EmbedError::Unsupported {
                path: path.to_path_buf(),
                found,
                supported,
            })
        };
        let counts = [
            self.vocab_size,
            self.hidden_size,
            self.num_attention_heads,
            self.intermediate_size,
            self.max_position_embeddings,
            self.type_vocab_size,
        ];
        if !families.names().contains(&self.model_type.as_str()) {
            unsupported(format!("model_type {:?}", self.model_type), families.described())
        } else if self.position_embedding_type != "absolute" {
            let found = format!("position_embedding_type {:?}", self.position_embedding_type);
            unsupported(found, "\"absolute\"")
        } else if self.num_hidden_layers < 0 || counts.iter().any(|&count| count < 1) {
            unsupported("a size below 1".to_owned(), "a positive size")
        } else if self
            .pad_token_id
            .is_some_and(|token| !(0..self.vocab_size).contains(&token))
        {
            unsupported(
                format!("pad_token_id {}", self.padding_token()),
                "a token of the vocabulary",
            )
        } else if self.hidden_size % self.num_attention_heads != 0 {
            let found = format!(
                "hidden_size {} for {} heads",
                self.hidden_size, self.num_attention_heads
            );
            unsupported(found, "a hidden_size that num_attention_heads divides")
        } else {
            Ok(())
        }
    }
}

/// Which families a caller can use.
#[derive(Clone, Copy)]
pub(crate) enum Families {
    Bert,
    BertAndRoberta,
}

impl Families {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Bert => &["bert"],
            Self::BertAndRoberta => &["bert", "roberta"],
        }
    }

    fn described(self) -> &'static str {
        match self {
            Self::Bert => "\"bert\"",
            Self::BertAndRoberta => "\"bert\" or \"roberta\"",
        }
    }
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, EmbedError> {
    let bytes = fs::read(path).map_err(|source| EmbedError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    serde_json::from_slice(&bytes).map_err(|source| EmbedError::Settings {
        path: path.to_path_buf(),
        source,
    })
}

/// `None` where there is no such file.
pub(crate) fn read_json_if_present<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, EmbedError> {
    match read_json(path) {
        Ok(value) => Ok(Some(value)),
        Err(EmbedError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn bert() -> String {
    "bert".to_owned()
}

fn absolute() -> String {
    "absolute".to_owned()
}
