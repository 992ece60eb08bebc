//! The classifier of sentence pairs that can confirm paraphrases in place of the encoder.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use contract::pipeline::Confirmation;
use contract::{Error, PipelineFile};
use sentence_embed::PairClassifier;
use tch::Device;

use crate::failed;

/// Says whether sentences reword one another, on any number of threads.
pub struct ParaphraseClassifier {
    classifier: Mutex<PairClassifier>,
    threshold: f32,
    failure: Mutex<Option<Error>>,
}

/// The folder of the classifier, if paraphrases are confirmed by one.
///
/// # Errors
/// [`Error::Configuration`] where `detection.classifier` is missing or `detection.confirm_probability` is none,
/// [`Error::Input`] where there is nothing in the folder.
pub fn locate(pipeline: &PipelineFile) -> Result<Option<PathBuf>, Error> {
    let detection = &pipeline.detection;
    if !(0.0..=1.0).contains(&detection.confirm_probability) {
        return Err(Error::Configuration(format!(
            "detection.confirm_probability: expected a probability from 0 to 1, found {}",
            detection.confirm_probability
        )));
    }
    if detection.confirm != Confirmation::Classifier {
        return Ok(None);
    }
    let Some(folder) = &detection.classifier else {
        return Err(Error::Configuration(
            "detection.classifier: expected the folder of a classifier of sentence pairs, because detection.confirm is \
             \"classifier\"; found none"
                .to_owned(),
        ));
    };
    let folder = pipeline.resolve(folder);
    if folder.join("config.json").is_file() {
        return Ok(Some(folder));
    }
    Err(Error::input(
        &folder,
        "expected a classifier of sentence pairs (a folder with config.json, model.safetensors and tokenizer.json), found \
         none: correct detection.classifier",
    ))
}

impl ParaphraseClassifier {
    /// Loads the classifier of `folder`, which calls a pair a paraphrase from over `threshold`, a probability.
    ///
    /// # Errors
    /// [`Error::Input`] where the folder holds no usable classifier.
    pub fn load(folder: &Path, threshold: f64) -> Result<Self, Error> {
        let classifier =
            PairClassifier::load(folder, Device::Cpu).map_err(|error| Error::input(folder, error))?;
        Ok(Self {
            classifier: Mutex::new(classifier),
            threshold: threshold as f32,
            failure: Mutex::new(None),
        })
    }

    /// Whether any of `pairs` is a paraphrase. After a failure nothing is, and [`ParaphraseClassifier::check`] tells.
    pub fn confirms(&self, pairs: &[(&str, &str)]) -> bool {
        if pairs.is_empty() {
            return false;
        }
        // The lock is held for a moment only: a handle of its own lets every thread compute at the same time.
        let classifier = self
            .classifier
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .share();
        match classifier.paraphrase_probabilities(pairs) {
            Ok(probabilities) => probabilities
                .iter()
                .any(|&probability| probability > self.threshold),
            Err(error) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| failed("classifying sentences")(error));
                false
            }
        }
    }

    /// Whether all went well so far.
    ///
    /// # Errors
    /// [`Error::Run`] where the classifier failed; the failure is told once.
    pub fn check(&self) -> Result<(), Error> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), Err)
    }
}

impl fmt::Debug for ParaphraseClassifier {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter
            .debug_struct("ParaphraseClassifier")
            .field("threshold", &self.threshold)
            .finish_non_exhaustive()
    }
}
