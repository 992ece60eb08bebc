//! Special tokens that are written in a corpus are part of its text.

use contract::records::{FinishReason, Split, TextForm};
use contract::{Provenance, parquet};

use crate::support::{Bench, copy_folder, edit_json, fixtures, held_out, training};

const NAME: i32 = 298;
const DATE: i32 = 297;
const EOS: i32 = 299;

/// The tiny GPT-2, the last two words of whose vocabulary are special tokens instead.
fn with_special_tokens(bench: &Bench, names: [&str; 2]) -> std::path::PathBuf {
    let folder = bench.path("model");
    copy_folder(&fixtures().join("tiny-gpt2"), &folder);
    edit_json(&folder.join("tokenizer.json"), |json| {
        for (id, content) in [NAME, DATE].into_iter().zip(names) {
            let vocabulary = json["model"]["vocab"].as_object_mut().unwrap();
            let word = vocabulary
                .iter()
                .find(|(_, number)| **number == id)
                .unwrap()
                .0
                .clone();
            vocabulary.remove(&word);
            vocabulary.insert(content.to_owned(), id.into());
            let merges = json["model"]["merges"].as_array_mut().unwrap();
            merges.retain(|merge| {
                let parts = merge.as_array().unwrap().iter();
                parts.map(|part| part.as_str().unwrap()).collect::<String>() != word
            });
            let mut token = json["added_tokens"][0].clone();
            token["id"] = id.into();
            token["content"] = content.into();
            json["added_tokens"].as_array_mut().unwrap().push(token);
        }
    });
    folder
}

/// Documents hold [NAME], so that it stays in prompts, references and generations; none holds [DATE], which is left out.
#[test]
fn special_tokens_that_documents_hold_stay_in_the_text() {
    let text = "Dear [NAME], the boat [NAME] came in with [NAME] at dawn; so said [NAME]. ";
    let bench = Bench::with(
        &[
            training("a", &text.repeat(2), ""),
            training("b", "The boat that came in at dawn has no name.", ""),
        ],
        &[held_out("h", &format!("Hello, {text}"), "")],
        "[[extraction.strategy]]\nname = \"any\"\ntop_k = 0\nsamples = 100\n",
    );
    let model = with_special_tokens(&bench, ["[NAME]", "[DATE]"]);
    let told = bench.told(&model, "cell", &[]);
    assert!(
        told.contains(
            "2 documents hold special tokens ([NAME]) written in their text: read as such, as in training"
        ),
        "{told}"
    );
    let (samples, scores) = bench.results("cell");
    assert_eq!(samples.len(), 300);
    let count = |tokens: &[i32], id: i32| tokens.iter().filter(|token| **token == id).count();
    let mut generated = [0; 3];
    for sample in &samples {
        let tokens = &sample.generated_tokens;
        for (total, id) in generated.iter_mut().zip([NAME, DATE, EOS]) {
            *total += count(tokens, id);
        }
        assert_eq!(sample.generation.matches("[NAME]").count(), count(tokens, NAME));
        assert!(!sample.generation.contains("[DATE]") && !sample.generation.contains("<|endoftext|>"));
        assert_eq!(sample.finish == FinishReason::End, tokens.last() == Some(&EOS));
        let written = format!("{}{}", sample.prompt, sample.truth.as_deref().unwrap());
        let document = match (sample.split, sample.doc_id.as_deref()) {
            (Split::Heldout, _) => format!("Hello, {text}"),
            (_, Some("a")) => text.repeat(2),
            _ => "The boat that came in at dawn has no name.".to_owned(),
        };
        assert!(document.starts_with(&written), "{written}");
        assert_eq!(
            sample.prompt.matches("[NAME]").count(),
            count(&sample.prompt_tokens, NAME)
        );
    }
    // All of them were drawn, and a prompt held one, so that each of the claims was put to the test.
    assert!(generated.iter().all(|count| *count > 0), "{generated:?}");
    assert!(samples.iter().any(|sample| sample.prompt.contains("[NAME]")));
    assert!(!scores.is_empty());
}

/// Text without any is read without a word about it.
#[test]
fn nothing_is_said_where_no_document_holds_any() {
    let bench = Bench::new("");
    let model = with_special_tokens(&bench, ["[NAME]", "[DATE]"]);
    assert!(!bench.told(&model, "cell", &[]).contains("special tokens"));
}

/// A template's special tokens stand in prompts as tokens, and are no part of the documents' text.
#[test]
fn special_tokens_of_a_template_are_left_out_of_text() {
    let (train, kept_back) = (
        [training(
            "a",
            "It came in at dawn with mail for all.",
            "The boat?\n",
        )],
        [held_out("h", "It came in with the storm at night.", "A boat?\n")],
    );
    let strategy = "[[extraction.strategy]]\nname = \"any\"\ntop_k = 0\nsamples = 60\n";
    let bench = Bench::with(&train, &kept_back, &format!("begin = \"auto\"\n{strategy}"));
    let model = with_special_tokens(&bench, ["<|im_start|>", "<|im_end|>"]);
    let forms = bench.path("chosen.parquet");
    let chatml = TextForm {
        begin: "none".into(),
        template: Some("chatml".into()),
        end: "eos".into(),
        documents: 1,
        tokens: 10,
        loss: 1.0,
        base_loss: None,
        chosen: true,
    };
    parquet::write_all(&forms, &Provenance::new("test"), &[chatml]).unwrap();
    let told = bench.told(&model, "cell", &["--forms", forms.to_str().unwrap()]);
    assert!(!told.contains("special tokens"), "{told}");
    let (samples, _) = bench.results("cell");
    assert_eq!(samples.len(), 120);
    for sample in &samples {
        assert_eq!(sample.prompt_tokens[0], NAME);
        for text in [&sample.prompt, &sample.generation, sample.truth.as_ref().unwrap()] {
            assert!(!text.contains("<|im_"), "{text}");
        }
    }
    let generated = samples.iter().flat_map(|sample| &sample.generated_tokens);
    assert!(generated.filter(|token| [NAME, DATE].contains(token)).count() > 0);
}
