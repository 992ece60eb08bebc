//! What the cells will cost, before anything starts. Every figure is an estimate: lengths of text stand for tokens, counts of
//! operations for time.
//!
//! - A token is taken as four bytes of text.
//! - With N parameters, a forward pass costs 2 N operations a token and a backward pass 4 N (Kaplan et al. 2020, arXiv
//!   2001.08361): half of that for the gradients of activations, half for those of weights. Head-only tuning needs the
//!   backward pass through the head alone; LoRA needs no gradients of the frozen weights.
//! - Activations of a layer that the backward pass needs: tokens of a forward pass · width · 17 numbers (Korthikanti et al.
//!   2022, arXiv 2205.05198, without attention's scores, which are not kept); with checkpointing, what enters each layer.
//! - Training keeps for each trained parameter a master weight, a gradient and AdamW's two moments, 4 bytes each.
//!
//! The time of dupgen, plagiarism and report is not estimated.

use std::fmt;
use std::path::Path;

use contract::Error;
use contract::pipeline::{ModeKind, Precision, PromptSource, Rows, Strategy};
use contract::records::PromptForm;
use model_folder::cost::{LOGITS_BYTES, MAX_PREPACKED_BYTES};

use crate::{Plan, PlannedCell};

pub use cut::{CutShare, cut_shares};
pub use extent::Extent;
pub use model_folder::cost::BYTES_PER_TOKEN;

mod cut;
mod extent;

/// Arithmetic rate that times are estimated with unless another is given, in 10⁹ operations a second: what two cores of a
/// server CPU reach in float32 on matrices of small models, as a rule of thumb.
pub const DEFAULT_GFLOPS: f64 = 60.0;

/// The estimated cost of one cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Name of the cell.
    pub cell: String,
    /// Tokens that training goes through.
    pub training_tokens: f64,
    /// Tokens read, generated and scored in extraction.
    pub extraction_tokens: f64,
    /// Seconds of tuning and extraction.
    pub seconds: f64,
    /// Largest memory of a process, in bytes.
    pub memory_bytes: f64,
    /// Files of the cell, in bytes.
    pub disk_bytes: f64,
}

/// Estimates every cell of a plan at `gflops` 10⁹ operations a second; training sets that stand in the folder `run` already
/// are taken as they are.
///
/// # Errors
/// [`Error::Input`] where a corpus file cannot be read.
pub fn estimates(plan: &Plan, run: &Path, gflops: f64) -> Result<Vec<Estimate>, Error> {
    let corpus = extent::CorpusSize::of_files(plan.pipeline, &plan.corpus, f64::INFINITY)?;
    let of_cell = |cell: &PlannedCell| {
        let set = &cell.combination.training_set;
        let extent = match Extent::of_training_set(&run.join("corpus").join(&set.name)) {
            Some(extent) => extent,
            None => Extent::expected(plan.pipeline, set, &corpus),
        };
        estimate(plan, cell, &extent, gflops)
    };
    Ok(plan.cells.iter().map(of_cell).collect())
}

fn estimate(plan: &Plan, cell: &PlannedCell, extent: &Extent, gflops: f64) -> Estimate {
    let shape = Shape::of(cell);
    let training_tokens = if cell.is_tuned() {
        training_tokens(plan, cell, extent)
    } else {
        0.0
    };
    // Of a tuned cell the last checkpoint is asked, and the best.
    let asked = match (cell.is_extracted(), cell.has_best()) {
        (false, _) => 0.0,
        (true, false) => 1.0,
        (true, true) => 2.0,
    };
    let generations = asked * generations(plan, extent);
    let extraction_tokens = asked * extraction_tokens(plan, cell, extent);
    let operations = training_tokens * shape.training_operations + extraction_tokens * 2.0 * shape.parameters;
    Estimate {
        cell: cell.facts.name.clone(),
        training_tokens,
        extraction_tokens,
        seconds: operations / (gflops * 1e9),
        memory_bytes: training_memory(plan, cell, &shape).max(extraction_memory(plan, cell, &shape)),
        disk_bytes: disk(plan, cell, &shape, generations),
    }
}

/// Sizes of a cell's model, as they enter the formulas.
struct Shape {
    parameters: f64,
    trainable: f64,
    layers: f64,
    width: f64,
    vocabulary: f64,
    /// Operations that training spends on a token.
    training_operations: f64,
}

impl Shape {
    fn of(cell: &PlannedCell) -> Self {
        let parameters = cell.facts.parameters as f64;
        let trainable = cell.facts.trainable_parameters as f64;
        let [layers, width, vocabulary] = match (&cell.weights, &cell.combination.model.architecture) {
            (Some(model), _) => [model.config.layers, model.config.width, model.config.vocabulary],
            (None, Some(shape)) => [shape.layers, shape.width, shape.vocabulary],
            (None, None) => [0; 3],
        }
        .map(|size| size as f64);
        let training_operations = match cell.combination.kind() {
            ModeKind::Base | ModeKind::Tuned => 0.0,
            ModeKind::Full | ModeKind::Pretrain => 6.0 * parameters,
            ModeKind::Head => 2.0 * parameters + 2.0 * trainable,
            ModeKind::Lora => 4.0 * parameters + 6.0 * trainable,
        };
        Self {
            parameters,
            trainable,
            layers,
            width,
            vocabulary,
            training_operations,
        }
    }
}

fn training_tokens(plan: &Plan, cell: &PlannedCell, extent: &Extent) -> f64 {
    let tuning = &plan.pipeline.tuning;
    let epochs = cell
        .combination
        .mode
        .as_ref()
        .and_then(|mode| mode.epochs)
        .unwrap_or(tuning.epochs);
    let tokens = match tuning.rows {
        Rows::Documents => extent.tokens_per_document.min(tuning.context as f64),
        Rows::Packed => extent.tokens_per_document,
    };
    extent.instances * tokens * epochs
}

/// Prompts that a strategy asks with: of documents and of none, and from nothing at all.
fn prompts(plan: &Plan, extent: &Extent, strategy: &Strategy) -> (f64, f64) {
    let extraction = &plan.pipeline.extraction;
    let most = strategy.documents.or(extraction.documents);
    let most = most.map_or(f64::INFINITY, |documents| documents as f64);
    let of_documents = || {
        let sources = extraction.prompts.iter().map(|source| match source {
            PromptSource::Train => extent.training_documents.min(most),
            PromptSource::Heldout => extent.held_out_documents.min(most),
            PromptSource::None => 0.0,
        });
        sources.sum()
    };
    match strategy.prompt {
        PromptForm::Opening => (10.0, 0.0),
        PromptForm::File => (
            extraction
                .prompt_file
                .as_ref()
                .map_or(0.0, |file| lines(&plan.pipeline.resolve(file))),
            0.0,
        ),
        PromptForm::Nothing => (0.0, extraction.unprompted as f64),
        PromptForm::Prefix if extraction.prompts.contains(&PromptSource::None) => {
            (of_documents(), extraction.unprompted as f64)
        }
        _ => (of_documents(), 0.0),
    }
}

fn lines(file: &Path) -> f64 {
    std::fs::read_to_string(file).map_or(0.0, |text| text.lines().count() as f64)
}

fn generations(plan: &Plan, extent: &Extent) -> f64 {
    let strategies = plan.pipeline.extraction.strategy.iter();
    let made = strategies.map(|strategy| {
        let (prompts, nothing) = prompts(plan, extent, strategy);
        if strategy.prompt == PromptForm::Optimised || strategy.temperature == 0.0 {
            return prompts + nothing.min(1.0);
        }
        prompts * strategy.samples as f64 + nothing
    });
    made.sum()
}

fn extraction_tokens(plan: &Plan, cell: &PlannedCell, extent: &Extent) -> f64 {
    let extraction = &plan.pipeline.extraction;
    let (prefix, new) = (extraction.prefix_tokens as f64, extraction.new_tokens as f64);
    let read = extraction.strategy.iter().map(|strategy| {
        let (prompts, nothing) = prompts(plan, extent, strategy);
        let of_one = if strategy.prompt == PromptForm::Optimised {
            // Each step tries 64 exchanges.
            strategy.steps as f64 * 65.0 * (strategy.prompt_tokens as f64 + new)
        } else if strategy.beams > 0 {
            prefix + strategy.beams as f64 * new
        } else if strategy.temperature == 0.0 {
            prefix + new
        } else {
            prefix + strategy.samples as f64 * new
        };
        prompts * of_one + nothing * new
    });
    let documents = extent.training_documents + extent.held_out_documents + extent.other_documents;
    // Each document is scored up to where training ended.
    let (context, _) = cell.combination.trained_tokens;
    let tokens = context.map_or(extent.tokens_per_document, |most| {
        extent.tokens_per_document.min(most as f64)
    });
    let scored = if extraction.score {
        documents * (tokens + extraction.near_verbatim_beams as f64 * new)
    } else {
        0.0
    };
    read.sum::<f64>() + scored
}

fn training_memory(plan: &Plan, cell: &PlannedCell, shape: &Shape) -> f64 {
    if !cell.is_tuned() {
        return 0.0;
    }
    let tuning = &plan.pipeline.tuning;
    let number = match tuning.precision {
        Precision::Float32 | Precision::Auto => 4.0,
        Precision::Bf16 => 2.0,
    };
    let whole = (tuning.batch_size * tuning.context) as f64;
    let tokens = match tuning.pass_tokens {
        0 => whole,
        most => whole.min(most.max(tuning.context) as f64),
    };
    let of_block = number * tokens * shape.width;
    let activations = match cell.combination.kind() {
        ModeKind::Head => 17.0 * of_block,
        _ if tuning.gradient_checkpointing => (shape.layers + 17.0) * of_block,
        _ => shape.layers * 17.0 * of_block,
    };
    // Weights, and for what is trained its gradient and two moments in 32 bits; a few rows of logits.
    let logits = (number * tokens * shape.vocabulary).min(LOGITS_BYTES as f64);
    let master = if number == 4.0 { 0.0 } else { 4.0 };
    number * shape.parameters + (12.0 + master) * shape.trainable + activations + logits
}

fn extraction_memory(plan: &Plan, cell: &PlannedCell, shape: &Shape) -> f64 {
    if !cell.is_extracted() {
        return 0.0;
    }
    let extraction = &plan.pipeline.extraction;
    let number = match extraction.precision {
        Precision::Float32 | Precision::Auto => 4.0,
        Precision::Bf16 => 2.0,
    };
    let rows = extraction.batch_size as f64;
    let passage = (extraction.prefix_tokens + extraction.new_tokens) as f64;
    let cache = 2.0 * number * shape.layers * shape.width * rows * passage;
    // In float32 weights of up to 4 GiB are laid out a second time for decoding. Small models are read once for each thread besides,
    // which is not counted: how many threads there will be is not known here.
    let weights = number * shape.parameters;
    let laid_out = if number == 4.0 && weights <= MAX_PREPACKED_BYTES as f64 {
        weights
    } else {
        0.0
    };
    // The scoring pass holds logits and log-probabilities of whole passages.
    weights + laid_out + cache + 8.0 * rows * passage * shape.vocabulary
}

fn disk(plan: &Plan, cell: &PlannedCell, shape: &Shape, generations: f64) -> f64 {
    let checkpoint = match cell.combination.kind() {
        ModeKind::Base | ModeKind::Tuned => 0.0,
        ModeKind::Lora => 4.0 * shape.trainable,
        ModeKind::Full | ModeKind::Pretrain | ModeKind::Head => 4.0 * shape.parameters,
    };
    // The last and the best, and those that are kept beside them.
    let checkpoints = checkpoint * (2.0 + plan.pipeline.tuning.keep_last as f64);
    // A state to resume from holds what is trained and its two moments.
    let state = if cell.is_tuned() {
        12.0 * shape.trainable
    } else {
        0.0
    };
    let passage = (plan.pipeline.extraction.prefix_tokens + plan.pipeline.extraction.new_tokens) as f64;
    // Text, token ids and log-probabilities of each sample.
    checkpoints + state + generations * passage * (BYTES_PER_TOKEN + 8.0)
}

/// The estimates as a table, with a line of totals.
pub struct Table<'a>(pub &'a [Estimate]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Self(estimates) = self;
        let width = estimates
            .iter()
            .map(|estimate| estimate.cell.len())
            .max()
            .unwrap_or(0)
            .max(12);
        writeln!(
            formatter,
            "{:width$}  {:>12}  {:>12}  {:>8}  {:>8}  {:>8}",
            "cell", "train tokens", "extr. tokens", "time", "memory", "disk"
        )?;
        for estimate in *estimates {
            write_row(formatter, width, estimate)?;
        }
        let sum = |part: fn(&Estimate) -> f64| estimates.iter().map(part).sum();
        let total = Estimate {
            cell: format!("{} cells", estimates.len()),
            training_tokens: sum(|estimate| estimate.training_tokens),
            extraction_tokens: sum(|estimate| estimate.extraction_tokens),
            seconds: sum(|estimate| estimate.seconds),
            memory_bytes: estimates
                .iter()
                .map(|estimate| estimate.memory_bytes)
                .fold(0.0, f64::max),
            disk_bytes: sum(|estimate| estimate.disk_bytes),
        };
        write_row(formatter, width, &total)
    }
}

fn write_row(formatter: &mut fmt::Formatter, width: usize, estimate: &Estimate) -> fmt::Result {
    writeln!(
        formatter,
        "{:width$}  {:>12}  {:>12}  {:>8}  {:>8}  {:>8}",
        estimate.cell,
        count(estimate.training_tokens),
        count(estimate.extraction_tokens),
        duration(estimate.seconds),
        format!("{}B", count(estimate.memory_bytes)),
        format!("{}B", count(estimate.disk_bytes)),
    )
}

/// A number in steps of a thousand: `840`, `1.2 M`.
fn count(number: f64) -> String {
    let mut scaled = number;
    for unit in ["", "k", "M", "G"] {
        if scaled < 999.5 {
            let digits = usize::from(!unit.is_empty() && scaled < 9.95);
            return format!("{scaled:.digits$} {unit}");
        }
        scaled /= 1000.0;
    }
    format!("{scaled:.1} T")
}

fn duration(seconds: f64) -> String {
    match seconds {
        0.0 => "0 s".to_owned(),
        seconds if seconds < 100.0 => format!("{:.0} s", seconds.max(1.0)),
        seconds if seconds < 6000.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 360_000.0 => format!("{:.1} h", seconds / 3600.0),
        seconds => format!("{:.0} days", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_like_a_person_writes_them() {
        for (number, expected) in [
            (0.0, "0 "),
            (840.0, "840 "),
            (1234.0, "1.2 k"),
            (56_789.0, "57 k"),
            (999_700.0, "1.0 M"),
            (2.5e12, "2.5 T"),
        ] {
            assert_eq!(count(number), expected);
        }
        for (seconds, expected) in [
            (0.0, "0 s"),
            (0.2, "1 s"),
            (42.0, "42 s"),
            (600.0, "10 min"),
            (36_000.0, "10.0 h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }
}
