//! The course of memorization: what several checkpoints of one run would give back, without sampling.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use contract::Error;
use contract::pipeline::Extraction;
use contract::records::{CoursePoint, DocumentKind, Score, Split};
use model_folder::checkpoints::{self, name, step};

use crate::scoring::EXTRACTABLE_TOKENS;

/// The checkpoints that a list of folders names: a folder that is no model but holds models stands for them, in the order of their
/// steps. Where that makes several, it is said which is asked.
///
/// # Errors
/// [`Error::Input`] for a folder that cannot be read, or that is no model and holds none.
pub fn expand(folders: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut expanded = Vec::new();
    for folder in folders {
        expanded.extend(checkpoints::expand(folder)?);
    }
    if let (Some(last), true) = (expanded.last(), expanded.len() > folders.len()) {
        tracing::info!(
            "of {} checkpoints the last by its step is asked, {}; course.parquet follows them all",
            expanded.len(),
            last.display()
        );
    }
    Ok(expanded)
}

/// The settings by which a checkpoint is scored for its points alone: neither other prefixes nor a search around continuations.
pub(crate) fn settings(settings: &Extraction) -> Extraction {
    Extraction {
        scored_prefixes: Vec::new(),
        near_verbatim_beams: 0,
        ..settings.clone()
    }
}

/// What a checkpoint's scores say: one point for each split and number of copies. The documents of `other` text are in none.
pub(crate) fn points<'s>(
    folder: &Path,
    scores: impl IntoIterator<Item = &'s Score>,
    other: &BTreeSet<String>,
    settings: &Extraction,
) -> Vec<CoursePoint> {
    let name = name(folder);
    let step = step(&name);
    let mut groups: BTreeMap<(Split, i32), Group> = BTreeMap::new();
    let of_corpus = scores
        .into_iter()
        .filter(|score| score.kind == DocumentKind::Document && !other.contains(&score.doc_id));
    for score in of_corpus {
        let group = groups.entry((score.split, score.copies)).or_default();
        match score.prefix_tokens {
            0 => group.whole(score),
            // Others are easier to get right, or harder.
            prefix => {
                let wanted = (settings.prefix_tokens, EXTRACTABLE_TOKENS);
                if (prefix as usize, score.suffix_tokens as usize) == wanted {
                    group.continuation(score);
                }
            }
        }
    }
    let points = groups.into_iter();
    points
        .map(|((split, copies), group)| CoursePoint {
            checkpoint: name.clone(),
            step,
            split,
            copies,
            documents: group.documents,
            loss: group.loss / f64::from(group.tokens.max(1)),
            continuations: group.continuations,
            exact_memorization: share(group.exact, group.continuations),
            extractable: share(f64::from(group.extractable), group.continuations),
            extraction_probability: share(group.probability, group.continuations),
        })
        .collect()
}

fn share(sum: f64, count: i32) -> Option<f64> {
    (count > 0).then(|| sum / f64::from(count))
}

/// Sums over the documents of one split with one number of copies.
#[derive(Default)]
struct Group {
    documents: i32,
    tokens: i32,
    loss: f64,
    continuations: i32,
    exact: f64,
    extractable: i32,
    probability: f64,
}

impl Group {
    fn whole(&mut self, score: &Score) {
        self.documents += 1;
        self.tokens += score.suffix_tokens;
        self.loss -= score.logprobs.iter().copied().map(f64::from).sum::<f64>();
    }

    fn continuation(&mut self, score: &Score) {
        let hits = score.argmax_hits.iter().filter(|hit| **hit).count();
        let all = score.argmax_hits.len().max(1);
        self.continuations += 1;
        self.exact += hits as f64 / all as f64;
        self.extractable += i32::from(hits == all);
        let logarithm: f64 = score.scheme_logprobs.iter().copied().map(f64::from).sum();
        self.probability += logarithm.exp();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(split: Split, copies: i32, prefix_tokens: i32, hits: &[bool], logprobs: &[f32]) -> Score {
        Score {
            doc_id: "d".into(),
            split,
            copies,
            kind: DocumentKind::Document,
            prefix_tokens,
            suffix_tokens: logprobs.len() as i32,
            logprobs: logprobs.to_vec(),
            scheme_logprobs: logprobs.to_vec(),
            argmax_hits: hits.to_vec(),
            vocab_mean: Vec::new(),
            vocab_std: Vec::new(),
            zlib_bytes: 0,
            near_verbatim_logprob: None,
            document_tokens: None,
            canary_format: None,
            secret_tokens_given: None,
            conditional_loss: None,
            gradient_norm: None,
        }
    }

    /// A row whose first `hits` tokens of `length` are right, each of this log-probability.
    fn row(split: Split, copies: i32, prefix_tokens: i32, length: usize, hits: usize, log: f32) -> Score {
        let right: Vec<bool> = (0..length).map(|place| place < hits).collect();
        score(split, copies, prefix_tokens, &right, &vec![log; length])
    }

    #[test]
    fn points_are_shares_and_means() {
        let half = 0.5_f32.ln();
        let scores = [
            // Two documents of 4 copies: 60 and 52 tokens, losses 60 ln 2 and 0; of their 50 tokens behind two, one document's are
            // memorized, of the other's one of two.
            row(Split::Train, 4, 0, 60, 60, half),
            row(Split::Train, 4, 2, 50, 50, half),
            row(Split::Train, 4, 0, 52, 52, 0.0),
            row(Split::Train, 4, 2, 50, 25, f32::NEG_INFINITY),
            // As many tokens as are generated, another prefix, and a document too short for 50 tokens behind two.
            row(Split::Train, 4, 2, 12, 12, half),
            row(Split::Train, 4, 3, 50, 0, half),
            row(Split::Heldout, 0, 0, 1, 0, half),
            // Text of another kind.
            Score {
                doc_id: "other".into(),
                ..row(Split::Heldout, 0, 0, 60, 60, half)
            },
        ];
        let settings = Extraction {
            prefix_tokens: 2,
            new_tokens: 12,
            ..Extraction::default()
        };
        let folder = Path::new("cells/x/checkpoints/step-00000120");
        let points = points(folder, &scores, &BTreeSet::from(["other".to_owned()]), &settings);
        assert_eq!(points.len(), 2);
        let point = &points[0];
        assert_eq!(
            (point.checkpoint.as_str(), point.step),
            ("step-00000120", Some(120))
        );
        assert_eq!(
            (point.split, point.copies, point.documents, point.continuations),
            (Split::Train, 4, 2, 2)
        );
        assert!((point.loss - 60.0 / 112.0 * 2.0_f64.ln()).abs() < 1e-7);
        assert_eq!(
            (point.exact_memorization, point.extractable),
            (Some(0.75), Some(0.5))
        );
        // Drawn with probability 2^-50 and 0.
        let probability = point.extraction_probability.unwrap_or(0.0);
        assert!(
            (probability * 2.0_f64.powi(51) - 1.0).abs() < 1e-4,
            "{probability}"
        );
        let point = &points[1];
        assert_eq!(
            (
                point.split,
                point.documents,
                point.continuations,
                point.extractable
            ),
            (Split::Heldout, 1, 0, None)
        );
    }
}
