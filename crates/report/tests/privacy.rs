//! What differential privacy promises, and what canaries by coin flip show of it.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::path::Path;

use common::{Made, Shape, Tuning, edit, make, set_nats, write_run};
use contract::records::{DocumentKind, HeldOutDocument, Score, Split, SummaryRow, TrainingInstance};
use measures::privacy::canary_epsilon;

const PRIVATE: &str = "private";
const PROMISED: &str = "epsilon_at_delta_1e-5";
const SHOWN: &str = "epsilon_lower_bound_at_delta_1e-5";
const HIGHEST: &str = "epsilon_highest_at_delta_1e-5";

/// A run whose 24 canaries and 16 references are canaries by coin flip; by `nats` of whether one was put in and its number, under the tuned
/// and under the untuned model.
fn run(noise_multiplier: Option<f64>, nats: impl Fn(bool, usize, bool) -> f32) -> Made {
    run_of_layout(None, noise_multiplier, nats).0
}

/// The same in a layout, bucketed or with so many copies of every document; beside it the text of the page.
fn run_of_layout(
    uniform_copies: Option<i32>,
    noise_multiplier: Option<f64>,
    nats: impl Fn(bool, usize, bool) -> f32,
) -> (Made, String) {
    let shape = Shape {
        documents: 12,
        canaries: if uniform_copies.is_some() { 24 } else { 8 },
        references: 16,
        samples: 1,
        best: false,
        tunings: vec![
            Tuning {
                uniform_copies,
                ..Tuning::new("base", "base", None, 5.0, 0.0)
            },
            Tuning {
                uniform_copies,
                // The log goes on to pass 5: what was done counts, not what was asked for.
                epochs: Some(2.5),
                noise_multiplier,
                ..Tuning::new(PRIVATE, "lora", Some(1e-3), 4.0, 0.0)
            },
        ],
        ..Shape::default()
    };
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &shape);
    let corpus = folder
        .path()
        .join("corpus")
        .join(shape.tunings[0].corpus_folder());
    edit(
        &corpus.join("train.parquet"),
        |rows: &mut Vec<TrainingInstance>| {
            for row in rows.iter_mut().filter(|row| row.kind == DocumentKind::Canary) {
                row.kind = DocumentKind::CoinCanary;
            }
        },
    );
    edit(
        &corpus.join("heldout.parquet"),
        |rows: &mut Vec<HeldOutDocument>| {
            for row in rows
                .iter_mut()
                .filter(|row| row.kind == DocumentKind::CanaryReference)
            {
                row.kind = DocumentKind::CoinCanary;
            }
        },
    );
    for (cell, is_tuned) in [("base", false), (PRIVATE, true)] {
        set_coins(&folder.path().join("cells").join(cell), |is_in, number| {
            nats(is_in, number, is_tuned)
        });
    }
    let made = make(folder.path());
    let page = std::fs::read_to_string(folder.path().join("report/report.html")).unwrap();
    let text = page
        .split('<')
        .filter_map(|part| part.split_once('>'))
        .map(|(_, text)| text);
    (made, text.collect())
}

fn set_coins(cell: &Path, nats: impl Fn(bool, usize) -> f32) {
    edit(&cell.join("scores.parquet"), |scores: &mut Vec<Score>| {
        scores.retain(|score| score.kind == DocumentKind::Document || score.secret_tokens_given.is_none());
        let canaries = scores
            .iter_mut()
            .filter(|score| score.kind != DocumentKind::Document);
        for (number, score) in canaries.enumerate() {
            let nats = nats(score.split == Split::Train, number);
            score.kind = DocumentKind::CoinCanary;
            set_nats(score, nats);
        }
    });
}

#[track_caller]
fn row<'a>(made: &'a Made, measure: &str, copies: Option<i32>) -> &'a SummaryRow {
    let mut rows = made
        .rows
        .iter()
        .filter(|row| row.cell.as_deref() == Some(PRIVATE) && row.measure == measure && row.copies == copies);
    let found = rows.next().unwrap_or_else(|| panic!("no {measure}"));
    assert!(rows.next().is_none(), "{measure} twice");
    found
}

fn check(made: &Made) -> Option<(&str, &str)> {
    let mut checks = made.json["checks"].as_array().unwrap().iter();
    let found = checks.find(|found| found["cell"] == PRIVATE && found["check"] == "privacy_holds")?;
    Some((
        found["status"].as_str().unwrap(),
        found["message"].as_str().unwrap(),
    ))
}

/// Every canary that was put in is likelier than any that was left out, after tuning; before it is as chance has it.
fn all_told(is_in: bool, number: usize, is_tuned: bool) -> f32 {
    let own = 50.0 + (number * 17 % 40) as f32 / 10.0;
    if is_in && is_tuned { own - 10.0 } else { own }
}

#[test]
fn a_promise_that_canaries_break_is_no_promise() {
    // Five passes, σ = 100: μ = √5 / 100.
    let made = run(Some(100.0), all_told);
    let promised = row(&made, PROMISED, Some(1));
    // δ = 1e-5 of μ = 0.02236: worked out with Python's erfc.
    assert!((promised.value - 0.0663).abs() < 1e-4, "{}", promised.value);
    let more = row(&made, PROMISED, Some(16));
    assert!(more.value > 16.0 * promised.value);
    let shown = row(&made, SHOWN, Some(1));
    // 40 canaries, 20 guesses on a side; sides of 20, 10 and 5 were tried. Of the 24 that were put in 4 are guessed out with the 16.
    let by_sides = [(40, 36), (20, 20), (10, 10)]
        .map(|(guesses, right)| canary_epsilon(40, guesses, right, 1e-5, 0.05 / 3.0).unwrap());
    let best = by_sides.into_iter().fold(0.0, f64::max);
    assert!(
        (shown.value - best).abs() < 1e-9 && shown.at_least,
        "{} {by_sides:?}",
        shown.value
    );
    assert_eq!(shown.untuned, Some(0.0));
    assert!(row(&made, HIGHEST, Some(1)).value >= shown.value);
    let (status, message) = check(&made).unwrap();
    assert_eq!(status, "failed", "{message}");
    assert!(
        message.contains("guesses which canaries a coin had put in"),
        "{message}"
    );
}

#[test]
fn a_promise_that_no_canary_contradicts_stands() {
    // σ = ½ promises an ε of some 20, more than 40 canaries can speak against: that is no test.
    let made = run(Some(0.5), all_told);
    let (status, message) = check(&made).unwrap();
    assert_eq!(status, "not made", "{message}");
    assert!(message.contains("40 canaries by coin flip can show"), "{message}");
    // Nothing can be distinguished: no lower bound.
    let made = run(Some(100.0), |_, number, _| all_told(false, number, false));
    assert_eq!(row(&made, SHOWN, Some(1)).value, 0.0);
    assert_eq!(check(&made).unwrap().0, "passed");
}

/// Where every document occurs four times, what is promised to a row is not what is promised to a document; canaries are rows.
#[test]
fn a_row_is_promised_the_same_in_every_layout() {
    let (bucketed, (uniform, page)) = (
        run(Some(100.0), all_told),
        run_of_layout(Some(4), Some(100.0), all_told),
    );
    let promised = |made, copies| row(made, PROMISED, Some(copies)).value;
    assert_eq!(promised(&uniform, 1), promised(&bucketed, 1));
    assert_eq!(promised(&uniform, 4), promised(&bucketed, 4));
    assert!(promised(&uniform, 4) > 4.0 * promised(&uniform, 1));
    assert!(row(&uniform, SHOWN, Some(1)).value > promised(&uniform, 4));
    assert_eq!(check(&uniform).unwrap().0, "failed");
    let (_, told) = page.split_once("ε promised to a row, at δ = 10⁻⁵").unwrap();
    let (told, _) = told.split_once("ε that canaries by coin flip show").unwrap();
    assert!(told.contains(&format!("{:.2}", promised(&uniform, 1))), "{told}");
    assert!(!told.contains(&format!("{:.2}", promised(&uniform, 4))), "{told}");
}

#[test]
fn tuning_without_noise_promises_nothing_and_is_looked_at_all_the_same() {
    let made = run(None, all_told);
    assert!(made.rows.iter().all(|row| row.measure != PROMISED));
    assert!(row(&made, SHOWN, Some(1)).value > 0.5);
    assert_eq!(check(&made), None);
}
