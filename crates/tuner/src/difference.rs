//! How far tuning moved each weight, and in how many directions: the difference of a checkpoint and the model it was tuned from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use causal_lm::load_checkpoint;
use clap::Args;
use contract::progress::Progress;
use contract::records::WeightChange;
use contract::{Error, Provenance, parquet};
use measures::spectrum::{directions_of_share, effective_rank, stable_rank};
use tch::{Device, Kind, Tensor};

/// The share of a change's square norm that its `directions` hold.
const HELD: f64 = 0.9;

/// Says how far tuning moved each weight of a model: norm and rank of the difference
///
/// An adapter is added to its base first, so that all ways of tuning are measured alike.
#[derive(Debug, Clone, Args)]
pub struct DifferenceArguments {
    /// Model folder, or adapter folder, that was tuned
    #[arg(value_name = "CHECKPOINT")]
    pub checkpoint: PathBuf,

    /// Model folder that it was tuned from
    #[arg(long, value_name = "FOLDER")]
    pub base: PathBuf,

    /// Parquet file to write
    #[arg(long, value_name = "FILE.parquet")]
    pub out: PathBuf,
}

/// The changes of all weights of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    file: PathBuf,
    changes: Vec<WeightChange>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed = self.changes.iter().filter(|change| change.norm > 0.0).count();
        let norm = |of: fn(&WeightChange) -> f64| {
            self.changes
                .iter()
                .map(|change| of(change).powi(2))
                .sum::<f64>()
                .sqrt()
        };
        let (moved, base) = (norm(|change| change.norm), norm(|change| change.base_norm));
        writeln!(
            formatter,
            "weights       {changed} of {} changed",
            self.changes.len()
        )?;
        writeln!(
            formatter,
            "norm          {moved:.4}, {:.2}% of that of the untuned weights",
            100.0 * moved / base
        )?;
        write!(formatter, "written       {}", self.file.display())
    }
}

/// Writes a row for each weight of the tuned model.
///
/// # Errors
/// [`Error::Input`] for folders that are no models, or models of different shapes; [`Error::Output`] where the file cannot be written.
pub fn difference(arguments: &DifferenceArguments) -> Result<Difference, Error> {
    let DifferenceArguments {
        checkpoint,
        base,
        out,
    } = arguments;
    let (mut untuned, head) = weights_of(base, None)?;
    let (tuned, _) = weights_of(checkpoint, Some(base))?;
    if let Some(lost) = untuned.keys().find(|name| !tuned.contains_key(*name)) {
        let problem = format!("{lost}: expected this weight of {}, found none", base.display());
        return Err(Error::input(checkpoint, problem));
    }
    // Tuning may have untied a head that was the embedding.
    untuned.entry(head.0).or_insert(head.1);
    let mut progress = Progress::new("comparing", tuned.len() as u64, "weights");
    let mut changes = Vec::new();
    for (weight, tensor) in &tuned {
        let before = untuned.get(weight).ok_or_else(|| {
            Error::input(
                checkpoint,
                format!("{weight}: {} has no such weight", base.display()),
            )
        })?;
        if before.size() != tensor.size() {
            let problem = format!(
                "{weight}: expected the shape {:?} of {}, found {:?}",
                before.size(),
                base.display(),
                tensor.size()
            );
            return Err(Error::input(checkpoint, problem));
        }
        changes.push(change(weight, before, tensor)?);
        progress.advance(1, "");
    }
    let provenance = Provenance::new("tuner difference")
        .with_input("checkpoint", checkpoint)?
        .with_input("base", base)?;
    parquet::write_all(out, &provenance, &changes)?;
    Ok(Difference {
        file: out.clone(),
        changes,
    })
}

/// Weights by their names.
type Weights = BTreeMap<String, Tensor>;

/// The weights of a model, an adapter added; and its head, which may be the embedding, under the name of one that is not.
fn weights_of(folder: &Path, base: Option<&Path>) -> Result<(Weights, (String, Tensor)), Error> {
    let _guard = tch::no_grad_guard();
    let (mut model, _) = load_checkpoint(folder, base, Kind::Float, Device::Cpu)?;
    model.merge()?;
    let head = (model.untied_head_name(), model.head().shallow_clone());
    let parameters = model.parameters_mut().into_iter();
    let weights = parameters.map(|parameter| (parameter.name, parameter.tensor.shallow_clone()));
    Ok((weights.collect(), head))
}

fn change(weight: &str, before: &Tensor, after: &Tensor) -> Result<WeightChange, causal_lm::Error> {
    let _guard = tch::no_grad_guard();
    let shape = before.size();
    let rows = shape.first().copied().unwrap_or(1);
    let difference = after.f_sub(before)?.f_reshape([rows, -1])?;
    let columns = difference.size().last().copied().unwrap_or(1);
    let values = singular_values(&difference)?;
    // The domain of the measures is that of singular values, which they are.
    let undefined = |error: measures::MeasureError| Error::Run(format!("{weight}: {error}"));
    Ok(WeightChange {
        weight: weight.to_owned(),
        rows,
        columns,
        base_norm: before.f_norm()?.f_double_value(&[])?,
        norm: difference.f_norm()?.f_double_value(&[])?,
        spectral_norm: values.iter().copied().fold(0.0, f64::max),
        stable_rank: stable_rank(&values).map_err(undefined)?,
        effective_rank: effective_rank(&values).map_err(undefined)?,
        directions: directions_of_share(&values, HELD)
            .map_err(undefined)?
            .map(|directions| directions as i64),
    })
}

/// The singular values of a matrix: the roots of the eigenvalues of its product with itself, which for a vocabulary's rows is small. In
/// float64 that is exact to 10⁻⁸ of the largest, as a difference of weights in float32 is itself.
fn singular_values(matrix: &Tensor) -> Result<Vec<f64>, causal_lm::Error> {
    let matrix = matrix.f_to_kind(Kind::Double)?;
    let transposed = matrix.f_transpose(0, 1)?;
    let is_tall = matrix.size()[0] >= transposed.size()[0];
    let product = if is_tall {
        transposed.f_matmul(&matrix)?
    } else {
        matrix.f_matmul(&transposed)?
    };
    let eigenvalues = Vec::<f64>::try_from(&product.f_linalg_eigvalsh("L")?)?;
    Ok(eigenvalues
        .into_iter()
        .map(|value| value.max(0.0).sqrt())
        .collect())
}
