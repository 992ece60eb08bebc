//! One figure with its interval in each row, names at the left: the plot for comparing many series at a glance.

use maud::{Markup, html};

use super::scale::ticks;
use super::{Look, Scale, TOP, Unit, WIDTH, line, marker, panel, text};
use crate::rates::Estimate;

/// Where the names end and the plotting area begins, at the least and at the most: as far as the longest name takes.
const AXIS: (f64, f64) = (108.0, 168.0);

/// Width of a letter of a name, about.
const LETTER: f64 = 6.6;

/// Where the plotting area ends and the figures stand.
const RIGHT: f64 = WIDTH - 36.0;

/// Height of a row.
const ROW: f64 = 20.0;

/// Rows of figures on one axis.
#[derive(Debug)]
pub struct DotPlot {
    /// What is shown, for those who cannot see it.
    pub title: String,
    /// What stands under the axis.
    pub axis: String,
    /// What the numbers are.
    pub unit: Unit,
    /// A value drawn from top to bottom, with its name.
    pub reference: Option<(String, f64)>,
    /// The rows, from top to bottom.
    pub rows: Vec<DotRow>,
}

/// One row.
#[derive(Debug)]
pub struct DotRow {
    /// Colour and shape.
    pub look: Look,
    /// Its name.
    pub label: String,
    /// The figure.
    pub estimate: Estimate,
    /// Whether it stands back: a learning rate that was not chosen.
    pub faint: bool,
}

impl DotPlot {
    /// The panel, or nothing where there is no row.
    pub fn draw(&self) -> Option<Markup> {
        let values: Vec<f64> = self
            .rows
            .iter()
            .flat_map(|row| {
                let ends = row
                    .estimate
                    .interval
                    .map(|interval| [interval.low, interval.high]);
                std::iter::once(row.estimate.value).chain(ends.into_iter().flatten())
            })
            .chain(self.reference.iter().map(|(_, value)| *value))
            .filter(|value| value.is_finite())
            .collect();
        let low = values.iter().copied().reduce(f64::min)?;
        let high = values.iter().copied().reduce(f64::max)?;
        let axis = self.axis_place();
        let across = Scale::round((low, high), (axis + 4.0, RIGHT - 4.0));
        let bottom = TOP + self.rows.len() as f64 * ROW + 6.0;
        let drawing = html! {
            @for tick in ticks(across.low, across.high, 4) {
                (line("grid", (across.place(tick), TOP), (across.place(tick), bottom)))
                (text("tick", across.place(tick), bottom + 15.0, "middle", &self.unit.show(tick)))
            }
            @if let Some((name, value)) = &self.reference {
                (line("reference", (across.place(*value), TOP - 2.0), (across.place(*value), bottom)))
                (text("tick", across.place(*value), TOP - 5.0, "middle", name))
            }
            @for (index, row) in self.rows.iter().enumerate() {
                (self.draw_row(row, &across, TOP + (index as f64 + 0.5) * ROW + 3.0))
            }
            (text("title", f64::midpoint(axis, RIGHT), bottom + 33.0, "middle", &self.axis))
        };
        Some(panel(&self.title, bottom + 42.0, &drawing))
    }

    fn axis_place(&self) -> f64 {
        let letters = self.rows.iter().map(|row| row.label.chars().count()).max();
        (letters.unwrap_or(0) as f64 * LETTER + 12.0).clamp(AXIS.0, AXIS.1)
    }

    fn draw_row(&self, row: &DotRow, across: &Scale, y: f64) -> Markup {
        let x = across.place(row.estimate.value);
        let class = if row.faint {
            format!("{} faint", row.look.class())
        } else {
            row.look.class()
        };
        let shown = self.unit.show(row.estimate.value);
        html! {
            g class=(class) {
                title {
                    (row.label) ": " (shown)
                    @if let Some(ends) = row.estimate.interval {
                        " (" (self.unit.show(ends.low)) " to " (self.unit.show(ends.high)) ")"
                    }
                }
                (text("name", self.axis_place() - 8.0, y + 4.0, "end", &row.label))
                @if let Some(ends) = row.estimate.interval {
                    (line("whisker", (across.place(ends.low), y), (across.place(ends.high), y)))
                }
                (marker(&row.look.mode, x, y, row.faint))
                (text("value", RIGHT + 6.0, y + 4.0, "start", &shown))
            }
        }
    }
}
