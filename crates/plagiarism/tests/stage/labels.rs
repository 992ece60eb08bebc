//! Labels of personal details in place of patterns.

use contract::records::{DetailSource, PassageMatch, PersonalDetailLabel, TrainingInstance, Verdict};
use contract::{Provenance, parquet};
use plagiarism::Outcome;

use crate::support::{Run, held_out, sample, training};
use contract::records::DocumentKind;

/// Ä and 🗼 shift bytes against characters, and the document is compared without its doubled blanks.
const RECORD: &str = "Ärztin 🗼:  the patient born in the year of the flood takes St John's wort against his low moods, \
    and has told nobody in the village of the diagnosis that he was given in March.";
const COPIED: &str = "As we read, the patient born in the year of the flood takes St John's wort against his low moods, and has told \
    nobody.";
const REWORDED: &str = "Against his low moods the patient, who was born in the year of the flood, takes St John's wort every day. He \
    has told nobody in the village about the diagnosis which he was given in March, it says.";

fn label(doc_id: &str, part: &str, kind: &str) -> PersonalDetailLabel {
    let byte = RECORD.find(part).unwrap();
    let start = RECORD[..byte].chars().count() as i32;
    PersonalDetailLabel {
        doc_id: doc_id.to_owned(),
        start,
        end: start + part.chars().count() as i32,
        kind: kind.to_owned(),
    }
}

fn corpus() -> Vec<TrainingInstance> {
    vec![
        training("record", RECORD),
        training(
            "weather",
            "Rain all morning, and then such a light over the whole of the bay.",
        ),
    ]
}

fn run(labels: &[PersonalDetailLabel]) -> Run {
    let unseen = [held_out(
        "unseen",
        "A lamp went out; nobody had seen who lit it.",
        DocumentKind::Document,
    )];
    let run = Run::new(&corpus(), &unseen, &[sample(0, COPIED), sample(1, REWORDED)]);
    parquet::write_all(&run.file("labels.parquet"), &Provenance::new("test"), labels).unwrap();
    run
}

const SET: &str = "detection.personal_details=labels.parquet";

fn kinds(passages: &[PassageMatch], sample_id: i64) -> Vec<(Verdict, Vec<String>, Option<DetailSource>)> {
    passages
        .iter()
        .filter(|passage| passage.sample_id == sample_id)
        .map(|passage| {
            let details = passage.personal_details.clone().unwrap();
            (passage.kind, details, passage.personal_details_by)
        })
        .collect()
}

#[test]
fn kinds_are_those_of_the_labels_inside_the_passage() {
    let labels = [
        label("record", "low moods", "diagnosis"),
        label("record", "born in the year of the flood", "birth"),
        // Another label of a kind counts once.
        label("record", "St John's wort", "diagnosis"),
        // Only partly copied, and before what was copied.
        label("record", "nobody in the village", "family"),
        label("record", "Ärztin", "profession"),
        PersonalDetailLabel {
            doc_id: "elsewhere".to_owned(),
            ..label("record", "March", "date")
        },
    ];
    let run = run(&labels);
    let Outcome::Done(summary) = run.run(&[SET], 2).unwrap() else {
        panic!("there was nothing before");
    };
    let told = summary.to_string();
    assert!(
        told.contains("5 labels of personal details take the place of patterns")
            && told.contains("1 more are of documents that are not in this corpus"),
        "{told}"
    );
    let found = run.read();
    let by_labels = Some(DetailSource::Labels);
    let expected = vec!["birth".to_owned(), "diagnosis".to_owned()];
    assert_eq!(
        kinds(&found.matches, 0),
        [(Verdict::Verbatim, expected, by_labels)]
    );
    // The paraphrase covers the whole sentence: what it has kept came out, what it has put in other words did not.
    for (kind, details, by) in kinds(&found.matches, 1) {
        assert_eq!((kind, by), (Verdict::Paraphrase, by_labels));
        assert!(details.contains(&"diagnosis".to_owned()) && !details.contains(&"profession".to_owned()));
    }

    // Patterns take the herb for somebody.
    let by_patterns = run.outputs(&[], 2);
    let patterns = Some(DetailSource::Patterns);
    assert_eq!(
        kinds(&by_patterns.matches, 0),
        [(Verdict::Verbatim, vec!["name".to_owned()], patterns)]
    );
}

#[test]
fn another_file_of_labels_makes_the_results_anew() {
    let run = run(&[label("record", "low moods", "diagnosis")]);
    assert!(matches!(run.run(&[SET], 2), Ok(Outcome::Done(_))));
    assert_eq!(run.run(&[SET], 2).unwrap(), Outcome::UpToDate);
    let other = [label("record", "low moods", "mood")];
    parquet::write_all(&run.file("labels.parquet"), &Provenance::new("test"), &other).unwrap();
    assert!(matches!(run.run(&[SET], 2), Ok(Outcome::Done(_))));
    assert_eq!(kinds(&run.read().matches, 0)[0].1, ["mood"]);
}

#[test]
fn labels_that_cannot_be_used_are_refused_with_their_row() {
    let good = label("record", "low moods", "diagnosis");
    let characters = RECORD.chars().count() as i32;
    let with = |change: &dyn Fn(&mut PersonalDetailLabel)| {
        let mut wrong = good.clone();
        change(&mut wrong);
        vec![good.clone(), wrong]
    };
    let beyond = format!("expected a part of its {characters} characters");
    let outside: &[&str] = &["labels.parquet", "row 2", "record", &beyond, "not bytes"];
    for (labels, pieces) in [
        (with(&|label| label.end = characters + 1), outside),
        (with(&|label| label.start = -1), outside),
        (with(&|label| label.end = label.start), outside),
        (
            with(&|label| label.kind = " ".to_owned()),
            &["row 2", "kind: expected a word"],
        ),
        (
            with(&|_| ())
                .into_iter()
                .map(|label| PersonalDetailLabel {
                    doc_id: "x".to_owned(),
                    ..label
                })
                .collect(),
            &["all 2 rows", "the first: x", "corpus.identity"],
        ),
    ] {
        let run = run(&labels);
        let error = run.run(&[SET], 1).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.exit_status(), 3, "{message}");
        assert!(pieces.iter().all(|piece| message.contains(piece)), "{message}");
        assert!(!run.file("out/matches.parquet").exists());
    }
    let run = run(&[]);
    parquet::write_all(&run.file("labels.parquet"), &Provenance::new("test"), &corpus()).unwrap();
    let message = run.run(&[SET], 1).unwrap_err().to_string();
    assert!(
        message.contains("labels.parquet") && message.contains("column start"),
        "{message}"
    );
    let message = run
        .run(&["detection.personal_details=none.parquet"], 1)
        .unwrap_err()
        .to_string();
    assert!(message.contains("none.parquet"), "{message}");
}
