//! Stage 5: what a run has shown, with intervals and controls, as one table and one page.
//!
//! A run folder goes in: the cells that `plan` laid out, and what the other stages left in them. Out come
//! `summary.parquet`, every measure of every cell in long form, and `report.html`, one file that needs nothing else.
//! The stage's whole flow is [`report`]:
//!
//! 1. [`RunFiles`] finds the files and names the command for one that is missing; their digests decide whether there is
//!    anything to do.
//! 2. [`Run`] reads them. Each sample meets its verdict here, and files that don't belong together are refused.
//! 3. [`Tallies`](tallies::Tallies) hold what each document contributes to each measure. Whatever is averaged later is
//!    a sum of these, so that an interval can resample documents.
//! 4. [`Analysis`] pools seeds, gathers learning rates, and sets the ways of tuning side by side.
//! 5. [`checks`] look for mistakes that make figures be about something else: another file, another template, a control that is
//!    training text. Where one fails nothing is concluded from a low rate.
//! 6. [`summary`] and [`page`] write it down. The page's sentences come from [`findings`], and none is written that the
//!    sample cannot carry: a rate is a leak only where it stands clear of both controls ([`claims`]).
//!
//! ```
//! use measures::Tally;
//! use report::claims::Standing;
//! use report::measure::Kind;
//! use report::rates::{Bootstrap, Estimate};
//!
//! // Two of forty documents come back, none of forty without tuning: is that a leak?
//! let bootstrap = Bootstrap { resamples: 1000, seed: 0 };
//! let rate = |found: usize| {
//!     let tallies: Vec<Tally> = (0..40).map(|n| Tally::new(if n < found { 1.0 } else { 0.0 }, 1.0)).collect();
//!     Estimate::of(&tallies, Kind::Rate, bootstrap)
//! };
//! let tuned = rate(2).ok_or("forty documents have a rate")?;
//! // It cannot be told; 152 documents on each side would tell a rate like this from none.
//! assert_eq!(Standing::of(&tuned, &[rate(0)]), Standing::Open { documents: 152.0 });
//! # Ok::<(), &str>(())
//! ```

use std::path::{Path, PathBuf};

use contract::records::SummaryRow;
use contract::{Error, PipelineFile, Provenance, StageArguments, files, parquet};

pub use analysis::Analysis;
pub use run::{Run, RunFiles};

pub mod analysis;
pub mod canaries;
pub mod checks;
pub mod claims;
pub mod examples;
pub mod findings;
pub mod format;
pub mod measure;
pub mod membership;
pub mod observations;
pub mod page;
pub mod plot;
pub mod plots;
pub mod ranking;
pub mod rates;
pub mod run;
pub mod scores;
pub mod similarity;
pub mod summary;
pub mod tallies;
pub mod terminal;
pub mod trends;
pub mod utility;

use rates::Bootstrap;

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
const _: () = assert!(contract::pipeline::MIN_RESAMPLES == measures::interval::FEWEST_RESAMPLES);

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
            table: terminal::failed_before(&rows),
            up_to_date: true,
        });
    }
    let run = Run::load(&found)?;
    let bootstrap = Bootstrap {
        resamples: pipeline.report.resamples,
        seed,
    };
    let analysis = Analysis::of(&run, bootstrap)?;
    let written = page::write(
        &page::Heading::of(&pipeline),
        &analysis,
        &provenance,
        &pipeline.report,
    );
    files::write_whole(&page, written.as_bytes())?;
    // The summary comes last: where it stands with this provenance, the page is of the same making.
    parquet::write_all(&summary_file, &provenance, &summary::rows(&analysis))?;
    Ok(Outcome {
        page,
        table: terminal::table(&analysis),
        up_to_date: false,
    })
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
