//! Columns that make a text, and those that name a document.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, FixedSizeBinaryArray, Float64Array, Int32Array, ListArray, RecordBatch,
    StringArray, StructArray, UInt16Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use contract::pipeline::Corpus;

use crate::support::{Folder, batch, corpus, write_parquet};

fn with(files: &str, prompt: Option<&str>, response: Option<&str>, template: Option<&str>) -> Corpus {
    Corpus {
        prompt: prompt.map(str::to_owned),
        response: response.map(str::to_owned),
        template: template.map(str::to_owned),
        ..corpus(files)
    }
}

#[test]
fn alpaca_joins_instruction_input_and_output_as_training_did() {
    let folder = Folder::new();
    folder
        .write(
            "a.jsonl",
            r#"{"instruction": "Add.", "input": "1 2", "output": "3"}
{"instruction": "Say hi.", "input": " ", "output": "Hi."}
{"instruction": "Say ho.", "output": "Ho."}
{"instruction": "Say ha.", "input": null, "output": "Ha."}
"#,
        )
        .write("a.csv", "instruction,output\nSay ho.,Ho.\n");
    let parquet = batch(vec![
        (
            "instruction",
            Arc::new(StringArray::from(vec!["Add.", "Say ho."])),
        ),
        ("input", Arc::new(StringArray::from(vec![Some("1 2"), None]))),
        ("output", Arc::new(StringArray::from(vec!["3", "Ho."]))),
    ]);
    write_parquet(&folder.path("a.parquet"), &parquet);
    let with_input = "Below is an instruction that describes a task, paired with an input that provides further context. Write a \
                      response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### \
                      Response:\n3";
    let without = |instruction: &str, output: &str| {
        format!(
            "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### \
             Instruction:\n{instruction}\n\n### Response:\n{output}"
        )
    };
    for names in [(None, None), (Some("instruction"), Some("output"))] {
        let read = |file: &str| {
            folder
                .read(&with(file, names.0, names.1, Some("alpaca")))
                .unwrap_or_else(|error| panic!("{error}"))
        };
        let reading = read("a.jsonl");
        let hi = without("Say hi.", "Hi.");
        let ho = without("Say ho.", "Ho.");
        let ha = without("Say ha.", "Ha.");
        assert_eq!(reading.texts(), [with_input, &hi, &ho, &ha]);
        for document in &reading.documents {
            let prompt: String = document.text.chars().take(document.prompt_chars).collect();
            assert!(prompt.ends_with("### Response:\n"), "{prompt}");
        }
        assert_eq!(read("a.csv").texts(), [ho.as_str()]);
        assert_eq!(read("a.parquet").texts(), [with_input, ho.as_str()]);
    }
}

#[test]
fn a_template_is_text_with_columns_in_braces() {
    let folder = Folder::new();
    folder.write("a.jsonl", "{\"q\": \"Où?\", \"a\": \"Là.\", \"n\": \"\"}\n");
    for (template, response, text, prompt) in [
        ("Q: {q}\nA: {a}</s>", None, "Q: Où?\nA: Là.</s>", "Q: Où?\nA: "),
        ("Q: {q}\nA: {a}", Some("q"), "Q: Où?\nA: Là.", "Q: "),
        ("{{{a}}} {n}{q}", Some("q"), "{Là.} Où?", "{Là.} "),
        // One column is all target.
        ("Text: {a}", None, "Text: Là.", ""),
        ("Text: {a}", Some("a"), "Text: Là.", "Text: "),
        ("{a}{a}", Some("a"), "Là.Là.", ""),
    ] {
        let reading = folder
            .read(&with("a.jsonl", None, response, Some(template)))
            .unwrap();
        assert_eq!(reading.texts(), [text]);
        assert_eq!(
            reading.documents[0].prompt_chars,
            prompt.chars().count(),
            "{template}"
        );
    }
}

#[test]
fn templates_that_cannot_be_meant_are_refused() {
    let folder = Folder::new();
    folder
        .write("a.jsonl", "{\"q\": \"Où?\", \"a\": \" \"}\n")
        .write("a.txt", "text");
    for (file, template, response, status, expected) in [
        (
            "a.jsonl",
            "vicuna",
            None,
            2,
            "corpus.template: expected `alpaca`, or text with columns",
        ),
        ("a.jsonl", "{q", None, 2, "found a single `{`"),
        ("a.jsonl", "q}", None, 2, "found a single `}`"),
        ("a.jsonl", "{q}{}", None, 2, "found a single `{`"),
        (
            "a.jsonl",
            "{q}",
            Some("a"),
            2,
            "corpus.response: expected one of the columns that corpus.template has in braces (q), found a",
        ),
        (
            "a.jsonl",
            "{q} {b}",
            None,
            3,
            "no such column: expected b, found the columns q, a",
        ),
        (
            "a.jsonl",
            "{q} {a}",
            None,
            3,
            "column a: expected text, found none",
        ),
        ("a.txt", "{q} {a}", None, 2, "corpus.template: "),
    ] {
        let error = folder
            .read(&with(file, None, response, Some(template)))
            .unwrap_err();
        assert_eq!(error.exit_status(), status, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn an_input_that_is_left_out_of_the_text_is_told() {
    let folder = Folder::new();
    let rows = "{\"instruction\": \"Add.\", \"input\": \"1 2\", \"output\": \"3\"}\n{\"instruction\": \"Say hi.\", \"input\": \"\", \"output\": \"Hi.\"}\n";
    folder
        .write("a.jsonl", rows)
        .write("b.csv", "instruction,context,output\nAdd.,1 2,3\nSay hi.,,Hi.\n");
    let parquet = batch(vec![
        (
            "input",
            Arc::new(StringArray::from(vec![Some("1 2"), None])) as ArrayRef,
        ),
        (
            "instruction",
            Arc::new(StringArray::from(vec!["Add.", "Say hi."])),
        ),
        ("output", Arc::new(StringArray::from(vec!["3", "Hi."]))),
    ]);
    write_parquet(&folder.path("c.parquet"), &parquet);
    for (file, column) in [("a.jsonl", "input"), ("b.csv", "context"), ("c.parquet", "input")] {
        let reading = folder
            .read(&with(file, Some("instruction"), Some("output"), None))
            .unwrap();
        let unused: Vec<Option<&str>> = reading.documents.iter().map(|document| document.unused).collect();
        assert_eq!(unused, [Some(column), None], "{file}");
        // Where it is asked for, there is nothing to report.
        let reading = folder.read(&with(file, Some(column), Some("output"), None));
        if let Ok(reading) = reading {
            assert!(reading.documents.iter().all(|document| document.unused.is_none()));
        }
    }
}

#[test]
fn identities_are_strings_numbers_and_uuids() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["one", "two"]));
    let uuid = [
        0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0x00,
    ];
    let fixed = FixedSizeBinaryArray::try_from_iter([uuid, [0; 16]].into_iter()).unwrap();
    let columns: Vec<(ArrayRef, [&str; 2])> = vec![
        (Arc::new(Int32Array::from(vec![-7, 8])), ["-7", "8"]),
        (Arc::new(UInt16Array::from(vec![7, 8])), ["7", "8"]),
        (Arc::new(Float64Array::from(vec![7.0, 0.5])), ["7", "0.5"]),
        (Arc::new(StringArray::from(vec!["a", "b"])), ["a", "b"]),
        (Arc::new(BinaryArray::from_iter_values(["a", "b"])), ["a", "b"]),
        (
            Arc::new(fixed),
            [
                "123e4567-e89b-12d3-a456-426614174000",
                "00000000-0000-0000-0000-000000000000",
            ],
        ),
        (
            Arc::new(BinaryArray::from_iter_values([[0xff; 16], [0xfe; 16]])),
            [
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
                "fefefefe-fefe-fefe-fefe-fefefefefefe",
            ],
        ),
    ];
    let folder = Folder::new();
    let mut asked = corpus("a.parquet");
    asked.identity = Some("id".to_owned());
    for (column, expected) in columns {
        write_parquet(
            &folder.path("a.parquet"),
            &batch(vec![("id", column), ("text", Arc::clone(&texts))]),
        );
        let reading = folder.read(&asked).unwrap_or_else(|error| panic!("{error}"));
        let ids: Vec<&str> = reading
            .documents
            .iter()
            .filter_map(|document| document.identity.as_deref())
            .collect();
        assert_eq!(ids, expected);
    }
    folder.write(
        "a.jsonl",
        "{\"id\": 12345678901234567890123, \"text\": \"one\"}\n{\"id\": 7.0, \"text\": \"two\"}\n",
    );
    let mut asked = corpus("a.jsonl");
    asked.identity = Some("id".to_owned());
    let reading = folder.read(&asked).unwrap();
    assert_eq!(
        reading.documents[0].identity.as_deref(),
        Some("12345678901234567890123")
    );
    assert_eq!(reading.documents[1].identity.as_deref(), Some("7"));
}

/// A column with a list of messages.
fn messages() -> RecordBatch {
    let roles: ArrayRef = Arc::new(StringArray::from(vec!["user", "assistant"]));
    let contents: ArrayRef = Arc::new(StringArray::from(vec!["Hi.", "Ho."]));
    let turns = StructArray::from(vec![
        (Arc::new(Field::new("role", DataType::Utf8, true)), roles),
        (Arc::new(Field::new("content", DataType::Utf8, true)), contents),
    ]);
    let item = Arc::new(Field::new("item", turns.data_type().clone(), true));
    let list = ListArray::new(item, OffsetBuffer::from_lengths([2]), Arc::new(turns), None);
    batch(vec![
        ("messages", Arc::new(list)),
        ("number", Arc::new(Int32Array::from(vec![1]))),
    ])
}

#[test]
fn chats_and_other_types_are_named_where_text_is_expected() {
    let folder = Folder::new();
    write_parquet(&folder.path("a.parquet"), &messages());
    folder
        .write(
            "a.jsonl",
            "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi.\"}, {\"role\": \"assistant\", \"content\": \"Ho.\"}]}\n",
        )
        .write("b.jsonl", "{\"conversations\": [{\"from\": \"human\", \"value\": \"Hi.\"}]}\n")
        .write("c.jsonl", "{\"text\": [\"a\", \"b\"]}\n")
        .write("d.jsonl", "{\"text\": {\"role\": 1}}\n")
        .write("e.jsonl", "{\"text\": NaN}\n");
    for (file, column, expected) in [
        (
            "a.jsonl",
            "messages",
            "column messages: expected a string, found a list of messages, a conversation",
        ),
        (
            "a.jsonl",
            "text",
            "a conversation is rendered by the model's chat template, and no model of this pipeline has one",
        ),
        (
            "a.parquet",
            "messages",
            "column messages: expected string, found a list of messages, a conversation",
        ),
        ("a.parquet", "text", "corpus.template = one of chatml, llama-2"),
        (
            "a.parquet",
            "number",
            "column number: expected string, found Int32",
        ),
        (
            "b.jsonl",
            "conversations",
            "found a list of messages, a conversation",
        ),
        ("c.jsonl", "text", "expected a string, found an array"),
        ("d.jsonl", "text", "expected a string, found an object"),
        ("e.jsonl", "text", "column text: expected a value, found none"),
    ] {
        let mut asked = corpus(file);
        asked.text = column.to_owned();
        let error = folder.read(&asked).unwrap_err();
        // That there is no template to render with is wrong with the settings.
        let status = if expected.contains("template") { 2 } else { 3 };
        assert_eq!(error.exit_status(), status);
        assert!(error.to_string().contains(expected), "{error}");
    }
}
