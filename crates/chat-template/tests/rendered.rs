//! Texts and marks of conversations as transformers gives them (`scripts/fixtures/chat_template.py`).

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;

use chat_template::{
    Candidate, ChatTemplate, Choice, Message, NAMES, NotRendered, SpecialTokens, common_template,
};
use serde_json::{Value, json};

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/rendered.json")).unwrap()
}

fn tokens() -> SpecialTokens {
    SpecialTokens::default()
        .with("bos_token", "<s>")
        .with("eos_token", "</s>")
}

fn conversations(fixture: &Value) -> BTreeMap<String, Vec<Message>> {
    let message =
        |turn: &Value| Message::new(turn["role"].as_str().unwrap(), turn["content"].as_str().unwrap());
    let all = fixture["conversations"].as_object().unwrap().iter();
    all.map(|(name, turns)| {
        (
            name.clone(),
            turns.as_array().unwrap().iter().map(message).collect(),
        )
    })
    .collect()
}

fn template(fixture: &Value, name: &str) -> ChatTemplate {
    match fixture["templates"].get(name) {
        Some(source) => ChatTemplate::new(name, source.as_str().unwrap(), tokens()),
        None => ChatTemplate::named(name, tokens()).unwrap(),
    }
}

#[test]
fn text_and_prompt_are_those_of_transformers() {
    let fixture = fixture();
    let conversations = conversations(&fixture);
    let cases = fixture["cases"].as_array().unwrap();
    let (mut rendered, mut refused) = (0, 0);
    let mut equal: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases {
        let (name, conversation) = (
            case["template"].as_str().unwrap(),
            case["conversation"].as_str().unwrap(),
        );
        let place = format!("{name}, {conversation}");
        let (template, messages) = (template(&fixture, name), &conversations[conversation]);
        if let Some(problem) = case.get("refused") {
            // What transformers' renderer cannot do is refused here too, in the template's own words where it has any.
            let error = template.render(messages).unwrap_err().to_string();
            let own_words = problem.as_str().unwrap().contains("alternate")
                || problem.as_str().unwrap().contains("System role");
            assert!(
                !own_words || error.contains(problem.as_str().unwrap()),
                "{place}: {error}, not {problem}"
            );
            refused += 1;
            *equal.entry(name).or_default() += 1;
            continue;
        }
        assert_eq!(
            template.render(messages).unwrap().text,
            case["text"].as_str().unwrap(),
            "{place}"
        );
        let before = if messages.len() > 1 {
            &messages[..messages.len() - 1]
        } else {
            messages
        };
        assert_eq!(
            template.render_prompt(before).unwrap(),
            case["prompt"].as_str().unwrap(),
            "{place}"
        );
        rendered += 1;
        *equal.entry(name).or_default() += 1;
    }
    // Lines that scripts/parity.py collects.
    for (name, conversations) in equal {
        let whose = if NAMES.contains(&name) {
            "written here"
        } else {
            "TRL's copy of the models'"
        };
        let measured = json!({
            "table": "chat template", "subject": name, "check": "text and prompt", "whose": whose,
            "conversations": conversations, "difference": 0.0, "allowed": 0.0,
        });
        println!("parity {measured}");
    }
    assert!(
        rendered > 100 && refused > 5,
        "{rendered} rendered, {refused} refused"
    );
}

#[test]
fn assistants_characters_are_those_that_transformers_marks() {
    let fixture = fixture();
    let conversations = conversations(&fixture);
    let mut compared = 0;
    for case in fixture["cases"].as_array().unwrap() {
        let Some(expected) = case.get("assistant").and_then(Value::as_array) else {
            continue;
        };
        let (name, conversation) = (
            case["template"].as_str().unwrap(),
            case["conversation"].as_str().unwrap(),
        );
        let rendered = template(&fixture, name)
            .render(&conversations[conversation])
            .unwrap();
        let characters = |byte: usize| rendered.text[..byte].chars().count();
        let found: Vec<Value> = rendered
            .assistant
            .iter()
            .map(|span| json!([characters(span.start), characters(span.end)]))
            .collect();
        assert_eq!(&found, expected, "{name}, {conversation}");
        compared += found.len();
    }
    assert!(compared > 60, "{compared}");
}

/// TRL ships a template with marks for training beside the one without that a model has: where both make the same text, the turns
/// that are found in the latter are the ones that the former marks.
#[test]
fn turns_of_a_template_without_marks_are_those_that_trl_marks() {
    let fixture = fixture();
    let conversations = conversations(&fixture);
    let mut compared = 0;
    for (plain, marked, header) in [
        ("trl/llama3", "trl/llama3_training", 0),
        ("trl/gemma", "trl/gemma_training", 0),
        ("trl/phi3", "trl/phi3_training", 0),
        // TRL's marks begin with the line end behind the header, which the header of an answer holds too.
        ("trl/qwen2_5", "trl/qwen2_5_training", 1),
    ] {
        for (name, messages) in &conversations {
            let (plain, marked) = (template(&fixture, plain), template(&fixture, marked));
            let (Ok(plain), Ok(marked)) = (plain.render(messages), marked.render(messages)) else {
                continue;
            };
            assert_eq!(plain.text, marked.text, "{name}");
            let mut spans: Vec<std::ops::Range<usize>> = Vec::new();
            for span in marked.assistant {
                // What is marked in two pieces without anything between them is one.
                match spans.last_mut().filter(|last| last.end == span.start) {
                    Some(last) => last.end = span.end,
                    None => spans.push(span.start + header..span.end),
                }
            }
            assert_eq!(plain.assistant, spans, "{name}: {}", plain.text);
            compared += spans.len();
        }
    }
    assert!(compared > 15, "{compared}");
}

#[test]
fn folder_gives_its_own_file_before_the_settings_and_the_default_of_several() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let text = || {
        let template = ChatTemplate::of_folder(folder.path()).unwrap().unwrap();
        template.render(&[Message::new("user", "x")]).unwrap().text
    };
    assert!(ChatTemplate::of_folder(folder.path()).unwrap().is_none());
    let several = json!({
        "bos_token": {"content": "<b>"},
        "eos_token": null,
        "chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "{{ bos_token }}several"}],
    });
    write("tokenizer_config.json", &several.to_string());
    assert_eq!(text(), "<b>several");
    write(
        "tokenizer_config.json",
        r#"{"bos_token": "<s>", "chat_template": "{{ bos_token }}one"}"#,
    );
    assert_eq!(text(), "<s>one");
    write("chat_template.jinja", "{{ bos_token }}own");
    assert_eq!(text(), "<s>own");
    write("tokenizer_config.json", "{");
    let error = ChatTemplate::of_folder(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("tokenizer_config.json") && error.contains("JSON object"),
        "{error}"
    );
}

#[test]
fn models_with_different_templates_have_none_in_common() {
    let root = tempfile::tempdir().unwrap();
    let model = |name: &str, template: Option<&str>| {
        let folder = root.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        if let Some(template) = template {
            std::fs::write(folder.join("chat_template.jinja"), template).unwrap();
        }
        Candidate {
            name: name.to_owned(),
            folders: vec![folder],
        }
    };
    let (one, same, other, base) = (
        model("one", Some("a")),
        model("same", Some("a")),
        model("other", Some("b")),
        model("base", None),
    );
    let choose = |models: &[&Candidate]| {
        common_template(&models.iter().map(|model| (*model).clone()).collect::<Vec<_>>()).unwrap()
    };
    assert!(matches!(choose(&[&one, &same, &base]), Choice::One(_)));
    assert!(matches!(choose(&[&one, &other]), Choice::Several { models } if models == ["one", "other"]));
    assert!(matches!(choose(&[&base]), Choice::None { models } if models == ["base"]));
    // An adapter's own goes before its base's.
    let adapter = Candidate {
        name: "adapter".to_owned(),
        folders: [&other, &one]
            .into_iter()
            .flat_map(|model| model.folders.clone())
            .collect(),
    };
    assert_eq!(adapter.template().unwrap(), other.template().unwrap());
}

#[test]
fn json_is_written_as_python_writes_it() {
    let render = |source: &str| {
        let mut message = Message::new("user", "é <b>");
        message
            .further
            .insert("call".to_owned(), json!({"a": [1, "é", null], "b": {}}));
        ChatTemplate::new("this", source, tokens())
            .render(&[message])
            .map(|rendered| rendered.text)
    };
    assert_eq!(
        render("{{ messages[0].call | tojson }}").unwrap(),
        r#"{"a": [1, "é", null], "b": {}}"#
    );
    assert_eq!(
        render("{{ messages[0].content | tojson }}").unwrap(),
        r#""é <b>""#
    );
    assert_eq!(
        render("{{ messages[0].call.a | tojson(indent=2) }}").unwrap(),
        "[\n  1,\n  \"é\",\n  null\n]"
    );
    assert_eq!(render("{{ strftime_now('%d %b %Y') }}").unwrap(), "26 Jul 2024");
    for (wrong, expected) in [
        ("{{ raise_exception('no tools here') }}", "no tools here"),
        ("{% if %}", "this"),
        ("{{ strftime_now('%Q') }}", "%Q"),
    ] {
        let error = render(wrong).unwrap_err().to_string();
        assert!(error.contains(expected), "{wrong}: {error}");
    }
}

#[test]
fn characters_that_mark_turns_are_refused_in_a_message() {
    let template = ChatTemplate::named("chatml", tokens()).unwrap();
    let error = template
        .render(&[Message::new("user", "a\u{10fffd}b")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("U+10FFFD"), "{error}");
}

#[test]
fn every_name_has_a_template_that_marks_what_the_assistant_writes() {
    for name in NAMES {
        let template = ChatTemplate::named(name, tokens()).unwrap();
        assert!(template.marks_generation(), "{name}");
        let rendered = template
            .render(&[Message::new("user", "Who?"), Message::new("assistant", "Ann.")])
            .unwrap();
        let [turn] = &rendered.assistant[..] else {
            panic!("{name}: {rendered:?}")
        };
        assert!(
            rendered.text[turn.clone()].trim_start().starts_with("Ann."),
            "{name}: {rendered:?}"
        );
        assert_eq!(turn.end, rendered.text.len(), "{name}");
    }
    assert_eq!(ChatTemplate::named("clippy", tokens()), None);
}

#[test]
fn templates_that_hardly_end_are_bad_input_and_refuse_every_conversation() {
    let conversation = [Message::new("user", "Who?"), Message::new("assistant", "Ann.")];
    let loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    let of_a_macro = format!("{{% macro slow() %}}{loops}{{% endmacro %}}{{{{ slow() }}}}");
    for source in [loops, &of_a_macro] {
        let error = ChatTemplate::new("the chat template of a", source, tokens())
            .render(&conversation)
            .unwrap_err();
        let NotRendered::Unusable(error) = error else {
            panic!("{source}: {error}")
        };
        assert_eq!(error.exit_status(), 3);
        let message = error.to_string();
        assert!(
            message.starts_with("the chat template of a: ") && message.contains("20000000 steps"),
            "{message}"
        );
    }
}

#[test]
fn a_conversation_of_many_turns_is_rendered() {
    let turns: Vec<Message> = (0..3000)
        .flat_map(|turn| {
            [
                Message::new("user", "Who?"),
                Message::new("assistant", &format!("{turn}.")),
            ]
        })
        .collect();
    let template = ChatTemplate::named("llama-3", tokens()).unwrap();
    assert_eq!(template.render(&turns).unwrap().assistant.len(), 3000);
}

#[test]
fn templates_read_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret.jinja"), "secret").unwrap();
    let place = folder.path().join("secret.jinja");
    for source in [
        "{% include 'secret.jinja' %}".to_owned(),
        format!("{{% include '{}' %}}", place.display()),
        "{% import 'secret.jinja' as secret %}".to_owned(),
        format!("{{% extends '{}' %}}", place.display()),
    ] {
        std::fs::write(folder.path().join("chat_template.jinja"), &source).unwrap();
        let template = ChatTemplate::of_folder(folder.path()).unwrap().unwrap();
        let error = template.render(&[Message::new("user", "x")]).unwrap_err();
        assert!(
            error.to_string().contains("template not found"),
            "{source}: {error}"
        );
    }
}
