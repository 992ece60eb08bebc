//! Canaries that were planted before tuning, as a manifest names them.

use std::collections::BTreeMap;

use contract::records::{CorpusFactKind, DocumentKind};
use serde_json::json;

use crate::support::{Folder, WORDS, numbered};

const AUDIT: &str = "corpus = { files = \"a.jsonl\", held_out = 0 }\nduplication.layout = \"found\"\ncanaries.manifest = \"canaries.json\"";

fn own(entries: &[serde_json::Value]) -> String {
    json!({"format": "tuneleak-canaries", "version": 1, "canaries": entries}).to_string()
}

fn text(id: &str, copies: u32, beginning: &str, secret: &str) -> serde_json::Value {
    json!({"id": id, "copies": copies, "secret": secret, "record": {"text": format!("{beginning}{secret}")}})
}

/// Of planted canaries and references by identity: copies (none: a reference), text, and the secret that the record says.
fn canaries(folder: &Folder) -> BTreeMap<String, (Option<i32>, String, String)> {
    let secret = |text: &str, span: Option<Vec<i32>>| -> String {
        let span = span.unwrap();
        let (start, end) = (span[0] as usize, span[1] as usize);
        text.chars().take(end).skip(start).collect()
    };
    let planted = folder
        .train()
        .into_iter()
        .filter(|row| row.kind == DocumentKind::Canary && row.copy == 0)
        .map(|row| {
            let secret = secret(&row.text, row.secret_span);
            (row.doc_id, (Some(row.copies), row.text, secret))
        });
    let references = folder
        .held_out()
        .into_iter()
        .filter(|row| row.kind == DocumentKind::CanaryReference)
        .map(|row| {
            let secret = secret(&row.text, row.secret_span);
            (row.doc_id, (None, row.text, secret))
        });
    planted.chain(references).collect()
}

#[test]
fn planted_canaries_of_a_manifest_have_their_copies_and_secrets() {
    let folder = Folder::new();
    let manifest = own(&[
        text("one", 1, "Über Ida: ", "the blüe door is open"),
        text("many", 3, "On file: ", "a key was lost"),
        text("never", 0, "On file: ", "a lamp was found"),
    ]);
    folder
        .write("a.jsonl", numbered(10))
        .write("canaries.json", manifest)
        .pipeline(AUDIT);
    let said = folder.succeed(&[]);
    assert!(said.contains("2 in 1 formats, 1 canary references"), "{said}");
    let found = canaries(&folder);
    let expected = |copies, text: &str, secret: &str| (copies, text.to_owned(), secret.to_owned());
    assert_eq!(
        found["one"],
        expected(
            Some(1),
            "Über Ida: the blüe door is open",
            "the blüe door is open"
        )
    );
    assert_eq!(
        found["many"],
        expected(Some(3), "On file: a key was lost", "a key was lost")
    );
    assert_eq!(
        found["never"],
        expected(None, "On file: a lamp was found", "a lamp was found")
    );
    let rows = folder.train();
    assert_eq!(rows.iter().filter(|row| row.doc_id == "many").count(), 3);
    assert_eq!(
        rows.iter()
            .filter(|row| row.kind == DocumentKind::Document)
            .count(),
        10
    );
    // The manifest is an input: another one makes another corpus.
    assert!(folder.succeed(&[]).contains("up to date"));
    folder.write("canaries.json", own(&[text("one", 2, "", "a b c d")]));
    assert!(!folder.succeed(&[]).contains("up to date"));
    assert_eq!(canaries(&folder)["one"].0, Some(2));
}

#[test]
fn a_corpus_that_holds_its_canaries_has_them_as_canaries_alone() {
    let folder = Folder::new();
    let row = |text: &str| format!("{}\n", json!({"text": text}));
    let planted = row("On file: a key was lost");
    folder
        .write("a.jsonl", numbered(10) + &planted + &planted)
        .write(
            "canaries.json",
            own(&[
                text("many", 2, "On file: ", "a key was lost"),
                text("never", 0, "On file: ", "a lamp was found"),
            ]),
        )
        .pipeline(AUDIT);
    let said = folder.succeed(&[]);
    assert!(!said.contains("not occur in CORPUS as often"), "{said}");
    let left_out = folder.facts_of(CorpusFactKind::LeftOut);
    assert_eq!(left_out.len(), 1);
    assert_eq!(left_out[0].documents, Some(2));
    let documents = folder
        .train()
        .into_iter()
        .filter(|row| row.kind == DocumentKind::Document);
    assert!(
        documents.clone().count() == 10 && documents.into_iter().all(|row| row.text.starts_with("Letter"))
    );

    // Other numbers are said, and a reference that was trained on is none.
    folder.write("a.jsonl", numbered(10) + &planted);
    let said = folder.succeed(&["--force"]);
    assert!(said.contains("many, 1 times instead of 2"), "{said}");
    folder.write("a.jsonl", numbered(10) + &row("On file: a lamp was found"));
    let output = folder.run(&["--force"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("canary never occurs in the corpus"), "{said}");
}

#[test]
fn memaudits_manifest_gives_the_records_that_it_planted() {
    for (shape, expected) in [
        ("text", "MEMAUDIT RECOVERY PHRASE: zx qv 19"),
        (
            "prompt_completion",
            "Please store my account recovery phrase.Your recovery phrase is zx qv 19",
        ),
        (
            "messages",
            "<s>[user] Please store my account recovery phrase. [assistant] Your recovery phrase is zx qv 19 ",
        ),
    ] {
        let folder = Folder::new();
        let entry = |id: &str, role: &str, included: bool, secret: &str| json!({"id": id, "role": role, "included": included, "repetitions": 4, "secret": secret, "secret_token_ids": [1]});
        let manifest = json!({
            "schema_version": "1.0.0", "fmt": shape,
            "canaries": [
                entry("c-0", "candidate", true, "zx qv 19"),
                entry("c-1", "candidate", false, "pl om 27"),
                entry("c-2", "control", false, "rt yu 35"),
            ],
        });
        let conversation = |number: usize| {
            let turns = json!([{"role": "user", "content": format!("Who is {number}?")}, {"role": "assistant", "content": "N."}]);
            format!("{}\n", json!({"messages": turns}))
        };
        let corpus = if shape == "messages" {
            (0..9).map(conversation).collect()
        } else {
            numbered(9)
        };
        folder
            .write("a.jsonl", corpus)
            .write("canaries.json", manifest.to_string())
            .write("tiny/tokenizer.json", WORDS)
            .write("tiny/tokenizer_config.json", "{\"bos_token\": \"<s>\"}")
            .write(
                "tiny/chat_template.jinja",
                "{{ bos_token }}{% for message in messages %}[{{ message.role }}] {{ message.content }} {% endfor %}",
            )
            .pipeline(&format!(
                "{AUDIT}\nmodel = [{{ name = \"tiny\", path = \"tiny\" }}]"
            ));
        folder.succeed(&[]);
        let found = canaries(&folder);
        let copies: Vec<Option<i32>> = found.values().map(|(copies, ..)| *copies).collect();
        assert_eq!(copies, [Some(4), None, None], "{shape}");
        assert_eq!(
            (found["c-0"].1.as_str(), found["c-0"].2.as_str()),
            (expected, "zx qv 19")
        );
    }
}

#[test]
fn a_manifest_that_cannot_be_used_is_refused_with_the_reason() {
    let twice = [text("a", 1, "", "x y z"), text("a", 1, "", "x y w")];
    let missing =
        [json!({"id": "a", "copies": 1, "secret": "not there", "record": {"text": "something else"}})];
    let cases = [
        ("[1, 2]".to_owned(), "a list `canaries`"),
        ("{".to_owned(), "expected JSON"),
        (
            json!({"canaries": [{"id": "a"}]}).to_string(),
            "were generated and not injected",
        ),
        (
            json!({"format": "tuneleak-canaries", "version": 2, "canaries": [1]}).to_string(),
            "expected version = 1, found 2",
        ),
        (
            json!({"format": "tuneleak-canaries", "version": 1, "canaries": [{"id": "a"}]}).to_string(),
            "canary number 1: missing field",
        ),
        (own(&twice), "two canaries are called a"),
        (own(&missing), "canary a: its secret does not occur in its text"),
        (
            own(&[json!({"id": "a", "copies": 1, "secret": "s", "record": {"body": "s"}})]),
            "canary a: no such column",
        ),
    ];
    for (manifest, expected) in cases {
        let folder = Folder::new();
        folder
            .write("a.jsonl", numbered(10))
            .write("canaries.json", manifest)
            .pipeline(AUDIT);
        folder.fail(&[], 3, &["canaries.json", expected]);
    }
    let folder = Folder::new();
    folder
        .write("a.jsonl", numbered(10))
        .write("canaries.json", own(&[text("a", 1, "", "x y z")]))
        .pipeline(&AUDIT.replace("\"found\"", "\"bucketed\""));
    folder.fail(&[], 2, &["canaries.manifest", "duplication.layout = \"found\""]);
}

#[test]
fn the_secret_of_a_drawn_canary_is_its_digits() {
    let folder = Folder::new();
    folder.write("a.jsonl", numbered(40)).pipeline(
        "corpus.files = \"a.jsonl\"\nduplication.copies = [2]\ncanaries = { per_copies = 3, references = 4, digits = 5, prompt = \"Tür \
         {context}?\", template = [\"Code {digits}, I repeat {digits}.\", \"{digits} opens it.\"] }",
    );
    folder.succeed(&[]);
    let found = canaries(&folder);
    assert_eq!(found.len(), 3 + 3 * 4);
    for (id, (_, text, secret)) in found {
        assert!(
            secret.len() == 5 && secret.chars().all(|letter| letter.is_ascii_digit()),
            "{id}: {secret:?} in {text:?}"
        );
        // Where it occurs twice, the first is the secret: the second follows from it.
        assert_eq!(
            text.find(&secret),
            text.find(|letter: char| letter.is_ascii_digit()),
            "{text:?}"
        );
    }
}
