//! What a run of the tuner begins with, for another program that is to do the same: the batches of every step, and for LoRA the adapter.
//!
//! ```text
//! cargo run -p tuner --example first_state -- PIPELINE.toml CORPUS OUT
//! ```
//!
//! Writes OUT/batches.json, a list of steps, each a list of rows of token ids; OUT/learning_rates.json; and for LoRA OUT/adapter.

use std::path::PathBuf;

use contract::pipeline::{ModeKind, PipelineFile};
use contract::{parquet, records::TrainingInstance};
use text_tokens::TokenCache;
use tuner::modes::Prepared;
use tuner::schedule::learning_rate;
use tuner::{Document, Rows};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [file, corpus, out] = arguments.as_slice() else {
        return Err("expected PIPELINE.toml CORPUS OUT".into());
    };
    let pipeline = PipelineFile::load(file, &[])?;
    let (model, mode, peak) = pipeline.single_cell()?;
    let (tuning, seed) = (&pipeline.tuning, pipeline.seeds[0]);
    let instances: Vec<TrainingInstance> = parquet::read_all(&corpus.join("train.parquet"))?;
    let mut prepared = Prepared::new(&pipeline, model, mode, seed, out, &instances)?;
    let documents = instances.iter().map(|instance| Document {
        doc_id: &instance.doc_id,
        text: &instance.text,
        prompt_chars: instance.prompt_chars as usize,
        assistant_spans: instance.assistant_spans.as_deref(),
    });
    let texts = TokenCache::without(&prepared.tokenizer);
    let rows = Rows::for_training(documents, &texts, &prepared.model.config, tuning, mode.goldfish)?;
    let per_step = tuning.batch_size * tuning.gradient_accumulation_steps;
    let per_epoch = rows.len().div_ceil(per_step);
    let epochs = mode.epochs.unwrap_or(tuning.epochs);
    let count = ((epochs * per_epoch as f64).ceil() as usize).max(1);
    let mut steps: Vec<Vec<&[i32]>> = Vec::with_capacity(count);
    for step in 0..count {
        let order = rows.order(step / per_epoch, seed);
        let first = step % per_epoch * per_step;
        let chosen = &order[first..(first + per_step).min(order.len())];
        steps.push(chosen.iter().map(|&row| rows.tokens(row)).collect());
    }
    let rates: Vec<f64> = (0..count)
        .map(|step| learning_rate(tuning.schedule, peak, tuning.warmup, step, count))
        .collect();
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("batches.json"), serde_json::to_vec(&steps)?)?;
    std::fs::write(out.join("learning_rates.json"), serde_json::to_vec(&rates)?)?;
    if mode.kind == ModeKind::Lora {
        let adapter = out.join("adapter");
        std::fs::create_dir_all(&adapter)?;
        prepared.write(&adapter)?;
    }
    Ok(())
}
