//! The pieces that the page is put together from: figures, tables, folded parts, headings that can be linked to.
//!
//! A figure is a view of a row of `summary.parquet`, and says of which: `<data class="f" value="ROW">`, counted from 0. Whoever
//! doubts the page can look each figure up, and a test does.

use maud::{Markup, html};

pub use page_parts::{Section, Severity, banner, contents, head, print_rule, visible};

use crate::estimate::figure::UnitOf;
use crate::estimate::{Estimate, Shown};
use crate::findings::{FigureOf, Part, Sentence};
use crate::format::{bounded, count, count_of, counted, number, number_interval, percent, percent_interval};
use crate::plot::{SeriesStyle, symbol};

/// A figure of the table of estimates, as the page shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The row of `summary.parquet`, counted from 0.
    pub row: usize,
    /// Which of the row's figures it is.
    pub of: FigureOf,
    /// The figure.
    pub estimate: Estimate,
}

/// The attribute that says which figure of its row is shown; none for the value.
fn attribute(of: FigureOf) -> Option<&'static str> {
    match of {
        FigureOf::Value => None,
        FigureOf::Untuned => Some("untuned"),
        FigureOf::Control => Some("control"),
    }
}

impl From<Shown<'_>> for Figure {
    fn from(shown: Shown<'_>) -> Self {
        Self {
            row: shown.number,
            of: FigureOf::Value,
            estimate: *shown.estimate(),
        }
    }
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A share, its count first: "21 of 26" and "81% (62–91%)".
    Count,
    /// A share: "81%" and "62–91%, 26 documents", with the name of the units.
    Rate,
    /// A whole number: "1234".
    Whole,
    /// A number with so many decimals: "4.93" and "4.81–5.05".
    Number(usize),
    /// A difference of shares in percentage points: "+81 points" and "62 to 91".
    Points,
}

impl Form {
    /// The form of figures with such a unit.
    pub fn of_unit(unit: &str) -> Self {
        match unit {
            "share" => Self::Count,
            "documents" | "canaries" | "generations" | "characters" | "count" | "passed" | "runs"
            | "tokens" => Self::Whole,
            "bits" | "epochs" => Self::Number(1),
            _ => Self::Number(2),
        }
    }
}

impl Figure {
    /// The untuned model's figure beside a row.
    pub fn untuned(shown: Shown<'_>) -> Option<Self> {
        Some(Self {
            row: shown.number,
            of: FigureOf::Untuned,
            estimate: shown.row.untuned?,
        })
    }

    /// The control beside a row.
    pub fn control(shown: Shown<'_>) -> Option<Self> {
        Some(Self {
            row: shown.number,
            of: FigureOf::Control,
            estimate: shown.row.control?,
        })
    }

    /// The figure without its interval: "21 of 26".
    pub fn main(&self, form: Form) -> String {
        let value = self.estimate.value;
        let text = match form {
            _ if value.is_nan() => return "not a number".to_owned(),
            Form::Count if self.is_counted() => count_of(&self.estimate),
            Form::Count | Form::Rate => percent(value),
            Form::Whole if value.fract() == 0.0 && value >= 0.0 => count(value as u64),
            Form::Whole => number(value, 1),
            Form::Number(decimals) => number(value, decimals),
            Form::Points => {
                let points = points(value);
                format!(
                    "{points} {}",
                    if points == "+1" || points == "−1" {
                        "point"
                    } else {
                        "points"
                    }
                )
            }
        };
        bounded(&self.estimate, text)
    }

    /// What stands beside it: "81% (62–91%)"; `None` where there is nothing to add.
    pub fn detail(&self, form: Form) -> Option<String> {
        let estimate = &self.estimate;
        if estimate.value.is_nan() {
            return None;
        }
        let ends = estimate.ends().map(|interval| match form {
            Form::Count | Form::Rate => percent_interval(interval),
            Form::Number(decimals) => number_interval(interval, decimals),
            Form::Whole => number_interval(interval, 1),
            Form::Points => format!("{} to {}", points(interval.low), points(interval.high)),
        });
        let units = format!("{} {}", count(estimate.n as u64), estimate.n_of);
        match form {
            Form::Count if self.is_counted() => Some(match ends {
                Some(ends) => format!("{} ({ends})", percent(estimate.value)),
                None => percent(estimate.value),
            }),
            Form::Count | Form::Rate => Some(match ends {
                Some(ends) => format!("{ends}, {units}"),
                None => units,
            }),
            Form::Number(_) | Form::Whole | Form::Points => ends,
        }
    }

    /// The figure with what stands beside it, as in a sentence: "21 of 26 (81%, 62–91%)".
    pub fn text(&self, form: Form) -> String {
        if form == Form::Count && self.is_counted() && !self.estimate.value.is_nan() {
            return counted(&self.estimate);
        }
        match self.detail(form) {
            Some(detail) => format!(
                "{} ({})",
                self.main(form),
                detail.replace(" (", ", ").replace(')', "")
            ),
            None => self.main(form),
        }
    }

    /// Whether the value is 0.
    pub fn is_zero(&self) -> bool {
        self.estimate.value == 0.0
    }

    /// Whether it has a count of its own: averages over several generations of a document need not be whole, and runs that are
    /// pooled have none.
    fn is_counted(&self) -> bool {
        let is_whole = self.estimate.k.is_some_and(|k| k >= 0.0 && k.fract() == 0.0);
        is_whole && self.estimate.n_of != UnitOf::Runs
    }
}

/// Percentage points with a sign.
fn points(share: f64) -> String {
    let text = number(share * 100.0, usize::from(share != 0.0 && share.abs() < 0.0995));
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if share > 0.0 && text != "0" {
        format!("+{text}")
    } else {
        text.to_owned()
    }
}

/// A figure: a text that shows a row of `summary.parquet`.
pub fn figure(text: &str, row: usize) -> Markup {
    html! { data class="f" value=(row) { (text) } }
}

/// A text that shows one of a row's figures.
pub fn figure_of(text: &str, row: usize, of: FigureOf) -> Markup {
    html! { data class="f" value=(row) data-of=[attribute(of)] { (text) } }
}

/// A sentence with its figures.
pub fn sentence(sentence: &Sentence) -> Markup {
    html! {
        @for part in &sentence.parts {
            @match part {
                Part::Text(text) => (code_in(text)),
                Part::Figure { row, of, text } => (figure_of(text, *row, *of)),
            }
        }
    }
}

/// A text in which names of settings, between backticks, are set as code.
pub fn code_in(text: &str) -> Markup {
    html! {
        @for (number, part) in text.split('`').enumerate() {
            @if number % 2 == 1 { code { (visible(part)) } } @else { (visible(part)) }
        }
    }
}

/// A figure in a sentence, with its interval.
pub fn inline(shown: &Figure, form: Form) -> Markup {
    figure_of(&shown.text(form), shown.row, shown.of)
}

/// A figure in a sentence, without its interval.
pub fn inline_main(shown: &Figure, form: Form) -> Markup {
    figure_of(&shown.main(form), shown.row, shown.of)
}

/// A figure in a cell of a table, its interval in a second line.
pub fn stacked(shown: &Figure, form: Form) -> Markup {
    html! {
        (inline_main(shown, form))
        @if let Some(detail) = shown.detail(form) { data class="f ci" value=(shown.row) data-of=[attribute(shown.of)] { (detail) } }
    }
}

/// What stands where nothing was measured, with the reason for everybody.
pub fn not_measured(why: &str) -> Markup {
    html! {
        span class="none" title=(why) { span aria-hidden="true" { "–" } span class="unseen" { "not measured: " (why) } }
    }
}

/// A name with the mark of its style: what a method is called wherever it occurs.
pub fn chip(style: SeriesStyle, label: &str) -> Markup {
    html! { span class="chip" { (symbol(style)) (visible(label)) } }
}

/// A part that is folded until it is asked for. Print shows it as it stands.
pub fn details(summary: &str, content: &Markup) -> Markup {
    html! { details { summary { (summary) } div class="folded" { (content) } } }
}

/// Terms with what they are.
pub fn definitions(entries: &[(Markup, Markup)]) -> Markup {
    html! {
        dl class="facts" {
            @for (term, meaning) in entries { div { dt { (term) } dd { (meaning) } } }
        }
    }
}

/// A table with a caption.
#[derive(Debug, Clone)]
pub struct Table {
    /// What it shows, of what.
    pub caption: String,
    /// The columns; the first one names the rows.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Row>,
    /// What becomes of it where there is little room.
    pub layout: Layout,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it means: a second line of its heading.
    pub help: Option<String>,
    /// The anchor of the glossary's entry on it.
    pub term: Option<&'static str>,
}

impl Column {
    /// A column whose name says it all.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            help: None,
            term: None,
        }
    }

    /// With a second line.
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    /// With a link to the glossary.
    pub fn with_term(self, anchor: &'static str) -> Self {
        Self {
            term: Some(anchor),
            ..self
        }
    }
}

/// A row.
#[derive(Debug, Clone)]
pub struct Row {
    /// What the row is about.
    pub head: Markup,
    /// A cell for each further column.
    pub cells: Vec<Cell>,
}

/// A cell.
#[derive(Debug, Clone)]
pub struct Cell {
    content: Markup,
    kind: CellKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CellKind {
    Value,
    Zero,
    NotMeasured,
}

impl Cell {
    /// Anything that is not a figure of the table of estimates.
    pub fn value(content: Markup) -> Self {
        Self {
            content,
            kind: CellKind::Value,
        }
    }

    /// A figure with its interval, or that and why it was not measured.
    pub fn shown(shown: Option<Figure>, form: Form, why_not: &str) -> Self {
        match shown {
            Some(shown) => Self {
                content: stacked(&shown, form),
                kind: if shown.is_zero() {
                    CellKind::Zero
                } else {
                    CellKind::Value
                },
            },
            None => Self::not_measured(why_not),
        }
    }

    /// Nothing, and why.
    pub fn not_measured(why: &str) -> Self {
        Self {
            content: not_measured(why),
            kind: CellKind::NotMeasured,
        }
    }
}

/// What becomes of a table where there is little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Each row becomes a card, its cells named by their columns.
    Cards,
    /// It scrolls sideways under the names of its rows, which stay.
    Scroll,
    /// It is narrow enough as it is.
    Plain,
}

impl Table {
    /// Without the columns in which every cell is 0 or not measured, and what was left out for being so.
    pub fn without_empty_columns(mut self) -> (Self, EmptyColumns) {
        let mut empty = EmptyColumns::default();
        let mut kept = vec![true];
        for (index, column) in self.columns.iter().enumerate().skip(1) {
            let mut kinds = self
                .rows
                .iter()
                .filter_map(|row| row.cells.get(index - 1))
                .map(|cell| cell.kind);
            let all = |kind| !self.rows.is_empty() && kinds.clone().all(|found| found == kind);
            let is_zero = all(CellKind::Zero);
            let is_missing = all(CellKind::NotMeasured);
            let is_both = !self.rows.is_empty() && kinds.all(|found| found != CellKind::Value);
            kept.push(!is_both);
            let name = match &column.help {
                Some(help) => format!("{}, {help}", column.name),
                None => column.name.clone(),
            };
            let left_out = if is_missing {
                &mut empty.not_measured
            } else {
                &mut empty.zero
            };
            if (is_missing || is_zero || is_both) && !left_out.contains(&name) {
                left_out.push(name);
            }
        }
        let keeps = |index: usize| kept.get(index).copied().unwrap_or(true);
        for row in &mut self.rows {
            let cells = std::mem::take(&mut row.cells);
            let cells = cells.into_iter().enumerate();
            row.cells = cells
                .filter(|(index, _)| keeps(index + 1))
                .map(|(_, cell)| cell)
                .collect();
        }
        let columns = std::mem::take(&mut self.columns).into_iter().enumerate();
        self.columns = columns
            .filter(|(index, _)| keeps(*index))
            .map(|(_, column)| column)
            .collect();
        (self, empty)
    }

    /// The table as HTML.
    pub fn render(&self) -> Markup {
        let class = match self.layout {
            Layout::Cards => "cards",
            Layout::Scroll => "wide",
            Layout::Plain => "plain",
        };
        // What is laid out as cards is no table to a browser any more, so that the roles are given there.
        let is_cards = self.layout == Layout::Cards;
        let role = |name: &'static str| is_cards.then_some(name);
        let table = html! {
            table class=(class) role=[role("table")] {
                caption { (self.caption) }
                thead role=[role("rowgroup")] { tr role=[role("row")] { @for (index, column) in self.columns.iter().enumerate() {
                    th scope="col" role=[role("columnheader")] class=[(index > 0).then_some("n")] { (heading(column)) }
                } } }
                tbody role=[role("rowgroup")] { @for row in &self.rows {
                    tr role=[role("row")] {
                        th scope="row" role=[role("rowheader")] { (row.head) }
                        @for (cell, column) in row.cells.iter().zip(self.columns.iter().skip(1)) {
                            td class="n" role=[role("cell")] data-label=[is_cards.then_some(column.name.as_str())] { (cell.content) }
                        }
                    }
                } }
            }
        };
        match self.layout {
            Layout::Scroll => {
                html! { div class="scroll" role="region" aria-label=(self.caption) tabindex="0" { (table) } }
            }
            Layout::Cards | Layout::Plain => table,
        }
    }
}

fn heading(column: &Column) -> Markup {
    html! {
        @match column.term {
            Some(anchor) => a class="term" href={ "#" (anchor) } { (column.name) },
            None => (column.name),
        }
        @if let Some(help) = &column.help { small { (help) } }
    }
}

/// Columns that had nothing to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmptyColumns {
    /// 0 in every row in which they were measured.
    pub zero: Vec<String>,
    /// Not measured in any row.
    pub not_measured: Vec<String>,
}

impl EmptyColumns {
    /// A line that says which columns were left out; nothing where none was.
    pub fn note(&self) -> Markup {
        html! {
            @if !self.zero.is_empty() { p class="note" { "Left out, as 0 in every row: " (self.zero.join("; ")) "." } }
            @if !self.not_measured.is_empty() { p class="note" { "Not measured in this run: " (self.not_measured.join("; ")) "." } }
        }
    }
}

/// A link to an entry of the glossary.
pub fn term(anchor: &str, text: &str) -> Markup {
    html! { a class="term" href={ "#" (anchor) } { (text) } }
}
