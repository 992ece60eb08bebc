//! The measures against figures worked out by hand.

use std::collections::HashSet;

use proptest::prelude::*;
use text_align::Span;
use text_align::case_measures::{
    Annotation, PrecisionRecall, Thresholds, case_level, document_level, granularity, macro_average,
    micro_average, plagdet,
};

fn annotation(documents: (u32, u32), suspicious: (usize, usize), source: (usize, usize)) -> Annotation {
    Annotation {
        suspicious_document: documents.0,
        source_document: documents.1,
        suspicious: Span::new(suspicious.0, suspicious.1),
        source: Span::new(source.0, source.1),
    }
}

#[track_caller]
fn near(found: PrecisionRecall, precision: f64, recall: f64) {
    assert!(
        (found.precision - precision).abs() < 1e-12 && (found.recall - recall).abs() < 1e-12,
        "{found:?} is not {precision}, {recall}"
    );
}

#[test]
fn plagdet_has_its_published_values() {
    for (recall, precision, granularity, expected) in [
        (0.5, 1.0, 1.0, 2.0 / 3.0),
        (1.0, 1.0, 2.0, 0.630_929_75),
        (0.25, 0.75, 2.0, 0.236_598_65),
        (1.0, 1.0, 1.0, 1.0),
        (0.0, 0.0, 1.0, 0.0),
        (1.0, 0.0, 3.0, 0.0),
    ] {
        let found = plagdet(PrecisionRecall { precision, recall }, granularity);
        assert!(
            (found - expected).abs() < 1e-8,
            "{recall} {precision} {granularity}: {found} is not {expected}"
        );
    }
}

#[test]
fn empty_lists() {
    let some = [annotation((1, 1), (0, 10), (0, 10))];
    let thresholds = Thresholds::default();
    let all = |cases: &[Annotation], detections: &[Annotation]| {
        [
            macro_average(cases, detections),
            micro_average(cases, detections),
            case_level(cases, detections, thresholds),
            document_level(cases, detections, thresholds),
        ]
    };
    for found in all(&[], &[]).into_iter().chain(all(&some, &some)) {
        near(found, 1.0, 1.0);
    }
    for found in all(&some, &[]).into_iter().chain(all(&[], &some)) {
        near(found, 0.0, 0.0);
    }
    assert_eq!(granularity(&[], &[]), 1.0);
    assert_eq!(granularity(&some, &[]), 1.0);
}

#[test]
fn characters_of_both_sides_count() {
    // The case has 100 + 100 characters. Two detections cover 0..40 and 30..60 of the suspicious side, together 60,
    // and 0..20 and 50..100 of the source, together 70.
    let cases = [annotation((1, 2), (0, 100), (0, 100))];
    let detections = [
        annotation((1, 2), (0, 40), (0, 20)),
        annotation((1, 2), (30, 60), (50, 110)),
    ];
    // Recall 130 / 200. Precision: the first lies inside, 1; the second 30 + 50 of 30 + 60, 80/90.
    near(
        macro_average(&cases, &detections),
        f64::midpoint(1.0, 80.0 / 90.0),
        130.0 / 200.0,
    );
    // Distinct detected characters: 60 + 80.
    near(micro_average(&cases, &detections), 130.0 / 140.0, 130.0 / 200.0);
    assert_eq!(granularity(&cases, &detections), 2.0);
}

#[test]
fn a_detection_meets_a_case_on_both_sides_or_not_at_all() {
    let cases = [
        annotation((1, 2), (0, 10), (0, 10)),
        annotation((1, 2), (50, 60), (50, 60)),
    ];
    let crossed = [annotation((1, 2), (0, 10), (50, 60))];
    let elsewhere = [
        annotation((1, 3), (0, 10), (0, 10)),
        annotation((2, 1), (0, 10), (0, 10)),
    ];
    let touching = [annotation((1, 2), (10, 20), (0, 10))];
    for detections in [&crossed[..], &elsewhere, &touching] {
        near(macro_average(&cases, detections), 0.0, 0.0);
        near(micro_average(&cases, detections), 0.0, 0.0);
        assert_eq!(granularity(&cases, detections), 1.0);
    }
}

#[test]
fn averages_over_cases_and_over_characters_differ() {
    // A long case found, a short one missed, and a false alarm.
    let cases = [
        annotation((1, 1), (0, 90), (0, 90)),
        annotation((1, 2), (0, 10), (0, 10)),
    ];
    let detections = [
        annotation((1, 1), (0, 90), (0, 90)),
        annotation((3, 1), (0, 30), (0, 30)),
    ];
    near(macro_average(&cases, &detections), 0.5, 0.5);
    // Cases: on the suspicious side both lie in document 1, where 0..10 counts once, so 90; on the source side 90 + 10.
    // Detections: 90 + 30 on the suspicious side; on the source side both lie in document 1, 90.
    near(micro_average(&cases, &detections), 180.0 / 210.0, 180.0 / 190.0);
}

#[test]
fn granularity_leaves_out_missed_cases() {
    let cases = [
        annotation((1, 1), (0, 10), (0, 10)),
        annotation((1, 1), (20, 30), (20, 30)),
        annotation((1, 1), (40, 50), (40, 50)),
    ];
    let detections = [
        annotation((1, 1), (0, 5), (0, 5)),
        annotation((1, 1), (5, 10), (5, 10)),
        annotation((1, 1), (8, 10), (8, 10)),
        annotation((1, 1), (20, 30), (20, 30)),
    ];
    assert_eq!(granularity(&cases, &detections), 2.0);
}

#[test]
fn cases_and_documents_count_as_found_over_the_thresholds() {
    let cases = [
        annotation((1, 1), (0, 100), (0, 100)),
        annotation((1, 1), (200, 300), (200, 300)),
        annotation((2, 1), (0, 100), (0, 100)),
        annotation((2, 2), (0, 100), (0, 100)),
    ];
    let detections = [
        annotation((1, 1), (0, 60), (0, 60)),       // precise, and 0.6 of its case
        annotation((1, 1), (200, 250), (200, 250)), // precise, but just 0.5 of its case
        annotation((2, 1), (50, 350), (50, 350)),   // 1/6 precise, half of its case
        annotation((2, 2), (0, 400), (0, 400)),     // the whole of its case, 1/4 precise
        annotation((3, 1), (0, 10), (0, 10)),       // no case there
    ];
    near(
        case_level(&cases, &detections, Thresholds::default()),
        1.0 / 5.0,
        1.0 / 4.0,
    );
    // Pairs with a case: (1,1), (2,1), (2,2). With a detection: these and (3,1). Right: (1,1).
    near(
        document_level(&cases, &detections, Thresholds::default()),
        1.0 / 4.0,
        1.0 / 3.0,
    );
    // At 0.2 all but the third and the last detection count.
    let lower = Thresholds {
        precision: 0.2,
        recall: 0.2,
    };
    near(case_level(&cases, &detections, lower), 3.0 / 5.0, 3.0 / 4.0);
    near(document_level(&cases, &detections, lower), 2.0 / 4.0, 2.0 / 3.0);
}

/// A character: its side, its document, its place.
type Character = (bool, u32, usize);

fn characters(annotation: &Annotation) -> HashSet<Character> {
    let side =
        |is_source, document, span: Span| (span.start..span.end).map(move |at| (is_source, document, at));
    side(false, annotation.suspicious_document, annotation.suspicious)
        .chain(side(true, annotation.source_document, annotation.source))
        .collect()
}

/// Whether a detection meets a case: characters in common on both sides, of the same two documents.
fn meets(detection: &Annotation, case: &Annotation) -> bool {
    let common: Vec<Character> = characters(detection)
        .intersection(&characters(case))
        .copied()
        .collect();
    (detection.suspicious_document, detection.source_document)
        == (case.suspicious_document, case.source_document)
        && [false, true]
            .iter()
            .all(|&side| common.iter().any(|&(is_source, ..)| is_source == side))
}

/// Characters that an item shares with those of `others` that meet it.
fn covered(item: &Annotation, others: &[Annotation]) -> HashSet<Character> {
    let own = characters(item);
    others
        .iter()
        .filter(|other| meets(item, other))
        .flat_map(|other| characters(other).intersection(&own).copied().collect::<Vec<_>>())
        .collect()
}

fn union(sets: impl Iterator<Item = HashSet<Character>>) -> f64 {
    sets.flatten().collect::<HashSet<_>>().len() as f64
}

fn mean_share(items: &[Annotation], others: &[Annotation]) -> f64 {
    let share = |item| covered(item, others).len() as f64 / characters(item).len() as f64;
    items.iter().map(share).sum::<f64>() / items.len() as f64
}

fn annotations() -> impl Strategy<Value = Vec<Annotation>> {
    let span = || (0_usize..20, 1_usize..10).prop_map(|(start, length)| (start, start + length));
    let one = (0_u32..2, 0_u32..2, span(), span())
        .prop_map(|(suspicious, source, left, right)| annotation((suspicious, source), left, right));
    prop::collection::vec(one, 1..6)
}

proptest! {
    #[test]
    fn characters_counted_one_by_one_give_the_same(cases in annotations(), detections in annotations()) {
        near(macro_average(&cases, &detections), mean_share(&detections, &cases), mean_share(&cases, &detections));
        let common = union(cases.iter().map(|case| covered(case, &detections)));
        near(
            micro_average(&cases, &detections),
            common / union(detections.iter().map(characters)),
            common / union(cases.iter().map(characters)),
        );
        let counts: Vec<usize> = cases
            .iter()
            .map(|case| detections.iter().filter(|detection| meets(detection, case)).count())
            .filter(|&count| count > 0)
            .collect();
        let expected = if counts.is_empty() { 1.0 } else { counts.iter().sum::<usize>() as f64 / counts.len() as f64 };
        prop_assert!((granularity(&cases, &detections) - expected).abs() < 1e-12);
    }
}
