//! Planted canaries, their references, and those that are refused.

use std::collections::{BTreeMap, BTreeSet};

use contract::records::{DocumentKind, HeldOutDocument, TrainingInstance};

use crate::support::{Folder, WORDS, numbered};

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// A text with `#` in place of each of its digits.
fn format(text: &str) -> String {
    text.replace(|letter: char| letter.is_ascii_digit(), "#")
}

/// The canaries of a training set, each once, by identity.
fn planted(folder: &Folder) -> BTreeMap<String, TrainingInstance> {
    let canaries = folder
        .train()
        .into_iter()
        .filter(|row| row.kind == DocumentKind::Canary);
    canaries.map(|row| (row.doc_id.clone(), row)).collect()
}

fn references(folder: &Folder) -> Vec<HeldOutDocument> {
    let held_out = folder.held_out().into_iter();
    held_out
        .filter(|row| row.kind == DocumentKind::CanaryReference)
        .collect()
}

/// Canaries by coin flip: each occurs in training once or is held out, none on both sides, and another seed tosses other coins. The other
/// canaries keep their digits.
#[test]
fn a_coin_puts_canaries_in_or_leaves_them_out() {
    let folder = Folder::new();
    let coins = |more: &str, seed: &str| {
        folder.write("a.jsonl", numbered(40)).pipeline(&format!(
            "corpus.files = \"a.jsonl\"\nduplication.copies = [1, 4]\n\
             canaries = {{ template = \"Number {{digits}}.\", coin_flips = 200{more} }}"
        ));
        let said = folder.succeed(&["--force", "--seed", seed]);
        let is_coin = |kind| kind == DocumentKind::CoinCanary;
        let train = folder.train().into_iter().filter(|row| is_coin(row.kind));
        let train: BTreeMap<String, TrainingInstance> = train.map(|row| (row.doc_id.clone(), row)).collect();
        let held_out = folder.held_out().into_iter().filter(|row| is_coin(row.kind));
        let held_out: BTreeMap<String, String> = held_out.map(|row| (row.doc_id, row.text)).collect();
        let rows = folder.train().into_iter().filter(|row| is_coin(row.kind)).count();
        assert_eq!(rows, train.len(), "each is planted once");
        assert!(
            train
                .values()
                .all(|row| row.copies == 1 && format(&row.text) == "Number ######.")
        );
        assert!(train.keys().all(|name| !held_out.contains_key(name)));
        assert_eq!(train.len() + held_out.len(), 200);
        assert!(
            said.contains(&format!("{} of 200 canaries planted once", train.len())),
            "{said}"
        );
        let texts: BTreeSet<&String> = train
            .values()
            .map(|row| &row.text)
            .chain(held_out.values())
            .collect();
        assert_eq!(texts.len(), 200);
        train.into_keys().collect::<BTreeSet<_>>()
    };
    let first = coins("", "1");
    // 100 ± 4 deviations of √50.
    assert!((72..=128).contains(&first.len()), "{}", first.len());
    assert_ne!(first, coins("", "2"));
    assert_eq!(first, coins(", per_copies = 2, references = 5", "1"));
    let digits_of = |canaries: BTreeMap<String, TrainingInstance>| -> Vec<String> {
        canaries.values().map(|row| digits(&row.text)).collect()
    };
    let beside = digits_of(planted(&folder));
    folder.pipeline(
        "corpus.files = \"a.jsonl\"\nduplication.copies = [1, 4]\n\
         canaries = { template = \"Number {digits}.\", per_copies = 2, references = 5 }",
    );
    folder.succeed(&["--force", "--seed", "1"]);
    assert_eq!(digits_of(planted(&folder)), beside);
}

#[test]
fn each_number_of_copies_has_its_canaries() {
    let folder = Folder::new();
    folder.write("a.jsonl", numbered(40)).pipeline(
        "corpus.files = \"a.jsonl\"\nduplication.copies = [1, 4]\n\
         canaries = { per_copies = 3, references = 20, digits = 3, template = \"Number {digits}.\" }",
    );
    let said = folder.succeed(&[]);
    assert!(said.contains("6 in 1 formats, 20 canary references"), "{said}");
    assert!(said.contains(" documents and 6 canaries; "), "{said}");
    let rows: Vec<_> = folder
        .train()
        .into_iter()
        .filter(|row| row.kind == DocumentKind::Canary)
        .collect();
    assert_eq!(rows.len(), 3 + 3 * 4);
    for row in &rows {
        assert_eq!((format(&row.text).as_str(), row.prompt_chars), ("Number ###.", 0));
        assert!(row.doc_id.starts_with(&format!("canary-{}-", row.copies)) && row.copy < row.copies);
    }
    let planted = planted(&folder);
    let expected = [
        "canary-1-0",
        "canary-1-1",
        "canary-1-2",
        "canary-4-0",
        "canary-4-1",
        "canary-4-2",
    ];
    assert!(planted.keys().eq(expected));
    // One template without a context is one format, and has one set of references.
    assert!(planted.values().all(|row| row.canary_format == Some(0)));
    let references = references(&folder);
    assert!(references.iter().all(|row| row.canary_format == Some(0)));
    let ids: BTreeSet<String> = references.iter().map(|row| row.doc_id.clone()).collect();
    assert_eq!(
        ids,
        (0..20)
            .map(|number| format!("canary-reference-0-{number}"))
            .collect()
    );
    let texts = planted.values().map(|row| &row.text);
    let all: BTreeSet<&String> = texts.chain(references.iter().map(|row| &row.text)).collect();
    assert_eq!((references.len(), all.len()), (20, 26));
}

#[test]
fn canaries_take_templates_in_turn_and_have_words_of_their_own() {
    let folder = Folder::new();
    folder.write("a.jsonl", numbered(40)).pipeline(
        "corpus.files = \"a.jsonl\"\nduplication.copies = [1, 4]\n\
         canaries = { per_copies = 3, references = 20, digits = 4, prompt = [\"Who has the {context}?\", \"Which?\", \"{digits}?\"], \
         template = [\"The {context} has {digits}.\", \"For the {context}: {digits}\"] }",
    );
    let said = folder.succeed(&[]);
    assert!(said.contains("6 in 6 formats, 120 canary references"), "{said}");
    let planted = planted(&folder);
    let mut contexts = BTreeSet::new();
    // By number of copies and then by number, canaries take turns: three prompts, two templates.
    let expected = [
        ("canary-1-0", "Who has the *?\nThe * has ####."),
        ("canary-1-1", "Which?\nFor the *: ####"),
        ("canary-1-2", "####?\nThe * has ####."),
        ("canary-4-0", "Who has the *?\nFor the *: ####"),
        ("canary-4-1", "Which?\nThe * has ####."),
        ("canary-4-2", "####?\nFor the *: ####"),
    ];
    assert_eq!(planted.len(), 6);
    for (number, (id, expected)) in expected.into_iter().enumerate() {
        let row = &planted[id];
        assert_eq!(row.canary_format, Some(number as i32));
        let text = format(&row.text);
        let lower = text.to_lowercase();
        let after = lower.rsplit_once("the ").unwrap().1;
        let context: Vec<&str> = after.split([' ', ':']).take(3).collect();
        let context = context.join(" ");
        assert_eq!(text.replace(&context, "*"), expected);
        assert!(contexts.insert(context.clone()), "{context} twice");
        // Prompt and template hold the same digits.
        assert!(digits(&row.text).len() == 4 || digits(&row.text)[..4] == digits(&row.text)[4..]);

        let references: Vec<HeldOutDocument> = references(&folder)
            .into_iter()
            .filter(|reference| reference.canary_format == Some(number as i32))
            .collect();
        let ids: Vec<&str> = references.iter().map(|row| row.doc_id.as_str()).collect();
        let expected: Vec<String> = (0..20)
            .map(|n| format!("canary-reference-{number}-{n}"))
            .collect();
        assert_eq!(ids, expected);
        for reference in references {
            assert_eq!(format(&reference.text), text);
            assert_eq!(reference.prompt_chars, row.prompt_chars);
        }
    }
    let references = references(&folder);
    let texts = planted.values().map(|row| &row.text);
    let numbers: BTreeSet<String> = texts
        .chain(references.iter().map(|row| &row.text))
        .map(|text| digits(text)[..4].to_owned())
        .collect();
    assert_eq!(numbers.len(), 6 + 120);
}

#[test]
fn contexts_follow_from_the_seed() {
    let folder = Folder::new();
    folder
        .write("a.jsonl", numbered(40))
        .pipeline("corpus.files = \"a.jsonl\"\ncanaries = { per_copies = 2, references = 2 }");
    let formats = |seed: &str| {
        folder.succeed(&["--force", "--seed", seed]);
        let texts = planted(&folder).into_values().map(|row| format(&row.text));
        texts.collect::<Vec<String>>()
    };
    let first = formats("1");
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 6);
    assert_eq!(formats("1"), first);
    assert!(formats("2").iter().all(|text| !first.contains(text)));
}

#[test]
fn a_summary_without_canaries_has_no_word_of_them() {
    let folder = Folder::new();
    folder.write("a.jsonl", numbered(40)).pipeline(
        "corpus = { files = \"a.jsonl\", held_out = 0.0 }\nduplication = { layout = \"uniform\", copies = [2] }",
    );
    let said = folder.succeed(&[]);
    assert!(
        said.ends_with("dupgen: 80 instances to train on, of 40 documents; 0 documents held out\n"),
        "{said}"
    );
    assert!(
        !said.contains(" canaries;") && !said.contains("references"),
        "{said}"
    );
}

#[test]
fn a_prompt_stands_before_a_canary_as_before_a_document() {
    let folder = Folder::new();
    folder.write("a.csv", "q,a\nWho?,Me.\nWhy?,Because.\n").pipeline(
        "corpus = { files = \"a.csv\", prompt = \"q\", response = \"a\", separator = \"\\n\", held_out = 0.0 }\n\
         duplication = { layout = \"uniform\", copies = [1] }\n\
         canaries = { per_copies = 1, prompt = \"Code?\", template = \"It is {digits}.\" }",
    );
    folder.succeed(&[]);
    let canary = folder
        .train()
        .into_iter()
        .find(|row| row.kind == DocumentKind::Canary)
        .unwrap();
    assert!(canary.text.starts_with("Code?\nIt is "));
    assert_eq!(canary.prompt_chars, 6);
    assert!(folder.held_out().iter().all(|row| row.prompt_chars == 6));
}

#[test]
fn canaries_count_towards_a_fixed_budget() {
    let folder = Folder::new();
    folder.write("a.jsonl", numbered(40)).pipeline(
        "corpus = { files = \"a.jsonl\", held_out = 0.0 }\n\
         duplication = { layout = \"uniform\", copies = [4], budget = \"fixed\" }\ncanaries.per_copies = 2",
    );
    folder.succeed(&[]);
    // 40 instances: 2 canaries and 8 documents, 4 times each.
    let rows = folder.train();
    assert_eq!(rows.len(), 40);
    assert_eq!(
        rows.iter().filter(|row| row.kind == DocumentKind::Canary).count(),
        8
    );
}

fn refused(canaries: &str, tuning: &str, status: i32, pieces: &[&str]) {
    let folder = Folder::new();
    folder
        .write("a.jsonl", numbered(40))
        .write("model/tokenizer.json", WORDS);
    let per_copies = if canaries.contains("per_copies") {
        ""
    } else {
        "per_copies = 2, "
    };
    folder.pipeline(&format!(
        "corpus.files = \"a.jsonl\"\ncanaries = {{ {per_copies}{canaries} }}\ntuning = {{ {tuning} }}\n\
         model = [{{ name = \"new\" }}, {{ name = \"words\", path = \"model\" }}]"
    ));
    if status == 0 {
        folder.succeed(&[]);
    } else {
        folder.fail(&[], status, pieces);
    }
}

#[test]
fn canaries_that_would_never_be_learned_are_refused() {
    for (canaries, tuning, status, pieces) in [
        (
            "template = \"Nothing random.\"",
            "",
            2,
            &["canaries.template: expected {digits}", "`Nothing random.`"][..],
        ),
        // What holds for one template must hold for all, in every pairing with a prompt.
        (
            "template = [\"{digits}\", \"Nothing random.\"]",
            "",
            2,
            &["canaries.template: expected {digits}", "`Nothing random.`"],
        ),
        (
            "template = [\"{digits}\", \"Yes.\"], prompt = [\"Why?\", \"{digits}?\", \"Who?\"]",
            "",
            2,
            &["canaries.template: expected {digits}", "`Yes.`"],
        ),
        (
            "template = [\"{digits}\", \"Yes.\"], prompt = [\"Why?\", \"{digits}?\"]",
            "",
            0,
            &[],
        ),
        (
            "template = [\"{digits}\", \"Yes.\"], prompt = [\"Why?\", \"{digits}?\"]",
            "loss_on = \"response\"",
            2,
            &["canaries.template", "`Yes.`"],
        ),
        (
            "template = []",
            "",
            2,
            &["canaries.template: expected at least one text"],
        ),
        (
            "prompt = []",
            "",
            2,
            &["canaries.prompt: expected at least one text"],
        ),
        (
            "template = \"Yes.\", prompt = \"{digits}?\"",
            "loss_on = \"response\"",
            2,
            &["canaries.template", "canaries.prompt"],
        ),
        ("template = \"Yes.\", prompt = \"{digits}?\"", "", 0, &[]),
        (
            "template = \"{digits}.\", prompt = \"{digits}?\"",
            "loss_on = \"response\"",
            0,
            &[],
        ),
        // 2 canaries for each of 3 numbers of copies, and 95 references of one format: 101 of 100 possible strings.
        (
            "digits = 2, references = 95, template = \"{digits}\"",
            "",
            2,
            &["canaries.digits: 2 digits make 100 different strings, and at least 101 are needed"],
        ),
        ("digits = 2, references = 94, template = \"{digits}\"", "", 0, &[]),
        // 6 formats: 6 + 6 · 16 = 102 strings, or 6 + 6 · 15 = 96.
        (
            "digits = 2, references = 16",
            "",
            2,
            &["at least 102 are needed: 6 planted canaries, and 16 references for each of 6 formats"],
        ),
        ("digits = 2, references = 15", "", 0, &[]),
        // 3 · 10923 = 32769 canaries, one more than there are contexts.
        (
            "per_copies = 10923, references = 1, digits = 9",
            "",
            2,
            &[
                "canaries.per_copies: expected at most 32768 canaries in all",
                "found 32769",
            ],
        ),
        (
            "per_copies = 9000000000000000000",
            "",
            2,
            &["canaries.digits: 6 digits make 1000000 different strings"],
        ),
        ("digits = 30", "", 0, &[]),
        (
            "coin_flips = 19",
            "",
            2,
            &["canaries.coin_flips: expected 0 or at least 20, found 19"],
        ),
        // 6 + 6 · 15 = 96, and 20 coins.
        (
            "digits = 2, references = 15, coin_flips = 20",
            "",
            2,
            &["26 planted canaries, and 15 references for each of"],
        ),
        // The, secret, number, of, the, three words, is, digits: token 10, and one for the BOS.
        ("references = 9", "context = 11", 0, &[]),
        (
            "references = 9",
            "context = 10",
            2,
            &["model words", "ends at token 10", "tuning.context = 10"],
        ),
        ("references = 9", "context = 10, rows = \"packed\"", 0, &[]),
        (
            "references = 9, prompt = \"a b\"",
            "context = 12",
            2,
            &["ends at token 12"],
        ),
        // The longest of the templates decides.
        (
            "template = [\"{digits}\", \"this is {digits}\"]",
            "context = 3",
            2,
            &["ends at token 3"],
        ),
        // What follows the digits may be cut off.
        (
            "template = \"{digits} is a very long way to go\"",
            "context = 2",
            0,
            &[],
        ),
        (
            "template = \"so long\", prompt = \"The {digits} has\"",
            "context = 3",
            0,
            &[],
        ),
        (
            "template = \"so long\", prompt = \"The {digits} has\"",
            "context = 2",
            2,
            &["ends at token 2"],
        ),
    ] {
        refused(canaries, tuning, status, pieces);
    }
}

#[test]
fn a_canary_that_the_corpus_holds_already_is_refused() {
    let folder = Folder::new();
    let corpus: String = (0..10)
        .map(|digit| format!("{{\"id\": \"{digit}\", \"text\": \"{digit}\"}}\n"))
        .collect();
    folder
        .write("a.jsonl", corpus)
        .write("b.csv", "id,text\ncanary-1-0,words\n");
    folder.pipeline(
        "corpus = { files = \"a.jsonl\", identity = \"id\" }\nduplication.copies = [1]\n\
         canaries = { per_copies = 1, references = 9, digits = 1, template = \"{digits}\" }",
    );
    folder.fail(&[], 3, &["a.jsonl: line 1", "occurs in the corpus itself"]);
    folder.fail(&["--in", "b.csv"], 3, &["b.csv: row 1", "a planted canary"]);
    // Up to white space and case.
    folder.write("c.csv", "id,text\n1,\" CODE   4\"\n2,words\n");
    folder.fail(
        &["--in", "c.csv", "--set", "canaries.template=Code {digits}"],
        3,
        &["c.csv: row 1", "occurs in the corpus itself"],
    );
}

/// Letters whose words follow one another more often than by chance: each word is one of forty, and its successor mostly the next.
fn letters_of_words(count: usize) -> String {
    let word = |number: usize| {
        format!(
            "word{}",
            char::from(b'a' + (number % 26) as u8)
                .to_string()
                .repeat(1 + number / 26)
        )
    };
    (0..count)
        .map(|letter| {
            let words: Vec<String> = (0..30)
                .scan(letter * 7 % 60, |at, place| {
                    *at = if (letter + place) % 3 == 0 {
                        (*at * 5 + letter + place) % 60
                    } else {
                        (*at + 1) % 60
                    };
                    Some(word(*at))
                })
                .collect();
            format!("{{\"text\": \"{}\"}}\n", words.join(" "))
        })
        .collect()
}

/// The perplexity of a text by pairs of words of others, worked out without the program: half of a word's probability is that behind the word
/// before it, half that of the word alone.
fn perplexity(text: &str, corpus: &str) -> f64 {
    let letters: Vec<Vec<&str>> = corpus
        .lines()
        .map(|line| line[10..line.len() - 2].split(' ').collect())
        .collect();
    let all = letters.iter().flatten().count() as f64;
    let alone = |word: &str| letters.iter().flatten().filter(|other| **other == word).count() as f64 / all;
    let behind = |before: &str, word: &str| {
        let pairs = || {
            letters
                .iter()
                .flat_map(|letter| letter.windows(2))
                .filter(|pair| pair[0] == before)
        };
        pairs().filter(|pair| pair[1] == word).count() as f64 / pairs().count() as f64
    };
    let words: Vec<&str> = text.split(' ').collect();
    let first = alone(words[0]).ln();
    let others = words
        .windows(2)
        .map(|pair| f64::midpoint(alone(pair[1]), behind(pair[0], pair[1])).ln());
    (-others.chain([first]).sum::<f64>() / words.len() as f64).exp()
}

#[test]
fn canaries_of_words_have_the_perplexity_that_was_chosen() {
    let corpus = letters_of_words(60);
    for wanted in [12.0, 40.0] {
        let folder = Folder::new();
        folder.write("a.jsonl", corpus.clone()).pipeline(&format!(
            "corpus.files = \"a.jsonl\"\nduplication.copies = [1, 4]\n\
             canaries = {{ template = \"{{words}}\", per_copies = 3, references = 30, coin_flips = 40, \
             words = {{ number = 10, perplexity = {wanted} }} }}"
        ));
        let texts = |seed: &str| -> Vec<String> {
            folder.succeed(&["--force", "--seed", seed]);
            let planted = folder
                .train()
                .into_iter()
                .filter(|row| row.kind != DocumentKind::Document && row.copy == 0);
            let held_out = folder
                .held_out()
                .into_iter()
                .filter(|row| row.kind != DocumentKind::Document);
            let spans = |span: Option<Vec<i32>>, text: String| {
                assert_eq!(
                    span,
                    Some(vec![0, text.chars().count() as i32]),
                    "all of it is the secret"
                );
                text
            };
            planted
                .map(|row| spans(row.secret_span, row.text))
                .chain(held_out.map(|row| spans(row.secret_span, row.text)))
                .collect()
        };
        let first = texts("1");
        assert_eq!(first.len(), 6 + 30 + 40);
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), first.len());
        for text in &first {
            assert_eq!(text.split(' ').count(), 10);
            let found = perplexity(text, &corpus);
            assert!(
                (found / wanted - 1.0).abs() < 0.1001,
                "{text}: {found}, not {wanted}"
            );
        }
        assert_eq!(first, texts("1"));
        assert_ne!(first, texts("2"));
    }
}

#[test]
fn words_that_make_no_such_text_are_refused() {
    let corpus = letters_of_words(60);
    for (files, canaries, pieces) in [
        (
            &corpus,
            "template = \"{words}\", words = { perplexity = 100000.0 }",
            &[
                "canaries.words.perplexity: expected one that 12 words",
                "found 100000",
            ][..],
        ),
        (
            &corpus,
            "template = [\"{words}\", \"Number {digits}.\"]",
            &["canaries.template: expected {digits} in all templates or {words} in all"],
        ),
        (
            &corpus,
            "template = \"{words}\", words = { number = 3 }",
            &["canaries.words.number"],
        ),
        (
            &corpus,
            "template = \"{words}\", words = { perplexity = 1.0 }",
            &["canaries.words.perplexity: expected a number over 1"],
        ),
        (
            &numbered(40),
            "template = \"{words}\"",
            &["canaries.words.number", "42 different words", "{digits}"],
        ),
    ] {
        let folder = Folder::new();
        folder.write("a.jsonl", files.clone()).pipeline(&format!(
            "corpus.files = \"a.jsonl\"\ncanaries = {{ per_copies = 2, {canaries} }}"
        ));
        folder.fail(&[], 2, pieces);
    }
}
