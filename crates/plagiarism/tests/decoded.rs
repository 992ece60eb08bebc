//! A model can write of a document what its tokenizer gives back of it: that is verbatim, and leads to the text as it is written.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "shared with other tests")]
mod support;

use contract::records::{DecodedDocument, DocumentKind, Sample, Split, Verdict};
use contract::{Error, Provenance, parquet};
use plagiarism::Outcome;
use support::{Run, cut, held_out, sample, training};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// What a kind of tokenizer makes of a character, given the one before.
type Rendering = fn(char, Option<char>) -> String;

/// Kinds of tokenizers, each as what it makes of single characters.
const KINDS: [(&str, Rendering); 9] = [
    ("as it is", |character, _| character.to_string()),
    ("NFD", |character, _| std::iter::once(character).nfd().collect()),
    ("NFKC", |character, _| std::iter::once(character).nfkc().collect()),
    ("lower case", |character, _| character.to_lowercase().collect()),
    ("accents stripped", |character, _| {
        let letters = std::iter::once(character).nfd();
        letters.filter(|letter| !is_combining_mark(*letter)).collect()
    }),
    ("blanks collapsed", |character, before| {
        match (character.is_whitespace(), before) {
            (true, Some(before)) if before.is_whitespace() => String::new(),
            (true, _) => " ".to_owned(),
            _ => character.to_string(),
        }
    }),
    ("unknown left out", |character, _| {
        if character.is_ascii() {
            character.to_string()
        } else {
            String::new()
        }
    }),
    ("unknown replaced", |character, _| {
        if character.is_ascii() {
            character.to_string()
        } else {
            "[UNK]".to_owned()
        }
    }),
    ("punctuation apart", |character, _| {
        let apart = !character.is_alphanumeric() && !character.is_whitespace();
        if apart {
            format!(" {character} ")
        } else {
            character.to_lowercase().collect()
        }
    }),
];

/// Documents of two sides, in none of which 50 characters in a row are plain.
fn text(number: usize) -> String {
    let words = [
        "Zoë",
        "ﬁne",
        "crème",
        "１２",
        "Łukasz",
        "naïve",
        "über  ",
        "Çelik",
        "№",
        "Ångström,",
        "đặng\t",
        "Straße",
        "pâté",
        "Müller;",
        "señor",
        "ﬂat",
        "Dvořák",
        "façade\n",
        "œuvre",
        "Nuñez",
    ];
    let plain = [
        "boat", "river", "Harbour", "lamp", "pilot", "Winter", "rope", "letter",
    ];
    let words = (0..60).map(|place| {
        let word = words[(number * 7 + place * (3 + number % 4)) % words.len()];
        let other = plain[(number * 5 + place * (1 + number % 3)) % plain.len()];
        format!("{word} {other}{} ", (place * 31 + number * 17) % 90)
    });
    words.collect::<Vec<String>>().concat()
}

fn render(doc_id: &str, written: &str, rendering: Rendering) -> DecodedDocument {
    let mut row = DecodedDocument {
        doc_id: doc_id.to_owned(),
        text: String::new(),
        origins: Vec::new(),
    };
    let mut before = None;
    for (place, character) in written.chars().enumerate() {
        for letter in rendering(character, before).chars() {
            row.text.push(letter);
            row.origins.push(place as i32);
        }
        before = Some(character);
    }
    row.origins.push(written.chars().count() as i32);
    row
}

/// Samples of a document's decoded text: from itself, and from no prompt at all.
fn samples(row: &DecodedDocument, split: Split, number: usize) -> [Sample; 2] {
    let length = row.text.chars().count() as i32;
    let (start, end) = (length / 3, length / 3 + 150);
    let generation = cut(&row.text, start, end);
    let own = Sample {
        doc_id: Some(row.doc_id.clone()),
        split,
        prompt: cut(&row.text, start - 40, start),
        ..sample(2 * number as i64, &generation)
    };
    let alone = Sample {
        doc_id: None,
        split: Split::None,
        prompt: String::new(),
        ..sample(2 * number as i64 + 1, &generation)
    };
    [own, alone]
}

/// Three training documents and two held-out ones, with `rows` as what a tokenizer gives back.
fn run(rendering: Rendering) -> (Run, Vec<String>, Vec<DecodedDocument>) {
    let texts: Vec<String> = (0..5).map(text).collect();
    let ids = ["a", "b-clinic", "c", "u", "v"];
    let rows: Vec<DecodedDocument> = ids
        .iter()
        .zip(&texts)
        .map(|(doc_id, text)| render(doc_id, text, rendering))
        .collect();
    let train: Vec<_> = (0..3)
        .map(|number| training(ids[number], &texts[number]))
        .collect();
    let held: Vec<_> = (3..5)
        .map(|number| held_out(ids[number], &texts[number], DocumentKind::Document))
        .collect();
    let split = |number| if number < 3 { Split::Train } else { Split::Heldout };
    let samples: Vec<Sample> = rows
        .iter()
        .enumerate()
        .flat_map(|(number, row)| samples(row, split(number), number))
        .collect();
    (Run::new(&train, &held, &samples), texts, rows)
}

fn write(run: &Run, rows: &[DecodedDocument]) {
    parquet::write_all(&run.file("decoded.parquet"), &Provenance::new("test"), rows).unwrap();
}

/// A text up to case, white space and normal form.
fn folded(text: &str) -> String {
    let text: String = text.split_whitespace().collect();
    text.nfkc().collect::<String>().to_lowercase()
}

#[test]
fn what_a_tokenizer_gives_back_is_verbatim_and_leads_to_what_is_written() {
    for (name, rendering) in KINDS {
        let (run, texts, rows) = run(rendering);
        let changed: Vec<DecodedDocument> = rows
            .iter()
            .zip(&texts)
            .filter(|(row, text)| &&row.text != text)
            .map(|(row, _)| row.clone())
            .collect();
        assert_eq!(changed.is_empty(), name == "as it is");
        write(&run, &changed);
        let Outcome::Done(summary) = run.run(&[], 2).unwrap() else {
            panic!("{name}: up to date")
        };
        assert_eq!(summary.decoded, changed.len(), "{name}");
        let outputs = run.read();
        for verdict in &outputs.verdicts {
            let number = verdict.sample_id as usize / 2;
            let best = [verdict.verdict, verdict.control_verdict.unwrap()][number / 3];
            assert_eq!(best, Verdict::Verbatim, "{name}: sample {}", verdict.sample_id);
            if number < 3 {
                assert_eq!(
                    verdict.best_doc_id.as_deref(),
                    Some(rows[number].doc_id.as_str()),
                    "{name}"
                );
                assert_eq!(
                    verdict.emitted_doc_ids.as_deref(),
                    Some([rows[number].doc_id.clone()].as_slice())
                );
                // Most of 150 characters: blanks count once, and "[UNK]" as the placeholder that it looks like not at all.
                assert!(
                    verdict.longest_match_chars > 80,
                    "{name}: {}",
                    verdict.longest_match_chars
                );
            } else {
                assert!(verdict.control_longest_match_chars > Some(80), "{name}");
            }
        }
        let samples: Vec<Sample> = parquet::read_all(&run.file("samples.parquet")).unwrap();
        let mut verbatim = [0; 10];
        for passage in outputs
            .matches
            .iter()
            .filter(|passage| passage.kind == Verdict::Verbatim)
        {
            let document = rows.iter().position(|row| row.doc_id == passage.doc_id).unwrap();
            assert!(
                0 <= passage.doc_start && passage.doc_start < passage.doc_end,
                "{name}: {passage:?}"
            );
            let found = cut(
                &samples[passage.sample_id as usize].generation,
                passage.gen_start,
                passage.gen_end,
            );
            let original = cut(&texts[document], passage.doc_start, passage.doc_end);
            // In its tokenizer's form the passage of the written text is the passage that was generated, and at either end the rest
            // of what one character became.
            let again = folded(&render("", &original, rendering).text);
            let found = folded(&found);
            assert!(again.contains(&found), "{name}: {again} lacks {found}");
            assert!(
                again.chars().count() <= found.chars().count() + 8,
                "{name}: {again}, not {found}"
            );
            assert_eq!(original.trim(), original, "{name}");
            verbatim[passage.sample_id as usize] += 1;
        }
        assert!(verbatim.iter().all(|count| *count > 0), "{name}: {verbatim:?}");
    }
}

#[test]
fn without_the_file_documents_are_compared_as_they_are_written() {
    let (run, ..) = run(KINDS[6].1);
    let Outcome::Done(summary) = run.run(&[], 2).unwrap() else {
        panic!("up to date")
    };
    assert_eq!(summary.decoded, 0);
    let outputs = run.read();
    assert!(
        outputs
            .verdicts
            .iter()
            .any(|verdict| verdict.verdict != Verdict::Verbatim)
    );
}

#[test]
fn another_file_is_other_work() {
    let (run, _, rows) = run(KINDS[4].1);
    let is_done = |run: &Run| run.run(&[], 2).unwrap() == Outcome::UpToDate;
    assert!(!is_done(&run) && is_done(&run));
    write(&run, &rows);
    assert!(!is_done(&run) && is_done(&run));
    write(&run, &rows[..4]);
    assert!(!is_done(&run));
}

#[test]
fn a_file_that_does_not_belong_to_the_corpus_is_refused_by_name() {
    let (run, _, rows) = run(KINDS[4].1);
    let spoil = |change: fn(&mut DecodedDocument)| {
        let mut rows = rows.clone();
        change(&mut rows[1]);
        rows
    };
    for (rows, problem) in [
        (spoil(|row| row.text.push('x')), "places, found"),
        (spoil(|row| row.origins[3] = 9), "ascend"),
        (spoil(|row| row.origins[0] = -1), "ascend"),
        (
            spoil(|row| *row.origins.last_mut().unwrap() += 1),
            "as many characters as its text in the corpus",
        ),
    ] {
        write(&run, &rows);
        let error = run.run(&[], 2).unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error:?}");
        let message = error.to_string();
        for piece in ["decoded.parquet", "b-clinic", problem, "extractor"] {
            assert!(message.contains(piece), "{message}\nlacks {piece}");
        }
    }
    // Documents of another corpus are of no use here, and do no harm.
    write(
        &run,
        &[rows.clone(), vec![render("elsewhere", "Été", KINDS[4].1)]].concat(),
    );
    assert!(run.run(&[], 2).is_ok());
}

#[test]
fn a_document_of_which_nothing_is_given_back_is_compared_with_nothing() {
    let (run, _, rows) = run(KINDS[6].1);
    let train = [
        training("a", "Plain text of the harbour and its lamps."),
        training("b-clinic", "漢字漢字"),
    ];
    parquet::write_all(&run.file("train.parquet"), &Provenance::new("test"), &train).unwrap();
    let lost = DecodedDocument {
        doc_id: "b-clinic".into(),
        text: String::new(),
        origins: vec![4],
    };
    write(&run, &[lost, rows[3].clone()]);
    let outputs = run.outputs(&[], 2);
    assert!(outputs.matches.iter().all(|passage| passage.doc_id != "b-clinic"));
}
