//! [`Mode::Exact`] against the published program; `scripts/fixtures/text_align.py` says how its results came about.

#![expect(clippy::expect_used, reason = "a test may panic")]

use std::path::Path;

use serde::Deserialize;
use text_align::{Aligner, Class, Mode, Parameters, PreparedText, Span};

#[derive(Deserialize)]
struct Fixture {
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    suspicious: Text,
    source: Text,
    lee2023: Found,
    pan2015: Found,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    sentences: Vec<(usize, usize)>,
}

/// Class and cases: start and end in the suspicious text, start and end in the source.
#[derive(Debug, PartialEq, Deserialize)]
struct Found {
    class: Class,
    cases: Vec<(usize, usize, usize, usize)>,
}

impl Text {
    fn prepare(&self) -> PreparedText {
        let spans: Vec<Span> = self
            .sentences
            .iter()
            .map(|&(start, end)| Span::new(start, end))
            .collect();
        PreparedText::with_sentences(&self.text, &spans).expect("spans fit")
    }
}

fn found(pair: &Pair, mode: Mode, preset: Parameters) -> Found {
    let aligner = Aligner::new(Parameters { mode, ..preset }).expect("sound parameters");
    let alignment = aligner.align_roles(&pair.suspicious.prepare(), &pair.source.prepare());
    let mut cases: Vec<_> = alignment
        .cases
        .iter()
        .map(|case| {
            (
                case.suspicious.start,
                case.suspicious.end,
                case.source.start,
                case.source.end,
            )
        })
        .collect();
    cases.sort_unstable();
    Found {
        class: alignment.class,
        cases,
    }
}

#[test]
fn exact_mode_finds_what_the_published_program_finds() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/published.json");
    let json = std::fs::read_to_string(file).expect("the fixture");
    let fixture: Fixture = serde_json::from_str(&json).expect("the fixture's fields");
    let mut differing = Vec::new();
    for pair in &fixture.pairs {
        for (preset, published) in [
            (Parameters::lee2023(), &pair.lee2023),
            (Parameters::pan2015(), &pair.pan2015),
        ] {
            assert_eq!(
                &found(pair, Mode::Exact, preset.clone()),
                published,
                "{}",
                pair.name
            );
            if found(pair, Mode::Fixed, preset) != *published {
                differing.push(pair.name.as_str());
            }
        }
    }
    // Where the slips show: without them the fixture would not distinguish the modes.
    differing.dedup();
    assert!(
        differing.contains(&"a passage that the suspicious text has twice"),
        "{differing:?}"
    );
    assert!(
        differing.contains(&"one passage that overlaps two apart from each other"),
        "{differing:?}"
    );
}
