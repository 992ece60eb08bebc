//! The secrets of canaries: what is left of them is scored behind the canary's own beginning, and behind half of the secret.

use contract::records::{DocumentKind, HeldOutDocument, Score, TrainingInstance};
use text_tokens::TextTokenizer;

use crate::support::{Bench, fixtures, held_out, training};

const BEGINNING: &str = "Über die Insel: ";
const SECRETS: [&str; 2] = ["the red boat left at seven", "a blue lamp was lost in May"];

fn span(text: &str, secret: &str) -> Vec<i32> {
    let start = text[..text.find(secret).unwrap()].chars().count();
    vec![start as i32, (start + secret.chars().count()) as i32]
}

fn bench(extraction: &str) -> Bench {
    let planted = TrainingInstance {
        kind: DocumentKind::Canary,
        canary_format: Some(0),
        ..training("planted", SECRETS[0], BEGINNING)
    };
    let reference = HeldOutDocument {
        kind: DocumentKind::CanaryReference,
        canary_format: Some(0),
        ..held_out("reference", SECRETS[1], BEGINNING)
    };
    let planted = TrainingInstance {
        secret_span: Some(span(&planted.text, SECRETS[0])),
        ..planted
    };
    let reference = HeldOutDocument {
        secret_span: Some(span(&reference.text, SECRETS[1])),
        ..reference
    };
    let train = [
        training("d", &"The pilot boat came in at dawn with mail. ".repeat(3), ""),
        planted,
    ];
    Bench::with(
        &train,
        &[reference],
        &format!("{extraction}\n[[extraction.strategy]]\nname = \"greedy\"\ntemperature = 0\n"),
    )
}

fn rests<'a>(scores: &'a [Score], doc_id: &str) -> Vec<&'a Score> {
    scores
        .iter()
        .filter(|score| score.doc_id == doc_id && score.secret_tokens_given.is_some())
        .collect()
}

#[test]
fn the_rest_of_a_secret_is_scored_behind_its_beginning_and_behind_half_of_it() {
    let bench = bench("");
    let (_, scores) = bench.extract("tiny-gpt2", "out", &[]);
    let tokenizer = TextTokenizer::load(&fixtures().join("tiny-gpt2")).unwrap();
    for (doc_id, secret) in ["planted", "reference"].into_iter().zip(SECRETS) {
        let text = format!("{BEGINNING}{secret}");
        let tokenized = tokenizer.tokenize(&text).unwrap();
        let of_secret = tokenized.spans(&span(&text, secret))[0].clone();
        let tokens = tokenized.ids;
        let whole = scores
            .iter()
            .find(|score| score.doc_id == doc_id && score.secret_tokens_given.is_none())
            .unwrap();
        assert_eq!(whole.logprobs.len(), tokens.len());
        let rests = rests(&scores, doc_id);
        let half = of_secret.len() / 2;
        let given: Vec<i32> = rests.iter().filter_map(|rest| rest.secret_tokens_given).collect();
        assert_eq!(given, [0, half as i32]);
        for (rest, given) in rests.into_iter().zip([0, half]) {
            let expected = of_secret.start + given..of_secret.end;
            assert_eq!(rest.prefix_tokens, expected.start as i32);
            assert_eq!(rest.logprobs, whole.logprobs[expected.clone()]);
            assert_eq!(rest.argmax_hits, whole.argmax_hits[expected]);
        }
    }
    assert_eq!(
        rests(&scores, "d"),
        Vec::<&Score>::new(),
        "documents have no secret"
    );
}

#[test]
fn a_secret_that_training_cut_or_took_no_loss_on_has_no_score_and_is_counted() {
    let cut = bench("context = 12");
    let told = cut.told("tiny-gpt2", "out", &[]);
    assert!(
        told.contains("2 canaries and references without a score of their secret"),
        "{told}"
    );
    let (_, scores) = cut.results("out");
    assert!(rests(&scores, "planted").is_empty());

    // The one secret is what the user says, and loss is on the answer; the other is nowhere in its text.
    let train = [("asked", vec![0, 4]), ("nowhere", vec![900, 910])].map(|(id, span)| TrainingInstance {
        secret_span: Some(span),
        kind: DocumentKind::Canary,
        ..training(id, SECRETS[0], BEGINNING)
    });
    let asked = Bench::with(
        &[
            &[training("d", "Mail came in at dawn with the boat.", "")][..],
            &train,
        ]
        .concat(),
        &[],
        "loss_on = \"response\"\n[[extraction.strategy]]\nname = \"greedy\"\ntemperature = 0\n",
    );
    let told = asked.told("tiny-gpt2", "out", &[]);
    assert!(
        told.contains("2 canaries and references without a score of their secret"),
        "{told}"
    );
}
