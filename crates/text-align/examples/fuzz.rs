//! Aligns made-up texts of arbitrary Unicode until the time is up, and stops at the first broken promise.
//!
//! ```sh
//! cargo run -p text-align --example fuzz -- SECONDS [SEED]
//! ```
//!
//! Every text mixes words of several scripts with combining marks, right-to-left text, emoji, NUL, odd white space, and
//! stray code points; pairs have stretches in common, and now and then a line is a megabyte long. Promised are: no
//! panic, spans that cut valid text, cases no shorter than the minimum, verbatim passages of the same words, the same
//! result twice. Printed is the number of pairs; a broken promise names the seed and the number of its pair.

#![expect(clippy::print_stdout, reason = "the result of the example")]

use std::error::Error;
use std::time::{Duration, Instant};

use text_align::{Aligner, Class, Mode, Parameters, PreparedText, RoleAlignment, Span};

/// Pieces that have some rule of Unicode, of sentences or of words at work.
const PIECES: &[&str] = &[
    "lamp",
    "zinc",
    "Moon",
    "rivers",
    "burning",
    "the",
    "of",
    "don't",
    "3.14",
    "e.g.",
    "Dr.",
    "_x1",
    "é",
    "naïve",
    "e\u{301}te\u{301}",
    "Straße",
    "İstanbul",
    "ΣΊΣΥΦΟΣ",
    "漢字仮名",
    "한국어",
    "ภาษาไทย",
    "שָׁלוֹם",
    "مرحبا",
    "👩\u{200d}🔬",
    "👍🏽",
    "🇩🇪🇫🇷",
    "\u{202e}",
    "\u{2067}",
    "\0",
    "\u{feff}",
    "\u{300}",
    "\u{301}\u{302}",
    "\u{200d}",
    "\u{ad}",
    ".",
    ". ",
    "! ",
    "?",
    "…",
    "。",
    "\n",
    "\r\n",
    "\n\n",
    "\u{2028}",
    "\t",
    "\u{b}",
    "\u{a0}",
    "\u{3000}",
    " ",
    "  ",
    "\"",
    "(",
    ")",
    "- ",
    "“",
    "”",
    "« ",
    "»",
    "‘",
    "’",
    "• ",
    "(ii) ",
    "\n1. ",
    "b) ",
    "「",
    "\u{10ffff}",
    "\u{e000}",
];

/// `xorshift64*` (Marsaglia, Vigna): all that is asked of it are varied and repeatable texts.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        (mixed >> 33) as usize % limit.max(1)
    }

    fn text(&mut self, pieces: usize) -> String {
        let separator = ["", " ", " "][self.below(3)];
        let mut text = String::new();
        for _ in 0..pieces {
            if self.below(12) == 0 {
                let character = char::from_u32(self.below(0x11_0000) as u32);
                text.extend(character);
            } else {
                text.push_str(PIECES[self.below(PIECES.len())]);
            }
            text.push_str(separator);
        }
        text
    }

    /// A long line: a short text over and over, or many pieces.
    fn long_line(&mut self) -> String {
        let pieces = 1 + self.below(40);
        let text = format!(
            "{} lamp{} ",
            self.text(pieces).replace('\n', " "),
            self.below(100)
        );
        text.repeat((1 << 20) / text.len())
    }

    fn pair(&mut self, is_long: bool) -> (String, String) {
        let length = 1 + self.below(120);
        let (shared, before, after) = (self.text(length), self.text(length / 2), self.text(length / 3));
        if is_long {
            let line = self.long_line();
            let cut = line.floor_char_boundary(self.below(line.len()));
            let half = line.floor_char_boundary(cut / 2);
            return (
                format!("{before}{line}"),
                format!("{}{shared}{}", &line[cut..], &line[..half]),
            );
        }
        match self.below(4) {
            0 => (before, after),
            1 => (shared.clone(), shared),
            2 => (format!("{shared} {before}"), format!("{after} {shared}")),
            _ => (
                format!("{shared} {before} {shared}"),
                format!("{after} {shared} {shared}"),
            ),
        }
    }

    fn parameters(&mut self) -> Parameters {
        let preset = [Parameters::lee2023(), Parameters::pan2015()][self.below(2)].clone();
        let mode = [Mode::Exact, Mode::Fixed][self.below(2)];
        if self.below(2) == 0 {
            return Parameters { mode, ..preset };
        }
        Parameters {
            mode,
            verbatim_minimum: self.below(60),
            passage_minimum: self.below(60),
            min_cluster_sentences: self.below(3),
            min_sentence_words: self.below(6),
            ..preset
        }
    }
}

/// A text with the bytes at which its characters start: [`Span::cut`] walks the text, which takes long for thousands of
/// spans of a megabyte.
struct Cuttable<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Cuttable<'a> {
    fn new(text: &'a str) -> Self {
        let ends = std::iter::once(text.len());
        let starts = text.char_indices().map(|(byte, _)| byte).chain(ends).collect();
        Self { text, starts }
    }

    fn cut(&self, span: Span) -> Option<&'a str> {
        let (start, end) = (self.starts.get(span.start)?, self.starts.get(span.end)?);
        self.text.get(*start..*end)
    }
}

/// The first promise that an alignment breaks.
fn broken(
    found: &RoleAlignment,
    suspicious: &Cuttable,
    source: &Cuttable,
    parameters: &Parameters,
) -> Option<String> {
    if (found.class == Class::None) != found.cases.is_empty() {
        return Some("a class without cases, or cases without a class".into());
    }
    for case in &found.cases {
        let (Some(left), Some(right)) = (suspicious.cut(case.suspicious), source.cut(case.source)) else {
            return Some(format!("{case:?} leaves its text"));
        };
        let (left_length, right_length) = (left.chars().count(), right.chars().count());
        let is_exact = parameters.mode == Mode::Exact;
        let is_short = if found.class == Class::Verbatim {
            left_length <= parameters.verbatim_minimum
                || (!is_exact && right_length <= parameters.verbatim_minimum)
        } else {
            left_length.min(right_length) < parameters.passage_minimum
        };
        if is_short || !(0.0..=1.0).contains(&case.similarity) {
            return Some(format!("{case:?} is too short or its similarity is no cosine"));
        }
        if found.class == Class::Verbatim && !is_exact && !has_equal_letters(left, right) {
            return Some(format!("{case:?} is not verbatim"));
        }
    }
    None
}

/// Whether both are the same but for white space and case. Final sigmas are told apart by the words they end, and so
/// are not told apart here.
fn has_equal_letters(left: &str, right: &str) -> bool {
    let letters = |text: &str| -> String {
        let lower = text.to_lowercase().replace('ς', "σ");
        lower.chars().filter(|letter| !letter.is_whitespace()).collect()
    };
    letters(left) == letters(right)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().ok_or("usage: fuzz SECONDS [SEED]")?.parse()?;
    let seed: u64 = arguments.next().map_or(Ok(1), |seed| seed.parse())?;
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut pairs, mut long, mut with_cases) = (0_u64, 0_u64, 0_u64);
    while Instant::now() < end {
        let is_long = random.below(3_000) == 0;
        let (suspicious, source) = random.pair(is_long);
        let parameters = random.parameters();
        let aligner = Aligner::new(parameters.clone())?;
        let (left, right) = (PreparedText::new(&suspicious), PreparedText::new(&source));
        let found = aligner.align_roles(&left, &right);
        let failure = |what: String| format!("seed {seed}, pair {pairs}: {what}");
        let texts = [Cuttable::new(&suspicious), Cuttable::new(&source)];
        if let Some(what) = broken(&found, &texts[0], &texts[1], &parameters) {
            return Err(failure(what).into());
        }
        for (text, prepared) in texts.iter().zip([&left, &right]) {
            if prepared.sentences().any(|span| text.cut(span).is_none()) {
                return Err(failure("a sentence leaves its text".into()).into());
            }
        }
        if !is_long && found != aligner.align_roles(&left, &right) {
            return Err(failure("another result the second time".into()).into());
        }
        pairs += 1;
        long += u64::from(is_long);
        with_cases += u64::from(found.class != Class::None);
    }
    println!("{pairs} pairs, {long} of them of a megabyte, {with_cases} with cases");
    Ok(())
}
