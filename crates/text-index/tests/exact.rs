//! The two exact indexes against slow references that try every substring, and cases worked by
//! hand.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use text_index::{ExactIndex, Match, TokenIndex};

/// Every substring of `query` that occurs in a document, with the first place where it does.
fn occurring<T: PartialEq>(documents: &[Vec<T>], query: &[T]) -> Vec<Match> {
    let spans = (0..query.len()).flat_map(|start| (start + 1..=query.len()).map(move |end| start..end));
    spans
        .filter_map(|span| first_place(documents, query, span))
        .collect()
}

fn first_place<T: PartialEq>(documents: &[Vec<T>], query: &[T], in_text: Range<usize>) -> Option<Match> {
    let pattern = &query[in_text.clone()];
    documents.iter().enumerate().find_map(|(document, content)| {
        let start = content
            .windows(pattern.len())
            .position(|window| window == pattern)?;
        Some(Match {
            in_text: in_text.clone(),
            document,
            in_document: start..start + pattern.len(),
        })
    })
}

fn longest(occurring: &[Match]) -> Option<Match> {
    let length = occurring.iter().map(Match::len).max()?;
    occurring.iter().find(|found| found.len() == length).cloned()
}

fn maximal(occurring: &[Match], minimum: usize) -> Vec<Match> {
    let inside = |inner: &Match, outer: &Match| {
        inner != outer && outer.in_text.start <= inner.in_text.start && inner.in_text.end <= outer.in_text.end
    };
    let is_maximal = |found: &&Match| !occurring.iter().any(|other| inside(found, other));
    occurring
        .iter()
        .filter(is_maximal)
        .filter(|found| found.len() >= minimum)
        .cloned()
        .collect()
}

fn containing<T: PartialEq>(documents: &[Vec<T>], pattern: &[T], limit: usize) -> Vec<usize> {
    let holds =
        |content: &[T]| pattern.is_empty() || content.windows(pattern.len()).any(|window| window == pattern);
    (0..documents.len())
        .filter(|&document| holds(&documents[document]))
        .take(limit)
        .collect()
}

/// Few distinct characters, so that texts and documents share passages: one to four bytes long,
/// with a NUL, a combining mark, and characters that share their first bytes (é and è, the two
/// emoji) without being equal.
fn text(length: Range<usize>) -> impl Strategy<Value = String> {
    let character = prop::sample::select(vec!['a', 'b', '\0', 'é', 'è', '\u{301}', '水', '😀', '😁']);
    vec(character, length).prop_map(String::from_iter)
}

fn tokens(length: Range<usize>) -> impl Strategy<Value = Vec<u32>> {
    vec(prop::sample::select(vec![0, 1, 2, 50_256, u32::MAX]), length)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn characters_agree_with_trying_every_substring(
        documents in vec(text(0..30), 0..6),
        query in text(0..25),
        minimum in 0..6_usize,
        limit in 0..6_usize,
    ) {
        let index = ExactIndex::build(&documents.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let documents: Vec<Vec<char>> = documents.iter().map(|document| document.chars().collect()).collect();
        let characters: Vec<char> = query.chars().collect();
        let expected = occurring(&documents, &characters);
        prop_assert_eq!(index.longest_match(&query), longest(&expected));
        prop_assert_eq!(index.matches_at_least(&query, minimum), maximal(&expected, minimum));
        for length in 0..=characters.len().min(3) {
            let pattern = String::from_iter(&characters[..length]);
            let expected = containing(&documents, &characters[..length], limit);
            prop_assert_eq!(index.documents_containing(&pattern, limit), expected, "{:?}", pattern);
        }
    }

    #[test]
    fn tokens_agree_with_trying_every_subsequence(
        documents in vec(tokens(0..30), 0..6),
        query in tokens(0..25),
        minimum in 0..6_usize,
        limit in 0..6_usize,
    ) {
        let index = TokenIndex::build(&documents.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        let expected = occurring(&documents, &query);
        prop_assert_eq!(index.longest_match(&query), longest(&expected));
        prop_assert_eq!(index.matches_at_least(&query, minimum), maximal(&expected, minimum));
        for length in 0..=query.len().min(3) {
            let expected = containing(&documents, &query[..length], limit);
            prop_assert_eq!(index.documents_containing(&query[..length], limit), expected);
        }
    }
}

fn found(in_text: Range<usize>, document: usize, in_document: Range<usize>) -> Match {
    Match {
        in_text,
        document,
        in_document,
    }
}

#[test]
fn the_longest_match_counts_characters_and_prefers_what_comes_first() {
    for (documents, text, expected) in [
        (&[][..], "abc", None),
        (&["", ""], "abc", None),
        (&["abc"], "", None),
        (&["abc"], "xyz", None),
        // "ab" and "cd" are equally long: the first in the text wins, then the first document, then
        // the first place.
        (&["cd", "xab ab", "ab"], "cdab", Some(found(0..2, 0, 0..2))),
        (&["cd", "xab ab", "ab"], "abcd", Some(found(0..2, 1, 1..3))),
        // No match runs from one document into the next.
        (&["ab", "cd"], "abcd", Some(found(0..2, 0, 0..2))),
        // Three letters beat two emoji, though these are eight bytes.
        (&["😀😁", "abc"], "😀😁 abc", Some(found(3..6, 1, 0..3))),
        // é (C3 A9) and è (C3 A8) share a byte, not a character.
        (&["é"], "è", None),
        (&["xxé-"], "é", Some(found(0..1, 0, 2..3))),
        // A NUL is a character like any other.
        (&["a\0b"], "\0b", Some(found(0..2, 0, 1..3))),
        // A base letter matches without its combining mark; the marks of a composed letter do not.
        (&["e\u{301}te\u{301}"], "été", Some(found(1..2, 0, 2..3))),
    ] {
        let index = ExactIndex::build(documents).unwrap();
        assert_eq!(index.longest_match(text), expected, "{text:?} in {documents:?}");
    }
}

#[test]
fn maximal_matches_may_overlap_and_are_never_nested() {
    let index = ExactIndex::build(&["the cat sat", "cat sat on", "on mats"]).unwrap();
    // "the cat sat" (11) from document 0, "cat sat on" (10) from document 1, " mat" with the "on"
    // before it from document 2.
    assert_eq!(
        index.matches_at_least("the cat sat on mat", 6),
        [
            found(0..11, 0, 0..11),
            found(4..14, 1, 0..10),
            found(12..18, 2, 0..6)
        ]
    );
    assert_eq!(
        index.matches_at_least("the cat sat on mat", 11),
        [found(0..11, 0, 0..11)]
    );
    assert_eq!(index.documents_containing("cat sat", 10), [0, 1]);
    assert_eq!(index.documents_containing("cat sat", 1), [0]);
}

/// A whole copied document is one match, found without a search per character: this would not end
/// in time otherwise.
#[test]
fn a_long_copied_text_is_found_whole() {
    let document = (0..200_000)
        .map(|number: u32| number.to_string())
        .collect::<Vec<_>>()
        .join(" ");
    let length = document.chars().count();
    let index = ExactIndex::build(&["prelude", &document]).unwrap();
    assert_eq!(
        index.longest_match(&document),
        Some(found(0..length, 1, 0..length))
    );
}

/// Half a million overlapping passages of half a million characters: to compare each would take
/// hours.
#[test]
fn a_run_longer_than_any_of_the_corpus_is_found_at_every_place() {
    let long = |pattern: &str| pattern.repeat(1_000_000 / pattern.len());
    for pattern in ["a", "\0", "é", "😀", "+--", "- \r\n"] {
        let text = long(pattern) + &long(pattern) + "!";
        let document = long(pattern);
        let index = ExactIndex::build(&["?", &document]).unwrap();
        let length = document.chars().count();
        let period = pattern.chars().count();
        // Every maximal passage is the whole document; a period later it occurs again.
        let expected: Vec<Match> = (0..=length)
            .step_by(period)
            .map(|start| found(start..start + length, 1, 0..length))
            .collect();
        assert_eq!(
            index.longest_match(&text).as_ref(),
            expected.first(),
            "{pattern:?}"
        );
        let matches = index.matches_at_least(&text, 1_000);
        assert!(
            matches.iter().filter(|found| found.len() == length).eq(&expected),
            "{pattern:?}"
        );
    }
}
