//! Predicted against drawn: how often sampling gives documents that the scoring pass says it gives.
//!
//! ```text
//! cargo run -p extractor --example agreement -- CONFIG.toml CORPUS CHECKPOINT SAMPLES DOCUMENTS [NEW_TOKENS]
//! ```
//!
//! The first strategy of the configuration that samples is drawn from.

#![expect(clippy::print_stdout, reason = "the result of the example")]

use std::path::Path;

use causal_lm::load_checkpoint;
use contract::PipelineFile;
use contract::pipeline::Strategy;
use extractor::LoadedModel;
use extractor::agreement::agreement;
use extractor::documents::Documents;
use tch::Kind;
use text_tokens::TextTokenizer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, corpus, checkpoint, samples, documents, rest @ ..] = arguments.as_slice() else {
        return Err("expected CONFIG.toml CORPUS CHECKPOINT SAMPLES DOCUMENTS [NEW_TOKENS]".into());
    };
    let pipeline = PipelineFile::load(Path::new(config), &[])?;
    let mut settings = pipeline.extraction.clone();
    settings.loss_on = Some(pipeline.trained_tokens().1);
    if let [new_tokens] = rest {
        settings.new_tokens = new_tokens.parse()?;
    }
    let sampling = settings
        .strategy
        .iter()
        .find(|strategy| strategy.temperature > 0.0 && strategy.beams == 0);
    let strategy = Strategy {
        samples: samples.parse()?,
        ..sampling.ok_or("expected a strategy that samples")?.clone()
    };
    let (mut weights, folder) = load_checkpoint(
        Path::new(checkpoint),
        None,
        Kind::Float,
        torch_device::device("auto")?,
    )?;
    weights.merge()?;
    let mut model = LoadedModel::new(weights, TextTokenizer::load(&folder)?, settings.begin)?;
    let read = Documents::load(
        Path::new(corpus),
        &model.tokenizer,
        model.trained_tokens(pipeline.trained_tokens().0),
        None,
        settings.prefix_tokens,
        pipeline.trained_tokens().1,
    )?;
    let found = agreement(&mut model, &settings, &strategy, &read, documents.parse()?, 0)?;
    println!("document  copies  predicted  expected hits (95%)  hits  samples");
    for row in &found {
        let (least, most) = row.expected;
        let holds = if row.holds() { "" } else { "  outside" };
        println!(
            "{}  {}  {:.5}  {least}–{most}  {}  {}{holds}",
            row.doc_id, row.copies, row.probability, row.hits, row.samples
        );
    }
    let within = found.iter().filter(|row| row.holds()).count();
    println!("{within} of {} within their interval", found.len());
    Ok(())
}
