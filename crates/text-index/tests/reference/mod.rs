//! What the exact indexes should answer, computed slowly: every place of the text against every
//! place of the corpus.

// Each test program uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use text_index::{ExactIndex, Match, Place};

/// For each place of `left` and each of `right`, how many elements they share from there on.
fn shared<T: PartialEq>(left: &[T], right: &[T]) -> Vec<Vec<usize>> {
    let mut table = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            if left[i] == right[j] {
                table[i][j] = table[i + 1][j + 1] + 1;
            }
        }
    }
    table
}

/// Starts and lengths whose end lies beyond that of all before, of those at least `minimum` long.
fn maximal(lengths: &[usize], minimum: usize) -> Vec<Range<usize>> {
    let mut furthest = 0;
    let mut spans = Vec::new();
    for (start, &length) in lengths.iter().enumerate() {
        if start + length > furthest && length > 0 {
            furthest = start + length;
            if length >= minimum {
                spans.push(start..furthest);
            }
        }
    }
    spans
}

/// All maximal passages of at least `minimum`, each at its first place.
pub fn matches_at_least<T: PartialEq>(documents: &[Vec<T>], query: &[T], minimum: usize) -> Vec<Match> {
    let tables: Vec<_> = documents.iter().map(|document| shared(query, document)).collect();
    let longest = |start: usize| {
        tables
            .iter()
            .flat_map(|table| &table[start])
            .copied()
            .max()
            .unwrap_or(0)
    };
    let lengths: Vec<usize> = (0..query.len()).map(longest).collect();
    let locate = |span: Range<usize>| {
        let places = tables.iter().enumerate().flat_map(|(document, table)| {
            let starts = table[span.start].iter().enumerate();
            starts.map(move |(start, &length)| (document, start, length))
        });
        let mut long_enough = places.filter(|(.., length)| *length >= span.len());
        let (document, start, _) = long_enough.next().unwrap_or_else(|| panic!("it occurs"));
        Match {
            document,
            in_document: start..start + span.len(),
            in_text: span,
        }
    };
    maximal(&lengths, minimum).into_iter().map(locate).collect()
}

/// All places of `pattern`.
pub fn places<T: PartialEq>(documents: &[Vec<T>], pattern: &[T]) -> Vec<Place> {
    let mut places = Vec::new();
    for (document, content) in documents.iter().enumerate() {
        for start in 0..(content.len() + 1).saturating_sub(pattern.len()) {
            if !pattern.is_empty() && content[start..].starts_with(pattern) {
                places.push(Place {
                    document,
                    in_document: start..start + pattern.len(),
                });
            }
        }
    }
    places
}

/// All maximal passages of at least `minimum` that occur at least twice.
pub fn repeats<T: PartialEq>(documents: &[Vec<T>], minimum: usize) -> Vec<Place> {
    let mut places = Vec::new();
    for (document, content) in documents.iter().enumerate() {
        let mut lengths = vec![0; content.len()];
        for (other, other_content) in documents.iter().enumerate() {
            let table = shared(content, other_content);
            for (start, length) in lengths.iter_mut().enumerate() {
                let elsewhere = table[start]
                    .iter()
                    .enumerate()
                    .filter(|(place, _)| other != document || *place != start);
                *length = elsewhere
                    .map(|(_, &length)| length)
                    .chain([*length])
                    .max()
                    .unwrap_or(0);
            }
        }
        places.extend(maximal(&lengths, minimum).into_iter().map(|in_document| Place {
            document,
            in_document,
        }));
    }
    places
}

/// Compares every answer of `index` on `query` with the slow ones.
pub fn check(index: &ExactIndex, documents: &[String], query: &str, minimum: usize, limit: usize) {
    let documents: Vec<Vec<char>> = documents
        .iter()
        .map(|document| document.chars().collect())
        .collect();
    let characters: Vec<char> = query.chars().collect();
    let context = || format!("{query:?} in {documents:?}, at least {minimum}");

    let all = matches_at_least(&documents, &characters, 1);
    let longest = all.iter().map(Match::len).max();
    let longest = longest.and_then(|length| all.iter().find(|found| found.len() == length));
    assert_eq!(index.longest_match(query).as_ref(), longest, "{}", context());
    let found = index.matches_at_least(query, minimum);
    let expected: Vec<Match> = all.into_iter().filter(|found| found.len() >= minimum).collect();
    assert_eq!(found, expected, "{}", context());

    for found in found.iter().take(5) {
        let passage = &characters[found.in_text.clone()];
        let places = places(&documents, passage);
        let mut holders: Vec<usize> = places.iter().map(|place| place.document).collect();
        holders.dedup();
        let passage = String::from_iter(passage);
        assert_eq!(
            index.document_frequency(&passage, limit),
            holders.len().min(limit),
            "{passage:?} {limit}"
        );
        holders.truncate(limit);
        assert_eq!(
            index.documents_containing(&passage, limit),
            holders,
            "{passage:?} {limit}"
        );
        let expected: Vec<Place> = places.into_iter().take(limit).collect();
        assert_eq!(index.places(&passage, limit), expected, "{passage:?} {limit}");
    }
    assert_eq!(
        index.repeats(minimum),
        repeats(&documents, minimum.max(1)),
        "{}",
        context()
    );
}

/// Texts that share passages, of all sorts of characters.
pub fn corpus_and_query(pieces: usize) -> impl Strategy<Value = (Vec<String>, String)> {
    let pool = vec(piece(), 1..8);
    let text = move || vec(any::<Index>(), 0..pieces);
    (pool, vec(text(), 0..8), text()).prop_map(|(pool, documents, query)| {
        let text = |choice: Vec<Index>| {
            choice
                .iter()
                .map(|index| index.get(&pool).as_str())
                .collect::<String>()
        };
        (documents.into_iter().map(text).collect(), text(query))
    })
}

fn piece() -> impl Strategy<Value = String> {
    // Hebrew and Arabic with a right-to-left override, a base letter with combining marks, a family
    // of joined emoji, flags, an unassigned character, NUL, and line ends; é and è share their
    // first byte.
    let tricky = prop::sample::select(vec![
        "a",
        "ab",
        "é",
        "è",
        "e\u{301}",
        "\u{301}\u{300}",
        "שלום",
        "\u{202E}مرحبا",
        "👨‍👩‍👧",
        "🇫🇷",
        "\u{10FFFF}",
        "\0",
        "\r\n",
        " ",
        "水",
        "ﬁ",
        "\u{FEFF}",
        "\u{7FF}\u{800}\u{FFFF}\u{10000}",
    ]);
    let any_text = vec(any::<char>(), 0..6).prop_map(String::from_iter);
    let run = (prop::sample::select(vec!['a', '\0', 'é', '😀']), 0..40_usize)
        .prop_map(|(character, times)| std::iter::repeat_n(character, times).collect());
    prop_oneof![4 => tricky.prop_map(str::to_owned), 2 => any_text, 1 => run, 1 => "[a-c ]{0,12}"]
}
