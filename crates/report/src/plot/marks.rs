//! What a plot is drawn with: lines, marks, whiskers, bands and text, as SVG.

use maud::{Markup, html};

use super::style::{SeriesStyle, Shape};

/// A place on the drawing.
pub(super) type Place = (f64, f64);

/// A coordinate to a tenth of a unit.
pub(super) fn at(value: f64) -> String {
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

pub(super) fn line(class: &str, from: Place, to: Place) -> Markup {
    html! { line class=(class) x1=(at(from.0)) y1=(at(from.1)) x2=(at(to.0)) y2=(at(to.1)) {} }
}

pub(super) fn polyline(places: &[Place], dashes: Option<&str>) -> Markup {
    html! {
        @if places.len() > 1 { polyline class="line" points=(points(places)) stroke-dasharray=[dashes] {} }
    }
}

/// The area between the lower and the upper ends, with an outline that can be seen where the fill cannot.
pub(super) fn band(lower: &[Place], upper: &[Place]) -> Markup {
    let around: Vec<Place> = upper.iter().chain(lower.iter().rev()).copied().collect();
    html! {
        @if lower.len() > 1 {
            polygon class="band" points=(points(&around)) {}
            polyline class="band-edge" points=(points(upper)) {}
            polyline class="band-edge" points=(points(lower)) {}
        }
    }
}

/// An interval: a line with a short stroke at either end.
pub(super) fn whisker(x: f64, low: f64, high: f64) -> Markup {
    const CAP: f64 = 2.6;
    let path = format!(
        "M{left} {low}H{right}M{x} {low}V{high}M{left} {high}H{right}",
        left = at(x - CAP),
        right = at(x + CAP),
        low = at(low),
        high = at(high),
        x = at(x)
    );
    html! { path class="whisker" d=(path) {} }
}

/// A mark at a place in the shape of its style.
pub(super) fn marker(style: SeriesStyle, (x, y): Place, is_hollow: bool) -> Markup {
    let class = if is_hollow { "mark hollow" } else { "mark" };
    let polygon = |corners: &[Place]| {
        let corners: Vec<Place> = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        html! { polygon class=(class) points=(points(&corners)) {} }
    };
    match style.shape() {
        Shape::Cross => {
            let path = format!(
                "M{} {}l7.2 7.2M{} {}l7.2 -7.2",
                at(x - 3.6),
                at(y - 3.6),
                at(x - 3.6),
                at(y + 3.6)
            );
            html! { path class="cross" d=(path) {} }
        }
        Shape::Circle => html! { circle class=(class) cx=(at(x)) cy=(at(y)) r="4.4" {} },
        Shape::Square => polygon(&[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)]),
        Shape::Diamond => polygon(&[(0.0, -5.4), (5.4, 0.0), (0.0, 5.4), (-5.4, 0.0)]),
        Shape::Up => polygon(&[(0.0, -5.2), (5.0, 3.8), (-5.0, 3.8)]),
        Shape::Down => polygon(&[(0.0, 5.2), (5.0, -3.8), (-5.0, -3.8)]),
        Shape::Hexagon => polygon(&[
            (-2.5, -4.4),
            (2.5, -4.4),
            (5.0, 0.0),
            (2.5, 4.4),
            (-2.5, 4.4),
            (-5.0, 0.0),
        ]),
    }
}

/// The mark of a style by itself, as it precedes a name in running text.
pub fn symbol(style: SeriesStyle) -> Markup {
    html! {
        svg class={ "symbol " (style.class()) } viewBox="0 0 14 14" aria-hidden="true" focusable="false" {
            (marker(style, (7.0, 7.0), false))
        }
    }
}

pub(super) fn text(class: &str, (x, y): Place, anchor: &str, content: &str) -> Markup {
    html! { text class=(class) x=(at(x)) y=(at(y)) text-anchor=(anchor) { (content) } }
}

fn points(places: &[Place]) -> String {
    let places: Vec<String> = places
        .iter()
        .map(|(x, y)| format!("{},{}", at(*x), at(*y)))
        .collect();
    places.join(" ")
}
