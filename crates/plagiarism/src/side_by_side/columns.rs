//! Two texts in two columns of a terminal.

use std::fmt::Write as _;

use unicode_segmentation::UnicodeSegmentation;

use super::Comparison;
use super::marks::Segment;

/// Narrower columns show nothing of use.
const MIN_COLUMN: usize = 20;

/// Background colours of passages, by number in turns: entries of the 256-colour palette on which black can be read.
const COLOURS: [u8; 6] = [222, 153, 157, 218, 183, 159];

/// How passages are marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marking {
    /// By the colour of the ground.
    Colours,
    /// By numbered brackets, `[1|` and `|1]`.
    Brackets,
}

/// The layout.
#[derive(Debug, Clone, Copy)]
pub struct Columns {
    /// Characters in a line, both columns and the rule between them.
    pub width: usize,
    /// How passages are marked.
    pub marking: Marking,
}

/// What takes one place, or two, in a line and is never broken.
struct Cell {
    letters: String,
    width: usize,
    /// The first of the passages it lies in.
    passage: Option<usize>,
    is_space: bool,
    ends_line: bool,
}

impl Columns {
    /// Both texts, the generation on the left.
    pub fn show(self, comparison: &Comparison) -> String {
        let column = self.width.saturating_sub(3).max(2 * MIN_COLUMN) / 2;
        let lines = |title: String, segments: &[Segment]| {
            let title = vec![cells_of(&title, None), Vec::new()];
            let body = wrap(self.cells(segments), column);
            title
                .into_iter()
                .flat_map(|line| {
                    if line.is_empty() {
                        vec![line]
                    } else {
                        wrap(line, column)
                    }
                })
                .chain(body)
                .collect::<Vec<_>>()
        };
        let generation = lines(
            format!("generation {}", comparison.generation.0.display()),
            &comparison.generation_segments(),
        );
        let document = lines(
            format!("document {}", comparison.document.0.display()),
            &comparison.document_segments(),
        );
        let mut shown = String::new();
        let nothing = Vec::new();
        for number in 0..generation.len().max(document.len()) {
            let left = generation.get(number).unwrap_or(&nothing);
            let right = document.get(number).unwrap_or(&nothing);
            self.write_line(&mut shown, left);
            let used: usize = left.iter().map(|cell| cell.width).sum();
            let _ = write!(shown, "{:1$} │ ", "", column.saturating_sub(used));
            self.write_line(&mut shown, right);
            shown.truncate(shown.trim_end_matches(' ').len());
            shown.push('\n');
        }
        shown
    }

    fn cells(self, segments: &[Segment]) -> Vec<Cell> {
        let mut cells = Vec::new();
        for segment in segments {
            let passage = segment.passages.first().copied();
            if self.marking == Marking::Brackets {
                let opening = segment.starting.iter().map(|index| format!("[{}|", index + 1));
                cells.extend(opening.map(|bracket| bracket_cell(bracket, passage)));
            }
            cells.extend(cells_of(segment.text, passage));
            if self.marking == Marking::Brackets {
                let closing = segment.ending.iter().map(|index| format!("|{}]", index + 1));
                cells.extend(closing.map(|bracket| bracket_cell(bracket, passage)));
            }
        }
        cells
    }

    fn write_line(self, shown: &mut String, line: &[Cell]) {
        for run in line.chunk_by(|a, b| a.passage == b.passage) {
            let colour = run
                .first()
                .and_then(|cell| cell.passage)
                .filter(|_| self.marking == Marking::Colours)
                .map(|passage| COLOURS[passage % COLOURS.len()]);
            if let Some(colour) = colour {
                let _ = write!(shown, "\u{1b}[30;48;5;{colour}m");
            }
            shown.extend(run.iter().map(|cell| cell.letters.as_str()));
            if colour.is_some() {
                shown.push_str("\u{1b}[0m");
            }
        }
    }
}

fn bracket_cell(letters: String, passage: Option<usize>) -> Cell {
    Cell {
        width: letters.len(),
        letters,
        passage,
        is_space: false,
        ends_line: false,
    }
}

fn cells_of(text: &str, passage: Option<usize>) -> Vec<Cell> {
    text.graphemes(true)
        .map(|grapheme| {
            let is_space = grapheme.chars().all(char::is_whitespace);
            let letters = if is_space {
                " ".to_owned()
            } else {
                grapheme.chars().map(shown).collect()
            };
            Cell {
                width: if is_wide(grapheme) { 2 } else { 1 },
                letters,
                passage,
                is_space,
                ends_line: matches!(
                    grapheme,
                    "\n" | "\r\n" | "\r" | "\u{2028}" | "\u{2029}" | "\u{85}"
                ),
            }
        })
        .collect()
}

/// The character itself, or a sign in place of one that would command the terminal or turn the line around.
fn shown(character: char) -> char {
    match character {
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        control if control.is_control() => '\u{fffd}',
        other => other,
    }
}

/// Whether terminals give it two places: East Asian scripts and emoji, roughly (Unicode Standard Annex 11 has it exactly).
fn is_wide(grapheme: &str) -> bool {
    grapheme.chars().next().is_some_and(|first| {
        matches!(first,
            '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}'
            | '\u{1f300}'..='\u{1f64f}' | '\u{1f680}'..='\u{1f6ff}' | '\u{1f900}'..='\u{1faff}'
            | '\u{20000}'..='\u{3fffd}')
    })
}

/// Breaks lines at white space, or within a word that is longer than a line.
fn wrap(cells: Vec<Cell>, width: usize) -> Vec<Vec<Cell>> {
    let mut lines = Vec::new();
    let mut line: Vec<Cell> = Vec::new();
    let mut used = 0;
    for cell in cells {
        if cell.ends_line {
            lines.push(std::mem::take(&mut line));
            used = 0;
            continue;
        }
        if used + cell.width > width && !line.is_empty() {
            if cell.is_space {
                lines.push(std::mem::take(&mut line));
                used = 0;
                continue;
            }
            let rest = match line.iter().rposition(|cell| cell.is_space) {
                Some(space) => line.split_off(space + 1),
                None => Vec::new(),
            };
            lines.push(std::mem::replace(&mut line, rest));
            used = line.iter().map(|cell| cell.width).sum();
        }
        used += cell.width;
        line.push(cell);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, width: usize) -> Vec<String> {
        wrap(cells_of(text, None), width)
            .iter()
            .map(|line| line.iter().map(|cell| cell.letters.as_str()).collect())
            .collect()
    }

    #[test]
    fn lines_break_at_white_space_and_long_words_anywhere() {
        assert_eq!(lines("lamp zinc moon", 9), ["lamp zinc", "moon"]);
        assert_eq!(lines("lamp zinc moon", 8), ["lamp ", "zinc ", "moon"]);
        assert_eq!(lines("lamplight", 4), ["lamp", "ligh", "t"]);
        assert_eq!(lines("a\n\nb", 4), ["a", "", "b"]);
        assert_eq!(lines("漢字仮名", 4), ["漢字", "仮名"]);
    }

    #[test]
    fn nothing_in_a_text_commands_the_terminal() {
        assert_eq!(
            lines("\u{1b}[2J\0\u{202e}a\tb", 20),
            ["\u{fffd}[2J\u{fffd}\u{fffd}a b"]
        );
    }
}
