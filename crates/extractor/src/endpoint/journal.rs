//! Answers that are there already, so that none is paid for twice: `answers.jsonl` beside the results, a line for each request.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use contract::Error;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::client::Answer;

/// The name of the file.
const ANSWERS: &str = "answers.jsonl";

/// The answers to requests, by what was asked of whom.
pub(crate) struct Journal {
    path: PathBuf,
    kept: Mutex<(BTreeMap<String, Answer>, File)>,
}

/// What a request is known by: where it goes and what is sent.
pub(crate) fn identity(url: &str, body: &Value) -> String {
    format!("{:032x}", xxh3_128(format!("{url}\n{body}").as_bytes()))
}

impl Journal {
    /// Opens the answers in a folder. Lines that are not what was written, such as the last one of a run that was killed, are asked
    /// for again.
    ///
    /// # Errors
    /// [`Error::Output`] where the file cannot be read or written.
    pub(crate) fn open(folder: &Path, forget: bool) -> Result<Self, Error> {
        let path = folder.join(ANSWERS);
        let unusable = |error| Error::output(&path, error);
        std::fs::create_dir_all(folder).map_err(unusable)?;
        let mut kept = BTreeMap::new();
        let mut damaged = 0;
        if path.is_file() && !forget {
            for line in BufReader::new(File::open(&path).map_err(unusable)?).split(b'\n') {
                match read_line(&line.map_err(unusable)?) {
                    Some((identity, answer)) => {
                        kept.insert(identity, answer);
                    }
                    None => damaged += 1,
                }
            }
        }
        if damaged > 0 {
            tracing::warn!(
                "{}: {damaged} lines are not whole; what they answered is asked again",
                path.display()
            );
        }
        // A line that was cut must not run into the next.
        let mut whole = Vec::new();
        for (identity, answer) in &kept {
            whole.extend(line(identity, answer)?.into_bytes());
        }
        contract::files::write_if_changed(&path, &whole)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(unusable)?;
        Ok(Self {
            path,
            kept: Mutex::new((kept, file)),
        })
    }

    /// How many answers are there.
    pub(crate) fn len(&self) -> usize {
        self.kept().0.len()
    }

    /// Whether a request is answered.
    pub(crate) fn holds(&self, identity: &str) -> bool {
        self.kept().0.contains_key(identity)
    }

    /// The answer to a request, where it is there.
    pub(crate) fn get(&self, identity: &str) -> Option<Answer> {
        self.kept().0.get(identity).cloned()
    }

    /// Keeps an answer before anything is made of it.
    ///
    /// # Errors
    /// [`Error::Output`] where it cannot be written.
    pub(crate) fn keep(&self, identity: &str, answer: Answer) -> Result<(), Error> {
        let line = line(identity, &answer)?;
        let mut kept = self.kept();
        kept.1
            .write_all(line.as_bytes())
            .map_err(|error| Error::output(&self.path, error))?;
        kept.0.insert(identity.to_owned(), answer);
        Ok(())
    }

    fn kept(&self) -> MutexGuard<'_, (BTreeMap<String, Answer>, File)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line: the digest of what follows, what was asked, and what was answered.
fn line(identity: &str, answer: &Answer) -> Result<String, Error> {
    let answer = serde_json::to_string(answer).map_err(|error| Error::Run(error.to_string()))?;
    let content = format!("{identity} {answer}");
    Ok(format!("{:032x} {content}\n", xxh3_128(content.as_bytes())))
}

fn read_line(line: &[u8]) -> Option<(String, Answer)> {
    let (digest, content) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    if digest != format!("{:032x}", xxh3_128(content.as_bytes())) {
        return None;
    }
    let (identity, answer) = content.split_once(' ')?;
    Some((identity.to_owned(), serde_json::from_str(answer).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back_but_for_the_line_that_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let answer = |text: &str| Answer {
            text: text.to_owned(),
            finish: None,
            logprobs: vec![-0.25],
            tokens: Some(3),
        };
        let journal = Journal::open(folder.path(), false).unwrap();
        journal.keep("one", answer("first\nline")).unwrap();
        journal.keep("two", answer("second")).unwrap();
        let path = folder.path().join(ANSWERS);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let journal = Journal::open(folder.path(), false).unwrap();
            let first_line = whole.iter().position(|byte| *byte == b'\n').unwrap();
            assert_eq!(journal.get("one").is_some(), length >= first_line, "{length}");
            assert!(
                journal
                    .get("one")
                    .is_none_or(|kept| kept == answer("first\nline"))
            );
            assert!(journal.get("two").is_none_or(|kept| kept == answer("second")));
            assert_eq!(
                journal.get("two").is_some(),
                length + 1 >= whole.len(),
                "{length}"
            );
        }
        assert_eq!(Journal::open(folder.path(), true).unwrap().len(), 0);
    }

    #[test]
    fn a_flipped_bit_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let answer = Answer {
            text: "text".to_owned(),
            finish: Some("stop".to_owned()),
            logprobs: Vec::new(),
            tokens: None,
        };
        Journal::open(folder.path(), false)
            .unwrap()
            .keep("one", answer)
            .unwrap();
        let path = folder.path().join(ANSWERS);
        let whole = std::fs::read(&path).unwrap();
        for place in 0..whole.len() - 1 {
            let mut flipped = whole.clone();
            flipped[place] ^= 1 << (place % 8);
            std::fs::write(&path, flipped).unwrap();
            assert_eq!(Journal::open(folder.path(), false).unwrap().len(), 0, "{place}");
        }
    }
}
