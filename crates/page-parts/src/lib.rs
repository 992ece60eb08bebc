//! The pieces that the pages of this project share: their style, sections with contents, banners, and how numbers and foreign text are
//! written. A page is one file that needs no other and no network; its one script only sorts and filters tables.

use maud::{Markup, PreEscaped, html};
use sha2::{Digest, Sha256};
use unicode_normalization::char::is_combining_mark;

/// The style sheet.
pub const STYLE: &str = include_str!("style.css");

/// The script that sorts and filters tables; a page without it says the same.
const SCRIPT: &str = include_str!("tables.js");

/// The element with the script of tables, for the end of a page's body.
pub fn script() -> Markup {
    html! { script { (PreEscaped(SCRIPT)) } }
}

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

/// The head of a page with this title, whose printed pages carry `identity`. Its content security policy allows the page its own style sheet
/// and [`script`] and nothing else: should a text of a corpus ever come to stand in it as markup, nothing runs and nothing is loaded or sent.
pub fn head(title: &Markup, identity: &str) -> Markup {
    let style = format!("{STYLE}{}", print_rule(identity));
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(content_policy(&style));
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) }
            style { (PreEscaped(style)) }
        }
    }
}

/// What a page with this style sheet may do.
fn content_policy(style: &str) -> String {
    let digest = |text: &str| base64(&Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        digest(style),
        digest(SCRIPT)
    )
}

/// Bytes in base64 (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number = (0..3).fold(0, |number, place| {
            number << 8 | u32::from(group.get(place).copied().unwrap_or(0))
        });
        for digit in 0..4 {
            text.push(if digit <= group.len() {
                char::from(DIGITS[(number >> (18 - 6 * digit)) as usize & 63])
            } else {
                '='
            });
        }
    }
    text
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

/// Most combining marks of one character that are shown; no script writes more, and a pile of them covers the lines around it.
const MAX_MARKS: usize = 8;

/// Where a text of its own direction begins and ends, within a line: the direction is that of its first letter.
const FIRST_STRONG_ISOLATE: char = '\u{2068}';
const POP_DIRECTIONAL_ISOLATE: char = '\u{2069}';

/// Text from outside as it can be shown, so that no text can change how the page around it reads: control characters, which a page may not
/// hold, as their pictures; the marks that turn the direction of what follows, and combining marks beyond a few, as U+FFFD; a line with
/// letters that are written from right to left apart from what is before and behind it.
pub fn visible(text: &str) -> String {
    let lines = text.split('\n').map(visible_line);
    lines.collect::<Vec<String>>().join("\n")
}

fn visible_line(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut marks = 0;
    for character in line.chars() {
        marks = if is_combining_mark(character) {
            marks + 1
        } else {
            0
        };
        match character {
            // One for all that are left out.
            _ if marks == MAX_MARKS + 1 => shown.push('\u{fffd}'),
            _ if marks > MAX_MARKS => {}
            '\t' => shown.push('\t'),
            '\u{0}'..='\u{1f}' => {
                shown.push(char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}'));
            }
            '\u{7f}' => shown.push('\u{2421}'),
            '\u{80}'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => shown.push('\u{fffd}'),
            _ => shown.push(character),
        }
    }
    if shown.chars().any(is_right_to_left) {
        shown.insert(0, FIRST_STRONG_ISOLATE);
        shown.push(POP_DIRECTIONAL_ISOLATE);
    }
    shown
}

/// A page as it is written: whatever name was put into it as it is turns no text around it either. What pages say themselves holds no mark
/// of direction but those that isolate, and no control character but line feeds and tabs.
pub fn finished(page: Markup) -> String {
    let is_allowed = |character: char| match character {
        '\n' | '\t' => true,
        '\u{202a}'..='\u{202e}' | '\u{2066}' | '\u{2067}' => false,
        _ => !character.is_control(),
    };
    let page = page.into_string();
    if page.chars().all(is_allowed) {
        return page;
    }
    page.chars()
        .map(|character| {
            if is_allowed(character) {
                character
            } else {
                '\u{fffd}'
            }
        })
        .collect()
}

/// Whether a character is in a block of a script that is written from right to left, or a mark that counts as one of its letters.
fn is_right_to_left(character: char) -> bool {
    matches!(
        character,
        '\u{590}'..='\u{8ff}'
            | '\u{200f}'
            | '\u{fb1d}'..='\u{fdff}'
            | '\u{fe70}'..='\u{fefe}'
            | '\u{10800}'..='\u{10fff}'
            | '\u{1e800}'..='\u{1efff}'
    )
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
    use super::*;

    #[test]
    fn base64_is_that_of_its_standard() {
        // RFC 4648, section 10.
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
    }

    #[test]
    fn the_policy_allows_this_style_sheet_and_the_script_of_tables_alone() {
        // printf 'p{color:red}' | openssl dgst -sha256 -binary | base64
        let style = "p0bF+un5yUb9MBO6xRb8kPHlY2BdpHVtLiFkDrZPF64=";
        let digest = base64(&Sha256::digest(SCRIPT));
        assert_eq!(
            content_policy("p{color:red}"),
            format!(
                "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
            )
        );
        assert_eq!(
            script().into_string().matches("script>").count(),
            2,
            "it ends where it should"
        );
    }

    #[test]
    fn text_from_outside_changes_nothing_around_it() {
        for (text, expected) in [
            ("plain\ttext\nin lines", "plain\ttext\nin lines"),
            (
                "a\0b\u{1b}c\u{7f}d\u{85}e",
                "a\u{2400}b\u{241b}c\u{2421}d\u{fffd}e",
            ),
            ("to the \u{202e}left\u{202c}", "to the \u{fffd}left\u{fffd}"),
            ("\u{2069}out\u{2066}", "\u{fffd}out\u{fffd}"),
            ("a\u{2029}b", "a\u{fffd}b"),
            // Each line is apart: no isolation outlives its paragraph.
            (
                "שלום\nhello\nسلام",
                "\u{2068}שלום\u{2069}\nhello\n\u{2068}سلام\u{2069}",
            ),
            ("x\u{200f}", "\u{2068}x\u{200f}\u{2069}"),
            ("é e\u{301}\u{302}", "é e\u{301}\u{302}"),
        ] {
            assert_eq!(visible(text), expected, "{text:?}");
        }
        let pile = format!("a{}b", "\u{301}".repeat(500));
        let shown = format!("a{}\u{fffd}b", "\u{301}".repeat(8));
        assert_eq!(visible(&pile), shown);
    }

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
