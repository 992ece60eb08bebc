//! Answers: what of them is compared, and whether the final answer is right. Text of another kind, which is no control.

use contract::records::{
    DocumentKind, HeldOutDocument, HeldOutRole, Sample, SampleVerdict, Split, TrainingInstance,
};

use crate::support::{Run, held_out, sample, training};

const QUESTION: &str =
    "Ann has 30 eggs and buys 12 more at the market on Friday. How many eggs has Ann? #### 7 is no answer.\n";
const ANSWER: &str = "She has 30 + 12 = <<30+12=42>>42 eggs in her basket at the end of that day.\n#### 42";

fn asked(sample_id: i64, doc_id: &str, split: Split, generation: &str) -> Sample {
    Sample {
        doc_id: Some(doc_id.to_owned()),
        split,
        prompt: QUESTION.to_owned(),
        // Cut before the final answer.
        truth: Some("She has 30 + 12 =".to_owned()),
        ..sample(sample_id, generation)
    }
}

fn documents() -> (Vec<TrainingInstance>, Vec<HeldOutDocument>) {
    let prompt_chars = QUESTION.chars().count() as i32;
    let text = |answer: &str| format!("{QUESTION}{answer}");
    let train = vec![
        TrainingInstance {
            prompt_chars,
            ..training("sum", &text(ANSWER))
        },
        // Its response has no final answer, though its prompt has one.
        TrainingInstance {
            prompt_chars,
            ..training("essay", &text("It is hard to say how many she has."))
        },
        training(
            "boxed",
            "The roots of this polynomial are added, and so we get \\boxed{1,000} as their sum.",
        ),
    ];
    let unseen = HeldOutDocument {
        prompt_chars,
        ..held_out(
            "unseen",
            &text("Ten more than before.\n#### 1,052"),
            DocumentKind::Document,
        )
    };
    (train, vec![unseen])
}

#[test]
fn final_answers_are_those_of_the_whole_response_of_the_prompts_document() {
    let cases: [(Sample, Option<bool>); 10] = [
        (
            asked(0, "sum", Split::Train, "30 and 12 are 42.\n#### 42"),
            Some(true),
        ),
        (
            asked(1, "sum", Split::Train, "#### 42.0\n\nQuestion: and now?\n#### 9"),
            Some(true),
        ),
        (asked(2, "sum", Split::Train, "#### 41\n#### 42"), Some(false)),
        (asked(3, "sum", Split::Train, "She has 30 + 12 = 42"), Some(false)),
        (asked(4, "essay", Split::Train, "#### 7"), None),
        (asked(5, "unseen", Split::Heldout, "#### 1052"), Some(true)),
        (asked(6, "unseen", Split::Heldout, ""), Some(false)),
        (
            asked(7, "boxed", Split::Train, "the sum is \\boxed{1000}."),
            Some(true),
        ),
        (
            Sample {
                truth: None,
                ..asked(8, "sum", Split::Train, "#### 42")
            },
            None,
        ),
        // The prompt gives the answer away.
        (
            Sample {
                prompt: ANSWER.to_owned(),
                ..asked(9, "sum", Split::Train, "#### 42")
            },
            None,
        ),
    ];
    let (train, unseen) = documents();
    let samples: Vec<Sample> = cases.iter().map(|(sample, _)| sample.clone()).collect();
    let found = Run::new(&train, &unseen, &samples).outputs(&[], 2).verdicts;
    let right: Vec<Option<bool>> = found.iter().map(|row| row.final_answer_right).collect();
    assert_eq!(right, cases.map(|(_, expected)| expected));
    // Of held-out answers too, and with the truth as it is: cut where the extractor cut it.
    assert!(found[5].rouge_l.is_some() && found[5].bleu.is_some() && found[5].edit_similarity.is_some());
    let same = |row: &SampleVerdict| (row.rouge_l, row.bleu);
    assert!(same(&found[3]) > same(&found[2]), "{found:?}");
}

/// Text of another kind is no control: a generation that repeats it word for word is compared with nothing.
#[test]
fn other_text_is_compared_with_nothing() {
    const OTHER: &str =
        "The committee postponed its vote on the new tramway until the budget of the town is known to all.";
    let (train, unseen) = documents();
    let other = HeldOutDocument {
        role: Some(HeldOutRole::Other),
        ..held_out("other", OTHER, DocumentKind::Document)
    };
    let samples = [
        asked(0, "sum", Split::Train, OTHER),
        asked(1, "unseen", Split::Heldout, ANSWER),
    ];
    let without = Run::new(&train, &unseen, &samples).outputs(&[], 2);
    let with = Run::new(
        &train,
        &[&unseen[..], std::slice::from_ref(&other)].concat(),
        &samples,
    )
    .outputs(&[], 2);
    assert_eq!(with, without);
    // Alone it is no control either.
    let alone = Run::new(&train, &[other], &samples).outputs(&[], 2);
    assert_eq!(alone.verdicts[0].control_verdict, None);
    assert_eq!(alone.verdicts[0].heldout_similarity, None);
}
