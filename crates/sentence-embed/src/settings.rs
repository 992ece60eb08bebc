//! What an encoder's folder says about it: `modules.json`, `config.json`, `sentence_bert_config.json`, `1_Pooling/config.json`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::EmbedError;
use crate::pooling::Pooling;

/// Tokens of a sentence that are read where the folder says nothing.
const DEFAULT_MAXIMUM_TOKENS: usize = 256;

/// Everything about an encoder but its weights and its vocabulary.
pub(crate) struct Settings {
    pub(crate) bert: BertConfig,
    pub(crate) pooling: Pooling,
    /// Tokens of a sentence that are read, special tokens included.
    pub(crate) maximum_tokens: usize,
    /// Whether sentences are put in lower case before the tokenizer sees them.
    pub(crate) lower_case: bool,
    /// The folder of `config.json`, the weights and the tokenizer.
    pub(crate) model_folder: PathBuf,
}

/// The part of `config.json` that decides the computation, under the names it has there.
#[derive(Clone, Deserialize)]
pub(crate) struct BertConfig {
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

/// One step of the encoder, as `modules.json` lists it.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct TransformerSettings {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

impl Settings {
    pub(crate) fn read(folder: &Path) -> Result<Self, EmbedError> {
        let (model_folder, pooling_folder) = module_folders(folder)?;
        let config_path = model_folder.join("config.json");
        let bert: BertConfig = read_json(&config_path)?;
        bert.check(&config_path)?;
        let transformer: Option<TransformerSettings> =
            read_json_if_present(&model_folder.join("sentence_bert_config.json"))?;
        let transformer = transformer.unwrap_or(TransformerSettings {
            max_seq_length: None,
            do_lower_case: false,
        });
        let maximum_tokens = transformer.max_seq_length.unwrap_or(DEFAULT_MAXIMUM_TOKENS);
        Ok(Self {
            pooling: read_pooling(&pooling_folder.join("config.json"))?,
            maximum_tokens: maximum_tokens.min(bert.max_position_embeddings as usize),
            lower_case: transformer.do_lower_case,
            bert,
            model_folder,
        })
    }
}

impl BertConfig {
    fn check(&self, path: &Path) -> Result<(), EmbedError> {
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
        if self.model_type != "bert" {
            unsupported(format!("model_type {:?}", self.model_type), "\"bert\"")
        } else if self.position_embedding_type != "absolute" {
            let found = format!("position_embedding_type {:?}", self.position_embedding_type);
            unsupported(found, "\"absolute\"")
        } else if self.num_hidden_layers < 0 || counts.iter().any(|&count| count < 1) {
            unsupported("a size below 1".to_owned(), "a positive size")
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

/// The folders of the transformer and of the pooling. Vectors are scaled to length 1 whether a Normalize module says so or
/// not; a module that would change their direction is refused.
fn module_folders(folder: &Path) -> Result<(PathBuf, PathBuf), EmbedError> {
    let path = folder.join("modules.json");
    let modules: Vec<Module> = read_json_if_present(&path)?.unwrap_or_default();
    let mut folders = (folder.to_path_buf(), folder.join("1_Pooling"));
    for module in modules {
        match module.kind.rsplit('.').next() {
            Some("Transformer") => folders.0 = folder.join(module.path),
            Some("Pooling") => folders.1 = folder.join(module.path),
            Some("Normalize") => {}
            _ => {
                let supported = "Transformer, Pooling and Normalize";
                return Err(EmbedError::Unsupported {
                    path,
                    found: module.kind,
                    supported,
                });
            }
        }
    }
    Ok(folders)
}

/// The mean where there is no such file. Older files hold one flag per mode, newer ones the name of the mode.
fn read_pooling(path: &Path) -> Result<Pooling, EmbedError> {
    let Some(config) = read_json_if_present::<Map<String, Value>>(path)? else {
        return Ok(Pooling::Mean);
    };
    let modes: Vec<&str> = match config.get("pooling_mode") {
        Some(mode) => mode.as_str().into_iter().collect(),
        None => config
            .iter()
            .filter(|(_, value)| value.as_bool() == Some(true))
            .filter_map(|(key, _)| key.strip_prefix("pooling_mode_"))
            .collect(),
    };
    match modes[..] {
        ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
        ["cls" | "cls_token"] => Ok(Pooling::FirstToken),
        _ => Err(EmbedError::Unsupported {
            path: path.to_path_buf(),
            found: format!("pooling mode {modes:?}"),
            supported: "one of mean and cls",
        }),
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, EmbedError> {
    let bytes = fs::read(path).map_err(|source| EmbedError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    serde_json::from_slice(&bytes).map_err(|source| EmbedError::Settings {
        path: path.to_path_buf(),
        source,
    })
}

fn read_json_if_present<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, EmbedError> {
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
