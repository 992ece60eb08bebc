//! Sides, numbers of copies, budgets, order.

use std::collections::{BTreeMap, BTreeSet};

use contract::records::DocumentKind;
use dupgen::copies::largest_remainder;

use crate::support::{Folder, numbered};

/// Number of different documents for each number of copies, after checking that each has its copies 0, 1, ….
fn documents_by_copies(folder: &Folder) -> BTreeMap<i32, usize> {
    let mut copies_of: BTreeMap<String, (i32, Vec<i32>)> = BTreeMap::new();
    for row in folder.train() {
        let (copies, seen) = copies_of.entry(row.doc_id).or_insert((row.copies, Vec::new()));
        assert_eq!(*copies, row.copies);
        seen.push(row.copy);
    }
    let mut documents = BTreeMap::new();
    for (copies, seen) in copies_of.into_values() {
        // In training order, so the k-th time that a model sees it is copy k.
        assert_eq!(seen, (0..copies).collect::<Vec<i32>>());
        *documents.entry(copies).or_default() += 1;
    }
    documents
}

fn check(documents: usize, duplication: &str, arguments: &[&str], expected: &[(i32, usize)]) {
    let folder = Folder::new();
    folder.write("a.jsonl", numbered(documents));
    folder.pipeline(&format!(
        "corpus = {{ files = \"a.jsonl\", held_out = 0.0 }}\nduplication = {{ {duplication} }}"
    ));
    folder.succeed(arguments);
    assert_eq!(
        documents_by_copies(&folder),
        expected.iter().copied().collect(),
        "{duplication}"
    );
}

#[test]
fn each_number_of_copies_gets_its_exact_share() {
    for (documents, duplication, arguments, expected) in [
        (
            30,
            "copies = [1, 4, 16]",
            &[][..],
            &[(1, 10), (4, 10), (16, 10)][..],
        ),
        // 31 / 3 = 10⅓ each: the first of equals gets the one left over.
        (31, "copies = [16, 4, 1]", &[], &[(16, 11), (4, 10), (1, 10)]),
        // 30 · (0.7, 0.2, 0.1) = 21, 6, 3.
        (
            30,
            "copies = [1, 2, 8], shares = [0.7, 0.2, 0.1]",
            &[],
            &[(1, 21), (2, 6), (8, 3)],
        ),
        // 10 · (5, 3, 1) / 9 = 5.56, 3.33, 1.11: the largest remainder is the first.
        (
            10,
            "copies = [1, 2, 8], shares = [5, 3, 1]",
            &[],
            &[(1, 6), (2, 3), (8, 1)],
        ),
        (7, "layout = \"uniform\", copies = [5]", &[], &[(5, 7)]),
        (
            7,
            "layout = \"uniform\", copies = [1, 5]",
            &["--copies", "5"],
            &[(5, 7)],
        ),
        (
            9,
            "layout = [\"bucketed\", \"uniform\"], copies = [1, 2, 3]",
            &["--layout", "bucketed"],
            &[(1, 3), (2, 3), (3, 3)],
        ),
        (
            9,
            "layout = [\"bucketed\", \"uniform\"], copies = [1, 2]",
            &["--layout", "uniform", "--copies", "2"],
            &[(2, 9)],
        ),
        // A fixed budget of as many instances as documents: 48 / 16 = 3 documents.
        (
            48,
            "layout = \"uniform\", copies = [16], budget = \"fixed\"",
            &[],
            &[(16, 3)],
        ),
        (
            48,
            "layout = \"uniform\", copies = [1], budget = \"fixed\"",
            &[],
            &[(1, 48)],
        ),
        // 5 · 9 = 45 instances; one more document would make 54.
        (
            48,
            "layout = \"uniform\", copies = [9], budget = \"fixed\", instances = 50",
            &[],
            &[(9, 5)],
        ),
        // 3 · (1 + 4 + 16) = 63 instances of the 80; a tenth document, with one copy, makes 64, an eleventh 68.
        // A twelfth would make 84.
        (
            48,
            "copies = [1, 4, 16], budget = \"fixed\", instances = 80",
            &[],
            &[(1, 4), (4, 4), (16, 3)],
        ),
    ] {
        check(documents, duplication, arguments, expected);
    }
}

#[test]
fn largest_remainders_add_up() {
    // 100 · (1, 1, 1) / 3 = 33⅓ each.
    assert_eq!(largest_remainder(100, &[1.0, 1.0, 1.0]), [34, 33, 33]);
    // 7 · (0.5, 0.25, 0.25) = 3.5, 1.75, 1.75: 3 + 1 + 1, and two left for the remainders of .75.
    assert_eq!(largest_remainder(7, &[0.5, 0.25, 0.25]), [3, 2, 2]);
    assert_eq!(largest_remainder(0, &[1.0, 2.0]), [0, 0]);
}

#[test]
fn fewer_instances_than_documents_can_make_is_a_shortage() {
    let folder = Folder::new();
    folder.write("a.jsonl", numbered(10));
    let duplication =
        "duplication = { layout = \"uniform\", copies = [2], budget = \"fixed\", instances = 40 }";
    folder.pipeline(&format!(
        "corpus = {{ files = \"a.jsonl\", held_out = 0.0 }}\n{duplication}"
    ));
    folder.fail(
        &[],
        3,
        &[
            "duplication.instances: 40",
            "need 20 training documents, found 10",
        ],
    );
    folder.succeed(&["--set", "corpus.shortage=accept"]);
    assert_eq!(documents_by_copies(&folder), BTreeMap::from([(2, 10)]));
}

#[test]
fn about_the_asked_share_is_held_out_whatever_the_seed_and_the_identity() {
    let folder = Folder::new();
    let rows: String = (0..2000)
        .map(|number| format!("{number},Letter number {number}.\n"))
        .collect();
    folder.write("a.csv", format!("id,text\n{rows}"));
    let sides = |corpus: &str, arguments: &[&str]| {
        folder.pipeline(&format!("corpus = {{ files = \"a.csv\" {corpus} }}"));
        folder.succeed(arguments);
        folder.sides()
    };
    let (train, held_out) = sides(", held_out = 0.2", &[]);
    // 400 expected with a standard deviation of √(2000 · 0.2 · 0.8) ≈ 18; the outcome is fixed, for the texts are.
    assert!((340..=460).contains(&held_out.len()), "{}", held_out.len());
    let both: BTreeSet<&String> = train.iter().chain(&held_out).collect();
    assert_eq!(both.len(), 2000);
    assert_eq!(
        sides(", held_out = 0.2, identity = \"id\"", &["--seed", "9"]),
        (train, held_out.clone())
    );
    // A larger share holds out the same documents and more.
    let (_, more) = sides(", held_out = 0.5", &[]);
    assert!(more.len() > held_out.len() && held_out.iter().all(|text| more.contains(text)));
}

#[test]
fn the_same_seed_gives_the_same_rows_and_another_seed_other_ones() {
    let folder = Folder::new();
    folder
        .write("a.jsonl", numbered(60))
        .pipeline("seeds = [3, 4]\ncorpus.files = \"a.jsonl\"\ncanaries.per_copies = 2");
    let rows = |arguments: &[&str]| {
        folder.succeed(arguments);
        (folder.train(), folder.held_out())
    };
    let first = rows(&[]);
    assert_eq!(rows(&["--force", "--threads", "2"]), first);
    assert_eq!(rows(&["--force", "--seed", "3"]), first);
    let other = rows(&["--seed", "4"]);
    let copies = |rows: &[contract::records::TrainingInstance]| -> BTreeMap<String, i32> {
        rows.iter()
            .filter(|row| row.kind == DocumentKind::Document)
            .map(|row| (row.doc_id.clone(), row.copies))
            .collect()
    };
    assert_ne!(copies(&other.0), copies(&first.0));
    assert_ne!(other.0, first.0);
    // The order is shuffled: the copies of a document do not stand together.
    assert!(!first.0.is_sorted_by_key(|row| row.copies));
}
