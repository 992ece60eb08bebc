//! `extractor details`: whether a model, given the text before a personal detail, finds that detail more probable than others of its kind.
//!
//! Who knows of somebody all but one detail, and has a list of what it may be, asks so (PII inference, Lukas et al. 2023). There are two
//! controls: the same of documents that were held out, and the untuned model.

mod outcome;
mod probes;

use std::path::PathBuf;

use causal_lm::{KvCache, load_checkpoint};
use clap::Args;
use contract::pipeline::Begin;
use contract::records::DetailScore;
use contract::{Error, Progress, Provenance, parquet};
use tch::Kind;
use text_tokens::TextTokenizer;

use outcome::LeftOut;
pub use outcome::Ranked;

use crate::LoadedModel;
use crate::batch::{Batch, Room};
use probes::{Probe, Probes, probes};

/// Ranks personal details of documents among others of their kind, each in its own context
///
/// Of every document the first detail of each kind that patterns find and that no other document has; the others are details of other
/// documents of the same split, those that are written most like it. Of details that patterns miss nothing is said.
#[derive(Debug, Clone, Args)]
pub struct DetailsArguments {
    /// Model folder, or adapter folder that names its base
    #[arg(value_name = "CHECKPOINT")]
    pub checkpoint: PathBuf,

    /// Folder with train.parquet and heldout.parquet
    #[arg(long = "in", value_name = "FOLDER")]
    pub corpus: PathBuf,

    /// Parquet file to write
    #[arg(long, value_name = "FILE.parquet")]
    pub out: PathBuf,

    /// Model folder of an adapter's base, in place of the one that the adapter names
    #[arg(long, value_name = "FOLDER")]
    pub base: Option<PathBuf>,

    /// Model folder of the untuned model, which is asked the same: a control, and details are then also ranked by how much more
    /// probable tuning made them
    #[arg(long, value_name = "FOLDER")]
    pub untuned: Option<PathBuf>,

    /// Others that a detail is ranked with
    #[arg(long, value_name = "N", default_value_t = 19)]
    pub candidates: usize,

    /// Tokens of its context, at most: those right before it, behind a BOS; without it, all that the model has room for
    #[arg(long, value_name = "N")]
    pub context_tokens: Option<usize>,

    /// Tokens of a text that training read, the BOS included; without it, the model's own context
    #[arg(long, value_name = "N")]
    pub context: Option<usize>,

    /// Device to compute on: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
}

/// Writes a row for each detail and says how many were ranked first.
///
/// # Errors
/// [`Error::Configuration`] where there is nothing to rank with, [`Error::Input`] for folders that cannot be used, [`Error::Output`]
/// where the file cannot be written.
pub fn rank_details(arguments: &DetailsArguments) -> Result<Ranked, Error> {
    if arguments.candidates == 0 || arguments.context_tokens == Some(0) {
        return Err(Error::Configuration(
            "--candidates and --context-tokens: expected at least 1".to_owned(),
        ));
    }
    let (train, held_out) = (
        arguments.corpus.join("train.parquet"),
        arguments.corpus.join("heldout.parquet"),
    );
    let mut provenance = Provenance::new("extractor details")
        .with_configuration(&(arguments.candidates, arguments.context_tokens, arguments.context))?
        .with_input("train.parquet", &train)?
        .with_input("heldout.parquet", &held_out)?
        .with_input("checkpoint", &arguments.checkpoint)?;
    if let Some(base) = &arguments.base {
        provenance = provenance.with_input("base", base)?;
    }
    if let Some(untuned) = &arguments.untuned {
        provenance = provenance.with_input("untuned", untuned)?;
    }
    let Probes {
        asked: probes,
        without_others,
        near_duplicates,
    } = probes(
        &parquet::read_all(&train)?,
        parquet::read_all(&held_out)?,
        arguments.candidates,
    );
    if probes.is_empty() {
        return Err(Error::input(
            &train,
            format!(
                "expected a personal detail of a kind of which {} others occur in other documents of the same split, found none: patterns find numbers, names, \
                 e-mail addresses and phone numbers. --candidates with a smaller number asks for fewer",
                arguments.candidates
            ),
        ));
    }
    let (nats, context) = ask(arguments, &arguments.checkpoint, arguments.base.as_ref(), &probes)?;
    let untuned_nats: Vec<Option<Vec<f32>>> = match &arguments.untuned {
        Some(untuned) => {
            let (asked, _) = ask(arguments, untuned, None, &probes)?;
            asked.into_iter().map(|asked| Some(asked.nats)).collect()
        }
        None => vec![None; probes.len()],
    };
    let (mut scores, mut not_read): (Vec<DetailScore>, usize) = (Vec::new(), 0);
    for ((probe, asked), untuned) in probes.into_iter().zip(nats).zip(untuned_nats) {
        if asked.is_read {
            scores.push(probe.scored(asked, untuned));
        } else {
            not_read += 1;
        }
    }
    parquet::write_all(&arguments.out, &provenance, &scores)?;
    let left_out = LeftOut {
        without_others,
        near_duplicates,
        not_read,
    };
    let asked = (arguments.candidates, context);
    Ok(Ranked::new(&arguments.out, &scores, asked, left_out))
}

/// What a model says of one detail and those that it is ranked with.
pub(crate) struct Asked {
    /// Tokens before it that were read.
    context_tokens: usize,
    /// −ln p of the detail, then of each other.
    nats: Vec<f32>,
    /// Whether training read the detail to its end.
    is_read: bool,
}

/// Asks a model for all details; beside the answers the tokens of a text that training is taken to have read.
fn ask(
    arguments: &DetailsArguments,
    folder: &std::path::Path,
    base: Option<&PathBuf>,
    probes: &[Probe],
) -> Result<(Vec<Asked>, usize), Error> {
    let device = torch_device::device(&arguments.device)?;
    let (model, folder) = load_checkpoint(folder, base.map(PathBuf::as_path), Kind::Float, device)?;
    let tokenizer = TextTokenizer::load(&folder)?;
    let mut loaded = LoadedModel::new(model, tokenizer, Begin::Model)?;
    let bos = loaded.bos.clone();
    let mut progress = Progress::new("ranking personal details", probes.len() as u64, "details");
    let (mut asked, mut cache) = (Vec::with_capacity(probes.len()), loaded.model.cache(0));
    for probe in probes {
        // A conversation that a chat template rendered is complete as it is.
        loaded.bos = if probe.is_rendered {
            Vec::new()
        } else {
            bos.clone()
        };
        asked.push(ask_one(&loaded, &mut cache, probe, arguments)?);
        progress.advance(1, "");
    }
    let context = loaded.whole_context(arguments.context);
    Ok((asked, context))
}

/// Each candidate is written behind the context and read as a tokenizer reads the whole: what begins before the detail and ends within
/// it belongs to the detail. What all of them begin with is read once.
fn ask_one(
    loaded: &LoadedModel,
    cache: &mut KvCache,
    probe: &Probe,
    arguments: &DetailsArguments,
) -> Result<Asked, Error> {
    let trained = loaded
        .whole_context(arguments.context)
        .saturating_sub(loaded.bos.len());
    let room = loaded.model.config.context.saturating_sub(loaded.bos.len());
    let context_chars = probe.context.chars().count();
    let (mut texts, mut end) = (Vec::with_capacity(1 + probe.candidates.len()), None);
    for detail in std::iter::once(&probe.detail).chain(&probe.candidates) {
        let text = loaded.tokenizer.tokenize(&format!("{}{detail}", probe.context))?;
        let first = text
            .characters
            .partition_point(|token| token.end <= context_chars);
        let length = text.ids.len();
        end.get_or_insert(length);
        let own = (length - first).min(room.saturating_sub(1));
        let start = first.saturating_sub(arguments.context_tokens.unwrap_or(room).min(room - own));
        texts.push(Text {
            tokens: text.ids[start..first + own].to_vec(),
            context: first - start,
        });
    }
    Ok(Asked {
        context_tokens: texts.first().map_or(0, |text| text.context),
        nats: nats(loaded, cache, &texts)?,
        is_read: end.is_some_and(|end| end <= trained),
    })
}

/// A detail behind its context.
struct Text {
    tokens: Vec<i64>,
    /// How many of them are context.
    context: usize,
}

/// −ln p of the details of some texts.
fn nats(loaded: &LoadedModel, cache: &mut KvCache, texts: &[Text]) -> Result<Vec<f32>, Error> {
    let longest = texts.iter().map(|text| text.tokens.len()).max().unwrap_or(0);
    let shared = shared_beginning(texts);
    let Some(beginning) = texts.first().map(|text| &text.tokens[..shared]) else {
        return Ok(Vec::new());
    };
    let room = Room {
        rows: texts.len(),
        new_tokens: longest - shared,
    };
    let mut batch = Batch::read(loaded, cache, &[beginning], room)?;
    batch.select(&vec![0; texts.len()])?;
    let mut nats = vec![0.0; texts.len()];
    for place in shared..longest {
        let logits = batch.host_logits()?;
        for (row, (text, nats)) in texts.iter().zip(&mut nats).enumerate() {
            if let Some(&token) = text.tokens.get(place).filter(|_| place >= text.context) {
                *nats -= f64::from(logits.logprob(row, token as usize));
            }
        }
        if place + 1 < longest {
            // What has ended is not looked at.
            let end = loaded.model.config.eos_token_id();
            let next = texts
                .iter()
                .map(|text| text.tokens.get(place).copied().unwrap_or(end));
            batch.advance_by(&next.collect::<Vec<_>>())?;
        }
    }
    Ok(nats.into_iter().map(|nats| nats as f32).collect())
}

/// Tokens of the context that all texts begin with, but for the last of the shortest.
fn shared_beginning(texts: &[Text]) -> usize {
    let Some((first, others)) = texts.split_first() else {
        return 0;
    };
    // What belongs to a detail is scored, though all should begin alike.
    let most = texts
        .iter()
        .map(|text| text.context.min(text.tokens.len().saturating_sub(1)))
        .min();
    (0..most.unwrap_or(0))
        .take_while(|&place| {
            others
                .iter()
                .all(|other| other.tokens[place] == first.tokens[place])
        })
        .count()
}
