//! `plagiarism align A B`: a generation and a document side by side, with the passages that one renders of the other.
//!
//! What is shown is what the stage finds for this generation where the document is the whole corpus: [`compare`] does the work.
//! The texts go to the terminal in two columns ([`columns`]), and to a page on request ([`page`]). A passage has the same
//! number on both sides, and the table below has its offsets, counted in characters, and its similarity.

pub mod columns;
pub mod marks;
pub mod page;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use contract::pipeline::{Confirmation, Detection, DetectorPreset, Precision};
use contract::records::{FinishReason, Sample, Split, Verdict};
use contract::{Error, files};
use text_align::Span;

use columns::{Columns, Marking};
use marks::Segment;

use crate::corpus::sources::{Document, Sources};
use crate::paraphrase::encoder;
use crate::{Clock, IndexCache, SentenceEncoder, Tools, VectorCache, compare};

/// The file name that means standard input.
const STANDARD_INPUT: &str = "-";

/// Columns of a terminal that does not say how many it has.
const USUAL_WIDTH: usize = 100;

const EXAMPLES: &str = "\
Examples:
  # What the pipeline finds between two files, on the terminal and as a page
  plagiarism align generation.txt document.txt --html aligned.html
  # By the detector of Lee et al., with the generation from standard input
  plagiarism align - document.txt --preset lee2023";

/// Shows a generation and a document side by side, with the passages that they share
#[derive(Debug, Clone, clap::Parser)]
#[command(after_help = EXAMPLES)]
pub struct AlignArguments {
    /// The generation: a text file, or - for standard input
    #[arg(value_name = "A")]
    pub generation: PathBuf,

    /// The document: a text file, or - for standard input
    #[arg(value_name = "B")]
    pub document: PathBuf,

    /// Detector, as detection.preset of a pipeline file
    #[arg(long, value_enum, default_value_t = PresetName::Ours)]
    pub preset: PresetName,

    /// Folder of the sentence encoder [default: where make setup puts it]
    #[arg(long, value_name = "FOLDER")]
    pub encoder: Option<PathBuf>,

    /// Also write a page with both texts
    #[arg(long, value_name = "FILE.html")]
    pub html: Option<PathBuf>,

    /// Characters in a line [default: the terminal's, or 100]
    #[arg(long, value_name = "N")]
    pub width: Option<usize>,
}

/// The name of a preset on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PresetName {
    /// This project's default
    Ours,
    /// As published by Lee et al., 2023
    Lee2023,
    /// As published by Sanchez-Perez et al., 2015
    Pan2015,
}

impl From<PresetName> for DetectorPreset {
    fn from(name: PresetName) -> Self {
        match name {
            PresetName::Ours => Self::Ours,
            PresetName::Lee2023 => Self::Lee2023,
            PresetName::Pan2015 => Self::Pan2015,
        }
    }
}

impl PresetName {
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// A passage of the generation and the passage of the document that it renders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SharedPassage {
    /// Where in the generation.
    pub generated: Span,
    /// Where in the document.
    pub document: Span,
    /// How alike they are, as in `matches.parquet`.
    pub similarity: f32,
}

/// Two texts and what they share.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The generation's file and its text.
    pub generation: (PathBuf, String),
    /// The document's file and its text.
    pub document: (PathBuf, String),
    /// Preset and confirmation, to be shown.
    pub settings: String,
    /// The class of the generation.
    pub class: Verdict,
    /// The passages that it rests on.
    pub passages: Vec<SharedPassage>,
}

impl Comparison {
    /// Reads both files and compares them. Without `--encoder` and without the encoder of `make setup` words decide alone, and
    /// [`Comparison::settings`] says so.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is missing or not UTF-8 and for an encoder that is not in the folder named,
    /// [`Error::Configuration`] where both texts are standard input.
    pub fn read(arguments: &AlignArguments) -> Result<Self, Error> {
        let standard = Path::new(STANDARD_INPUT);
        if arguments.generation == standard && arguments.document == standard {
            return Err(Error::Configuration(
                "A and B: expected two texts, found standard input for both".into(),
            ));
        }
        let encoder = match encoder::find(arguments.encoder.clone()) {
            Err(_) if arguments.encoder.is_none() => None,
            found => Some(found?),
        };
        let generation = read_text(&arguments.generation)?;
        let document = read_text(&arguments.document)?;
        Self::of(
            (arguments.generation.clone(), generation),
            (arguments.document.clone(), document),
            arguments.preset,
            encoder,
        )
    }

    /// Compares a generation with a document, both with their names, by a preset and the encoder in a folder; without one by
    /// words alone.
    ///
    /// # Errors
    /// Those of [`compare`].
    pub fn of(
        generation: (PathBuf, String),
        document: (PathBuf, String),
        preset: PresetName,
        encoder: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let confirmed = match &encoder {
            Some(_) => "paraphrases confirmed by meaning",
            None => {
                "by words alone, paraphrases not confirmed: no sentence encoder was found (`make setup`, or --encoder)"
            }
        };
        let detection = Detection {
            preset: preset.into(),
            confirm: match encoder {
                Some(_) => Confirmation::Encoder,
                None => Confirmation::None,
            },
            ..Detection::default()
        };
        let tools = Tools {
            encoder: encoder.map_or_else(SentenceEncoder::absent, |folder| {
                SentenceEncoder::new(folder, Precision::Float32, "", VectorCache::default())
            }),
            classifier: None,
            indexes: IndexCache::default(),
        };
        let sources = Sources {
            training: vec![Document::new(
                document.0.display().to_string(),
                document.1.clone(),
                1,
            )],
            ..Sources::default()
        };
        let samples = [sample(&generation.1)];
        let compared = compare(&samples, &sources, &detection, &tools, &mut Clock::start())?;
        let mut comparison = Self {
            generation,
            document,
            settings: format!("preset {}, {confirmed}", preset.name()),
            class: Verdict::None,
            passages: Vec::new(),
        };
        for found in compared.comparisons {
            comparison.class = found.verdict.verdict;
            comparison
                .passages
                .extend(found.matches.iter().map(|passage| SharedPassage {
                    generated: Span::new(passage.gen_start as usize, passage.gen_end as usize),
                    document: Span::new(passage.doc_start as usize, passage.doc_end as usize),
                    similarity: passage.similarity,
                }));
        }
        Ok(comparison)
    }

    /// The generation, cut where a passage starts or ends.
    pub fn generation_segments(&self) -> Vec<Segment<'_>> {
        let spans = self.passages.iter().map(|passage| passage.generated);
        marks::cut(&self.generation.1, &spans.collect::<Vec<_>>())
    }

    /// The document, cut where a passage starts or ends.
    pub fn document_segments(&self) -> Vec<Segment<'_>> {
        let spans = self.passages.iter().map(|passage| passage.document);
        marks::cut(&self.document.1, &spans.collect::<Vec<_>>())
    }

    /// The class in words.
    pub fn class(&self) -> &'static str {
        match self.class {
            Verdict::None => "none",
            Verdict::Verbatim => "verbatim",
            Verdict::Paraphrase => "paraphrase",
            Verdict::Idea => "idea (the generation spins out a passage of the document)",
        }
    }

    /// The passages as a table, one a line.
    pub fn table(&self) -> String {
        let mut table = format!("class    {}\n         {}\n", self.class(), self.settings);
        if !self.passages.is_empty() {
            let _ = writeln!(table, "\npassage        generation          document  similarity");
        }
        for (number, passage) in (1..).zip(&self.passages) {
            let span = |span: Span| format!("{}..{}", span.start, span.end);
            let _ = writeln!(
                table,
                "{number:>7}  {:>16}  {:>16}  {:>10.3}",
                span(passage.generated),
                span(passage.document),
                passage.similarity
            );
        }
        table
    }
}

/// The whole command: reads both texts, and shows on standard output what they share.
///
/// # Errors
/// Those of [`Comparison::read`], and [`Error::Output`] where a result cannot be written.
pub fn run(arguments: &AlignArguments) -> Result<(), Error> {
    let comparison = Comparison::read(arguments)?;
    if let Some(file) = &arguments.html {
        files::write_atomic(file, page::page(&comparison).as_bytes())?;
    }
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let marking = if io::stdout().is_terminal() && !is_plain {
        Marking::Colours
    } else {
        Marking::Brackets
    };
    let columns = Columns {
        width: arguments.width.unwrap_or_else(terminal_width),
        marking,
    };
    let shown = format!("{}\n{}", columns.show(&comparison), comparison.table());
    match io::stdout().write_all(shown.as_bytes()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Error::output("standard output", error)),
    }
}

/// A generation of no known origin.
fn sample(generation: &str) -> Sample {
    Sample {
        sample_id: 0,
        doc_id: None,
        split: Split::None,
        copies: 0,
        strategy: String::new(),
        prompt: String::new(),
        generation: generation.to_owned(),
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

fn terminal_width() -> usize {
    let columns = std::env::var("COLUMNS").ok();
    columns
        .and_then(|columns| columns.parse().ok())
        .unwrap_or(USUAL_WIDTH)
}

fn read_text(file: &Path) -> Result<String, Error> {
    let bytes = if file == Path::new(STANDARD_INPUT) {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(file)
    };
    let bytes = bytes.map_err(|error| Error::input(file, error))?;
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let byte = error.as_bytes()[offset];
        Error::input(
            file,
            format!("expected UTF-8, found the byte 0x{byte:02x} at offset {offset}"),
        )
    })
}
