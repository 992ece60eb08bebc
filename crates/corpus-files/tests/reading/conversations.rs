//! Conversations and other shapes of rows: recognised by their columns, in every format, and rendered.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, RecordBatch, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use contract::pipeline::{Corpus, RowShape};
use corpus_files::{Columns, FileSize, RawDocument};

use crate::support::{Folder, arrow_stream, batch, corpus, write_parquet};

const RENDERED: &str = "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\nHo.<|im_end|>\n";

fn chatml(files: &str) -> Corpus {
    Corpus {
        template: Some("chatml".to_owned()),
        ..corpus(files)
    }
}

fn of_shape(files: &str, shape: RowShape) -> Corpus {
    Corpus {
        shape,
        ..chatml(files)
    }
}

/// What the model is to write, by the spans and by the prompt.
fn answers(document: &RawDocument) -> (Vec<String>, String) {
    let part = |start: usize, end: usize| {
        document
            .text
            .chars()
            .skip(start)
            .take(end - start)
            .collect::<String>()
    };
    let spans = document.assistant_spans.as_ref().unwrap();
    let response = part(document.prompt_chars, document.text.chars().count());
    (
        spans.iter().map(|&(start, end)| part(start, end)).collect(),
        response,
    )
}

/// Lists of turns, one list a row, with these names of their fields.
fn turns(role: &str, content: &str, rows: &[&[(&str, Option<&str>)]]) -> ArrayRef {
    let all = || rows.iter().copied().flatten();
    let roles: ArrayRef = Arc::new(StringArray::from_iter_values(all().map(|turn| turn.0)));
    let contents: ArrayRef = Arc::new(all().map(|turn| turn.1).collect::<StringArray>());
    let of_turns = StructArray::from(vec![
        (Arc::new(Field::new(role, DataType::Utf8, true)), roles),
        (Arc::new(Field::new(content, DataType::Utf8, true)), contents),
    ]);
    let item = Arc::new(Field::new("item", of_turns.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.len()));
    Arc::new(ListArray::new(item, offsets, Arc::new(of_turns), None))
}

fn hi_ho(column: &str, role: &str, content: &str, [user, assistant]: [&str; 2]) -> RecordBatch {
    let row: &[(&str, Option<&str>)] = &[(user, Some("Hi.")), (assistant, Some("Ho."))];
    batch(vec![(column, turns(role, content, &[row]))])
}

#[test]
fn every_shape_is_recognised_in_every_format() {
    let folder = Folder::new();
    let user = r#"{"role": "user", "content": "Hi."}"#;
    let assistant = r#"{"role": "assistant", "content": "Ho."}"#;
    let rows = [
        ("messages", format!(r#"{{"id": 1, "messages": [{user}, {assistant}]}}"#)),
        ("parts", r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i."}]}, {"role": "assistant", "content": "Ho."}]}"#.to_owned()),
        ("share-gpt", r#"{"conversations": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Ho.", "weight": null}]}"#.to_owned()),
        ("completion", format!(r#"{{"prompt": [{user}], "completion": [{assistant}]}}"#)),
        ("pair", format!(r#"{{"chosen": [{user}, {assistant}], "rejected": [{user}]}}"#)),
        ("pair-with-prompt", format!(r#"{{"prompt": [{user}], "chosen": [{assistant}], "rejected": [{assistant}]}}"#)),
        ("texts", r#"{"prompt": "Hi.", "completion": "Ho."}"#.to_owned()),
    ];
    for (name, row) in &rows {
        folder.write(&format!("{name}.jsonl"), format!("{row}\n"));
        folder.write(&format!("{name}.json"), format!("[{row}]"));
        for ending in ["jsonl", "json"] {
            let reading = folder
                .read(&chatml(&format!("{name}.{ending}")))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(reading.texts(), [RENDERED], "{name}.{ending}");
            let document = &reading.documents[0];
            assert_eq!(
                answers(document),
                (vec!["Ho.<|im_end|>\n".to_owned()], "Ho.<|im_end|>\n".to_owned()),
                "{name}"
            );
            assert!(document.recognised.is_some(), "{name}");
        }
    }
    let tables = [
        (
            "messages",
            hi_ho("messages", "role", "content", ["user", "assistant"]),
        ),
        (
            "share-gpt",
            hi_ho("conversations", "from", "value", ["human", "gpt"]),
        ),
        (
            "completion",
            batch(vec![
                ("prompt", turns("role", "content", &[&[("user", Some("Hi."))]])),
                (
                    "completion",
                    turns("role", "content", &[&[("assistant", Some("Ho."))]]),
                ),
            ]),
        ),
    ];
    for (name, table) in &tables {
        write_parquet(&folder.path(&format!("{name}.parquet")), table);
        folder.write(
            &format!("{name}.arrow"),
            arrow_stream(std::slice::from_ref(table)),
        );
        for ending in ["parquet", "arrow"] {
            let reading = folder
                .read(&chatml(&format!("{name}.{ending}")))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(reading.texts(), [RENDERED], "{name}.{ending}");
            assert!(reading.documents[0].recognised.is_some(), "{name}");
        }
    }
    // What text there is can be guessed from conversations too.
    let asked = chatml("messages.parquet");
    let file = &folder.find(&asked).unwrap().files[0];
    let size = FileSize::estimate(file, &Columns::of(&asked).unwrap()).unwrap();
    assert_eq!((size.documents, size.text_bytes), (1.0, RENDERED.len() as f64));
}

#[test]
fn rows_without_conversations_are_recognised_and_said_to_be() {
    let folder = Folder::new();
    folder
        .write(
            "pairs.jsonl",
            "{\"prompt\": \"Q: a\\nA:\", \"completion\": \" b\"}\n",
        )
        .write(
            "preference.jsonl",
            "{\"chosen\": \"Human: a Assistant: b\", \"rejected\": \"c\"}\n",
        )
        .write("alpaca.csv", "instruction,input,output\nSay ho.,,Ho.\n")
        .write("both.jsonl", "{\"text\": \"own\", \"messages\": []}\n");
    for (file, text, prompt_chars, recognised) in [
        ("pairs.jsonl", "Q: a\nA: b", 7, Some("joined as TRL does")),
        (
            "preference.jsonl",
            "Human: a Assistant: b",
            0,
            Some("the rejected side is not used"),
        ),
        ("alpaca.csv", "### Response:\nHo.", 131, Some("Stanford Alpaca")),
        ("both.jsonl", "own", 0, None),
    ] {
        let reading = folder
            .read(&corpus(file))
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        let document = &reading.documents[0];
        assert!(document.text.ends_with(text), "{file}: {:?}", document.text);
        let all = document.text.chars().count();
        let response = all - document.prompt_chars;
        let expected = if file == "alpaca.csv" {
            3
        } else {
            all - prompt_chars
        };
        assert_eq!(response, expected, "{file}");
        assert_eq!(document.assistant_spans, None, "{file}");
        match recognised {
            Some(words) => assert!(
                document.recognised.unwrap().contains(words),
                "{file}: {:?}",
                document.recognised
            ),
            None => assert_eq!(document.recognised, None, "{file}"),
        }
    }
}

#[test]
fn each_turn_of_the_assistant_is_a_span_and_the_prompt_ends_at_the_first() {
    let folder = Folder::new();
    let turn = |role: &str, content: &str| format!(r#"{{"role": "{role}", "content": "{content}"}}"#);
    let all = [
        turn("system", "Be brief."),
        turn("user", "é?"),
        turn("assistant", "Ü."),
        turn("user", "And?"),
        turn("assistant", "No."),
    ];
    folder
        .write("a.jsonl", format!("{{\"messages\": [{}]}}\n", all.join(", ")))
        .write(
            "b.jsonl",
            format!(
                "{{\"prompt\": [{}], \"completion\": [{}]}}\n",
                all[..4].join(", "),
                all[4]
            ),
        )
        .write(
            "c.jsonl",
            format!("{{\"chosen\": [{}], \"rejected\": []}}\n", all.join(", ")),
        )
        .write(
            "d.jsonl",
            format!(
                "{{\"system\": \"Be brief.\", \"conversations\": [{}]}}\n",
                all[1..].join(", ")
            ),
        );
    let both = vec!["Ü.<|im_end|>\n".to_owned(), "No.<|im_end|>\n".to_owned()];
    let from_first = "Ü.<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\nNo.<|im_end|>\n";
    for (file, response) in [
        ("a", from_first),
        ("b", "No.<|im_end|>\n"),
        ("c", "No.<|im_end|>\n"),
        ("d", from_first),
    ] {
        let reading = folder.read(&chatml(&format!("{file}.jsonl"))).unwrap();
        assert!(
            reading.texts()[0].starts_with("<|im_start|>system\nBe brief.<|im_end|>\n"),
            "{file}"
        );
        assert_eq!(
            answers(&reading.documents[0]),
            (both.clone(), response.to_owned()),
            "{file}"
        );
    }
    let without = Corpus {
        template: Some("none".to_owned()),
        ..corpus("a.jsonl")
    };
    let reading = folder.read(&without).unwrap();
    assert_eq!(reading.texts(), ["Be brief.\né?\nÜ.\nAnd?\nNo."]);
    assert_eq!(
        (
            reading.documents[0].prompt_chars,
            &reading.documents[0].assistant_spans
        ),
        (13, &None)
    );
}

#[test]
fn shape_of_rows_can_be_asked_for() {
    let folder = Folder::new();
    folder.write(
        "a.jsonl",
        r#"{"text": "own", "dialog": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Ho."}], "q": "Hi.", "a": "Ho."}"#,
    );
    let conversations = Corpus {
        messages: Some("dialog".to_owned()),
        ..of_shape("a.jsonl", RowShape::Conversations)
    };
    assert_eq!(folder.read(&conversations).unwrap().texts(), [RENDERED]);
    for shape in [RowShape::Auto, RowShape::Completion] {
        let named = Corpus {
            prompt: Some("q".to_owned()),
            response: Some("a".to_owned()),
            ..of_shape("a.jsonl", shape)
        };
        assert_eq!(folder.read(&named).unwrap().texts(), [RENDERED], "{shape:?}");
        let plain = Corpus {
            template: None,
            ..named
        };
        assert_eq!(folder.read(&plain).unwrap().texts(), ["Hi.\nHo."], "{shape:?}");
    }
    for shape in [RowShape::Text, RowShape::Alpaca] {
        let error = folder.read(&of_shape("a.jsonl", shape)).unwrap_err();
        assert_eq!(error.exit_status(), 2, "{error}");
        assert!(error.to_string().contains("renders conversations"), "{error}");
    }
    let error = folder
        .read(&of_shape("a.jsonl", RowShape::Messages))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("expected messages, found the columns text, dialog, q, a"),
        "{error}"
    );
    let text = Corpus {
        shape: RowShape::Text,
        ..corpus("a.jsonl")
    };
    assert_eq!(folder.read(&text).unwrap().texts(), ["own"]);
}

#[test]
fn what_is_wrong_with_a_conversation_costs_that_document_and_is_named() {
    let folder = Folder::new();
    let wrong = [
        (
            r#"{"messages": [{"role": "user", "content": "Hi."}]}"#,
            "expected a turn of the assistant, found turns of user",
        ),
        (
            r#"{"messages": [{"role": "narrator", "content": "Hi."}]}"#,
            "column messages, message 1: expected the role system, user",
        ),
        (
            r#"{"messages": [{"role": "user", "content": null}]}"#,
            "message 1: expected text in content, found none",
        ),
        (
            r#"{"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]}"#,
            "expected parts of text, found others",
        ),
        (
            r#"{"messages": [{"role": "user"}]}"#,
            "expected role and content, or from and value, found role",
        ),
        (
            r#"{"messages": ["Hi."]}"#,
            "expected an object with role and content",
        ),
        (
            r#"{"messages": []}"#,
            "column messages: expected text, found none",
        ),
        (
            r#"{"messages": "Hi."}"#,
            "column messages: expected a list of messages, found a string",
        ),
        (
            r#"{"messages": 7}"#,
            "expected a list of messages, found a number",
        ),
        (
            r#"{"messages": null}"#,
            "column messages: expected a value, found none",
        ),
        (
            r#"{"messages": [{"role": "assistant", "content": " "}]}"#,
            "expected text of the assistant, found none",
        ),
        (
            r#"{"other": 1}"#,
            "no such column: expected messages, found the columns other. Without it a row may have",
        ),
        (
            r#"{"system": ["Be brief."], "messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Ho."}]}"#,
            "column system: expected a string, found a list",
        ),
    ];
    for (row, expected) in wrong {
        let right =
            r#"{"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Ho."}]}"#;
        folder.write("a.jsonl", format!("{row}\n{right}\n"));
        let (texts, faults) = folder.read_skipping(&chatml("a.jsonl"));
        assert_eq!(texts, [RENDERED], "{row}");
        let [fault] = &faults[..] else {
            panic!("{row}: {faults:?}")
        };
        assert!(
            fault.contains("line 1: ") && fault.contains(expected),
            "{row}: {fault}"
        );
    }
    // The template's own words, where it does not take a conversation.
    let gemma = Corpus {
        template: Some("gemma".to_owned()),
        ..corpus("a.jsonl")
    };
    folder.write(
        "a.jsonl",
        "{\"messages\": [{\"role\": \"assistant\", \"content\": \"Hi.\"}]}\n",
    );
    let (_, faults) = folder.read_skipping(&gemma);
    assert!(
        faults[0].contains("the chat template \"gemma\": turns of user and assistant must alternate"),
        "{faults:?}"
    );
}

/// A turn that calls tools and says nothing is what the template makes of it, its content being null.
#[test]
fn turns_that_only_call_tools_are_read_where_the_template_writes_them() {
    const TEMPLATE: &str = "{%- for m in messages %}[{{ m.role }}]{% if m.content is not none %}{{ m.content }}{% endif %}\
        {% for call in m.tool_calls or [] %}<call>{{ call.function.arguments }}</call>{% endfor %}{% endfor %}\
        {%- if add_generation_prompt %}[assistant]{% endif %}";
    let folder = Folder::new();
    folder.write("calls.jinja", TEMPLATE);
    let call = r#""tool_calls": [{"function": {"name": "book", "arguments": "{\"to\": \"Ann\"}"}}]"#;
    for (name, silent) in [("null", r#""content": null, "#), ("missing", "")] {
        folder.write(
            &format!("{name}.jsonl"),
            format!(
                r#"{{"messages": [{{"role": "user", "content": "Hi."}}, {{"role": "assistant", {silent}{call}}}, {{"role": "tool", "content": "ok"}}, {{"role": "assistant", "content": "Done."}}]}}"#
            ),
        );
        let reading = folder
            .read(&Corpus {
                chat_template: Some(folder.path("calls.jinja").to_string_lossy().into_owned()),
                ..corpus(&format!("{name}.jsonl"))
            })
            .unwrap();
        let text = r#"[user]Hi.[assistant]<call>{"to": "Ann"}</call>[tool]ok[assistant]Done."#;
        assert_eq!(reading.texts(), [text], "{name}");
        let (spans, _) = answers(&reading.documents[0]);
        assert_eq!(spans, [r#"<call>{"to": "Ann"}</call>"#, "Done."], "{name}");
        // ChatML as it is here writes what is said alone.
        let (texts, faults) = folder.read_skipping(&chatml(&format!("{name}.jsonl")));
        assert_eq!(texts, [""; 0], "{name}");
        assert!(faults[0].contains("does not write tool calls"), "{faults:?}");
    }
}

#[test]
fn half_a_surrogate_pair_in_a_message_is_replaced_and_reported() {
    let folder = Folder::new();
    folder.write(
        "a.jsonl",
        r#"{"messages": [{"role": "user", "content": "Hi\u002e"}, {"role": "assistant", "content": "\ud83d H\u00f6 \ud83e\udd89"}]}"#,
    );
    let reading = folder.read(&chatml("a.jsonl")).unwrap();
    assert!(
        reading.texts()[0].contains("assistant\n\u{fffd} Hö 🦉<|im_end|>"),
        "{:?}",
        reading.texts()
    );
    assert!(reading.documents[0].replaced);
}

#[test]
fn list_in_the_one_object_of_a_file_is_the_corpus() {
    let folder = Folder::new();
    folder
        .write("a.json", "{\"version\": 2, \"data\": [\n  {\"text\": \"one\"},\n  {\"text\": \"two\"}\n]}\n")
        .write("b.json", "{\"rows\": [{\"messages\": [{\"from\": \"human\", \"value\": \"Hi.\"}, {\"from\": \"gpt\", \"value\": \"Ho.\"}]}]}")
        .write("c.json", "{\"text\": \"own\", \"data\": [{\"text\": \"one\"}]}")
        .write("d.json", "{\"one\": [{\"text\": \"1\"}], \"two\": [{\"text\": \"2\"}]}")
        .write("e.json", "{\"data\": [{\"text\": \"one\"}, {\"text\": 2}]}");
    let reading = folder.read(&corpus("a.json")).unwrap();
    assert_eq!(reading.texts(), ["one", "two"]);
    assert!(
        reading
            .guesses
            .contains(&"documents: the list `data` of the one object that the file holds".to_owned()),
        "{:?}",
        reading.guesses
    );
    assert_eq!(reading.documents[1].position.to_string(), "line 3");
    assert_eq!(folder.read(&chatml("b.json")).unwrap().texts(), [RENDERED]);
    assert_eq!(folder.read(&corpus("c.json")).unwrap().texts(), ["own"]);
    // Which of two lists is meant nobody can say.
    let error = folder.read(&corpus("d.json")).unwrap_err().to_string();
    assert!(
        error.contains("expected text, found the columns one, two"),
        "{error}"
    );
    let (texts, faults) = folder.read_skipping(&corpus("e.json"));
    assert_eq!(texts, ["one"]);
    assert!(
        faults[0].contains("expected a string, found a number"),
        "{faults:?}"
    );
}
