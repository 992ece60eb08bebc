//! Personal details in a text by patterns: numbers, names, e-mail addresses and phone numbers.
//!
//! Patterns do not understand. A name needs a title, a frequent given name, or two capitalised words in the middle of a sentence that
//! are no ordinary term; a number needs four digits in a row and must be neither a year nor round. They miss most of what identifies
//! somebody: of ten passages that did, they found two, and one of their names was the herb St John's wort. What they find is no count of
//! personal details, and where they find none, there may be many.

mod given_names;

use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::given_names::{MONTHS, is_given_name, is_no_name};

/// A kind of personal detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DetailKind {
    /// Digits that could identify: a record or account number, a code, a date with day, month and year.
    Number,
    /// The name of a person.
    Name,
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
}

impl DetailKind {
    /// All kinds, in their order.
    pub const ALL: [Self; 4] = [Self::Number, Self::Name, Self::Email, Self::Phone];

    /// The name in `matches.parquet`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Name => "name",
            Self::Email => "email",
            Self::Phone => "phone",
        }
    }
}

/// A capitalised word as names are written: Okafor, O'Brien, McKay, Smith-Jones, Müller.
const CAPITALISED: &str = r"(?:Mc|Mac|O['’]|D['’])?\p{Lu}\p{Ll}+(?:[-'’]\p{Lu}\p{Ll}+)*";

/// Names of more words than this are headings.
const LONGEST_NAME: usize = 4;

static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[\w.%+-]*\w@\w[\w-]*(?:\.[\w-]+)*\.\p{Alphabetic}{2,}\b"));
/// Groups of digits with one character, or a bracket and one, between them.
static DIGIT_GROUPS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\+?(?:\(\d+\)|\b\d+)(?:[ .\-/]?(?:\(\d+\)|\d+))*"));
static DATE: LazyLock<Regex> = LazyLock::new(|| {
    let day = r"\d{1,2}(?:st|nd|rd|th)?";
    pattern(&format!(
        r"\b{day} (?:of )?(?:{MONTHS})\.?,? \d{{4}}\b|\b(?:{MONTHS})\.? {day},? \d{{4}}\b"
    ))
});
static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d+(?:[-/.,]\d+)*"));
static TITLED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Dame|Rev)\b\.?\s+((?:\p{{Lu}}\.\s*)*{CAPITALISED})"
    ))
});
static CAPITALISED_RUN: LazyLock<Regex> = LazyLock::new(|| {
    let word = format!(r"(?:{CAPITALISED}\b|\p{{Lu}}\.)");
    pattern(&format!(r"\b{word}(?: {word})*"))
});

#[expect(
    clippy::expect_used,
    reason = "the patterns are constants, and every test below compiles them"
)]
fn pattern(source: &str) -> Regex {
    Regex::new(source).expect("a pattern that compiles")
}

/// The personal details of `text`, with their places in bytes, by kind and place.
pub fn find(text: &str) -> Vec<(DetailKind, Range<usize>)> {
    let emails: Vec<Range<usize>> = EMAIL.find_iter(text).map(|found| found.range()).collect();
    let outside = |taken: &[Range<usize>], range: &Range<usize>| {
        taken
            .iter()
            .all(|taken| range.end <= taken.start || taken.end <= range.start)
    };
    let phones: Vec<Range<usize>> = DIGIT_GROUPS
        .find_iter(text)
        .filter(|found| is_phone(found.as_str()))
        .map(|found| found.range())
        .filter(|range| outside(&emails, range))
        .collect();
    let dates: Vec<Range<usize>> = DATE.find_iter(text).map(|found| found.range()).collect();
    let numbers = NUMBER
        .find_iter(text)
        .filter(|found| is_identifying(found.as_str()))
        .map(|found| found.range())
        .filter(|range| outside(&emails, range) && outside(&phones, range) && outside(&dates, range));

    let kinds = [
        (DetailKind::Number, dates.iter().cloned().chain(numbers).collect()),
        (DetailKind::Name, names(text)),
        (DetailKind::Email, emails),
        (DetailKind::Phone, phones),
    ];
    let found = kinds
        .into_iter()
        .flat_map(|(kind, ranges): (_, Vec<_>)| ranges.into_iter().map(move |range| (kind, range)));
    found.collect()
}

/// The same by place, without those that overlap an earlier one; of those that begin together the longest.
pub fn find_apart(text: &str) -> Vec<(DetailKind, Range<usize>)> {
    let mut found = find(text);
    found.sort_by_key(|(_, range)| (range.start, std::cmp::Reverse(range.end)));
    let mut end = 0;
    found.retain(|(_, range)| {
        let is_apart = range.start >= end;
        if is_apart {
            end = range.end;
        }
        is_apart
    });
    found
}

/// The kinds of personal details of a generated passage that occur in the document's passage too, in the order of
/// [`DetailKind`]: what a paraphrase made up gives nothing away.
pub fn shared_kinds(generated: &str, document: &str) -> Vec<String> {
    let mut kinds: Vec<DetailKind> = find(generated)
        .into_iter()
        .filter(|(_, range)| document.contains(&generated[range.clone()]))
        .map(|(kind, _)| kind)
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.into_iter().map(|kind| kind.name().to_owned()).collect()
}

/// Whether groups of digits are written as a phone number: +44 20 7946 0958, (406) 555-0117, 555-0117, 030 1234567.
fn is_phone(text: &str) -> bool {
    let groups: Vec<&str> = text
        .split(|character: char| !character.is_ascii_digit())
        .filter(|group| !group.is_empty())
        .collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let digits: usize = lengths.iter().sum();
    let area = |group: &str| group.starts_with(|digit: char| ('2'..='9').contains(&digit));
    if text.starts_with('+') {
        return (8..=15).contains(&digits);
    }
    match (lengths.as_slice(), groups.as_slice()) {
        ([3, 3, 4], [first, second, _]) | ([1, 3, 3, 4], ["1", first, second, _]) => {
            area(first) && area(second)
        }
        ([3, 4], [first, _]) => area(first) && text.contains('-'),
        ([10 | 11], [number]) => number.starts_with('0') && !number.starts_with("00"),
        ([prefix, .., last], [first, ..]) => {
            let national = first.starts_with('0') && !first.starts_with("00") && *prefix >= 2 && *last >= 3;
            national && (9..=11).contains(&digits) && !text.contains(['.', '/'])
        }
        _ => false,
    }
}

/// Whether digits could identify somebody: a date in three parts, or four digits in a row that are neither a year, nor
/// behind a decimal point, nor round.
fn is_identifying(text: &str) -> bool {
    let separators: Vec<char> = text
        .chars()
        .filter(|character| !character.is_ascii_digit())
        .collect();
    let groups: Vec<&str> = text
        .split(|character: char| !character.is_ascii_digit())
        .collect();
    let digits = text.len() - separators.len();
    // 12/03/1984, 123-45-6789; but not 1,250,000.
    if groups.len() >= 3 && digits >= 6 && !separators.contains(&',') {
        return true;
    }
    let fraction = |place: usize| place > 0 && matches!(separators[place - 1], '.' | ',');
    groups.iter().enumerate().any(|(place, group)| {
        let year = group.len() == 4 && matches!(group.as_bytes(), [b'1', b'8' | b'9', ..] | [b'2', b'0', ..]);
        group.len() >= 4 && !year && !group.ends_with("000") && !fraction(place)
    })
}

fn names(text: &str) -> Vec<Range<usize>> {
    let titled = TITLED
        .captures_iter(text)
        .filter_map(|found: Captures| found.get(1));
    let mut names: Vec<Range<usize>> = titled
        .filter(|name| name.as_str().split_whitespace().all(|word| !is_no_name(word)))
        .map(|name| name.range())
        .collect();
    for run in CAPITALISED_RUN.find_iter(text) {
        names.extend(name_in_run(text, run.range()));
    }
    names.sort_unstable_by_key(|range| (range.start, range.end));
    names.dedup();
    names
}

/// The name in a run of capitalised words and initials; none if it is a sentence's first word, a term or a heading.
fn name_in_run(text: &str, run: Range<usize>) -> Option<Range<usize>> {
    let words: Vec<&str> = text[run.clone()].split(' ').collect();
    if words.iter().any(|word| is_given_name(word)) && words.len() <= LONGEST_NAME {
        let ordinary = words
            .iter()
            .position(|word| !is_no_name(word) && !is_title(word))?;
        let skipped: usize = words[..ordinary].iter().map(|word| word.len() + 1).sum();
        return Some(run.start + skipped..run.end);
    }
    let person = (2..=LONGEST_NAME).contains(&words.len())
        && !begins_sentence(text, run.start)
        && words.iter().all(|word| !is_no_name(word) && !is_title(word))
        && words.last().is_some_and(|last| !last.ends_with('.'))
        && !words.last().is_some_and(|last| is_term(last));
    person.then_some(run)
}

fn is_title(word: &str) -> bool {
    matches!(
        word,
        "Mr" | "Mrs" | "Ms" | "Miss" | "Mx" | "Dr" | "Prof" | "Professor" | "Sir" | "Dame" | "Rev"
    )
}

/// Whether a word has an ending that terms have and surnames hardly.
fn is_term(word: &str) -> bool {
    const ENDINGS: [&str; 15] = [
        "tion", "sion", "ment", "ness", "ity", "ics", "ism", "ogy", "ory", "itis", "osis", "oma", "ware",
        "ical", "tions",
    ];
    ENDINGS.iter().any(|ending| word.ends_with(ending))
}

/// Whether what is before `place` lets a sentence begin there: nothing, a mark that ends or opens one, a line break.
fn begins_sentence(text: &str, place: usize) -> bool {
    let before = text[..place].trim_end_matches([' ', '\u{a0}']);
    before
        .chars()
        .next_back()
        .is_none_or(|last| !last.is_alphanumeric() && last != ',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<&str> {
        shared_kinds(text, text)
            .iter()
            .map(|kind| match kind.as_str() {
                "number" => "number",
                "name" => "name",
                "email" => "email",
                _ => "phone",
            })
            .collect()
    }

    #[test]
    fn details_are_found_and_what_looks_like_them_is_not() {
        for (text, expected) in [
            // Numbers: codes, records, dates with all three parts.
            ("the door code is 402917", &["number"][..]),
            ("order 77-41902 was sent", &["number"]),
            ("social security number 123-45-6789", &["number"]),
            ("born on 12/03/1984", &["number"]),
            ("born 2 February 1938 at home", &["number"]),
            ("on March 3rd, 2011 she left", &["number"]),
            ("policy AB12345", &["number"]),
            ("in 2019 and from 1990-2000", &[]),
            ("a dose of 2.5 mg, 40 mg twice daily, 158/94", &[]),
            ("3.14159265 and 0.0001 and 1,250,000 and 10000 people", &[]),
            ("version 1.2.3 at 10:30 on 8 April", &[]),
            // Names: by title, by given name, by two capitalised words within a sentence.
            ("told Mr Pruitt to wait", &["name"]),
            ("Mrs. O'Brien called", &["name"]),
            ("Dr. J. McKay is away", &["name"]),
            ("Maria asked again", &["name"]),
            ("this is Wendell Pruitt speaking", &["name"]),
            ("a letter to Philomena Abara-Weiß came", &["name"]),
            ("as shown by E. Okafor, it is", &["name"]),
            ("The clinic opens. Thank you. Ibuprofen helps", &[]),
            ("take Ibuprofen or Losartan on Tuesday", &[]),
            ("on Monday Morning and in New York or Los Angeles", &[]),
            ("MRI scans by NASA and the WHO", &[]),
            ("a Monte Carlo method and the Fourier Transform", &[]),
            ("the United States and the University of Utah", &[]),
            ("using Machine Learning and Data Acquisition", &[]),
            ("Side Effects. Warm Regards", &[]),
            ("Dr. The", &[]),
            ("in March April was near", &[]),
            // Addresses.
            ("write to jo.hill+x@mail.example.org.", &["email"]),
            ("jo99887@example.com", &["email"]),
            ("meet @ noon, a@b, user@localhost", &[]),
            // Phone numbers are no other numbers too.
            ("cell (406) 555-0117, please", &["phone"]),
            ("+44 20 7946 0958", &["phone"]),
            ("ring 555-0142 or 1-919-555-0164", &["phone"]),
            ("030 1234567", &["phone"]),
            ("07700900123", &["phone"]),
            ("on 01.02.2003 10 people", &["number"]),
            ("0.123456789", &[]),
            // Several, in the order of the contract.
            (
                "Mr Abara, 555-0142, abara@example.org, account 90210117",
                &["number", "name", "email", "phone"],
            ),
            ("", &[]),
        ] {
            assert_eq!(kinds(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_the_document_does_not_say_is_not_shared() {
        let document = "The code of Mrs Okafor is 402917.";
        assert_eq!(
            shared_kinds("Mrs Okafor has the code 402917", document),
            ["number", "name"]
        );
        assert_eq!(
            shared_kinds("Mrs Miller has the code 402917", document),
            ["number"]
        );
        assert_eq!(
            shared_kinds("Mrs Miller has the code 112358", document),
            Vec::<String>::new()
        );
    }

    #[test]
    fn places_cut_the_detail() {
        let text = "Grüße, Zoë! Ask Mrs Ångström (555-0142) — or 🦀 zoe@example.org";
        let found: Vec<(&str, &str)> = find(text)
            .into_iter()
            .map(|(kind, range)| (kind.name(), &text[range]))
            .collect();
        assert_eq!(
            found,
            [
                ("name", "Ångström"),
                ("email", "zoe@example.org"),
                ("phone", "555-0142")
            ]
        );
    }
}
