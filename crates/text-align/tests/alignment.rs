//! The algorithm as a whole, on texts small enough to follow by eye.

#![expect(clippy::expect_used, reason = "a test may panic")]

use text_align::{Aligner, Class, Mode, Parameters, PreparedText, RoleAlignment, Sides, Span};

/// A text of the given sentences, which are separated by a blank, with their spans.
fn text(sentences: &[&str]) -> (String, PreparedText) {
    let mut spans = Vec::new();
    let mut start = 0;
    for sentence in sentences {
        let length = sentence.chars().count();
        spans.push(Span::new(start, start + length));
        start += length + 1;
    }
    let joined = sentences.join(" ");
    let prepared = PreparedText::with_sentences(&joined, &spans).expect("spans fit");
    (joined, prepared)
}

fn align(suspicious: &PreparedText, source: &PreparedText, parameters: &Parameters) -> RoleAlignment {
    Aligner::new(parameters.clone())
        .expect("sound parameters")
        .align_roles(suspicious, source)
}

fn cuts<'a>(alignment: &RoleAlignment, suspicious: &'a str, source: &'a str) -> Vec<(&'a str, &'a str)> {
    let cut = |span: Span, text: &'a str| span.cut(text).expect("a span of the text");
    alignment
        .cases
        .iter()
        .map(|case| (cut(case.suspicious, suspicious), cut(case.source, source)))
        .collect()
}

/// The published parameters for texts of a few words.
fn short() -> Parameters {
    Parameters {
        passage_minimum: 1,
        verbatim_minimum: 10_000,
        ..Parameters::lee2023()
    }
}

const FOX: &str = "The quick brown fox jumps over the lazy dog near the river.";
const OWL: &str = "An old owl watched silently from the hollow oak tree above.";
const BOAT: &str = "Every morning the ferry boat carries bread to the northern islands.";
const KILN: &str = "Potters fire their best bowls inside a wooden kiln all winter.";
const RAIN: &str = "Heavy rain flooded several streets while markets remained open.";

#[test]
fn unrelated_texts_have_no_case() {
    let (suspicious, source) = (text(&[FOX, OWL]).1, text(&[BOAT, KILN]).1);
    let alignment = align(&suspicious, &source, &short());
    assert_eq!(
        alignment,
        RoleAlignment {
            class: Class::None,
            cases: Vec::new()
        }
    );
    assert_eq!(
        align(&PreparedText::new(""), &source, &short()).class,
        Class::None
    );
    assert_eq!(
        align(&suspicious, &PreparedText::new(""), &short()).class,
        Class::None
    );
}

#[test]
fn a_copied_sentence_is_verbatim_and_a_reworded_one_obfuscated() {
    let (left, suspicious) = text(&[KILN, FOX, RAIN]);
    let (right, source) = text(&[OWL, FOX, BOAT]);
    let alignment = align(&suspicious, &source, &Parameters::lee2023());
    assert_eq!(alignment.class, Class::Verbatim);
    assert_eq!(cuts(&alignment, &left, &right), [(FOX, FOX)]);
    assert_eq!(alignment.cases[0].similarity, 1.0);

    let reworded = "Over the lazy dog near a river the brown fox jumps, and it is quick.";
    let (left, suspicious) = text(&[KILN, reworded, RAIN]);
    let alignment = align(&suspicious, &source, &Parameters::lee2023());
    assert_eq!(alignment.class, Class::Obfuscated);
    assert_eq!(cuts(&alignment, &left, &right), [(reworded, FOX)]);
    assert!(alignment.cases[0].similarity > 0.34 && alignment.cases[0].similarity < 1.0);
}

#[test]
fn the_verbatim_minimum_is_exceeded_not_met() {
    let (suspicious, source) = (text(&[KILN, FOX]).1, text(&[FOX, BOAT]).1);
    let length = FOX.chars().count();
    for (verbatim_minimum, class) in [(length - 1, Class::Verbatim), (length, Class::Obfuscated)] {
        let parameters = Parameters {
            verbatim_minimum,
            ..Parameters::lee2023()
        };
        assert_eq!(align(&suspicious, &source, &parameters).class, class);
    }
}

#[test]
fn passages_below_the_minimum_length_on_either_side_are_dropped() {
    // The source passage is the shorter one.
    let (suspicious, source) = (text(&[KILN, &format!("Look: {FOX}")]).1, text(&[FOX, BOAT]).1);
    let length = FOX.chars().count();
    for (passage_minimum, cases) in [(length, 1), (length + 1, 0)] {
        let parameters = Parameters {
            passage_minimum,
            ..short()
        };
        assert_eq!(align(&suspicious, &source, &parameters).cases.len(), cases);
        assert_eq!(align(&source, &suspicious, &parameters).cases.len(), cases);
    }
}

#[test]
fn generations_are_sources_and_documents_suspicious() {
    let (document, generation) = (text(&[KILN, FOX, RAIN, OWL]).1, text(&[OWL, FOX, BOAT]).1);
    let aligner = Aligner::new(Parameters::lee2023()).expect("sound parameters");
    let roles = aligner.align_roles(&document, &generation);
    let alignment = aligner.align(&generation, &document);
    assert_eq!(alignment.class, roles.class);
    // By the document FOX comes first, by the generation OWL does.
    let by_document: Vec<_> = roles
        .cases
        .iter()
        .map(|case| (case.source, case.suspicious))
        .collect();
    let by_generation: Vec<_> = alignment
        .cases
        .iter()
        .map(|case| (case.generated, case.document))
        .collect();
    assert_eq!(by_generation, [by_document[1], by_document[0]]);
}

/// A sentence of six words, and a text that spends a sentence on every third of it, with chatter in between.
fn spun_out() -> ((String, PreparedText), (String, PreparedText)) {
    let chatter = "well well well indeed";
    let mut recounted = vec!["kilns lamps brass anvil"];
    recounted.extend([chatter; 6]);
    recounted.push("brass anvil rivers moons");
    recounted.extend([chatter; 6]);
    recounted.push("rivers moons kilns lamps");
    (
        text(&[
            "lamps kilns brass anvil rivers moons",
            "quartz feather glove ribbon",
        ]),
        text(&recounted),
    )
}

#[test]
fn a_passage_spun_out_is_a_summary() {
    let ((left, suspicious), (right, source)) = spun_out();
    let alignment = align(&suspicious, &source, &short());
    assert_eq!(alignment.class, Class::Summary);
    // The first pass keeps one sentence of the source; the wide gap of the second takes in all fifteen.
    assert_eq!(
        cuts(&alignment, &left, &right),
        [("lamps kilns brass anvil rivers moons", right.as_str())]
    );

    // 36 characters against 24 + 24 + 24 + 12 × 21 and 14 blanks: a ratio of 9.4.
    let above = Parameters {
        summary_ratio: 9.5,
        ..short()
    };
    let alignment = align(&suspicious, &source, &above);
    assert_eq!(alignment.class, Class::Obfuscated);
    let kept = "kilns lamps brass anvil";
    assert_eq!(
        cuts(&alignment, &left, &right),
        [("lamps kilns brass anvil rivers moons", kept)]
    );

    // The other way round nothing is longer on the source side.
    assert_eq!(align(&source, &suspicious, &short()).class, Class::Obfuscated);
}

#[test]
fn exact_mode_loses_the_white_space_between_joined_sentences() {
    let joined = "Gold drum.          Horn fold clay bark.";
    let whole = format!("Lamp zinc moon fish. {joined}");
    let spans = [Span::new(0, 20), Span::new(21, 31), Span::new(41, 61)];
    let prepared = PreparedText::with_sentences(&whole, &spans).expect("spans fit");
    for (mode, end) in [(Mode::Fixed, 61), (Mode::Exact, 51)] {
        let alignment = align(&prepared, &prepared, &Parameters { mode, ..short() });
        assert_eq!(alignment.cases.len(), 1);
        assert_eq!(
            (alignment.cases[0].suspicious, alignment.cases[0].source),
            (Span::new(0, end), Span::new(0, end))
        );
    }
}

#[test]
fn exact_mode_keeps_one_case_of_all_that_overlap_it() {
    // The source renders all four sentences in one place, and far from it FOX and OWL, and far from those RAIN and KILN,
    // each word for word. So the first case overlaps two better ones that lie apart from each other.
    let reworded = [
        "Over a lazy dog near the river some brown fox jumps.",
        "Silently an old owl watched from its oak tree.",
        "While markets remained open rain flooded streets.",
        "Inside a wooden kiln potters fire bowls all winter.",
    ];
    let between = [BOAT; 6];
    let (left, suspicious) = text(&[FOX, OWL, RAIN, KILN]);
    let (right, source) = text(&[&reworded[..], &between, &[FOX, OWL], &between, &[RAIN, KILN]].concat());
    let found = |mode| {
        let parameters = Parameters {
            mode,
            summary_ratio: 1e9,
            ..short()
        };
        let alignment = align(&suspicious, &source, &parameters);
        assert_eq!(alignment.class, Class::Obfuscated);
        alignment
    };
    let (first, second) = (format!("{FOX} {OWL}"), format!("{RAIN} {KILN}"));
    let (first, second) = (
        (first.as_str(), first.as_str()),
        (second.as_str(), second.as_str()),
    );
    assert_eq!(cuts(&found(Mode::Fixed), &left, &right), [first, second]);
    assert_eq!(cuts(&found(Mode::Exact), &left, &right), [first]);
}

#[test]
fn exact_mode_stops_all_gaps_when_one_has_reached_its_minimum() {
    // Two common sentences: side by side in the suspicious text, with two strange ones between them in the source, so
    // that the whole is not alike enough.
    let (_, suspicious) = text(&[FOX, OWL, KILN]);
    let (_, source) = text(&[FOX, BOAT, RAIN, OWL]);
    let found = |mode| {
        let parameters = Parameters {
            mode,
            cluster_cosine: 0.9,
            gap: Sides {
                suspicious: 0,
                source: 4,
            },
            summary_gap: Sides::both(0),
            ..short()
        };
        align(&suspicious, &source, &parameters).cases.len()
    };
    assert_eq!(found(Mode::Fixed), 2);
    assert_eq!(found(Mode::Exact), 0);
}

#[test]
fn exact_mode_reads_the_suspicious_summary_gap_from_the_source() {
    // FOX and OWL are side by side in the source, with one sentence between them in the suspicious text.
    let (left, suspicious) = text(&[FOX, RAIN, OWL]);
    let (right, source) = text(&[FOX, OWL, KILN]);
    let both = format!("{FOX} {OWL}");
    let parameters = Parameters {
        gap: Sides::both(0),
        summary_gap: Sides {
            suspicious: 0,
            source: 1,
        },
        summary_ratio: 0.0,
        ..short()
    };
    let fixed = align(&suspicious, &source, &parameters);
    assert_eq!(cuts(&fixed, &left, &right), [(FOX, FOX), (OWL, OWL)]);
    let exact = align(
        &suspicious,
        &source,
        &Parameters {
            mode: Mode::Exact,
            ..parameters
        },
    );
    assert_eq!(cuts(&exact, &left, &right), [(left.as_str(), both.as_str())]);
    assert_eq!((fixed.class, exact.class), (Class::Summary, Class::Summary));
}

/// Classes and passages of both modes at the lengths of Lee et al.
fn both_modes(suspicious: &PreparedText, source: &PreparedText) -> [RoleAlignment; 2] {
    [Mode::Fixed, Mode::Exact].map(|mode| {
        let parameters = Parameters {
            mode,
            ..Parameters::lee2023()
        };
        align(suspicious, source, &parameters)
    })
}

#[test]
fn a_verbatim_case_makes_the_others_forgotten() {
    // A reworded sentence, and far from it a copied one: the pair is verbatim, and only the copy is shown. Two copied
    // sentences stay both.
    let reworded = "Over the lazy dog near a river the brown fox jumps, and it is quick.";
    let between = [KILN, RAIN, KILN, RAIN, KILN];
    let (right, source) = text(&[OWL, FOX, BOAT]);
    for (first, expected) in [(reworded, &[(OWL, OWL)][..]), (FOX, &[(FOX, FOX), (OWL, OWL)])] {
        let (left, suspicious) = text(&[&[first], &between[..], &[OWL]].concat());
        for alignment in both_modes(&suspicious, &source) {
            assert_eq!(alignment.class, Class::Verbatim);
            assert_eq!(cuts(&alignment, &left, &right), expected);
        }
    }
}

#[test]
fn exact_mode_takes_no_punctuation_for_words() {
    let (other, quoted) = (OWL.replace("silently", "silently,"), format!("\"{OWL}\""));
    let (left, suspicious) = text(&[KILN, &other, RAIN]);
    let (right, source) = text(&[FOX, &quoted, BOAT]);
    let [fixed, exact] = both_modes(&suspicious, &source);
    // To the comma there are 23 characters, and from it too few.
    assert_eq!(fixed.class, Class::Obfuscated);
    assert_eq!(exact.class, Class::Verbatim);
    // The quotation marks belong to their sentence.
    assert_eq!(cuts(&exact, &left, &right), [(other.as_str(), quoted.as_str())]);
}

#[test]
fn exact_mode_measures_verbatim_passages_in_the_suspicious_text_only() {
    // Without the blanks there are 46 characters.
    let narrow = "Quick brown foxes jump over lazy dogs by rivers";
    let wide = narrow.replace(' ', "  ");
    let (_, suspicious) = text(&[KILN, &wide, RAIN]);
    let (_, source) = text(&[OWL, narrow, &BOAT.replace("bread", "rye")]);
    let found = |suspicious, source| {
        [Mode::Fixed, Mode::Exact].map(|mode| {
            let parameters = Parameters {
                mode,
                passage_minimum: 1,
                ..Parameters::lee2023()
            };
            align(suspicious, source, &parameters).class
        })
    };
    assert_eq!(found(&suspicious, &source), [Class::Obfuscated, Class::Verbatim]);
    assert_eq!(
        found(&source, &suspicious),
        [Class::Obfuscated, Class::Obfuscated]
    );
}

#[test]
fn exact_mode_drops_a_passage_that_occurs_twice_in_the_source() {
    let (left, suspicious) = text(&[FOX, KILN, RAIN, FOX]);
    let (right, source) = text(&[OWL, FOX, BOAT]);
    let [fixed, exact] = both_modes(&suspicious, &source);
    assert_eq!(fixed.class, Class::Verbatim);
    assert_eq!(cuts(&fixed, &left, &right), [(FOX, FOX), (FOX, FOX)]);
    assert_eq!(exact.class, Class::Obfuscated);
    assert_eq!(cuts(&exact, &left, &right), [(left.as_str(), FOX)]);
}
