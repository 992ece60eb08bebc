//! Lines over a continuous axis: distributions, training curves, rates over the number of draws.

use maud::{Markup, html};

use super::scale::ticks;
use super::{
    BOTTOM, HEIGHT, LEFT, Look, Scale, TOP, Unit, WIDTH, end_labels, line, panel, polyline, text,
    vertical_axis,
};

/// Lines in one panel.
#[derive(Debug)]
pub struct LinePlot {
    /// What is shown, for those who cannot see it.
    pub title: String,
    /// What stands under the horizontal axis.
    pub axis: String,
    /// What the numbers on the vertical axis are.
    pub unit: Unit,
    /// Ends of the horizontal axis; without them, the lines' own.
    pub across: Option<(f64, f64)>,
    /// Ends of the vertical axis; without them, round values around the lines.
    pub up: Option<(f64, f64)>,
    /// Whether the horizontal axis holds powers of ten by their exponents.
    pub powers: bool,
    /// Values of the horizontal axis with a meaning, drawn from top to bottom.
    pub marks: Vec<f64>,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Debug)]
pub struct Line {
    /// Colour and dashes.
    pub look: Look,
    /// Its name; empty for none.
    pub label: String,
    /// Whether it stands back.
    pub faint: bool,
    /// Its points, by ascending x.
    pub points: Vec<(f64, f64)>,
}

impl LinePlot {
    /// The panel, or nothing where there is no point to draw.
    pub fn draw(&self) -> Option<Markup> {
        let points = || {
            self.lines
                .iter()
                .flat_map(|line| &line.points)
                .filter(|(x, y)| x.is_finite() && y.is_finite())
        };
        let span = |values: Vec<f64>| {
            Some((
                values.iter().copied().reduce(f64::min)?,
                values.iter().copied().reduce(f64::max)?,
            ))
        };
        let (found_across, found_up) = (
            span(points().map(|(x, _)| *x).collect())?,
            span(points().map(|(_, y)| *y).collect())?,
        );
        let named = self.lines.iter().any(|line| !line.label.is_empty());
        let right = if named { WIDTH - 72.0 } else { WIDTH - 14.0 };
        let across = Scale::new(self.across.unwrap_or(found_across), (LEFT, right));
        let up = self.up.map_or_else(
            || Scale::round(found_up, (BOTTOM, TOP)),
            |range| Scale::new(range, (BOTTOM, TOP)),
        );
        let ends: Vec<(Look, String, f64)> = self
            .lines
            .iter()
            .filter(|line| !line.label.is_empty())
            .filter_map(|line| {
                Some((
                    line.look.clone(),
                    line.label.clone(),
                    up.place(line.points.last()?.1),
                ))
            })
            .collect();
        let drawing = html! {
            (vertical_axis(&up, right, self.unit))
            (line("axis", (LEFT, BOTTOM), (right, BOTTOM)))
            @for tick in ticks(across.low, across.high, 6) {
                (line("axis", (across.place(tick), BOTTOM), (across.place(tick), BOTTOM + 4.0)))
                (text("tick", across.place(tick), BOTTOM + 16.0, "middle", &self.horizontal_label(tick)))
            }
            @for mark in &self.marks {
                (line("break", (across.place(*mark), TOP), (across.place(*mark), BOTTOM)))
            }
            @for one in &self.lines {
                @let places: Vec<(f64, f64)> = one.points.iter().map(|(x, y)| (across.place(*x), up.place(*y))).collect();
                g class=(one.look.class()) {
                    (polyline(if one.faint { "line thin" } else { "line" }, &places, one.look.dashes()))
                }
            }
            (end_labels(&ends, right + 4.0))
            (text("title", f64::midpoint(LEFT, right), BOTTOM + 34.0, "middle", &self.axis))
        };
        Some(panel(&self.title, HEIGHT, &drawing))
    }

    fn horizontal_label(&self, tick: f64) -> String {
        if self.powers {
            return match tick as i64 {
                exponent @ 0..=3 => 10_i64.pow(exponent as u32).to_string(),
                exponent => format!("10{}", superscript(exponent)),
            };
        }
        let text = format!("{tick:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

fn superscript(exponent: i64) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    exponent
        .to_string()
        .bytes()
        .filter_map(|digit| DIGITS.get(usize::from(digit.wrapping_sub(b'0'))))
        .collect()
}
