//! Prompts, references and scores end where training ended, and scores cover what carried loss.

use contract::records::{DocumentKind, HeldOutDocument, TrainingInstance};

use text_tokens::TextTokenizer;

use crate::support::{Bench, fixtures, held_out, row, training};

const SENTENCE: &str = "Nobody on the quay remembered the name of the boat that came in with the storm. ";
const GREEDY: &str = "[[extraction.strategy]]\nname = \"greedy\"\ntemperature = 0\n";
const MIDDLE: &str = "[[extraction.strategy]]\nname = \"middle\"\nprompt = \"middle\"\ntemperature = 0\n";

fn tokens(text: &str) -> Vec<i64> {
    let tokenizer = TextTokenizer::load(&fixtures().join("tiny-gpt2")).unwrap();
    tokenizer.encode(text).unwrap()
}

fn as_ids(tokens: &[i32]) -> Vec<i64> {
    tokens.iter().map(|&token| i64::from(token)).collect()
}

/// Training read the BOS and 23 tokens of each text. Beyond them nothing is asked for, compared with or scored; up to there all is as
/// it would be in a longer text, since a token's probability depends on what stands before it alone.
#[test]
fn nothing_is_asked_or_scored_beyond_where_training_ended() {
    let long = SENTENCE.repeat(3);
    let canary = "the code of the harbour master is 4711 and that of the lighthouse keeper is 0815";
    let train = [
        training("long", &long, ""),
        training("short", "The ferry leaves at seven.", ""),
        TrainingInstance {
            kind: DocumentKind::Canary,
            canary_format: Some(2),
            ..training("canary", canary, "")
        },
    ];
    let kept_back = [
        held_out("h1", &format!("She reads. {long}"), ""),
        held_out("h2", &format!("He mends. {long}"), ""),
        HeldOutDocument {
            kind: DocumentKind::CanaryReference,
            canary_format: Some(2),
            ..held_out("reference", &canary.replace("4711", "4712"), "")
        },
    ];
    let bench = Bench::with(&train, &kept_back, &format!("{GREEDY}{MIDDLE}"));
    let (_, whole) = bench.extract("tiny-gpt2", "whole", &[]);
    let context = ["--set", "extraction.context=24"];
    let told = bench.told("tiny-gpt2", "cut", &context);
    assert!(
        told.contains("1 training documents and 2 held-out ones cut at 23 tokens, where training ended"),
        "{told}"
    );
    assert!(told.contains("2 canaries and references cut there too"), "{told}");
    let (samples, scores) = bench.results("cut");
    for (doc_id, text) in [("long", &long), ("h1", &kept_back[0].text)] {
        let tokens = tokens(text);
        let (asked, truth) = (&tokens[..8], &tokens[8..20]);
        let of_document = |strategy: &str| {
            let mut samples = samples.iter();
            samples
                .find(|sample| sample.doc_id.as_deref() == Some(doc_id) && sample.strategy == strategy)
                .unwrap()
        };
        assert_eq!(as_ids(&of_document("greedy").prompt_tokens), asked);
        // Of 23 tokens the middle eight begin at the seventh, and eight are left behind them.
        let middle = of_document("middle");
        assert_eq!(as_ids(&middle.prompt_tokens), &tokens[7..15]);
        let tokenizer = TextTokenizer::load(&fixtures().join("tiny-gpt2")).unwrap();
        assert_eq!(middle.truth, Some(tokenizer.decode(&tokens[15..23]).unwrap()));
        assert_eq!(
            of_document("greedy").truth,
            Some(tokenizer.decode(truth).unwrap())
        );

        let all = row(&whole, doc_id, 0, tokens.len().min(63) as i32);
        let cut = row(&scores, doc_id, 0, 23);
        close(&cut.logprobs, &all.logprobs[..23]);
        assert_eq!(cut.argmax_hits, all.argmax_hits[..23]);
        for score in scores.iter().filter(|score| score.doc_id == doc_id) {
            assert!(score.prefix_tokens + score.suffix_tokens <= 23);
            assert_eq!(score.document_tokens, Some(tokens.len() as i32));
        }
    }
    let canary_tokens = tokens(canary).len() as i32;
    let cut = row(&scores, "canary", 0, 23);
    assert_eq!(
        (cut.document_tokens, cut.canary_format),
        (Some(canary_tokens), Some(2))
    );
    assert_eq!(row(&scores, "reference", 0, 23).canary_format, Some(2));
    let short = tokens("The ferry leaves at seven.").len() as i32;
    assert_eq!(row(&scores, "short", 0, short).document_tokens, Some(short));
    // Where training read all that the model can, that many tokens with the BOS are scored: 63 behind it.
    assert!(
        whole
            .iter()
            .all(|score| score.prefix_tokens + score.suffix_tokens <= 63)
    );
    let h1 = row(&whole, "h1", 0, 63);
    assert!(h1.document_tokens > Some(63), "{:?}", h1.document_tokens);
}

#[track_caller]
fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4, "{found} for {expected}");
    }
}

/// A file that tunes a model says by its own tables where that ended; what `[extraction]` says goes first.
#[test]
fn what_tuning_says_is_what_scores_go_by() {
    let train = [training("long", &SENTENCE.repeat(3), "")];
    let bench = Bench::with(&train, &[held_out("h", &SENTENCE.repeat(3), "")], GREEDY);
    let file = bench.path("extractor.toml");
    let pipeline = std::fs::read_to_string(&file).unwrap();
    let tuning = "[[model]]\nname = \"m\"\npath = \"m\"\n[[mode]]\nkind = \"full\"\nlearning_rate = 1e-3\n[tuning]\ncontext = 30\n";
    std::fs::write(&file, format!("{pipeline}{tuning}")).unwrap();
    for (more, tokens) in [
        (&[][..], 29),
        (&["--set", "extraction.context=40"], 39),
        (&["--set", "tuning.rows=packed"], 63),
    ] {
        let (_, scores) = bench.extract("tiny-gpt2", "cell", more);
        assert_eq!(
            row(&scores, "long", 0, tokens).split,
            contract::records::Split::Train
        );
    }
    // Another context is other work.
    bench.told("tiny-gpt2", "cell", &[]);
    assert!(
        !bench
            .told("tiny-gpt2", "cell", &["--set", "tuning.context=31"])
            .contains("up to date")
    );
}

/// k-extractable takes 50 tokens, whatever number is generated: behind 4, 8 and 10 of a document of 60, but not behind 11; and beside
/// it what is generated, once.
#[test]
fn continuations_of_fifty_tokens_are_scored_whatever_is_generated() {
    let mut text = SENTENCE.to_owned();
    while tokens(&text).len() < 60 {
        text.push('a');
    }
    let count = tokens(&text).len() as i32;
    assert_eq!(count, 60, "the text has the length that it is made to have");
    let bench = Bench::with(
        &[training("d", &text, "")],
        &[held_out("h", "The ferry leaves at seven.", "")],
        &format!(
            "scored_prefixes = [4, 10, 11]\nshort_documents = \"skip\"\nprompts = [\"train\"]\n{GREEDY}"
        ),
    );
    for (new_tokens, expected) in [
        ("12", vec![(0, 60), (4, 50), (8, 12), (8, 50), (10, 50)]),
        ("50", vec![(0, 60), (4, 50), (8, 50), (10, 50)]),
        ("54", vec![(0, 60), (4, 50), (8, 50), (8, 52), (10, 50)]),
    ] {
        let new = format!("extraction.new_tokens={new_tokens}");
        let told = bench.told("tiny-gpt2", new_tokens, &["--set", &new]);
        assert!(
            told.contains("1 documents too short for 50 tokens behind any scored prefix"),
            "{told}"
        );
        let (_, scores) = bench.results(new_tokens);
        let rows: Vec<(i32, i32)> = scores
            .iter()
            .filter(|score| score.doc_id == "d")
            .map(|score| (score.prefix_tokens, score.suffix_tokens))
            .collect();
        assert_eq!(rows, expected, "{new_tokens}");
    }
}

/// With loss on the response alone, the row of a document is its response, and continuations stand within it.
#[test]
fn scores_cover_the_tokens_that_carried_loss() {
    let question = "Where is the old chart room, and who keeps its key? ";
    let answer = "The harbour master keeps the key in the office on the quay. ".repeat(3);
    let train = [
        training("asked", &answer, question),
        training("plain", &SENTENCE.repeat(4), ""),
        // Its prompt alone is longer than what training read.
        training("lost", "Yes.", &SENTENCE.repeat(4)),
        TrainingInstance {
            kind: DocumentKind::Canary,
            ..training("canary", "4711", "The code is ")
        },
    ];
    let kept_back = [held_out("h", &answer, question)];
    let bench = Bench::with(
        &train,
        &kept_back,
        &format!("scored_prefixes = [2, 40]\n{GREEDY}"),
    );
    let (_, text) = bench.extract("tiny-gpt2", "text", &[]);
    let told = bench.told("tiny-gpt2", "response", &["--set", "extraction.loss_on=response"]);
    let (_, response) = bench.results("response");

    let prompt = tokens(question).len();
    assert!(
        prompt > 8,
        "a continuation behind 8 tokens would hold some of the prompt"
    );
    let whole = row(&text, "asked", 0, 63);
    let scored = row(&response, "asked", 0, 63 - prompt as i32);
    assert_eq!(scored.logprobs, whole.logprobs[prompt..]);
    assert_eq!(scored.vocab_std, whole.vocab_std[prompt..]);
    let prefixes = |doc_id: &str| -> Vec<i32> {
        let rows = response.iter().filter(|score| score.doc_id == doc_id);
        rows.map(|score| score.prefix_tokens).collect()
    };
    // Prefixes are counted behind the prompt, which was never learned: behind 2, 8 and 40 tokens of the answer no 50 are left, behind 8 the 12
    // that are generated.
    assert_eq!((prefixes("asked"), prefixes("h")), (vec![0, 8], vec![0, 8]));
    let behind = row(&response, "asked", 8, 12);
    assert_eq!(behind.logprobs, whole.logprobs[prompt + 8..prompt + 20]);
    assert_eq!(prefixes("plain"), [0, 2, 8, 8]);
    assert_eq!(
        row(&response, "canary", 0, tokens("4711").len() as i32).kind,
        DocumentKind::Canary
    );
    assert_eq!(prefixes("lost"), [0; 0]);
    assert!(
        told.contains("1 documents and canaries not scored: training took no loss on what it read of them"),
        "{told}"
    );
}
