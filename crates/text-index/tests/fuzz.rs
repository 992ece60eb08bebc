//! As long as one likes:
//! `TEXT_INDEX_FUZZ_SECONDS=600 cargo test -p text-index --test fuzz -- --ignored --nocapture`.

mod reference;

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use text_index::{CandidateIndex, ExactIndex, ExactIndexBuilder};

/// A line of about a megabyte and a text that holds parts of it: every answer cuts equal, valid
/// text.
#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn check_large(documents: &[String], query: &str, minimum: usize) {
    let lines: Vec<String> = documents
        .iter()
        .map(|document| document.repeat(1_000_000 / document.len().max(1)))
        .collect();
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    let index = ExactIndex::build(&texts).unwrap();
    let cut = |text: &str, span: &std::ops::Range<usize>| {
        text.chars().skip(span.start).take(span.len()).collect::<String>()
    };
    let mut found = index.matches_at_least(query, minimum);
    found.extend(index.longest_match(query));
    for found in found.iter().take(20) {
        let passage = cut(query, &found.in_text);
        assert_eq!(passage.chars().count(), found.len());
        assert_eq!(cut(texts[found.document], &found.in_document), passage);
        assert!(index.document_frequency(&passage, usize::MAX) > 0);
    }
    for place in index.repeats(1_000).iter().take(3) {
        let passage = cut(texts[place.document], &place.in_document);
        assert_eq!(passage.chars().count(), place.in_document.len());
        assert!(index.places(&passage, 2).len() == 2);
    }
}

#[test]
#[ignore = "runs for as long as it is told to"]
fn arbitrary_unicode() {
    let seconds = std::env::var("TEXT_INDEX_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(10));
    let mut runner = TestRunner::new(ProptestConfig::default());
    let strategy = (
        reference::corpus_and_query(30),
        0..40_usize,
        0..6_usize,
        0..2_000_usize,
    );
    let folder = tempfile::tempdir().unwrap();
    let mut cases = 0;
    while Instant::now() < end {
        let ((documents, query), minimum, limit, shard_bytes) =
            strategy.new_tree(&mut runner).unwrap().current();
        let texts: Vec<&str> = documents.iter().map(String::as_str).collect();
        reference::check(
            &ExactIndex::build(&texts).unwrap(),
            &documents,
            &query,
            minimum,
            limit,
        );
        let mut builder = ExactIndexBuilder::new(folder.path(), shard_bytes).unwrap();
        for document in &documents {
            builder.push(document).unwrap();
        }
        reference::check(&builder.finish().unwrap(), &documents, &query, minimum, limit);
        CandidateIndex::build(&texts)
            .unwrap()
            .candidates(&query, limit)
            .unwrap();
        if cases % 500 == 0 {
            check_large(&documents, &query, minimum);
        }
        cases += 1;
    }
    println!("{cases} cases");
}
