//! The pipeline file: one TOML file for the whole pipeline, of which each stage reads its own
//! tables.
//!
//! Unknown keys are refused with the nearest known one, and every message names file, line and key.
//! Relative paths are relative to the file. Any value can be overridden by its dotted name;
//! elements of lists by their number (`mode.0.learning_rate=[1e-4]`).

mod check;
mod one_or_many;
mod settings;

use std::ops::Deref;
use std::path::{Path, PathBuf};

pub use check::{CANARY_DIGITS, CANARY_WORDS, MIN_RESAMPLES};
pub use one_or_many::OneOrMany;
pub use settings::{
    Architecture, BadDocuments, Begin, Budget, Canaries, CanaryWords, Candidates, Check, Checkpoint, Cluster,
    ComputePath, Confirmation, Corpus, CorpusFormat, Detection, DetectorPreset, Duplication, Extraction,
    Layout, LossOn, MAX_DOCUMENT_MB, MembershipPass, Mode, ModeKind, Model, Pipeline, Precision, Privacy,
    PromptSource, Reporting, RowShape, Rows, Schedule, Shortage, SimilaritySearch, StageResources, Strategy,
    Targets, TextUnit, Tuning,
};

use crate::seal::{self, Seal};
use crate::{Error, foreign};

/// A pipeline file as read, and where it lies.
#[derive(Debug, Clone)]
pub struct PipelineFile {
    /// The file.
    pub path: PathBuf,
    pipeline: Pipeline,
}

impl Deref for PipelineFile {
    type Target = Pipeline;

    fn deref(&self) -> &Pipeline {
        &self.pipeline
    }
}

impl PipelineFile {
    /// Reads a pipeline file and applies `overrides`, each `dotted.key=value`.
    ///
    /// # Errors
    /// [`Error::Configuration`] with file, line, key and nearest known key.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, Error> {
        let text = foreign::read_text(path, foreign::MAX_SETTINGS_BYTES)
            .map_err(|error| Error::Configuration(error.to_string()))?;
        if seal::check_text(&text) == Seal::Broken {
            return Err(Error::Configuration(format!(
                "{}: is not what plan wrote: damaged, or changed by hand. Plan once more; or where the change is meant, remove the first line",
                path.display()
            )));
        }
        // Reading from the text first lets a message name the line.
        let mut pipeline: Pipeline =
            toml::from_str(&text).map_err(|error| Error::Configuration(describe(path, &text, &error)))?;
        if !overrides.is_empty() {
            let mut table: toml::Value =
                toml::from_str(&text).map_err(|error| Error::Configuration(describe(path, &text, &error)))?;
            rename_old_keys(&mut table);
            for assignment in overrides {
                pipeline = apply(&mut table, assignment)?;
            }
        }
        let loaded = Self {
            path: path.to_path_buf(),
            pipeline,
        };
        check::tables(&loaded.pipeline).map_err(|problem| {
            let is_overridden = overrides
                .iter()
                .any(|assignment| assignment.trim_start().starts_with(problem.key));
            let line = line_of_key(&text, problem.key)
                .or_else(|| line_of_key(&text, &old_name(problem.key)?))
                .filter(|_| !is_overridden);
            loaded.wrong(&problem, line)
        })?;
        Ok(loaded)
    }

    /// A path of the file, made relative to where the file lies.
    pub fn resolve(&self, path: &str) -> PathBuf {
        match self.path.parent() {
            Some(folder) if Path::new(path).is_relative() => folder.join(path),
            _ => PathBuf::from(path),
        }
    }

    /// The one model and mode of a file that describes a single cell, as `plan` writes them.
    ///
    /// # Errors
    /// [`Error::Configuration`] where the file describes none or several.
    pub fn single_cell(&self) -> Result<(&Model, &Mode, f64), Error> {
        let rates = self
            .pipeline
            .mode
            .iter()
            .map(|mode| mode.learning_rate.as_slice().len())
            .sum::<usize>();
        match (
            self.pipeline.model.as_slice(),
            self.pipeline.mode.as_slice(),
            rates,
        ) {
            ([model], [mode], 1) => Ok((model, mode, mode.learning_rate.as_slice()[0])),
            (models, modes, rates) => Err(Error::Configuration(format!(
                "{}: tuning needs one model, one mode and one learning rate; found {} models, {} modes, {rates} learning \
                 rates. Run `plan --config {0}`: it writes one such file for each combination",
                self.path.display(),
                models.len(),
                modes.len(),
            ))),
        }
    }

    /// The one corpus of a file that describes a single training set, as `plan` writes them.
    ///
    /// # Errors
    /// [`Error::Configuration`] where the file describes several.
    pub fn single_corpus(&self) -> Result<&Corpus, Error> {
        match self.pipeline.corpora.as_slice() {
            [corpus] => Ok(corpus),
            corpora => Err(Error::Configuration(format!(
                "{}: corpus: a training set is made of one corpus, found {}. Run `plan --config {0}`: it writes one such file \
                 for each training set",
                self.path.display(),
                corpora.len()
            ))),
        }
    }

    /// How many tokens of a text training read, the BOS included (none: as many as the model can),
    /// and which of them it took loss on. What `[extraction]` says goes first; else `[tuning]`
    /// where the file tunes a model, with rows of a document each.
    pub fn trained_tokens(&self) -> (Option<usize>, LossOn) {
        let Pipeline {
            tuning, extraction, ..
        } = &self.pipeline;
        let is_tuned_here = !self.pipeline.model.is_empty();
        let cut = (is_tuned_here && tuning.rows == Rows::Documents).then_some(tuning.context);
        let loss_on = if is_tuned_here {
            tuning.loss_on
        } else {
            LossOn::Text
        };
        (extraction.context.or(cut), extraction.loss_on.unwrap_or(loss_on))
    }

    /// Refuses tables that do not go together. Only the whole file can be asked: those that `plan`
    /// writes for single stages lack the tables of the others.
    ///
    /// # Errors
    /// [`Error::Configuration`] with file and key.
    pub fn check_whole(&self) -> Result<(), Error> {
        check::whole(&self.pipeline).map_err(|problem| self.wrong(&problem, None))
    }

    fn wrong(&self, check::Problem { key, problem }: &check::Problem, line: Option<usize>) -> Error {
        let line = line.map_or(String::new(), |line| format!(", line {line}"));
        Error::Configuration(format!("{}{line}: {key}: {problem}", self.path.display()))
    }
}

/// The line on which a dotted key of a table has its value, counted from 1; none where the file
/// writes it in another way, or several times.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    let (mut here, mut found) = ("", None);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_start_matches('[');
            here = header.split(']').next().unwrap_or_default().trim();
        } else if here == table && line.split('=').next().is_some_and(|found| found.trim() == name) {
            if found.is_some() {
                return None;
            }
            found = Some(number);
        }
    }
    found
}

/// Keys of `[tuning]` under the names that they had before, and have now. Serde takes both; an
/// override of one replaces the other.
const RENAMED_TUNING_KEYS: [(&str, &str); 3] = [
    ("accumulation", "gradient_accumulation_steps"),
    ("clip", "max_grad_norm"),
    ("pass_tokens", "max_tokens_per_microbatch"),
];

fn rename_old_keys(pipeline: &mut toml::Value) {
    let Some(tuning) = pipeline.get_mut("tuning").and_then(toml::Value::as_table_mut) else {
        return;
    };
    for (old, new) in RENAMED_TUNING_KEYS {
        if let Some(value) = tuning.remove(old) {
            tuning.insert(new.to_owned(), value);
        }
    }
}

/// The present name of a dotted key.
fn present_name(key: &str) -> String {
    let new = key
        .strip_prefix("tuning.")
        .and_then(|name| RENAMED_TUNING_KEYS.iter().find(|(old, _)| *old == name));
    new.map_or_else(|| key.to_owned(), |(_, new)| format!("tuning.{new}"))
}

/// The name that a dotted key had before, where it had another.
fn old_name(key: &str) -> Option<String> {
    let name = key.strip_prefix("tuning.")?;
    let (old, _) = RENAMED_TUNING_KEYS.iter().find(|(_, new)| *new == name)?;
    Some(format!("tuning.{old}"))
}

/// Jaro–Winkler similarity from which a known name is taken for what was meant: a slip or two in a
/// short word.
const NEAR: f64 = 0.75;

/// Sets one value in `table` and reads the whole anew, so that a mistake is told with the override
/// that made it.
fn apply(table: &mut toml::Value, assignment: &str) -> Result<Pipeline, Error> {
    let wrong = |problem: String| Error::Configuration(format!("--set {assignment}: {problem}"));
    let Some((key, value)) = assignment.split_once('=') else {
        return Err(wrong(
            "expected key=value, for instance tuning.epochs=3".to_owned(),
        ));
    };
    // A bare word is taken as a string, so that a shell needs no second pair of quotes.
    let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut place = &mut *table;
    for part in present_name(key.trim()).split('.') {
        place = match place {
            toml::Value::Array(elements) => {
                let length = elements.len();
                part.parse::<usize>()
                    .ok()
                    .and_then(|index| elements.get_mut(index))
                    .ok_or_else(|| {
                        wrong(format!(
                            "`{part}` is no element of a list of {length}, counted from 0"
                        ))
                    })?
            }
            toml::Value::Table(entries) => entries
                .entry(part.to_owned())
                .or_insert_with(|| toml::Value::Table(toml::Table::new())),
            _ => {
                return Err(wrong(format!(
                    "there is nothing below the value that holds `{part}`"
                )));
            }
        };
    }
    *place = value;
    table
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| wrong(explain(error.message(), None)))
}

/// Characters of a line that a message shows.
const MAX_SHOWN: usize = 400;

fn describe(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let Some(span) = error.span() else {
        return format!("{}: {}", path.display(), explain(error.message(), None));
    };
    let start = text.floor_char_boundary(span.start);
    let line = text[..start].matches('\n').count() + 1;
    let source = without_comment(text.lines().nth(line - 1).unwrap_or_default());
    let shown: String = source.chars().take(MAX_SHOWN).collect();
    let problem = explain(error.message(), Some(&shown));
    // A bracket that is never closed is noticed lines after it.
    let list = match open_bracket(&text[..start]) {
        Some(opened) if problem.contains("array") => {
            format!(". The list begins on line {opened}: is its ] missing?")
        }
        _ => String::new(),
    };
    format!("{}, line {line}: {problem}{list}", path.display())
}

/// A line without the comment at its end.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (place, letter) in line.char_indices() {
        match (letter, quote) {
            ('#', None) => return line[..place].trim(),
            (_, Some(open)) if letter == open => quote = None,
            ('"' | '\'', None) => quote = Some(letter),
            _ => {}
        }
    }
    line.trim()
}

/// The line of the last `[` of a list that is open at the end of a text.
fn open_bracket(text: &str) -> Option<usize> {
    let mut open = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = without_comment(line);
        // The head of a table ends every list before it.
        if line.starts_with('[') {
            open.clear();
            continue;
        }
        let mut quote = None;
        for letter in line.chars() {
            match (letter, quote) {
                (_, Some(closing)) if letter == closing => quote = None,
                ('"' | '\'', None) => quote = Some(letter),
                ('[', None) => open.push(number),
                (']', None) => drop(open.pop()),
                _ => {}
            }
        }
    }
    open.pop()
}

/// Serde's "unknown field `x`, expected one of `a`, `b`" with the nearest of the known names in
/// place of all of them, where one is near; and the source that it is about.
fn explain(message: &str, source: Option<&str>) -> String {
    let message = message.trim().replace('\n', " ");
    let inside = source.map_or(String::new(), |source| format!(" in `{source}`"));
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = ["unknown field", "unknown variant"]
        .into_iter()
        .find(|what| message.starts_with(what));
    let (Some(what), Some(found)) = (unknown, names.next()) else {
        return match source {
            Some(source) => format!("{message}, in `{source}`"),
            None => message,
        };
    };
    let likeness = |name: &str| strsim::jaro_winkler(found, name);
    match names.max_by(|first, second| likeness(first).total_cmp(&likeness(second))) {
        Some(nearest) if likeness(nearest) >= NEAR => {
            format!("{what} `{found}`{inside}. Did you mean `{nearest}`?")
        }
        _ => format!("{message}{inside}"),
    }
}
