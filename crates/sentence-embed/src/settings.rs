//! What an encoder's folder says about it: `modules.json`, `config.json`, `sentence_bert_config.json`, `1_Pooling/config.json`.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::EmbedError;
use crate::config::{Families, TransformerConfig, read_json_if_present};
use crate::pooling::Pooling;

/// Tokens of a sentence that are read where the folder says nothing.
const DEFAULT_MAXIMUM_TOKENS: usize = 256;

/// Everything about an encoder but its weights and its vocabulary.
pub(crate) struct Settings {
    pub(crate) transformer: TransformerConfig,
    pub(crate) pooling: Pooling,
    /// Tokens of a sentence that are read, special tokens included.
    pub(crate) maximum_tokens: usize,
    /// Whether sentences are put in lower case before the tokenizer sees them.
    pub(crate) lower_case: bool,
    /// The folder of `config.json`, the weights and the tokenizer.
    pub(crate) model_folder: PathBuf,
}

/// One step of the encoder, as `modules.json` lists it.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
struct SentenceSettings {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

impl Settings {
    pub(crate) fn read(folder: &Path) -> Result<Self, EmbedError> {
        let (model_folder, pooling_folder) = module_folders(folder)?;
        let transformer = TransformerConfig::read(&model_folder.join("config.json"), Families::Bert)?;
        let sentences: SentenceSettings =
            read_json_if_present(&model_folder.join("sentence_bert_config.json"))?.unwrap_or_default();
        let maximum_tokens = sentences.max_seq_length.unwrap_or(DEFAULT_MAXIMUM_TOKENS);
        Ok(Self {
            pooling: read_pooling(&pooling_folder.join("config.json"))?,
            maximum_tokens: maximum_tokens.min(transformer.room()),
            lower_case: sentences.do_lower_case,
            transformer,
            model_folder,
        })
    }
}

/// The folders of the transformer and of the pooling. Vectors are scaled to length 1 whether a Normalize module says so or
/// not; a module that would change their direction is refused.
fn module_folders(folder: &Path) -> Result<(PathBuf, PathBuf), EmbedError> {
    let path = folder.join("modules.json");
    let modules: Vec<Module> = read_json_if_present(&path)?.unwrap_or_default();
    let mut folders = (folder.to_path_buf(), folder.join("1_Pooling"));
    for module in modules {
        // A list of a foreign model must not lead to other folders of this machine.
        if !Path::new(&module.path)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        {
            return Err(EmbedError::Unsupported {
                path,
                found: format!("the module {:?}", module.path),
                supported: "a folder beside that file",
            });
        }
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
