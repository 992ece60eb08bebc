//! `report.md`: the verdict and the main table of each model, corpus and layout, for a model card or a change under review.

use std::fmt::Write;

use crate::estimate::Estimates;
use crate::findings::answer;
use crate::terminal;

/// The text, which holds no text of the corpus.
pub fn text(name: &str, estimates: &Estimates<'_>) -> String {
    let mut text = format!("# {}\n", escaped(name));
    for experiment in &estimates.experiments {
        let _ = writeln!(text, "\n## {}\n", escaped(&experiment.name()));
        if let Some(strongest) = answer(estimates, experiment).models.first() {
            let _ = writeln!(text, "{}\n", escaped(&strongest.to_string()));
        }
        let rows = terminal::rows(estimates, experiment);
        for (number, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
            if number == 0 {
                let _ = writeln!(text, "|{}", " --- |".repeat(row.len()));
            }
        }
        let _ = writeln!(text, "\n{}", escaped(&terminal::legend(estimates, experiment)));
    }
    if let Some(failed) = terminal::failed_checks(estimates) {
        let lines: Vec<String> = failed.lines().map(escaped).collect();
        let _ = writeln!(text, "\n{}", lines.join("\n- "));
    }
    text
}

/// Text in which nothing means anything to Markdown, on one line.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in page_parts::visible(text).chars() {
        match letter {
            '\n' | '\r' => escaped.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '&' | '~' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}
