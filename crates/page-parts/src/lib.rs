//! The pieces that the pages of this project share: their style, sections with contents, banners, and how numbers and foreign text are
//! written. A page is one file that needs no other, no script and no network.

use maud::{Markup, PreEscaped, html};

/// The style sheet.
pub const STYLE: &str = include_str!("style.css");

/// The day of a time in seconds since 1970, in UTC (Hinnant's `civil_from_days`).
pub fn date(seconds: u64) -> String {
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The head of a page with this title, whose printed pages carry `identity`.
pub fn head(title: &Markup, identity: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) }
            style { (PreEscaped(STYLE)) (PreEscaped(print_rule(identity))) }
        }
    }
}

/// What must be read before anything else.
pub fn banner(severity: Severity, title: &str, content: &Markup) -> Markup {
    html! {
        div class={ "banner " (severity.class()) } role="note" {
            p class="banner-title" { (title) }
            (content)
        }
    }
}

/// How much a banner matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// To know beside the figures.
    Notice,
    /// To know before the page is used.
    Warning,
    /// Nothing can be concluded before it is settled.
    Blocking,
}

impl Severity {
    fn class(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Blocking => "blocking",
        }
    }
}

/// A section of the page: what the contents list and what links lead to.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its anchor: lower-case letters, digits and hyphens.
    pub id: &'static str,
    /// Its heading.
    pub heading: String,
    /// Its content; an empty one is left out of the page and of the contents.
    pub content: Markup,
}

impl Section {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.content.0.trim().is_empty()
    }

    /// The section under its heading, which links to itself.
    pub fn render(&self) -> Markup {
        html! {
            section aria-labelledby=(self.id) {
                h2 id=(self.id) { a class="anchor" href={ "#" (self.id) } { (self.heading) } }
                (self.content)
            }
        }
    }
}

/// The list of sections.
pub fn contents(sections: &[Section]) -> Markup {
    html! {
        nav class="contents" aria-label="Contents" {
            ol { @for section in sections.iter().filter(|section| !section.is_empty()) {
                li { a href={ "#" (section.id) } { (section.heading) } }
            } }
        }
    }
}

/// Text from outside as it can be shown: control characters, which a page may not hold, as their pictures; the marks that turn
/// the direction of what follows are shown as what they are, so that no text can change how the page around it reads.
pub fn visible(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\t' => character,
            '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}'),
            '\u{7f}' => '\u{2421}',
            '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            _ => character,
        })
        .collect()
}

/// The style rule that prints what the page is about at the head of every printed page, and the number of the page at its foot.
pub fn print_rule(identity: &str) -> String {
    let escaped: String = identity
        .chars()
        .map(|character| match character {
            ' ' | '.' | ',' | '-' => character.to_string(),
            _ if character.is_ascii_alphanumeric() => character.to_string(),
            // Everything else by number: no text can end the string or the style sheet.
            _ => format!("\\{:x} ", u32::from(character)),
        })
        .collect();
    format!(
        "@page{{@top-left{{content:\"{escaped}\"}}@bottom-right{{content:counter(page) \" of \" counter(pages)}}}}"
    )
}

/// A share as a percentage: whole from 10% on, one decimal below.
pub fn percent(share: f64) -> String {
    format!("{}%", percent_number(share))
}

/// The same without its sign.
pub fn percent_number(share: f64) -> String {
    let percentage = share * 100.0;
    // A share that is not 0 or 1 must not be rounded to it.
    if share > 0.0 && percentage < 0.05 {
        return "<0.1".to_owned();
    }
    if share < 1.0 && percentage >= 99.5 {
        return trimmed(percentage.min(99.9), 1);
    }
    if percentage < 9.95 {
        trimmed(percentage, 1)
    } else {
        format!("{percentage:.0}")
    }
}

/// A number to so many decimals, without a `.0` at its end.
pub fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_suffix(".0") {
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

/// A count with thin spaces between thousands: "1 234".
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && digits.len() > 4 {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_735_689_599, "2024-12-31"),
            (4_107_542_400, "2100-03-01"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(date(seconds), expected);
        }
    }
}
