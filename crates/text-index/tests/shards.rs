//! Answers agree with the slow reference, and depend neither on shards nor on whether the index
//! lies in memory or in files.

mod reference;

use proptest::prelude::*;
use text_index::{ExactIndex, ExactIndexBuilder, TokenIndex, TokenIndexBuilder};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn answers_are_those_of_the_reference(
        (documents, query) in reference::corpus_and_query(10),
        minimum in 0..20_usize,
        limit in 0..6_usize,
        shard_bytes in 0..200_usize,
    ) {
        let texts: Vec<&str> = documents.iter().map(String::as_str).collect();
        let index = ExactIndex::build(&texts).unwrap();
        reference::check(&index, &documents, &query, minimum, limit);

        let folder = tempfile::tempdir().unwrap();
        let mut builder = ExactIndexBuilder::new(folder.path(), shard_bytes).unwrap();
        for document in &documents {
            builder.push(document).unwrap();
        }
        reference::check(&builder.finish().unwrap(), &documents, &query, minimum, limit);
        let opened = ExactIndex::open(folder.path()).unwrap();
        reference::check(&opened, &documents, &query, minimum, limit);
        // Many texts looked up together get the answers of each alone, whatever is found in which shard.
        let together: Vec<&str> = texts.iter().copied().chain([query.as_str(), ""]).collect();
        let mut shards = 0;
        let longest = opened.longest_match_of_each(&together, || shards += 1);
        prop_assert_eq!(shards, opened.shards());
        let matches = opened.matches_of_each(&together, minimum, || ());
        for ((text, longest), matches) in together.iter().zip(longest).zip(matches) {
            prop_assert_eq!(longest, index.longest_match(text));
            prop_assert_eq!(matches, index.matches_at_least(text, minimum));
        }
        prop_assert_eq!(opened.map_texts(str::to_owned), &documents[..]);
        prop_assert_eq!(opened.documents(), documents.len());
        for (number, document) in documents.iter().enumerate() {
            prop_assert_eq!(opened.text(number), Some(document.as_str()));
            prop_assert_eq!(index.text(number), Some(document.as_str()));
        }
        prop_assert_eq!(opened.text(documents.len()), None);
        prop_assert_eq!(opened.corpus_digest(), ExactIndex::digest_of(&documents));
        prop_assert_eq!(opened.corpus_digest(), index.corpus_digest());
    }

    #[test]
    fn tokens_are_found_across_shards_and_files(
        (documents, query) in reference::corpus_and_query(10),
        minimum in 1..10_usize,
        shard_tokens in 0..100_usize,
    ) {
        let tokens = |text: &String| text.chars().map(u32::from).collect::<Vec<u32>>();
        let documents: Vec<Vec<u32>> = documents.iter().map(tokens).collect();
        let query = tokens(&query);
        let folder = tempfile::tempdir().unwrap();
        let mut builder = TokenIndexBuilder::new(folder.path(), shard_tokens).unwrap();
        for document in &documents {
            builder.push(document).unwrap();
        }
        let built = builder.finish().unwrap();
        let opened = TokenIndex::open(folder.path()).unwrap();
        let in_memory = TokenIndex::build(&documents.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        let matches = reference::matches_at_least(&documents, &query, minimum);
        let repeats = reference::repeats(&documents, minimum);
        for index in [&built, &opened, &in_memory] {
            prop_assert_eq!(index.matches_at_least(&query, minimum), matches.clone());
            let together: Vec<&[u32]> = documents.iter().map(Vec::as_slice).chain([query.as_slice()]).collect();
            let longest = index.longest_match_of_each(&together, || ());
            for (text, longest) in together.iter().zip(longest) {
                let all = reference::matches_at_least(&documents, text, 1);
                let length = all.iter().map(text_index::Match::len).max();
                prop_assert_eq!(longest.as_ref(), all.iter().find(|found| Some(found.len()) == length));
            }
            prop_assert_eq!(index.repeats(minimum), repeats.clone());
            prop_assert_eq!(index.corpus_digest(), in_memory.corpus_digest());
            for found in matches.iter().take(3) {
                let passage = &query[found.in_text.clone()];
                let places = reference::places(&documents, passage);
                prop_assert_eq!(index.places(passage, 4), places.iter().take(4).cloned().collect::<Vec<_>>());
                let mut holders: Vec<usize> = places.iter().map(|place| place.document).collect();
                holders.dedup();
                prop_assert_eq!(index.document_frequency(passage, 3), holders.len().min(3));
                prop_assert_eq!(index.documents_containing(passage, usize::MAX), holders);
            }
        }
    }
}

/// Enough text for several blocks and runs of the search for repeats, with repeats that cross them.
#[test]
fn long_repeats_are_found_whole_in_any_shards() {
    let numbers =
        |from: u32, to: u32| (from..to).fold(String::new(), |text, number| text + &number.to_string() + " ");
    // The passage from 40,000 to 60,000 (120,000 characters) occurs in both documents; "é" keeps
    // the rest apart, and the numbers on either side differ in their first digit.
    let documents = [
        format!("é{}", numbers(10_000, 60_000)),
        format!("{}ü{}", numbers(90_000, 92_000), numbers(40_000, 60_000)),
        numbers(70_000, 71_000),
    ];
    let texts: Vec<&str> = documents.iter().map(String::as_str).collect();
    let whole = ExactIndex::build(&texts).unwrap();
    let place = |document: usize, in_document| text_index::Place {
        document,
        in_document,
    };
    let expected = [place(0, 1 + 180_000..1 + 300_000), place(1, 12_001..132_001)];
    assert_eq!(whole.repeats(50), expected);
    // "0000 " ends "10000 " to "90000 " and so on: shorter repeats are legion, but each is real and
    // none is nested.
    let short = whole.repeats(5);
    assert!(short.len() > 1_000);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        assert_eq!(pool.install(|| whole.repeats(5)), short);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut builder = ExactIndexBuilder::new(folder.path(), 1_000).unwrap();
    for text in texts {
        builder.push(text).unwrap();
    }
    let shards = builder.finish().unwrap();
    assert_eq!(shards.repeats(50), expected);
    assert_eq!(shards.repeats(5), short);
}

#[test]
fn repeats_are_cut_at_documents_and_characters() {
    for (documents, minimum, expected) in [
        (&["abcabc"][..], 3, &[(0, 0..3), (0, 3..6)][..]),
        // Overlapping places of one passage: "aaa" occurs at 0 and at 1.
        (&["aaaa"], 1, &[(0, 0..3), (0, 1..4)]),
        // Two documents in a row occur twice; each counts for itself.
        (
            &["one", "two", "one", "two"],
            3,
            &[(0, 0..3), (1, 0..3), (2, 0..3), (3, 0..3)],
        ),
        // é (C3 A9) and è (C3 A8) share a byte, not a character.
        (&["xyé", "xyè"], 2, &[(0, 0..2), (1, 0..2)]),
        (&["xyé", "xyè"], 3, &[]),
        (&["é", "è"], 0, &[]),
        (&["😀😁!", "?😀😁"], 2, &[(0, 0..2), (1, 1..3)]),
        (&["", "", ""], 0, &[]),
        (&[], 1, &[]),
    ] {
        let index = ExactIndex::build(documents).unwrap();
        let found: Vec<_> = index
            .repeats(minimum)
            .into_iter()
            .map(|place| (place.document, place.in_document))
            .collect();
        assert_eq!(found, expected, "{documents:?}, at least {minimum}");
    }
}
