//! What holds for every corpus: nothing is lost, nothing is added, nothing stands on both sides.

use std::collections::{BTreeMap, BTreeSet};

use clap::Parser;
use dupgen::digest::Digest;
use dupgen::normal_form::normal_form;
use dupgen::{Arguments, Outcome, Summary};
use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

use crate::support::Folder;

fn run(folder: &Folder, seed: u64) -> Summary {
    let path = |name| folder.path(name).display().to_string();
    let arguments = Arguments::parse_from([
        "dupgen",
        "--config",
        &path("test.toml"),
        "--out",
        &path("corpus"),
        "--seed",
        &seed.to_string(),
    ]);
    match dupgen::run(&arguments).unwrap() {
        Outcome::Done(summary) => *summary,
        Outcome::UpToDate { .. } => panic!("nothing was there before"),
    }
}

/// The first of each set of texts that have the same normal form.
fn first_occurrences(texts: &[String]) -> BTreeSet<&String> {
    let mut seen = BTreeSet::new();
    texts
        .iter()
        .filter(|text| seen.insert(normal_form(text)))
        .collect()
}

/// A text in other white space, case and normal form: `ways` says in which.
fn variant(text: &str, ways: u8) -> String {
    // The upper case of the mark U+0345 is a letter: case conversion keeps canonical equivalence in NFD alone.
    let text: String = text.nfd().collect();
    let mut variant = match ways % 3 {
        0 => text,
        1 => text.to_uppercase(),
        _ => text.to_lowercase(),
    };
    if ways & 4 != 0 {
        variant = variant.nfd().collect();
    }
    if ways & 8 != 0 {
        variant = variant.nfc().collect();
    }
    if ways & 16 != 0 {
        variant = format!("\n{}\u{a0}", variant.replace(char::is_whitespace, "\t\u{3000} "));
    }
    variant
}

#[test]
fn the_normal_form_of_each_character_has_itself_as_normal_form_and_knows_no_case() {
    for letter in '\0'..=char::MAX {
        let text = format!("a{letter}b");
        let normal = normal_form(&text);
        assert_eq!(normal_form(&normal), normal, "{:x}", letter as u32);
        for ways in [1, 2, 4, 5, 6] {
            let variant = variant(&text, ways);
            assert_eq!(normal_form(&variant), normal, "{:x}, {ways}", letter as u32);
        }
    }
}

/// Marks in every order around U+0345, whose place decides what is composed.
#[test]
fn a_mark_with_a_letter_for_its_upper_case_has_one_normal_form() {
    for text in [
        "\u{1fbc}\u{315}\u{300}",
        "\u{3b1}\u{300}\u{315}\u{345}",
        "\u{1fb3}\u{315}",
        "\u{1f80}\u{316}\u{301}",
    ] {
        let normal = normal_form(text);
        for ways in 0..32 {
            assert_eq!(normal_form(&variant(text, ways)), normal, "{text:?}, {ways}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_normal_form_is_its_own_and_that_of_every_variant(
        // Letters, and marks that combine with those before them.
        text in "([\\PC \n]|[a-zA-Z\u{300}-\u{345}\u{3b1}-\u{3c9}\u{1f00}-\u{1fff}\u{ac00}\u{1100}\u{1161}\u{11a8}]{1,4}){0,12}",
        ways in 0..32u8,
    ) {
        let normal = normal_form(&text);
        prop_assert_eq!(&normal_form(&normal), &normal);
        prop_assert_eq!(&normal_form(&variant(&text, ways)), &normal);
        prop_assert_eq!(normal.trim(), &normal);
        prop_assert!(!normal.contains("  "));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_document_stands_on_exactly_one_side(
        texts in prop::collection::vec("[ab\\P{C}\u{e9}\n\"]{0,6}[a-z]{1,2}", 12..60),
        copies in prop::collection::btree_set(1u32..6, 1..4),
        held_out in 0.0..0.4f64,
        seed in 0..u64::MAX,
    ) {
        let folder = Folder::new();
        let lines: Vec<String> = texts.iter().map(|text| serde_json::json!({ "text": text }).to_string()).collect();
        let distinct = first_occurrences(&texts);
        let copies: Vec<u32> = copies.into_iter().collect();
        folder.write("a.jsonl", lines.join("\n"));
        folder.pipeline(&format!(
            "corpus = {{ files = \"a.jsonl\", held_out = {held_out} }}\nduplication.copies = {copies:?}"
        ));
        let hashed = dupgen::split::by_text(distinct.iter().map(|text| (Digest::of(text), false)), held_out);
        prop_assume!(hashed.training.len() >= copies.len());
        let summary = run(&folder, seed);

        let (train, held_out) = folder.sides();
        let both: BTreeSet<&String> = train.iter().chain(&held_out).collect();
        prop_assert_eq!(&both, &distinct);
        prop_assert_eq!(train.len() + held_out.len(), distinct.len());
        prop_assert_eq!(summary.read, texts.len());
        let left_out: usize = summary.left_out.values().sum();
        prop_assert_eq!(summary.training_documents() + summary.held_out + left_out, texts.len());

        let mut counts: BTreeMap<String, (i32, i32)> = BTreeMap::new();
        for row in folder.train() {
            prop_assert!(copies.contains(&(row.copies as u32)));
            prop_assert_eq!(&row.doc_id, &Digest::of(&row.text).hexadecimal());
            let (asked, found) = counts.entry(row.doc_id).or_insert((row.copies, 0));
            prop_assert_eq!(*asked, row.copies);
            prop_assert_eq!(*found, row.copy);
            *found += 1;
        }
        prop_assert!(counts.values().all(|(asked, found)| asked == found));
        let instances: i32 = counts.values().map(|(_, found)| found).sum();
        prop_assert_eq!(instances as usize, summary.instances());
        // Equal shares: the sizes of two buckets differ by one at most.
        let sizes: Vec<usize> = summary.training.values().map(|bucket| bucket.documents).collect();
        prop_assert_eq!(sizes.len(), copies.len());
        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
    }

    #[test]
    fn variants_of_a_text_never_stand_on_both_sides(
        texts in prop::collection::btree_set("[a-c\u{e9}\u{3c3}\u{df}]{1,3}( [a-c]{1,2}){0,2}", 12..30),
        ways in prop::collection::vec(0..32u8, 60),
        held_out in 0.1..0.5f64,
        found in prop::bool::ANY,
    ) {
        let folder = Folder::new();
        let texts: Vec<String> = texts.into_iter().collect();
        let variants: Vec<String> = texts.iter().cycle().zip(&ways).map(|(text, &ways)| variant(text, ways)).collect();
        let lines = |texts: &[String]| -> String {
            texts.iter().map(|text| serde_json::json!({ "text": text }).to_string() + "\n").collect()
        };
        let (training, kept_back) = variants.split_at(45);
        folder.write("a.jsonl", lines(training)).write("b.jsonl", lines(kept_back));
        let layout = if found { "found" } else { "bucketed" };
        folder.pipeline(&format!(
            "corpus = {{ files = \"a.jsonl\", held_out_files = \"b.jsonl\", held_out = {held_out} }}\n\
             duplication = {{ layout = \"{layout}\", copies = [1] }}"
        ));
        let firsts = first_occurrences(training);
        let hashed = dupgen::split::by_text(firsts.iter().map(|text| (Digest::of(text), false)), held_out);
        prop_assume!(!hashed.training.is_empty());
        let summary = run(&folder, 0);

        let (train, held_out) = folder.sides();
        let normal: Vec<String> = train.iter().chain(&held_out).map(|text| normal_form(text)).collect();
        let distinct: BTreeSet<&String> = normal.iter().collect();
        prop_assert_eq!(distinct.len(), normal.len());
        let asked: BTreeSet<String> = variants.iter().map(|text| normal_form(text)).collect();
        prop_assert!(distinct.into_iter().eq(asked.iter()));
        // The first occurrence decides the side.
        prop_assert_eq!(hashed.training.len(), train.len());
        let left_out: usize = summary.left_out.values().sum();
        let kept = summary.training_documents() + summary.held_out + summary.copies_found;
        prop_assert_eq!(kept + left_out, summary.read);
        prop_assert_eq!(summary.copies_found > 0, found && training.len() > firsts.len());
    }
}
