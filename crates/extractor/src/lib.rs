//! Stage 3: what a model writes when it is given the beginning of a document, and how probable it finds the rest.
//!
//! [`extract`] is the whole stage. Prompts are the first tokens of training documents and, as the control, of held-out ones
//! ([`prompts`]); a [`sampling::Scheme`] truncates the model's distribution as transformers does; generations come from
//! batches that share the work of reading each prompt once. The scoring pass then reads the documents themselves, and so
//! gives the probability of a continuation without drawing it.
//!
//! A sample's random numbers follow from the seed, its document, strategy and number alone, so that results do not depend
//! on the size of batches, up to rounding in the logits.
//!
//! ```
//! use extractor::sampling::Scheme;
//!
//! // Of three tokens the two most probable are kept, and drawn by a number between 0 and 1.
//! let scheme = Scheme { temperature: 1.0, top_k: 2, top_p: 1.0 };
//! let logits = [2.0_f32.ln(), 1.0_f32.ln(), 1.0e-3_f32.ln()];
//! let kept = scheme.distribution(&logits);
//! assert_eq!(kept.iter().map(|entry| entry.token).collect::<Vec<_>>(), [0, 1]);
//! assert!((kept[0].probability - 2.0 / 3.0).abs() < 1e-6);
//! assert_eq!(scheme.draw(&logits, 0.7), 1);
//! ```

pub mod agreement;
mod batch;
mod beams;
pub mod course;
pub mod documents;
pub mod generation;
mod near_verbatim;
mod optimised;
mod outcome;
pub mod prompts;
pub mod ranking;
pub mod sampling;
pub mod scoring;

use std::path::{Path, PathBuf};

use causal_lm::{CausalLm, TextTokenizer, arithmetic, device, load_checkpoint, resolve};
use contract::pipeline::{Begin, Extraction};
use contract::records::{Sample, Score};
use contract::{Error, Provenance, StageArguments, parquet};
use tch::Kind;

pub use outcome::Outcome;

use documents::Documents;

/// The model that text is extracted from, and earlier ones of the same run.
#[derive(Debug, Clone, Copy)]
pub struct Checkpoints<'a> {
    /// Model folders or adapter folders. The last is asked; with more than one, all are followed.
    pub folders: &'a [PathBuf],
    /// The folder of an adapter's base, in place of the one that the adapter names.
    pub base: Option<&'a Path>,
    /// The untuned model, to rank generations from nothing by.
    pub reference: Option<&'a Path>,
}

/// Draws generations from the last of `checkpoints` and scores the documents of `corpus`, as the pipeline file says.
///
/// # Errors
/// [`Error::Configuration`] for settings that do not fit the model, [`Error::Input`] for files that cannot be used,
/// [`Error::Output`] where results cannot be written.
pub fn extract(stage: &StageArguments, corpus: &Path, checkpoint: Checkpoints<'_>) -> Result<Outcome, Error> {
    let Some((folder, earlier)) = checkpoint.folders.split_last() else {
        return Err(Error::Configuration(
            "expected at least one checkpoint".to_owned(),
        ));
    };
    let pipeline = stage.pipeline()?;
    let settings = &pipeline.extraction;
    let seed = stage.seed(&pipeline);
    let (train, held_out) = (corpus.join("train.parquet"), corpus.join("heldout.parquet"));
    let device = device(&settings.device)?;
    // What `auto` means here is part of what was done.
    let settings = &Extraction {
        precision: resolve(settings.precision, device),
        ..settings.clone()
    };
    let mut provenance = Provenance::new("extractor")
        .with_configuration(settings)?
        .with_seed(seed)
        .with_input("train.parquet", &train)?
        .with_input("heldout.parquet", &held_out)?
        .with_input("checkpoint", folder)?;
    for (number, folder) in earlier.iter().enumerate() {
        provenance = provenance.with_input(&format!("checkpoint {number}"), folder)?;
    }
    if let Some(base) = checkpoint.base {
        provenance = provenance.with_input("base", base)?;
    }
    if let Some(reference) = checkpoint.reference {
        provenance = provenance.with_input("reference", reference)?;
    }
    let prompt_file = settings.prompt_file.as_ref().map(|file| pipeline.resolve(file));
    let user_prompts = match &prompt_file {
        Some(file) => prompts::read_file(file)?,
        None => Vec::new(),
    };
    if let Some(file) = &prompt_file {
        provenance = provenance.with_input("prompts", file)?;
    }
    let (samples, scores) = (
        stage.out.join("samples.parquet"),
        stage.out.join("scores.parquet"),
    );
    let course = Some(stage.out.join("course.parquet")).filter(|_| !earlier.is_empty());
    let outputs: Vec<&Path> = [&samples, &scores]
        .into_iter()
        .chain(&course)
        .map(PathBuf::as_path)
        .collect();
    if !stage.force && provenance.is_done(&outputs) {
        tracing::info!("{} is up to date", stage.out.display());
        return Ok(Outcome::up_to_date(&stage.out));
    }

    tch::set_num_threads(stage.threads() as i32);
    let kind = arithmetic(settings.precision, device);
    let mut readers = Reader::side_by_side(stage.threads(), || {
        let (mut model, folder) = load_checkpoint(folder, checkpoint.base, kind, device)?;
        if kind == Kind::Float {
            // One product instead of three; in bf16 the sum would round small updates away.
            model.merge()?;
        }
        Reader::new(model, TextTokenizer::load(&folder)?, settings.begin)
    })?;
    let Reader { model, tokenizer, .. } = &readers[0];
    let documents = Documents::load(&train, &held_out, tokenizer)?;
    let (prompts, skipped) = prompts::choose(&documents, settings, &model.config, tokenizer, &user_prompts)?;
    let mut drawn = generation::generate(&mut readers, settings, &prompts, seed)?;
    let reader = readers.swap_remove(0);
    drop(readers);
    if settings.score {
        ranking::score(&reader, &mut drawn.samples)?;
    }
    let scored = if settings.score {
        scoring::score(&reader, settings, &documents)?
    } else {
        Vec::new()
    };
    // One model at a time: the tuned one is let go of first.
    let Reader {
        model,
        tokenizer,
        begin,
    } = reader;
    drop(model);
    if let (true, Some(folder)) = (
        settings.score && ranking::is_ranked(&drawn.samples),
        checkpoint.reference,
    ) {
        let (model, _) = load_checkpoint(folder, None, kind, device)?;
        ranking::score_by_reference(
            &Reader {
                model,
                tokenizer,
                begin,
            },
            &mut drawn.samples,
        )?;
    }
    let mut followed = Vec::new();
    if let Some(file) = &course {
        let corpus = (train.as_path(), held_out.as_path());
        followed = course::follow(
            checkpoint.folders,
            checkpoint.base,
            corpus,
            settings,
            (kind, device),
        )?;
        parquet::write_all(file, &provenance, &followed)?;
    } else if let Err(error) = std::fs::remove_file(stage.out.join("course.parquet"))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        // One of another run would be taken for this one's.
        return Err(Error::output(stage.out.join("course.parquet"), error));
    }
    parquet::write_all::<Score>(&scores, &provenance, &scored)?;
    parquet::write_all::<Sample>(&samples, &provenance, &drawn.samples)?;
    Ok(Outcome::new(&stage.out, &drawn, scored.len(), skipped, followed))
}

/// A model with its tokenizer, and how texts begin for it.
#[derive(Debug)]
pub struct Reader {
    /// The model.
    pub model: CausalLm,
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
    /// The tokens that stand before every text; there may be none.
    pub begin: Vec<i64>,
}

/// Weights up to this size, in bytes, are read once for each thread: they are small enough for the processor's caches, and the threads
/// need not wait for each other in every layer. Larger ones are read from memory, once for all.
const SMALL_MODEL_BYTES: usize = 64 << 20;

/// Readers of a small model, at most: each holds the weights, and batches to share among them run out.
const MOST_READERS: usize = 16;

/// Weights up to this size are laid out once more for decoding.
const LAID_OUT_BYTES: usize = 4 << 30;

impl Reader {
    /// Readers of one model to generate side by side: as many as `threads`, up to sixteen, where the model is small and on the CPU, else one.
    ///
    /// # Errors
    /// As `load`.
    pub fn side_by_side(threads: usize, load: impl Fn() -> Result<Self, Error>) -> Result<Vec<Self>, Error> {
        let mut first = load()?;
        let parameters = first.model.parameters_mut();
        let bytes: usize = parameters
            .iter()
            .map(|parameter| parameter.tensor.numel() * parameter.tensor.kind().elt_size_in_bytes())
            .sum();
        let on_cpu = first.model.device() == tch::Device::Cpu;
        let count = if on_cpu && bytes <= SMALL_MODEL_BYTES {
            threads.clamp(1, MOST_READERS)
        } else {
            1
        };
        let more = (1..count).map(|_| load());
        let mut readers = std::iter::once(Ok(first))
            .chain(more)
            .collect::<Result<Vec<_>, _>>()?;
        if on_cpu && bytes <= LAID_OUT_BYTES {
            for reader in &mut readers {
                reader.model.prepare_to_decode()?;
            }
        }
        Ok(readers)
    }

    /// A model with its tokenizer.
    ///
    /// # Errors
    /// [`Error::Run`] where the tokenizer cannot say how it begins texts.
    pub fn new(model: CausalLm, tokenizer: TextTokenizer, begin: Begin) -> Result<Self, Error> {
        Ok(Self {
            begin: beginning(begin, &model, &tokenizer)?,
            model,
            tokenizer,
        })
    }

    /// Tokens of a prompt behind what begins a text. Where nothing at all stands before the first new token, the token that
    /// begins a text does.
    pub(crate) fn behind_beginning(&self, prompt: &[i64]) -> Vec<i64> {
        if self.begin.is_empty() && prompt.is_empty() {
            return vec![self.model.config.begin_token];
        }
        [&self.begin, prompt].concat()
    }
}

fn beginning(begin: Begin, model: &CausalLm, tokenizer: &TextTokenizer) -> Result<Vec<i64>, Error> {
    Ok(match begin {
        Begin::Model => vec![model.config.begin_token],
        Begin::Tokenizer => tokenizer.own_beginning()?,
    })
}
