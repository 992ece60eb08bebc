//! Stage 4 of the pipeline: each generation against the corpus.
//!
//! For every sample of `samples.parquet` the stage asks three questions of the training documents, from strict to relaxed:
//!
//! 1. *Does it occur there?* The longest passage that the generation shares with the whole training set, up to case, white space
//!    and normal form ([`corpus::normal_form`], [`candidates::exact`]).
//! 2. *Does a passage render a passage?* Candidates ([`candidates`]) are aligned with the generation ([`alignment`]), likely
//!    paraphrases are confirmed by meaning ([`paraphrase::confirm`]), and what was found in single documents becomes a class
//!    ([`decision`]): verbatim, paraphrase, idea, or none.
//! 3. *Does it say the same?* The largest cosine between a sentence of the generation and a sentence of the prompt's own
//!    continuation, of the training set, and of the held-out set, which is the control ([`paraphrase::similarity`]).
//!
//! The first two are asked of the held-out documents as well: what is found there, by the same rules, is the control. What the
//! attacker supplied, the prompt and any echo of it, counts nowhere ([`corpus::generation`]), and canaries are no documents.
//!
//! Matched passages are looked at twice more: how many documents hold them ([`candidates::exact`]), because what occurs in many is a
//! common phrase, not specific to one document, and which personal details they hold, by the user's labels or by patterns
//! ([`personal_details`]).
//!
//! Beside these come ROUGE-L, BLEU and edit similarity against the truth, over words and characters, from `measures`, and whether the
//! final answer is that of the document, where it has one.
//! The answers go to `verdicts.parquet`, one row a sample, and the passages to `matches.parquet`.
//!
//! ```no_run
//! use clap::Parser;
//! use plagiarism::{Arguments, Outcome};
//!
//! let arguments = Arguments::parse_from([
//!     "plagiarism", "--config", "pipelines/demo.toml", "--in", "corpus/bucketed",
//!     "--samples", "cells/base/samples.parquet", "--out", "cells/base",
//! ]);
//! match plagiarism::run(&arguments)? {
//!     Outcome::UpToDate => println!("nothing to do"),
//!     Outcome::Copied(folder) => println!("as in {}", folder.display()),
//!     Outcome::Done(summary) => println!("{summary}"),
//!     Outcome::Merged(parts) => println!("{parts} parts put together"),
//! }
//! # Ok::<(), contract::Error>(())
//! ```
//!
//! # Presets
//!
//! | | `ours` | `lee2023` | `pan2015` |
//! |---|---|---|---|
//! | candidates, unless configured | BM25, exact, nearest | BM25 | BM25, exact, nearest |
//! | verbatim from more than (characters) | 50 | 50 | 256 |
//! | passages of at least (characters) | 50 | 50 | 150 |
//! | slips of the published program (`text_align::Mode`) | put right | kept | kept |
//! | class of a generation | the strongest over all candidates | the first candidate with a detection | as `lee2023` |
//! | an exact passage of the verbatim length | is verbatim wherever it occurs | | |
//! | a paraphrase of at least (characters) | 150, or half of a text | 50 | 150 |
//! | a paraphrase, besides a confirmed pair of sentences | two reworded sentences and half of the words, or one and three quarters of them | | |
//! | an idea | two sentences that reword the passage | | |
//! | an edited copy | one passage | as many as it has verbatim runs | as `lee2023` |
//!
//! Each column is a constructor of [`alignment::DetectorPolicy`]. The published presets decide as published, with these
//! exceptions: a paraphrase is confirmed as `detection.confirm` says, by default by the cosine of sentence vectors, where Lee et
//! al. asked a RoBERTa classifier and named entities and Sanchez-Perez et al. nothing; sentences, words and stems are those of this
//! program; and the PAN task gave the pairs, so the candidates of `pan2015`, and that the first one decides, are not its own.
//!
//! The exact search matters: alignment weighs words by rarity within a pair of texts, and two texts of one and the same
//! sentence have no rare words, so alignment alone sees nothing there.
//!
//! # Large corpora
//!
//! Encoding every sentence of a corpus takes far longer than everything else together. So it is done up to a number of
//! sentences ([`paraphrase::evidence::MAX_SENTENCES`]), once for all cells of a pipeline ([`cache::vectors`]); beyond, words nominate the
//! few sentences that are encoded ([`paraphrase::nominated`]). `detection.similarity` can ask for either, and a run ends by saying
//! which it was. Documents are prepared for alignment when they are candidates, and let go ([`candidates::pairs`]).
//!
//! # What to know
//!
//! - Where `decoded.parquet` is beside the samples, documents are compared as the model's tokenizer gives them back, and passages
//!   are led back to the text as it is written ([`corpus::decoded`]).
//! - Offsets count characters. They lie within the generation, which never includes the prompt.
//! - `longest_match_tokens` counts words and punctuation marks (Unicode Standard Annex 29), not the model's tokens: the
//!   stage reads text alone, so that it serves any model.
//! - Results depend neither on the number of threads nor on the order of the training set, and several processes give those of one:
//!   each takes some of the [`rounds`] (`--rank`, `--world`), and their files are put together (`--merge`).

pub mod alignment;
pub mod cache;
pub mod candidates;
mod clock;
mod comparison;
pub mod corpus;
pub mod decision;
mod parallel;
pub mod paraphrase;
pub mod personal_details;
pub mod side_by_side;

use std::path::{Path, PathBuf};

use contract::files::write_atomic;
use contract::parts::{PartArguments, Parts, Places, Share};
use contract::pipeline::Detection;
use contract::records::{PassageMatch, Sample, SampleVerdict};
use contract::{Error, Progress, Provenance, StageArguments, parquet};
use text_index::TextStore;

pub use cache::indexes::IndexCache;
pub use cache::vectors::VectorCache;
pub use clock::Clock;
pub use comparison::{Comparisons, Tools, compare, compare_rounds, rounds};
pub use corpus::decoded::DecodedTexts;
pub use corpus::sources::Sources;
pub use decision::classifier::Comparison;
pub use decision::tally::{Summary, VerdictTally};
pub use paraphrase::classifier::ParaphraseClassifier;
pub use paraphrase::encoder::SentenceEncoder;

const EXAMPLES: &str = "\
Examples:
  # What the extractor left in the folder asked, against the corpus of a run
  plagiarism --config pipelines/demo.toml --in data/runs/demo/corpus/bucketed-s0 \\
      --samples asked/samples.parquet --out asked
  # One half of that, for one of two processes; --merge 2 in its place puts the halves together
  plagiarism --config pipelines/demo.toml --in data/runs/demo/corpus/bucketed-s0 \\
      --samples asked/samples.parquet --out asked --rank 0 --world 2
  # Two texts side by side
  plagiarism align generation.txt document.txt";

/// The files that a run makes.
const OUTPUTS: [&str; 2] = ["matches.parquet", "verdicts.parquet"];

/// Compares what a model generated with the corpus: verbatim, paraphrase, idea, similarity
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "plagiarism", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// What all stages have in common.
    #[command(flatten)]
    pub stage: StageArguments,

    /// Folder of train.parquet and heldout.parquet
    #[arg(long = "in", value_name = "FOLDER")]
    pub corpus: PathBuf,

    /// Generations to compare
    #[arg(long, value_name = "FILE.parquet")]
    pub samples: PathBuf,

    /// How much of the work to do.
    #[command(flatten)]
    pub parts: PartArguments,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The outputs were there, made by the same program from the same inputs and settings.
    UpToDate,
    /// The folder above, named here, has the results of the same samples: they were copied.
    Copied(PathBuf),
    /// The outputs were written.
    Done(Summary),
    /// So many parts were put together.
    Merged(usize),
}

/// The whole stage: reads samples and corpus, compares, and writes `matches.parquet` and `verdicts.parquet`.
///
/// # Errors
/// [`Error::Configuration`] for a wrong setting, [`Error::Input`] for a file or an encoder that is missing or damaged,
/// [`Error::Output`] where a result cannot be written, [`Error::Run`] where the work fails.
pub fn run(arguments: &Arguments) -> Result<Outcome, Error> {
    let pipeline = arguments.stage.pipeline()?;
    let encoder_folder = paraphrase::encoder::locate(&pipeline)?;
    let classifier_folder = paraphrase::classifier::locate(&pipeline)?;
    let [train, held_out] =
        ["train", "heldout"].map(|name| arguments.corpus.join(name).with_extension("parquet"));
    let share = arguments.parts.share()?;
    let whole = OUTPUTS.map(|name| arguments.stage.out.join(name));
    let out = match share {
        Share::Part(part) => part.folder(&arguments.stage.out),
        Share::Whole | Share::Merge(_) => arguments.stage.out.clone(),
    };
    let [matches, verdicts] = OUTPUTS.map(|name| out.join(name));

    let decoded = DecodedTexts::beside(&arguments.samples);

    // Of files their content counts, which is an input, and not where they lie.
    let settings = Detection {
        encoder: None,
        classifier: None,
        personal_details: None,
        ..pipeline.detection.clone()
    };
    let mut provenance = Provenance::new("plagiarism")
        .with_configuration(&settings)?
        .with_seed(arguments.stage.seed(&pipeline))
        .with_input("train", &train)?
        .with_input("heldout", &held_out)?
        .with_input("samples", &arguments.samples)?
        .with_input("encoder", &encoder_folder)?;
    if let Some(folder) = &classifier_folder {
        provenance = provenance.with_input("classifier", folder)?;
    }
    let labels_file = pipeline
        .detection
        .personal_details
        .as_ref()
        .map(|file| pipeline.resolve(file));
    if let Some(file) = &labels_file {
        provenance = provenance.with_input("labels", file)?;
    }
    if let Some(file) = &decoded {
        provenance = provenance.with_input("decoded", file)?;
    }
    // Where the whole is there, so is every part of it.
    if !arguments.stage.force && provenance.is_done(&whole.each_ref().map(PathBuf::as_path)) {
        return Ok(Outcome::UpToDate);
    }
    if let Share::Merge(world) = share {
        return merge(&arguments.stage.out, world, &provenance);
    }
    if let Share::Part(part) = share {
        provenance = provenance.with_part(part);
    }
    if !arguments.stage.force {
        if provenance.is_done(&[&matches, &verdicts]) {
            return Ok(Outcome::UpToDate);
        }
        if let Some(folder) = copied_from_above(&provenance, &arguments.stage.out, [&matches, &verdicts])? {
            return Ok(Outcome::Copied(folder));
        }
    }

    let device = torch_device::device(&pipeline.detection.device)?;
    let mut clock = Clock::start();
    let reading = Progress::of_task("reading samples and corpus");
    let samples = parquet::read_all::<Sample>(&arguments.samples)?;
    let texts = || TextStore::new(&out, corpus::sources::TEXT_IN_MEMORY);
    let mut sources = Sources::read(&train, &held_out, decoded.as_deref(), texts)?;
    let labels = match &labels_file {
        Some(file) => Some(personal_details::labels::attach(file, &mut sources)?),
        None => None,
    };
    let digest = provenance.inputs.get("encoder").cloned().unwrap_or_default();
    let tools = Tools {
        encoder: SentenceEncoder::new(
            encoder_folder,
            pipeline.detection.precision,
            &digest,
            VectorCache::beside(&arguments.corpus),
        )
        .on(device),
        classifier: classifier_folder
            .map(|folder| ParaphraseClassifier::load(&folder, pipeline.detection.confirm_probability, device))
            .transpose()?,
        indexes: IndexCache::beside(&arguments.corpus),
    };
    drop(reading);
    clock.lap("reading");
    let rounds = comparison::rounds(samples.len());
    let own = match share {
        Share::Part(part) => &rounds[part.range(rounds.len())],
        Share::Whole | Share::Merge(_) => &rounds[..],
    };
    let Comparisons { comparisons, scope } = rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.stage.threads())
        .build()
        .map_err(|error| Error::Run(format!("cannot start threads: {error}")))?
        .install(|| compare_rounds(&samples, own, &sources, &pipeline.detection, &tools, &mut clock))?;

    // Rounds follow one another.
    let compared = match (own.first(), own.last()) {
        (Some(first), Some(last)) => first.start..last.end,
        _ => 0..0,
    };
    // The sample that each row is about, by its number.
    let mut passages: Vec<(i64, PassageMatch)> = Vec::new();
    let mut rows: Vec<SampleVerdict> = Vec::with_capacity(comparisons.len());
    for (number, comparison) in compared.clone().zip(comparisons) {
        let found = comparison.matches.into_iter();
        passages.extend(found.map(|passage| (number as i64, passage)));
        rows.push(comparison.verdict);
    }
    let places = compared.clone().map(|number| number as i64);
    let passages = passages.iter().map(|(place, passage)| (*place, passage));
    parquet::write_placed(&matches, &provenance, passages)?;
    parquet::write_placed(&verdicts, &provenance, places.zip(&rows))?;
    clock.lap("writing");
    Ok(Outcome::Done(Summary {
        tally: VerdictTally::of(&samples[compared], &rows),
        scope,
        without_sentence: rows.iter().filter(|row| row.max_similarity.is_none()).count(),
        decoded: sources.decoded(),
        with_echo: rows.iter().filter(|row| row.echoed_chars > Some(0)).count(),
        labels,
        phases: clock.phases().to_vec(),
    }))
}

/// Puts the results of so many parts together.
fn merge(out: &Path, world: usize, provenance: &Provenance) -> Result<Outcome, Error> {
    let [matches, verdicts] = OUTPUTS;
    let parts = Parts::check(out, world, provenance, &OUTPUTS)?;
    parts.merge::<PassageMatch>(matches, Places::Some, |_, _| ())?;
    parts.merge::<SampleVerdict>(verdicts, Places::All, |_, _| ())?;
    Ok(Outcome::Merged(world))
}

/// The checkpoint with the best held-out loss is often the last, which the folder above is about. Copies its results where they are
/// those of this very work, and names that folder.
fn copied_from_above(
    provenance: &Provenance,
    out: &Path,
    outputs: [&Path; 2],
) -> Result<Option<PathBuf>, Error> {
    let Some(above) = out.parent() else {
        return Ok(None);
    };
    let above = provenance
        .part
        .map_or_else(|| above.to_path_buf(), |part| part.folder(above));
    let sources = outputs.map(|output| above.join(output.file_name().unwrap_or_default()));
    let is_same =
        |source: &PathBuf| parquet::provenance(source).is_some_and(|present| provenance.same_work(&present));
    if !sources.iter().all(is_same) {
        return Ok(None);
    }
    for (source, output) in sources.iter().zip(outputs) {
        let content = std::fs::read(source)
            .map_err(|error| Error::input(source, format!("cannot be read: {error}")))?;
        write_atomic(output, &content)?;
    }
    Ok(Some(above))
}

/// Turns the error of a library into one that says what it was called for.
fn failed<E: std::fmt::Display>(work: &'static str) -> impl Fn(E) -> Error {
    move |error| Error::Run(format!("{work}: {error}"))
}
