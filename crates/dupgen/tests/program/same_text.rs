//! One text, written in several ways: it is the same text, and stands on one side only.

use std::collections::BTreeMap;

use crate::support::Folder;

fn jsonl(texts: &[&str]) -> String {
    texts
        .iter()
        .map(|text| serde_json::json!({ "text": text }).to_string() + "\n")
        .collect()
}

/// Pairs of texts, and whether they are the same text.
const PAIRS: [(&str, &str, bool); 13] = [
    ("the key is here", "the key is here", true),
    ("the key is here", "\n the  key\tis\r\nhere\u{a0} ", true),
    ("the key is here", "The KEY is Here", true),
    ("Zoe\u{308}'s caf\u{e9}", "ZO\u{cb}'S CAFE\u{301}", true),
    ("stra\u{df}e", "STRASSE", true),
    ("STRA\u{1e9e}E", "strasse", true),
    (
        "\u{3bf}\u{3b4}\u{3cc}\u{3c2}",
        "\u{39f}\u{394}\u{38c}\u{3a3}",
        true,
    ),
    ("\u{212b}ngstr\u{f6}m", "a\u{30a}ngstro\u{308}m", true),
    ("the key is here", "the key is here.", false),
    ("the key is here", "thekey is here", false),
    ("caf\u{e9}", "cafe", false),
    // Compatibility forms are other characters: NFC keeps them apart.
    ("x\u{b2}", "x2", false),
    ("\u{ff21}", "A", false),
];

#[test]
fn texts_that_differ_in_white_space_case_and_normal_form_alone_are_duplicates() {
    for (first, second, same) in PAIRS {
        let folder = Folder::new();
        folder.write("a.jsonl", jsonl(&[first, second])).pipeline(
            "corpus = { files = \"a.jsonl\", held_out = 0.0 }\nduplication = { layout = \"uniform\", copies = [1] }",
        );
        let said = folder.succeed(&[]);
        let texts: Vec<String> = folder.train().into_iter().map(|row| row.text).collect();
        if same {
            assert_eq!(texts, [first], "{first:?} {second:?}");
            let reason = if first == second {
                "1 exact duplicates"
            } else {
                "1 duplicates up to white space, case and normal form"
            };
            assert!(said.contains(reason), "{said}");
        } else {
            assert_eq!(texts.len(), 2, "{first:?} {second:?}");
            assert!(!said.contains("duplicates up to"), "{said}");
        }
    }
}

#[test]
fn in_the_layout_found_they_are_copies_of_the_first() {
    let folder = Folder::new();
    folder
        .write(
            "a.jsonl",
            jsonl(&["The key.", "Other.", "the  key.", "The key.", "THE KEY.\n"]),
        )
        .pipeline("corpus = { files = \"a.jsonl\", held_out = 0.0 }\nduplication.layout = \"found\"");
    let said = folder.succeed(&[]);
    assert!(
        said.contains(
            "3 documents are copies of an earlier one, 2 of them up to white space, case and normal form"
        ),
        "{said}"
    );
    let mut copies: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for row in folder.train() {
        copies.entry(row.text).or_default().push(row.copies);
    }
    let expected = [("Other.", vec![1]), ("The key.", vec![4; 4])];
    assert_eq!(
        copies,
        expected.map(|(text, copies)| (text.to_owned(), copies)).into()
    );
}

/// Runs with texts to train on and texts of held-out files; what was said, and the texts that stayed held out.
fn held_out_of(training: &[&str], held_out: &[&str], layout: &str) -> (String, Vec<String>) {
    let folder = Folder::new();
    folder
        .write("a.jsonl", jsonl(training))
        .write("b.jsonl", jsonl(held_out));
    folder.pipeline(&format!(
        "corpus = {{ files = \"a.jsonl\", held_out_files = \"b.jsonl\", held_out = 0.0 }}\n\
         duplication = {{ layout = \"{layout}\", copies = [1] }}"
    ));
    let said = folder.succeed(&[]);
    (said, folder.sides().1)
}

#[test]
fn held_out_text_that_is_training_text_is_taken_out() {
    for layout in ["found", "uniform"] {
        for (first, second, same) in PAIRS {
            let (said, held_out) = held_out_of(&[first], &[second, "Never seen."], layout);
            let expected: Vec<&str> = if same {
                vec!["Never seen."]
            } else {
                let mut both = vec![second, "Never seen."];
                both.sort_unstable();
                both
            };
            assert_eq!(held_out, expected, "{first:?} {second:?}");
            let counted = said.contains(
                "1 held-out texts that corpus.files holds too, up to white space, case and normal form",
            );
            assert_eq!(counted, same, "{said}");
            assert!(!said.contains("there is no control"), "{said}");
        }
    }
}

#[test]
fn held_out_text_that_is_all_training_text_is_no_control_and_said_to_be_none() {
    let (said, held_out) = held_out_of(&["One.", "Two."], &["ONE.", "two. ", "One."], "found");
    assert!(held_out.is_empty());
    assert!(
        said.contains(
            "HELD_OUT (corpus.held_out_files): all 3 texts occur in the training text too (up to white space, case and normal \
             form): there is no control"
        ),
        "{said}"
    );
}
