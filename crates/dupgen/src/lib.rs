//! Stage 1 of the pipeline: private text in any common format becomes a training set with controlled duplication.
//!
//! How much of a text a model gives back depends above all on how often it saw it. So the number of copies must be exact,
//! and there must be text of the same kind that the model never saw. [`run`] makes both from a corpus:
//!
//! 1. [`ingest`] reads JSONL, CSV, plain text or Parquet, one [`ingest::RawDocument`] at a time. Texts that stand there
//!    twice are dropped, so that the only repetition is the one planted here; unless somebody else's training set is to be
//!    audited as it was, copies and all.
//! 2. [`split`] decides by a hash of the text which documents are held out. The decision depends on nothing else: in every
//!    run, with every seed, the same text falls on the same side.
//! 3. [`copies`] gives each training document its number of copies, and shuffles the instances with the seed.
//! 4. [`canaries`] adds random strings that a model can know from nowhere else, and refuses those it could never learn.
//!
//! Texts go through a temporary file; what stays in memory is some hundred bytes a document, so a corpus may be larger than
//! the memory. The results are `train.parquet` and `heldout.parquet` of [`contract::records`].
//!
//! ```
//! use clap::Parser;
//! use contract::{parquet, records::TrainingInstance};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = |name: &str| folder.path().join(name).display().to_string();
//! std::fs::write(path("letters.txt"), "Dear Ann,\nthe key is under the mat.\n\nDear Ben,\nI moved it.\n")?;
//! std::fs::write(path("letters.toml"), r#"
//!     name = "letters"
//!     corpus = { files = "letters.txt", held_out = 0.0 }
//!     duplication = { layout = "uniform", copies = [3] }
//! "#)?;
//!
//! let arguments = dupgen::Arguments::parse_from(["dupgen", "--config", &path("letters.toml"), "--out", &path("corpus")]);
//! dupgen::run(&arguments)?;
//!
//! let instances: Vec<TrainingInstance> = parquet::read_all(path("corpus/train.parquet").as_ref())?;
//! assert_eq!(instances.len(), 2 * 3);
//! assert!(instances.iter().any(|instance| instance.text == "Dear Ben,\nI moved it." && instance.copy == 2));
//! # Ok(())
//! # }
//! ```

mod arguments;
pub mod canaries;
mod collection;
pub mod copies;
pub mod digest;
pub mod ingest;
mod output;
pub mod split;
mod spool;
pub mod summary;

use std::path::Path;

use contract::pipeline::{Canaries as CanarySettings, Corpus, Duplication};
use contract::{Error, PipelineFile, Provenance};
use serde::Serialize;

pub use arguments::Arguments;
pub use summary::{Outcome, Summary};

use canaries::Canaries;
use collection::{Collection, Files};
use copies::{CopyPlan, Placement};
use ingest::{CorpusFile, Reason};
use split::Sides;

/// Runs the stage: reads the corpus and writes `train.parquet` and `heldout.parquet` into the folder asked for, unless both
/// are there already and made from the same files, settings and seed.
///
/// # Errors
/// [`Error::Configuration`] for settings that contradict each other and for canaries that would never be learned,
/// [`Error::Input`] for a corpus that cannot be read or is too small, [`Error::Output`] where the results cannot be written.
/// No file is then left half-written.
pub fn run(arguments: &Arguments) -> Result<Outcome, Error> {
    let pipeline = arguments.stage.pipeline()?;
    let seed = arguments.stage.seed(&pipeline);
    let corpus = arguments.corpus(&pipeline)?;
    let plan = CopyPlan::choose(&pipeline, arguments.layout, arguments.copies)?;
    let canaries = Canaries::draw(&pipeline, plan.copies(), seed)?;
    canaries.check_learnable(&pipeline)?;

    let folder = &arguments.stage.out;
    let (train_file, held_out_file) = (folder.join("train.parquet"), folder.join("heldout.parquet"));
    let files = find_files(&corpus, arguments, &pipeline)?;
    let settings = Settings {
        corpus: &corpus,
        duplication: plan.settings(),
        canaries: &pipeline.canaries,
    };
    let provenance = provenance(&settings, &files.all, seed)?;
    if !arguments.stage.force && provenance.is_done(&[&train_file, &held_out_file]) {
        // A run killed after its results were whole may have left the waiting texts behind.
        drop(spool::Spool::create(folder)?);
        return Ok(Outcome::UpToDate {
            folder: folder.clone(),
        });
    }

    let mut collection = Collection::read(&corpus, plan.layout(), &files, &canaries, folder)?;
    collection.limit(corpus.documents, corpus.shortage, &pipeline.path)?;
    let sides = split::by_text(collection.digests(), corpus.held_out);
    check_sides(&sides, &corpus, &pipeline.path)?;
    let training = collection.digests_of(&sides.training);
    let found = collection.found(&sides.training);
    let placements = plan.lay_out(&training, &found, canaries.instances(), corpus.shortage, seed)?;

    let held_out = output::held_out(
        &held_out_file,
        &provenance,
        &mut collection,
        &sides.held_out,
        &canaries,
    )?;
    let order = copies::training_order(&copies_of_each(&placements, &canaries), seed);
    let train = output::training(
        &train_file,
        &provenance,
        &mut collection,
        &sides.training,
        &placements,
        &canaries,
        &order,
    )?;
    held_out.finish()?;
    train.finish()?;
    Ok(Outcome::Done(summarize(
        collection,
        files.all.len(),
        &sides,
        &placements,
        &canaries,
    )))
}

/// The files to train on, and those with held-out text.
fn find_files(corpus: &Corpus, arguments: &Arguments, pipeline: &PipelineFile) -> Result<Files, Error> {
    let mut all = ingest::find_files(corpus, arguments.base(pipeline))?;
    let training = all.len();
    if let Some(held_out) = &corpus.held_out_files {
        let held_out = Corpus {
            files: held_out.clone(),
            ..corpus.clone()
        };
        all.extend(ingest::find_files(&held_out, &pipeline.resolve("."))?);
    }
    Ok(Files { all, training })
}

/// What the results depend on, beside the files and the seed.
#[derive(Serialize)]
struct Settings<'a> {
    corpus: &'a Corpus,
    duplication: &'a Duplication,
    canaries: &'a CanarySettings,
}

fn provenance(settings: &Settings<'_>, files: &[CorpusFile], seed: u64) -> Result<Provenance, Error> {
    let provenance = Provenance::new("dupgen")
        .with_configuration(settings)?
        .with_seed(seed);
    files
        .iter()
        .enumerate()
        .try_fold(provenance, |provenance, (number, file)| {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy();
            provenance.with_input(&format!("corpus {number}: {name}"), &file.path)
        })
}

/// Whether there is something to train on; a missing control is only worth a warning.
fn check_sides(sides: &Sides, corpus: &Corpus, pipeline_file: &Path) -> Result<(), Error> {
    let (training, held_out, share) = (sides.training.len(), sides.held_out.len(), corpus.held_out);
    if training == 0 {
        let problem = format!(
            "expected documents to train on, found none: corpus.held_out = {share} keeps back all {held_out}"
        );
        return Err(Error::input(pipeline_file, problem));
    }
    if held_out == 0 && share > 0.0 {
        tracing::warn!(
            "corpus.held_out = {share} keeps back none of {training} documents: there will be no control"
        );
    }
    Ok(())
}

fn copies_of_each(placements: &[Placement], canaries: &Canaries) -> Vec<u32> {
    let documents = placements.iter().map(|placement| placement.copies);
    documents
        .chain(canaries.planted().iter().map(|canary| canary.copies))
        .collect()
}

fn summarize(
    collection: Collection,
    files: usize,
    sides: &Sides,
    placements: &[Placement],
    canaries: &Canaries,
) -> Summary {
    let mut tally = collection.tally;
    tally.leave_out(Reason::OverBudget, sides.training.len() - placements.len());
    let mut summary = Summary {
        files,
        read: tally.read,
        left_out: tally.left_out,
        renamed: tally.renamed,
        first_skipped: tally.first_skipped,
        held_out: sides.held_out.len(),
        references: canaries.references().len(),
        ..Summary::default()
    };
    for placement in placements {
        summary.training.entry(placement.copies).or_default().documents += 1;
    }
    for canary in canaries.planted() {
        summary.training.entry(canary.copies).or_default().canaries += 1;
    }
    summary
}
