//! The pieces of the page: figures, tables, excerpts, leaks, advice, glossary, style sheet.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use contract::records::Verdict;
use maud::html;
use measures::Interval;
use report::estimate::figure::{Confidence, Estimate, IntervalKind, UnitOf};
use report::estimate::passages::{AlignedPassage, LeakedDocument, Passage, PersonalDetails, PromptOf, Route};
use report::findings::FigureOf;
use report::page::advice::{self, Labels, Overtrained, RunFacts, next_steps, not_tried};
use report::page::components::{
    Cell, Column, Figure, Form, Layout, Row, Section, Table, contents, inline, print_rule, stacked, visible,
};
use report::page::excerpt::{Excerpt, Mark, MarkedText, marked, redacted};
use report::page::glossary::{GlossaryFacts, anchors, entries, entry_of};
use report::page::passages::{Names, list};
use report::plot::SeriesStyle;

fn shown(value: f64, interval: Option<(f64, f64)>, k: Option<f64>, n: usize) -> Figure {
    Figure {
        row: 7,
        of: FigureOf::Value,
        estimate: Estimate {
            k,
            interval: interval.map(|(low, high)| Confidence {
                ends: Interval { low, high },
                kind: IntervalKind::Wilson,
            }),
            ..Estimate::exact(value, n, UnitOf::Documents)
        },
    }
}

#[test]
fn figures_are_written_with_counts_intervals_and_bounds() {
    let rate = shown(21.0 / 26.0, Some((0.62, 0.91)), Some(21.0), 26);
    let none = shown(0.0, Some((0.0, 0.128)), Some(0.0), 26);
    let mean = shown(0.41, Some((0.3, 0.5)), Some(10.66), 26);
    let loss = shown(4.934, Some((4.81, 5.05)), None, 64);
    let mut ceiling = shown(9.0, None, None, 12);
    ceiling.estimate.at_least = true;
    let mut generations = shown(27.0 / 52.0, Some((0.38, 0.66)), Some(27.0), 26);
    generations.estimate.observations = 52;
    let less = shown(-0.81, Some((-0.91, -0.58)), None, 26);
    let cases = [
        (&rate, Form::Count, "21 of 26 (81%, 62–91%)"),
        (&none, Form::Count, "0 of 26 (0%, 0–13%)"),
        (&mean, Form::Count, "41% (30–50%, 26 documents)"),
        (&rate, Form::Rate, "81% (62–91%, 26 documents)"),
        (&loss, Form::Number(2), "4.93 (4.81–5.05)"),
        (&ceiling, Form::Number(1), "≥ 9.0"),
        (
            &generations,
            Form::Count,
            "27 of 52 generations, of 26 documents (52%, 38–66%)",
        ),
        (&shown(3.0, None, None, 1), Form::Whole, "3"),
        (&less, Form::Points, "−81 points (−91 to −58)"),
        (&shown(0.042, None, None, 5), Form::Points, "+4.2 points"),
        (&shown(0.01, None, None, 5), Form::Points, "+1 point"),
        (&shown(0.0, None, None, 5), Form::Points, "0 points"),
        (&shown(f64::NAN, None, Some(1.0), 5), Form::Count, "not a number"),
        (&shown(f64::INFINITY, None, None, 5), Form::Number(2), "∞"),
    ];
    for (figure, form, expected) in cases {
        assert_eq!(figure.text(form), expected);
        assert_eq!(
            inline(figure, form).into_string(),
            format!("<data class=\"f\" value=\"7\">{expected}</data>")
        );
    }
    let of_untuned = Figure {
        of: FigureOf::Untuned,
        ..rate
    };
    assert!(
        inline(&of_untuned, Form::Count)
            .into_string()
            .starts_with("<data class=\"f\" value=\"7\" data-of=\"untuned\">")
    );
    assert_eq!(
        stacked(&rate, Form::Count).into_string(),
        "<data class=\"f\" value=\"7\">21 of 26</data><data class=\"f ci\" value=\"7\">81% (62–91%)</data>"
    );
}

fn table(cells: [[Cell; 3]; 2]) -> Table {
    Table {
        caption: "Rates.".to_owned(),
        columns: ["Model", "A", "B", "C"].map(Column::new).to_vec(),
        rows: cells
            .into_iter()
            .map(|cells| Row {
                head: html! { "full" },
                cells: cells.to_vec(),
            })
            .collect(),
        layout: Layout::Cards,
    }
}

#[test]
fn empty_columns_are_left_out_and_named() {
    let zero = || Cell::shown(Some(shown(0.0, None, Some(0.0), 5)), Form::Count, "");
    let some = || Cell::shown(Some(shown(0.2, None, Some(1.0), 5)), Form::Count, "");
    let missing = || Cell::not_measured("no scores");
    let (kept, empty) =
        table([[zero(), some(), missing()], [missing(), zero(), missing()]]).without_empty_columns();
    let names: Vec<&str> = kept.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["Model", "B"]);
    assert_eq!(
        (empty.zero.as_slice(), empty.not_measured.as_slice()),
        (&["A".to_owned()][..], &["C".to_owned()][..])
    );
    let html = kept.render().into_string();
    assert_eq!(html.matches("<td ").count(), 2);
    let note = empty.note().into_string();
    assert!(
        note.contains("Left out, as 0 in every row: A.") && note.contains("Not measured in this run: C.")
    );
    let (whole, empty) = table([[some(), some(), some()], [zero(), zero(), some()]]).without_empty_columns();
    assert_eq!(
        (whole.columns.len(), empty.note().into_string()),
        (4, String::new())
    );
}

#[test]
fn tables_have_a_caption_and_name_their_cells_and_what_is_missing() {
    let cell = || Cell::shown(None, Form::Count, "there are 85 unseen documents; it takes 100");
    let html = table([[cell(), cell(), cell()], [cell(), cell(), cell()]])
        .render()
        .into_string();
    assert!(html.contains("<caption>Rates.</caption>"));
    assert!(html.contains("data-label=\"B\""));
    assert_eq!(
        html.matches("not measured: there are 85 unseen documents; it takes 100")
            .count(),
        6
    );
}

#[test]
fn sections_can_be_linked_to_and_empty_ones_are_not_listed() {
    let section = |id, content| Section {
        id,
        heading: format!("About {id}"),
        content,
    };
    let sections = [
        section("answer", html! { p { "Yes." } }),
        section("why", html! {}),
    ];
    let nav = contents(&sections).into_string();
    assert!(nav.contains("<a href=\"#answer\">About answer</a>") && !nav.contains("why"));
    let html = sections[0].render().into_string();
    assert!(html.contains("<h2 id=\"answer\"><a class=\"anchor\" href=\"#answer\">About answer</a></h2>"));
}

#[test]
fn text_from_outside_can_neither_end_the_style_nor_turn_the_page_around() {
    let rule = print_rule("a\"}</style><script>\n\\ Köln");
    assert!(!rule.contains('<') && !rule.contains('\n'));
    assert_eq!(rule.matches('"').count(), 4);
    assert!(rule.contains("K\\f6 ln"));
    assert_eq!(
        visible("a\u{202e}b\u{7}c\u{2066}\u{85}"),
        "a\u{fffd}b\u{2407}c\u{fffd}\u{fffd}"
    );
}

fn pieces(excerpt: &Excerpt) -> Vec<(&str, Mark)> {
    excerpt
        .pieces
        .iter()
        .map(|(piece, mark)| (piece.as_str(), *mark))
        .collect()
}

fn passage(generation: std::ops::Range<usize>, document: std::ops::Range<usize>) -> AlignedPassage {
    AlignedPassage { generation, document }
}

#[test]
fn words_that_are_the_same_in_order_are_marked_and_the_rest_of_the_passage_faintly() {
    let generation = "It said officials were here today.";
    let document = "He said that the officials were not here.";
    let (left, right) = marked("", generation, document, &[passage(3..34, 3..41)]);
    let (left, right) = (left.beginning(100), right.beginning(100));
    assert_eq!(
        pieces(&left),
        [
            ("It ", Mark::None),
            ("said", Mark::Same),
            (" ", Mark::Aligned),
            ("officials were", Mark::Same),
            (" ", Mark::Aligned),
            ("here", Mark::Same),
            (" today.", Mark::Aligned)
        ]
    );
    assert_eq!(
        pieces(&right),
        [
            ("He ", Mark::None),
            ("said", Mark::Same),
            (" that the ", Mark::Aligned),
            ("officials were", Mark::Same),
            (" not ", Mark::Aligned),
            ("here", Mark::Same),
            (".", Mark::Aligned)
        ]
    );
}

#[test]
fn marks_begin_and_end_at_words() {
    // The prompt was cut inside "Monday", the generation inside "hospital".
    let generation = "day we saw the hospi";
    let document = "On Monday we saw the hospital.";
    let (left, right) = marked("On Mon", generation, document, &[passage(0..20, 6..26)]);
    assert_eq!(
        pieces(&left.beginning(100)),
        [
            ("day ", Mark::Aligned),
            ("we saw the", Mark::Same),
            (" hospi", Mark::Aligned)
        ]
    );
    assert_eq!(
        pieces(&right.beginning(100)),
        [
            ("On Mon", Mark::None),
            ("day ", Mark::Aligned),
            ("we saw the", Mark::Same),
            (" hospi", Mark::Aligned),
            ("tal.", Mark::None)
        ]
    );
    // Behind a prompt that ends with a word, the first word is whole.
    let (left, _) = marked("On ", "day we", "day we", &[passage(0..6, 0..6)]);
    assert_eq!(pieces(&left.beginning(100)), [("day we", Mark::Same)]);
}

#[test]
fn the_common_words_are_as_many_as_can_be() {
    /// Length of the longest common subsequence by the textbook's table.
    fn expected(left: &[&str], right: &[&str]) -> usize {
        let mut table = vec![vec![0; right.len() + 1]; left.len() + 1];
        for (i, a) in left.iter().enumerate() {
            for (j, b) in right.iter().enumerate() {
                table[i + 1][j + 1] = if a == b {
                    table[i][j] + 1
                } else {
                    table[i][j + 1].max(table[i + 1][j])
                };
            }
        }
        table[left.len()][right.len()]
    }
    // A generator of its own, so that the cases are the same everywhere.
    let mut state = 12_345_u64;
    let mut next = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let words = ["ant", "bee", "cat", "Dog"];
    for _ in 0..200 {
        let mut side = || -> Vec<&str> { (0..=next(12)).map(|_| words[next(4) as usize]).collect() };
        let (left, right) = (side(), side());
        let texts = (left.join(" "), right.join(" "));
        let (marked_left, marked_right) = marked(
            "",
            &texts.0,
            &texts.1,
            &[passage(0..texts.0.len(), 0..texts.1.len())],
        );
        let same = |text: MarkedText| -> Vec<String> {
            let excerpt = text.beginning(1000);
            let found = excerpt.pieces.iter().filter(|(_, mark)| *mark == Mark::Same);
            found
                .flat_map(|(piece, _)| piece.split(' ').map(str::to_owned).collect::<Vec<_>>())
                .collect()
        };
        let (of_left, of_right) = (same(marked_left), same(marked_right));
        assert_eq!(of_left, of_right, "{left:?} {right:?}");
        assert_eq!(of_left.len(), expected(&left, &right), "{left:?} {right:?}");
    }
}

#[test]
fn excerpts_count_what_they_leave_out_and_cut_between_words() {
    let text = format!("{}SHARED {}", "aaa bbb ".repeat(50), "ccc ddd ".repeat(50));
    let excerpt = MarkedText::unmarked(&text).around(400..406, 30, 1000);
    let kept: String = excerpt.pieces.iter().map(|(piece, _)| piece.as_str()).collect();
    assert_eq!(
        excerpt.cut_before + kept.chars().count() + excerpt.cut_after,
        text.chars().count()
    );
    assert!(kept.contains("SHARED"));
    let is_whole = |word: &str| ["aaa", "bbb", "ccc", "ddd", "SHARED"].contains(&word);
    assert!(kept.split_whitespace().all(is_whole), "{kept:?}");
    assert!(kept.chars().count() > 50 && kept.chars().count() < 80, "{kept:?}");
    // What lies outside the text is left out, in texts that need several bytes a character too.
    let (left, right) = marked("", "Ää—öß", "", &[passage(3..99, 50..60)]);
    assert_eq!(
        pieces(&left.beginning(9)),
        [("Ää—", Mark::None), ("öß", Mark::Aligned)]
    );
    assert!(right.beginning(9).pieces.is_empty());
}

#[test]
fn redacted_text_keeps_its_shape_alone() {
    assert_eq!(
        redacted("Ms. Zoë, 3 Elm St\n北京 e\u{301}"),
        "██. ███, █ ███ ██\n██ ██"
    );
}

fn leaked(
    doc_id: &str,
    class: Verdict,
    kinds: &[&str],
    prompt: PromptOf,
    longest_chars: usize,
) -> LeakedDocument {
    LeakedDocument {
        doc_id: doc_id.to_owned(),
        class,
        copies: 16,
        passes: Some(48.0),
        longest_chars,
        personal_details: PersonalDetails::ByPattern(kinds.iter().map(|kind| (*kind).to_owned()).collect()),
        document_frequency: None,
        routes: vec![Route {
            group: 0,
            strategy: "greedy".to_owned(),
            prompt,
            generations: 1,
        }],
        from_untuned_too: false,
        passage: Passage {
            prompt: "My dear aunt".to_owned(),
            generation: " Ottoline lives in Zurich <b>".to_owned(),
            document: "My dear aunt Ottoline lives in Zurich <b> now".to_owned(),
            aligned: vec![passage(0..25, 12..37)],
            cell: "full-1e-3".to_owned(),
            strategy: "greedy".to_owned(),
            sample_id: 3,
        },
    }
}

struct OneModel;

impl Names for OneModel {
    fn name(&self, _: usize) -> (String, SeriesStyle) {
        ("Full".to_owned(), SeriesStyle::default())
    }
}

#[test]
fn all_leaked_documents_are_listed_the_most_severe_first() {
    let documents = [
        leaked("reworded", Verdict::Paraphrase, &["name"], PromptOf::Nothing, 950),
        leaked("long", Verdict::Verbatim, &[], PromptOf::OwnDocument, 900),
        leaked("short", Verdict::Verbatim, &[], PromptOf::OwnDocument, 60),
        leaked("unprompted", Verdict::Verbatim, &[], PromptOf::Nothing, 60),
        leaked("unseen", Verdict::Verbatim, &[], PromptOf::UnseenText, 70),
        leaked("named", Verdict::Verbatim, &["name"], PromptOf::OwnDocument, 55),
    ];
    let html = list(&documents, &OneModel, 1, false).into_string();
    let place = |id: &str| html.find(&format!("<code>{id}</code></span>")).unwrap();
    let order = ["named", "unprompted", "unseen", "long", "short", "reworded"].map(place);
    assert!(order.is_sorted(), "{order:?}");
    assert!(html.contains("16 copies, 48 passes"));
    assert!(html.contains("<mark>Ottoline lives in Zurich</mark>"));
    assert!(html.contains("simple patterns, which miss most names"));
    assert!(!html.contains("<b>"));
    assert!(
        list(&[], &OneModel, 1, false)
            .into_string()
            .contains("No training document came out")
    );
}

#[test]
fn the_redacted_edition_has_no_word_of_any_text() {
    let html = list(
        &[leaked(
            "named",
            Verdict::Verbatim,
            &["name"],
            PromptOf::OwnDocument,
            55,
        )],
        &OneModel,
        1,
        true,
    )
    .into_string();
    for word in ["aunt", "Ottoline", "Zurich", "lives"] {
        assert!(!html.contains(word), "{word}");
    }
    assert!(html.contains("<mark>████████ █████ ██ ██████</mark>"));
    assert!(html.contains("<code>named</code>") && html.contains("name</span>"));
}

fn titles(advice: &[advice::Advice]) -> BTreeSet<&'static str> {
    advice.iter().map(|item| item.title).collect()
}

#[test]
fn what_was_not_tried_follows_from_the_run() {
    let all = RunFacts {
        has_untuned: true,
        has_held_out: true,
        has_scores: true,
        has_canaries: true,
        personal_details: Labels::Given,
        non_members: Some(shown(100.0, None, None, 100)),
        seeds: 2,
        learning_rates: 2,
        copies: vec![1, 4],
        models: 2,
        attacks: advice::attacks().into_iter().collect(),
        ..RunFacts::default()
    };
    // Safety is never shown.
    assert_eq!(titles(&not_tried(&all)), BTreeSet::from(["Safety"]));
    assert!(next_steps(&all).is_empty());
    let cases: [(RunFacts, &str); 11] = [
        (
            RunFacts {
                has_untuned: false,
                ..all.clone()
            },
            "Untuned model",
        ),
        (
            RunFacts {
                has_held_out: false,
                ..all.clone()
            },
            "Held-out text",
        ),
        (
            RunFacts {
                non_members: Some(shown(99.0, None, None, 99)),
                ..all.clone()
            },
            "Members at 1% false alarms",
        ),
        (
            RunFacts {
                has_scores: false,
                ..all.clone()
            },
            "Scores",
        ),
        (
            RunFacts {
                has_canaries: false,
                ..all.clone()
            },
            "Canaries",
        ),
        (
            RunFacts {
                personal_details: Labels::Patterns,
                ..all.clone()
            },
            "Personal details",
        ),
        (
            RunFacts {
                skipped: Some((shown(6.0, None, None, 9), shown(9.0, None, None, 9))),
                ..all.clone()
            },
            "Documents that could not be asked",
        ),
        (
            RunFacts {
                seeds: 1,
                ..all.clone()
            },
            "Training runs",
        ),
        (
            RunFacts {
                learning_rates: 1,
                ..all.clone()
            },
            "Equal usefulness",
        ),
        (
            RunFacts {
                copies: vec![4],
                ..all.clone()
            },
            "Copies",
        ),
        (
            RunFacts {
                attacks: BTreeSet::from([advice::decoding::GREEDY]),
                ..all.clone()
            },
            "Attacks",
        ),
    ];
    for (facts, title) in cases {
        assert_eq!(titles(&not_tried(&facts)), BTreeSet::from(["Safety", title]));
    }
    let html = advice::render(&not_tried(&RunFacts {
        attacks: BTreeSet::from([advice::decoding::GREEDY]),
        ..all
    }));
    let html = html.into_string();
    assert!(html.contains("beam search") && !html.contains("greedy decoding from the beginnings"));
}

#[test]
fn steps_are_advised_only_where_the_run_gives_reason() {
    let facts = RunFacts {
        overtrained: vec![Overtrained {
            method: "full <1e-3>".to_owned(),
            best_epoch: Some(shown(1.0, None, None, 1)),
            at_best: shown(0.0, Some((0.0, 0.13)), Some(0.0), 26),
            at_end: shown(21.0 / 26.0, Some((0.62, 0.91)), Some(21.0), 26),
        }],
        documents_needed: vec![("head".to_owned(), shown(200.0, None, None, 26))],
        is_leaking: true,
        ..RunFacts::default()
    };
    let steps = next_steps(&facts);
    assert_eq!(
        titles(&steps),
        BTreeSet::from([
            "Stop earlier",
            "Ask more documents",
            "Before anybody else gets the model"
        ])
    );
    let html = advice::render(&steps).into_string();
    assert!(html.contains("full &lt;1e-3&gt;: stop at epoch <data class=\"f\" value=\"7\">1</data>, "));
    assert!(html.contains("<data class=\"f\" value=\"7\">21 of 26 (81%, 62–91%)</data>"));
    assert!(!html.contains("LoRA"));
}

fn glossary_facts() -> GlossaryFacts {
    GlossaryFacts {
        preset: "ours".to_owned(),
        verbatim_chars: Some(50),
        boilerplate_documents: Some(5),
        prefix_tokens: Some(30),
        new_tokens: Some(60),
        epochs: Some("3".to_owned()),
        canary_references: Some(512),
    }
}

#[test]
fn the_glossary_has_an_entry_for_every_link_and_gives_thresholds() {
    let found = entries(&glossary_facts());
    let by_anchor: BTreeMap<&str, &str> = found
        .iter()
        .map(|entry| (entry.anchor, entry.meaning.as_str()))
        .collect();
    assert_eq!(by_anchor.len(), found.len(), "anchors are unique");
    for anchor in [
        anchors::VERBATIM,
        anchors::PASSES,
        anchors::UNTUNED,
        anchors::HELD_OUT,
        anchors::CONTROL,
        anchors::INTERVAL,
        anchors::MEMBERSHIP,
        anchors::FALSE_ALARMS,
        anchors::AUC,
        anchors::EXPOSURE,
        anchors::CANARY,
        anchors::LOSS,
        anchors::BEST,
        anchors::HOLM,
        anchors::PARAPHRASE,
        anchors::SIMILARITY,
        anchors::EXTRACTABLE,
        anchors::DETAILS,
        anchors::PROPENSITY,
    ] {
        assert!(by_anchor.contains_key(anchor), "{anchor}");
    }
    assert!(by_anchor[anchors::VERBATIM].contains("50 characters or more"));
    assert!(by_anchor[anchors::EXPOSURE].contains("9.0 bits"));
    assert!(by_anchor[anchors::PASSES].contains("3 × 16 times"));
    let published = entries(&GlossaryFacts {
        preset: "pan2015".to_owned(),
        verbatim_chars: Some(256),
        epochs: None,
        ..glossary_facts()
    });
    let verbatim = entry_of(&published, "own_verbatim").unwrap();
    assert!(verbatim.meaning.contains("more than 256 characters"));
    assert_eq!(
        entry_of(&published, "membership_auc_loss").unwrap().anchor,
        anchors::MEMBERSHIP
    );
    assert!(entry_of(&published, "no_such_measure").is_none());
}

/// The colours of a `:root` block of the style sheet.
fn colours(block: &str) -> BTreeMap<String, [f64; 3]> {
    let mut found = BTreeMap::new();
    for declaration in block.split(';') {
        let Some((name, value)) = declaration.trim().split_once(": #") else {
            continue;
        };
        let value: String = if value.len() == 3 {
            value.chars().flat_map(|digit| [digit, digit]).collect()
        } else {
            value.to_owned()
        };
        let channel =
            |start: usize| f64::from(u8::from_str_radix(&value[start..start + 2], 16).unwrap()) / 255.0;
        found.insert(name.to_owned(), [channel(0), channel(2), channel(4)]);
    }
    found
}

/// Contrast by WCAG 2.
fn contrast(left: [f64; 3], right: [f64; 3]) -> f64 {
    let luminance = |colour: [f64; 3]| {
        let linear = colour.map(|channel| {
            if channel <= 0.040_45 {
                channel / 12.92
            } else {
                ((channel + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    };
    let (left, right) = (luminance(left), luminance(right));
    (left.max(right) + 0.05) / (left.min(right) + 0.05)
}

#[test]
fn colours_have_enough_contrast_in_light_dark_and_print() {
    let sheet = page_parts::STYLE;
    let blocks: Vec<&str> = sheet
        .split(":root {")
        .skip(1)
        .map(|rest| rest.split('}').next().unwrap())
        .collect();
    assert_eq!(blocks.len(), 3, "light, dark, print");
    for block in blocks {
        let found = colours(block);
        let on = |colour: &str, ground: &str| contrast(found[colour], found[ground]);
        for text in ["--ink", "--soft", "--link", "--alarm", "--warn"] {
            assert!(on(text, "--ground") >= 4.5, "{text}: {}", on(text, "--ground"));
            assert!(on(text, "--raised") >= 4.5, "{text}: {}", on(text, "--raised"));
        }
        for drawn in [
            "--s0",
            "--s1",
            "--s2",
            "--s3",
            "--s4",
            "--s5",
            "--s6",
            "--mark-line",
            "--strong-rule",
        ] {
            assert!(on(drawn, "--ground") >= 3.0, "{drawn}: {}", on(drawn, "--ground"));
        }
        for ground in ["--mark", "--aligned"] {
            assert!(on("--ink", ground) >= 4.5, "{ground}: {}", on("--ink", ground));
        }
    }
}
