use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tch::{Device, Kind, TchError, Tensor};

use crate::EmbedError;
use crate::bert::Bert;
use crate::config::{Families, Family, TransformerConfig, read_json, read_json_if_present};
use crate::layers::Linear;
use crate::packing::{Plan, Run};
use crate::tokens::{Room, TextTokenizer};
use crate::weights::Weights;
use crate::workers::{Head, Worker, work_through};

/// Names under which a class is the paraphrases, in lower case and letters alone.
const PARAPHRASE_NAMES: [&str; 5] = [
    "paraphrase",
    "equivalent",
    "semanticallyequivalent",
    "duplicate",
    "isduplicate",
];

/// The class of paraphrases where no name tells: that of MRPC (Dolan and Brockett, 2005) and of QQP in GLUE.
const USUAL_PARAPHRASE: usize = 1;

/// A classifier of pairs of texts: tokenizer, BERT or RoBERTa, classification head.
///
/// Fine-tuned on pairs labelled as paraphrases or not, MRPC's for instance, it says how likely one text rewords the other.
pub struct PairClassifier {
    tokenizer: std::sync::Arc<TextTokenizer>,
    worker: Worker<ClassificationHead>,
    labels: Vec<String>,
    paraphrase: usize,
}

impl PairClassifier {
    /// Loads a `BertForSequenceClassification` or `RobertaForSequenceClassification` from a folder that transformers saved:
    /// `config.json`, `model.safetensors`, `tokenizer.json`, and if there is, `tokenizer_config.json`. The class of
    /// paraphrases is the one that `id2label` calls so (or `equivalent`, or `duplicate`), else class 1.
    ///
    /// # Errors
    /// [`EmbedError`] says which file is missing, damaged, or asks for something else.
    pub fn load(folder: impl AsRef<Path>, device: Device) -> Result<Self, EmbedError> {
        let folder = folder.as_ref();
        let path = folder.join("config.json");
        let config = TransformerConfig::read(&path, Families::BertAndRoberta)?;
        let labels = read_json::<ClassConfig>(&path)?.labels(path)?;
        let room = Room {
            maximum_tokens: config.room().min(tokenizer_limit(folder)?),
            vocabulary: config.vocab_size,
            pairs: true,
        };
        let bytes = Weights::read(folder)?;
        let weights = Weights::parse(folder, &bytes, device)?;
        let _no_gradients = tch::no_grad_guard();
        Ok(Self {
            tokenizer: TextTokenizer::load(folder, &room)?.into(),
            paraphrase: paraphrase_class(&labels),
            worker: Worker {
                bert: Bert::load(&config, &weights, Kind::Float)?,
                head: ClassificationHead::load(&config, &weights, labels.len() as i64)?,
                config,
                device,
            },
            labels,
        })
    }

    /// Names of the classes, in the order of their probabilities.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Index of the class of paraphrases.
    pub fn paraphrase_class(&self) -> usize {
        self.paraphrase
    }

    /// The probabilities of all classes for every pair, 0 to 1, with sum 1. Of texts too long for the model the ends are not
    /// read, first that of the longer one. The order of the two texts matters. Equal pairs are computed once.
    ///
    /// # Errors
    /// [`EmbedError::Tokenizer`] and [`EmbedError::Torch`] if these libraries fail.
    pub fn probabilities(&self, pairs: &[(&str, &str)]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let sequences = self.tokenizer.pairs(pairs)?;
        let plan = Plan::new(&sequences, self.worker.batch_tokens());
        let mut computed = Vec::with_capacity(plan.order.len());
        work_through(&self.worker, 1, &plan, &sequences, |_, rows| {
            computed.extend(rows.chunks_exact(self.labels.len()).map(<[f32]>::to_vec));
        })?;
        // A pair in which the tokenizer finds nothing at all, not even special tokens, tells nothing about its class.
        let unknown = vec![1.0 / self.labels.len() as f32; self.labels.len()];
        let row =
            |place: &Option<usize>| place.map_or_else(|| unknown.clone(), |place| computed[place].clone());
        Ok(plan.places.iter().map(row).collect())
    }

    /// The probability that one text of a pair is a paraphrase of the other, for every pair, 0 to 1.
    ///
    /// # Errors
    /// Those of [`PairClassifier::probabilities`].
    pub fn paraphrase_probabilities(&self, pairs: &[(&str, &str)]) -> Result<Vec<f32>, EmbedError> {
        let probabilities = self.probabilities(pairs)?;
        Ok(probabilities
            .into_iter()
            .map(|row| row[self.paraphrase])
            .collect())
    }

    /// Another handle on the same weights, for another thread: a classifier is used by one thread at a time.
    #[must_use]
    pub fn share(&self) -> Self {
        Self {
            tokenizer: self.tokenizer.clone(),
            worker: self.worker.share(),
            labels: self.labels.clone(),
            paraphrase: self.paraphrase,
        }
    }
}

/// The part of `config.json` that is about classes.
#[derive(Deserialize)]
struct ClassConfig {
    id2label: Option<BTreeMap<usize, String>>,
    problem_type: Option<String>,
}

impl ClassConfig {
    /// Names of the classes in order; `path` is the file, for errors.
    fn labels(self, path: PathBuf) -> Result<Vec<String>, EmbedError> {
        let unsupported = |found: String, supported| {
            Err(EmbedError::Unsupported {
                path: path.clone(),
                found,
                supported,
            })
        };
        if let Some(kind) = self
            .problem_type
            .filter(|kind| kind != "single_label_classification")
        {
            return unsupported(
                format!("problem_type {kind:?}"),
                "\"single_label_classification\"",
            );
        }
        let Some(labels) = self.id2label else {
            return Ok(vec!["LABEL_0".to_owned(), "LABEL_1".to_owned()]); // two classes, as transformers takes it
        };
        if labels.len() < 2 || !labels.keys().copied().eq(0..labels.len()) {
            let found = format!("classes {:?}", labels.keys().collect::<Vec<_>>());
            return unsupported(found, "an id2label of at least two classes, counted from 0,");
        }
        Ok(labels.into_values().collect())
    }
}

/// Tokens that `tokenizer_config.json` lets through; a very large number where it sets no limit.
fn tokenizer_limit(folder: &Path) -> Result<usize, EmbedError> {
    #[derive(Deserialize)]
    struct TokenizerConfig {
        /// transformers writes 10^30 where there is no limit.
        model_max_length: Option<f64>,
    }
    let config: Option<TokenizerConfig> = read_json_if_present(&folder.join("tokenizer_config.json"))?;
    let limit = config.and_then(|config| config.model_max_length);
    Ok(limit.map_or(usize::MAX, |limit| limit as usize))
}

fn paraphrase_class(labels: &[String]) -> usize {
    let letters = |label: &String| -> String {
        let letters = label.chars().filter(|character| character.is_alphabetic());
        letters.flat_map(char::to_lowercase).collect()
    };
    labels
        .iter()
        .position(|label| PARAPHRASE_NAMES.contains(&letters(label).as_str()))
        .unwrap_or(USUAL_PARAPHRASE)
}

/// From the first token's vector to class probabilities: linear, tanh, linear, softmax.
struct ClassificationHead {
    dense: Linear,
    output: Linear,
}

impl ClassificationHead {
    fn load(config: &TransformerConfig, weights: &Weights, classes: i64) -> Result<Self, EmbedError> {
        let (dense, output) = match config.family() {
            Family::Bert => (format!("{}pooler.dense", weights.prefix("bert.")), "classifier"),
            Family::Roberta => ("classifier.dense".to_owned(), "classifier.out_proj"),
        };
        let hidden = config.hidden_size;
        Ok(Self {
            dense: Linear::load(weights, &dense, hidden, hidden)?,
            output: Linear::load(weights, output, hidden, classes)?,
        })
    }
}

impl Head for ClassificationHead {
    fn rows(&self, states: &Tensor, runs: &[Run]) -> Result<Tensor, TchError> {
        let first_tokens = runs
            .iter()
            .map(|run| {
                let rows = states.f_narrow(0, run.start, run.rows())?;
                rows.f_reshape([run.sequences, run.length, -1])?.f_select(1, 0)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let pooled = self.dense.forward(&Tensor::f_cat(&first_tokens, 0)?)?.f_tanh()?;
        self.output.forward(&pooled)?.f_softmax(-1, Kind::Float)
    }

    fn share(&self) -> Self {
        Self {
            dense: self.dense.share(),
            output: self.output.share(),
        }
    }
}
