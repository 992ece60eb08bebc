//! How alike the gradients of training documents are: what each copy of a document adds to what copies before it did, and what documents share.
//!
//! A gradient here is that of a document's mean loss with respect to what the mode of a cell changes: all weights, the output head, or the
//! factors of an adapter. It is what plain gradient descent would follow; AdamW divides it, number by number, by its usual size.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use causal_lm::load_checkpoint;
use clap::Args;
use contract::pipeline::{Mode, PipelineFile, Tuning};
use contract::progress::Progress;
use contract::records::{DocumentKind, GradientOverlap, TrainingInstance};
use contract::{Error, Provenance, parquet};
use tch::{Device, Kind, Tensor};
use text_tokens::TokenCache;
use torch_device::ComputePath;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::gradients::Backward;
use crate::modes::Prepared;
use crate::training_text::TrainingText;
use crate::{Document, Gradients, Rows};

/// The name of the model before training, among those of checkpoints.
const UNTUNED: &str = "untuned";

/// The gradients of all cells are to be compared: none is rounded, and each document has its own.
const OVERRIDES: [&str; 2] = ["tuning.precision=float32", "tuning.rows=documents"];

/// Says how alike the gradients of training documents are, within a checkpoint and from one to the next
///
/// Of some documents, as many from each number of copies, at the untuned model and at each checkpoint. A document's gradient is that of its
/// mean loss, with respect to what the cell's mode changes.
#[derive(Debug, Clone, Args)]
pub struct GradientArguments {
    /// Configuration of the cell, as plan wrote it
    #[arg(long, value_name = "tuner.toml")]
    pub config: PathBuf,

    /// Folder with the train.parquet that the cell was tuned on
    #[arg(long = "in", value_name = "FOLDER")]
    pub corpus: PathBuf,

    /// Checkpoint of the cell; several in the order of training
    #[arg(long = "checkpoint", value_name = "FOLDER", required = true)]
    pub checkpoints: Vec<PathBuf>,

    /// Documents that are compared. Two gradients of each are held in memory, four bytes for each trainable parameter
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..))]
    pub documents: u32,

    /// Parquet file to write
    #[arg(long, value_name = "FILE.parquet")]
    pub out: PathBuf,
}

/// The gradients' overlaps at all checkpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientOverlaps {
    file: PathBuf,
    overlaps: Vec<GradientOverlap>,
}

impl fmt::Display for GradientOverlaps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:<16} {:>9} {:>11} {:>9} {:>14} {:>12}",
            "checkpoint", "documents", "mean loss", "norm", "own, before", "of others"
        )?;
        let mut points: Vec<&str> = self
            .overlaps
            .iter()
            .map(|overlap| overlap.checkpoint.as_str())
            .collect();
        points.dedup();
        for point in points {
            let here = || {
                self.overlaps
                    .iter()
                    .filter(move |overlap| overlap.checkpoint == point)
            };
            let before = mean(here().filter_map(|overlap| overlap.with_before));
            writeln!(
                formatter,
                "{point:<16} {:>9} {:>11.3} {:>9.3} {:>14} {:>12}",
                here().count(),
                mean(here().map(|overlap| overlap.loss)).unwrap_or(f64::NAN),
                mean(here().map(|overlap| overlap.norm)).unwrap_or(f64::NAN),
                shown(before),
                shown(mean(here().filter_map(|overlap| overlap.with_others))),
            )?;
        }
        write!(formatter, "written          {}", self.file.display())
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

/// Writes a row for each document at the untuned model and at each checkpoint.
///
/// # Errors
/// [`Error::Configuration`] for a file that is no cell's, or a cell without tuning; [`Error::Input`] for a training set with fewer than two
/// documents and for checkpoints of other shapes; [`Error::Output`] where the file cannot be written.
pub fn gradient_overlaps(arguments: &GradientArguments) -> Result<GradientOverlaps, Error> {
    let pipeline = PipelineFile::load(&arguments.config, &OVERRIDES.map(str::to_owned))?;
    let (model, mode, _) = pipeline.single_cell()?;
    // What an adapter drops would be noise.
    let mode = Mode {
        dropout: 0.0,
        ..mode.clone()
    };
    let train = arguments.corpus.join("train.parquet");
    let mut provenance = Provenance::new("tuner gradients")
        .with_configuration(&(&mode, arguments.documents))?
        .with_input("train.parquet", &train)?;
    for (number, checkpoint) in arguments.checkpoints.iter().enumerate() {
        provenance = provenance.with_input(&format!("checkpoint {}", number + 1), checkpoint)?;
    }
    let instances: Vec<TrainingInstance> = parquet::read_all(&train)?;
    let text = TrainingText::of(&instances, &[], &mode);
    let chosen = choose(text.own(), arguments.documents as usize);
    if chosen.len() < 2 {
        let problem = format!(
            "expected two documents or more to compare, found {}",
            chosen.len()
        );
        return Err(Error::input(&train, problem));
    }
    let seed = pipeline.seeds.first().copied().unwrap_or(0);
    let mut prepared = Prepared::new(&pipeline, model, &mode, seed, Path::new("."), &instances)?;
    prepared.model.set_path(ComputePath::Host);
    let documents = Documents::new(
        &prepared,
        &chosen,
        &arguments.corpus,
        &pipeline.tuning,
        mode.goldfish,
    )?;
    let points = arguments.checkpoints.len() + 1;
    let mut progress = Progress::new("gradients", (points * chosen.len()) as u64, "documents");
    let mut overlaps = Vec::new();
    let mut before = None;
    for point in 0..points {
        let checkpoint = point.checked_sub(1).map(|place| &arguments.checkpoints[place]);
        if let Some(folder) = checkpoint {
            put_weights(
                &mut prepared,
                folder,
                model.path.as_deref().map(|path| pipeline.resolve(path)),
            )?;
        }
        let name = checkpoint.map_or_else(|| UNTUNED.to_owned(), |folder| name_of(folder, point));
        let gradients = documents.gradients(&mut prepared, &mut progress)?;
        overlaps.extend(documents.overlaps(&name, &gradients, before.as_deref())?);
        before = Some(gradients);
    }
    parquet::write_all(&arguments.out, &provenance, &overlaps)?;
    Ok(GradientOverlaps {
        file: arguments.out.clone(),
        overlaps,
    })
}

/// A checkpoint's folder without what is before it: no path of a machine is written. The number tells checkpoints of one name apart.
fn name_of(folder: &Path, number: usize) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    format!("{number}: {}", name.unwrap_or_default())
}

/// Documents of the training set, each once, as many of each number of copies as there are, `most` in all. Which, their identities decide.
fn choose<'t>(
    instances: impl Iterator<Item = &'t TrainingInstance>,
    most: usize,
) -> Vec<&'t TrainingInstance> {
    let mut by_copies: BTreeMap<i32, BTreeMap<u64, &TrainingInstance>> = BTreeMap::new();
    for instance in instances.filter(|instance| instance.kind == DocumentKind::Document) {
        let place = xxh3_64_with_seed(instance.doc_id.as_bytes(), 0);
        by_copies
            .entry(instance.copies)
            .or_default()
            .insert(place, instance);
    }
    let mut groups: Vec<_> = by_copies.into_values().map(BTreeMap::into_values).collect();
    let mut chosen = Vec::new();
    while chosen.len() < most {
        let found = chosen.len();
        for group in &mut groups {
            chosen.extend(group.next());
        }
        if chosen.len() == found {
            break;
        }
    }
    chosen.truncate(most);
    chosen
}

/// Gives what training changes the values that it has in a checkpoint.
fn put_weights(prepared: &mut Prepared, folder: &Path, base: Option<PathBuf>) -> Result<(), Error> {
    let _guard = tch::no_grad_guard();
    let (mut tuned, _) = load_checkpoint(folder, base.as_deref(), Kind::Float, Device::Cpu)?;
    let mut weights: BTreeMap<String, Tensor> = tuned
        .parameters_mut()
        .into_iter()
        .map(|parameter| (parameter.name, parameter.tensor.shallow_clone()))
        .collect();
    weights.extend(
        tuned
            .adapter_mut()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.shallow_clone())),
    );
    for (name, mut tensor) in prepared.model.trainable() {
        let weight = weights.get(&name).ok_or_else(|| {
            let problem = format!("{name}: expected this weight, which the cell’s mode changes, found none");
            Error::input(folder, problem)
        })?;
        if weight.size() != tensor.size() {
            let problem = format!(
                "{name}: expected the shape {:?}, found {:?}",
                tensor.size(),
                weight.size()
            );
            return Err(Error::input(folder, problem));
        }
        let weight = weight.f_to_kind(Kind::Float).map_err(causal_lm::Error::from)?;
        tensor.f_copy_(&weight).map_err(causal_lm::Error::from)?;
    }
    Ok(())
}

/// The documents that are compared, as rows.
struct Documents<'t> {
    instances: &'t [&'t TrainingInstance],
    rows: Rows,
}

/// The loss of a document in nats per token, and its gradient as one vector.
struct Gradient {
    loss: f64,
    vector: Tensor,
    norm: f64,
}

impl<'t> Documents<'t> {
    fn new(
        prepared: &Prepared,
        instances: &'t [&'t TrainingInstance],
        corpus: &Path,
        tuning: &Tuning,
        goldfish: usize,
    ) -> Result<Self, Error> {
        let texts = TokenCache::beside(corpus, &prepared.tokenizer);
        let documents = instances.iter().map(|instance| Document::from(*instance));
        let rows = Rows::for_training(documents, &texts, &prepared.model.config, tuning, goldfish)?;
        Ok(Self { instances, rows })
    }

    /// Those of all documents at the present weights.
    fn gradients(&self, prepared: &mut Prepared, progress: &mut Progress) -> Result<Vec<Gradient>, Error> {
        let trainable = prepared.model.trainable();
        let model = &prepared.model;
        let backward = Backward::new(model, &trainable, false);
        let mut found = Vec::new();
        for row in 0..self.rows.len() {
            let batch = self.rows.batch(&[(row, 1)], model.device(), model.path())?;
            let learned = self.rows.learned_in(row).max(1);
            let mut gradients = Gradients::none(backward.count());
            let sum = backward.pass(model, &batch, 1.0 / learned as f32, 0, &mut gradients)?;
            let loss = sum.value()? / self.rows.reported_in(row).max(1) as f64;
            found.push(Gradient::new(loss, &gradients, backward.tensors())?);
            progress.advance(1, "");
        }
        Ok(found)
    }

    fn overlaps(
        &self,
        checkpoint: &str,
        gradients: &[Gradient],
        before: Option<&[Gradient]>,
    ) -> Result<Vec<GradientOverlap>, Error> {
        let mut overlaps = Vec::new();
        for (place, (instance, gradient)) in self.instances.iter().zip(gradients).enumerate() {
            let mut with_others = Vec::new();
            for (other, gradient_of_other) in gradients.iter().enumerate() {
                if other != place {
                    with_others.extend(gradient.cosine(gradient_of_other)?);
                }
            }
            let with_before = before.map(|before| gradient.cosine(&before[place])).transpose()?;
            overlaps.push(GradientOverlap {
                checkpoint: checkpoint.to_owned(),
                doc_id: instance.doc_id.clone(),
                copies: instance.copies,
                loss: gradient.loss,
                norm: gradient.norm,
                with_before: with_before.flatten(),
                with_others: mean(with_others.into_iter()),
            });
        }
        Ok(overlaps)
    }
}

impl Gradient {
    fn new(loss: f64, gradients: &Gradients, tensors: &[Tensor]) -> Result<Self, causal_lm::Error> {
        let _guard = tch::no_grad_guard();
        let parts = tensors.iter().enumerate().map(|(place, tensor)| {
            let gradient = gradients
                .get(place)
                .map(|gradient| gradient.f_to_kind(Kind::Float));
            // What does not change the loss has none: the first factors of an adapter whose second are still 0.
            gradient
                .unwrap_or_else(|| tensor.f_detach()?.f_zeros_like())?
                .f_flatten(0, -1)
        });
        let parts: Vec<Tensor> = parts.collect::<Result<_, _>>()?;
        let vector = Tensor::f_cat(&parts, 0)?;
        let norm = vector.f_norm()?.f_double_value(&[])?;
        Ok(Self { loss, vector, norm })
    }

    /// The cosine of the angle between two gradients; none where one of them is 0.
    fn cosine(&self, other: &Self) -> Result<Option<f64>, causal_lm::Error> {
        let product = self.vector.f_dot(&other.vector)?.f_double_value(&[])?;
        let norms = self.norm * other.norm;
        Ok((norms > 0.0).then(|| product / norms))
    }
}
