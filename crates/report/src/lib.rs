//! Stage 5: what a run has shown, as one table of estimates and a page that shows it.
//!
//! A run folder goes in: the cells that `plan` laid out, and what the other stages left in them. Out come `summary.parquet`, the
//! table of estimates; `report.html`, one page that needs nothing else, and `report-redacted.html`, the same without any text of the
//! corpus; `report.json`, `summary.csv` and `report.md`. The stage's whole flow is [`report`]:
//!
//! 1. [`read`] finds the files, names the command for one that is missing, and reads them. Files that don't belong together are
//!    refused.
//! 2. [`estimate`] computes every figure once, with its interval, its units and its controls, into one table; makes the checks of
//!    plausibility; and says which figures exceed their controls.
//! 3. [`findings`] puts the table into sentences.
//! 4. [`page`], [`plot`], [`terminal`], [`json`] show it. They compute nothing: each figure is a row of the table, and names it.

use std::path::{Path, PathBuf};

use contract::records::SummaryRow;
use contract::{Error, PipelineFile, Provenance, StageArguments, files, parquet};

pub use estimate::{Bootstrap, Estimates};
pub use read::{Run, RunFiles};

pub mod compare;
pub mod estimate;
pub mod evidence;
pub mod findings;
pub mod format;
pub mod gate;
pub mod json;
pub mod markdown;
pub mod model_card;
pub mod page;
pub mod plot;
pub mod read;
mod row_words;
pub mod terminal;
pub mod verify;

/// What the stage did.
#[derive(Debug)]
pub struct Outcome {
    /// The page.
    pub page: PathBuf,
    /// A compact table for the terminal; where there was nothing to do, the failed checks of plausibility alone.
    pub table: String,
    /// Whether both files were there already, made from the same inputs.
    pub up_to_date: bool,
}

// What a pipeline file may ask for is what intervals need.
const _: () = assert!(contract::pipeline::MIN_RESAMPLES == measures::interval::MIN_RESAMPLES);

/// Reads the run folder `input` and writes `summary.parquet` and `report.html` to the output folder.
///
/// # Errors
/// [`Error::Configuration`] for a wrong pipeline file, [`Error::Input`] for a run that is incomplete or whose files do
/// not belong together, [`Error::Output`] where the results cannot be written.
pub fn report(arguments: &StageArguments, input: &Path) -> Result<Outcome, Error> {
    let pipeline = arguments.pipeline()?;
    let seed = arguments.seed(&pipeline);
    let found = RunFiles::find(input)?;
    let provenance = provenance(&pipeline, &found, seed)?;
    let summary_file = arguments.out.join("summary.parquet");
    let page = arguments.out.join("report.html");
    if !arguments.force && page.exists() && provenance.is_done(&[&summary_file]) {
        files::touch(&page)?;
        let rows: Vec<SummaryRow> = parquet::read_all(&summary_file)?;
        return Ok(Outcome {
            page,
            table: terminal::text_before(&rows),
            up_to_date: true,
        });
    }
    let run = Run::load(&found)?;
    let bootstrap = Bootstrap {
        resamples: pipeline.report.resamples,
        seed,
    };
    let estimates = Estimates::of(&run, bootstrap)?;
    let rows = estimates.table.summary(&estimates.subjects, &estimates.groups);
    let json = json::write(&pipeline.name, &estimates, &rows)
        .map_err(|error| Error::Run(format!("a report without a JSON form: {error}")))?;
    files::remove_if_present(&summary_file)?;
    files::write_atomic(&arguments.out.join("report.json"), json.as_bytes())?;
    files::write_atomic(&arguments.out.join("report.schema.json"), json::SCHEMA.as_bytes())?;
    files::write_atomic(&arguments.out.join("summary.csv"), csv(&rows)?.as_bytes())?;
    let markdown = markdown::text(&pipeline.name, &estimates);
    files::write_atomic(&arguments.out.join("report.md"), markdown.as_bytes())?;
    let heading = page::Heading::of(&pipeline, &provenance);
    let edition = |is_redacted| page::write(&heading, &estimates, &provenance, is_redacted);
    files::write_atomic(&page, edition(false).as_bytes())?;
    if page::shows_texts(&estimates) {
        files::write_atomic(
            &arguments.out.join("report-redacted.html"),
            edition(true).as_bytes(),
        )?;
    }
    // The summary comes last: where it stands with this provenance, the page is of the same making.
    parquet::write_all(&summary_file, &provenance, &rows)?;
    Ok(Outcome {
        page,
        table: terminal::text(&estimates),
        up_to_date: false,
    })
}

/// Rows as CSV; what has no value is empty.
fn csv<R: serde::Serialize>(rows: &[R]) -> Result<String, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Run(format!("a row without a CSV form: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

fn provenance(pipeline: &PipelineFile, found: &RunFiles, seed: u64) -> Result<Provenance, Error> {
    let settings = (&pipeline.name, &pipeline.description, &pipeline.report);
    let mut provenance = Provenance::new("report")
        .with_configuration(&settings)?
        .with_seed(seed);
    for (role, file) in found.inputs() {
        provenance = provenance.with_input(&role, file)?;
    }
    Ok(provenance)
}
