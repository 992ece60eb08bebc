//! `plagiarism align A B`: a generation and a document side by side, with the passages that one renders of the other.
//!
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
use contract::{Error, files};
use text_align::{Aligner, Alignment, Class, Mode, Parameters, PreparedText, Preset};

use columns::{Columns, Marking};
use marks::Segment;

/// The file name that stands for standard input.
const STANDARD_INPUT: &str = "-";

/// Columns of a terminal that does not say how many it has.
const USUAL_WIDTH: usize = 100;

/// Shows a generation and a document side by side, with the passages that they share
#[derive(Debug, Clone, clap::Parser)]
pub struct AlignArguments {
    /// The generation: a text file, or - for standard input
    #[arg(value_name = "A")]
    pub generation: PathBuf,

    /// The document: a text file, or - for standard input
    #[arg(value_name = "B")]
    pub document: PathBuf,

    /// Lengths that count: passages from 50 characters on (lee2023) or from 150 on (pan2015)
    #[arg(long, value_enum, default_value_t = PresetName::Lee2023)]
    pub preset: PresetName,

    /// As the published program decides (exact), or with its slips put right (fixed)
    #[arg(long, value_enum, default_value_t = ModeName::Fixed)]
    pub mode: ModeName,

    /// Also write a page with both texts
    #[arg(long, value_name = "FILE.html")]
    pub html: Option<PathBuf>,

    /// Characters in a line [default: the terminal's, or 100]
    #[arg(long, value_name = "N")]
    pub width: Option<usize>,
}

/// The name of a [`Preset`] on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PresetName {
    /// [`Preset::Lee2023`].
    Lee2023,
    /// [`Preset::Pan2015`].
    Pan2015,
}

/// The name of a [`Mode`] on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeName {
    /// [`Mode::Fixed`].
    Fixed,
    /// [`Mode::Exact`].
    Exact,
}

impl AlignArguments {
    fn parameters(&self) -> Parameters {
        let preset = match self.preset {
            PresetName::Lee2023 => Preset::Lee2023,
            PresetName::Pan2015 => Preset::Pan2015,
        };
        let mode = match self.mode {
            ModeName::Fixed => Mode::Fixed,
            ModeName::Exact => Mode::Exact,
        };
        Parameters {
            mode,
            ..preset.parameters()
        }
    }

    fn settings(&self) -> String {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map_or_else(String::new, |value| value.get_name().to_owned())
        };
        let (preset, mode) = (self.preset.to_possible_value(), self.mode.to_possible_value());
        format!("preset {}, mode {}", name(preset), name(mode))
    }
}

/// Two texts and what they share.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The generation's file and its text.
    pub generation: (PathBuf, String),
    /// The document's file and its text.
    pub document: (PathBuf, String),
    /// Preset and mode, to be shown.
    pub settings: String,
    /// The class and the passages.
    pub alignment: Alignment,
}

impl Comparison {
    /// Reads both files and aligns them.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is missing or not UTF-8, [`Error::Configuration`] where both are standard input.
    pub fn read(arguments: &AlignArguments) -> Result<Self, Error> {
        let standard = Path::new(STANDARD_INPUT);
        if arguments.generation == standard && arguments.document == standard {
            return Err(Error::Configuration(
                "A and B: expected two texts, found standard input for both".into(),
            ));
        }
        let aligner =
            Aligner::new(arguments.parameters()).map_err(|error| Error::Configuration(error.to_string()))?;
        let generation = read_text(&arguments.generation)?;
        let document = read_text(&arguments.document)?;
        let alignment = aligner.align(&PreparedText::new(&generation), &PreparedText::new(&document));
        Ok(Self {
            generation: (arguments.generation.clone(), generation),
            document: (arguments.document.clone(), document),
            settings: arguments.settings(),
            alignment,
        })
    }

    /// The generation, cut where a passage starts or ends.
    pub fn generation_segments(&self) -> Vec<Segment<'_>> {
        let spans = self.alignment.cases.iter().map(|case| case.generated);
        marks::cut(&self.generation.1, &spans.collect::<Vec<_>>())
    }

    /// The document, cut where a passage starts or ends.
    pub fn document_segments(&self) -> Vec<Segment<'_>> {
        let spans = self.alignment.cases.iter().map(|case| case.document);
        marks::cut(&self.document.1, &spans.collect::<Vec<_>>())
    }

    /// The class in words.
    pub fn class(&self) -> &'static str {
        match self.alignment.class {
            Class::None => "none",
            Class::Verbatim => "verbatim",
            Class::Summary => "idea (the generation spins out a passage of the document)",
            Class::Obfuscated => "obfuscated (a paraphrase, if the passages mean the same)",
        }
    }

    /// The passages as a table, one a line.
    pub fn table(&self) -> String {
        let mut table = format!("class    {}\n         {}\n", self.class(), self.settings);
        if !self.alignment.cases.is_empty() {
            let _ = writeln!(table, "\npassage        generation          document  similarity");
        }
        for (number, case) in (1..).zip(&self.alignment.cases) {
            let span = |span: text_align::Span| format!("{}..{}", span.start, span.end);
            let _ = writeln!(
                table,
                "{number:>7}  {:>16}  {:>16}  {:>10.3}",
                span(case.generated),
                span(case.document),
                case.similarity
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
        files::write_whole(file, page::page(&comparison).as_bytes())?;
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
