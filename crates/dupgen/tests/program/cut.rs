//! Documents that are longer than a row of training are counted, for each tokenizer.

use crate::support::{Folder, WORDS};

/// Training documents of 1 to 10 words and held-out ones of 1 to 4.
fn folder() -> Folder {
    let folder = Folder::new();
    let documents = |word: &str, most: usize| -> String {
        (1..=most)
            .map(|words| format!("{{\"text\": \"{}\"}}\n", vec![word; words].join(" ")))
            .collect()
    };
    folder
        .write("a.jsonl", documents("word", 10))
        .write("b.jsonl", documents("other", 4))
        .write("words/tokenizer.json", WORDS)
        .write("same/tokenizer.json", WORDS)
        .write(
            "longer/tokenizer.json",
            WORDS.replace(
                "\"normalizer\": null",
                r#""normalizer": {"type": "Replace", "pattern": {"String": "r"}, "content": " and so on and "}"#,
            ),
        );
    folder
}

fn check(models: &str, tuning: &str, expected: &[&str]) {
    let folder = folder();
    folder.pipeline(&format!(
        "corpus = {{ files = \"a.jsonl\", held_out_files = \"b.jsonl\", held_out = 0.0 }}\nduplication.copies = [1]\n\
         tuning = {{ {tuning} }}\nmodel = [{models}]"
    ));
    let said = folder.succeed(&[]);
    let cut: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("cut "))
        .map(str::trim)
        .collect();
    assert_eq!(cut, expected, "{said}");
}

#[test]
fn documents_that_the_context_cuts_are_counted_for_each_tokenizer() {
    let words = "{ name = \"words\", path = \"words\" }";
    // The BOS takes one place: texts of 4 words fit into a context of 5, six are longer; of 2 words into one of 3.
    check(
        words,
        "context = 5",
        &[
            "6 of 10 training documents are longer than tuning.context = 5 with the tokenizer of words: what lies beyond is not \
             trained",
        ],
    );
    check(
        words,
        "context = 3",
        &[
            "8 of 10 training documents are longer than tuning.context = 3 with the tokenizer of words: what lies beyond is not \
             trained",
            "2 of 4 held-out documents are longer than tuning.context = 3 with the tokenizer of words: what lies beyond is not scored",
        ],
    );
    check(
        words,
        "context = 11",
        &["no document is longer than tuning.context = 11 with the tokenizer of words"],
    );
    check(words, "context = 3, rows = \"packed\"", &[]);
    check("", "context = 3", &[]);
}

#[test]
fn models_with_the_same_tokenizer_are_counted_once_and_those_without_are_named() {
    check(
        "{ name = \"words\", path = \"words\" }, { name = \"new\" }, { name = \"same\", path = \"same\" }",
        "context = 10",
        &[
            "1 of 10 training documents are longer than tuning.context = 10 with the tokenizer of words, same: what lies beyond is \
             not trained",
            "not counted for new, which has no tokenizer.json yet",
        ],
    );
}

#[test]
fn a_short_text_that_a_normalizer_makes_long_is_counted() {
    // `word` has 4 bytes and becomes `wo and so on and d`, 6 tokens; `other` 5 of them (`othe and so on and`).
    check(
        "{ name = \"longer\", path = \"longer\" }",
        "context = 6",
        &[
            "10 of 10 training documents are longer than tuning.context = 6 with the tokenizer of longer: what lies beyond is not \
             trained",
            "3 of 4 held-out documents are longer than tuning.context = 6 with the tokenizer of longer: what lies beyond is not scored",
        ],
    );
}
