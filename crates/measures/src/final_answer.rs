//! The final answer of a worked solution, as the data sets of mathematical problems mark it.

/// The final answer in a text: what the last `#### …` line gives, else the last `\boxed{…}`, else `None`.
///
/// After `####` (GSM8K) stands the rest of the line; where its first word is a number, that number without `$`, thousands separators and
/// a full stop at its end, else the whole rest. A `\boxed` (MATH) gives what stands between its matching braces. A marker without an
/// answer does not count. Compare answers by [`equal`]. Sources: Cobbe et al. 2021; Hendrycks et al. 2021.
pub fn final_answer(text: &str) -> Option<String> {
    after_hashes(text).or_else(|| in_box(text))
}

/// Whether two answers are the same: as decimal numbers where both are numbers (1,000 = 1000.0 = $1000), else letter by letter
/// after trimming.
///
/// Numbers are compared digit by digit, so that no rounding makes two long ones equal. A fraction, an exponent or a unit is no
/// decimal number.
pub fn equal(left: &str, right: &str) -> bool {
    match (Decimal::parse(left), Decimal::parse(right)) {
        (Some(left), Some(right)) => left == right,
        _ => left.trim() == right.trim(),
    }
}

fn after_hashes(text: &str) -> Option<String> {
    const MARKER: &str = "####";
    text.rmatch_indices(MARKER).find_map(|(start, _)| {
        let line = text[start + MARKER.len()..].lines().next()?;
        // A longer row of hashes is one marker.
        let rest = line.trim_start_matches('#').trim();
        let first = rest.split_whitespace().next()?;
        let number: String = first
            .trim_end_matches('.')
            .chars()
            .filter(|&character| character != ',' && character != '$')
            .collect();
        Some(if Decimal::parse(&number).is_some() {
            number
        } else {
            rest.to_owned()
        })
    })
}

fn in_box(text: &str) -> Option<String> {
    const MARKER: &str = "\\boxed{";
    text.rmatch_indices(MARKER).find_map(|(start, _)| {
        let inside = &text[start + MARKER.len()..];
        let mut depth = 1;
        let end = inside.char_indices().find_map(|(index, character)| {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(index)
        })?;
        let answer = inside[..end].trim();
        (!answer.is_empty()).then(|| answer.to_owned())
    })
}

/// A decimal number in its shortest form.
#[derive(PartialEq)]
struct Decimal {
    negative: bool,
    whole: String,
    fraction: String,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().replace('−', "-");
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(&text)),
        };
        let text = text.strip_prefix('$').unwrap_or(text);
        let text = text.strip_suffix('.').unwrap_or(text);
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let whole = without_separators(whole)?;
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(&whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
            return None;
        }
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let zero = whole.is_empty() && fraction.is_empty();
        Some(Self {
            negative: negative && !zero,
            whole,
            fraction,
        })
    }
}

/// A whole number without its thousands separators; `None` where a comma separates anything else.
fn without_separators(whole: &str) -> Option<String> {
    let mut groups = whole.split(',');
    let first = groups.next()?;
    let groups: Vec<&str> = groups.collect();
    let separated =
        groups.is_empty() || ((1..=3).contains(&first.len()) && groups.iter().all(|group| group.len() == 3));
    separated.then(|| first.to_owned() + &groups.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_marked_answer_is_found() {
        let cases = [
            ("She has 3 + 4 = 7.\n#### 7", Some("7")),
            ("#### 1,234.50", Some("1234.50")),
            ("#### $1,000.", Some("1000")),
            ("####-5 apples", Some("-5")),
            ("#### 7\n\nQuestion: next\n#### 8\nmore", Some("8")),
            // The last marker has no answer.
            ("#### 7\n####", Some("7")),
            ("#### 7\n#### \n", Some("7")),
            ("##### 9", Some("9")),
            ("#### half of it, x", Some("half of it, x")),
            // Hashes come before boxes.
            ("\\boxed{3} #### 4", Some("4")),
            ("so \\boxed{3} or \\boxed{\\frac{1}{2}}.", Some("\\frac{1}{2}")),
            // Cut off inside the last box.
            ("so \\boxed{3} or \\boxed{\\frac{1}", Some("3")),
            ("\\boxed{ } \\boxed{}", None),
            ("the answer is 7", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(final_answer(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_equal_however_they_are_written() {
        for (left, right, expected) in [
            ("1,000", "1000.0", true),
            ("1000", "1000.", true),
            ("$5", "5.00", true),
            ("-0", "0", true),
            (".5", "0.50", true),
            ("−3", "-3", true),
            ("3", "-3", false),
            // Two numbers, not one.
            ("1,2", "12", false),
            ("1,2", " 1,2", true),
            // Equal as floats, not as numbers.
            ("9007199254740993", "9007199254740992", false),
            ("1e3", "1000", false),
            ("nan", "NaN", false),
            ("x", " x ", true),
            ("", "0", false),
        ] {
            assert_eq!(equal(left, right), expected, "{left:?} {right:?}");
            assert_eq!(equal(right, left), expected, "{right:?} {left:?}");
        }
    }
}
