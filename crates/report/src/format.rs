//! Figures as a reader wants them.

use measures::Interval;

use page_parts::{percent_number, trimmed};

pub use page_parts::{count, percent};

use crate::estimate::figure::{Estimate, UnitOf};

/// A share as it is counted, with its interval: "21 of 26 (81%, 62–91%)"; of several training runs "81% (70–90%, 3 runs)".
pub fn counted(estimate: &Estimate) -> String {
    let share = percent(estimate.value);
    let ends = estimate.ends().map(percent_interval);
    let count = match (estimate.k, estimate.n_of) {
        (_, UnitOf::Runs) | (None, _) => None,
        (Some(_), _) => Some(count_of(estimate)),
    };
    let text = match (count, ends) {
        (Some(count), Some(ends)) => format!("{count} ({share}, {ends})"),
        (Some(count), None) => format!("{count} ({share})"),
        (None, Some(ends)) if estimate.n_of == UnitOf::Runs => {
            format!("{share} ({ends}, {} runs)", estimate.n)
        }
        (None, Some(ends)) => format!("{share} ({ends})"),
        (None, None) if estimate.n_of == UnitOf::Runs => format!("{share} ({} runs)", estimate.n),
        (None, None) => share,
    };
    bounded(estimate, text)
}

/// A share as it is counted: "21 of 26"; as a percentage where there is no count of its own.
pub fn count_of(estimate: &Estimate) -> String {
    match (estimate.k, estimate.n_of) {
        (Some(k), UnitOf::Documents | UnitOf::Generations | UnitOf::Canaries) => {
            let all = count(estimate.observations as u64);
            let what = if estimate.observations == estimate.n {
                String::new()
            } else {
                format!(" generations, of {} documents", count(estimate.n as u64))
            };
            format!("{} of {all}{what}", count(k as u64))
        }
        _ => percent(estimate.value),
    }
}

/// A figure's text, with "≥" before it where it is a lower bound.
pub fn bounded(estimate: &Estimate, text: String) -> String {
    if estimate.at_least {
        format!("≥ {text}")
    } else {
        text
    }
}

/// A rate with its interval: "41% (33–50%)".
pub fn rate(estimate: &Estimate) -> String {
    match estimate.ends() {
        Some(interval) => format!("{} ({})", percent(estimate.value), percent_interval(interval)),
        None => percent(estimate.value),
    }
}

/// The ends of a rate's interval: "33–50%".
pub fn percent_interval(interval: Interval) -> String {
    format!(
        "{}–{}%",
        percent_number(interval.low),
        percent_number(interval.high)
    )
}

/// A difference of rates in percentage points: "38 points (25–50)".
pub fn points(value: f64, interval: Interval) -> String {
    let number = |share: f64| signed(trimmed(share * 100.0, usize::from(share.abs() < 0.0995)));
    format!(
        "{} points ({} to {})",
        number(value),
        number(interval.low),
        number(interval.high)
    )
}

/// A figure with its interval, to so many decimals: "4.02 (3.91–4.13)".
pub fn figure(estimate: &Estimate, decimals: usize) -> String {
    match estimate.ends() {
        Some(interval) => format!(
            "{} ({})",
            number(estimate.value, decimals),
            number_interval(interval, decimals)
        ),
        None => number(estimate.value, decimals),
    }
}

/// The ends of an interval: "3.91–4.13", or "−0.02 to 0.13" where one is negative.
pub fn number_interval(interval: Interval, decimals: usize) -> String {
    let dash = if interval.low < 0.0 { " to " } else { "–" };
    format!(
        "{}{dash}{}",
        number(interval.low, decimals),
        number(interval.high, decimals)
    )
}

/// A number to so many decimals, with a true minus sign.
pub fn number(value: f64, decimals: usize) -> String {
    if value.is_finite() {
        signed(format!("{value:.decimals$}"))
    } else {
        "∞".to_owned()
    }
}

/// Up to two decimals, without zeros at the end: "3", "2.5".
pub fn up_to_two_decimals(value: f64) -> String {
    let text = number(value, 2);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A learning rate: "3e-4".
pub fn rate_name(rate: f64) -> String {
    format!("{rate:e}")
}

/// A number of parameters: "4.2 M".
pub fn parameters(value: i64) -> String {
    let value = value as f64;
    let (scaled, unit) = match value {
        value if value >= 1e9 => (value / 1e9, " B"),
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e3 => (value / 1e3, " k"),
        value => (value, ""),
    };
    format!(
        "{}{unit}",
        trimmed(scaled, usize::from(scaled < 100.0 && !unit.is_empty()))
    )
}

/// A number of documents that nobody should take for exact: two leading digits.
pub fn about(value: f64) -> String {
    let scale = 10_f64.powf((value.max(1.0).log10().floor() - 1.0).max(0.0));
    count(((value / scale).ceil() * scale) as u64)
}

/// "once", "twice", "16 times".
pub fn times(copies: i32) -> String {
    match copies {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        copies => format!("{copies} times"),
    }
}

/// "a", "a and b", "a, b and c".
pub fn listing(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn signed(text: String) -> String {
    match text.strip_prefix('-') {
        // What rounds to nothing has no sign.
        Some(rest) if rest.chars().all(|character| character == '0' || character == '.') => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_round_without_becoming_certain() {
        let cases = [
            (0.0, "0%"),
            (0.0001, "<0.1%"),
            (0.025, "2.5%"),
            (0.0996, "10%"),
            (0.413, "41%"),
            (0.9996, "99.9%"),
            (0.996, "99.6%"),
            (1.0, "100%"),
        ];
        for (share, expected) in cases {
            assert_eq!(percent(share), expected, "{share}");
        }
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(rate_name(3e-4), "3e-4");
        assert_eq!(count(1234), "1234");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(parameters(4_194_304), "4.2 M");
        assert_eq!(about(311.4), "320");
        assert_eq!(about(7.0), "7");
        assert_eq!(number(-0.004, 2), "0.00");
        assert_eq!(number(-0.5, 1), "−0.5");
        assert_eq!(
            points(0.381, Interval { low: 0.25, high: 0.5 }),
            "38 points (25 to 50)"
        );
        assert_eq!(listing(&["a".into(), "b".into(), "c".into()]), "a, b and c");
        assert_eq!(times(2), "twice");
    }
}
