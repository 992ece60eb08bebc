//! A measure against the number of copies, with its floor at the left end: the dose and its answer.

use maud::{Markup, html};

use super::{
    BOTTOM, HEIGHT, LEFT, Look, Scale, TOP, Unit, WIDTH, at, end_labels, line, marker, panel, polyline, text,
    vertical_axis,
};
use crate::format::times;
use crate::rates::Estimate;

/// Room for names at the ends of the lines.
const RIGHT: f64 = WIDTH - 72.0;

/// Where the floor stands.
const UNSEEN: f64 = LEFT + 30.0;

/// Where the smallest number of copies stands beside the floor, and where it does without.
const FIRST: f64 = LEFT + 86.0;
const FIRST_ALONE: f64 = LEFT + 24.0;

/// Shift between modes at the same number of copies, so that intervals don't hide each other.
const DODGE: f64 = 5.0;

/// Lines over copies.
#[derive(Debug)]
pub struct DosePlot {
    /// What is shown, for those who cannot see it.
    pub title: String,
    /// What the numbers on the vertical axis are.
    pub unit: Unit,
    /// Ends of the vertical axis; without them, round values around all intervals.
    pub range: Option<(f64, f64)>,
    /// Values with a meaning of their own, drawn across: chance, the highest that can be measured.
    pub references: Vec<(String, f64)>,
    /// What stands left of the dashed line: "never seen", "control".
    pub left: &'static str,
    /// The lines; the untuned model's is drawn as a band.
    pub lines: Vec<DoseLine>,
}

/// One line.
#[derive(Debug)]
pub struct DoseLine {
    /// Colour and dashes.
    pub look: Look,
    /// Its name.
    pub label: String,
    /// The measure's floor: on documents of no training set, or the control.
    pub unseen: Option<Estimate>,
    /// Copies and the measure there, ascending.
    pub points: Vec<(i32, Estimate)>,
}

impl DosePlot {
    /// The panel, or nothing where there is no point to draw.
    pub fn draw(&self) -> Option<Markup> {
        let copies: Vec<f64> = self
            .lines
            .iter()
            .flat_map(|line| &line.points)
            .map(|(copies, _)| f64::from(*copies).log2())
            .collect();
        let bounds = (least(&copies)?, greatest(&copies)?);
        let across = Scale::new(bounds, (self.first(), RIGHT - 16.0));
        let up = self.vertical_scale();
        let drawing = html! {
            (vertical_axis(&up, RIGHT, self.unit))
            (self.horizontal_axis(&across))
            @for (name, value) in &self.references {
                (line("reference", (LEFT, up.place(*value)), (RIGHT, up.place(*value))))
                (text("tick", LEFT + 4.0, up.place(*value) - 4.0, "start", name))
            }
            @for (index, dose) in self.lines.iter().enumerate() {
                (self.draw_line(dose, &across, &up, self.dodge(index)))
            }
            (end_labels(&self.ends(&up), RIGHT + 4.0))
        };
        Some(panel(&self.title, HEIGHT, &drawing))
    }

    fn first(&self) -> f64 {
        if self.lines.iter().any(|line| line.unseen.is_some()) {
            FIRST
        } else {
            FIRST_ALONE
        }
    }

    fn vertical_scale(&self) -> Scale {
        let places = (BOTTOM, TOP);
        if let Some(range) = self.range {
            return Scale::new(range, places);
        }
        let estimates = self.lines.iter().flat_map(|line| {
            line.points
                .iter()
                .map(|(_, estimate)| estimate)
                .chain(&line.unseen)
        });
        let values: Vec<f64> = estimates
            .flat_map(|estimate| {
                let ends = estimate
                    .interval
                    .map_or([estimate.value; 2], |interval| [interval.low, interval.high]);
                [estimate.value, ends[0], ends[1]]
            })
            .chain(self.references.iter().map(|(_, value)| *value))
            .filter(|value| value.is_finite())
            .collect();
        Scale::round(
            (least(&values).unwrap_or(0.0), greatest(&values).unwrap_or(1.0)),
            places,
        )
    }

    fn horizontal_axis(&self, across: &Scale) -> Markup {
        let mut copies: Vec<i32> = self
            .lines
            .iter()
            .flat_map(|line| &line.points)
            .map(|(copies, _)| *copies)
            .collect();
        copies.sort_unstable();
        copies.dedup();
        html! {
            (line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM)))
            @if self.first() == FIRST {
                (text("tick", UNSEEN, BOTTOM + 16.0, "middle", self.left))
                (line("break", (FIRST - 22.0, TOP), (FIRST - 22.0, BOTTOM)))
            }
            @for copies in copies {
                @let x = across.place(f64::from(copies).log2());
                (line("axis", (x, BOTTOM), (x, BOTTOM + 4.0)))
                (text("tick", x, BOTTOM + 16.0, "middle", &copies.to_string()))
            }
            (text("title", f64::midpoint(self.first(), RIGHT - 16.0), BOTTOM + 34.0, "middle", "copies in the training text"))
        }
    }

    /// The untuned model stays in its place; the others share the room around it.
    fn dodge(&self, index: usize) -> f64 {
        if self.lines[index].look.mode == "base" {
            return 0.0;
        }
        let tuned = self.lines.iter().filter(|line| line.look.mode != "base").count();
        let rank = self.lines[..index]
            .iter()
            .filter(|line| line.look.mode != "base")
            .count();
        (rank as f64 - (tuned as f64 - 1.0) / 2.0) * DODGE
    }

    fn draw_line(&self, dose: &DoseLine, across: &Scale, up: &Scale, dodge: f64) -> Markup {
        let place = |copies: i32| across.place(f64::from(copies).log2()) + dodge;
        let points: Vec<(f64, f64)> = dose
            .points
            .iter()
            .map(|(copies, estimate)| (place(*copies), up.place(estimate.value)))
            .collect();
        let is_base = dose.look.mode == "base";
        html! {
            g class=(dose.look.class()) {
                @if is_base && let Some(band) = band(dose, up, place) { path class="band" d=(band) {} }
                (polyline("line", &points, dose.look.dashes()))
                @for ((copies, estimate), (x, y)) in dose.points.iter().zip(&points) {
                    (self.draw_point(dose, estimate, (*x, *y), up, &format!("{} in the training text", times(*copies))))
                }
                @if let Some(unseen) = &dose.unseen {
                    (self.draw_point(dose, unseen, (UNSEEN + dodge, up.place(unseen.value)), up, self.left))
                }
            }
        }
    }

    fn draw_point(
        &self,
        dose: &DoseLine,
        estimate: &Estimate,
        (x, y): (f64, f64),
        up: &Scale,
        place: &str,
    ) -> Markup {
        let interval = estimate.interval;
        let shown = self.unit.show(estimate.value);
        let ends = interval.map_or(String::new(), |ends| {
            format!(" ({} to {})", self.unit.show(ends.low), self.unit.show(ends.high))
        });
        html! {
            g {
                title { (dose.label) ", " (place) ": " (shown) (ends) ", " (estimate.documents) " documents" }
                @if let Some(ends) = interval {
                    (line("whisker", (x, up.place(ends.low)), (x, up.place(ends.high))))
                }
                (marker(&dose.look.mode, x, y, false))
            }
        }
    }

    fn ends(&self, up: &Scale) -> Vec<(Look, String, f64)> {
        self.lines
            .iter()
            .filter_map(|line| {
                let (_, last) = line.points.last()?;
                Some((line.look.clone(), line.label.clone(), up.place(last.value)))
            })
            .collect()
    }
}

/// The area between the ends of the intervals.
fn band(dose: &DoseLine, up: &Scale, place: impl Fn(i32) -> f64) -> Option<String> {
    let ends: Vec<(f64, f64, f64)> = dose
        .points
        .iter()
        .filter_map(|(copies, estimate)| {
            let interval = estimate.interval?;
            Some((place(*copies), up.place(interval.low), up.place(interval.high)))
        })
        .collect();
    if ends.len() < 2 {
        return None;
    }
    let over = ends
        .iter()
        .map(|(x, _, high)| format!("{} {}", at(*x), at(*high)));
    let under = ends
        .iter()
        .rev()
        .map(|(x, low, _)| format!("{} {}", at(*x), at(*low)));
    Some(format!("M{}Z", over.chain(under).collect::<Vec<_>>().join("L")))
}

fn least(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(f64::min)
}

fn greatest(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(f64::max)
}
