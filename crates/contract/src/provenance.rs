//! Where an output came from: written into its Parquet footer, one key a fact, and read back to
//! recognise finished work.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::parts::Part;
use crate::paths::relative;
use crate::{CONTRACT_VERSION, Error};

/// Everything an output depends on, and when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The stage's name.
    pub stage: String,
    /// Version of the Parquet contract.
    pub contract_version: u32,
    /// The stage's own part of the pipeline file, as JSON.
    pub configuration: String,
    /// Input files by role, each with its xxh3-128 digest in hexadecimal.
    pub inputs: BTreeMap<String, String>,
    /// Where each input was, as the stage was told; in a file, as seen from the file's folder. No
    /// part of the work: it is there so that the inputs can be looked at again.
    #[serde(default)]
    pub places: BTreeMap<String, PathBuf>,
    /// Seed of everything random.
    pub seed: u64,
    /// Which part of the output it is; none for the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Version of the program that wrote the output.
    pub program_version: String,
    /// Seconds since 1970 (UTC) at which the output was begun.
    pub created: u64,
}

impl Provenance {
    /// The provenance of an output of `stage` begun now, with no inputs yet.
    pub fn new(stage: &str) -> Self {
        Self {
            stage: stage.to_owned(),
            contract_version: CONTRACT_VERSION,
            configuration: "{}".to_owned(),
            inputs: BTreeMap::new(),
            places: BTreeMap::new(),
            seed: 0,
            part: None,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            created: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| elapsed.as_secs()),
        }
    }

    /// Records the settings that the stage works by.
    ///
    /// # Errors
    /// [`Error::Run`] where they have no JSON form.
    pub fn with_configuration(mut self, configuration: &impl Serialize) -> Result<Self, Error> {
        self.configuration = serde_json::to_string(configuration)
            .map_err(|error| Error::Run(format!("settings without a JSON form: {error}")))?;
        Ok(self)
    }

    /// Records the seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Records an input file, or every file of an input folder, by digest under the name `role`.
    ///
    /// # Errors
    /// [`Error::Input`] where it cannot be read.
    pub fn with_input(mut self, role: &str, path: &Path) -> Result<Self, Error> {
        self.inputs.insert(role.to_owned(), digest(path)?);
        self.places.insert(role.to_owned(), path.to_path_buf());
        Ok(self)
    }

    /// The provenance of a part of the output.
    #[must_use]
    pub fn with_part(mut self, part: Part) -> Self {
        self.part = Some(part);
        self
    }

    /// The facts as footer keys and values of a file in `folder`.
    pub fn to_key_values(&self, folder: &Path) -> Vec<(String, String)> {
        let inputs = serde_json::to_string(&self.inputs).unwrap_or_default();
        let places = self.places.iter();
        let places: BTreeMap<&str, PathBuf> = places
            .map(|(role, place)| (&role[..], seen_from(folder, place)))
            .collect();
        let places = serde_json::to_string(&places).unwrap_or_default();
        let part = self.part.map(|part| ("part", part.to_string()));
        let facts = [
            ("stage", self.stage.clone()),
            ("contract_version", self.contract_version.to_string()),
            ("configuration", self.configuration.clone()),
            ("inputs", inputs),
            ("places", places),
            ("seed", self.seed.to_string()),
            ("program_version", self.program_version.clone()),
            ("created", self.created.to_string()),
        ];
        let facts = facts.into_iter().chain(part);
        facts.map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Reads the facts back; `None` where one is missing, as in a file that another program wrote.
    pub fn from_key_values(facts: &BTreeMap<String, String>) -> Option<Self> {
        Some(Self {
            stage: facts.get("stage")?.clone(),
            contract_version: facts.get("contract_version")?.parse().ok()?,
            configuration: facts.get("configuration")?.clone(),
            inputs: serde_json::from_str(facts.get("inputs")?).ok()?,
            places: facts
                .get("places")
                .and_then(|places| serde_json::from_str(places).ok())
                .unwrap_or_default(),
            seed: facts.get("seed")?.parse().ok()?,
            part: facts.get("part").map(|part| part.parse()).transpose().ok()?,
            program_version: facts.get("program_version")?.clone(),
            created: facts.get("created")?.parse().ok()?,
        })
    }

    /// Whether work with this provenance would repeat the work that `other` records: all agrees but
    /// the time, and where inputs lie.
    pub fn same_work(&self, other: &Self) -> bool {
        self.difference(other).is_none()
    }

    /// The first fact by which `other` is other work, with what was expected and found; none where
    /// it is the same.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let part = |part: Option<Part>| part.map_or("the whole".to_owned(), |part| format!("part {part}"));
        let facts = [
            ("stage", &self.stage, &other.stage),
            ("program version", &self.program_version, &other.program_version),
            (
                "contract version",
                &self.contract_version.to_string(),
                &other.contract_version.to_string(),
            ),
            ("part", &part(self.part), &part(other.part)),
            ("seed", &self.seed.to_string(), &other.seed.to_string()),
        ];
        if let Some((fact, expected, found)) = facts.iter().find(|(_, expected, found)| expected != found) {
            return Some(format!("{fact}: expected {expected}, found {found}"));
        }
        let inputs = first_difference(&self.inputs, &other.inputs);
        if let Some((role, expected, found)) = inputs {
            let input = |digest: Option<&String>| {
                digest.map_or("none".to_owned(), |digest| format!("that with digest {digest}"))
            };
            return Some(format!(
                "input {role}: expected {}, found {}",
                input(expected),
                input(found)
            ));
        }
        if self.configuration == other.configuration {
            return None;
        }
        let settings = |text: &str| serde_json::from_str::<BTreeMap<String, serde_json::Value>>(text);
        let (Ok(expected), Ok(found)) = (settings(&self.configuration), settings(&other.configuration))
        else {
            return Some("settings: expected others".to_owned());
        };
        let value = |value: Option<&serde_json::Value>| value.map_or("none".to_owned(), ToString::to_string);
        Some(match first_difference(&expected, &found) {
            Some((key, expected, found)) => {
                format!(
                    "setting {key}: expected {}, found {}",
                    value(expected),
                    value(found)
                )
            }
            None => "settings: expected them in another order".to_owned(),
        })
    }

    /// Whether every one of the Parquet `outputs` exists, is complete, and records this very work.
    ///
    /// Outputs found so are touched, so that make sees them newer than their inputs, and what a killed
    /// run with other settings left half-written beside them is removed.
    pub fn is_done(&self, outputs: &[&Path]) -> bool {
        let done = outputs
            .iter()
            .all(|output| crate::parquet::provenance(output).is_some_and(|present| self.same_work(&present)));
        if done {
            for output in outputs {
                crate::files::remove_abandoned(output);
            }
        }
        done && outputs.iter().all(|output| crate::files::touch(output).is_ok())
    }
}

/// The first key whose values differ, with both; a value may be missing.
fn first_difference<'a, V: PartialEq>(
    left: &'a BTreeMap<String, V>,
    right: &'a BTreeMap<String, V>,
) -> Option<(&'a String, Option<&'a V>, Option<&'a V>)> {
    let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let mut values = keys.into_iter().map(|key| (key, left.get(key), right.get(key)));
    values.find(|(_, left, right)| left != right)
}

/// An input as seen from the folder of an output; as it was told where one of them is not there.
fn seen_from(folder: &Path, place: &Path) -> PathBuf {
    match (folder.canonicalize(), place.canonicalize()) {
        (Ok(folder), Ok(place)) => relative(&folder, &place),
        _ => place.to_path_buf(),
    }
}

/// The xxh3-128 digest of a file's bytes (of Parquet, without the footer), in hexadecimal; that of
/// a folder is over the names in it, in order, each with the digest of what it names.
///
/// # Errors
/// [`Error::Input`] where something cannot be read.
pub fn digest(path: &Path) -> Result<String, Error> {
    digest_within(path, &mut Vec::new())
}

/// As [`digest`], of what lies in the folders `around`, which are without links.
fn digest_within(path: &Path, around: &mut Vec<PathBuf>) -> Result<String, Error> {
    let failed = |error| Error::input(path, format!("cannot be read: {error}"));
    let mut hasher = Xxh3::new();
    if path.is_dir() {
        let real = path.canonicalize().map_err(failed)?;
        if around.contains(&real) {
            let problem = "is a link to a folder that it lies in, and so has no end. Remove it";
            return Err(Error::input(path, problem));
        }
        around.push(real);
        let mut entries = std::fs::read_dir(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(failed)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            // A name holds no zero byte and a digest has one length, so no two folders spell the
            // same bytes.
            hasher.update(entry.file_name().as_encoded_bytes());
            hasher.update(if entry.path().is_dir() { b"\0d" } else { b"\0f" });
            hasher.update(digest_within(&entry.path(), around)?.as_bytes());
        }
        around.pop();
    } else {
        hash_file(&mut hasher, path).map_err(failed)?;
    }
    Ok(format!("{:032x}", hasher.digest128()))
}

fn hash_file(hasher: &mut Xxh3, path: &Path) -> std::io::Result<()> {
    // Reading a pipe waits for a writer, and some devices have no end.
    if path.exists() && !path.is_file() {
        return Err(std::io::Error::other("it is a pipe, a socket or a device"));
    }
    let mut file = File::open(path)?;
    let length = content_length(&mut file)?;
    let mut content = file.take(length);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        hasher.update(&buffer[..read]);
    }
}

/// Bytes of a file that say what is in it: all, but for Parquet without the footer, which also says
/// when it was written. The same rows written anew are the same input, and nothing made from them
/// needs to be made again.
pub(crate) fn content_length(file: &mut File) -> std::io::Result<u64> {
    let length = file.metadata()?.len();
    let mut ending = [0; 8];
    if length < 12 {
        return Ok(length);
    }
    file.seek(SeekFrom::End(-8))?;
    file.read_exact(&mut ending)?;
    file.rewind()?;
    let [first, second, third, fourth, magic @ ..] = ending;
    let footer = u64::from(u32::from_le_bytes([first, second, third, fourth])) + 8;
    Ok(if magic == *b"PAR1" {
        length.saturating_sub(footer)
    } else {
        length
    })
}
