//! From values to places along an axis, and the values at which an axis has ticks.

use super::{Axis, Unit};

/// How values lie along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScaleKind {
    /// Equal differences have equal lengths.
    #[default]
    Linear,
    /// Each doubling has the same length; only values over 0 have a place.
    Log2,
    /// Each factor of ten has the same length; only values over 0 have a place.
    Log10,
}

impl ScaleKind {
    /// The value as it lies along the axis; `None` where it has no place there.
    pub(super) fn transform(self, value: f64) -> Option<f64> {
        let transformed = match self {
            Self::Linear => value,
            Self::Log2 => value.log2(),
            Self::Log10 => value.log10(),
        };
        transformed.is_finite().then_some(transformed)
    }
}

/// An axis between two values and two places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    kind: ScaleKind,
    /// Transformed values at the ends.
    low: f64,
    high: f64,
    /// Places at the ends, in the units of the drawing.
    from: f64,
    to: f64,
}

/// A tick: its value and its label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: String,
}

impl Scale {
    /// The scale that holds all `values`, widened to round ends where the axis is linear; `None` where no value has a place.
    pub(super) fn new(axis: &Axis, values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let zero = (axis.from_zero && axis.scale == ScaleKind::Linear).then_some(0.0);
        let mut bounds: Option<(f64, f64)> = None;
        for value in values.into_iter().chain(zero) {
            if let Some(value) = axis.scale.transform(value) {
                let (low, high) = bounds.unwrap_or((value, value));
                bounds = Some((low.min(value), high.max(value)));
            }
        }
        let (low, high) = widened(bounds?);
        let (low, high) = match (axis.scale, axis.unit) {
            (ScaleKind::Linear, Unit::Share) => (nice_low(low, high).max(0.0).min(low), round_share(high)),
            (ScaleKind::Linear, Unit::Number) => {
                let step = step(low, high, MAX_TICKS);
                ((low / step).floor() * step, (high / step).ceil() * step)
            }
            _ => (low, high),
        };
        Some(Self {
            kind: axis.scale,
            low,
            high,
            from: 0.0,
            to: 1.0,
        })
    }

    /// The same scale between two places.
    pub(super) fn between(self, from: f64, to: f64) -> Self {
        Self { from, to, ..self }
    }

    /// Where a value lies; `None` where the axis has no place for it. Values beyond an end lie at that end.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let share = (self.kind.transform(value)? - self.low) / (self.high - self.low);
        Some(self.from + share.clamp(0.0, 1.0) * (self.to - self.from))
    }

    /// The ticks of the axis: at the values themselves where these are asked for and few, else at round values. No two of them
    /// have the same label.
    pub(super) fn ticks(&self, axis: &Axis, values: impl IntoIterator<Item = f64>) -> Vec<Tick> {
        if axis.ticks_at_values {
            let mut values: Vec<f64> = values
                .into_iter()
                .filter(|value| self.kind.transform(*value).is_some())
                .collect();
            values.sort_by(f64::total_cmp);
            values.dedup();
            if values.len() <= MAX_VALUE_TICKS {
                return labelled(values, axis.unit);
            }
        }
        let base = match self.kind {
            ScaleKind::Linear => return labelled(self.linear_ticks(), axis.unit),
            ScaleKind::Log2 => 2.0_f64,
            ScaleKind::Log10 => 10.0,
        };
        let (first, last) = ((self.low - 1e-9).ceil(), (self.high + 1e-9).floor());
        if last - first < 1.0 {
            return labelled(self.linear_ticks(), axis.unit);
        }
        let stride = ((last - first) / MAX_TICKS as f64).ceil().max(1.0);
        let powers = (0..)
            .map(|index| first + f64::from(index) * stride)
            .take_while(|exponent| *exponent <= last);
        powers
            .map(|exponent| Tick {
                value: base.powf(exponent),
                label: match (base as i64, exponent as i64) {
                    (10, exponent) if !(-2..=4).contains(&exponent) => format!("10{}", superscript(exponent)),
                    _ => plain(base.powf(exponent)),
                },
            })
            .collect()
    }

    /// Round values between the ends, whatever the kind of the scale.
    fn linear_ticks(&self) -> Vec<f64> {
        let untransformed = |value: f64| match self.kind {
            ScaleKind::Linear => value,
            ScaleKind::Log2 => value.exp2(),
            ScaleKind::Log10 => 10_f64.powf(value),
        };
        let (low, high) = (untransformed(self.low), untransformed(self.high));
        let step = step(low, high, MAX_TICKS);
        let first = (low / step - 1e-6).ceil() as i64;
        let last = (high / step + 1e-6).floor() as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }
}

/// Ticks that an axis has about.
const MAX_TICKS: usize = 5;

/// Values that still have a tick each.
const MAX_VALUE_TICKS: usize = 8;

/// Decimals after which labels are as distinct as they will be.
const MAX_DECIMALS: usize = 12;

/// Room around a single value.
fn widened((low, high): (f64, f64)) -> (f64, f64) {
    let smallest = 1e-9 * low.abs().max(high.abs()).max(1e-3);
    if high - low > smallest {
        return (low, high);
    }
    let room = (0.1 * high.abs()).max(0.05);
    (low - room, high + room)
}

fn nice_low(low: f64, high: f64) -> f64 {
    let step = step(low, high, MAX_TICKS);
    (low / step).floor() * step
}

/// The least round share at or over the highest one.
fn round_share(highest: f64) -> f64 {
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8]
        .into_iter()
        .find(|&round| highest <= round)
        .unwrap_or(highest.max(1.0))
}

/// 1, 2 or 5 times a power of ten, so that about `ticks` steps lie between two values.
fn step(low: f64, high: f64, ticks: usize) -> f64 {
    let rough = (high - low) / ticks as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let leading = rough / power;
    let rounded = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|&round| leading <= round * (1.0 + 1e-9));
    power * rounded.unwrap_or(10.0)
}

/// Values with labels of as many decimals as make them distinct and right to a hundredth of their distance.
fn labelled(values: Vec<f64>, unit: Unit) -> Vec<Tick> {
    let scale = match unit {
        Unit::Share => 100.0,
        Unit::Number => 1.0,
    };
    let gap = values
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).abs() * scale)
        .fold(f64::INFINITY, f64::min);
    let tolerance = if gap.is_finite() {
        gap / 100.0
    } else {
        scale * 1e-3
    };
    let is_right = |decimals: usize| {
        let unit = 10_f64.powi(decimals as i32);
        values.iter().all(|value| {
            let shown = (value * scale * unit).round() / unit;
            (shown - value * scale).abs() <= tolerance
        })
    };
    let decimals = (0..MAX_DECIMALS)
        .find(|&decimals| is_right(decimals))
        .unwrap_or(MAX_DECIMALS);
    let percent = if unit == Unit::Share { "%" } else { "" };
    values
        .into_iter()
        .map(|value| Tick {
            value,
            label: format!("{}{percent}", signed(format!("{:.decimals$}", value * scale))),
        })
        .collect()
}

/// With a true minus sign, and none before a zero.
fn signed(text: String) -> String {
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|character| matches!(character, '0' | '.')) => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// A number without superfluous zeros.
fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn superscript(exponent: i64) -> String {
    exponent
        .to_string()
        .chars()
        .map(|character| match character {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            '4' => '⁴',
            '5' => '⁵',
            '6' => '⁶',
            '7' => '⁷',
            '8' => '⁸',
            '9' => '⁹',
            _ => '⁰',
        })
        .collect()
}

/// Centres of boxes of the given `heights`, moved as little as one pass down and one up allow, so that none overlaps another
/// and all stay between `top` and `bottom` where there is room.
pub(super) fn spread(centres: &[f64], heights: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..centres.len()).collect();
    order.sort_by(|&left, &right| centres[left].total_cmp(&centres[right]));
    let mut moved = centres.to_vec();
    let mut free = top;
    for &index in &order {
        let half = heights[index] / 2.0;
        moved[index] = moved[index].max(free + half);
        free = moved[index] + half;
    }
    let mut free = bottom;
    for &index in order.iter().rev() {
        let half = heights[index] / 2.0;
        moved[index] = moved[index].min(free - half);
        free = moved[index] - half;
    }
    moved
}
