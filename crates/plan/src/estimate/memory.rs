//! Memory that tuning and extraction take: on the machine, or on its GPU.
//!
//! Weights, for what is trained its gradient and AdamW's two moments in float32, what the way back needs of the tokens of a pass
//! ([`activations`]), and logits. How many tokens a pass has follows from the settings, and on a GPU from its memory, by the tuner's own rule.

use contract::pipeline::{Extraction, ModeKind, Precision, Tuning};
use model_folder::cost::{
    Activations, DEVICE_LOGITS_BYTES, LOGITS_BYTES, MAX_PREPACKED_BYTES, PIECE_BYTES, PassSize, RowBytes,
    activations, even_rows, pass_for_memory, rows_for_memory, scored_tokens_for_memory, token_bytes,
};
use model_folder::{Config, Model, ModuleChoice};

use super::speed::Gpu;
use super::{Asking, Shape, Speed};
use crate::{Plan, PlannedCell};

/// What LibTorch, its kernels and the program hold, whatever the model: measured on the processor, and taken for a GPU too.
const PROGRAM_BYTES: f64 = 3.5e8;

/// Largest memory of tuning, in bytes: of the GPU where the speed is one's.
pub(super) fn of_training(plan: &Plan, cell: &PlannedCell, shape: &Shape, speed: &Speed) -> f64 {
    if !cell.is_tuned() {
        return 0.0;
    }
    let tuning = &plan.pipeline.tuning;
    let number = bytes_of(tuning.precision, speed);
    let kind = cell.combination.kind();
    // Masters in float32 beside what is computed with, in half precision; LoRA's base has none.
    let master = if number == 4.0 || kind == ModeKind::Lora {
        0.0
    } else {
        4.0
    };
    let kept = kept_of(cell, speed.gpu.is_some());
    let state = number * shape.parameters + (8.0 + master) * shape.trainable;
    let gradients =
        (4.0 + if speed.gpu.is_some() && number < 4.0 {
            number
        } else {
            0.0
        }) * shape.trainable;
    let longest = tuning.context;
    let step = tuning.batch_size * longest;
    let size = match &speed.gpu {
        Some(gpu) => {
            let free = (gpu.free_bytes - state - gradients).max(0.0) as u64;
            let wanted = tuning
                .max_tokens_per_microbatch
                .map(|tokens| if tokens == 0 { step } else { tokens });
            let chosen = pass_for_memory(free, kept, number as usize, longest, wanted);
            PassSize {
                checkpointing: tuning.gradient_checkpointing.unwrap_or(chosen.checkpointing),
                ..chosen
            }
        }
        None => PassSize {
            tokens: match tuning
                .max_tokens_per_microbatch
                .unwrap_or(Tuning::MAX_TOKENS_PER_MICROBATCH)
            {
                0 => step,
                tokens => tokens,
            },
            checkpointing: tuning.gradient_checkpointing.unwrap_or(false),
        },
    };
    let tokens = step.min(size.tokens.max(longest)) as f64;
    let numbers = match kind {
        // The body is only read, a layer after the other.
        ModeKind::Head => kept.layer,
        _ => kept.held(size.checkpointing),
    };
    let logits = match speed.gpu {
        // Their logarithms in float32, and then their gradient.
        Some(_) => ((number + 4.0) * tokens * shape.vocabulary).min(DEVICE_LOGITS_BYTES as f64),
        None => (number * tokens * shape.vocabulary).min(LOGITS_BYTES as f64),
    };
    PROGRAM_BYTES + state + gradients + number * tokens * numbers as f64 + logits
}

/// Largest memory of extraction, in bytes.
pub(super) fn of_extraction(
    plan: &Plan,
    cell: &PlannedCell,
    shape: &Shape,
    speed: &Speed,
    asking: &Asking,
) -> f64 {
    if !cell.is_extracted() {
        return 0.0;
    }
    let extraction = &plan.pipeline.extraction;
    let number = bytes_of(extraction.precision, speed);
    if let (Some(gpu), Some(config)) = (&speed.gpu, config_of(cell)) {
        let weights = number * shape.parameters;
        return PROGRAM_BYTES + weights + decoded_on(gpu, weights, &config, number, extraction, asking);
    }
    let rows = extraction.batch_size.unwrap_or(Extraction::CPU_BATCH_SIZE) as f64;
    let passage = (extraction.prefix_tokens + extraction.new_tokens) as f64;
    let cache = 2.0 * number * shape.layers * shape.width * rows * passage;
    // In float32 weights of up to 4 GiB are prepacked for decoding, beside what they are. Small models are read once for each thread besides,
    // which is not counted: how many threads there will be is not known here.
    let weights = number * shape.parameters;
    let prepacked = if number == 4.0 && weights <= MAX_PREPACKED_BYTES as f64 {
        weights
    } else {
        0.0
    };
    // The scoring pass holds logits and log-probabilities of whole passages.
    PROGRAM_BYTES + weights + prepacked + cache + 8.0 * rows * passage * shape.vocabulary
}

/// What decoding and scoring hold on a GPU beside the weights: the larger of both, by the extractor's own rules.
fn decoded_on(
    gpu: &Gpu,
    weights: f64,
    config: &Config,
    number: f64,
    extraction: &Extraction,
    asking: &Asking,
) -> f64 {
    let free = (gpu.free_bytes - weights).max(0.0) as u64;
    // One more token is the BOS.
    let prompt = asking.prompt_tokens.max(extraction.prefix_tokens as f64) as usize + 1;
    let row = RowBytes::of(config, number as usize, prompt, extraction.new_tokens);
    let rows = match extraction.batch_size {
        Some(rows) => rows,
        None => even_rows(asking.generations as usize, rows_for_memory(free, row)),
    };
    let token = token_bytes(config, number as usize);
    let scored = (asking.scored_tokens as usize).min(scored_tokens_for_memory(free, token));
    let held = (rows as u64 * row.sum()).max(scored as u64 * token);
    (held + PIECE_BYTES) as f64
}

/// Bytes of a number that is computed with.
fn bytes_of(precision: Precision, speed: &Speed) -> f64 {
    match precision {
        Precision::Bf16 => 2.0,
        Precision::Auto if speed.gpu.is_some() => 2.0,
        Precision::Float32 | Precision::Auto => 4.0,
    }
}

/// What a cell's way of tuning keeps of each token. On the processor products may be convolutions, which keep what they read in any case.
fn kept_of(cell: &PlannedCell, on_gpu: bool) -> Activations {
    let Some(config) = config_of(cell) else {
        return Activations::default();
    };
    let chosen = adapted_modules(cell);
    activations(&config, |module| match &chosen {
        Some(choice) if on_gpu => is_chosen(choice, &module.path, &config),
        _ => true,
    })
}

/// The configuration of a cell's model, which may be one that is still to be trained.
fn config_of(cell: &PlannedCell) -> Option<Config> {
    let of_shape = || {
        let architecture = cell.combination.model.architecture.as_ref()?;
        Some(Model::gpt2(architecture, 0).ok()?.config)
    };
    let weights = cell.weights.as_ref();
    weights.map(|model| model.config.clone()).or_else(of_shape)
}

/// The modules that LoRA adapts; none for a mode that trains all.
fn adapted_modules(cell: &PlannedCell) -> Option<ModuleChoice> {
    let mode = cell.combination.mode.as_ref()?;
    (mode.kind == ModeKind::Lora).then(|| ModuleChoice::of_mode(mode))
}

fn is_chosen(choice: &ModuleChoice, path: &str, config: &Config) -> bool {
    choice.chooses(path, config).unwrap_or(false)
}
