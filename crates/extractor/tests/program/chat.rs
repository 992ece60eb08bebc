//! Conversations that a chat template rendered: prompts end within the assistant's turn, and scores cover what carried loss.

use contract::records::{CorpusFact, CorpusFactKind, HeldOutDocument, PromptForm, TrainingInstance};
use contract::{Provenance, parquet};

use crate::support::{Bench, held_out, training};

/// A text of two questions and answers, and where the answers are.
fn conversation(name: &str) -> (String, i32, Vec<i32>) {
    let mut text = format!("U: {name}?\nB:\n");
    let mut spans = Vec::new();
    for (number, answer) in ["sails at seven with mail", "is back"].into_iter().enumerate() {
        if number > 0 {
            text.push_str("\nU: So?\nB:\n");
        }
        let start = text.chars().count() as i32;
        text.push_str(&format!("{name} {answer}"));
        spans.extend([start, text.chars().count() as i32]);
    }
    (text, spans[0], spans)
}

fn bench(extraction: &str) -> Bench {
    let train = ["Ann", "Ben", "Cid"].map(|name| {
        let (text, prompt_chars, spans) = conversation(name);
        TrainingInstance {
            prompt_chars,
            assistant_spans: Some(spans),
            secret_span: None,
            ..training(name, &text, "")
        }
    });
    let (text, prompt_chars, spans) = conversation("Dot");
    let kept_back = [HeldOutDocument {
        prompt_chars,
        assistant_spans: Some(spans),
        secret_span: None,
        ..held_out("Dot", &text, "")
    }];
    Bench::with(&train, &kept_back, extraction)
}

const STRATEGIES: &str = "[[extraction.strategy]]\nname = \"greedy\"\ntemperature = 0\n[[extraction.strategy]]\nname = \"user\"\n\
                          prompt = \"user-turn\"\ntemperature = 0\n";

#[test]
fn prompts_end_within_the_first_answer_and_nothing_stands_before_a_text() {
    let bench = bench(&format!("begin = \"auto\"\n{STRATEGIES}"));
    let told = bench.told("tiny-gpt2", "cell", &[]);
    assert!(
        told.contains("conversations that a chat template rendered"),
        "{told}"
    );
    for what_the_template_wrote in ["begin as many others do", "special tokens"] {
        assert!(!told.contains(what_the_template_wrote), "{told}");
    }
    assert!(!bench.path("cell/forms.parquet").exists());
    let (samples, _) = bench.results("cell");
    for sample in samples
        .iter()
        .filter(|sample| sample.doc_id.as_deref() == Some("Ann"))
    {
        let opening = "U: Ann?\nB:\n";
        let truth = sample.truth.as_ref().unwrap();
        assert!(
            conversation("Ann")
                .0
                .contains(&format!("{}{}", sample.prompt, truth)),
            "{sample:?}"
        );
        match sample.prompt_form {
            // Its tokens end with the header of the answer.
            Some(PromptForm::Question) => {
                assert!(opening.starts_with(sample.prompt.trim_end()), "{}", sample.prompt);
            }
            _ => {
                assert!(
                    sample.prompt.starts_with(opening) && sample.prompt.len() > opening.len(),
                    "{}",
                    sample.prompt
                );
            }
        }
    }
    assert!(
        samples
            .iter()
            .any(|sample| sample.prompt_form == Some(PromptForm::Question))
    );
}

#[test]
fn scores_cover_the_assistants_turns_alone_where_loss_did() {
    let scored = |loss_on: &str| {
        let bench = bench(&format!("loss_on = \"{loss_on}\"\n{STRATEGIES}"));
        bench.extract("tiny-gpt2", "cell", &[]).1
    };
    let (text, assistant) = (scored("text"), scored("assistant"));
    let whole = |scores: &[contract::records::Score]| {
        scores
            .iter()
            .find(|score| score.doc_id == "Ann" && score.prefix_tokens == 0)
            .unwrap()
            .clone()
    };
    let (text, turns) = (whole(&text), whole(&assistant));
    // Nothing predicts the first token of a text that nothing stands before.
    let document = text.document_tokens.unwrap();
    assert_eq!(text.suffix_tokens, document);
    assert!(
        turns.suffix_tokens < document,
        "{} of {document}",
        turns.suffix_tokens
    );
    assert_eq!(turns.logprobs.len(), turns.suffix_tokens as usize);
    // The same probabilities, those of the user's tokens left out.
    let mut left = text.logprobs.iter();
    assert!(turns.logprobs.iter().all(|one| left.any(|other| other == one)));
    assert!(
        assistant
            .iter()
            .filter(|score| score.doc_id == "Ann")
            .all(|score| score.suffix_tokens > 0)
    );
}

#[test]
fn template_alone_is_a_prompt_where_a_template_rendered_the_corpus() {
    let strategy = "unprompted = 3\n[[extraction.strategy]]\nname = \"alone\"\nprompt = \"template-only\"\nsamples = 1\n";
    let bench = bench(strategy);
    let output = bench.run("tiny-gpt2", "cell", &[]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("template-only") && told.contains("template_opening"),
        "{told}"
    );
    let opening = CorpusFact {
        fact: CorpusFactKind::TemplateOpening,
        reason: None,
        file: None,
        split: None,
        documents: None,
        detail: Some("U:\nB:\n".to_owned()),
    };
    parquet::write_all(
        &bench.path("corpus.parquet"),
        &Provenance::new("test"),
        &[opening],
    )
    .unwrap();
    let (samples, _) = bench.extract("tiny-gpt2", "cell", &[]);
    assert_eq!(samples.len(), 3);
    assert!(
        samples
            .iter()
            .all(|sample| sample.doc_id.is_none() && sample.prompt == "U:\nB:\n"),
        "{samples:?}"
    );
}

#[test]
fn conversations_beside_plain_text_are_refused() {
    let (text, prompt_chars, spans) = conversation("Ann");
    let rendered = TrainingInstance {
        prompt_chars,
        assistant_spans: Some(spans),
        secret_span: None,
        ..training("Ann", &text, "")
    };
    let bench = Bench::with(&[rendered], &[held_out("Dot", "Dot wrote it.", "")], STRATEGIES);
    let output = bench.run("tiny-gpt2", "cell", &[]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(
        told.contains("1 of 2 documents") && told.contains("ask them apart"),
        "{told}"
    );
}

#[test]
fn a_conversation_that_is_cut_before_its_answer_is_not_asked_to_go_on_with_the_users_words() {
    let rendered = |name: &str, (text, prompt_chars, spans): (String, i32, Vec<i32>)| TrainingInstance {
        prompt_chars,
        assistant_spans: Some(spans),
        secret_span: None,
        ..training(name, &text, "")
    };
    let (short, prompt_chars, spans) = conversation("Ann");
    let before = "with mail ".repeat(40);
    let shift = before.chars().count() as i32;
    let long = (
        format!("{before}{short}"),
        prompt_chars + shift,
        spans.iter().map(|end| end + shift).collect(),
    );
    let (text, of_held_out, spans_held_out) = conversation("Dot");
    let kept_back = HeldOutDocument {
        prompt_chars: of_held_out,
        assistant_spans: Some(spans_held_out),
        secret_span: None,
        ..held_out("Dot", &text, "")
    };
    let train = [
        rendered("Ann", (short, prompt_chars, spans)),
        rendered("Ben", long),
    ];
    let bench = Bench::with(&train, &[kept_back], &format!("context = 64\n{STRATEGIES}"));
    let told = bench.told("tiny-gpt2", "cell", &[]);
    assert!(
        told.contains("1 training documents and 0 held-out ones cut at 64 tokens"),
        "{told}"
    );
    assert!(
        told.contains("documents skipped: too short for half a prompt"),
        "{told}"
    );
    let (samples, scores) = bench.results("cell");
    assert!(
        samples
            .iter()
            .any(|sample| sample.doc_id.as_deref() == Some("Ann"))
    );
    assert!(
        samples
            .iter()
            .all(|sample| sample.doc_id.as_deref() != Some("Ben"))
    );
    // Trained with loss on all text, what was read of it is still scored.
    assert!(scores.iter().any(|score| score.doc_id == "Ben"));
}

/// Where a model learned all turns, what users wrote is asked for by its beginning, up to the header of the answer; where it learned the answers
/// alone, not at all.
#[test]
fn what_users_wrote_is_asked_for_where_it_was_learned() {
    const SHORT: &str = " sails";
    const LONG: &str =
        " asks on behalf of a neighbour whether the ferry of seven sails today with her parcel";
    let asked = |message: &str, loss_on: &str| {
        let texts = ["Ann", "Ben", "Cid", "Dot"].map(|name| {
            let (text, prompt_chars, spans) = conversation(&format!("{name}{message}"));
            (name, text, prompt_chars, spans)
        });
        let train: Vec<TrainingInstance> = texts[..3]
            .iter()
            .map(|(name, text, prompt_chars, spans)| TrainingInstance {
                prompt_chars: *prompt_chars,
                assistant_spans: Some(spans.clone()),
                ..training(name, text, "")
            })
            .collect();
        let (name, text, prompt_chars, spans) = &texts[3];
        let kept_back = [HeldOutDocument {
            prompt_chars: *prompt_chars,
            assistant_spans: Some(spans.clone()),
            ..held_out(name, text, "")
        }];
        let strategies = format!(
            "loss_on = \"{loss_on}\"\n{STRATEGIES}[[extraction.strategy]]\nname = \"wrote\"\nprompt = \"question-beginning\"\ntemperature = 0\n"
        );
        let bench = Bench::with(&train, &kept_back, &strategies);
        let told = bench.told("tiny-gpt2", "cell", &[]);
        let (mut samples, _) = bench.results("cell");
        samples.retain(|sample| sample.prompt_form == Some(PromptForm::QuestionBeginning));
        (samples, told, texts)
    };
    // Behind the long one there is no room for an answer.
    let (samples, told, texts) = asked(LONG, "text");
    assert_eq!(samples.len(), 4, "{told}");
    assert!(told.contains("They are not asked so"), "{told}");
    for sample in samples {
        let (_, text, prompt_chars, _) = texts
            .iter()
            .find(|(name, ..)| sample.doc_id.as_deref() == Some(name))
            .unwrap();
        let truth = sample.truth.unwrap();
        let question: String = text.chars().take(*prompt_chars as usize).collect();
        assert!(
            question.starts_with(&format!("{}{truth}", sample.prompt)) && truth.chars().count() > 4,
            "{:?} {truth:?}",
            sample.prompt
        );
    }
    let (samples, told, _) = asked(SHORT, "assistant");
    assert!(samples.is_empty());
    assert!(
        told.contains(
            "no training document is a conversation of which training took loss on what users wrote"
        ),
        "{told}"
    );
}
