//! Stage 1 of the pipeline: private text in any common format becomes a training set with controlled duplication.
//!
//! How much of a text a model gives back depends above all on how often it saw it. So the number of copies must be exact,
//! and there must be text of the same kind that the model never saw. [`run`] makes both from a corpus:
//!
//! 1. [`corpus_files`] finds the files and reads them, one document at a time, whatever their format. Texts that occur there
//!    twice are dropped, so that the only repetition is the one planted here; unless somebody else's training set is to be
//!    audited as it was, copies and all. Texts are the same where they are in [`normal_form`].
//! 2. [`split`] decides by a hash of the text which documents are held out, and which of those choose checkpoint and learning
//!    rate. The decision depends on nothing else: in every run, with every seed, the same text falls on the same side.
//! 3. [`copies`] gives each training document its number of copies, and shuffles the instances with the seed.
//! 4. [`canaries`] adds random strings that a model can know from nowhere else, and refuses those it could never learn. Of a model
//!    that is tuned already, a manifest names those that were planted before; where they are among the corpus they are no
//!    documents of it.
//! 5. Text of another kind (`corpus.other`) is added to the held-out file with the role `other`: it is scored and nothing else. What there
//!    is of it beyond `corpus.max_other` goes to `other.parquet`: a mode may train on it.
//! 6. Held-out documents that share much of their wording with a training document are marked as near-duplicates, and what
//!    `tuning.context` cuts off is counted.
//!
//! Texts go through a temporary file; what stays in memory is some hundred bytes a document, so a corpus may be larger than
//! the memory. The results are `train.parquet`, `heldout.parquet`, `corpus.parquet` and `other.parquet` of [`contract::records`].
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
mod contexts;
pub mod copies;
pub mod cut;
pub mod digest;
mod facts;
pub mod left_out;
mod manifest;
pub mod model_tokenizers;
mod near_duplicates;
mod output;
mod secrets;
pub mod split;
mod spool;
pub mod summary;
mod word_pairs;

use std::path::Path;
use std::sync::Arc;

use chat_template::{Candidate, ChatTemplate, Message};
use contract::pipeline::{Canaries as CanarySettings, Corpus, Duplication, OneOrMany, RowShape, Rows};
use contract::records::HeldOutRole;
use contract::{Error, PipelineFile, Provenance, files, parquet};
use corpus_files::{Columns, CorpusFile, Rendering, is_chat_template};
use serde::Serialize;

pub use arguments::Arguments;
pub use summary::{Outcome, Summary};
pub use word_ngrams::normal_form;

use canaries::Canaries;
use collection::{Collection, Files, Side, Tally};
use copies::{CopyPlan, Placement};
use cut::Cut;
use facts::{Results, corpus_facts};
use left_out::Reason;
use model_tokenizers::ModelTokenizer;
use near_duplicates::Overlap;
use output::HeldOut;
use secrets::Secrets;
use split::Sides;

/// Runs the stage: reads the corpus and writes `train.parquet`, `heldout.parquet` and `corpus.parquet` into the folder asked for,
/// unless they are there already and made from the same files, settings and seed. The last depends on the models' tokenizers too;
/// where it alone is missing or old, it alone is written.
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
    let models = model_tokenizers::candidates(&pipeline);
    let columns = Columns::of_models(&corpus, &pipeline.resolve("."), &models)?;
    let files = find_files(&corpus, arguments, &pipeline)?;
    let conversations = conversations(&files, &columns)?;
    let manifest = pipeline.canaries.manifest.as_ref();
    let manifest = manifest.map(|manifest| pipeline.resolve(manifest));
    let canaries = match &manifest {
        Some(manifest) => planted_before_tuning(manifest, &corpus, &columns, &models, &pipeline)?,
        None => {
            let secrets = Secrets::new(&pipeline, &files.all[..files.training], &columns, seed)?;
            Canaries::draw(&pipeline, plan.copies(), secrets, seed)?
                .rendered(&pipeline, conversations.as_deref())?
        }
    };
    let (tokenizers, without_tokenizer) = if pipeline.tuning.rows == Rows::Documents {
        ModelTokenizer::load_all(&pipeline)?
    } else {
        (Vec::new(), Vec::new())
    };
    canaries.check_learnable(&pipeline, &tokenizers)?;

    let folder = &arguments.stage.out;
    let (train_file, held_out_file) = (folder.join("train.parquet"), folder.join("heldout.parquet"));
    let (facts_file, other_file) = (folder.join("corpus.parquet"), folder.join("other.parquet"));
    let settings = Settings {
        corpus: without_folders(&corpus),
        files: files.counts(),
        duplication: plan.settings(),
        canaries: CanarySettings {
            manifest: pipeline.canaries.manifest.as_deref().map(name_of),
            ..pipeline.canaries.clone()
        },
        passed_over: files.names_passed_over(),
        chat_template: conversations.as_ref().map(|template| template.digest()),
    };
    let mut provenance = provenance(&settings, &files.all, seed)?;
    if let Some(manifest) = &manifest {
        provenance = provenance.with_input("canaries", manifest)?;
    }
    let provenance_of_facts = provenance.clone().with_configuration(&FactSettings {
        settings: &settings,
        context: (pipeline.tuning.rows == Rows::Documents).then_some(pipeline.tuning.context),
        tokenizers: tokenizers
            .iter()
            .map(|tokenizer| (tokenizer.models.as_slice(), tokenizer.tokenizer.digest()))
            .collect(),
        without_tokenizer: &without_tokenizer,
    })?;
    let mut results = vec![train_file.as_path(), &held_out_file];
    results.extend(corpus.other.as_ref().map(|_| other_file.as_path()));
    let results_are_done = !arguments.stage.force && provenance.is_done(&results);
    if results_are_done && provenance_of_facts.is_done(&[&facts_file]) {
        // A run killed after its results were whole may have left the waiting texts behind.
        drop(spool::Spool::create(folder)?);
        return Ok(Outcome::UpToDate {
            folder: folder.clone(),
        });
    }

    let mut collection = Collection::read(&corpus, &columns, plan.layout(), &files, &canaries, folder)?;
    check_one_kind(&collection.tally)?;
    collection.limit(corpus.documents, corpus.shortage, &pipeline.path)?;
    let other_text = collection.share_out_other(corpus.max_other);
    let mut sides = split::by_text(collection.digests(), corpus.held_out);
    check_sides(&sides, &corpus, &pipeline.path)?;
    warn_without_control(&collection, &sides, &corpus);
    let withheld = withhold(
        &mut sides,
        &collection,
        plan.settings().trained_share,
        &pipeline,
        seed,
    )?;
    let other = other_documents(&other_text.scored, &collection, &corpus);
    let training = collection.digests_of(&sides.training);
    let found = collection.found(&sides.training);
    let placements = plan.lay_out(&training, &found, canaries.instances(), corpus.shortage, seed)?;

    let mut trained: Vec<usize> = placements
        .iter()
        .map(|placement| sides.training[placement.document])
        .collect();
    trained.sort_unstable();
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.stage.threads())
        .build()
        .map_err(|error| Error::Run(format!("cannot start threads: {error}")))?;
    let (documents_held_out, cuts) = threads.install(|| {
        let roles = roles(&collection, &sides.held_out, &withheld, corpus.validation);
        let held_out = held_out_documents(&mut collection, &roles, &trained)?;
        let documents: Vec<usize> = roles.iter().map(|(document, _)| *document).collect();
        let context = pipeline.tuning.context;
        let cuts = Cut::count(&mut collection, &trained, &documents, &tokenizers, context)?;
        Ok::<_, Error>((held_out, cuts))
    })?;

    let over_budget = sides.training.len() - placements.len();
    let tally = &mut collection.tally;
    tally.leave_out(Reason::OverBudget, Some(Side::Training), over_budget);
    let near_duplicates = documents_held_out
        .iter()
        .filter(|document| document.overlap.near_duplicate_of.is_some());
    let system = tally
        .common_system_message()
        .map(|(message, _)| message.to_owned());
    let opening = conversations
        .as_ref()
        .and_then(|template| template_opening(template, system.as_deref()));
    let facts = corpus_facts(
        tally,
        &Results {
            files: &files,
            cuts: &cuts,
            without_tokenizer: &without_tokenizer,
            near_duplicates: near_duplicates.count(),
            template_opening: opening.as_deref(),
        },
    );
    if !results_are_done {
        let held_out = output::held_out(
            &held_out_file,
            &provenance,
            &mut collection,
            &documents_held_out,
            &other,
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
        // What an earlier run said of its corpus is never beside the results of this one.
        files::remove_if_present(&facts_file)?;
        files::remove_if_present(&other_file)?;
        if corpus.other.is_some() {
            output::other(&other_file, &provenance, &mut collection, &other_text.mixed)?.finish()?;
        }
        held_out.finish()?;
        train.finish()?;
    }
    parquet::write_all(&facts_file, &provenance_of_facts, &facts)?;
    let guesses: Vec<_> = collection
        .tally
        .guesses
        .iter()
        .map(|(file, guess)| (Some(files.name(*file)), guess.clone()))
        .collect();
    let recognised = collection.tally.recognised_in_all();
    let mut summary = summarize(collection, &documents_held_out, &placements, &canaries);
    summary.other = other.len();
    summary.withheld = withheld.len();
    summary.recognised = recognised;
    summary.files = files.all.len();
    summary.passed_over = files
        .passed_over
        .iter()
        .map(|(passed, _)| passed.clone())
        .collect();
    summary.guesses = files
        .guesses
        .iter()
        .map(|guess| (None, guess.clone()))
        .chain(guesses)
        .collect();
    summary.cuts = cuts;
    summary.without_tokenizer = without_tokenizer;
    Ok(Outcome::Done(Box::new(summary)))
}

/// A conversation that was rendered is complete, and other text gets the model's BOS: a corpus of both would be asked in a form that
/// some of it was not trained in.
fn check_one_kind(tally: &Tally) -> Result<(), Error> {
    let (Some(rendered), Some(plain)) = (&tally.rendered.first, &tally.plain.first) else {
        return Ok(());
    };
    Err(Error::Configuration(format!(
        "corpus: {} documents are conversations, which a chat template rendered (the first: {rendered}), and {} are text as they are (the \
         first: {plain}). Give them as two corpora, or leave one kind out: corpus.shape names the kind that is read",
        tally.rendered.documents, tally.plain.documents
    )))
}

/// The template that the corpus' conversations are rendered with; none where its first document is none.
fn conversations(files: &Files, columns: &Columns) -> Result<Option<Arc<ChatTemplate>>, Error> {
    let Rendering::Template(template) = &columns.rendering else {
        return Ok(None);
    };
    let Some(first) = files.all.first() else {
        return Ok(None);
    };
    // What stands in the way of documents is said where all are read.
    let mut documents = corpus_files::documents(first, columns)?.filter_map(Result::ok);
    let is_rendered = documents
        .next()
        .is_some_and(|document| document.assistant_spans.is_some());
    Ok(is_rendered.then(|| Arc::clone(template)))
}

/// The canaries of a manifest. Where its records have other columns than the corpus, they are read by the columns that are recognised
/// of themselves.
fn planted_before_tuning(
    manifest: &Path,
    corpus: &Corpus,
    columns: &Columns,
    models: &[Candidate],
    pipeline: &PipelineFile,
) -> Result<Canaries, Error> {
    let recognised = Corpus {
        shape: RowShape::Auto,
        text: Corpus::default().text,
        prompt: None,
        response: None,
        messages: None,
        // A template of the corpus' own columns says nothing of these; one of conversations holds for all.
        template: corpus.template.clone().filter(|name| is_chat_template(name)),
        ..corpus.clone()
    };
    let otherwise = Columns::of_models(&recognised, &pipeline.resolve("."), models)?;
    let canaries = manifest::read(manifest, columns, &otherwise)?;
    if canaries.references().is_empty() {
        tracing::warn!(
            "{}: no canary was left out of training: there is nothing that planted ones can be compared with",
            manifest.display()
        );
    }
    Ok(canaries)
}

/// What a template writes through the header of an answer where the user says nothing, behind the system message that most conversations
/// have; none where it takes no such conversation.
fn template_opening(template: &ChatTemplate, system: Option<&str>) -> Option<String> {
    let system = system.map(|message| Message::new("system", message));
    let messages: Vec<Message> = system.into_iter().chain([Message::new("user", "")]).collect();
    template.render_prompt(&messages).ok()
}

/// The files to train on, those with held-out text, and those with other text.
fn find_files(corpus: &Corpus, arguments: &Arguments, pipeline: &PipelineFile) -> Result<Files, Error> {
    let training = corpus_files::find_files(corpus, arguments.base(pipeline))?;
    let base = pipeline.resolve(".");
    let held_out = corpus_files::find_held_out_files(corpus, &base)?;
    let other = corpus_files::find_other_files(corpus, &base)?;
    Ok(Files::new(training, held_out, other))
}

/// What the results depend on, beside the files and the seed.
#[derive(Serialize)]
struct Settings<'a> {
    corpus: Corpus,
    /// Files of training text, of held-out and of other text.
    files: [usize; 3],
    duplication: &'a Duplication,
    canaries: CanarySettings,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passed_over: Vec<String>,
    /// Digest of the template that conversations are rendered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_template: Option<String>,
}

/// The settings with the names of files alone: what is in the files counts, and not in which folder they lie, so that a run that was moved
/// has nothing to do again.
fn without_folders(corpus: &Corpus) -> Corpus {
    let names = |files: &OneOrMany<String>| OneOrMany::Many(files.as_slice().iter().map(name_of).collect());
    Corpus {
        files: names(&corpus.files),
        held_out_files: corpus.held_out_files.as_ref().map(names),
        other: corpus.other.as_ref().map(names),
        // Its digest counts, where it was used.
        chat_template: None,
        ..corpus.clone()
    }
}

fn name_of(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// What `corpus.parquet` depends on, beside the files and the seed.
#[derive(Serialize)]
struct FactSettings<'a> {
    settings: &'a Settings<'a>,
    context: Option<usize>,
    tokenizers: Vec<(&'a [String], &'a str)>,
    without_tokenizer: &'a [String],
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
            "expected documents to train on, found none: corpus.held_out = {share} holds out all {held_out}"
        );
        return Err(Error::input(pipeline_file, problem));
    }
    if held_out == 0 && share > 0.0 {
        tracing::warn!(
            "corpus.held_out = {share} holds out none of {training} documents: there will be no control"
        );
    }
    Ok(())
}

/// Says so where files of held-out text were given, and give none.
fn warn_without_control(collection: &Collection, sides: &Sides, corpus: &Corpus) {
    if corpus.held_out_files.is_none() || collection.any_held_out_file() {
        return;
    }
    let consequence = if sides.held_out.is_empty() {
        "there is no control"
    } else {
        "there is no control but what corpus.held_out holds out"
    };
    let found = match collection.tally.left_out_for(Reason::AlsoTrained) {
        0 => "none of the texts can be used".to_owned(),
        texts => format!(
            "all {texts} texts occur in the training text too (up to white space, case and normal form)"
        ),
    };
    tracing::warn!("HELD_OUT (corpus.held_out_files): {found}: {consequence}");
}

/// What the result says of documents of other text: they are there to be scored. It is said where files were given and none of their
/// texts can be used.
fn other_documents(other: &[usize], collection: &Collection, corpus: &Corpus) -> Vec<HeldOut> {
    if corpus.other.is_some() && other.is_empty() {
        let found = match collection.tally.left_out_for(Reason::AlsoInCorpus) {
            0 => "none of the texts can be used".to_owned(),
            texts => {
                format!("all {texts} texts occur in the corpus too (up to white space, case and normal form)")
            }
        };
        tracing::warn!("OTHER (corpus.other): {found}: what tuning makes the model forget is not measured");
    }
    other
        .iter()
        .map(|&document| HeldOut {
            document,
            role: HeldOutRole::Other,
            overlap: Overlap::default(),
        })
        .collect()
}

/// Takes out of the training side what this seed does not train on.
fn withhold(
    sides: &mut Sides,
    collection: &Collection,
    share: f64,
    pipeline: &PipelineFile,
    seed: u64,
) -> Result<Vec<usize>, Error> {
    let training = std::mem::take(&mut sides.training);
    let digests = collection.digests_of(&training);
    let (trained, withheld) = split::under_seed(training, &digests, share, seed);
    sides.training = trained;
    if sides.training.is_empty() {
        return Err(Error::Configuration(format!(
            "{}: duplication.trained_share = {share} leaves nothing of {} documents to train on under seed {seed}",
            pipeline.path.display(),
            withheld.len()
        )));
    }
    Ok(withheld)
}

/// The held-out documents in the order of the corpus, each with what it is for. What was withheld under this seed alone chooses nothing.
fn roles(
    collection: &Collection,
    held_out: &[usize],
    withheld: &[usize],
    validation: f64,
) -> Vec<(usize, HeldOutRole)> {
    let roles = split::roles(&collection.digests_of(held_out), validation);
    let held_out = held_out.iter().copied().zip(roles);
    let withheld = withheld.iter().map(|&document| (document, HeldOutRole::Test));
    let mut all: Vec<_> = held_out.chain(withheld).collect();
    all.sort_unstable();
    all
}

/// What the result says of held-out documents, beside the documents that are `trained` on.
fn held_out_documents(
    collection: &mut Collection,
    held_out: &[(usize, HeldOutRole)],
    trained: &[usize],
) -> Result<Vec<HeldOut>, Error> {
    let documents: Vec<usize> = held_out.iter().map(|(document, _)| *document).collect();
    let overlaps = near_duplicates::overlaps(collection, &documents, trained)?;
    let documents = held_out.iter().zip(overlaps);
    Ok(documents
        .map(|(&(document, role), overlap)| HeldOut {
            document,
            role,
            overlap,
        })
        .collect())
}

fn copies_of_each(placements: &[Placement], canaries: &Canaries) -> Vec<u32> {
    let documents = placements.iter().map(|placement| placement.copies);
    documents
        .chain(canaries.planted().iter().map(|canary| canary.copies))
        .collect()
}

fn summarize(
    collection: Collection,
    held_out: &[HeldOut],
    placements: &[Placement],
    canaries: &Canaries,
) -> Summary {
    let count = |is: fn(&HeldOut) -> bool| held_out.iter().filter(|&document| is(document)).count();
    let tally = collection.tally;
    let (same, variants) = tally.copies_found;
    let mut summary = Summary {
        read: tally.documents_read(),
        left_out: tally.left_out_by_reason(),
        copies_found: same + variants,
        variants_found: variants,
        renamed: tally.renamed,
        first_skipped: tally.first_skipped,
        replaced: tally.replaced.values().map(|counted| counted.documents).sum(),
        unused: tally
            .unused
            .iter()
            .map(|((_, column), counted)| (*column, counted.documents))
            .collect(),
        held_out: held_out.len(),
        validation: count(|document| document.role == HeldOutRole::Validation),
        near_duplicates: count(|document| document.overlap.near_duplicate_of.is_some()),
        not_compared: count(|document| document.overlap.share.is_none()),
        references: canaries
            .references()
            .iter()
            .filter(|canary| !canary.by_coin)
            .count(),
        coin_flips: canaries.all().filter(|canary| canary.by_coin).count(),
        formats: canaries.formats(),
        ..Summary::default()
    };
    for placement in placements {
        summary.training.entry(placement.copies).or_default().documents += 1;
    }
    for canary in canaries.planted() {
        summary.training.entry(canary.copies).or_default().canaries += 1;
        summary.coins_in += usize::from(canary.by_coin);
    }
    summary
}
