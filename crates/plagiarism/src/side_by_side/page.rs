//! Two texts on a page of their own, without anything to fetch.

use std::fmt::Write as _;

use super::Comparison;
use super::marks::Segment;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem;color:#1d1d1f;background:#fff}\
main{display:grid;grid-template-columns:1fr 1fr;gap:2rem}\
section{overflow-wrap:anywhere;white-space:pre-wrap;unicode-bidi:plaintext}\
h2{font-size:1rem;margin:0 0 .5rem}table{border-collapse:collapse;margin-top:1rem}\
td,th{padding:.2rem 1rem .2rem 0;text-align:right;font-variant-numeric:tabular-nums}\
mark{color:inherit;border-radius:.2em}sup{font-size:.7em;font-weight:600}\
.p0{background:#ffe2a8}.p1{background:#bcdcff}.p2{background:#c4f0c0}.p3{background:#ffcfe0}.p4{background:#e0cffc}.p5{background:#bff0ee}";

/// Number of background colours in [`STYLE`], which passages take in turns.
const COLOURS: usize = 6;

/// The page. Nothing of the texts is taken for markup.
pub fn page(comparison: &Comparison) -> String {
    let column = |role: &str, file: &std::path::Path, segments: &[Segment]| {
        let name = escape(&file.display().to_string());
        format!(
            "<div><h2>{role} {name}</h2><section>{}</section></div>\n",
            marked(segments)
        )
    };
    let mut rows = String::new();
    for (number, passage) in (1..).zip(&comparison.passages) {
        let _ = writeln!(
            rows,
            "<tr><td>{number}</td><td>{}–{}</td><td>{}–{}</td><td>{:.3}</td></tr>",
            passage.generated.start,
            passage.generated.end,
            passage.document.start,
            passage.document.end,
            passage.similarity
        );
    }
    let table = if rows.is_empty() {
        String::new()
    } else {
        format!(
            "<table>\n<tr><th>passage</th><th>generation</th><th>document</th><th>similarity</th></tr>\n{rows}</table>\n"
        )
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Passages in common</title>\n\
         <style>{STYLE}</style>\n<p>Class: <b>{}</b> · {}</p>\n<main>\n{}{}</main>\n{table}</html>\n",
        escape(comparison.class()),
        escape(&comparison.settings),
        column(
            "Generation",
            &comparison.generation.0,
            &comparison.generation_segments()
        ),
        column(
            "Document",
            &comparison.document.0,
            &comparison.document_segments()
        ),
    )
}

fn marked(segments: &[Segment]) -> String {
    let mut shown = String::new();
    for segment in segments {
        let text = escape(segment.text);
        let Some(first) = segment.passages.first() else {
            shown.push_str(&text);
            continue;
        };
        let numbers: Vec<String> = segment
            .starting
            .iter()
            .map(|index| (index + 1).to_string())
            .collect();
        let label = if numbers.is_empty() {
            String::new()
        } else {
            format!("<sup>{}</sup>", numbers.join(","))
        };
        let _ = write!(shown, "<mark class=\"p{}\">{label}{text}</mark>", first % COLOURS);
    }
    shown
}

/// The text with what HTML gives a meaning written as references; NUL, which no page may hold, as a sign.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\0' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}
