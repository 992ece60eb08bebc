//! The candidate index against BM25 written out, and cases worked by hand.

use proptest::collection::vec;
use proptest::prelude::*;
use text_index::CandidateIndex;

/// BM25 as documented, in double precision, for texts of lower-case words between single spaces.
fn scores(documents: &[String], query: &str) -> Vec<f64> {
    let documents: Vec<Vec<&str>> = documents
        .iter()
        .map(|text| text.split_whitespace().collect())
        .collect();
    let count = documents.len() as f64;
    let mean_length = documents.iter().map(Vec::len).sum::<usize>() as f64 / count;
    let score = |document: &Vec<&str>, word: &str| {
        let holding = documents.iter().filter(|other| other.contains(&word)).count() as f64;
        let frequency = document.iter().filter(|other| **other == word).count() as f64;
        let idf = (1.0 + (count - holding + 0.5) / (holding + 0.5)).ln();
        let length = 1.0 - 0.75 + 0.75 * document.len() as f64 / mean_length;
        if frequency == 0.0 {
            0.0
        } else {
            idf * frequency * 2.2 / (frequency + 1.2 * length)
        }
    };
    documents
        .iter()
        .map(|document| query.split_whitespace().map(|word| score(document, word)).sum())
        .collect()
}

fn words(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "whale", "ship", "sea", "captain", "leg", "harpoon", "42", "été",
    ]);
    vec(word, length).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn scores_and_order_agree_with_the_formula(
        documents in vec(words(0..30), 0..20),
        query in words(0..20),
        limit in 0..25_usize,
    ) {
        let index = CandidateIndex::build(&documents.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let candidates = index.candidates(&query, limit).unwrap();
        let expected = scores(&documents, &query);

        let matching = expected.iter().filter(|score| **score > 0.0).count();
        prop_assert_eq!(candidates.len(), matching.min(limit));
        for candidate in &candidates {
            let expected = expected[candidate.document];
            prop_assert!((f64::from(candidate.score) - expected).abs() < 1e-4 * expected, "{candidate:?} {expected}");
        }
        let in_order = |left: &text_index::Candidate, right: &text_index::Candidate| {
            left.score > right.score || left.score == right.score && left.document < right.document
        };
        prop_assert!(candidates.is_sorted_by(in_order));
        // Nothing that was left out scores better than what was taken.
        if let Some(last) = candidates.last() {
            let taken = |document: usize| candidates.iter().any(|candidate| candidate.document == document);
            for (document, score) in expected.iter().enumerate().filter(|(document, _)| !taken(*document)) {
                prop_assert!(*score <= f64::from(last.score) * 1.0001, "{document} was left out");
            }
        }
    }

    #[test]
    fn any_text_is_a_valid_query(query in any::<String>()) {
        let index = CandidateIndex::build(&["a whale", "", "\0 😀"]).unwrap();
        prop_assert!(index.candidates(&query, 10).is_ok());
    }
}

#[test]
fn stop_words_and_syntax_are_no_query() {
    let index =
        CandidateIndex::build(&["the and of it", "AND the ship", "title:ship* -sea", "whale"]).unwrap();
    for (text, expected) in [
        ("", &[][..]),
        ("the and of", &[]),
        ("It's what they don't do", &[]),
        ("unheard", &[]),
        ("WHALE", &[3]),
        ("\"the whale", &[3]),
        ("+whale -ship:*^~", &[3, 1, 2]),
        ("title:", &[2]),
    ] {
        let candidates = index.candidates(text, 10).unwrap();
        let documents: Vec<usize> = candidates.iter().map(|candidate| candidate.document).collect();
        assert_eq!(documents, expected, "{text:?}");
    }
}

#[test]
fn equal_documents_come_in_their_order() {
    let documents = [
        "a whale and a ship",
        "a whale",
        "a whale and a ship",
        "a whale and a ship",
    ];
    let index = CandidateIndex::build(&documents).unwrap();
    let documents: Vec<usize> = index
        .candidates("ship whale", 3)
        .unwrap()
        .iter()
        .map(|candidate| candidate.document)
        .collect();
    assert_eq!(documents, [0, 2, 3]);
}

#[test]
fn empty_corpora_have_no_candidates() {
    for documents in [&[][..], &["", ""]] {
        let index = CandidateIndex::build(documents).unwrap();
        assert_eq!(index.candidates("whale", 10).unwrap(), []);
    }
}
