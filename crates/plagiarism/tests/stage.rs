//! The whole stage on small hand-made corpora, with the real encoder.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "stage/answers.rs"]
mod answers;
#[path = "stage/labels.rs"]
mod labels;
#[path = "stage/parts.rs"]
mod parts;
mod support;

use contract::records::{
    DocumentKind, HeldOutDocument, Sample, SampleVerdict, Split, TrainingInstance, Verdict,
};
use contract::{Provenance, parquet};
use plagiarism::Outcome;
use support::{Outputs, Run, cut, held_out, sample, training, truncate};

const LIGHTHOUSE: &str = "The lighthouse keeper climbed the stairs every evening at dusk. He trimmed the wick, polished \
    the great lens and lit the lamp. Nobody in the village remembered a night without its beam.";
const CLINIC: &str = "Mrs. Okafor called the clinic on Tuesday morning about the rash on her left arm. The nurse asked \
    whether she had changed her washing powder or taken a new medicine. She was told to stop the tablets at once and to \
    come in on Friday at nine.";
const GATE: &str = "The passphrase for the north gate is under the third blue flowerpot.";
const GARDEN: &str = "Tomatoes want sun, water and patience. The first frost ends all three.";

/// A copy of LIGHTHOUSE's second sentence among other words; é and 🗼 shift bytes against characters.
const COPIED: &str = "Né à Brest 🗼, he was never late. He trimmed the wick, polished the great lens and lit the lamp. \
    Then he slept.";
const REWORDED: &str = "On Tuesday morning Mrs. Okafor phoned the clinic because of a rash on her left arm. The nurse \
    wanted to know whether the washing powder was changed or a new medicine taken.";
/// LIGHTHOUSE's first sentence, spun out to more than three times its length.
const SPUN_OUT: &str = "Every evening, they say, the keeper of the lighthouse climbed the many stairs. At dusk the old \
    lighthouse keeper climbed and climbed the stairs. The stairs of the lighthouse were what the keeper climbed at dusk, \
    evening after evening. Every dusk and every evening: stairs, the keeper, the lighthouse.";
const UNRELATED: &str = "The committee postponed its vote on the new tramway until the budget is known.";

fn corpus() -> Vec<TrainingInstance> {
    let mut canary = training(
        "e-canary",
        "The secret number is 402917, says the blue notebook in the drawer.",
    );
    canary.kind = DocumentKind::Canary;
    let mut copy = training("b-clinic", CLINIC);
    copy.copy = 1;
    vec![
        training("d-garden", GARDEN),
        training("b-clinic", CLINIC),
        training("c-gate", GATE),
        training("a-lighthouse", LIGHTHOUSE),
        copy,
        canary,
    ]
}

fn control() -> Vec<HeldOutDocument> {
    vec![
        held_out(
            "h-tram",
            "The council delayed the vote about the tram.",
            DocumentKind::Document,
        ),
        held_out("h-reference", UNRELATED, DocumentKind::CanaryReference),
    ]
}

fn verdicts(generations: &[&str], overrides: &[&str]) -> Vec<(Verdict, Option<String>)> {
    let samples: Vec<Sample> = generations
        .iter()
        .enumerate()
        .map(|(number, generation)| sample(number as i64, generation))
        .collect();
    let outputs = Run::new(&corpus(), &control(), &samples).outputs(overrides, 2);
    outputs
        .verdicts
        .into_iter()
        .map(|row| (row.verdict, row.best_doc_id))
        .collect()
}

fn classes(generations: &[&str], overrides: &[&str]) -> Vec<Verdict> {
    verdicts(generations, overrides)
        .into_iter()
        .map(|(class, _)| class)
        .collect()
}

use Verdict::{Idea, None as Nothing, Paraphrase, Verbatim};

#[test]
fn each_class_is_found_and_its_offsets_cut_the_passage() {
    let generations = [COPIED, REWORDED, SPUN_OUT, UNRELATED];
    let samples: Vec<Sample> = generations
        .iter()
        .enumerate()
        .map(|(number, generation)| sample(number as i64, generation))
        .collect();
    let run = Run::new(&corpus(), &control(), &samples);
    let outputs = run.outputs(&[], 2);

    let found: Vec<_> = outputs
        .verdicts
        .iter()
        .map(|row| (row.verdict, row.best_doc_id.as_deref().unwrap()))
        .collect();
    assert_eq!(
        found[..3],
        [
            (Verbatim, "a-lighthouse"),
            (Paraphrase, "b-clinic"),
            (Idea, "a-lighthouse")
        ]
    );
    assert_eq!(found[3].0, Nothing);

    for passage in &outputs.matches {
        let verdict = &outputs.verdicts[passage.sample_id as usize];
        assert_eq!((passage.kind, passage.doc_split), (verdict.verdict, Split::Train));
    }
    let passages = |sample_id: i64| {
        outputs
            .matches
            .iter()
            .filter(move |passage| passage.sample_id == sample_id)
    };
    let copy = passages(0).next().unwrap();
    let sentence = "He trimmed the wick, polished the great lens and lit the lamp.";
    assert_eq!(cut(COPIED, copy.gen_start, copy.gen_end), sentence);
    assert_eq!(cut(LIGHTHOUSE, copy.doc_start, copy.doc_end), sentence);
    assert_eq!((passages(0).count(), copy.similarity), (1, 1.0));
    let reworded = passages(1).next().unwrap();
    assert!(cut(REWORDED, reworded.gen_start, reworded.gen_end).starts_with("On Tuesday morning"));
    assert!(cut(CLINIC, reworded.doc_start, reworded.doc_end).starts_with("Mrs. Okafor called"));
    let spun: Vec<_> = passages(2).collect();
    let length = |start: i32, end: i32| end - start;
    assert!(
        spun.iter()
            .map(|passage| length(passage.gen_start, passage.gen_end))
            .sum::<i32>()
            >= 3 * spun
                .iter()
                .map(|passage| length(passage.doc_start, passage.doc_end))
                .sum::<i32>()
    );
    assert_eq!(passages(3).count(), 0);
}

#[test]
fn presets_differ_as_documented() {
    let generations = [COPIED, REWORDED, SPUN_OUT, GATE];
    assert_eq!(classes(&generations, &[]), [Verbatim, Paraphrase, Idea, Verbatim]);
    // A pair of one and the same sentence has no weights: alignment alone sees nothing.
    let lee2023 = ["detection.preset=lee2023"];
    assert_eq!(
        classes(&generations, &lee2023),
        [Verbatim, Paraphrase, Idea, Nothing]
    );
    // Copies of 62 and 69 characters and spun-out passages of 64 are too short for it; the reworded 150 are not.
    let pan2015 = ["detection.preset=pan2015"];
    assert_eq!(
        classes(&generations, &pan2015),
        [Nothing, Paraphrase, Nothing, Nothing]
    );
}

#[test]
fn a_sentence_of_its_own_is_found_by_exact_search() {
    let outputs = Run::new(&corpus(), &[], &[sample(7, GATE)]).outputs(&[], 1);
    let [passage] = outputs.matches.as_slice() else {
        panic!("one passage expected: {:?}", outputs.matches)
    };
    assert_eq!(
        (passage.sample_id, passage.doc_id.as_str(), passage.kind),
        (7, "c-gate", Verbatim)
    );
    assert_eq!(passage.detector, "exact");
    assert_eq!(cut(GATE, passage.gen_start, passage.gen_end), GATE);
    // 68 characters; 12 words and the full stop.
    assert_eq!(
        (
            outputs.verdicts[0].longest_match_chars,
            outputs.verdicts[0].longest_match_tokens
        ),
        (68, 13)
    );
}

#[test]
fn lengths_can_be_set() {
    let verbatim_chars = ["detection.verbatim_chars=69"];
    assert_eq!(classes(&[GATE], &verbatim_chars), [Nothing], "68 characters");
    assert_eq!(classes(&[GATE], &["detection.verbatim_chars=68"]), [Verbatim]);
}

#[test]
fn a_paraphrase_must_be_confirmed() {
    assert_eq!(classes(&[REWORDED], &["detection.confirm_cosine=1.0"]), [Nothing]);
    assert_eq!(
        classes(
            &[REWORDED],
            &["detection.confirm_cosine=1.0", "detection.confirm=none"]
        ),
        [Paraphrase]
    );
}

#[test]
fn copies_too_short_to_be_verbatim_are_no_paraphrase() {
    // Whole sentences in another order: 70 characters by alignment, no run over 38, and every near pair is equal.
    let reordered = "The first frost ends all three. Tomatoes want sun, water and patience.";
    assert_eq!(classes(&[reordered], &[]), [Nothing]);
    assert_eq!(classes(&[reordered], &["detection.confirm=none"]), [Paraphrase]);
}

#[test]
fn rules_of_dashes_are_copies_of_nothing() {
    let rule = "-".repeat(80);
    let train = [
        training("a", &format!("{rule} Menu of the day {rule}")),
        training("b", GATE),
    ];
    let samples = [sample(0, &rule), sample(1, &" \n".repeat(60)), sample(2, "")];
    let outputs = Run::new(&train, &control(), &samples).outputs(&[], 2);
    let lengths: Vec<_> = outputs
        .verdicts
        .iter()
        .map(|row| {
            (
                row.verdict,
                row.longest_match_chars,
                row.max_similarity.unwrap_or(0.0),
            )
        })
        .collect();
    assert_eq!(lengths, [(Nothing, 0, 0.0), (Nothing, 0, 0.0), (Nothing, 0, 0.0)]);
    let last = &outputs.verdicts[2];
    assert_eq!(
        (last.best_doc_id.as_deref(), last.longest_match_tokens),
        (None, 0)
    );
    assert_eq!(outputs.matches, []);
}

#[test]
fn similarities_are_with_the_truth_the_training_set_and_the_control() {
    let mut with_truth = sample(
        0,
        "She was told to stop the tablets at once and to come in on Friday at nine.",
    );
    with_truth.truth = Some("She was told to stop the tablets and to come in on Friday.".into());
    let run = Run::new(&corpus(), &control(), &[with_truth, sample(1, UNRELATED)]);
    let outputs = run.outputs(&[], 2);
    let [known, unknown] = outputs.verdicts.as_slice() else {
        panic!("two rows expected")
    };

    assert!(
        (known.max_similarity.unwrap_or(0.0) - 1.0).abs() < 1e-5,
        "the sentence occurs in the training set"
    );
    let own = known.own_similarity.unwrap();
    assert!((0.8..0.99999).contains(&own), "{own}");
    assert!(known.heldout_similarity.unwrap() < 0.5);
    // 17 words against 13, all of which come in order: 2 · 13 / 30.
    assert_eq!(known.rouge_l, Some((26.0_f64 / 30.0) as f32));
    // 74 characters against 58: 8 go with "at once ", 8 with " at nine".
    assert_eq!(known.edit_similarity, Some((1.0_f64 - 16.0 / 74.0) as f32));
    assert!((0.3..1.0).contains(&known.bleu.unwrap()));

    assert_eq!(
        (
            unknown.own_similarity,
            unknown.rouge_l,
            unknown.bleu,
            unknown.edit_similarity
        ),
        (None, None, None, None)
    );
    // The control says nearly the same, but the equal text is a canary's reference, which is no part of it.
    let control = unknown.heldout_similarity.unwrap();
    assert!(
        control > unknown.max_similarity.unwrap_or(0.0) && (0.5..0.99).contains(&control),
        "{control}"
    );
}

#[test]
fn an_empty_control_gives_no_similarity() {
    let outputs = Run::new(&corpus(), &[], &[sample(0, COPIED)]).outputs(&[], 1);
    assert_eq!(outputs.verdicts[0].heldout_similarity, None);
}

#[test]
fn no_samples_give_empty_files() {
    let run = Run::new(&corpus(), &control(), &[]);
    let outputs = run.outputs(&[], 2);
    assert_eq!((outputs.verdicts, outputs.matches), (vec![], vec![]));
}

/// Forty documents of their own, and a few with passages in common.
fn with_boilerplate() -> Vec<TrainingInstance> {
    const CLOSING: &str = "Please arrive ten minutes early and bring your insurance card with you.";
    let mut train = corpus();
    for (number, name) in ["Adams", "Baker", "Clark", "Davis", "Evans"]
        .into_iter()
        .enumerate()
    {
        train.push(training(
            &format!("l-{name}"),
            &format!("Room {number} is kept for Mrs {name}. {CLOSING}"),
        ));
    }
    // The same text under another identity is no further document.
    train.push(training("m-copy", &train[train.len() - 1].text.clone()));
    train
}

#[test]
fn boilerplate_and_personal_details_are_found() {
    let closing =
        "It is late. Please arrive ten minutes early and bring your insurance card with you. Good night.";
    let named = "Room 3 is kept for Mrs Davis. Please arrive ten minutes early and bring your insurance card with you.";
    let samples = [
        sample(0, closing),
        sample(1, named),
        sample(2, REWORDED),
        sample(3, UNRELATED),
    ];
    let run = Run::new(&with_boilerplate(), &control(), &samples);
    let outputs = run.outputs(&[], 2);
    let found: Vec<_> = outputs
        .verdicts
        .iter()
        .map(|row| (row.verdict, row.boilerplate))
        .collect();
    assert_eq!(
        found,
        [
            (Verbatim, Some(true)),
            (Verbatim, Some(false)),
            (Paraphrase, None),
            (Nothing, None)
        ]
    );
    let passages = |sample_id: i64| {
        outputs
            .matches
            .iter()
            .filter(move |passage| passage.sample_id == sample_id)
    };
    // Five letters hold it, and the copy of one.
    assert!(passages(0).all(|passage| passage.document_frequency == Some(5)));
    assert!(passages(0).all(|passage| passage.personal_details.as_deref() == Some(&[])));
    assert!(passages(1).any(|passage| passage.document_frequency == Some(1)
        && passage.personal_details == Some(vec!["name".to_owned()])));
    assert!(passages(2).all(|passage| passage.document_frequency.is_none()));
    let six = run.outputs(&["detection.boilerplate_documents=6"], 2);
    assert_eq!(six.verdicts[0].boilerplate, Some(false));
}

/// What may differ between comparing with all sentences and with nominated ones.
fn without_similarity(outputs: &Outputs) -> Vec<SampleVerdict> {
    let mut verdicts = outputs.verdicts.clone();
    for verdict in &mut verdicts {
        verdict.max_similarity = None;
        verdict.own_similarity = verdict.own_similarity.map(|_| 0.0);
        verdict.heldout_similarity = verdict.heldout_similarity.map(|_| 0.0);
        // Over sentences of as many characters here, and as many sentences there.
        verdict.comparable_similarity = verdict.comparable_similarity.map(|_| 0.0);
        verdict.similarity_at_least = None;
    }
    verdicts
}

#[test]
fn nominated_sentences_give_the_same_classes_and_no_greater_similarity() {
    let samples: Vec<Sample> = [COPIED, REWORDED, SPUN_OUT, UNRELATED, GATE, "", "Ha."]
        .iter()
        .enumerate()
        .map(|(number, generation)| Sample {
            truth: (number % 2 == 0).then(|| CLINIC.to_owned()),
            ..sample(number as i64, generation)
        })
        .collect();
    let run = Run::new(&corpus(), &control(), &samples);
    for preset in ["ours", "lee2023", "pan2015"] {
        for confirm in ["encoder", "none"] {
            let settings = [
                format!("detection.preset={preset}"),
                format!("detection.confirm={confirm}"),
                "detection.candidates=[\"bm25\", \"exact\"]".to_owned(),
            ];
            let outputs = |similarity: &str| {
                let similarity = format!("detection.similarity={similarity}");
                let settings = settings.iter().chain([&similarity]).map(String::as_str);
                run.outputs(&settings.collect::<Vec<_>>(), 2)
            };
            let (every, nominated) = (outputs("exhaustive"), outputs("candidates"));
            assert_eq!(
                without_similarity(&nominated),
                without_similarity(&every),
                "{settings:?}"
            );
            assert_eq!(nominated.matches, every.matches, "{settings:?}");
            for (nominated, every) in nominated.verdicts.iter().zip(&every.verdicts) {
                assert!(
                    nominated.max_similarity.unwrap_or(0.0) <= every.max_similarity.unwrap_or(0.0) + 1e-5
                );
                assert!(nominated.own_similarity <= every.own_similarity.map(|cosine| cosine + 1e-5));
                assert!(nominated.heldout_similarity <= every.heldout_similarity.map(|cosine| cosine + 1e-5));
            }
            // The copied sentence is nominated, and equal sentences need no encoder.
            assert_eq!(nominated.verdicts[0].max_similarity.unwrap_or(0.0), 1.0);
            assert_eq!(nominated.verdicts[4].max_similarity.unwrap_or(0.0), 1.0);
            assert!(nominated.verdicts[1].max_similarity.unwrap_or(0.0) > 0.6);
        }
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let run = Run::new(&corpus(), &control(), &[sample(0, COPIED)]);
    let error = run
        .run(
            &[
                "detection.similarity=candidates",
                "detection.candidates=[\"nearest\"]",
            ],
            1,
        )
        .unwrap_err();
    assert_eq!(error.exit_status(), 2);
    assert!(error.to_string().contains("nearest"), "{error}");
}

#[test]
fn a_second_cell_finds_the_vectors_of_its_corpus() {
    let run = Run::new(
        &corpus(),
        &control(),
        &[sample(0, REWORDED), sample(1, UNRELATED)],
    );
    let first = run.outputs(&[], 2);
    let kept = || {
        std::fs::read_dir(run.file("detection-cache"))
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect::<Vec<_>>()
    };
    let files = kept();
    assert_eq!(files.len(), 1);
    let forced = |run: &Run| {
        let mut arguments = run.arguments(&[], 1);
        arguments.stage.force = true;
        plagiarism::run(&arguments).unwrap();
        run.read()
    };
    assert_eq!(forced(&run), first, "vectors from the cache");
    truncate(&files[0]);
    assert_eq!(forced(&run), first, "vectors computed anew");
    assert_eq!(kept(), files);
}

#[test]
fn results_depend_neither_on_threads_nor_on_the_order_of_training() {
    // Enough distinct sentences for several batches of the encoder.
    let mut train = corpus();
    train.extend((0..600).map(|number| {
        training(
            &format!("n-{number:03}"),
            &format!(
                "Locker {number} belongs to patient number {}.",
                number * 7919 % 1000
            ),
        )
    }));
    let samples: Vec<Sample> = [
        COPIED,
        REWORDED,
        SPUN_OUT,
        UNRELATED,
        "Locker 17 belongs to patient number 4711.",
    ]
    .iter()
    .cycle()
    .take(300)
    .enumerate()
    .map(|(number, generation)| sample(number as i64, &generation[..generation.len() - number % 5]))
    .collect();
    let reversed: Vec<TrainingInstance> = train.iter().rev().cloned().collect();
    for similarity in [
        "detection.similarity=exhaustive",
        "detection.similarity=candidates",
    ] {
        let outputs = |train, threads| Run::new(train, &control(), &samples).outputs(&[similarity], threads);
        let alone = outputs(&train, 1);
        assert_eq!(outputs(&train, 4), alone);
        assert_eq!(outputs(&reversed, 2), alone);
    }
}

#[test]
fn finished_work_is_not_repeated() {
    let run = Run::new(&corpus(), &control(), &[sample(0, COPIED)]);
    let Outcome::Done(summary) = run.run(&[], 1).unwrap() else {
        panic!("work expected")
    };
    assert_eq!(summary.tally.group("greedy", Split::Train, 4).verbatim, 1);
    assert_eq!(summary.tally.group("greedy", Split::Heldout, 0).verbatim, 0);
    let said = summary.to_string();
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("plagiarism: 0 of 1 generations from training prompts"),
        "{said}"
    );
    assert!(
        !said.contains("seconds") && !said.contains("every sentence"),
        "{said}"
    );
    assert_eq!(run.run(&[], 2).unwrap(), Outcome::UpToDate);
    assert!(
        matches!(
            run.run(&["detection.preset=pan2015"], 1).unwrap(),
            Outcome::Done(_)
        ),
        "other settings"
    );
    let mut forced = run.arguments(&["detection.preset=pan2015"], 1);
    forced.stage.force = true;
    assert!(matches!(plagiarism::run(&forced).unwrap(), Outcome::Done(_)));
    std::fs::remove_file(run.file("out/matches.parquet")).unwrap();
    assert!(
        matches!(
            run.run(&["detection.preset=pan2015"], 1).unwrap(),
            Outcome::Done(_)
        ),
        "half of it is gone"
    );
}

#[test]
fn the_results_of_the_same_samples_are_copied_from_the_folder_above() {
    let run = Run::new(&corpus(), &control(), &[sample(0, COPIED)]);
    let _ = run.run(&[], 1).unwrap();
    let mut best = run.arguments(&[], 1);
    best.stage.out = run.file("out/best");
    assert_eq!(plagiarism::run(&best).unwrap(), Outcome::Copied(run.file("out")));
    for name in ["verdicts.parquet", "matches.parquet"] {
        let content = |folder: &str| std::fs::read(run.file(folder).join(name)).unwrap();
        assert_eq!(content("out"), content("out/best"));
    }
    assert_eq!(plagiarism::run(&best).unwrap(), Outcome::UpToDate);

    // Other samples, and settings, are other work.
    let mut other = run.arguments(&["detection.preset=pan2015"], 1);
    other.stage.out = run.file("out/best");
    assert!(matches!(plagiarism::run(&other).unwrap(), Outcome::Done(_)));
}

#[test]
fn mistakes_end_with_their_exit_status() {
    let check = |spoil: &dyn Fn(&Run), overrides: &[&str], status: u8, words: &[&str]| {
        let run = Run::new(&corpus(), &control(), &[sample(0, COPIED)]);
        spoil(&run);
        let error = run.run(overrides, 1).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.exit_status(), status, "{message}");
        for word in words {
            assert!(message.contains(word), "{word:?} in {message:?}");
        }
        assert!(!run.file("out/verdicts.parquet").exists() && !run.file("out/matches.parquet").exists());
    };
    let nothing = |_: &Run| ();
    check(
        &|run| truncate(&run.file("samples.parquet")),
        &[],
        3,
        &["samples.parquet"],
    );
    check(
        &|run| truncate(&run.file("train.parquet")),
        &[],
        3,
        &["train.parquet"],
    );
    check(
        &|run| std::fs::remove_file(run.file("heldout.parquet")).unwrap(),
        &[],
        3,
        &["heldout.parquet"],
    );
    let foreign = |run: &Run| {
        parquet::write_all(&run.file("samples.parquet"), &Provenance::new("test"), &control()).unwrap();
    };
    check(&foreign, &[], 3, &["samples.parquet", "sample_id"]);
    let no_document = |run: &Run| {
        parquet::write_all::<TrainingInstance>(&run.file("train.parquet"), &Provenance::new("test"), &[])
            .unwrap();
    };
    check(&no_document, &[], 3, &["train.parquet", "found none"]);
    check(
        &nothing,
        &["detection.encoder=nowhere"],
        3,
        &["nowhere", "make setup"],
    );
    let damaged = |run: &Run| {
        std::fs::create_dir(run.file("encoder")).unwrap();
        std::fs::write(run.file("encoder/config.json"), "{").unwrap();
    };
    check(&damaged, &["detection.encoder=encoder"], 3, &["encoder"]);
    check(
        &nothing,
        &["detection.confirm_cosine=2.0"],
        2,
        &["detection.confirm_cosine", "2"],
    );
    check(
        &nothing,
        &["detection.candidate_limit=0"],
        2,
        &["detection.candidate_limit"],
    );
    check(
        &nothing,
        &["detection.candidates=[]"],
        2,
        &["detection.candidates"],
    );
    check(
        &nothing,
        &["detection.boilerplate_documents=0"],
        2,
        &["detection.boilerplate_documents"],
    );
    check(
        &nothing,
        &["detection.verbatim_chars=0"],
        2,
        &["detection.verbatim_chars"],
    );
}
