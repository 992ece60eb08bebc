//! Offsets cut the passage that they name, whatever the script.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "shared with other tests")]
mod support;

use std::collections::BTreeSet;

use contract::pipeline::{Confirmation, Detection};
use contract::records::Sample;
use plagiarism::IndexCache;
use plagiarism::alignment::{PairDetector, Side};
use plagiarism::candidates::exact::ExactSearch;
use plagiarism::corpus::generation::Generation;
use plagiarism::corpus::normal_form::folded;
use plagiarism::corpus::sentences::SentenceTable;
use plagiarism::corpus::sources::{Document, Sources};
use plagiarism::paraphrase::confirm::Confirmer;
use plagiarism::paraphrase::similarity::Vectors;
use proptest::prelude::*;
use sentence_embed::Embeddings;

const MINIMUM: usize = 12;

/// Words of several scripts, with combining marks, emoji of several scalars, and letters that grow in lower case.
const WORDS: [&str; 14] = [
    "alpha",
    "naïve",
    "İstanbul",
    "e\u{301}tude",
    "漢字",
    "👩\u{200d}⚕️",
    "ſtone",
    "Ωmega",
    "über",
    "12.5",
    "—",
    "don't",
    "ру́ки",
    "a\u{a0}b",
];

fn sentence() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(WORDS.as_slice()), 3..12)
        .prop_map(|words| words.join(" ") + ".")
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(
        (
            sentence(),
            prop::sample::select([" ", "\n\n", "  ", "\u{2003}"].as_slice()),
        ),
        1..8,
    )
    .prop_map(|sentences| {
        sentences
            .into_iter()
            .map(|(sentence, gap)| sentence + gap)
            .collect()
    })
}

/// Two documents, and a generation that goes on with a part of the first after some text of its own.
fn case() -> impl Strategy<Value = (Vec<String>, String)> {
    (text(), text(), text(), 0.0..1.0_f64, 0.0..1.0_f64).prop_map(|(first, second, own, from, to)| {
        let characters: Vec<char> = first.chars().collect();
        let place = |share: f64| (share * characters.len() as f64) as usize;
        let copied: String = characters[place(from.min(to))..place(from.max(to))]
            .iter()
            .collect();
        (vec![first, second], own + &copied)
    })
}

fn cut(text: &str, span: text_align::Span) -> String {
    text.chars().skip(span.start).take(span.len()).collect()
}

/// Words in lower case: what verbatim passages of an alignment have in common.
fn unspaced(text: &str) -> String {
    text.split_whitespace().collect::<String>().to_lowercase()
}

fn sample(generation: &str, prompt: &str, own: usize) -> Sample {
    Sample {
        doc_id: Some(own.to_string()),
        prompt: prompt.to_owned(),
        ..support::sample(0, generation)
    }
}

proptest! {
    #[test]
    fn exact_passages_are_equal_and_not_supplied((texts, generation) in case(), own in 0..2_usize, from in 0..60_usize) {
        let prompt: String = texts[0].chars().skip(from).take(40).collect();
        let documents: Vec<Document> = texts
            .iter()
            .enumerate()
            .map(|(number, text)| Document::new(number.to_string(), text.clone(), 1))
            .collect();
        let sources = Sources { training: documents, held_out: Vec::new() };
        let sample = sample(&generation, &prompt, own);
        let read = Generation::new(&sample, &sources);
        let search = ExactSearch::new(&sources.training, &IndexCache::default()).unwrap();
        let shared = &search.shared(std::slice::from_ref(&read), MINIMUM)[0];
        let longest = shared.longest(Some(own));
        for passage in shared.passages(Some(own), MINIMUM) {
            let generated = cut(&generation, read.original(passage.generated));
            let document = &sources.training[passage.document];
            let original = cut(&texts[passage.document], document.original(passage.in_document));
            // Equal but for case, white space and normal form, on characters of the files themselves.
            prop_assert_eq!(folded(&generated), folded(&original));
            prop_assert!(folded(&generated).chars().count() >= MINIMUM && generated.trim() == generated);
            prop_assert!(read.new_characters(passage.generated) <= longest.characters);
            prop_assert!(passage.document == own || !folded(&texts[own]).contains(&folded(&generated)));
            let holding = texts.iter().map(|text| folded(text)).collect::<BTreeSet<_>>();
            let holding = holding.into_iter().filter(|text| text.contains(&folded(&generated)));
            prop_assert_eq!(search.document_frequency(&generated), holding.count());
            // What the prompt holds neither begins nor ends a passage.
            prop_assert_eq!(read.without_echo(passage.generated), passage.generated);
        }
        for document in shared.candidates(1) {
            prop_assert!(document < texts.len());
        }
    }

    #[test]
    fn aligned_passages_lie_within_their_texts((texts, generation) in case()) {
        let detection =
            Detection { confirm: Confirmation::None, verbatim_chars: Some(MINIMUM), ..Detection::default() };
        let mut table = SentenceTable::default();
        let split = table.read(&[&generation, &texts[0]]);
        let prepared = [split[0].prepare(&generation).unwrap(), split[1].prepare(&texts[0]).unwrap()];
        let vectors = Vectors::from(Embeddings::from_rows(Vec::new(), 1).unwrap());
        let detector = PairDetector::new(&detection, Confirmer::new(&detection, &table, &vectors)).unwrap();
        let both = [&generation, &texts[0]];
        let side =
            |index: usize| Side { text: both[index], prepared: &prepared[index], split: &split[index] };
        for sentence in split.iter().zip([&generation, &texts[0]]).flat_map(|(split, text)| {
            split.sentences.iter().map(move |sentence| (sentence, text))
        }) {
            prop_assert_eq!(&cut(sentence.1, sentence.0.span), &*table.texts()[sentence.0.number]);
        }
        if let Some(finding) = detector.compare(side(0), 0, side(1)) {
            for passage in &finding.passages {
                let (generated, document) = (cut(&generation, passage.generated), cut(&texts[0], passage.document));
                prop_assert_eq!(generated.chars().count(), passage.generated.len());
                prop_assert_eq!(document.chars().count(), passage.document.len());
                if passage.similarity >= 1.0 {
                    prop_assert_eq!(unspaced(&generated), unspaced(&document));
                }
            }
        }
    }
}
