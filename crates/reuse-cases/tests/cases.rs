//! Truth must be true: spans, uniqueness, determinism, and what each kind does.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashSet;
use std::ops::Range;

use proptest::prelude::*;
use reuse_cases::{Case, CaseError, Kind, Planted, Settings, Strength, Synonyms, Truth, cases};

const SUBJECTS: [&str; 12] = [
    "lighthouse",
    "harbour",
    "compiler",
    "glacier",
    "orchard",
    "violin",
    "telescope",
    "vaccine",
    "bridge",
    "parliament",
    "volcano",
    "library",
];

/// A document of eight sentences about one subject. Its own words are so close that no run of eight is without one.
fn document(number: usize) -> String {
    let subject = SUBJECTS[number % SUBJECTS.len()];
    let sentence = |index: usize| {
        format!(
            "The large {subject} number{number}x{index} was used by many people, which helped é{number}y{index} to find \
             the best result (of z{number}w{index}), at low cost."
        )
    };
    (0..8).map(sentence).collect::<Vec<_>>().join("\n")
}

/// A text with the same subject words and other runs.
fn other(number: usize) -> String {
    let subject = SUBJECTS[number % SUBJECTS.len()];
    let sentence = |index: usize| {
        format!("Nobody saw q{number}v{index} near that {subject} before noon came again k{number}j{index}.")
    };
    (0..9).map(sentence).collect::<Vec<_>>().join(" ")
}

fn make(settings: &Settings) -> (Vec<String>, Vec<Case>) {
    let documents: Vec<String> = (0..24).map(document).collect();
    let others: Vec<String> = (0..24).map(other).collect();
    let [documents_read, others_read] =
        [&documents, &others].map(|texts| texts.iter().map(String::as_str).collect::<Vec<_>>());
    let cases = cases(&documents_read, &others_read, &Synonyms::default(), settings).unwrap();
    (documents, cases)
}

fn of_kind(kind: Kind) -> (Vec<String>, Vec<(Case, Planted)>) {
    let (documents, cases) = make(&Settings {
        kinds: vec![kind],
        planted: 12,
        negatives: 0,
        ..Settings::default()
    });
    let cases = cases
        .into_iter()
        .map(|case| match case.truth.clone() {
            Truth::Planted(planted) => (case, planted),
            other => panic!("expected a planted passage, found {other:?}"),
        })
        .collect();
    (documents, cases)
}

fn cut(text: &str, span: &Range<usize>) -> String {
    let cut: String = text.chars().skip(span.start).take(span.len()).collect();
    assert_eq!(cut.chars().count(), span.len(), "{span:?} leaves the text");
    cut
}

fn words(text: &str) -> Vec<String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn runs(text: &str) -> HashSet<Vec<String>> {
    sequences(text, 8)
}

fn sequences(text: &str, length: usize) -> HashSet<Vec<String>> {
    words(text).windows(length).map(<[String]>::to_vec).collect()
}

#[test]
fn spans_cut_the_very_passage() {
    for kind in [Kind::Copy, Kind::Truncation] {
        let (documents, cases) = of_kind(kind);
        for (case, planted) in &cases {
            let passage = cut(&documents[planted.document], &planted.in_document);
            assert_eq!(cut(&case.generation, &planted.in_generation), passage);
            assert!(words(&passage).len() >= 12, "{passage}");
            assert_eq!(passage.trim(), passage);
        }
    }
}

#[test]
fn disguises_keep_what_their_kind_keeps() {
    let sorted = |text: &str| {
        let mut words = words(text);
        words.sort_unstable();
        words
    };
    for kind in Kind::ALL {
        let (documents, cases) = of_kind(kind);
        for (case, planted) in &cases {
            let passage = cut(&documents[planted.document], &planted.in_document);
            let disguised = cut(&case.generation, &planted.in_generation);
            assert_eq!(disguised.trim(), disguised);
            match kind {
                Kind::WordShuffle | Kind::Reorder => {
                    assert_eq!(sorted(&disguised), sorted(&passage));
                    if planted.strength != Strength::Light {
                        assert_ne!(disguised, passage);
                    }
                }
                Kind::CaseAndPunctuation => assert_eq!(words(&disguised), words(&passage)),
                Kind::Condensation => {
                    assert!(disguised.len() < passage.len(), "{disguised}\n{passage}");
                }
                Kind::Synonyms | Kind::FunctionWords | Kind::Rewording => {
                    // Words in no table stay: here those with digits.
                    let rare = |text: &str| {
                        let mut rare = words(text);
                        rare.retain(|word| word.contains(|letter: char| letter.is_ascii_digit()));
                        rare.sort_unstable();
                        rare
                    };
                    assert_eq!(rare(&disguised), rare(&passage));
                    if planted.strength == Strength::Heavy {
                        assert!(runs(&disguised).is_disjoint(&runs(&passage)), "{disguised}");
                    }
                }
                Kind::Copy | Kind::Truncation | Kind::SplitAndFusion => {}
            }
        }
    }
}

#[test]
fn stronger_means_further_from_the_passage() {
    let shared = |kind: Kind, strength: Strength| {
        let (documents, cases) = of_kind(kind);
        let shares: Vec<f64> = cases
            .iter()
            .filter(|(_, planted)| planted.strength == strength)
            .map(|(case, planted)| {
                let passage = sequences(&cut(&documents[planted.document], &planted.in_document), 2);
                let disguised = sequences(&cut(&case.generation, &planted.in_generation), 2);
                passage.intersection(&disguised).count() as f64 / passage.len() as f64
            })
            .collect();
        shares.iter().sum::<f64>() / shares.len() as f64
    };
    for kind in [
        Kind::WordShuffle,
        Kind::Synonyms,
        Kind::FunctionWords,
        Kind::Rewording,
    ] {
        let [light, medium, heavy] = Strength::ALL.map(|strength| shared(kind, strength));
        assert!(
            light >= medium && medium >= heavy && light > heavy,
            "{kind:?} {light} {medium} {heavy}"
        );
    }
}

#[test]
fn every_kind_and_strength_is_made_and_negatives_hold_nothing() {
    let settings = Settings {
        planted: 3,
        negatives: 10,
        ..Settings::default()
    };
    let (documents, cases) = make(&settings);
    let known: HashSet<Vec<String>> = documents.iter().flat_map(|text| runs(text)).collect();
    let mut counts = std::collections::BTreeMap::new();
    for case in &cases {
        let name = match &case.truth {
            Truth::Planted(planted) => format!("{} {}", planted.kind.name(), planted.strength.name()),
            Truth::Unrelated => "unrelated".to_owned(),
            Truth::SameSubject(document) => {
                assert!(*document < documents.len());
                "same subject".to_owned()
            }
        };
        if !matches!(case.truth, Truth::Planted(_)) {
            assert!(runs(&case.generation).is_disjoint(&known), "{}", case.generation);
            assert!(words(&case.generation).len() >= settings.words.start);
        }
        *counts.entry(name).or_insert(0) += 1;
    }
    // One strength of copies, three of the nine other kinds.
    assert_eq!(counts.len(), 1 + 3 * 9 + 2);
    assert_eq!(
        (counts["unrelated"], counts["same subject"], counts["copy light"]),
        (10, 10, 3)
    );
}

#[test]
fn a_text_on_the_same_subject_shares_its_rare_words() {
    // Two documents have each subject: of 24, that is not common.
    let (documents, cases) = make(&Settings {
        kinds: Vec::new(),
        negatives: 24,
        ..Settings::default()
    });
    let mut seen = 0;
    for case in &cases {
        if let Truth::SameSubject(document) = case.truth {
            let subject = SUBJECTS[document % SUBJECTS.len()];
            assert!(documents[document].contains(subject) && case.generation.contains(subject));
            seen += 1;
        }
    }
    assert_eq!(seen, 24);
}

#[test]
fn passages_that_occur_in_two_documents_are_not_planted() {
    let shared = document(0);
    let own = document(1);
    let documents = [shared.as_str(), shared.as_str(), own.as_str()];
    let other = other(0);
    let settings = Settings {
        kinds: vec![Kind::Copy],
        planted: 20,
        negatives: 0,
        ..Settings::default()
    };
    let made = cases(&documents, &[&other], &Synonyms::default(), &settings).unwrap();
    assert!(
        made.iter()
            .all(|case| matches!(&case.truth, Truth::Planted(planted) if planted.document == 2))
    );

    let error = cases(&documents[..2], &[&other], &Synonyms::default(), &settings).unwrap_err();
    assert!(
        matches!(error, CaseError::NoPassage { kind: "copy", .. }),
        "{error}"
    );
}

#[test]
fn texts_that_cannot_serve_are_refused() {
    let document = document(0);
    let settings = Settings::default();
    for others in [vec![], vec![""], vec![document.as_str()]] {
        let error = cases(&[&document], &others, &Synonyms::default(), &settings).unwrap_err();
        assert!(matches!(error, CaseError::NoSurroundings { .. }), "{error}");
    }
    let other = other(0);
    let error = cases(&[], &[&other], &Synonyms::default(), &settings).unwrap_err();
    assert!(matches!(error, CaseError::NoPassage { .. }), "{error}");
}

#[test]
fn a_case_does_not_depend_on_what_else_is_asked_for() {
    let few = Settings {
        kinds: vec![Kind::Synonyms],
        planted: 2,
        negatives: 0,
        seed: 5,
        ..Settings::default()
    };
    let many = Settings {
        kinds: Kind::ALL.to_vec(),
        planted: 4,
        negatives: 3,
        ..few.clone()
    };
    let (_, few_cases) = make(&few);
    let (_, many_cases) = make(&many);
    assert!(few_cases.iter().all(|case| many_cases.contains(case)));
    let (_, again) = make(&few);
    assert_eq!(few_cases, again);
    let (_, otherwise) = make(&Settings { seed: 6, ..few });
    assert_ne!(few_cases, otherwise);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the texts, spans lie within them, and planted ones are not empty.
    #[test]
    fn any_text_gives_sound_spans_or_an_error(
        documents in prop::collection::vec("(\\PC{0,12}[ .,;(\n]){20,60}", 1..4),
        others in prop::collection::vec("(\\PC{0,12}[ .,;(\n]){20,60}", 1..3),
        seed in any::<u64>(),
    ) {
        let [documents, others] = [&documents, &others].map(|texts| texts.iter().map(String::as_str).collect::<Vec<_>>());
        let settings = Settings { planted: 1, negatives: 1, seed, ..Settings::default() };
        if let Ok(cases) = cases(&documents, &others, &Synonyms::default(), &settings) {
            for case in cases {
                if let Truth::Planted(planted) = case.truth {
                    let passage = cut(documents[planted.document], &planted.in_document);
                    prop_assert!(!passage.is_empty());
                    prop_assert!(planted.in_generation.end <= case.generation.chars().count());
                    if planted.kind == Kind::Copy {
                        prop_assert_eq!(passage, cut(&case.generation, &planted.in_generation));
                    }
                }
            }
        }
    }
}
