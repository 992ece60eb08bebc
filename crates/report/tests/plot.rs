//! The plot: what is drawn can be read, whatever the values.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;

use report::findings::Sentence;
use report::plot::{
    Along, Axis, Draw, MAX_TOGETHER, Plot, Point, Reference, ScaleKind, Series, SeriesStyle, Unit,
};

/// The values of an attribute of all elements with a class, and the text of each.
fn texts(html: &str, class: &str) -> Vec<(f64, f64, String)> {
    let opening = format!("<text class=\"{class}\"");
    let attribute = |element: &str, name: &str| -> f64 {
        let start = element.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
        let length = element[start..].find('"').unwrap();
        element[start..start + length].parse().unwrap()
    };
    html.match_indices(&opening)
        .map(|(start, _)| {
            let element = &html[start..];
            let content = element.find('>').unwrap() + 1;
            let end = element.find("</text>").unwrap();
            (
                attribute(element, "x"),
                attribute(element, "y"),
                element[content..end].to_owned(),
            )
        })
        .collect()
}

fn height(html: &str) -> f64 {
    let start = html.find("viewBox=\"0 0 352 ").unwrap() + "viewBox=\"0 0 352 ".len();
    html[start..start + html[start..].find('"').unwrap()]
        .parse()
        .unwrap()
}

fn point(x: f64, y: f64, row: usize) -> Point {
    Point {
        x: Some(x),
        y,
        low: Some(y - 0.01),
        high: Some(y + 0.01),
        at: format!("at {x}"),
        shown: format!("shown {row}"),
        row: Some(row),
        ..Point::default()
    }
}

fn series(label: &str, style: SeriesStyle, values: &[f64]) -> Series {
    Series {
        label: label.to_owned(),
        style,
        points: values
            .iter()
            .enumerate()
            .map(|(index, &y)| point((index + 1) as f64, y, index))
            .collect(),
        ..Series::default()
    }
}

fn plot(values: &[&[f64]], unit: Unit) -> Plot {
    let styles = SeriesStyle::assign(values.iter().map(|_| "lora"));
    Plot {
        id: "a-plot".to_owned(),
        finding: Sentence::new("A finding."),
        caption: "A caption.".to_owned(),
        up: Axis {
            label: "up".to_owned(),
            unit,
            ..Axis::default()
        },
        across: Axis {
            label: "across".to_owned(),
            ..Axis::default()
        },
        series: values
            .iter()
            .zip(styles)
            .enumerate()
            .map(|(index, (values, style))| {
                series(&format!("LoRA of a rather long name {index}"), style, values)
            })
            .collect(),
        ..Plot::default()
    }
}

#[test]
fn more_panels_than_anybody_looks_through_are_a_table() {
    for (lines, is_drawn) in [(30, true), (31, false)] {
        let values: Vec<&[f64]> = vec![&[1.0, 2.0]; lines];
        let html = plot(&values, Unit::Number).draw().unwrap().into_string();
        assert_eq!(
            html.matches("class=\"plot small\"").count(),
            if is_drawn { lines } else { 0 }
        );
        assert_eq!(html.contains("31 lines are too many to draw"), !is_drawn);
        // Every point is in the table all the same.
        assert_eq!(html.matches("<tr>").count(), 1 + 2 * lines);
    }
}

#[test]
fn tick_labels_are_distinct_at_any_range() {
    let ranges: [(&[f64], Unit); 11] = [
        (&[5.0, 5.05, 5.2], Unit::Number),
        (&[4.5, 4.53, 4.6], Unit::Number),
        (&[1e-7, 3e-7], Unit::Number),
        (&[-0.004, 0.003], Unit::Number),
        (&[1e6, 1e6 + 1.0], Unit::Number),
        (&[5.0, 5.0], Unit::Number),
        (&[0.0], Unit::Number),
        (&[0.0, 0.0], Unit::Share),
        (&[0.0, 0.002], Unit::Share),
        (&[0.0, 0.34], Unit::Share),
        (&[0.97, 1.0], Unit::Share),
    ];
    for (values, unit) in ranges {
        let mut drawn = plot(&[values], unit);
        for point in &mut drawn.series[0].points {
            (point.low, point.high) = (None, None);
        }
        let html = drawn.draw().unwrap().into_string();
        let up: Vec<String> = texts(&html, "tick")
            .into_iter()
            .filter(|(x, ..)| *x < 90.0)
            .filter(|(_, y, _)| *y < height(&html) - 30.0)
            .map(|(.., label)| label)
            .collect();
        let distinct: BTreeSet<&String> = up.iter().collect();
        assert_eq!(distinct.len(), up.len(), "{values:?}: {up:?}");
        assert!(up.len() >= 2, "{values:?}: {up:?}");
    }
}

#[test]
fn tick_labels_say_the_values_they_stand_at() {
    let html = plot(&[&[5.0, 5.2]], Unit::Number).draw().unwrap().into_string();
    let ticks: Vec<(f64, f64)> = texts(&html, "tick")
        .into_iter()
        .filter(|(x, y, _)| *x < 90.0 && *y < height(&html) - 30.0)
        .map(|(_, y, label)| (y, label.parse().unwrap()))
        .collect();
    let (first, last) = (ticks[0], ticks[ticks.len() - 1]);
    for (y, value) in &ticks {
        let share = (value - first.1) / (last.1 - first.1);
        let expected = first.0 + share * (last.0 - first.0);
        assert!(
            (y - expected).abs() <= 0.1,
            "{value} stands at {y}, not {expected}"
        );
    }
}

#[test]
fn names_of_series_never_overlap_and_stay_inside() {
    let cases: [&[&[f64]]; 5] = [
        &[&[0.0, 0.0]],
        &[&[0.0, 0.0], &[0.0, 0.0], &[0.0, 0.0], &[0.0, 0.0], &[0.0, 0.0]],
        &[&[0.0, 0.9], &[0.0, 0.9], &[0.1, 0.91]],
        &[&[1.0, 1.0], &[1.0, 1.0], &[1.0, 1.0], &[1.0, 1.0]],
        &[&[f64::NAN, f64::NAN], &[0.2, 0.4]],
    ];
    for values in cases {
        let html = plot(values, Unit::Share).draw().unwrap().into_string();
        let mut lines: Vec<f64> = texts(&html, "name").into_iter().map(|(_, y, _)| y).collect();
        assert!(lines.len() >= values.len(), "{values:?}");
        lines.sort_by(f64::total_cmp);
        assert!(
            lines.windows(2).all(|pair| pair[1] - pair[0] >= 12.5),
            "{values:?}: {lines:?}"
        );
        assert!(
            lines[0] > 8.0 && lines[lines.len() - 1] < height(&html),
            "{values:?}: {lines:?}"
        );
    }
}

#[test]
fn many_series_have_panels_of_their_own_with_equal_axes_and_the_baseline_in_each() {
    let values: Vec<Vec<f64>> = (0..12).map(|index| vec![0.0, f64::from(index) / 12.0]).collect();
    let values: Vec<&[f64]> = values.iter().map(Vec::as_slice).collect();
    let mut drawn = plot(&values, Unit::Share);
    drawn.series[0].is_baseline = true;
    drawn.series[0].style = SeriesStyle::UNTUNED;
    let html = drawn.draw().unwrap().into_string();
    let panels: Vec<&str> = html.split("<svg class=\"plot small\"").skip(1).collect();
    assert_eq!(panels.len(), 11);
    let axes: BTreeSet<Vec<(i64, String)>> = panels
        .iter()
        .map(|panel| {
            let ticks = texts(panel, "tick").into_iter();
            ticks.map(|(x, _, label)| (x as i64, label)).collect()
        })
        .collect();
    assert_eq!(axes.len(), 1);
    assert!(panels.iter().all(|panel| panel.contains("<g class=\"s0\">")));

    let together = plot(&values[..MAX_TOGETHER], Unit::Share)
        .draw()
        .unwrap()
        .into_string();
    assert_eq!(together.matches("<svg class=\"plot\"").count(), 1);
}

#[test]
fn methods_have_styles_of_their_own_and_common_modes_keep_theirs() {
    let modes = [
        "base", "lora", "full", "head", "lora", "lora", "full", "other", "lora", "lora", "lora", "lora",
        "lora",
    ];
    let styles = SeriesStyle::assign(modes);
    assert_eq!(styles.len(), modes.len());
    assert_eq!(styles[0], SeriesStyle::UNTUNED);
    for (index, style) in styles.iter().enumerate() {
        assert!(!styles[..index].contains(style), "{index}");
    }
    let alone = |mode| SeriesStyle::assign([mode])[0];
    assert_eq!(
        [styles[1], styles[2], styles[3]],
        [alone("lora"), alone("full"), alone("head")]
    );

    // Marks and dashes tell apart what has one colour.
    let drawn = |style: SeriesStyle| {
        let one = Plot {
            series: vec![series("a", style, &[0.1, 0.2])],
            ..plot(&[], Unit::Share)
        };
        one.draw().unwrap().into_string()
    };
    let drawings: BTreeSet<String> = styles.iter().map(|style| drawn(*style)).collect();
    assert_eq!(drawings.len(), styles.len());
}

#[test]
fn every_point_stands_in_the_table_with_its_row() {
    let html = plot(&[&[0.1, 0.2, f64::NAN]], Unit::Share)
        .draw()
        .unwrap()
        .into_string();
    for row in 0..3 {
        let figure = format!("<data class=\"f\" value=\"{row}\">shown {row}</data>");
        assert!(html.contains(&figure), "{row}");
    }
    assert!(html.contains("<summary>The figures of this plot</summary>"));
    assert!(html.contains("1 point has no place on these axes"));
}

#[test]
fn log_axes_count_what_they_cannot_place_and_space_doublings_equally() {
    let mut drawn = plot(&[&[0.1, 0.2, 0.3, 0.4]], Unit::Share);
    drawn.across.scale = ScaleKind::Log2;
    drawn.across.ticks_at_values = true;
    for (point, x) in drawn.series[0].points.iter_mut().zip([0.0, 3.0, 12.0, 48.0]) {
        point.x = Some(x);
    }
    let html = drawn.draw().unwrap().into_string();
    assert!(html.contains("1 point has no place on these axes"));
    let places: Vec<f64> = ["3", "12", "48"]
        .iter()
        .map(|wanted| {
            texts(&html, "tick")
                .into_iter()
                .find(|(.., label)| label == wanted)
                .unwrap()
                .0
        })
        .collect();
    assert!(
        ((places[1] - places[0]) - (places[2] - places[1])).abs() <= 0.2,
        "{places:?}"
    );
}

#[test]
fn points_of_the_aside_are_drawn_left_of_the_axis_and_on_no_line() {
    let mut drawn = plot(&[&[0.1, 0.2, 0.3]], Unit::Share);
    drawn.across.aside = Some("unseen".to_owned());
    drawn.series[0].points[0].x = None;
    let html = drawn.draw().unwrap().into_string();
    assert!(texts(&html, "tick").iter().any(|(.., label)| label == "unseen"));
    let start =
        html.find("<polyline class=\"line\" points=\"").unwrap() + "<polyline class=\"line\" points=\"".len();
    let line = &html[start..start + html[start..].find('"').unwrap()];
    assert_eq!(line.split(' ').count(), 2, "{line}");
    // Without a place for them they are counted.
    drawn.across.aside = None;
    assert!(
        drawn
            .draw()
            .unwrap()
            .into_string()
            .contains("1 point has no place")
    );
}

#[test]
fn labels_of_upright_references_stand_apart() {
    let mut drawn = plot(&[&[0.1, 0.2, 0.3]], Unit::Share);
    let reference = |value, label: &str| Reference {
        axis: Along::Across,
        value,
        label: label.to_owned(),
    };
    drawn.references = vec![
        reference(2.0, "untuned model"),
        reference(2.05, "best epoch"),
        reference(1.0, "start"),
    ];
    let html = drawn.draw().unwrap().into_string();
    let place = |wanted: &str| {
        texts(&html, "tick")
            .into_iter()
            .find(|(.., label)| label == wanted)
            .unwrap()
    };
    let ((x, y, _), (other_x, other_y, _)) = (place("untuned model"), place("best epoch"));
    assert!((x - other_x).abs() > 70.0 || (y - other_y).abs() >= 14.0);
}

#[test]
fn a_plot_says_its_finding_and_escapes_names() {
    let mut drawn = plot(&[&[0.1, 0.2]], Unit::Share);
    drawn.series[0].label = "<script>alert(1)</script>".to_owned();
    drawn.series[0].draw = Draw::Band;
    let html = drawn.draw().unwrap().into_string();
    assert!(html.contains("role=\"img\" aria-label=\"A finding. A caption.\""));
    assert!(!html.contains("<script"));
    assert!(html.contains("class=\"band\""));
    assert!(plot(&[], Unit::Share).draw().is_none());
    let nothing = plot(&[&[f64::NAN]], Unit::Share).draw().unwrap().into_string();
    assert!(nothing.contains("nothing to draw") && !nothing.contains("<svg class=\"plot\""));
}
