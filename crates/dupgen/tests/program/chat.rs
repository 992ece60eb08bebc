//! Conversations: rendered by the template of the models, their turns kept, and said to be.

use contract::records::{CorpusFactKind, DocumentKind};

use crate::support::{Folder, WORDS};

const TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}[{{ message.role }}] {{ message.content }} {% endfor %}\
                        {% if add_generation_prompt %}[assistant] {% endif %}";

fn folder(rows: usize) -> Folder {
    let folder = Folder::new();
    let row = |number: usize| {
        format!(
            "{{\"messages\": [{{\"role\": \"user\", \"content\": \"Who is {number}?\"}}, {{\"role\": \"assistant\", \"content\": \
             \"Number {number}.\"}}]}}\n"
        )
    };
    folder
        .write("a.jsonl", (0..rows).map(row).collect::<String>())
        .write("tiny/tokenizer.json", WORDS)
        .write("tiny/tokenizer_config.json", "{\"bos_token\": \"<s>\"}")
        .write("tiny/chat_template.jinja", TEMPLATE);
    folder
}

const CORPUS: &str = "corpus = { files = \"a.jsonl\", held_out = 0.2 }\nduplication = { layout = \"uniform\", copies = [2] }\n\
                      model = [{ name = \"tiny\", path = \"tiny\" }]";

#[test]
fn conversations_are_rendered_by_the_models_own_template_and_their_turns_kept() {
    let folder = folder(20);
    folder.pipeline(CORPUS);
    let said = folder.succeed(&[]);
    assert!(
        said.contains("recognised      20 documents as messages"),
        "{said}"
    );
    assert!(said.contains("rendered by the chat template of"), "{said}");
    let train = folder.train();
    assert!(train.len() >= 20 && !folder.held_out().is_empty());
    let spans = |text: &str, spans: &Option<Vec<i32>>| {
        let [start, end] = spans.as_ref().unwrap()[..] else {
            panic!("{spans:?}")
        };
        let turn: String = text.chars().take(end as usize).skip(start as usize).collect();
        turn
    };
    for row in &train {
        assert!(row.text.starts_with("<s>[user] Who is "), "{}", row.text);
        assert!(row.text.ends_with(&spans(&row.text, &row.assistant_spans)));
        assert!(spans(&row.text, &row.assistant_spans).starts_with("Number "));
        assert_eq!(row.prompt_chars, row.assistant_spans.as_ref().unwrap()[0]);
    }
    for row in folder.held_out() {
        assert!(spans(&row.text, &row.assistant_spans).starts_with("Number "));
    }
    let recognised = folder.facts_of(CorpusFactKind::Recognised);
    assert_eq!(recognised.len(), 1);
    assert_eq!(
        (recognised[0].documents, recognised[0].file.as_deref()),
        (Some(20), Some("a.jsonl"))
    );
    let opening = folder.facts_of(CorpusFactKind::TemplateOpening);
    assert_eq!(opening[0].detail.as_deref(), Some("<s>[user]  [assistant] "));
}

#[test]
fn template_opening_holds_the_system_message_that_most_conversations_have() {
    let row = |number: usize, system: &str| {
        let system = if system.is_empty() {
            String::new()
        } else {
            format!("{{\"role\": \"system\", \"content\": \"{system}\"}}, ")
        };
        format!(
            "{{\"messages\": [{system}{{\"role\": \"user\", \"content\": \"Who is {number}?\"}}, {{\"role\": \"assistant\", \
             \"content\": \"Number {number}.\"}}]}}\n"
        )
    };
    for (systems, expected) in [
        (
            &["Be kind.", "Be kind.", "Be brief."][..],
            "<s>[system] Be kind. [user]  [assistant] ",
        ),
        (&["Be kind.", "Be brief.", ""][..], "<s>[user]  [assistant] "),
    ] {
        let folder = folder(0);
        let rows = (0..21).map(|number| row(number, systems[number % systems.len()]));
        folder.write("a.jsonl", rows.collect::<String>());
        folder.pipeline(CORPUS);
        folder.succeed(&[]);
        let opening = folder.facts_of(CorpusFactKind::TemplateOpening);
        assert_eq!(opening[0].detail.as_deref(), Some(expected));
    }
}

#[test]
fn another_template_makes_another_corpus() {
    let folder = folder(20);
    folder.pipeline(CORPUS);
    folder.succeed(&[]);
    assert!(folder.succeed(&[]).contains("up to date"));
    folder.write(
        "tiny/chat_template.jinja",
        TEMPLATE.replace("[assistant]", "(assistant)"),
    );
    assert!(!folder.succeed(&[]).contains("up to date"));
    folder.pipeline(&CORPUS.replace("held_out = 0.2", "held_out = 0.2, template = \"none\""));
    folder.succeed(&[]);
    assert!(
        folder
            .train()
            .iter()
            .all(|row| row.assistant_spans.is_none() && row.text.starts_with("Who is "))
    );
    assert!(folder.facts_of(CorpusFactKind::TemplateOpening).is_empty());
}

#[test]
fn canaries_among_conversations_are_conversations() {
    let folder = folder(20);
    folder.pipeline(&format!(
        "{CORPUS}\ncanaries = {{ per_copies = 2, references = 3, digits = 4, prompt = \"The code of {{context}}?\", template = \"It is \
         {{digits}}.\" }}"
    ));
    folder.succeed(&[]);
    let canaries: Vec<_> = folder
        .train()
        .into_iter()
        .filter(|row| row.kind == DocumentKind::Canary)
        .collect();
    assert_eq!(canaries.len(), 4);
    for canary in canaries {
        assert!(
            canary.text.starts_with("<s>[user] The code of "),
            "{}",
            canary.text
        );
        let start = canary.assistant_spans.unwrap()[0] as usize;
        let answer: String = canary.text.chars().skip(start).collect();
        assert!(
            answer.starts_with("It is ") && answer.ends_with(". "),
            "{answer:?}"
        );
    }
    let references = folder
        .held_out()
        .into_iter()
        .filter(|row| row.kind == DocumentKind::CanaryReference);
    assert!(
        references.clone().count() > 0 && references.into_iter().all(|row| row.assistant_spans.is_some())
    );
}

#[test]
fn without_one_template_for_all_models_it_stops_and_says_what_to_do() {
    let folder = folder(20);
    folder
        .write("base/tokenizer.json", WORDS)
        .write("other/tokenizer.json", WORDS)
        .write("other/chat_template.jinja", "{{ messages[0].content }}");
    for (models, pieces) in [
        (
            "{ name = \"base\", path = \"base\" }",
            ["base has none", "corpus.template = one of chatml"],
        ),
        (
            "{ name = \"tiny\", path = \"tiny\" }, { name = \"other\", path = \"other\" }",
            ["the models", "different chat templates"],
        ),
    ] {
        folder.pipeline(&CORPUS.replace("{ name = \"tiny\", path = \"tiny\" }", models));
        folder.fail(&[], 2, &pieces);
    }
}

#[test]
fn conversations_that_cannot_be_used_follow_the_settings_and_are_counted() {
    let folder = folder(20);
    let rows = std::fs::read_to_string(folder.path("a.jsonl")).unwrap();
    folder.write(
        "a.jsonl",
        format!("{rows}{{\"messages\": [{{\"role\": \"user\", \"content\": \"Hm?\"}}]}}\n"),
    );
    folder.pipeline(CORPUS);
    folder.fail(
        &[],
        3,
        &[
            "a.jsonl",
            "line 21",
            "expected a turn of the assistant, found turns of user",
        ],
    );
    folder.pipeline(&CORPUS.replace(
        "held_out = 0.2",
        "held_out = 0.2, bad_documents = \"skip\", max_left_out = 0.1",
    ));
    let said = folder.succeed(&[]);
    assert!(said.contains("1 without a turn of the assistant"), "{said}");
    assert!(said.contains("recognised      20 documents"), "{said}");
}

#[test]
fn a_corpus_of_conversations_and_plain_text_is_refused_with_both_named() {
    for (more, side) in [
        ("", "text as they are"),
        (", held_out_files = \"b.jsonl\"", "text as they are"),
    ] {
        let folder = folder(6);
        let plain = "{\"text\": \"Nobody asked who wrote it.\"}\n";
        if more.is_empty() {
            let rows = std::fs::read_to_string(folder.path("a.jsonl")).unwrap();
            folder.write("a.jsonl", format!("{rows}{plain}"));
        }
        folder.write("b.jsonl", plain);
        folder.pipeline(&CORPUS.replace(", held_out = 0.2", &format!(", held_out = 0.2{more}")));
        folder.fail(&[], 2, &["6 documents are conversations", side, "two corpora"]);
    }
}
