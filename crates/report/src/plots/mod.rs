//! Plots as inline SVG: no script, no font of their own, colours from the page's style sheet.
//!
//! Every plot is a panel of the same width, drawn to be read at 320 to 480 pixels, so that a phone shows one beside
//! nothing and a desk several side by side without any text changing its size. Lines carry their names at their ends;
//! every mark tells its figures when pointed at.

pub mod dose;
pub mod dots;
pub mod lines;
pub mod scatter;

mod scale;

pub use dose::DosePlot;
pub use dots::DotPlot;
pub use lines::LinePlot;
pub use scatter::ScatterPlot;

use maud::{Markup, html};

use crate::format::{number, percent};
use scale::{Scale, spread, ticks};

/// Width of a panel, in units of about a pixel.
const WIDTH: f64 = 352.0;

/// Height of a panel with two axes.
const HEIGHT: f64 = 240.0;

/// The plotting area of a panel with two axes.
const LEFT: f64 = 40.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 42.0;

/// What the numbers on an axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Shares, shown as percentages.
    Share,
    /// Plain numbers to so many decimals.
    Number(usize),
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Share => percent(value),
            Self::Number(decimals) => number(value, decimals),
        }
    }
}

/// The look of a mode: the class that carries its colour, and which of several lines of that colour it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// `base`, `full`, `head`, `lora`, or another mode's name.
    pub mode: String,
    /// 0 is drawn solid, further ones dashed.
    pub dash: usize,
}

impl Look {
    /// The class that carries the mode's colour.
    pub fn class(&self) -> String {
        mode_class(&self.mode).to_owned()
    }

    fn dashes(&self) -> Option<&'static str> {
        match self.dash {
            0 => None,
            1 => Some("7 3"),
            2 => Some("2 3"),
            _ => Some("9 3 2 3"),
        }
    }
}

/// The class that carries a mode's colour.
pub fn mode_class(mode: &str) -> &'static str {
    match mode {
        "base" => "m-base",
        "full" => "m-full",
        "head" => "m-head",
        "lora" => "m-lora",
        _ => "m-other",
    }
}

/// A mark at a point: each mode has its own shape, so that colour is not needed to tell them apart.
fn marker(mode: &str, x: f64, y: f64, hollow: bool) -> Markup {
    let class = if hollow { "mark hollow" } else { "mark" };
    match mode {
        "head" => html! { rect class=(class) x=(at(x - 3.8)) y=(at(y - 3.8)) width="7.6" height="7.6" {} },
        "lora" => {
            let path = format!("M{} {}l5 5l-5 5l-5 -5z", at(x), at(y - 5.0));
            html! { path class=(class) d=(path) {} }
        }
        "base" => {
            let path = format!("M{} {}h9M{} {}v9", at(x - 4.5), at(y), at(x), at(y - 4.5));
            html! { path class="cross" d=(path) {} }
        }
        _ => html! { circle class=(class) cx=(at(x)) cy=(at(y)) r="4.2" {} },
    }
}

/// A coordinate to a tenth of a unit.
fn at(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn line(class: &str, from: (f64, f64), to: (f64, f64)) -> Markup {
    html! { line class=(class) x1=(at(from.0)) y1=(at(from.1)) x2=(at(to.0)) y2=(at(to.1)) {} }
}

fn polyline(class: &str, points: &[(f64, f64)], dashes: Option<&str>) -> Markup {
    let points: Vec<String> = points
        .iter()
        .map(|&(x, y)| format!("{},{}", at(x), at(y)))
        .collect();
    html! { polyline class=(class) points=(points.join(" ")) stroke-dasharray=[dashes] {} }
}

fn text(class: &str, x: f64, y: f64, anchor: &str, content: &str) -> Markup {
    html! { text class=(class) x=(at(x)) y=(at(y)) text-anchor=(anchor) { (content) } }
}

/// A panel: the drawing with its title for those who cannot see it.
fn panel(title: &str, height: f64, content: &Markup) -> Markup {
    html! {
        svg class="plot" viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(title) {
            (content)
        }
    }
}

/// Horizontal grid lines with their figures.
fn vertical_axis(scale: &Scale, right: f64, unit: Unit) -> Markup {
    html! {
        @for tick in ticks(scale.low, scale.high, 5) {
            (line("grid", (LEFT, scale.place(tick)), (right, scale.place(tick))))
            (text("tick", LEFT - 6.0, scale.place(tick) + 3.8, "end", &unit.show(tick)))
        }
    }
}

/// Names at the ends of lines, moved apart where they would overlap.
fn end_labels(ends: &[(Look, String, f64)], x: f64) -> Markup {
    let places = spread(
        &ends.iter().map(|(.., y)| *y).collect::<Vec<_>>(),
        13.0,
        (TOP, BOTTOM),
    );
    html! {
        @for ((look, label, _), y) in ends.iter().zip(places) {
            g class=(look.class()) { (text("name", x, y + 4.0, "start", label)) }
        }
    }
}

/// The least round share at or over the highest one shown, so that plots side by side can have one axis.
pub fn round_share(highest: f64) -> f64 {
    [0.05, 0.1, 0.2, 0.4, 0.6, 0.8]
        .into_iter()
        .find(|&round| highest <= round)
        .unwrap_or(1.0)
}
