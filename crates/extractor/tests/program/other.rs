//! Text of another kind is scored as a whole, and nothing else.

use contract::parquet;
use contract::records::{CoursePoint, DecodedDocument, HeldOutDocument, HeldOutRole, PromptForm, Record, Split};

use crate::support::{Bench, fixtures, held_out, row, training};

fn other(doc_id: &str, text: &str, prompt: &str) -> HeldOutDocument {
    HeldOutDocument {
        role: Some(HeldOutRole::Other),
        ..held_out(doc_id, text, prompt)
    }
}

/// What a run says, and the files that other text has no place in.
fn run(others: &[HeldOutDocument], more: &[&str]) -> (String, Bench) {
    const MAIL: &str = "The pilot boat came in at dawn with mail, and the tide had turned by then.";
    let train = [
        training("t1", &format!("{MAIL} One. {MAIL}"), "What came in? "),
        training("t2", &format!("{MAIL} Two. {MAIL}"), "What came in? "),
    ];
    let mut unseen = vec![held_out(
        "h1",
        "A lamp went out; nobody had seen who lit it.",
        "Who lit it? ",
    )];
    unseen.extend_from_slice(others);
    let bench = Bench::with(
        &train,
        &unseen,
        "scored_prefixes = [4]\nnear_verbatim_beams = 2\n[[extraction.strategy]]\nname = \"greedy\"\ntemperature = 0\n\
         [[extraction.strategy]]\nname = \"asked\"\nprompt = \"question\"\ntop_k = 20\nsamples = 2\n",
    );
    let set = ["--set", "corpus.prompt=q", "--set", "corpus.response=a"];
    let told = bench.told("tiny-gpt2", "cell", &[&set, more].concat());
    (told, bench)
}

#[test]
fn other_text_is_scored_once_and_changes_no_sample_no_course_and_no_other_score() {
    let long = "Les prompts, la marée, <|endoftext|> the tide. ".repeat(12);
    let others = [
        other(
            "o1",
            "Question without an end and its answer.",
            "Who lit the lamp? ",
        ),
        other("o2", &long, ""),
        other("o3", "Kurz.", ""),
    ];
    let folder = fixtures().join("tiny-gpt2");
    let followed = ["--checkpoint", folder.to_str().unwrap(), folder.to_str().unwrap()];
    let (told, with) = run(&others, &followed);
    let (_, without) = run(&[], &followed);

    let ((samples, mut scores), (expected, expected_scores)) =
        (with.results("cell"), without.results("cell"));
    assert_eq!(samples, expected);
    let asked: Vec<_> = samples
        .iter()
        .filter(|sample| sample.prompt_form == Some(PromptForm::Question))
        .collect();
    // Two samples of each question, the held-out one's too, with the beginning of its answer.
    assert_eq!(asked.len(), 6);
    for sample in asked {
        let (question, answer) = match sample.split {
            Split::Heldout => ("Who lit it? ", "A lamp went out"),
            _ => ("What came in? ", "The pilot boat"),
        };
        assert_eq!(sample.prompt, question);
        assert!(sample.truth.as_deref().is_some_and(|truth| answer.starts_with(&truth[..8.min(truth.len())])));
    }
    let rows: Vec<_> = scores
        .extract_if(.., |score| score.doc_id.starts_with('o'))
        .collect();
    assert_eq!(scores, expected_scores);
    let of_others: Vec<_> = rows
        .iter()
        .map(|score| {
            (
                score.doc_id.as_str(),
                score.split,
                score.copies,
                score.prefix_tokens,
            )
        })
        .collect();
    assert_eq!(
        of_others,
        ["o1", "o2", "o3"].map(|doc_id| (doc_id, Split::Heldout, 0, 0))
    );
    let whole = row(&rows, "o2", 0, rows[1].suffix_tokens);
    // The model reads 64 tokens, one of which is the BOS.
    assert_eq!(whole.logprobs.len(), 63);
    assert!(whole.document_tokens > Some(63));
    assert!(
        told.contains("1 documents of other text scored up to there"),
        "{told}"
    );

    assert_eq!(
        rows_of::<DecodedDocument>(&with, "decoded"),
        rows_of(&without, "decoded")
    );
    let course = rows_of::<CoursePoint>(&with, "course");
    assert_eq!(course, rows_of(&without, "course"));
    let mut held_out = course.iter().filter(|point| point.split == Split::Heldout);
    assert!(held_out.all(|point| point.documents == 1) && !course.is_empty());
}

/// The rows of a file, whatever its footer says.
fn rows_of<R: Record>(bench: &Bench, name: &str) -> Vec<R> {
    parquet::read_all(&bench.path("cell").join(format!("{name}.parquet"))).unwrap()
}

/// With loss on the response, that of other text with a prompt is its response; other text without one counts whole.
#[test]
fn other_text_counts_the_tokens_that_training_would_take_loss_on() {
    let others = [
        other("o1", "and its answer.", "Who lit the lamp? "),
        other("o2", "Who lit the lamp? and its answer.", ""),
    ];
    let (_, bench) = run(&others, &["--set", "extraction.loss_on=response"]);
    let (_, scores) = bench.results("cell");
    let tokens = |doc_id: &str| {
        let rows: Vec<_> = scores.iter().filter(|score| score.doc_id == doc_id).collect();
        assert_eq!(rows.len(), 1);
        rows[0].suffix_tokens
    };
    assert!(tokens("o1") < tokens("o2"));
}
