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
/// [`Error::Configuration`] where `detection.classifier` is missing, [`Error::Input`] where there is nothing in the folder.
pub fn locate(pipeline: &PipelineFile) -> Result<Option<PathBuf>, Error> {
    let detection = &pipeline.detection;
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
    /// Loads the classifier of `folder`, which calls a pair a paraphrase from over `threshold`, a probability, and computes on a device.
    ///
    /// # Errors
    /// [`Error::Input`] where the folder holds no usable classifier.
    pub fn load(folder: &Path, threshold: f64, device: Device) -> Result<Self, Error> {
        let classifier = PairClassifier::load(folder, device).map_err(|error| Error::input(folder, error))?;
        Ok(Self {
            classifier: Mutex::new(classifier),
            threshold: threshold as f32,
            failure: Mutex::new(None),
        })
    }

    /// Whether any of `pairs` is a paraphrase. After a failure nothing is, and [`ParaphraseClassifier::check`] reports it.
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
    /// [`Error::Run`] where the classifier failed; the failure is reported once.
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

#[cfg(test)]
mod tests {
    use contract::pipeline::Detection;
    use sentence_embed::Embeddings;

    use super::*;
    use crate::corpus::sentences::SentenceTable;
    use crate::paraphrase::confirm::Confirmer;
    use crate::paraphrase::similarity::Vectors;

    /// A random BERT of two classes. By transformers its probability is 0.327 for `HAPPY`, and 0.105 in the other order.
    const TINY: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../sentence-embed/tests/fixtures/tiny_bert_pairs"
    );
    const HAPPY: (&str, &str) = ("That is a happy person", "That is a very happy person");

    fn located(detection: &str) -> Result<Option<PathBuf>, Error> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pipeline.toml");
        let text = format!("name = \"test\"\n[corpus]\nfiles = \"none.txt\"\n[detection]\n{detection}\n");
        std::fs::write(&file, text).unwrap();
        std::fs::create_dir(folder.path().join("there")).unwrap();
        std::fs::write(folder.path().join("there/config.json"), "{}").unwrap();
        let found = locate(&PipelineFile::load(&file, &[])?)?;
        Ok(found.map(|path| path.strip_prefix(folder.path()).unwrap().to_path_buf()))
    }

    #[test]
    fn the_folder_is_needed_only_by_the_classifier_and_lies_beside_the_pipeline_file() {
        assert_eq!(located("").unwrap(), None);
        assert_eq!(located("classifier = \"nowhere\"").unwrap(), None);
        assert_eq!(
            located("confirm = \"classifier\"\nclassifier = \"there\"").unwrap(),
            Some(PathBuf::from("there"))
        );
        for (detection, expected) in [
            (
                "confirm = \"classifier\"",
                "detection.classifier: expected the folder",
            ),
            (
                "confirm = \"classifier\"\nclassifier = \"nowhere\"",
                "correct detection.classifier",
            ),
            ("confirm_probability = 1.5", "from 0 to 1, found 1.5"),
            ("confirm_probability = nan", "from 0 to 1, found NaN"),
        ] {
            let error = located(detection).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_pair_counts_from_over_the_threshold_and_one_is_enough() {
        let other = (HAPPY.1, HAPPY.0);
        for (threshold, pairs, expected) in [
            (0.32, &[HAPPY][..], true),
            (0.33, &[HAPPY], false),
            (0.32, &[other], false),
            (0.32, &[other, HAPPY], true),
            (0.0, &[], false),
            (1.0, &[HAPPY, other], false),
        ] {
            let classifier = ParaphraseClassifier::load(Path::new(TINY), threshold, Device::Cpu).unwrap();
            assert_eq!(classifier.confirms(pairs), expected, "{pairs:?} over {threshold}");
            assert!(classifier.check().is_ok());
        }
    }

    #[test]
    fn sentences_that_differ_in_case_alone_confirm_nothing() {
        let mut table = SentenceTable::default();
        let texts = table.read(&[HAPPY.0, &HAPPY.0.to_uppercase(), HAPPY.1]);
        let vectors = Vectors::from(Embeddings::from_rows(Vec::new(), 1).unwrap());
        let detection = Detection {
            confirm: Confirmation::Classifier,
            ..Detection::default()
        };
        let classifier = ParaphraseClassifier::load(Path::new(TINY), 0.0, Device::Cpu).unwrap();
        let confirmer = Confirmer::new(&detection, &table, &vectors);
        let [text, upper, other] = [0, 1, 2].map(|index: usize| &texts[index].sentences);
        assert!(!confirmer.confirms(text, other), "no classifier yet");
        let confirmer = confirmer.with_classifier(Some(&classifier));
        assert!(confirmer.confirms(text, other));
        assert!(!confirmer.confirms(text, upper));
        assert!(!confirmer.confirms(text, &[]));
    }

    #[test]
    fn a_folder_without_a_classifier_is_an_error_of_the_input() {
        let error = ParaphraseClassifier::load(Path::new("nowhere"), 0.5, Device::Cpu).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    }
}
