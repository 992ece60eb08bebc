//! What holds for every pair of texts.

#![expect(clippy::expect_used, reason = "a test may panic")]

use proptest::prelude::*;
use text_align::{Aligner, Class, Mode, Parameters, PreparedText, RoleAlignment, Span, sentences};
use unicode_segmentation::UnicodeSegmentation;

/// Words and separators from which both texts are drawn, so that they have much in common: several scripts, marks
/// that combine, right-to-left text, emoji, NUL, odd white space, things that only look like ends of sentences.
const PIECES: &[&str] = &[
    "lamp",
    "zinc",
    "Moon",
    "rivers",
    "burning",
    "the",
    "of",
    "don't",
    "3.14",
    "e.g.",
    "_x1",
    "é",
    "naïve",
    "e\u{301}te\u{301}",
    "Straße",
    "İstanbul",
    "ΣΊΣΥΦΟΣ",
    "漢字仮名",
    "שלום",
    "مرحبا",
    "👩\u{200d}🔬",
    "🇩🇪",
    "\u{202e}",
    "\0",
    "\u{feff}",
    ".",
    ". ",
    "! ",
    "?",
    "…",
    "\n",
    "\r\n",
    "\n\n",
    "\t",
    "\u{a0}",
    "\u{3000}",
    " ",
    "  ",
    "\"",
    "(",
    ")",
    "- ",
    "“",
    "”",
    "« ",
    "»",
    "‘",
    "’",
    "• ",
    "(ii) ",
    "\n1. ",
    "b) ",
    "「",
];

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::collection::vec(prop::sample::select(PIECES), 0..120).prop_map(|pieces| pieces.concat()),
        3 => prop::collection::vec(prop::sample::select(PIECES), 0..120).prop_map(|pieces| pieces.join(" ")),
        1 => any::<String>(),
    ]
}

fn any_parameters() -> impl Strategy<Value = Parameters> {
    (any::<bool>(), 0_usize..40, 0_usize..40, 0_usize..3, 0_usize..5).prop_map(
        |(exact, verbatim_minimum, passage_minimum, min_cluster_sentences, min_sentence_words)| Parameters {
            mode: if exact { Mode::Exact } else { Mode::Fixed },
            verbatim_minimum,
            passage_minimum,
            min_cluster_sentences,
            min_sentence_words,
            ..Parameters::lee2023()
        },
    )
}

fn align(suspicious: &str, source: &str, parameters: Parameters) -> RoleAlignment {
    let aligner = Aligner::new(parameters).expect("sound parameters");
    aligner.align_roles(&PreparedText::new(suspicious), &PreparedText::new(source))
}

/// A passage as the detector compares it: lower case, white space left out, and in exact mode punctuation too, wherever in a word it
/// stands (an invisible mark may join it to one). Words are looked at one by one, because the lower case of a final sigma depends on
/// where its word ends.
fn letters(passage: &str, mode: Mode) -> String {
    let segments = passage.split_word_bounds().map(str::to_lowercase);
    segments
        .flat_map(|word| word.chars().collect::<Vec<_>>())
        .filter(|c| !c.is_whitespace() && (mode == Mode::Fixed || !c.is_ascii_punctuation()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn sentences_are_ordered_trimmed_and_leave_only_white_space(text in any_text()) {
        let mut reached = 0;
        for span in sentences::split(&text) {
            prop_assert!(Span::new(reached, span.start).cut(&text).is_some_and(|gap| gap.trim().is_empty()));
            let sentence = span.cut(&text).unwrap();
            prop_assert!(!sentence.is_empty() && sentence.trim() == sentence);
            reached = span.end;
        }
        prop_assert!(Span::new(reached, text.chars().count()).cut(&text).is_some_and(|rest| rest.trim().is_empty()));
        let spans = sentences::split(&text);
        prop_assert!(PreparedText::with_sentences(&text, &spans).is_ok());
    }

    #[test]
    fn cases_lie_in_their_texts_and_keep_the_minimum_lengths(
        suspicious in any_text(),
        source in any_text(),
        parameters in any_parameters(),
    ) {
        let alignment = align(&suspicious, &source, parameters.clone());
        prop_assert_eq!(alignment.class == Class::None, alignment.cases.is_empty());
        for case in &alignment.cases {
            prop_assert!(case.suspicious.cut(&suspicious).is_some(), "{:?}", case);
            prop_assert!(case.source.cut(&source).is_some(), "{:?}", case);
            prop_assert!((0.0..=1.0).contains(&case.similarity));
            let shorter = case.suspicious.len().min(case.source.len());
            if alignment.class == Class::Verbatim && parameters.mode == Mode::Exact {
                prop_assert!(case.suspicious.len() > parameters.verbatim_minimum);
            } else if alignment.class == Class::Verbatim {
                prop_assert!(shorter > parameters.verbatim_minimum);
            } else {
                prop_assert!(shorter >= parameters.passage_minimum);
            }
        }
        if alignment.class != Class::Verbatim {
            // Of cases that overlap in the suspicious text one stays.
            for pair in alignment.cases.windows(2) {
                prop_assert!(pair[0].suspicious.end <= pair[1].suspicious.start);
            }
        }
        prop_assert_eq!(alignment, align(&suspicious, &source, parameters));
    }

    #[test]
    fn verbatim_passages_are_the_same_words(
        before in any_text(),
        shared in any_text(),
        after in any_text(),
        parameters in any_parameters(),
    ) {
        let suspicious = format!("{before}. Zinc lamps burn. {shared} {after}");
        let source = format!("Rivers freeze now.\n\n{shared} {before}");
        let mode = parameters.mode;
        let alignment = align(&suspicious, &source, parameters);
        if alignment.class == Class::Verbatim {
            for case in alignment.cases {
                let (left, right) = (case.suspicious.cut(&suspicious).unwrap(), case.source.cut(&source).unwrap());
                prop_assert_eq!(letters(left, mode), letters(right, mode));
            }
        }
    }

    #[test]
    fn a_copy_of_a_text_is_verbatim_from_end_to_end(
        openings in prop::collection::vec(prop::sample::select(PIECES), 2..30),
    ) {
        // Each sentence has a word of its own, without which a text that says the same thing in every sentence would
        // have no weights. One paragraph, in which nothing opens without closing.
        let sentences: Vec<String> = openings
            .iter()
            .map(|piece| piece.trim_matches(|c: char| !c.is_alphanumeric()))
            .enumerate()
            .map(|(index, piece)| format!("Then lamp number w{index:03} shone upon {piece} again and again."))
            .collect();
        let text = sentences.join(" ");
        let alignment = align(&text, &text, Parameters::lee2023());
        prop_assert_eq!(alignment.class, Class::Verbatim);
        let whole = Span::new(0, text.chars().count());
        prop_assert_eq!((alignment.cases[0].suspicious, alignment.cases[0].source), (whole, whole));
    }

    #[test]
    fn ill_fitting_spans_are_an_error_and_never_a_panic(
        text in any_text(),
        spans in prop::collection::vec((0_usize..60, 0_usize..60), 0..5),
    ) {
        let spans: Vec<Span> = spans.into_iter().map(|(start, end)| Span::new(start, end)).collect();
        let count = text.chars().count();
        let ordered = spans.windows(2).all(|pair| pair[0].end <= pair[1].start);
        let fit = ordered && spans.iter().all(|span| span.start <= span.end && span.end <= count);
        prop_assert_eq!(PreparedText::with_sentences(&text, &spans).is_ok(), fit);
    }
}

#[test]
fn long_and_monotonous_texts_are_no_trouble() {
    let sentence = "The lamp of the keeper burned all night above the harbour. Nobody saw it. ";
    let long_sentence = format!("{} end.", "zinc lamp moon river stone ".repeat(4_000));
    for (left, right) in [
        (sentence.repeat(2_000), sentence.repeat(3_000)),
        (
            long_sentence.clone(),
            format!("Something else comes here first. {long_sentence}"),
        ),
        (
            "a".repeat(1_000_000),
            format!("{} {}", "a".repeat(500_000), "b".repeat(500_000)),
        ),
        ("\0".repeat(100_000), "漢。".repeat(50_000)),
        ("( \" « ".repeat(20_000), "e\u{301}".repeat(200_000)),
    ] {
        let alignment = align(&left, &right, Parameters::lee2023());
        for case in alignment.cases {
            assert!(case.suspicious.end <= left.chars().count() && case.source.end <= right.chars().count());
        }
    }
}
