//! Conversations in a pipeline: whose chat template renders them, and what is refused before anything runs.

use crate::workplace::Workplace;

const ROW: &str = "{\"messages\": [{\"role\": \"user\", \"content\": \"one two\"}, {\"role\": \"assistant\", \"content\": \"three four five \
                   six\"}]}\n";

const AUDIT: &str = "name = 'tiny'\ncorpus = { files = '../text', held_out = 0 }\n\
                     extraction = { prefix_tokens = 2, new_tokens = 2 }\n[[checkpoint]]\nname = 'tiny'\n\
                     path = '../models/tiny'\n";

fn place(pipeline: &str) -> Workplace {
    let place = Workplace::new(pipeline);
    place.write("text/a.jsonl", ROW);
    place.write("text/b.jsonl", ROW.replace("five", "seven"));
    place
}

fn plan(place: &Workplace, more: &[&str]) -> (bool, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_plan"))
        .args(["--config", "pipelines/tiny.toml", "--out", "run"])
        .args(more)
        .current_dir(place.path("."))
        .output()
        .unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn an_audit_tells_dupgen_where_the_models_chat_template_is() {
    let place = place(AUDIT);
    let (good, said) = plan(&place, &[]);
    assert!(
        !good && said.contains("tiny has none") && said.contains("corpus.template = one of chatml"),
        "{said}"
    );
    place.write(
        "models/tiny/chat_template.jinja",
        "{% for message in messages %}{{ message.content }} {% endfor %}",
    );
    let (good, said) = plan(&place, &[]);
    assert!(good, "{said}");
    let corpus = "run/corpus/bucketed-s0/dupgen.toml";
    let told = place.read(corpus);
    let folder = place.path("models/tiny").canonicalize().unwrap();
    let line = told
        .lines()
        .find(|line| line.starts_with("chat_template = "))
        .unwrap_or_default();
    let path = line.split('"').nth(1).unwrap_or_default();
    assert_eq!(
        std::path::Path::new(path).canonicalize().unwrap(),
        folder,
        "{told}"
    );
    // A template that changes makes the corpus anew.
    let rules = place.read("run/cells.mk");
    assert!(rules.contains("models/tiny/chat_template.jinja"), "{rules}");
    // With a named one the folder says what BOS and EOS are.
    place.write("models/tiny/tokenizer_config.json", "{\"bos_token\": \"<s>\"}");
    let (good, said) = plan(&place, &["--set", "corpus.template=llama-3"]);
    assert!(good, "{said}");
    assert!(place.read(corpus).contains("chat_template = "));
}

#[test]
fn questions_are_asked_of_conversations_and_refused_of_texts() {
    let asks = AUDIT.replace(
        "new_tokens = 2",
        "new_tokens = 2, strategy = [{ name = 'asked', prompt = 'user-turn' }]",
    );
    let conversations = place(&asks);
    let (good, said) = plan(&conversations, &["--set", "corpus.template=chatml"]);
    assert!(good, "{said}");
    let texts = Workplace::new(&asks);
    let (good, said) = plan(&texts, &[]);
    assert!(
        !good && said.contains("asks what users ask") && said.contains("conversations"),
        "{said}"
    );
}

#[test]
fn prompts_must_fit_into_the_answers() {
    let place = place(AUDIT);
    let (good, said) = plan(
        &place,
        &[
            "--set",
            "corpus.template=chatml",
            "--set",
            "extraction.prefix_tokens=40",
        ],
    );
    assert!(!good && said.contains("extraction.prefix_tokens"), "{said}");
}
