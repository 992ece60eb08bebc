//! The index against counting by hand.

use word_ngrams::{NgramIndex, distinct_ngrams, ngrams};

fn index(texts: &[&str]) -> NgramIndex {
    let mut index = NgramIndex::default();
    // In two parts, as documents come in batches.
    let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
    let (first, second) = texts.split_at(texts.len() / 2);
    index.extend(first);
    index.extend(second);
    index.finish();
    index
}

#[test]
fn a_text_has_a_run_for_each_word_behind_the_seventh() {
    for (text, expected) in [
        ("", 0),
        ("one two three four five six seven", 0),
        ("one two three four five six seven eight", 1),
        ("One, two: three; four (five) six. Seven -- eight! Nine?", 2),
    ] {
        assert_eq!(ngrams(text).len(), expected, "{text}");
    }
    assert_eq!(
        ngrams("One  two three four five six seven EIGHT"),
        ngrams("one two three four five six seven eight")
    );
    let repeated = "a b c d e f g h ".repeat(3);
    assert_eq!(ngrams(&repeated).len(), 17);
    assert_eq!(distinct_ngrams(&repeated).len(), 8);
}

#[test]
fn holders_of_an_ngram_are_the_documents_that_have_it() {
    let texts = [
        "a b c d e f g h i",
        "no run of eight words",
        "x a b c d e f g h",
        "b c d e f g h i j",
    ];
    let index = index(&texts);
    assert_eq!(index.sizes(), [2, 0, 2, 2]);
    let of = |text: &str| -> Vec<u32> {
        let (_, ranges) = index.holders(text);
        let entries = ranges.iter().flat_map(|range| index.entries(range));
        entries.map(|&(_, document)| document).collect()
    };
    assert_eq!(of("a b c d e f g h"), [0, 2]);
    assert_eq!(of("b c d e f g h i"), [0, 3]);
    assert_eq!(of("q r s t u v w x"), []);
    assert_eq!(index.holders("q r s t u v w x a b").0, 3, "none of which is held");
    assert_eq!(index.all_entries().len(), 6);
}

#[test]
fn an_index_of_nothing_holds_nothing() {
    let empty = index(&["too short", "as well"]);
    assert!(empty.is_empty());
    assert_eq!(empty.holders("a b c d e f g h i"), (2, Vec::new()));
    assert!(
        NgramIndex::default().range(7).is_empty(),
        "nor does one before finish"
    );
}
