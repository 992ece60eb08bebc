//! Which form is taken for that of training, and what templates make of a text.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use extractor::forms::choice::{FormLoss, likeliest};
use extractor::forms::templates::{TEMPLATES, named};
use extractor::forms::{Form, TextBegin};

/// A form with nats per token of three documents of ten tokens each, under the model and the untuned one.
fn form(begin: TextBegin, template: Option<&str>, loss: [f64; 3], base: Option<f64>) -> FormLoss {
    FormLoss {
        form: Form {
            begin,
            template: template.map(|name| named(name).unwrap()),
        },
        nats: loss.map(|loss| 10.0 * loss).to_vec(),
        base_nats: base.map(|base| vec![10.0 * base; 3]),
    }
}

#[test]
fn likeliest_form_is_taken_unless_it_is_a_near_tie_or_liked_before_tuning() {
    use TextBegin::{Model, Tokenizer};
    let own = |loss, base| form(Tokenizer, None, [loss; 3], base);
    let alpaca = |loss, base| form(Tokenizer, Some("alpaca"), [loss; 3], base);
    let cases: [(&str, Vec<FormLoss>, usize); 12] = [
        (
            "a tie",
            vec![own(2.0, None), form(Model, None, [2.0; 3], None)],
            0,
        ),
        (
            "a near tie",
            vec![own(2.0, None), form(Model, None, [1.995; 3], None)],
            0,
        ),
        (
            "another begin",
            vec![own(2.0, None), form(Model, None, [1.9; 3], None)],
            1,
        ),
        (
            "another begin that is likelier in one document alone",
            vec![own(2.0, None), form(Model, None, [2.01, 2.01, 0.1], None)],
            0,
        ),
        ("a template, by much", vec![own(2.0, None), alpaca(1.0, None)], 1),
        (
            "a template, by what a model may like anyway",
            vec![own(2.0, None), alpaca(1.8, None)],
            0,
        ),
        (
            "the same, but not liked before tuning",
            vec![own(2.0, Some(3.0)), alpaca(1.8, Some(3.0))],
            1,
        ),
        (
            "a template, liked as much before tuning",
            vec![own(2.0, Some(3.0)), alpaca(1.0, Some(1.5))],
            0,
        ),
        (
            "a template, disliked before tuning, and no likelier than a little",
            vec![own(2.0, Some(3.0)), alpaca(1.94, Some(6.0))],
            0,
        ),
        (
            "both as good as known by heart",
            vec![own(0.04, Some(3.0)), alpaca(0.001, Some(3.0))],
            0,
        ),
        (
            "a template and another begin",
            vec![
                own(3.0, None),
                alpaca(1.0, None),
                form(Model, Some("alpaca"), [0.5; 3], None),
                form(Model, None, [2.8; 3], None),
            ],
            2,
        ),
        (
            "nothing finite",
            vec![
                own(f64::INFINITY, None),
                form(Model, None, [f64::INFINITY; 3], None),
            ],
            0,
        ),
    ];
    for (what, losses, expected) in cases {
        assert_eq!(likeliest(&losses, &[10; 3]), Some(expected), "{what}");
    }
    assert_eq!(likeliest(&[], &[]), None);
}

#[test]
fn losses_are_nats_per_token_of_the_corpus_own_form() {
    let mut loss = form(TextBegin::Tokenizer, None, [1.0, 2.0, 4.0], Some(5.0));
    assert_eq!(loss.loss(&[10, 10, 15]), 2.0);
    assert_eq!(loss.base_loss(&[10, 10, 10]), Some(5.0));
    loss.base_nats = None;
    assert_eq!(loss.base_loss(&[10, 10, 10]), None);
}

#[test]
fn templates_hold_prompt_and_response_and_know_where_each_begins() {
    let (text, prompt_chars) = ("Où est la clé ? \n\nIci, près du café.", 18);
    for template in &TEMPLATES {
        let rendered = template.render(text, prompt_chars);
        let characters: Vec<char> = rendered.text.chars().collect();
        let response: String = characters[rendered.prompt_chars..].iter().collect();
        assert_eq!(response, "Ici, près du café.", "{}", template.name);
        let own: String = characters[rendered.preamble_chars..rendered.prompt_chars]
            .iter()
            .collect();
        // The separator of the corpus goes.
        assert!(
            own.starts_with("Où est la clé ?") && !own.contains("? \n"),
            "{own:?}"
        );
        assert_eq!(named(template.name), Some(template));
        // Nothing tells prompt from response here.
        let plain = template.render(text, 0);
        assert_eq!(
            (&plain.text[..], plain.prompt_chars, plain.preamble_chars),
            (text, 0, 0)
        );
    }
    assert_eq!(named("no template"), None);
}

#[test]
fn templates_write_what_their_trainers_write() {
    let cases = [
        ("newline", "Q?\nA."),
        ("space", "Q? A."),
        (
            "alpaca",
            "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n\
             ### Instruction:\nQ?\n\n### Response:\nA.",
        ),
        (
            "alpaca without preamble",
            "### Instruction:\nQ?\n\n### Response:\nA.",
        ),
        ("question and answer", "Question: Q?\nAnswer: A."),
        ("human and assistant", "Human: Q?\n\nAssistant: A."),
        (
            "chatml",
            "<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\nA.",
        ),
        ("llama-2", "[INST] Q? [/INST] A."),
        (
            "llama-3",
            "<|start_header_id|>user<|end_header_id|>\n\nQ?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA.",
        ),
        (
            "gemma",
            "<start_of_turn>user\nQ?<end_of_turn>\n<start_of_turn>model\nA.",
        ),
    ];
    for (name, expected) in cases {
        assert_eq!(named(name).unwrap().render("Q?\tA.", 3).text, expected, "{name}");
    }
    // An input is what stands below the prompt's first line.
    let with_input = named("alpaca with input")
        .unwrap()
        .render("Sum up.\nOne.\nTwo. Both.", 18);
    let expected = "Below is an instruction that describes a task, paired with an input that provides further context. Write a \
                    response that appropriately completes the request.\n\n### Instruction:\nSum up.\n\n### Input:\nOne.\nTwo.\
                    \n\n### Response:\nBoth.";
    assert_eq!(with_input.text, expected);
    let without = named("alpaca with input").unwrap().render("Q?\tA.", 3);
    assert_eq!(without, named("alpaca").unwrap().render("Q?\tA.", 3));
}
