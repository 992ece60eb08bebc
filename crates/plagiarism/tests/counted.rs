//! What counts as extracted, whose copies it is, and what it is compared with: known answers on small texts.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "shared with other tests")]
mod support;

use contract::records::{
    DocumentKind, HeldOutDocument, PassageMatch, Sample, SampleVerdict, Split, TrainingInstance, Verdict,
};
use support::{Outputs, Run, cut, held_out, sample, training};

use Verdict::{None as Nothing, Paraphrase, Verbatim};

const LETTER: &str = "Dear Mrs. Okafor, the rash on your left arm comes from the new washing powder. Please stop using it at \
    once and call the clinic on Friday morning before nine if it has not gone away.";
const HARBOUR: &str = "The harbour master counts forty-one herring barrels on the northern quay each Sunday at dawn. His \
    brother paints every second one of them green.";
const TRAMWAY: &str = "The council has decided that the tramway will be extended to the old brickworks by next autumn, and \
    that its fares will stay as they are.";
const CANARY: &str = "For the amber kettle, please enter 402917 at the door of the northern clinic.";

fn corpus() -> Vec<TrainingInstance> {
    let mut letter = training("a-letter", LETTER);
    letter.copies = 4;
    let mut harbour = training("b-harbour", HARBOUR);
    harbour.copies = 16;
    let mut canary = training("c-canary", CANARY);
    canary.kind = DocumentKind::Canary;
    vec![letter, harbour, canary]
}

fn control() -> Vec<HeldOutDocument> {
    vec![held_out("h-tramway", TRAMWAY, DocumentKind::Document)]
}

/// A generation from the prompt that is the first `prompt` characters of the letter.
fn after(prompt: usize, generation: &str) -> Sample {
    let characters: Vec<char> = LETTER.chars().collect();
    Sample {
        doc_id: Some("a-letter".into()),
        prompt: characters[..prompt].iter().collect(),
        truth: Some(characters[prompt..].iter().collect()),
        ..sample(0, generation)
    }
}

fn run(samples: &[Sample], overrides: &[&str]) -> Outputs {
    let samples: Vec<Sample> = samples
        .iter()
        .enumerate()
        .map(|(number, sample)| Sample {
            sample_id: number as i64,
            ..sample.clone()
        })
        .collect();
    Run::new(&corpus(), &control(), &samples).outputs(overrides, 1)
}

fn one(sample: Sample) -> (SampleVerdict, Vec<PassageMatch>) {
    let mut outputs = run(&[sample], &[]);
    (outputs.verdicts.remove(0), outputs.matches)
}

#[test]
fn canary_is_no_document() {
    let (verdict, matches) = one(after(30, CANARY));
    assert_eq!(
        (verdict.verdict, verdict.control_verdict, matches),
        (Nothing, Some(Nothing), vec![])
    );
    // Of its 76 characters " northern " occurs in the letter about the harbour, and no more than a few letters elsewhere.
    assert!(
        verdict.longest_match_chars <= 14,
        "{}",
        verdict.longest_match_chars
    );
    assert!(verdict.max_similarity.unwrap() < 0.7);
}

#[test]
fn echo_of_the_prompt_is_extracted_by_nobody() {
    let prompt: String = LETTER.chars().take(78).collect();
    for preset in ["ours", "lee2023", "pan2015"] {
        let preset = format!("detection.preset={preset}");
        let settings = [
            preset.as_str(),
            "detection.verbatim_chars=50",
            "detection.confirm=none",
        ];
        // The prompt again, as it is and in capitals.
        for echo in [prompt.clone(), prompt.to_uppercase()] {
            let outputs = run(&[after(78, &echo)], &settings);
            let verdict = &outputs.verdicts[0];
            assert_eq!(
                (verdict.verdict, verdict.own_verdict),
                (Nothing, Some(Nothing)),
                "{settings:?}"
            );
            assert_eq!(
                (verdict.longest_match_chars, verdict.longest_match_tokens),
                (0, 0)
            );
            assert_eq!(
                (verdict.max_similarity, verdict.own_similarity, outputs.matches),
                (None, None, vec![])
            );
            assert_eq!(verdict.echoed_chars, Some(78));
        }
    }
    // The prompt again and then the letter's next words: 50 characters of them are verbatim, 48 are not (the 49th is a blank).
    for (new, class) in [(50, Verbatim), (48, Nothing)] {
        // A full stop is followed by a blank, which does not count.
        let generation: String = LETTER.chars().take(78 + 1 + new).collect();
        let (verdict, matches) = one(after(78, &generation));
        assert_eq!(
            (verdict.verdict, verdict.longest_match_chars),
            (class, new as i32)
        );
        let verbatim: Vec<_> = matches
            .iter()
            .filter(|passage| passage.kind == Verbatim)
            .collect();
        assert_eq!(verbatim.len(), usize::from(class == Verbatim));
        for passage in verbatim {
            assert_eq!((passage.gen_start, passage.doc_start), (79, 79));
            assert!(cut(LETTER, passage.doc_start, passage.doc_end).starts_with("Please stop using"));
        }
    }
}

#[test]
fn paraphrase_of_the_prompt_is_none() {
    // It renders the letter's first sentence, which the attacker supplied.
    let reworded = "The rash on the left arm of Mrs. Okafor comes from the washing powder, which is new. It is from this new \
        washing powder that the rash on her left arm comes.";
    let whole = LETTER.find("Please").unwrap();
    let supplied = run(&[after(whole, reworded)], &["detection.confirm=none"]);
    assert_eq!(supplied.verdicts[0].verdict, Nothing);
    assert!(supplied.verdicts[0].max_similarity.unwrap() < 0.7);
    let unknown = run(&[after(5, reworded)], &["detection.confirm=none"]);
    assert!(unknown.verdicts[0].max_similarity.unwrap() > 0.8);
}

#[test]
fn blank_space_is_a_copy_of_nothing() {
    let form = format!("Name:{}Date:{}", " ".repeat(60), " ".repeat(60));
    let documents = [training("a", &form), training("b", HARBOUR)];
    let samples = [sample(0, &format!("Name:{}Date:", " ".repeat(60)))];
    let outputs = Run::new(&documents, &[], &samples).outputs(&[], 1);
    // "Name: Date:" with any run of blanks counted once.
    assert_eq!(
        (
            outputs.verdicts[0].verdict,
            outputs.verdicts[0].longest_match_chars
        ),
        (Nothing, 11)
    );
}

#[test]
fn verdict_says_whose_copies_came_out() {
    // The letter's prompt brings the harbour out.
    let harbour: String = HARBOUR.chars().skip(4).take(70).collect();
    let (verdict, _) = one(after(30, &harbour));
    assert_eq!((verdict.verdict, verdict.own_verdict), (Verbatim, Some(Nothing)));
    assert_eq!(
        (
            verdict.copies,
            verdict.best_doc_id.as_deref(),
            verdict.best_copies
        ),
        (4, Some("b-harbour"), Some(16))
    );
    assert_eq!(verdict.emitted_doc_ids, Some(vec!["b-harbour".to_owned()]));
    assert_eq!(verdict.emitted_copies, Some(vec![16]));
    // Its own text and the harbour's after it.
    let own: String = LETTER.chars().skip(30).take(90).collect();
    let (verdict, _) = one(after(30, &format!("{own}\n{harbour}")));
    assert_eq!((verdict.verdict, verdict.own_verdict), (Verbatim, Some(Verbatim)));
    assert_eq!(
        verdict.emitted_doc_ids,
        Some(vec!["a-letter".to_owned(), "b-harbour".to_owned()])
    );
    assert_eq!(verdict.emitted_copies, Some(vec![4, 16]));
    // A prompt of nobody.
    let (verdict, _) = one(Sample {
        doc_id: None,
        split: Split::None,
        ..after(0, &harbour)
    });
    assert_eq!((verdict.verdict, verdict.own_verdict), (Verbatim, None));
}

#[test]
fn common_phrase_brings_no_document_out() {
    let phrase = "Please arrive ten minutes early and bring your insurance card with you.";
    let names = ["Adams", "Baker", "Clark", "Davis", "Evans"];
    let documents = |count: usize| {
        let names = names.iter().take(count);
        let letter = |name: &&str| training(name, &format!("Room for Mrs {name}. {phrase} Yours, {name}"));
        names.map(letter).collect::<Vec<_>>()
    };
    for (count, emitted, boilerplate) in [(5, vec![], true), (2, vec!["Adams", "Baker"], false)] {
        let outputs = Run::new(&documents(count), &[], &[sample(0, phrase)]).outputs(&[], 1);
        let verdict = &outputs.verdicts[0];
        assert_eq!(
            (verdict.verdict, verdict.boilerplate),
            (Verbatim, Some(boilerplate))
        );
        assert_eq!(
            verdict.emitted_doc_ids.clone().unwrap(),
            emitted.iter().map(ToString::to_string).collect::<Vec<_>>()
        );
    }
}

#[test]
fn passage_that_a_class_rests_on_is_always_listed() {
    // A copy with a word changed in its middle: verbatim by its second half, of 51 characters.
    let edited = "The harbour master counts fifty-one wooden barrels on the northern quay each Sunday at dawn. His brother \
        sold every second one of them.";
    let (verdict, matches) = one(after(30, edited));
    assert_eq!(verdict.verdict, Verbatim);
    let verbatim: Vec<_> = matches
        .iter()
        .filter(|passage| passage.kind == Verbatim)
        .collect();
    let run = " barrels on the northern quay each Sunday at dawn. His brother ".trim();
    assert_eq!(verbatim.len(), 1, "{matches:?}");
    assert_eq!(cut(edited, verbatim[0].gen_start, verbatim[0].gen_end), run);
    assert_eq!(cut(HARBOUR, verbatim[0].doc_start, verbatim[0].doc_end), run);
    assert_eq!(
        (verbatim[0].similarity, verbatim[0].document_frequency),
        (1.0, Some(1))
    );
    assert!(
        matches
            .iter()
            .all(|passage| passage.kind == Verbatim
                || (passage.kind == Paraphrase && passage.similarity < 1.0))
    );
}

#[test]
fn generations_are_matched_with_text_that_nobody_trained_on() {
    let copied: String = TRAMWAY.chars().take(79).collect();
    let (verdict, matches) = one(after(30, &copied));
    assert_eq!(
        (
            verdict.verdict,
            verdict.control_verdict,
            verdict.control_longest_match_chars
        ),
        (Nothing, Some(Verbatim), Some(79))
    );
    let verbatim = matches.iter().filter(|passage| passage.kind == Verbatim);
    let listed: Vec<_> = verbatim
        .map(|passage| (passage.doc_id.as_str(), passage.doc_split, passage.kind))
        .collect();
    assert_eq!(listed, [("h-tramway", Split::Heldout, Verbatim)]);
    assert_eq!(verdict.heldout_similarity, Some(1.0));
    // Without held-out text there is no control.
    let outputs = Run::new(&corpus(), &[], &[after(30, &copied)]).outputs(&[], 1);
    let verdict = &outputs.verdicts[0];
    assert_eq!(
        (
            verdict.control_verdict,
            verdict.control_longest_match_chars,
            verdict.comparable_similarity
        ),
        (None, None, None)
    );
}

#[test]
fn comparable_similarity_is_over_as_many_sentences_as_the_control_has() {
    // One held-out sentence; of the training set one as well, that of the document which comes first by digest. The generations are
    // the three first sentences of three training documents: one of them is the one chosen.
    let texts = [
        "The baker sells rye bread on Mondays only.",
        "A violin hangs above the fireplace in the hall.",
        "Nobody has seen the lighthouse keeper since spring.",
    ];
    let documents: Vec<_> = (0..3)
        .map(|number| training(&format!("d{number}"), texts[number]))
        .collect();
    let samples: Vec<Sample> = (0..3)
        .map(|number| sample(number, texts[number as usize]))
        .collect();
    let held = [held_out(
        "h",
        "The tram is late again today.",
        DocumentKind::Document,
    )];
    let outputs = Run::new(&documents, &held, &samples).outputs(&[], 1);
    let reaching_one = |value: fn(&SampleVerdict) -> Option<f32>| {
        let values = outputs.verdicts.iter().filter_map(value);
        values.filter(|similarity| *similarity > 0.999).count()
    };
    assert_eq!(reaching_one(|verdict| verdict.max_similarity), 3);
    assert_eq!(reaching_one(|verdict| verdict.comparable_similarity), 1);
}

#[test]
fn generation_without_a_sentence_has_no_similarity_and_is_counted() {
    let samples = [after(30, "Ha."), after(30, ""), after(30, "He did not come.")];
    let run = Run::new(&corpus(), &control(), &samples);
    let plagiarism::Outcome::Done(summary) = run.run(&[], 1).unwrap() else {
        panic!("work expected")
    };
    assert_eq!(summary.without_sentence, 2);
    let similarities: Vec<bool> = run
        .read()
        .verdicts
        .iter()
        .map(|verdict| verdict.max_similarity.is_some())
        .collect();
    assert_eq!(similarities, [false, false, true]);
}

#[test]
fn text_without_full_stops_is_near_its_copy() {
    let words = [
        "kettle", "violin", "harbour", "ribbon", "lantern", "saddle", "walnut", "mirror", "orchard",
        "thimble", "castle",
    ];
    let transcript: String = (0..400)
        .map(|number: usize| words[(number * number + number / 7) % 11].to_owned() + " ")
        .collect();
    let copied: String = transcript.chars().skip(701).take(200).collect();
    let documents = [training("a", &transcript), training("b", HARBOUR)];
    let outputs = Run::new(&documents, &[], &[sample(0, &copied)]).outputs(&[], 1);
    assert_eq!(outputs.verdicts[0].max_similarity, Some(1.0));
}

/// What a tokenizer makes of a text is no other text.
#[test]
fn one_text_on_both_sides_is_found_however_it_was_rendered() {
    let text = "L’e\u{301}te\u{301} dernier, [NAME] a re\u{301}pare\u{301} le cha\u{302}teau derrie\u{300}re la fore\u{302}t \
        avec vingt-trois ouvriers venus de Bre\u{301}al.";
    let rendered = " a réparé le château derrière la forêt avec vingt-trois ouvriers venus de Bréal.";
    let stripped = " a repare le chateau derriere la foret avec vingt-trois ouvriers venus de breal.";
    let documents = [training("b-clinic", text), training("c", HARBOUR)];
    let samples = [
        // Composed, and the special token dropped.
        Sample {
            prompt: "L’été dernier, ".into(),
            ..sample(0, rendered)
        },
        // Without accents: the document's own reference says that this is how the tokenizer renders it.
        Sample {
            prompt: "l’ete dernier, ".into(),
            truth: Some(stripped.into()),
            ..sample(1, stripped)
        },
    ];
    let outputs = Run::new(&documents, &[], &samples).outputs(&[], 1);
    for verdict in &outputs.verdicts {
        assert_eq!(
            (verdict.verdict, verdict.own_verdict),
            (Verbatim, Some(Verbatim)),
            "{verdict:?}"
        );
        assert_eq!(verdict.emitted_doc_ids, Some(vec!["b-clinic".to_owned()]));
    }
    for passage in outputs.matches.iter().filter(|passage| passage.kind == Verbatim) {
        let original = cut(text, passage.doc_start, passage.doc_end);
        assert!(
            original.starts_with("a re\u{301}pare\u{301} le cha")
                && original.trim_end_matches('.').ends_with("Bre\u{301}al"),
            "{original:?}"
        );
    }
}
