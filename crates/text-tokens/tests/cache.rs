//! What is kept beside a corpus: the same tokens as the tokenizer gives, found again, and never a wrong one.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use text_tokens::{TextTokenizer, TokenCache};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures/tiny-gpt2")
}

/// Files beside a corpus, in order of name.
fn kept(corpus: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(corpus.join("token-cache")).into_iter().flatten();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// Tokenizes texts through the cache and holds them to the tokenizer's.
fn check(corpus: &Path, tokenizer: &TextTokenizer, texts: &[&str]) {
    let cache = TokenCache::beside(corpus, tokenizer);
    for text in texts {
        assert_eq!(
            cache.tokenize(text).unwrap(),
            tokenizer.tokenize(text).unwrap(),
            "{text:?}"
        );
    }
    cache.keep();
}

/// A tokenizer of another kind: every token is the one for unknown text, by this name.
fn forgetful(place: &Path, unknown: &str) -> TextTokenizer {
    let json = serde_json::json!({
        "version": "1.0", "added_tokens": [], "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {unknown: 0}, "unk_token": unknown},
    });
    fs::write(place.join("tokenizer.json"), json.to_string()).unwrap();
    TextTokenizer::load(place).unwrap()
}

#[test]
fn what_was_read_is_found_and_nothing_is_written_twice() {
    let corpus = tempfile::tempdir().unwrap();
    let tokenizer = TextTokenizer::load(&fixture()).unwrap();
    let texts = [
        "The harbour at dawn.",
        "",
        "naïve café – 東京 🙂",
        "The harbour at dawn.",
    ];
    check(corpus.path(), &tokenizer, &texts);
    let first = kept(corpus.path());
    assert_eq!(first.len(), 1, "{first:?}");
    let written = fs::read(&first[0]).unwrap();

    // In another order: nothing is new.
    check(corpus.path(), &tokenizer, &[texts[2], texts[0], texts[1]]);
    assert_eq!(kept(corpus.path()), first);
    assert_eq!(fs::read(&first[0]).unwrap(), written);

    // What is new is in a file of its own, and both are found.
    check(corpus.path(), &tokenizer, &[texts[0], "Another text."]);
    assert_eq!(kept(corpus.path()).len(), 2);
    check(corpus.path(), &tokenizer, &[texts[0], "Another text."]);
    assert_eq!(kept(corpus.path()).len(), 2);

    // The tokens come from the files: with another tokenizer's tokens under this tokenizer's name, it is those that are given.
    let other = tempfile::tempdir().unwrap();
    let unknown = forgetful(other.path(), "unknown");
    check(other.path(), &unknown, &["The harbour at dawn."]);
    let theirs = fs::read(&kept(other.path())[0]).unwrap();
    fs::write(&first[0], theirs).unwrap();
    let found = TokenCache::beside(corpus.path(), &tokenizer)
        .tokenize("The harbour at dawn.")
        .unwrap();
    assert_eq!(found, unknown.tokenize("The harbour at dawn.").unwrap());
}

#[test]
fn tokenizers_and_texts_that_differ_share_nothing() {
    let (corpus, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    check(
        corpus.path(),
        &TextTokenizer::load(&fixture()).unwrap(),
        &["one text"],
    );
    check(
        corpus.path(),
        &forgetful(place.path(), "unknown"),
        &["one text", "one text "],
    );
    check(corpus.path(), &forgetful(place.path(), "other"), &["one text"]);
    assert_eq!(kept(corpus.path()).len(), 3);
}

#[test]
fn a_token_beyond_the_table_is_refused_whether_it_was_kept_or_not() {
    let corpus = tempfile::tempdir().unwrap();
    let text = "dawn<|endoftext|>";
    let whole = TextTokenizer::load(&fixture()).unwrap();
    check(corpus.path(), &whole, &[text]);
    let end = whole.end_of_text().unwrap();
    let short = TextTokenizer::load(&fixture()).unwrap().with_rows(end as usize);
    for corpus in [corpus.path(), tempfile::tempdir().unwrap().path()] {
        let error = TokenCache::beside(corpus, &short)
            .tokenize(text)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&end.to_string()) && error.contains("rows"),
            "{error}"
        );
    }
}

/// Cut off anywhere, or with any one bit turned, a file gives the right tokens or none.
#[test]
fn damage_is_never_believed() {
    let corpus = tempfile::tempdir().unwrap();
    let tokenizer = TextTokenizer::load(&fixture()).unwrap();
    let texts = ["The harbour at dawn.", "naïve café – 東京 🙂"];
    check(corpus.path(), &tokenizer, &texts);
    let file = kept(corpus.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
    let turned = (0..whole.len() * 8).map(|bit| {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    for bytes in cut.chain(turned) {
        fs::write(&file, &bytes).unwrap();
        let cache = TokenCache::beside(corpus.path(), &tokenizer);
        for text in texts {
            assert_eq!(
                cache.tokenize(text).unwrap(),
                tokenizer.tokenize(text).unwrap(),
                "{text:?}"
            );
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_done_without() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    check(
        &file,
        &TextTokenizer::load(&fixture()).unwrap(),
        &["one text", "one text"],
    );
}

#[test]
fn a_cache_that_is_dropped_leaves_nothing() {
    let corpus = tempfile::tempdir().unwrap();
    let tokenizer = TextTokenizer::load(&fixture()).unwrap();
    TokenCache::beside(corpus.path(), &tokenizer)
        .tokenize("a text")
        .unwrap();
    assert_eq!(kept(corpus.path()), [] as [PathBuf; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any texts, on several threads, with some of them known before.
    #[test]
    fn all_texts_are_given_as_the_tokenizer_gives_them(texts in prop::collection::vec("\\PC{0,300}", 1..40), known in 0..40_usize) {
        let corpus = tempfile::tempdir().unwrap();
        let tokenizer = TextTokenizer::load(&fixture()).unwrap();
        let before: Vec<&str> = texts.iter().take(known).map(String::as_str).collect();
        check(corpus.path(), &tokenizer, &before);
        let cache = TokenCache::beside(corpus.path(), &tokenizer);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for text in &texts {
                        assert_eq!(cache.tokenize(text).unwrap(), tokenizer.tokenize(text).unwrap());
                    }
                });
            }
        });
        cache.keep();
        let all: Vec<&str> = texts.iter().map(String::as_str).collect();
        check(corpus.path(), &tokenizer, &all);
    }
}
