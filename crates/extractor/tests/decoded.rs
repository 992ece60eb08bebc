//! Documents as tokenizers of each kind give them back, and where each character of that comes from.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;

use contract::records::DecodedDocument;
use extractor::decoded::decode;
use proptest::prelude::*;
use serde_json::{Value, json};
use text_tokens::TextTokenizer;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Accents in both normal forms, a ligature, full-width digits, blanks of several kinds, and characters that vocabularies lack.
const TEXT: &str = "Zoë's  ﬁne CAFÉ, No.\u{a0}１２:\tit cost ½ — e\u{301}te\u{301} ☃ ok?\r\nShe paid ``twice'' … <user> again. 漢字 out \n";

/// A kind of tokenizer.
struct Kind {
    name: &'static str,
    tokenizer: Value,
    /// What it gives back of [`TEXT`].
    decoded: &'static str,
    /// Whether it writes something else, `[UNK]` say, for what it does not know.
    has_unknown: bool,
}

/// The tiny GPT-2's byte-level BPE with this normalizer.
fn byte_level(normalizer: Value) -> Value {
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures/tiny-gpt2/tokenizer.json");
    let mut json: Value = serde_json::from_str(&std::fs::read_to_string(fixture).unwrap()).unwrap();
    json["normalizer"] = normalizer;
    json
}

fn with(mut tokenizer: Value, key: &str, value: Value) -> Value {
    tokenizer[key] = value;
    tokenizer
}

fn sequence(normalizers: &[Value]) -> Value {
    json!({"type": "Sequence", "normalizers": normalizers})
}

fn named(name: &str) -> Value {
    json!({"type": name})
}

fn replace(pattern: Value, content: &str) -> Value {
    json!({"type": "Replace", "pattern": pattern, "content": content})
}

/// Letters, digits and punctuation of ASCII.
fn ascii() -> impl Iterator<Item = String> + Clone {
    (33..127_u8).map(|byte| char::from(byte).to_string())
}

fn numbered(tokens: impl Iterator<Item = String>) -> Value {
    tokens
        .enumerate()
        .map(|(id, token)| (token, json!(id)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn special(id: usize, content: &str) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
}

fn metaspace(scheme: &str) -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true})
}

fn bpe(vocabulary: Value, byte_fallback: bool, unknown: Option<&str>) -> Value {
    json!({"type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null, "end_of_word_suffix": null,
        "fuse_unk": true, "byte_fallback": byte_fallback, "vocab": vocabulary, "merges": []})
}

fn tokenizer(
    model: Value,
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    specials: &[Value],
) -> Value {
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": specials, "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": decoder, "model": model})
}

/// As Llama's: a blank before the text, blanks as marks, bytes for characters that the vocabulary lacks.
fn llama() -> Value {
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let tokens = ["<unk>", "<s>", "▁"]
        .map(str::to_owned)
        .into_iter()
        .chain(bytes)
        .chain(ascii());
    let decoder = json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]});
    let normalizer = sequence(&[
        json!({"type": "Prepend", "prepend": "▁"}),
        replace(json!({"String": " "}), "▁"),
    ]);
    let model = bpe(numbered(tokens), true, Some("<unk>"));
    tokenizer(
        model,
        normalizer,
        Value::Null,
        decoder,
        &[special(0, "<unk>"), special(1, "<s>")],
    )
}

/// Without an unknown token: what the vocabulary lacks is left out.
fn dropping() -> Value {
    let model = bpe(
        numbered(std::iter::once("▁".to_owned()).chain(ascii())),
        false,
        None,
    );
    tokenizer(model, Value::Null, metaspace("first"), metaspace("first"), &[])
}

/// As T5's.
fn unigram() -> Value {
    let pieces = ["<unk>", "▁"].map(str::to_owned).into_iter().chain(ascii());
    let vocabulary: Vec<Value> = pieces.map(|piece| json!([piece, -2.0])).collect();
    let model = json!({"type": "Unigram", "unk_id": 0, "vocab": vocabulary, "byte_fallback": false});
    let normalizer = sequence(&[named("NFKC"), replace(json!({"Regex": " {2,}"}), " ")]);
    tokenizer(
        model,
        normalizer,
        metaspace("always"),
        metaspace("always"),
        &[special(0, "<unk>")],
    )
}

/// As BERT's: word pieces of lower-case letters, punctuation apart, blanks inserted.
fn word_pieces() -> Value {
    let first = std::iter::once("[UNK]".to_owned()).chain(ascii());
    let later = ('a'..='z').chain('0'..='9').map(|letter| format!("##{letter}"));
    let model = json!({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": numbered(first.chain(later))});
    let normalizer = json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
        "lowercase": true});
    let decoder = json!({"type": "WordPiece", "prefix": "##", "cleanup": true});
    tokenizer(
        model,
        normalizer,
        named("BertPreTokenizer"),
        decoder,
        &[special(0, "[UNK]")],
    )
}

/// Whole words, and no decoder: a blank between any two.
fn whole_words() -> Value {
    let words = "[UNK] Zoë s fine it cost ok She paid twice again out , . : ? ' `` <user> CAFÉ No";
    let model = json!({"type": "WordLevel", "unk_token": "[UNK]", "vocab": numbered(words.split(' ').map(str::to_owned))});
    tokenizer(
        model,
        Value::Null,
        named("Whitespace"),
        Value::Null,
        &[special(0, "[UNK]")],
    )
}

/// An added token that takes the blanks around it.
fn blank_eater() -> Value {
    let mut json = byte_level(Value::Null);
    let mut token = special(300, "<user>");
    (token["lstrip"], token["rstrip"]) = (json!(true), json!(true));
    json["added_tokens"].as_array_mut().unwrap().push(token);
    json
}

fn kinds() -> Vec<Kind> {
    let strip = json!({"type": "Strip", "strip_left": true, "strip_right": true});
    let trimmed =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let kind = |name, tokenizer, decoded| Kind {
        name,
        tokenizer,
        decoded,
        has_unknown: false,
    };
    let unknown = |name, tokenizer, decoded| Kind {
        has_unknown: true,
        ..kind(name, tokenizer, decoded)
    };
    vec![
        kind(
            "NFC",
            byte_level(named("NFC")),
            "Zoë's  ﬁne CAFÉ, No.\u{a0}１２:\tit cost ½ — été ☃ ok?\r\nShe paid ``twice'' … <user> again. 漢字 out \n",
        ),
        kind(
            "NFD",
            byte_level(named("NFD")),
            "Zoe\u{308}'s  ﬁne CAFE\u{301}, No.\u{a0}１２:\tit cost ½ — e\u{301}te\u{301} ☃ ok?\r\nShe paid ``twice'' … <user> again. \
             漢字 out \n",
        ),
        kind(
            "NFKC",
            byte_level(named("NFKC")),
            "Zoë's  fine CAFÉ, No. 12:\tit cost 1⁄2 — été ☃ ok?\r\nShe paid ``twice'' ... <user> again. 漢字 out \n",
        ),
        kind(
            "NFKD, trimmed offsets",
            with(byte_level(named("NFKD")), "post_processor", trimmed),
            "Zoe\u{308}'s  fine CAFE\u{301}, No. 12:\tit cost 1⁄2 — e\u{301}te\u{301} ☃ ok?\r\nShe paid ``twice'' ... <user> again. \
             漢字 out \n",
        ),
        kind(
            "lower case",
            byte_level(named("Lowercase")),
            "zoë's  ﬁne café, no.\u{a0}１２:\tit cost ½ — e\u{301}te\u{301} ☃ ok?\r\nshe paid ``twice'' … <user> again. 漢字 out \n",
        ),
        kind(
            "accents stripped",
            byte_level(sequence(&[named("NFD"), named("StripAccents")])),
            "Zoe's  ﬁne CAFE, No.\u{a0}１２:\tit cost ½ — ete ☃ ok?\r\nShe paid ``twice'' … <user> again. 漢字 out \n",
        ),
        kind(
            "blanks collapsed",
            byte_level(replace(json!({"Regex": r"\s+"}), " ")),
            "Zoë's ﬁne CAFÉ, No. １２: it cost ½ — e\u{301}te\u{301} ☃ ok? She paid ``twice'' … <user> again. 漢字 out ",
        ),
        kind(
            "quotes replaced",
            byte_level(sequence(&[
                replace(json!({"String": "``"}), "\""),
                replace(json!({"String": "''"}), "\""),
            ])),
            "Zoë's  ﬁne CAFÉ, No.\u{a0}１２:\tit cost ½ — e\u{301}te\u{301} ☃ ok?\r\nShe paid \"twice\" … <user> again. 漢字 out \n",
        ),
        kind(
            "ends trimmed",
            byte_level(strip),
            "Zoë's  ﬁne CAFÉ, No.\u{a0}１２:\tit cost ½ — e\u{301}te\u{301} ☃ ok?\r\nShe paid ``twice'' … <user> again. 漢字 out",
        ),
        kind(
            "prefix and byte fallback",
            with(
                llama(),
                "normalizer",
                sequence(&[
                    named("NFC"),
                    json!({"type": "Prepend", "prepend": "▁"}),
                    replace(json!({"String": " "}), "▁"),
                ]),
            ),
            "Zoë's  ﬁne CAFÉ, No.\u{a0}１２:\tit cost ½ — été ☃ ok?\r\nShe paid ``twice'' … <user> again. 漢字 out \n",
        ),
        kind(
            "unknown left out",
            dropping(),
            "Zo's  ne CAF, No.:it cost   ete  ok?She paid ``twice''  <user> again.  out ",
        ),
        unknown(
            "unigram",
            unigram(),
            "Zo<unk>'s fine CAF<unk>, No. 12:<unk>it cost 1<unk>2 <unk> <unk>t<unk> <unk> ok?<unk>She paid ``twice'' ... <user> again. \
             <unk> out <unk>",
        ),
        unknown(
            "word pieces",
            word_pieces(),
            "zoe ' s [UNK] cafe, no. [UNK] : it cost [UNK] [UNK] ete [UNK] ok? she paid ` ` twice ' ' [UNK] < user > again. [UNK] [UNK] \
             out",
        ),
        unknown(
            "whole words",
            whole_words(),
            "Zoë ' s [UNK] CAFÉ , No . [UNK] : it cost [UNK] [UNK] [UNK] [UNK] ok ? She paid `` twice [UNK] [UNK] [UNK] [UNK] [UNK] again \
             . [UNK] out",
        ),
        kind(
            "token that takes blanks",
            blank_eater(),
            "Zoë's  ﬁne CAFÉ, No.\u{a0}１２:\tit cost ½ — e\u{301}te\u{301} ☃ ok?\r\nShe paid ``twice'' …<user>again. 漢字 out \n",
        ),
    ]
}

fn load(json: &Value) -> TextTokenizer {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    TextTokenizer::load(folder.path()).unwrap()
}

fn read(tokenizer: &TextTokenizer, text: &str) -> Option<DecodedDocument> {
    decode("d", text, &tokenizer.tokenize(text).unwrap(), tokenizer).unwrap()
}

/// Letters and digits in lower case, without accents.
fn bare(text: &str) -> String {
    let text = text.to_lowercase();
    let letters = text.nfkd().filter(|letter| !is_combining_mark(*letter));
    letters.filter(|letter| letter.is_alphanumeric()).collect()
}

#[test]
fn each_kind_of_tokenizer_gives_back_its_own_form() {
    for kind in kinds() {
        let decoded = read(&load(&kind.tokenizer), TEXT).unwrap();
        assert_eq!(decoded.text, kind.decoded, "{}", kind.name);
        assert_eq!(decoded.doc_id, "d");
    }
}

#[test]
fn a_text_that_is_given_back_as_it_is_written_has_no_row() {
    assert_eq!(read(&load(&byte_level(Value::Null)), TEXT), None);
    assert_eq!(read(&load(&llama()), TEXT), None);
    assert_eq!(read(&load(&blank_eater()), "Dear<user>said nothing."), None);
    assert_eq!(read(&load(&word_pieces()), ""), None);
}

/// Every word of a decoded text leads to the same word of the text, whatever was lost or inserted before it.
#[test]
fn words_lead_back_to_themselves() {
    let written: Vec<char> = TEXT.chars().collect();
    for kind in kinds() {
        let decoded = read(&load(&kind.tokenizer), TEXT).unwrap();
        let letters: Vec<char> = decoded.text.chars().collect();
        let mut checked = 0;
        for (number, word) in letters.split(|letter| !letter.is_alphanumeric()).enumerate() {
            let text: String = word.iter().collect();
            if word.is_empty() || text.to_lowercase() == "unk" {
                continue;
            }
            let before = letters.split(|letter| !letter.is_alphanumeric()).take(number);
            let start: usize = before.map(|word| word.len() + 1).sum();
            let places = [start, start + word.len() - 1].map(|place| decoded.origins[place] as usize);
            let found: String = written[places[0]..=places[1]].iter().collect();
            // Half of what "½" becomes leads to all of it.
            let is_same = bare(&found) == bare(&text) || found == "½" && "1⁄2".contains(&text);
            assert!(is_same, "{}: {text:?} is led to {found:?}", kind.name);
            checked += 1;
        }
        assert!(checked >= 10, "{}: only {checked} words", kind.name);
        // The last word is followed by what the tokenizer left out of the end.
        assert_eq!(
            decoded.origins.last(),
            Some(&(written.len() as i32)),
            "{}",
            kind.name
        );
    }
}

#[test]
fn what_is_lost_whole_leads_nowhere() {
    let decoded = read(&load(&dropping()), "漢字").unwrap();
    assert_eq!(
        (decoded.text.as_str(), decoded.origins.as_slice()),
        ("", [2].as_slice())
    );
}

/// A replacement character that is written is one, and not half of another: what follows it is placed.
#[test]
fn written_replacement_characters_do_not_hide_what_follows() {
    let text = format!("A\u{fffd} \u{fffd}\u{fffd}{} END", "Bc ".repeat(50));
    let length = text.chars().count() as i32;
    let decoded = read(&load(&byte_level(named("Lowercase"))), &text).unwrap();
    assert_eq!(decoded.origins, (0..=length).collect::<Vec<_>>());
    let quoted = format!("``{text}");
    let quotes = replace(json!({"String": "``"}), "\"");
    let decoded = read(&load(&byte_level(quotes)), &quoted).unwrap();
    assert_eq!(decoded.text, format!("\"{text}"));
    // The tokenizer says of the mark only that it comes from the second of the two.
    assert_eq!(decoded.origins[1..], (2..=length + 2).collect::<Vec<_>>());
}

fn any_text() -> impl Strategy<Value = String> {
    let parts = [
        "a",
        "B",
        "the ",
        " twice",
        "é",
        "e\u{301}",
        "ﬁ",
        "Å",
        "ſ",
        "İ",
        "１",
        "½",
        "…",
        " ",
        "  ",
        "\t",
        "\r\n",
        "☃",
        "漢",
        "ß",
        "한",
        "👩\u{200d}⚕\u{fe0f}",
        "\u{1112}\u{1161}\u{11ab}",
        "\u{fffd}",
        "``",
        "[NAME]",
        "<user>",
        ".",
        "'s",
        "\u{a0}",
        "\u{301}",
        "\u{0}",
    ];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn origins_ascend_within_the_text_to_the_same_letters(text in any_text()) {
        let written: Vec<char> = text.chars().collect();
        for kind in kinds() {
            let tokenizer = load(&kind.tokenizer);
            let Some(decoded) = read(&tokenizer, &text) else { continue };
            prop_assert_ne!(&decoded.text, &text);
            prop_assert_eq!(decoded.origins.len(), decoded.text.chars().count() + 1);
            prop_assert!(decoded.origins.is_sorted(), "{}: {:?}", kind.name, decoded);
            prop_assert!(decoded.origins[0] >= 0);
            prop_assert_eq!(*decoded.origins.last().unwrap() as usize, written.len());
            for (letter, &place) in decoded.text.chars().zip(&decoded.origins) {
                let origin = written.get(place as usize);
                prop_assert!(origin.is_some(), "{}: {:?}", kind.name, decoded);
                if !kind.has_unknown && letter.is_ascii_alphanumeric() {
                    let origin = bare(&origin.unwrap().to_string());
                    prop_assert!(
                        origin.contains(&bare(&letter.to_string())),
                        "{}: {letter:?} from {origin:?} of {text:?}: {decoded:?}", kind.name
                    );
                }
            }
        }
    }
}
