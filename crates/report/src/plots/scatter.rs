//! Memorization against held-out loss: what each learning rate costs and what it leaks.

use maud::{Markup, html};

use super::scale::ticks;
use super::{
    BOTTOM, HEIGHT, LEFT, Look, Scale, TOP, Unit, WIDTH, end_labels, line, marker, panel, polyline, text,
    vertical_axis,
};
use crate::rates::Estimate;

const RIGHT: f64 = WIDTH - 72.0;

/// Sweeps in the plane of two measures.
#[derive(Debug)]
pub struct ScatterPlot {
    /// What is shown, for those who cannot see it.
    pub title: String,
    /// What stands under the horizontal axis.
    pub axis: String,
    /// Upper end of the vertical axis, a share.
    pub highest: f64,
    /// The sweeps.
    pub sweeps: Vec<Sweep>,
}

/// One way of tuning over its learning rates.
#[derive(Debug)]
pub struct Sweep {
    /// Colour and shape.
    pub look: Look,
    /// Its name.
    pub label: String,
    /// The points in the order of the learning rates.
    pub points: Vec<SweepMark>,
}

/// One learning rate.
#[derive(Debug)]
pub struct SweepMark {
    /// The learning rate's name; empty for the untuned model.
    pub rate: String,
    /// Held-out loss.
    pub loss: Estimate,
    /// Memorization.
    pub memorization: Estimate,
    /// Whether this is the one that stands for the mode elsewhere.
    pub chosen: bool,
}

impl ScatterPlot {
    /// The panel, or nothing where there is no point to draw.
    pub fn draw(&self) -> Option<Markup> {
        let losses: Vec<f64> = self
            .sweeps
            .iter()
            .flat_map(|sweep| &sweep.points)
            .map(|point| point.loss.value)
            .filter(|loss| loss.is_finite())
            .collect();
        let low = losses.iter().copied().reduce(f64::min)?;
        let high = losses.iter().copied().reduce(f64::max)?;
        let across = Scale::round((low, high), (LEFT + 8.0, RIGHT - 8.0));
        let up = Scale::new((0.0, self.highest), (BOTTOM, TOP));
        let ends: Vec<(Look, String, f64)> = self
            .sweeps
            .iter()
            .filter_map(|sweep| {
                let named = sweep
                    .points
                    .iter()
                    .max_by(|left, right| left.loss.value.total_cmp(&right.loss.value))?;
                Some((
                    sweep.look.clone(),
                    sweep.label.clone(),
                    up.place(named.memorization.value),
                ))
            })
            .collect();
        let drawing = html! {
            (vertical_axis(&up, RIGHT, Unit::Share))
            (line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM)))
            @for tick in ticks(across.low, across.high, 5) {
                (line("axis", (across.place(tick), BOTTOM), (across.place(tick), BOTTOM + 4.0)))
                (text("tick", across.place(tick), BOTTOM + 16.0, "middle", &format!("{tick:.1}")))
            }
            @for sweep in &self.sweeps { (draw_sweep(sweep, &across, &up)) }
            (end_labels(&ends, RIGHT + 4.0))
            (text("title", f64::midpoint(LEFT, RIGHT), BOTTOM + 34.0, "middle", &self.axis))
        };
        Some(panel(&self.title, HEIGHT, &drawing))
    }
}

fn draw_sweep(sweep: &Sweep, across: &Scale, up: &Scale) -> Markup {
    let places: Vec<(f64, f64)> = sweep
        .points
        .iter()
        .map(|point| (across.place(point.loss.value), up.place(point.memorization.value)))
        .collect();
    html! {
        g class=(sweep.look.class()) {
            (polyline("line thin", &places, sweep.look.dashes()))
            @for (point, (x, y)) in sweep.points.iter().zip(&places) {
                g {
                    title {
                        (sweep.label) " " (point.rate) ": loss " (Unit::Number(2).show(point.loss.value)) ", "
                        (Unit::Share.show(point.memorization.value))
                    }
                    @if let Some(ends) = point.memorization.interval {
                        (line("whisker", (*x, up.place(ends.low)), (*x, up.place(ends.high))))
                    }
                    (marker(&sweep.look.mode, *x, *y, !point.chosen))
                    @if sweep.points.len() > 1 {
                        @let (aside, anchor) = if sweep.look.mode == "lora" { (-7.0, "end") } else { (7.0, "start") };
                        (text("rate", *x + aside, *y - 6.0, anchor, &point.rate))
                    }
                }
            }
        }
    }
}
