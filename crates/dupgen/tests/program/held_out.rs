//! What the result says of held-out documents: their roles, and their near-duplicates in the training set.

use std::collections::{BTreeMap, BTreeSet};

use contract::records::{DocumentKind, HeldOutRole};

use crate::support::{Folder, numbered};

/// Held-out documents by role, given the share for validation.
fn roles(folder: &Folder, validation: f64, arguments: &[&str]) -> BTreeMap<HeldOutRole, BTreeSet<String>> {
    let validation = format!("corpus.validation={validation:?}");
    let mut roles: BTreeMap<HeldOutRole, BTreeSet<String>> = BTreeMap::new();
    let mut arguments = arguments.to_vec();
    arguments.extend(["--force", "--set", &validation]);
    let said = folder.succeed(&arguments);
    for row in folder.held_out() {
        match row.kind {
            DocumentKind::Document => assert!(roles.entry(row.role.unwrap()).or_default().insert(row.text)),
            _ => assert_eq!(row.role, None),
        }
    }
    let count = |role| roles.get(&role).map_or(0, BTreeSet::len);
    let (validation, test) = (count(HeldOutRole::Validation), count(HeldOutRole::Test));
    let expected = format!(
        "{} documents, {validation} for validation and {test} for test",
        validation + test
    );
    assert!(said.contains(&expected), "{said}");
    roles
}

#[test]
fn about_the_asked_share_of_the_held_out_documents_is_for_validation_whatever_the_seed() {
    let folder = Folder::new();
    folder
        .write("a.jsonl", numbered(2000))
        .pipeline("corpus = { files = \"a.jsonl\", held_out = 0.4 }\ncanaries.per_copies = 1");
    let (half, fifth) = (roles(&folder, 0.5, &[]), roles(&folder, 0.2, &[]));
    let validation = |roles: &BTreeMap<HeldOutRole, BTreeSet<String>>| {
        roles.get(&HeldOutRole::Validation).cloned().unwrap_or_default()
    };
    let all = half.values().map(BTreeSet::len).sum::<usize>();
    // Of about 800: 400 with a standard deviation of √(800 · 0.5 · 0.5) ≈ 14, and 160 with one of √(800 · 0.2 · 0.8) ≈ 11. The outcome
    // is fixed, for the texts are.
    assert!((740..=860).contains(&all), "{all}");
    assert!((340..=460).contains(&validation(&half).len()));
    assert!((120..=200).contains(&validation(&fifth).len()));
    assert!(validation(&fifth).is_subset(&validation(&half)));
    assert_eq!(roles(&folder, 0.5, &["--seed", "9"]), half);
    assert!(roles(&folder, 0.0, &[]).keys().eq([&HeldOutRole::Test]));
    assert!(roles(&folder, 1.0, &[]).keys().eq([&HeldOutRole::Validation]));
}

/// Each seed trains on a part of the training side of its own and holds out the rest, which chooses nothing; what every run holds out stays
/// what it is. Without the share, or with all of it, a training set is what it was.
#[test]
fn a_seed_may_train_on_a_share_of_the_training_side() {
    let folder = Folder::new();
    folder
        .write("a.jsonl", numbered(1000))
        .pipeline("corpus = { files = \"a.jsonl\", held_out = 0.2 }\nduplication.copies = [1, 4]");
    let sides = |arguments: &[&str]| {
        let held_out = roles(&folder, 0.5, arguments);
        let train: BTreeSet<String> = folder.train().into_iter().map(|row| row.text).collect();
        (train, held_out)
    };
    let (all, always) = sides(&[]);
    assert_eq!(
        sides(&["--set", "duplication.trained_share=1"]),
        (all.clone(), always.clone())
    );
    let mut seen: Vec<BTreeSet<String>> = Vec::new();
    for seed in ["1", "2", "3"] {
        let (train, held_out) = sides(&["--set", "duplication.trained_share=0.5", "--seed", seed]);
        // Half of about 800, with a deviation of 14.
        assert!(
            (train.len() as f64 - all.len() as f64 / 2.0).abs() < 60.0,
            "{}",
            train.len()
        );
        assert!(train.is_subset(&all));
        assert_eq!(
            held_out[&HeldOutRole::Validation],
            always[&HeldOutRole::Validation]
        );
        let withheld: BTreeSet<String> = all.difference(&train).cloned().collect();
        let test: BTreeSet<String> = always[&HeldOutRole::Test].union(&withheld).cloned().collect();
        assert_eq!(held_out[&HeldOutRole::Test], test);
        assert!(!seen.contains(&train));
        seen.push(train);
    }
    // Two halves share a quarter of all, by chance.
    let both = seen[0].intersection(&seen[1]).count() as f64;
    assert!((both - all.len() as f64 / 4.0).abs() < 60.0, "{both}");
    let said = folder.succeed(&["--force", "--set", "duplication.trained_share=0.5"]);
    assert!(said.contains("which other seeds train on"), "{said}");
}

#[test]
fn of_two_held_out_documents_one_is_for_each() {
    for pair in 0..8 {
        let folder = Folder::new();
        folder
            .write("a.jsonl", numbered(3))
            .write("b.jsonl", format!("{{\"text\": \"b{pair}\"}}\n{{\"text\": \"c{pair}\"}}"))
            .pipeline(
                "corpus = { files = \"a.jsonl\", held_out_files = \"b.jsonl\", held_out = 0.0 }\nduplication.copies = [1]",
            );
        for validation in [0.01, 0.5, 0.99] {
            assert_eq!(roles(&folder, validation, &[]).len(), 2, "{pair} {validation}");
        }
        // One alone cannot be both.
        folder.write("b.jsonl", format!("{{\"text\": \"b{pair}\"}}"));
        assert_eq!(roles(&folder, 0.5, &[]).len(), 1);
    }
}

/// Twelve words: five runs of eight.
const LETTER: &str = "One two three four five six seven eight nine ten eleven twelve.";

/// Twenty-seven words: twenty runs of eight.
const REPLY: &str = "You wrote: one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen. Of course we \
                     can do that next week, Ann.";

#[test]
fn near_duplicates_across_the_split_are_marked() {
    for (training, held_out, share, near_duplicate) in [
        // The first nine words: two of the five runs.
        (
            &["one two three four five six seven eight nine and no more"][..],
            LETTER,
            Some(0.4),
            None,
        ),
        // The first ten: three of the five, whatever punctuation, case and line ends.
        (
            &[
                "Other.",
                "ONE, two - three\nfour; five six seven eight (nine) ten!",
            ],
            LETTER,
            Some(0.6),
            Some(1),
        ),
        // Each holds two of the five; together they would hold four.
        (
            &[
                "one two three four five six seven eight nine",
                "four five six seven eight nine ten eleven twelve",
            ],
            LETTER,
            Some(0.4),
            None,
        ),
        // The one that holds more, and of two that hold as much the first.
        (
            &[
                "one two three four five six seven eight nine ten",
                "one two three four five six seven eight nine ten eleven",
                "so two three four five six seven eight nine ten eleven twelve",
            ],
            LETTER,
            Some(0.8),
            Some(1),
        ),
        // Three runs, two of them distinct, one of which is held, twice: exactly half.
        (&["a a a a a a a a a"], "a a a a a a a a a b", Some(0.5), Some(0)),
        // All of it in a longer text.
        (
            &["Well: one two three four five six seven eight nine ten eleven twelve thirteen."],
            LETTER,
            Some(1.0),
            Some(0),
        ),
        (&["nothing of the kind"], LETTER, Some(0.0), None),
        // Letters with accents are words, however they are encoded.
        (
            &["\u{e9}t\u{e9} un deux trois quatre cinq six sept"],
            "E\u{301}te\u{301} un deux trois quatre cinq six sept",
            None,
            None,
        ),
        (
            &["\u{e9}t\u{e9} un deux trois quatre cinq six sept"],
            "Un E\u{301}te\u{301} un deux trois quatre cinq six sept",
            Some(0.5),
            Some(0),
        ),
        // All nine runs of it in a reply that quotes it; eight of nine are not nine tenths, and five are a greeting.
        (
            &[
                "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen!",
            ],
            REPLY,
            Some(0.45),
            Some(0),
        ),
        (
            &[
                "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen and more!",
            ],
            REPLY,
            Some(0.4),
            None,
        ),
        (&[LETTER], REPLY, Some(0.25), None),
        // Seven words have no share.
        (
            &["one two three four five six seven eight"],
            "one two three four five six seven",
            None,
            None,
        ),
    ] {
        let line = |id: String, text: &str| serde_json::json!({ "id": id, "text": text }).to_string() + "\n";
        let folder = Folder::new();
        let training: String = (0..)
            .zip(training)
            .map(|(number, text)| line(format!("t{number}"), text))
            .collect();
        folder
            .write("a.jsonl", training)
            .write("b.jsonl", line("h".to_owned(), held_out));
        folder.pipeline(
            "corpus = { files = \"a.jsonl\", identity = \"id\", held_out_files = \"b.jsonl\", held_out = 0.0 }\n\
             duplication.copies = [1]",
        );
        let said = folder.succeed(&[]);
        let rows = folder.held_out();
        if rows.is_empty() {
            // The French pair of eight words is one text, and left out as such.
            assert!(
                said.contains("1 held-out texts that corpus.files holds too"),
                "{said}"
            );
            continue;
        }
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].shared_8grams, share, "{held_out}");
        assert_eq!(
            rows[0].near_duplicate_of,
            near_duplicate.map(|number: usize| format!("t{number}")),
            "{held_out}"
        );
        let counted = format!(
            "near-duplicates {} held-out documents share half of their 8-grams of words with a training document, or quote one",
            usize::from(near_duplicate.is_some())
        );
        assert!(said.contains(&counted), "{said}");
        let not_compared = said.contains("1 held-out documents have fewer than 8 words");
        assert_eq!(not_compared, share.is_none(), "{said}");
    }
}

#[test]
fn near_duplicates_are_found_among_many_documents_and_keep_a_role() {
    // Every held-out letter of twelve words has a training letter that differs in its last word: four of five runs.
    let letter = |number: usize, last: &str| {
        format!("Dear {number}, w{number} x{number} your order came to us in May {last}")
    };
    let folder = Folder::new();
    let write = |name: &str, numbers: std::ops::Range<usize>, last: &str| {
        let lines: String = numbers
            .map(|number| {
                serde_json::json!({ "id": format!("{last}{number}"), "text": letter(number, last) })
                    .to_string()
                    + "\n"
            })
            .collect();
        folder.write(name, lines);
    };
    write("a.jsonl", 0..3000, "t");
    write("b.jsonl", 2500..3500, "h");
    folder.pipeline(
        "corpus = { files = \"a.jsonl\", identity = \"id\", held_out_files = \"b.jsonl\", held_out = 0.0 }\n\
         duplication.copies = [1]",
    );
    let said = folder.succeed(&[]);
    assert!(said.contains("near-duplicates 500 held-out documents"), "{said}");
    for row in folder.held_out() {
        assert!(row.role.is_some());
        let number: usize = row.doc_id[1..].parse().unwrap();
        let (share, twin) = if number < 3000 {
            (0.8, Some(format!("t{number}")))
        } else {
            (0.0, None)
        };
        assert_eq!((row.shared_8grams, row.near_duplicate_of), (Some(share), twin));
    }
}

#[test]
fn form_letters_are_near_duplicates_of_one_another_and_the_nearest_is_found_among_them() {
    // Three of the five runs of eight words are in all letters, the first two in one alone.
    let letter = |number: usize, last: &str| {
        let text = format!("Dear {number}, our office is closed on all days of this {last}.");
        serde_json::json!({ "id": format!("{last}{number}"), "text": text }).to_string() + "\n"
    };
    let folder = Folder::new();
    let training = (0..300).map(|number| letter(number, if number == 250 { "month" } else { "week" }));
    // Held-out letter 250 shares four runs with training letter 250, all but the one with the last word.
    let held_out = (1000..2500).chain([250]).map(|number| letter(number, "week"));
    folder
        .write("a.jsonl", training.collect::<String>())
        .write("b.jsonl", held_out.collect::<String>());
    folder.pipeline(
        "corpus = { files = \"a.jsonl\", identity = \"id\", held_out_files = \"b.jsonl\", held_out = 0.0 }\n\
         duplication.copies = [1]",
    );
    let said = folder.succeed(&[]);
    assert!(said.contains("near-duplicates 1501 held-out documents"), "{said}");
    for row in folder.held_out() {
        let expected = if row.doc_id == "week250" {
            (Some(0.8), Some("month250".to_owned()))
        } else {
            (Some(0.6), Some("week0".to_owned()))
        };
        assert_eq!(
            (row.shared_8grams, row.near_duplicate_of),
            expected,
            "{}",
            row.doc_id
        );
    }
}
