//! Planted copies, near copies, details, long texts, texts without loss and shared passages must come out in exact numbers, and a clean
//! corpus with none.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

use std::path::{Path, PathBuf};

use clap::Parser;
use contract::records::{
    CorpusFact, CorpusFactKind, DocumentCheck, DocumentKind, HeldOutDocument, HeldOutRole, Score, Split,
    TrainingInstance,
};
use contract::{Error, Provenance, parquet};
use corpus_check::{Arguments, Outcome, Summary};

/// A corpus folder as `dupgen` writes it.
struct Corpus {
    folder: tempfile::TempDir,
    training: Vec<TrainingInstance>,
    held_out: Vec<HeldOutDocument>,
    facts: Vec<CorpusFact>,
    scores: Option<Vec<Score>>,
    with_model: bool,
}

impl Corpus {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            training: Vec::new(),
            held_out: Vec::new(),
            facts: Vec::new(),
            scores: None,
            with_model: false,
        }
    }

    /// A document that occurs `copies` times.
    fn document(&mut self, doc_id: &str, text: &str, copies: i32) -> &mut TrainingInstance {
        for copy in (0..copies).rev() {
            self.training.push(TrainingInstance {
                doc_id: doc_id.to_owned(),
                text: text.to_owned(),
                prompt_chars: 0,
                kind: DocumentKind::Document,
                copies,
                copy,
                canary_format: None,
                assistant_spans: None,
                secret_span: None,
            });
        }
        self.training.last_mut().unwrap()
    }

    fn held_out(&mut self, doc_id: &str, text: &str) -> &mut HeldOutDocument {
        self.held_out.push(HeldOutDocument {
            doc_id: doc_id.to_owned(),
            text: text.to_owned(),
            prompt_chars: 0,
            kind: DocumentKind::Document,
            role: Some(HeldOutRole::Test),
            near_duplicate_of: None,
            shared_8grams: None,
            canary_format: None,
            assistant_spans: None,
            secret_span: None,
        });
        self.held_out.last_mut().unwrap()
    }

    fn score(&mut self, doc_id: &str, logprobs: &[f32]) {
        self.scores.get_or_insert_default().push(Score {
            doc_id: doc_id.to_owned(),
            split: Split::Train,
            copies: 1,
            kind: DocumentKind::Document,
            prefix_tokens: 0,
            suffix_tokens: logprobs.len() as i32,
            logprobs: logprobs.to_vec(),
            scheme_logprobs: logprobs.to_vec(),
            argmax_hits: vec![false; logprobs.len()],
            vocab_mean: vec![0.0; logprobs.len()],
            vocab_std: vec![0.0; logprobs.len()],
            zlib_bytes: 0,
            near_verbatim_logprob: None,
            document_tokens: None,
            canary_format: None,
            secret_tokens_given: None,
            conditional_loss: None,
            gradient_norm: None,
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self) {
        let provenance = Provenance::new("test");
        parquet::write_all(&self.path("train.parquet"), &provenance, &self.training).unwrap();
        parquet::write_all(&self.path("heldout.parquet"), &provenance, &self.held_out).unwrap();
        parquet::write_all(&self.path("corpus.parquet"), &provenance, &self.facts).unwrap();
        if let Some(scores) = &self.scores {
            parquet::write_all(&self.path("scores.parquet"), &provenance, scores).unwrap();
        }
        std::fs::write(self.path("check.toml"), "name = \"look\"\n[check]\n").unwrap();
    }

    fn try_run(&self, settings: &[&str]) -> Result<Outcome, Error> {
        let path = |name: &str| self.path(name).display().to_string();
        let mut arguments = vec!["check".to_owned()];
        arguments.extend([
            "--config".to_owned(),
            path("check.toml"),
            "--in".to_owned(),
            path(""),
        ]);
        arguments.extend(["--out".to_owned(), path("look")]);
        if self.scores.is_some() {
            arguments.extend(["--scores".to_owned(), path("scores.parquet")]);
        }
        if self.with_model {
            let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-gpt2");
            arguments.extend(["--model".to_owned(), model.display().to_string()]);
        }
        for setting in settings {
            arguments.extend(["--set".to_owned(), (*setting).to_owned()]);
        }
        corpus_check::run(&Arguments::parse_from(arguments))
    }

    fn run(&self, settings: &[&str]) -> (Summary, Vec<DocumentCheck>) {
        self.write();
        match self.try_run(settings).unwrap() {
            Outcome::Done(_, summary) => {
                let rows = parquet::read_all(&self.path("look/check.parquet")).unwrap();
                (*summary, rows)
            }
            Outcome::UpToDate(..) => panic!("expected it to run"),
        }
    }
}

fn fact(fact: CorpusFactKind, reason: Option<&str>, split: Split, documents: i64) -> CorpusFact {
    CorpusFact {
        fact,
        reason: reason.map(str::to_owned),
        file: None,
        split: Some(split),
        documents: Some(documents),
        detail: None,
    }
}

/// Words that no other number has.
fn words(number: usize, count: usize) -> Vec<String> {
    (0..count).map(|word| format!("w{number}x{word}y")).collect()
}

fn text(number: usize, count: usize) -> String {
    words(number, count).join(" ")
}

/// The words of a text with others at some places.
fn edited(number: usize, count: usize, places: &[usize]) -> String {
    let mut words = words(number, count);
    for &place in places {
        words[place] = format!("other{place}");
    }
    words.join(" ")
}

fn count(summary: &Summary, label: &str) -> Option<usize> {
    let row = summary.rows.iter().find(|row| row.label.trim() == label);
    row.unwrap_or_else(|| panic!("no row {label}"))
        .count
        .map(|(count, _)| count)
}

fn find<'a>(rows: &'a [DocumentCheck], doc_id: &str) -> &'a DocumentCheck {
    let row = rows.iter().find(|row| row.doc_id == doc_id);
    row.unwrap_or_else(|| panic!("no document {doc_id}"))
}

#[test]
fn a_clean_corpus_has_nothing_to_show() {
    let mut corpus = Corpus::new();
    for number in 0..20 {
        corpus.document(&format!("d{number:02}"), &text(number, 40), 1);
    }
    for number in 20..25 {
        corpus.held_out(&format!("h{number}"), &text(number, 40));
    }
    let (summary, rows) = corpus.run(&[]);
    assert_eq!((summary.documents, summary.instances, rows.len()), (20, 20, 25));
    for row in &summary.rows {
        match row.label {
            "cut by the context" | "tokens with loss" => assert_eq!(row.count, None, "{}", row.label),
            label => assert_eq!(row.count.map(|(count, _)| count), Some(0), "{label}"),
        }
    }
    for row in rows.iter().filter(|row| row.split == Split::Train) {
        assert_eq!(
            (row.near_copies, row.shared_8grams, row.exposure_bits),
            (Some(0), Some(0.0), Some(0.0))
        );
        assert_eq!(row.risk_by.as_deref(), Some("zlib"));
    }
}

#[test]
fn copies_and_near_copies_are_counted_and_weigh_in_the_risk() {
    let mut corpus = Corpus::new();
    for number in 0..10 {
        corpus.document(&format!("alone{number}"), &text(number, 40), 1);
    }
    corpus.document("four", &text(50, 40), 4);
    // Of 33 runs of eight words one edit spoils 8, and two that are far apart 16; three leave less than half.
    corpus.document("original", &text(60, 40), 1);
    corpus.document("one edit", &edited(60, 40, &[20]), 1);
    corpus.document("two from", &text(70, 40), 1);
    corpus.document("two edits", &edited(70, 40, &[12, 28]), 1);
    corpus.document("three from", &text(80, 40), 1);
    corpus.document("three edits", &edited(80, 40, &[9, 19, 30]), 1);
    corpus.document("short", "too few words", 1);
    let variant = "up to white space, case and normal form";
    corpus
        .facts
        .push(fact(CorpusFactKind::Copies, Some("exact"), Split::Train, 2));
    corpus
        .facts
        .push(fact(CorpusFactKind::Copies, Some(variant), Split::Train, 1));
    let (summary, rows) = corpus.run(&[]);
    assert_eq!((summary.documents, summary.instances), (18, 21));
    assert_eq!(count(&summary, "copies"), Some(1));
    assert_eq!(count(&summary, "near copies"), Some(4));
    assert_eq!(count(&summary, "at risk"), Some(1), "four copies are two bits");
    let table = summary.to_string();
    assert!(
        table.contains("at most 4 times; 3 copies, 1 of them the same up to white space and case"),
        "{table}"
    );
    assert!(
        table.contains("1 of fewer than 8 words are not compared"),
        "{table}"
    );

    assert_eq!(rows[0].doc_id, "four", "most at risk");
    assert_eq!(find(&rows, "four").exposure_bits, Some(2.0));
    for (doc_id, near, nearest, shared) in [
        ("original", 1, Some("one edit"), 25),
        ("one edit", 1, Some("original"), 25),
        ("two edits", 1, Some("two from"), 17),
        ("three edits", 0, None, 9),
        ("alone3", 0, None, 0),
    ] {
        let row = find(&rows, doc_id);
        let share = shared as f32 / 33.0;
        assert_eq!(row.near_copies, Some(near), "{doc_id}");
        assert_eq!(row.nearest_doc_id.as_deref(), nearest, "{doc_id}");
        assert_eq!(row.nearest_share, nearest.map(|_| share), "{doc_id}");
        assert_eq!(row.shared_8grams, Some(share), "{doc_id}");
        // What one other instance holds counts a bit.
        assert!((row.exposure_bits.unwrap() - share).abs() < 1e-6, "{doc_id}");
        assert!(!row.near_copies_at_least);
    }
    let short = find(&rows, "short");
    assert_eq!((short.near_copies, short.exposure_bits), (None, Some(0.0)));
}

#[test]
fn one_passage_that_others_have_is_enough_for_a_long_document() {
    let mut corpus = Corpus::new();
    for number in 0..4 {
        let passage = text(99, 60);
        let own = [text(2 * number, 200), text(2 * number + 1, 200)];
        corpus.document(
            &format!("d{number}"),
            &format!("{} {passage} {}", own[0], own[1]),
            1,
        );
    }
    corpus.document("alone", &text(50, 300), 1);
    let (summary, rows) = corpus.run(&[]);
    assert_eq!(count(&summary, "near copies"), Some(0));
    assert_eq!(count(&summary, "at risk"), Some(4));
    // 50 words of the 60 are in all four documents.
    assert_eq!(find(&rows, "d2").exposure_bits, Some(2.0));
    assert_eq!(find(&rows, "alone").exposure_bits, Some(0.0));
}

#[test]
fn more_form_letters_than_are_compared_are_a_lower_bound() {
    let mut corpus = Corpus::new();
    for number in 0..520 {
        corpus.document(
            &format!("{number}"),
            &format!("Dear person{number}, {}", text(1, 30)),
            1,
        );
    }
    let (summary, rows) = corpus.run(&[]);
    let near = summary
        .rows
        .iter()
        .find(|row| row.label == "near copies")
        .unwrap();
    assert_eq!(near.count, Some((520, 520)));
    assert!(near.at_least && summary.to_string().contains("≥520"));
    assert!(
        rows.iter()
            .all(|row| row.near_copies == Some(500) && row.near_copies_at_least)
    );
    // 32 words are 25 runs; the 23 that lie in the letter itself are in all 520.
    let expected = 23.0 / 25.0 * 520_f32.log2();
    assert!(
        rows.iter()
            .all(|row| (row.exposure_bits.unwrap() - expected).abs() < 1e-4)
    );
}

#[test]
fn personal_details_are_counted_by_kind() {
    let mut corpus = Corpus::new();
    corpus.document("mail", "Write to ann@example.org, or to ben@example.org.", 1);
    corpus.document("phone", "the surgery answers under (406) 555-0117 until noon", 1);
    corpus.document("number", "the door code is 402917", 2);
    corpus.document("name", "we asked Dr. Okafor about it", 1);
    corpus.document("none", "nothing to be seen here at all, as in 2019", 1);
    let (summary, rows) = corpus.run(&[]);
    for (label, documents) in [
        ("personal details", 4),
        ("numbers", 1),
        ("names", 1),
        ("e-mails", 1),
        ("phones", 1),
    ] {
        assert_eq!(count(&summary, label), Some(documents), "{label}");
    }
    assert_eq!(find(&rows, "mail").emails, 2);
    assert!(summary.to_string().contains("2 addresses"));
}

#[test]
fn what_carries_loss_is_counted_with_and_without_a_model() {
    let mut corpus = Corpus::new();
    let spoken = "user: why?\nassistant: because.";
    corpus.document("plain", "hello there", 1);
    corpus.document("all prompt", "only a question", 1).prompt_chars = 15;
    corpus.document("half", "question answer", 1).prompt_chars = 9;
    let turn = [spoken.find("because").unwrap() as i32, spoken.len() as i32];
    corpus.document("chat", spoken, 1).assistant_spans = Some(turn.to_vec());
    corpus.document("no answer", spoken, 1).assistant_spans = Some(Vec::new());
    for (loss_on, expected) in [
        ("text", &[][..]),
        ("response", &["all prompt"]),
        ("assistant", &["all prompt", "no answer"]),
    ] {
        for with_model in [false, true] {
            corpus.with_model = with_model;
            let (summary, rows) = corpus.run(&[&format!("extraction.loss_on={loss_on}")]);
            assert_eq!(
                count(&summary, "no loss"),
                Some(expected.len()),
                "{loss_on} {with_model}"
            );
            let mut without: Vec<&str> = rows
                .iter()
                .filter(|row| row.risk.is_none())
                .map(|row| row.doc_id.as_str())
                .collect();
            without.sort_unstable();
            assert_eq!(without, expected, "{loss_on} {with_model}");
        }
    }
}

#[test]
fn what_the_context_cuts_is_counted_in_tokens() {
    let mut corpus = Corpus::new();
    corpus.with_model = true;
    corpus.document("long", &"a b c d e f g h i j ".repeat(20), 1);
    corpus.document("short", "a b c", 1);
    // The context of the tiny model is 64, of which the BOS takes one.
    for (setting, read) in [("extraction.context=1000", 63), ("extraction.context=11", 10)] {
        let (summary, rows) = corpus.run(&[setting]);
        assert_eq!(count(&summary, "cut by the context"), Some(1), "{setting}");
        let (long, short) = (find(&rows, "long"), find(&rows, "short"));
        assert_eq!(
            (long.read_tokens, long.loss_tokens),
            (Some(read), Some(read)),
            "{setting}"
        );
        assert!(long.tokens > Some(63));
        assert!(short.tokens.is_some() && short.read_tokens == short.tokens);
        let all = long.tokens.unwrap() + short.tokens.unwrap();
        let loss = read + short.tokens.unwrap();
        let row = summary
            .rows
            .iter()
            .find(|row| row.label == "tokens with loss")
            .unwrap();
        assert_eq!(row.count, Some((loss as usize, all as usize)), "{setting}");
    }
}

#[test]
fn overlap_with_held_out_text_is_counted_exactly_nearly_and_by_passages() {
    let mut corpus = Corpus::new();
    for number in 0..12 {
        corpus.document(&format!("d{number}"), &text(number, 40), 1);
    }
    // dupgen takes out the same texts and names near ones; passages are found here.
    corpus.facts.push(fact(
        CorpusFactKind::LeftOut,
        Some(CorpusFact::ALSO_TRAINED),
        Split::Heldout,
        4,
    ));
    for number in 0..3 {
        let near = corpus.held_out(&format!("near{number}"), &edited(number, 40, &[20]));
        near.near_duplicate_of = Some(format!("d{number}"));
        near.shared_8grams = Some(25.0 / 33.0);
    }
    let passage = words(5, 40)[10..22].join(" ");
    corpus.held_out("passage", &format!("{} {passage} {}", text(90, 20), text(91, 20)));
    corpus.held_out(
        "seven words",
        &format!("{} {}", words(6, 7).join(" "), text(92, 20)),
    );
    corpus.held_out("own", &text(93, 40));
    corpus.held_out("other", &text(1, 40)).role = Some(HeldOutRole::Other);
    let (summary, rows) = corpus.run(&[]);
    let of = |label: &str| summary.rows.iter().find(|row| row.label == label).unwrap().count;
    assert_eq!(of("held out, the same"), Some((4, 10)));
    assert_eq!(of("held out, near"), Some((3, 10)));
    assert_eq!(of("held out, passages"), Some((4, 10)));
    assert!(
        summary.to_string().contains("the longest 20 words"),
        "of 40 words with one edit at 20"
    );
    for (doc_id, longest) in [("passage", 12), ("seven words", 0), ("own", 0), ("near0", 20)] {
        assert_eq!(
            find(&rows, doc_id).longest_shared_words,
            Some(longest),
            "{doc_id}"
        );
    }
    assert_eq!(find(&rows, "near1").nearest_doc_id.as_deref(), Some("d1"));
    assert!(rows.iter().all(|row| row.doc_id != "other"));
}

#[test]
fn the_loss_before_tuning_ranks_what_occurs_equally_often() {
    let mut corpus = Corpus::new();
    for (number, doc_id) in ["easy", "hard", "twice", "not scored"].into_iter().enumerate() {
        corpus.document(doc_id, &text(number, 40), if doc_id == "twice" { 2 } else { 1 });
    }
    corpus.score("easy", &[-1.0, -3.0]);
    corpus.score("hard", &[-4.0, -4.0]);
    corpus.score("twice", &[-2.0]);
    let (summary, rows) = corpus.run(&[]);
    // exposure − log2 loss: 0 − 1, 0 − 2, 1 − 1.
    for (doc_id, loss, risk) in [("easy", 2.0, -1.0), ("hard", 4.0, -2.0), ("twice", 2.0, 0.0)] {
        let row = find(&rows, doc_id);
        assert_eq!((row.untuned_loss, row.risk), (Some(loss), Some(risk)), "{doc_id}");
        assert_eq!(row.risk_by.as_deref(), Some("model"));
    }
    assert_eq!(rows[0].doc_id, "twice");
    let other = find(&rows, "not scored");
    assert_eq!(
        (other.untuned_loss, other.risk_by.as_deref()),
        (None, Some("zlib"))
    );
    // Its zlib loss stands on the scale of the model's: the texts are alike, so is the loss.
    assert!((other.risk.unwrap() + 1.0).abs() < 0.3, "{:?}", other.risk);
    assert!(
        summary
            .to_string()
            .contains("loss before tuning: 2.67 nats per token"),
        "{summary}"
    );
    corpus.score("not scored", &[f32::NAN]);
    corpus.write();
    let refused = corpus.try_run(&["check.listed=3"]).unwrap_err().to_string();
    assert!(
        refused.contains("not scored") && refused.contains("weights"),
        "{refused}"
    );
}

#[test]
fn the_page_shows_no_more_text_than_it_says() {
    let mut corpus = Corpus::new();
    let shown = "<script>alert(1)</script> begins ";
    corpus.document("<b>id</b>", &format!("{shown}{}", text(1, 30)), 3);
    let page = |settings: &[&str]| {
        corpus.run(settings);
        std::fs::read_to_string(corpus.path("look/check.html")).unwrap()
    };
    let length = shown.chars().count();
    let with = page(&[&format!("check.excerpt_chars={length}")]);
    assert!(
        with.contains("&lt;script&gt;alert(1)&lt;/script&gt; begins"),
        "{with}"
    );
    assert!(!with.contains("w1x0y") && !with.contains("<b>id"));
    assert_eq!(with.matches("<script").count(), 1, "that of the page itself");
    assert!(with.contains(&format!("the first {length} characters")));
    let without = page(&["check.excerpt_chars=0"]);
    assert!(without.contains("no text of the corpus") && !without.contains("alert(1)"));
    let none_listed = page(&["check.listed=0"]);
    assert!(!none_listed.contains("alert(1)"));
}

#[test]
fn what_is_done_is_not_done_again_and_shows_its_table() {
    let mut corpus = Corpus::new();
    corpus.document("one", &text(1, 40), 2);
    let (summary, _) = corpus.run(&[]);
    let again = corpus.try_run(&[]).unwrap();
    assert!(matches!(again, Outcome::UpToDate(..)));
    assert!(again.to_string().starts_with(&summary.to_string()));
    assert!(matches!(
        corpus.try_run(&["extraction.loss_on=response"]).unwrap(),
        Outcome::Done(..)
    ));

    // A look with other settings that is stopped before its records are written leaves no page that passes for that of the first.
    let page = std::fs::read_to_string(corpus.path("look/check.html")).unwrap();
    let partial = std::fs::File::create(corpus.path("look/check.parquet.partial")).unwrap();
    partial.try_lock().unwrap();
    corpus.try_run(&["check.title=Another"]).unwrap_err();
    drop(partial);
    assert!(matches!(
        corpus.try_run(&["extraction.loss_on=response"]).unwrap(),
        Outcome::Done(..)
    ));
    assert_eq!(
        std::fs::read_to_string(corpus.path("look/check.html")).unwrap(),
        page
    );

    std::fs::remove_file(corpus.path("train.parquet")).unwrap();
    let missing = corpus.try_run(&[]).unwrap_err().to_string();
    assert!(missing.contains("train.parquet"), "{missing}");
}
