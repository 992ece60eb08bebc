//! What holds for every corpus: nothing is lost, nothing is added, nothing stands on both sides.

use std::collections::{BTreeMap, BTreeSet};

use clap::Parser;
use dupgen::{Arguments, Outcome, Summary};
use proptest::prelude::*;

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
        Outcome::Done(summary) => summary,
        Outcome::UpToDate { .. } => panic!("nothing was there before"),
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
        let distinct: BTreeSet<&String> = texts.iter().collect();
        let copies: Vec<u32> = copies.into_iter().collect();
        folder.write("a.jsonl", lines.join("\n"));
        folder.pipeline(&format!(
            "corpus = {{ files = \"a.jsonl\", held_out = {held_out} }}\nduplication.copies = {copies:?}"
        ));
        let hashed = dupgen::split::by_text(distinct.iter().map(|text| (dupgen::digest::Digest::of(text), false)), held_out);
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
            prop_assert_eq!(&row.doc_id, &dupgen::digest::Digest::of(&row.text).hexadecimal());
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
}
