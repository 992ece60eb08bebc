//! The course of memorization: what several checkpoints of one run would give back, without sampling.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use causal_lm::{ADAPTER_CONFIG, TextTokenizer, load_checkpoint};
use contract::pipeline::Extraction;
use contract::records::{CoursePoint, DocumentKind, Score, Split};
use contract::{Error, Progress};
use tch::{Device, Kind};

use crate::documents::Documents;
use crate::{Reader, scoring};

/// What the names of a run's kept checkpoints begin with, before the number of the step.
const STEP: &str = "step-";

/// The checkpoints that a list of folders names: a folder that is no model but holds models stands for them, in the order of their names.
///
/// # Errors
/// [`Error::Input`] for a folder that cannot be read, or that is no model and holds none.
pub fn expand(folders: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let is_model =
        |folder: &Path| folder.join("config.json").exists() || folder.join(ADAPTER_CONFIG).exists();
    let mut expanded = Vec::new();
    for folder in folders {
        if is_model(folder) {
            expanded.push(folder.clone());
            continue;
        }
        let entries = std::fs::read_dir(folder)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| Error::input(folder, format!("cannot be read: {error}")))?;
        let mut inside: Vec<PathBuf> = entries
            .into_iter()
            .map(|entry| entry.path())
            .filter(|path| is_model(path) && !is_unfinished(path))
            .collect();
        if inside.is_empty() {
            let problem =
                format!("expected config.json, {ADAPTER_CONFIG}, or folders with one of them; found none");
            return Err(Error::input(folder, problem));
        }
        inside.sort();
        expanded.extend(inside);
    }
    Ok(expanded)
}

/// Whether a folder was left behind while it was being written.
fn is_unfinished(folder: &Path) -> bool {
    let ending = folder.extension().and_then(|ending| ending.to_str());
    matches!(ending, Some("partial" | "replaced"))
}

/// How each of `checkpoints` remembers the documents of a corpus, which is read with the tokenizer of each.
///
/// # Errors
/// [`Error::Input`] for a folder that is no checkpoint, [`Error::Run`] where LibTorch or a tokenizer fails.
pub(crate) fn follow(
    checkpoints: &[PathBuf],
    base: Option<&Path>,
    (train, held_out): (&Path, &Path),
    settings: &Extraction,
    (kind, device): (Kind, Device),
) -> Result<Vec<CoursePoint>, Error> {
    // The continuations of the prompts alone: neither other prefixes nor a search around them.
    let settings = Extraction {
        scored_prefixes: Vec::new(),
        near_verbatim_beams: 0,
        ..settings.clone()
    };
    let mut points = Vec::new();
    let mut progress = Progress::new("following", checkpoints.len() as u64, "checkpoints");
    for folder in checkpoints {
        let (mut model, files) = load_checkpoint(folder, base, kind, device)?;
        if kind == Kind::Float {
            model.merge()?;
        }
        let reader = Reader::new(model, TextTokenizer::load(&files)?, settings.begin)?;
        let documents = Documents::load(train, held_out, &reader.tokenizer)?;
        let scores = scoring::score(&reader, &settings, &documents)?;
        points.extend(of_checkpoint(folder, &scores, &settings));
        progress.advance(1, "");
    }
    Ok(points)
}

/// One point for each split and number of copies.
fn of_checkpoint(folder: &Path, scores: &[Score], settings: &Extraction) -> Vec<CoursePoint> {
    let name = folder
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let step = name.strip_prefix(STEP).and_then(|number| number.parse().ok());
    let mut groups: BTreeMap<(Split, i32), Group> = BTreeMap::new();
    for score in scores.iter().filter(|score| score.kind == DocumentKind::Document) {
        let group = groups.entry((score.split, score.copies)).or_default();
        match score.prefix_tokens {
            0 => group.whole(score),
            // A short one is easily right.
            prefix => {
                let wanted = (settings.prefix_tokens, settings.new_tokens);
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
        }
    }

    #[test]
    fn points_are_shares_and_means() {
        let half = 0.5_f32.ln();
        let scores = [
            // Two documents of 4 copies: 4 and 2 tokens, losses 4 ln 2 and 0; one continuation known by heart, one half.
            score(Split::Train, 4, 0, &[true; 4], &[half; 4]),
            score(Split::Train, 4, 2, &[true, true], &[half, half]),
            score(Split::Train, 4, 0, &[true; 2], &[0.0; 2]),
            score(Split::Train, 4, 2, &[true, false], &[0.0, f32::NEG_INFINITY]),
            // A continuation that is too short, a prefix that nobody asked for, and a document too short to have a continuation.
            score(Split::Train, 4, 2, &[true], &[half]),
            score(Split::Train, 4, 3, &[false, false], &[half, half]),
            score(Split::Heldout, 0, 0, &[false], &[half]),
        ];
        let settings = Extraction {
            prefix_tokens: 2,
            new_tokens: 2,
            ..Extraction::default()
        };
        let points = of_checkpoint(Path::new("cells/x/checkpoints/step-00000120"), &scores, &settings);
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
        assert!((point.loss - 4.0 / 6.0 * 2.0_f64.ln()).abs() < 1e-7);
        assert_eq!(
            (point.exact_memorization, point.extractable),
            (Some(0.75), Some(0.5))
        );
        // Drawn with probability ¼ and 0.
        assert!((point.extraction_probability.unwrap_or(0.0) - 0.125).abs() < 1e-7);
        let point = &points[1];
        assert_eq!(
            (point.split, point.continuations, point.extractable),
            (Split::Heldout, 0, None)
        );
    }
}
