//! Scores the presets on generations in which it is known what was copied.
//!
//! ```text
//! cargo run -p plagiarism --example test_bed -- --corpus TEXTS.parquet [--out SCORES.parquet] …
//! cargo run -p plagiarism --example test_bed -- --same-question ANSWERS.parquet
//! ```
//!
//! A part of the texts becomes the corpus, another gives the surroundings; `reuse-cases` plants passages of the one into
//! sentences of the other, and the stage looks for them with each preset, from candidates to exact passages. Scores are those of
//! the PAN tasks (`text_align::case_measures`), by kind and strength of disguise; false alarms are counted on generations in
//! which nothing is planted, unrelated ones and such on the subject of a document. `--same-question` counts them on what people
//! wrote: answers of several authors to one question.

mod pairs;
mod same_question;
mod scores;
mod texts;

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Parser;
use contract::pipeline::{Detection, DetectorPreset, Precision};
use contract::records::{FinishReason, Sample, Split};
use contract::{Provenance, parquet};
use plagiarism::corpus::sources::Document;
use plagiarism::{Clock, IndexCache, SentenceEncoder, Sources, Tools, VectorCache, compare};
use reuse_cases::{Case, Settings, Synonyms, cases};

use crate::scores::Detected;

/// Scores the presets on planted passages
#[derive(Debug, Parser)]
struct Options {
    /// Texts of one genre: column `text` of a Parquet file, or key `text` of a JSON-lines file
    #[arg(long, required_unless_present_any = ["pairs", "same_question"])]
    corpus: Option<PathBuf>,
    /// Texts that make the corpus
    #[arg(long, default_value_t = 1000)]
    documents: usize,
    /// Further texts, for surroundings and for negatives
    #[arg(long, default_value_t = 600)]
    others: usize,
    /// Cases of each kind and strength
    #[arg(long, default_value_t = 12)]
    planted: usize,
    /// Generations without a planted passage, unrelated ones and as many on a document's subject
    #[arg(long, default_value_t = 80)]
    negatives: usize,
    /// Draws texts and cases
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A table of synonyms in place of the built-in one
    #[arg(long)]
    synonyms: Option<PathBuf>,
    /// Folder of the sentence encoder
    #[arg(long, default_value = "data/toolchain/all-MiniLM-L6-v2")]
    encoder: PathBuf,
    /// Labelled pairs of texts (columns a, b and label) to score as well, by those that `calibrate` does not choose by
    #[arg(long, num_args = 0..)]
    pairs: Vec<PathBuf>,
    /// Answers (columns `doc_id`, question and answer) of which those to one question by different sources, what `doc_id` has
    /// before a slash, are compared
    #[arg(long)]
    same_question: Option<PathBuf>,
    /// Maximum number of words of such an answer; it is cut after a sentence
    #[arg(long, default_value_t = 300)]
    answer_words: usize,
    /// The scores as a table for other programs
    #[arg(long)]
    out: Option<PathBuf>,
}

const PRESETS: [(&str, DetectorPreset); 3] = [
    ("lee2023", DetectorPreset::Lee2023),
    ("pan2015", DetectorPreset::Pan2015),
    ("ours", DetectorPreset::Ours),
];

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    if let Some(corpus) = &options.corpus {
        planted(corpus, &options)?;
    }
    for file in &options.pairs {
        pairs::score(file, &options.encoder, &PRESETS)?;
    }
    if let Some(file) = &options.same_question {
        same_question::score(file, options.answer_words, &options.encoder, &PRESETS)?;
    }
    Ok(())
}

/// Scores the presets on passages planted into the texts of `corpus`.
fn planted(corpus: &Path, options: &Options) -> Result<(), Box<dyn Error>> {
    let synonyms = match &options.synonyms {
        Some(file) => Synonyms::read(&std::fs::read_to_string(file)?)?,
        None => Synonyms::default(),
    };
    let texts = texts::read(corpus, options.seed)?;
    let documents: Vec<&str> = texts.iter().take(options.documents).map(String::as_str).collect();
    let others: Vec<&str> = texts
        .iter()
        .skip(options.documents)
        .take(options.others)
        .map(String::as_str)
        .collect();
    let settings = Settings {
        planted: options.planted,
        negatives: options.negatives,
        seed: options.seed,
        ..Settings::default()
    };
    let cases = cases(&documents, &others, &synonyms, &settings)?;

    // Identities in the order of the documents, so that a document's index is its number.
    let sources = Sources {
        training: (0..)
            .zip(&documents)
            .map(|(number, text)| document(number, text))
            .collect(),
        held_out: Vec::new(),
    };
    let samples: Vec<Sample> = (0..)
        .zip(&cases)
        .map(|(number, case)| sample(number, case))
        .collect();
    let tools = Tools {
        encoder: SentenceEncoder::new(
            options.encoder.clone(),
            Precision::Float32,
            "",
            VectorCache::default(),
        ),
        classifier: None,
        indexes: IndexCache::default(),
    };
    let mut rows = Vec::new();
    for (name, preset) in PRESETS {
        let detection = Detection {
            preset,
            ..Detection::default()
        };
        let compared = compare(&samples, &sources, &detection, &tools, &mut Clock::start())?;
        let detected = Detected::of(&compared.comparisons)?;
        rows.extend(scores::rows(name, &cases, &detected));
    }
    scores::print(&rows);
    if let Some(out) = &options.out {
        parquet::write_all(out, &Provenance::new("test-bed").with_seed(options.seed), &rows)?;
    }
    Ok(())
}

fn document(number: usize, text: &str) -> Document {
    Document::new(format!("{number:09}"), text.to_owned(), 1)
}

fn sample(number: i64, case: &Case) -> Sample {
    Sample {
        sample_id: number,
        doc_id: None,
        split: Split::None,
        copies: 0,
        strategy: "planted".to_owned(),
        prompt: String::new(),
        generation: case.generation.clone(),
        truth: None,
        prompt_tokens: Vec::new(),
        generated_tokens: Vec::new(),
        logprobs: Vec::new(),
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        seed: 0,
        finish: FinishReason::End,
        prompt_form: None,
        tokens_read: None,
        lower_case_loss: None,
        reference_loss: None,
        zlib_bytes: None,
    }
}
