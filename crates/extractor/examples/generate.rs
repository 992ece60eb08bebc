//! How fast prompts are gone on with, and with what: one line of JSON.
//!
//! ```text
//! cargo run -p extractor --example generate -- MODEL PROMPTS.json NEW_TOKENS BATCH_SIZE float32|bf16 THREADS greedy|TOP_K [DEVICE]
//! ```
//!
//! PROMPTS is a list of lists of token ids, BATCH_SIZE a number or `auto`, DEVICE `cpu` where it is left out. Loading does not count; the first batch is done twice, and its first time does not count
//! either.

#![expect(clippy::print_stdout, reason = "the result of the example")]

use std::path::PathBuf;

use causal_lm::CausalLm;
use contract::pipeline::{Begin, Extraction, Precision, Strategy};
use contract::records::{PromptForm, Split};
use extractor::LoadedModel;
use extractor::generation::generate;
use extractor::prompts::{Prompt, Prompts};
use tch::{Device, Kind};
use text_tokens::TextTokenizer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let device = match arguments.len() {
        8.. => torch_device::device(&arguments.remove(7))?,
        _ => Device::Cpu,
    };
    let [
        folder,
        prompts,
        new_tokens,
        batch_size,
        precision,
        threads,
        decoding,
    ] = arguments.as_slice()
    else {
        return Err(
            "expected MODEL PROMPTS.json NEW_TOKENS BATCH_SIZE|auto float32|bf16 THREADS greedy|TOP_K [DEVICE]".into(),
        );
    };
    tch::set_num_threads(threads.parse()?);
    let folder = PathBuf::from(folder);
    let (precision, kind) = match precision.as_str() {
        "bf16" => (Precision::Bf16, Kind::BFloat16),
        _ => (Precision::Float32, Kind::Float),
    };
    let mut models = LoadedModel::side_by_side(threads.parse()?, || {
        let model = CausalLm::load(&folder, kind, device)?;
        LoadedModel::new(model, TextTokenizer::load(&folder)?, Begin::Model)
    })?;
    // Nothing before the prompts: they are whole as they are.
    for model in &mut models {
        model.bos.clear();
    }
    let settings = Extraction {
        new_tokens: new_tokens.parse()?,
        batch_size: match batch_size.as_str() {
            "auto" => None,
            rows => Some(rows.parse()?),
        },
        precision,
        strategy: vec![match decoding.parse() {
            Ok(top_k) => Strategy {
                top_k,
                samples: 1,
                ..Strategy::default()
            },
            Err(_) => Strategy {
                temperature: 0.0,
                ..Strategy::default()
            },
        }],
        ..Extraction::default()
    };
    let tokens: Vec<Vec<i64>> = serde_json::from_str(&std::fs::read_to_string(prompts)?)?;
    let warm_up = match settings.batch_size {
        Some(rows) => tokens[..tokens.len().min(rows * models.len())].to_vec(),
        None => tokens.clone(),
    };
    generate(&mut models, &settings, &of(warm_up), 0)?;
    let drawn = generate(&mut models, &settings, &of(tokens), 0)?;
    let ids: Vec<&[i32]> = drawn
        .samples
        .iter()
        .map(|sample| &sample.generated_tokens[..])
        .collect();
    let count: usize = ids.iter().map(|ids| ids.len()).sum();
    println!(
        "{}",
        serde_json::json!({"tokens_per_second": count as f64 / drawn.seconds, "seconds": drawn.seconds, "ids": ids})
    );
    Ok(())
}

fn of(tokens: Vec<Vec<i64>>) -> Prompts {
    let all: Vec<Prompt> = tokens
        .into_iter()
        .enumerate()
        .map(|(number, tokens)| Prompt {
            doc_id: None,
            split: Split::None,
            copies: 0,
            form: PromptForm::File,
            number,
            tokens,
            begun: None,
            reference: Vec::new(),
        })
        .collect();
    Prompts {
        of_strategy: vec![(0..all.len()).collect()],
        all,
        ..Prompts::default()
    }
}
