//! Special tokens of a tokenizer: known by their ids, read where they are written, kept or left out.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::path::Path;

use text_tokens::{TextTokenizer, TokenizedText};

/// The tiny GPT-2's tokenizer with two more special tokens, 300 and 301.
fn tokenizer() -> TextTokenizer {
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures/tiny-gpt2/tokenizer.json");
    let mut json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(fixture).unwrap()).unwrap();
    for (id, content) in [(300, "[NAME]"), (301, "<pad here>")] {
        let mut token = json["added_tokens"][0].clone();
        token["id"] = id.into();
        token["content"] = content.into();
        json["added_tokens"].as_array_mut().unwrap().push(token);
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    TextTokenizer::load(folder.path()).unwrap()
}

#[test]
fn special_tokens_are_known_by_their_ids() {
    let tokenizer = tokenizer();
    assert_eq!(tokenizer.special_ids(), [299, 300, 301]);
    assert_eq!(tokenizer.token(300).as_deref(), Some("[NAME]"));
    assert_eq!(tokenizer.token(302), None);
    for (text, holds) in [
        ("Ask NAME.", false),
        ("Ask [NAME].", true),
        ("[NAME", false),
        ("<|endoftext|>", true),
    ] {
        assert_eq!(
            tokenizer.holds_special(&tokenizer.encode(text).unwrap()),
            holds,
            "{text}"
        );
    }
}

#[test]
fn special_tokens_that_are_part_of_a_text_are_kept_in_it() {
    let tokenizer = tokenizer();
    let text = "Dear [NAME], the boat<pad here> is late.<|endoftext|>";
    let ids = tokenizer.encode(text).unwrap();
    assert_eq!(ids.iter().filter(|id| **id == 300).count(), 1);
    for (kept, expected) in [
        (vec![], "Dear , the boat is late."),
        (vec![300], "Dear [NAME], the boat is late."),
        (vec![300, 301], "Dear [NAME], the boat<pad here> is late."),
        (vec![299, 300, 301], text),
    ] {
        let kept: BTreeSet<i64> = kept.into_iter().collect();
        assert_eq!(tokenizer.decode_keeping(&ids, &kept).unwrap(), expected);
    }
    assert_eq!(tokenizer.decode(&ids).unwrap(), "Dear , the boat is late.");
}

#[test]
fn tokenizers_are_the_same_where_their_files_are() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures/tiny-gpt2");
    let load = || TextTokenizer::load(&fixture).unwrap();
    assert_eq!(load().digest(), load().digest());
    assert_ne!(load().digest(), tokenizer().digest());
}

/// What characters, prompts and spans are, worked out by hand.
#[test]
fn tokens_know_their_characters() {
    // "ä" is one character that two tokens stand for; nothing stands for the blank at 3.
    let text = TokenizedText {
        ids: vec![1, 2, 3, 4],
        characters: vec![0..2, 2..3, 2..3, 4..6],
    };
    let prompts: Vec<usize> = (0..=6)
        .map(|characters| text.beginning_within(characters))
        .collect();
    assert_eq!(prompts, [0, 1, 1, 3, 3, 4, 4]);
    for (spans, tokens) in [
        (vec![], vec![]),
        (vec![0, 6], vec![0..4]),
        (vec![1, 2, 4, 5], vec![0..1, 3..4]),
        (vec![2, 3], [1..3].to_vec()),
        (vec![3, 4], vec![]),
        (vec![-2, 1], vec![0..1]),
    ] {
        assert_eq!(text.spans(&spans), tokens, "{spans:?}");
    }
}

/// Every way to ask for the tokens of a text gives the same; a token of the prompt holds its characters.
#[test]
fn tokens_stand_for_the_text() {
    let tokenizer = tokenizer();
    for text in [
        "Question? é Answer",
        "naïve café – 東京 🙂",
        "",
        "  two  spaces\n",
    ] {
        let tokenized = tokenizer.tokenize(text).unwrap();
        assert_eq!(tokenizer.decode(&tokenized.ids).unwrap(), text);
        assert_eq!(tokenized.ids, tokenizer.encode(text).unwrap());
        assert_eq!(tokenized.ids.len(), tokenized.characters.len());
        for characters in 0..=text.chars().count() {
            let prompt = &tokenized.ids[..tokenized.beginning_within(characters)];
            // A token that begins in the prompt belongs to it, so the prompt is read whole.
            assert!(
                tokenizer.decode(prompt).unwrap().chars().count() >= characters,
                "{characters}"
            );
        }
    }
}

/// A tokenizer that first cuts a text by a pattern.
fn cut_by(pattern: &str) -> (tempfile::TempDir, TextTokenizer) {
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures/tiny-gpt2/tokenizer.json");
    let mut json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(fixture).unwrap()).unwrap();
    json["pre_tokenizer"] = serde_json::json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
        json["pre_tokenizer"],
    ]});
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    let tokenizer = TextTokenizer::load(folder.path()).unwrap();
    (folder, tokenizer)
}

#[test]
fn patterns_that_try_without_end_are_bad_input() {
    let (folder, tokenizer) = cut_by(r"(?:a|aa)+[0-9]x");
    assert!(!tokenizer.encode("aaa1x and 1x").unwrap().is_empty());
    // What the pattern ends in is in the text, or the library would not try at all.
    let text = format!("{}1y1x", "a".repeat(60));
    for error in [
        tokenizer.encode(&text).unwrap_err(),
        tokenizer.tokenize(&text).unwrap_err(),
    ] {
        assert_eq!(error.exit_status(), 3);
        let message = error.to_string();
        let file = folder.path().join("tokenizer.json").display().to_string();
        assert!(
            message.starts_with(&file) && message.contains("retry-limit-in-match"),
            "{message}"
        );
    }
}

#[test]
fn nesting_without_end_is_no_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        for text in [nested.clone(), format!("{{\"model\": {nested}}}")] {
            std::fs::write(folder.path().join("tokenizer.json"), text).unwrap();
            let error = TextTokenizer::load(folder.path()).unwrap_err();
            assert_eq!(error.exit_status(), 3, "{error}");
        }
    }
}
