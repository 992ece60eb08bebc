//! The plot of the page: series of points in the plane of two measures, as inline SVG without script.
//!
//! There is one kind of plot, [`Plot`]. A series has points with intervals, a line through them or a band around them;
//! references are lines across. Series are named beside the plot, at the height of their last point where there is room.
//! More than [`MAX_TOGETHER`] of them stand in panels of their own, all with the same axes. Under each plot stand its figures as
//! a table, so that nothing is to be had by eye or by pointer alone.

mod marks;
mod scale;
mod style;

use maud::{Markup, html};

pub use marks::symbol;
pub use scale::ScaleKind;
pub use style::SeriesStyle;

use crate::findings::Sentence;
use crate::page::components::{Cell, Column, Layout, Row, Table, details, figure, sentence};
use marks::{Place, at, band, line, marker, polyline, text, whisker};
use scale::{Scale, Tick, spread};

/// Panels of a plot that anybody looks through; of more the table is shown alone.
const MAX_PANELS: usize = 30;

/// Series that share one panel; of more, each has its own.
pub const MAX_TOGETHER: usize = 5;

/// Width of a plot, in units of about a pixel on a phone.
const WIDTH: f64 = 352.0;

/// Height of the plotting area.
const AREA: f64 = 186.0;

/// Width and height of the plotting area of one panel of several.
const PANEL_WIDTH: f64 = 236.0;
const PANEL_AREA: f64 = 120.0;

/// Width of a character of a label, on the safe side of the fonts that the page asks for.
const CHARACTER: f64 = 6.7;

/// Height of a line of text.
const LINE: f64 = 14.0;

/// Most characters of a line of a series' name.
const NAME_CHARACTERS: usize = 16;

/// Most characters of a line of the title of a panel.
const TITLE_CHARACTERS: usize = 30;

/// Shift between series at the same value, so that they do not hide each other.
const DODGE: f64 = 7.0;

/// Room for the aside left of the axis.
const ASIDE: f64 = 54.0;

/// A plot of some series.
#[derive(Debug, Clone, Default)]
pub struct Plot {
    /// Identity on the page; letters, digits and hyphens.
    pub id: String,
    /// What the plot shows, as a sentence: the finding, not the axes.
    pub finding: Sentence,
    /// What is drawn, and against what.
    pub caption: String,
    /// The horizontal axis.
    pub across: Axis,
    /// The vertical axis.
    pub up: Axis,
    /// Lines across the whole plot.
    pub references: Vec<Reference>,
    /// The series.
    pub series: Vec<Series>,
}

/// An axis.
#[derive(Debug, Clone, Default)]
pub struct Axis {
    /// What is measured, with its unit.
    pub label: String,
    /// How values lie along it.
    pub scale: ScaleKind,
    /// How values are written.
    pub unit: Unit,
    /// Whether a linear axis begins at 0.
    pub from_zero: bool,
    /// Whether ticks stand at the values of the points, where these are few. Series at the same value are then drawn beside each
    /// other.
    pub ticks_at_values: bool,
    /// Of a horizontal axis, the name of the place left of it, for points without a value: "not trained on".
    pub aside: Option<String>,
}

/// How the values of an axis are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// As they are.
    #[default]
    Number,
    /// Shares, as percentages.
    Share,
}

/// A line across the plot at a value with a meaning of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The axis on which the value lies.
    pub axis: Along,
    /// The value.
    pub value: f64,
    /// What it is.
    pub label: String,
}

/// One of the two axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// The horizontal axis: the line is upright.
    Across,
    /// The vertical axis: the line is level.
    Up,
}

/// Points that belong together.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Its name.
    pub label: String,
    /// Its look.
    pub style: SeriesStyle,
    /// How its points are drawn.
    pub draw: Draw,
    /// Whether it is drawn in every panel, where series have panels of their own: a baseline.
    pub is_baseline: bool,
    /// Where series have panels of their own, the panel that it stands in with others; none: one of its own, under its name.
    pub panel: Option<String>,
    /// Its points in the order in which a line passes through them.
    pub points: Vec<Point>,
}

/// How the points of a series are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Draw {
    /// Marks with whiskers, and a line through them.
    #[default]
    LineAndPoints,
    /// Marks with whiskers.
    Points,
    /// A line alone.
    Line,
    /// A line within the band of its intervals.
    Band,
}

/// A point.
#[derive(Debug, Clone, Default)]
pub struct Point {
    /// Its place across; none: in the aside.
    pub x: Option<f64>,
    /// Its place up.
    pub y: f64,
    /// Lower end of the interval up.
    pub low: Option<f64>,
    /// Upper end of it.
    pub high: Option<f64>,
    /// What stands across, in words: "48 passes", "epoch 2".
    pub at: String,
    /// What stands up, in words, with its interval: "21 of 26 (81%, 62–91)".
    pub shown: String,
    /// The row of the table of estimates that it shows.
    pub row: Option<usize>,
    /// The row behind its place across, where that is an estimate too, with its figure.
    pub across: Option<(String, usize)>,
    /// Whether its mark is hollow: what does not stand for its series elsewhere.
    pub is_hollow: bool,
}

/// Places of a drawing.
struct Frame {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    across: Scale,
    up: Scale,
}

impl Plot {
    /// The plot with its caption and its table of figures; `None` where there is no point.
    pub fn draw(&self) -> Option<Markup> {
        if self.series.iter().all(|series| series.points.is_empty()) {
            return None;
        }
        let not_drawn = self.points_without_place();
        Some(html! {
            figure class="plot-figure" id=(self.id) {
                figcaption {
                    span class="plot-finding" { (sentence(&self.finding)) } " "
                    span class="plot-caption" { (self.caption) }
                }
                @match self.scales() {
                    Some(_) if self.panel_series().len() > MAX_PANELS => p class="note" {
                        (self.panel_series().len()) " lines are too many to draw one beside the other; the table has the figures."
                    },
                    Some((across, up)) => (self.panels(across, up)),
                    None => p class="note" { "There is nothing to draw: no point has a finite value on both axes." },
                }
                @if not_drawn > 0 {
                    p class="note" {
                        (not_drawn) @if not_drawn == 1 { " point has" } @else { " points have" }
                        " no place on these axes and cannot be drawn; the table has the figures."
                    }
                }
                (details("The figures of this plot", &self.table().render()))
            }
        })
    }

    /// Points that cannot be drawn.
    fn points_without_place(&self) -> usize {
        self.series
            .iter()
            .flat_map(|series| &series.points)
            .filter(|point| !self.has_place(point))
            .count()
    }

    fn has_place(&self, point: &Point) -> bool {
        let across = match point.x {
            Some(x) => self.across.scale.transform(x).is_some(),
            None => self.across.aside.is_some(),
        };
        across && self.up.scale.transform(point.y).is_some()
    }

    /// The scales, the same for all panels.
    fn scales(&self) -> Option<(Scale, Scale)> {
        let points: Vec<&Point> = self
            .series
            .iter()
            .flat_map(|series| &series.points)
            .filter(|point| self.has_place(point))
            .collect();
        let references = |axis: Along| {
            let chosen = self.references.iter().filter(move |line| line.axis == axis);
            chosen.map(|line| line.value)
        };
        let x = points.iter().filter_map(|point| point.x);
        let y = points
            .iter()
            .flat_map(|point| [Some(point.y), point.low, point.high].into_iter().flatten());
        let across = Scale::new(&self.across, x.chain(references(Along::Across)));
        // Where every point stands in the aside, any axis does.
        let across = across.or_else(|| Scale::new(&Axis::default(), (!points.is_empty()).then_some(0.0)));
        let up = Scale::new(&self.up, y.chain(references(Along::Up)));
        across.zip(up)
    }

    fn panels(&self, across: Scale, up: Scale) -> Markup {
        let alone = self.series.iter().filter(|series| !series.is_baseline).count();
        let together: Vec<&Series> = self.series.iter().collect();
        html! {
            @if alone <= MAX_TOGETHER {
                (self.panel(&together, None, across, up))
            } @else {
                div class="panels" {
                    @for (title, mut shown) in self.panel_series() {
                        @let baselines = self.series.iter().filter(|other| other.is_baseline);
                        @let () = shown.splice(0..0, baselines).for_each(drop);
                        (self.panel(&shown, Some(title), across, up))
                    }
                }
            }
        }
    }

    /// The series of each panel, baselines aside, under its title.
    fn panel_series(&self) -> Vec<(&str, Vec<&Series>)> {
        let mut panels: Vec<(&str, Vec<&Series>)> = Vec::new();
        for series in self.series.iter().filter(|series| !series.is_baseline) {
            let title = series.panel.as_ref().unwrap_or(&series.label);
            match panels.iter_mut().find(|(known, _)| known == title) {
                Some((_, shown)) => shown.push(series),
                None => panels.push((title, vec![series])),
            }
        }
        panels
    }

    /// One drawing. With a `title` it is one panel of several: that is the series' name, and only baselines are named beside it.
    fn panel(&self, shown: &[&Series], title: Option<&str>, across: Scale, up: Scale) -> Markup {
        let y_ticks = up.ticks(&self.up, self.values(|point| Some(point.y)));
        let names = title.is_none().then(|| self.names(shown));
        let title_lines = title.map_or_else(Vec::new, |name| wrapped(name, TITLE_CHARACTERS));
        let frame = self.frame(
            names.as_deref(),
            title_lines.len(),
            shown.len(),
            &y_ticks,
            across,
            up,
        );
        let x_ticks = frame.across.ticks(&self.across, self.values(|point| point.x));
        let label = match title {
            None => format!("{} {}", self.finding, self.caption),
            Some(name) => format!("{name}. {} {}", self.finding, self.caption),
        };
        html! {
            svg class={ "plot" @if title.is_some() { " small" } } viewBox={ "0 0 " (at(frame.width)) " " (at(frame.height)) }
                role="img" aria-label=(label) {
                @for (index, line) in title_lines.iter().enumerate() {
                    (text("panel-title", (0.0, 12.0 + LINE * index as f64), "start", line))
                }
                (text("axis-title", (0.0, frame.top - 12.0 - self.reference_rows(&frame) * LINE), "start", &self.up.label))
                @for tick in &y_ticks {
                    @if let Some(y) = frame.up.place(tick.value) {
                        (line("grid", (frame.left, y), (frame.right, y)))
                        (text("tick", (frame.left - 6.0, y + 4.0), "end", &tick.label))
                    }
                }
                (self.horizontal_axis(&frame, &x_ticks))
                (self.draw_references(&frame))
                @for (index, series) in shown.iter().enumerate() {
                    (self.draw_series(series, &frame, self.dodge(shown, index, &frame)))
                }
                @if let Some(names) = &names { (Self::draw_names(names, &frame)) }
            }
        }
    }

    fn values(&self, value: impl Fn(&Point) -> Option<f64>) -> Vec<f64> {
        self.series
            .iter()
            .flat_map(|series| &series.points)
            .filter(|point| self.has_place(point))
            .filter_map(value)
            .collect()
    }

    fn frame(
        &self,
        names: Option<&[Name]>,
        title_lines: usize,
        beside: usize,
        y_ticks: &[Tick],
        across: Scale,
        up: Scale,
    ) -> Frame {
        let (width, area) = if names.is_some() {
            (WIDTH, AREA)
        } else {
            (PANEL_WIDTH, PANEL_AREA)
        };
        let longest_tick = y_ticks
            .iter()
            .map(|tick| tick.label.chars().count())
            .max()
            .unwrap_or(1);
        let left = 14.0 + CHARACTER * longest_tick as f64;
        let names = names.unwrap_or_default();
        let longest_name = names
            .iter()
            .flat_map(|name| &name.lines)
            .map(|line| line.chars().count())
            .max();
        let right = width - longest_name.map_or(6.0, |characters| 24.0 + CHARACTER * characters as f64);
        let heights: f64 = names.iter().map(Name::height).sum();
        let area = area.max(heights);
        let mut frame = Frame {
            width,
            height: 0.0,
            left,
            right,
            top: 0.0,
            bottom: 0.0,
            across,
            up,
        };
        // Series at the same value stand beside each other, and none over the edge.
        let inset = if self.across.ticks_at_values {
            8.0 + DODGE * beside as f64 / 2.0
        } else {
            12.0
        };
        let first = left + inset + if self.across.aside.is_some() { ASIDE } else { 0.0 };
        frame.across = across.between(first, (right - inset).max(first + 1.0));
        frame.top = 28.0 + title_lines as f64 * (LINE + 1.0) + self.reference_rows(&frame) * LINE;
        frame.bottom = frame.top + area;
        frame.height = frame.bottom + 40.0;
        frame.up = up.between(frame.bottom, frame.top);
        frame
    }

    fn horizontal_axis(&self, frame: &Frame, ticks: &[Tick]) -> Markup {
        let below = frame.bottom + 17.0;
        let mut free = f64::NEG_INFINITY;
        let mut labels: Vec<(f64, Option<&str>)> = Vec::new();
        for tick in ticks {
            let Some(x) = frame.across.place(tick.value) else {
                continue;
            };
            let half = CHARACTER * tick.label.chars().count() as f64 / 2.0;
            let has_room = x - half > free;
            if has_room {
                free = x + half + 4.0;
            }
            labels.push((x, has_room.then_some(tick.label.as_str())));
        }
        let title_end = frame
            .right
            .max(frame.left + CHARACTER * self.across.label.chars().count() as f64);
        html! {
            (line("axis", (frame.left, frame.bottom), (frame.right, frame.bottom)))
            @if let Some(aside) = &self.across.aside {
                @let x = frame.left + 12.0 + (ASIDE - 24.0) / 2.0;
                (text("tick", (x, below), "middle", aside))
                (line("break", (frame.left + ASIDE, frame.top), (frame.left + ASIDE, frame.bottom)))
            }
            @for (x, label) in &labels {
                (line("axis", (*x, frame.bottom), (*x, frame.bottom + 4.0)))
                @if let Some(label) = label { (text("tick", (*x, below), "middle", label)) }
            }
            (text("axis-title", (title_end.min(frame.width), frame.bottom + 35.0), "end", &self.across.label))
        }
    }

    /// Upright references with the row of their label above the plot, so that no two labels overlap.
    fn upright_references(&self, frame: &Frame) -> Vec<(&Reference, f64, usize)> {
        let upright = self.references.iter().filter(|line| line.axis == Along::Across);
        let mut places: Vec<(&Reference, f64)> = upright
            .filter_map(|line| Some((line, frame.across.place(line.value)?)))
            .collect();
        places.sort_by(|left, right| left.1.total_cmp(&right.1));
        let mut rows: Vec<f64> = Vec::new();
        let mut placed = Vec::new();
        for (reference, x) in places {
            let half = CHARACTER * reference.label.chars().count() as f64 / 2.0;
            let start = (x - half).max(0.0);
            let row = rows.iter().position(|end| *end < start).unwrap_or(rows.len());
            let end = start + 2.0 * half + 4.0;
            match rows.get_mut(row) {
                Some(taken) => *taken = end,
                None => rows.push(end),
            }
            placed.push((reference, x, row));
        }
        placed
    }

    fn reference_rows(&self, frame: &Frame) -> f64 {
        let rows = self
            .upright_references(frame)
            .iter()
            .map(|(.., row)| row + 1)
            .max();
        rows.unwrap_or(0) as f64
    }

    fn draw_references(&self, frame: &Frame) -> Markup {
        html! {
            @for (reference, x, row) in self.upright_references(frame) {
                @let half = CHARACTER * reference.label.chars().count() as f64 / 2.0;
                (line("reference", (x, frame.top - 2.0), (x, frame.bottom)))
                (text("tick", ((x - half).max(0.0) + half, frame.top - 6.0 - row as f64 * LINE), "middle", &reference.label))
            }
            @for reference in self.references.iter().filter(|line| line.axis == Along::Up) {
                @if let Some(y) = frame.up.place(reference.value) {
                    (line("reference", (frame.left, y), (frame.right, y)))
                }
            }
        }
    }

    /// How far the marks of a series are moved aside: only where series stand at the same values.
    fn dodge(&self, shown: &[&Series], index: usize, frame: &Frame) -> f64 {
        if !self.across.ticks_at_values {
            return 0.0;
        }
        let mut places: Vec<f64> = shown
            .iter()
            .flat_map(|series| &series.points)
            .filter_map(|point| frame.across.place(point.x?))
            .collect();
        places.sort_by(f64::total_cmp);
        places.dedup_by(|left, right| (*left - *right).abs() < 0.5);
        let gap = places
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .fold(ASIDE, f64::min);
        let step = DODGE.min(gap * 0.8 / shown.len() as f64);
        (index as f64 - (shown.len() as f64 - 1.0) / 2.0) * step
    }

    fn place(&self, point: &Point, frame: &Frame, dodge: f64) -> Option<Place> {
        let x = match point.x {
            Some(x) => frame.across.place(x)?,
            None => {
                self.across.aside.as_ref()?;
                frame.left + ASIDE / 2.0
            }
        };
        Some((x + dodge, frame.up.place(point.y)?))
    }

    fn draw_series(&self, series: &Series, frame: &Frame, dodge: f64) -> Markup {
        let placed: Vec<(&Point, Place)> = series
            .points
            .iter()
            .filter_map(|point| Some((point, self.place(point, frame, dodge)?)))
            .collect();
        // What stands in the aside is on no line.
        let along = || placed.iter().filter(|(point, _)| point.x.is_some());
        let line: Vec<Place> = along().map(|(_, place)| *place).collect();
        let edge = |end: fn(&Point) -> Option<f64>| -> Vec<Place> {
            along()
                .filter_map(|(point, (x, _))| Some((*x, frame.up.place(end(point)?)?)))
                .collect()
        };
        html! {
            g class=(series.style.class()) {
                @if series.draw == Draw::Band { (band(&edge(|point| point.low), &edge(|point| point.high))) }
                @if series.draw != Draw::Points { (polyline(&line, series.style.dashes())) }
                @if series.draw != Draw::Line {
                    @for (point, (x, y)) in &placed {
                        g {
                            title { (series.label) ", " (point.at) ": " (point.shown) }
                            @if series.draw != Draw::Band || point.x.is_none() {
                                @if let Some((low, high)) = point.low.zip(point.high) {
                                    @if let Some((low, high)) = frame.up.place(low).zip(frame.up.place(high)) { (whisker(*x, low, high)) }
                                }
                            }
                            (marker(series.style, (*x, *y), point.is_hollow))
                        }
                    }
                }
            }
        }
    }

    /// What is named beside the plot: series and level references, each at the height of its last point.
    fn names(&self, shown: &[&Series]) -> Vec<Name> {
        let series = shown.iter().map(|series| Name {
            lines: wrapped(&series.label, NAME_CHARACTERS),
            style: Some(series.style),
            is_hollow: !series.points.is_empty() && series.points.iter().all(|point| point.is_hollow),
            value: series
                .points
                .iter()
                .rfind(|point| self.has_place(point))
                .map(|point| point.y),
        });
        let level = self.references.iter().filter(|line| line.axis == Along::Up);
        let level = level.map(|reference| Name {
            lines: wrapped(&reference.label, NAME_CHARACTERS),
            style: None,
            is_hollow: false,
            value: Some(reference.value),
        });
        series.chain(level).collect()
    }

    fn draw_names(names: &[Name], frame: &Frame) -> Markup {
        let centres: Vec<f64> = names
            .iter()
            .map(|name| {
                name.value
                    .and_then(|value| frame.up.place(value))
                    .unwrap_or(frame.bottom)
            })
            .collect();
        let heights: Vec<f64> = names.iter().map(Name::height).collect();
        let places = spread(&centres, &heights, frame.top - 4.0, frame.bottom + 4.0);
        html! {
            @for (name, y) in names.iter().zip(places) {
                @match name.style {
                    Some(style) => g class=(style.class()) { (marker(style, (frame.right + 9.0, y), name.is_hollow)) },
                    None => (line("reference", (frame.right + 2.0, y), (frame.right + 15.0, y))),
                }
                @for (index, content) in name.lines.iter().enumerate() {
                    @let offset = (index as f64 - (name.lines.len() as f64 - 1.0) / 2.0) * (LINE - 1.0);
                    (text("name", (frame.right + 19.0, y + 4.0 + offset), "start", content))
                }
            }
        }
    }

    /// The figures as a table: a row for each point.
    fn table(&self) -> Table {
        let cell = |shown: &str, row: Option<usize>| match row {
            Some(row) => Cell::value(figure(shown, row)),
            None => Cell::value(html! { (shown) }),
        };
        let rows = self.series.iter().flat_map(|series| {
            series.points.iter().map(move |point| Row {
                head: html! { (symbol(series.style)) (series.label) },
                cells: vec![
                    match &point.across {
                        Some((shown, row)) => Cell::value(html! {
                            (figure(shown, *row)) @if !point.at.is_empty() { " (" (point.at) ")" }
                        }),
                        None => cell(&point.at, None),
                    },
                    cell(&point.shown, point.row),
                ],
            })
        });
        Table {
            caption: format!("The figures of this plot. {}", self.caption),
            columns: vec![
                Column::new("Series"),
                Column::new(&self.across.label),
                Column::new(&self.up.label),
            ],
            rows: rows.collect(),
            layout: Layout::Plain,
        }
    }
}

/// A name beside the plot.
struct Name {
    lines: Vec<String>,
    style: Option<SeriesStyle>,
    is_hollow: bool,
    value: Option<f64>,
}

impl Name {
    fn height(&self) -> f64 {
        self.lines.len() as f64 * (LINE - 1.0) + 4.0
    }
}

/// A text in lines of at most so many characters, cut between words where that is possible.
fn wrapped(label: &str, characters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in label.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for part in letters.chunks(characters) {
            let part: String = part.iter().collect();
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + part.chars().count() <= characters => {
                    line.push(' ');
                    line.push_str(&part);
                }
                _ => lines.push(part),
            }
        }
    }
    lines
}
