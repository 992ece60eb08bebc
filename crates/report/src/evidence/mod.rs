//! `report evidence`: what a run has shown, for those who decide whether a model may be released: the risks that were measured with
//! what an adversary needs, where reviewers ask for each, what was not tested, and the digests of every file it is based on.

mod annex;
mod risks;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use contract::progress::Progress;
use contract::records::SummaryRow;
use contract::{Error, Provenance, parquet};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{json, verify};
pub use risks::{RISKS, Reference, Risk};

/// Version of the schema: a reader that knows it can read the file.
pub const SCHEMA_VERSION: u32 = 1;

/// The schema, as it is written beside the bundle.
pub const SCHEMA: &str = include_str!("evidence.schema.json");

/// The whole bundle.
#[derive(Debug, Serialize)]
pub struct Evidence {
    schema_version: u32,
    program: &'static str,
    program_version: &'static str,
    name: String,
    /// What the report concludes of each model, strongest first.
    verdicts: Value,
    /// The checks of plausibility that failed: a low rate of such a cell is no evidence.
    failed_checks: Vec<Value>,
    risks: Vec<MeasuredRisk>,
    /// What no run of this program tests.
    not_tested: &'static [&'static str],
    /// What each output was made from: the digests (XXH3, 128 bits) that the stages kept of their inputs.
    chain: BTreeMap<String, BTreeMap<String, String>>,
    files: Vec<DigestedFile>,
}

/// A risk with the figures that a run has of it.
#[derive(Debug, Serialize)]
struct MeasuredRisk {
    #[serde(flatten)]
    risk: Risk,
    /// Its measures that the run has no figure of.
    not_measured: Vec<&'static str>,
    /// Rows of `summary.parquet`, of tuned models.
    figures: Vec<SummaryRow>,
}

/// A file of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct DigestedFile {
    /// As seen from the run folder.
    path: String,
    bytes: u64,
    sha256: String,
}

/// What no run tests, whatever its settings.
const NOT_TESTED: [&str; 5] = [
    "whether a document that was not found would come out for another prompt, another seed or more attempts: rates are of what was tried",
    "attacks through tools, retrieval or the system around the model",
    "models that are tuned further, or put together with others, after this",
    "text that the untuned model was trained on",
    "whether what comes out is personal data in law: the details that are counted are found by their form",
];

/// Brings the evidence of a run together.
///
/// # Errors
/// [`Error::Input`] for a run without a report, with files that are damaged, or with outputs that were made from other inputs than
/// those that are there: none of these is evidence.
pub fn collect(run: &Path) -> Result<Evidence, Error> {
    let report = run.join("report/report.json");
    if !report.is_file() {
        return Err(Error::input(
            run,
            "expected report/report.json, found none: `make report` makes it",
        ));
    }
    let verified = verify::verify(run)?;
    if !verified.is_right() {
        let problem = "its files are not what its stages wrote, or were made from others: that is no evidence. `report verify` says which";
        return Err(Error::input(run, problem));
    }
    let told: Value = read_json(&report)?;
    let version = told["schema_version"].as_u64();
    if version != Some(json::SCHEMA_VERSION.into()) {
        let problem = format!(
            "schema_version: expected {}, found {}",
            json::SCHEMA_VERSION,
            told["schema_version"]
        );
        return Err(Error::input(&report, problem));
    }
    let rows: Vec<SummaryRow> = parquet::read_all(&run.join("report/summary.parquet"))?;
    let files = digested(run, verified.whole.iter().chain(&verified.unsealed))?;
    Ok(Evidence {
        schema_version: SCHEMA_VERSION,
        program: "tuneleak report evidence",
        program_version: env!("CARGO_PKG_VERSION"),
        name: told["name"].as_str().unwrap_or_default().to_owned(),
        verdicts: told["verdicts"].clone(),
        failed_checks: failed_checks(&told["checks"]),
        risks: measured_risks(&rows),
        not_tested: &NOT_TESTED,
        chain: chain(run, &verified.whole),
        files,
    })
}

fn read_json(file: &Path) -> Result<Value, Error> {
    let text = std::fs::read(file).map_err(|error| Error::input(file, error))?;
    serde_json::from_slice(&text).map_err(|error| Error::input(file, error))
}

fn failed_checks(checks: &Value) -> Vec<Value> {
    let checks = checks.as_array().map(Vec::as_slice).unwrap_or_default();
    checks
        .iter()
        .filter(|check| check["status"] == "failed")
        .cloned()
        .collect()
}

fn measured_risks(rows: &[SummaryRow]) -> Vec<MeasuredRisk> {
    let figures: Vec<&SummaryRow> = rows
        .iter()
        .filter(|row| {
            row.cell.is_some() && row.against.is_none() && row.epoch.is_none() && row.mode != "base"
        })
        .collect();
    RISKS
        .iter()
        .map(|&risk| MeasuredRisk {
            risk,
            not_measured: risk.missing(&figures),
            figures: figures
                .iter()
                .filter(|row| risk.has(row))
                .map(|&row| row.clone())
                .collect(),
        })
        .collect()
}

/// Of each sealed Parquet file the digests of what it was made from.
fn chain(run: &Path, files: &[PathBuf]) -> BTreeMap<String, BTreeMap<String, String>> {
    let outputs = files
        .iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "parquet"));
    let made_from = outputs.filter_map(|file| {
        let Provenance { inputs, .. } = parquet::provenance(&run.join(file))?;
        Some((file.display().to_string(), inputs))
    });
    made_from.collect()
}

fn digested<'a>(run: &Path, files: impl Iterator<Item = &'a PathBuf>) -> Result<Vec<DigestedFile>, Error> {
    let mut files: Vec<&PathBuf> = files.collect();
    files.sort();
    let mut progress = Progress::new("digests", files.len() as u64, "files");
    let mut digested = Vec::with_capacity(files.len());
    for path in files {
        let file = run.join(path);
        let (bytes, sha256) = sha256(&file).map_err(|error| Error::input(&file, error))?;
        digested.push(DigestedFile {
            path: path.display().to_string(),
            bytes,
            sha256,
        });
        progress.advance(1, "");
    }
    Ok(digested)
}

/// Bytes and digest of a file.
fn sha256(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, format!("{:x}", digest.finalize())));
        }
        digest.update(&buffer[..read]);
        bytes += read as u64;
    }
}

impl Evidence {
    /// As JSON.
    ///
    /// # Errors
    /// Where serde has no form for it, which no value of these types has.
    pub fn json(&self) -> serde_json::Result<String> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    /// The annex for people: the risks, what was found, and what was not tested, in Markdown.
    pub fn annex(&self) -> String {
        annex::text(self)
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for measured in &self.risks {
            let missing = match measured.not_measured.as_slice() {
                [] => String::new(),
                names => {
                    let names: Vec<String> = names
                        .iter()
                        .map(|name| {
                            if name.ends_with('_') {
                                format!("{name}…")
                            } else {
                                (*name).to_owned()
                            }
                        })
                        .collect();
                    format!("; not measured: {}", names.join(", "))
                }
            };
            writeln!(
                formatter,
                "{:22} {} figures{missing}",
                measured.risk.id,
                measured.figures.len()
            )?;
        }
        let bytes: u64 = self.files.iter().map(|file| file.bytes).sum();
        write!(
            formatter,
            "{:22} {} with digests, {:.1} MB; {} failed checks of plausibility",
            "files",
            self.files.len(),
            bytes as f64 / 1e6,
            self.failed_checks.len()
        )
    }
}
