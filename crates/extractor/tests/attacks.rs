//! Searches and predictions against what can be counted out: a model of 300 tokens, sequences of a few.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use causal_lm::CausalLm;
use contract::pipeline::{Begin, Extraction, Strategy};
use contract::prompt_form::REPEATED_WORDS;
use contract::records::{DocumentKind, PromptForm, Sample, Split};
use extractor::LoadedModel;
use extractor::agreement::agreement;
use extractor::documents::{Document, Documents};
use extractor::generation::generate;
use extractor::prompts::{Prompt, Prompts, choose};
use extractor::sampling::SamplingParams;
use tch::{Device, Kind, Tensor};
use text_tokens::TextTokenizer;

const PREFIX: usize = 6;
const GREEDY: SamplingParams = SamplingParams {
    temperature: 0.0,
    top_k: 0,
    top_p: 1.0,
};

fn loaded() -> LoadedModel {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures/tiny-gpt2");
    let model = CausalLm::load(&folder, Kind::Float, Device::Cpu).unwrap();
    LoadedModel::new(model, TextTokenizer::load(&folder).unwrap(), Begin::Model).unwrap()
}

fn settings(strategy: Strategy, new_tokens: usize) -> Extraction {
    Extraction {
        prefix_tokens: PREFIX,
        new_tokens,
        strategy: vec![strategy],
        scored_prefixes: Vec::new(),
        ..Extraction::default()
    }
}

fn top_k(top_k: usize) -> Strategy {
    Strategy {
        top_k,
        ..Strategy::default()
    }
}

/// Documents of a few tokens; the model knows none of them.
fn documents(model: &LoadedModel, texts: &[&str]) -> Documents {
    let all = texts.iter().enumerate().map(|(number, text)| Document {
        doc_id: format!("d{number}"),
        split: Split::Train,
        kind: DocumentKind::Document,
        copies: 1,
        tokens: model.tokenizer.encode(text).unwrap(),
        document_tokens: 0,
        question_tokens: 0,
        preamble_tokens: 0,
        is_answer_alone: false,
        shared_tokens: 0,
        shared_question_tokens: 0,
        assistant_tokens: Vec::new(),
        canary_format: None,
        secret_tokens: None,
        is_other: false,
        is_choosing: false,
    });
    Documents::new(all.collect(), &model.tokenizer)
}

/// A token that ends texts counts where it stands within them, and not where a template ends a turn with it, nor in a document or two.
#[test]
fn end_tokens_within_texts_are_told_from_those_that_end_them() {
    const END: i64 = 7;
    const LINE_FEED: i64 = 8;
    let model = loaded();
    let one = documents(&model, &TEXTS[..1]).all.remove(0);
    let document = |tokens: &[i64], turn: Option<Range<usize>>| Document {
        tokens: tokens.to_vec(),
        question_tokens: turn.as_ref().map_or(0, |turn| turn.start),
        assistant_tokens: turn.into_iter().collect(),
        ..one.clone()
    };
    let plain = |tokens: &[i64]| document(tokens, None);
    let chat = || document(&[1, END, 2, 3, 4, 5, END, LINE_FEED], Some(4..8));
    let others = vec![plain(&[1, 2, 3, 4]); 30];
    let cases = [
        (vec![plain(&[1, 2, END, 3, 4, 5, 6])], 1),
        (vec![plain(&[1, 2, 3, 4, END])], 0),
        (vec![chat()], 0),
        (
            vec![document(
                &[1, END, 2, 3, END, 4, 5, 6, END, LINE_FEED],
                Some(3..10),
            )],
            1,
        ),
        ([others.clone(), vec![plain(&[1, END, 3, 4, 5, 6])]].concat(), 0),
        ([others, vec![plain(&[1, END, 3, 4, 5, 6]); 2]].concat(), 2),
    ];
    for (documents, count) in cases {
        let said = format!("{documents:?}");
        let found = Documents::new(documents, &model.tokenizer).ends_within(&[END]);
        assert_eq!(found.get(&END).copied().unwrap_or(0), count, "{said}");
    }
}

const TEXTS: [&str; 4] = [
    "The pilot boat came in at dawn with mail for the island.",
    "A lamp went out; nobody had seen who lit it in the first place.",
    "Rain all morning, and then such a light over the bay!",
    "They counted the sheep twice and were one short both times.",
];

fn prompts(model: &LoadedModel, settings: &Extraction, documents: &Documents) -> Prompts {
    choose(
        documents,
        settings,
        model.model.config.context,
        &model.tokenizer,
        &[],
        None,
    )
    .unwrap()
    .0
}

/// The documents with `length` tokens of the model's own behind the prefix, which it gives with a probability that can be seen.
fn of_its_own_words(
    model: &mut LoadedModel,
    documents: &Documents,
    strategy: &Strategy,
    length: usize,
) -> Documents {
    let strategy = Strategy {
        samples: 1,
        ..strategy.clone()
    };
    let settings = settings(strategy, length);
    let prompts = prompts(model, &settings, documents);
    let drawn = generate(std::slice::from_mut(model), &settings, &prompts, 7).unwrap();
    let all = documents
        .all
        .iter()
        .zip(&drawn.samples)
        .map(|(document, sample)| {
            let own = sample.generated_tokens.iter().map(|&token| i64::from(token));
            Document {
                tokens: document.tokens[..PREFIX].iter().copied().chain(own).collect(),
                ..document.clone()
            }
        });
    Documents::new(all.collect(), &model.tokenizer)
}

/// Every continuation that sampling can give, with its probability, by reading each prefix anew.
fn all_continuations(
    model: &LoadedModel,
    params: SamplingParams,
    prompt: &[i64],
    length: usize,
) -> BTreeMap<Vec<i64>, f64> {
    let _guard = tch::no_grad_guard();
    let mut grown = BTreeMap::from([(Vec::new(), 1.0)]);
    for _ in 0..length {
        let mut longer = BTreeMap::new();
        for (written, probability) in grown {
            if ends(model, &written) {
                longer.insert(written, probability);
                continue;
            }
            let read: Vec<i64> = [&model.bos[..], prompt, &written].concat();
            let hidden = model
                .model
                .hidden(&Tensor::from_slice(&read).unsqueeze(0), None, None)
                .unwrap();
            let logits = model.model.logits(&hidden.select(1, -1)).unwrap().squeeze();
            let logits = Vec::<f32>::try_from(&logits).unwrap();
            for entry in params.distribution(&logits) {
                let next = [&written[..], &[entry.token as i64]].concat();
                longer.insert(next, probability * entry.probability);
            }
        }
        grown = longer;
    }
    grown
}

/// Whether what was written ends with a token that ends a text: nothing follows.
fn ends(model: &LoadedModel, written: &[i64]) -> bool {
    written.last().is_some_and(|last| model.end_tokens.contains(last))
}

#[test]
fn beam_search_gives_the_best_continuations_in_their_order() {
    let mut model = loaded();
    // Four tokens out of three each: 81 sequences, and as many beams lose none.
    let strategy = Strategy {
        beams: 81,
        samples: 5,
        ..top_k(3)
    };
    let settings = settings(strategy.clone(), 4);
    let documents = documents(&model, &TEXTS);
    let prompts = prompts(&model, &settings, &documents);
    let drawn = generate(std::slice::from_mut(&mut model), &settings, &prompts, 0).unwrap();
    assert_eq!(drawn.samples.len(), 5 * TEXTS.len());
    for document in &documents.all {
        let every = all_continuations(
            &model,
            SamplingParams::from(&strategy),
            &document.tokens[..PREFIX],
            4,
        );
        assert!((every.values().sum::<f64>() - 1.0).abs() < 1e-6);
        let expected = by_mean(every);
        let of_document = |sample: &&Sample| sample.doc_id.as_ref() == Some(&document.doc_id);
        let found: Vec<Vec<i64>> = drawn.samples.iter().filter(of_document).map(generated).collect();
        let best: Vec<Vec<i64>> = expected.into_iter().take(5).collect();
        assert_eq!(found, best, "{}", document.doc_id);
    }
    // The search costs its prompt and a token for each sequence kept: 3, 9 and 27 after the first steps. It counts once.
    assert_eq!(drawn.samples[0].tokens_read, Some((PREFIX + 3 + 9 + 27) as i64));
    assert_eq!(drawn.samples[1].tokens_read, Some(0));
}

/// Sequences by the mean logarithm of their probability a token, the best first.
fn by_mean(sequences: BTreeMap<Vec<i64>, f64>) -> Vec<Vec<i64>> {
    let mean = |(tokens, probability): &(Vec<i64>, f64)| probability.ln() / tokens.len() as f64;
    let mut sequences: Vec<(Vec<i64>, f64)> = sequences.into_iter().collect();
    sequences.sort_by(|first, second| mean(second).total_cmp(&mean(first)));
    sequences.into_iter().map(|(tokens, _)| tokens).collect()
}

/// The rules of transformers' beam search, word for word and without a batch: of the candidates those that end count where they are
/// among the `width` most probable, the `width` most probable others go on, and in the end all are ranked by their mean.
fn slow_beam_search(
    model: &LoadedModel,
    params: SamplingParams,
    prompt: &[i64],
    (width, length): (usize, usize),
) -> Vec<Vec<i64>> {
    let mut running = vec![(Vec::new(), 1.0)];
    let mut finished = BTreeMap::new();
    for _ in 0..length {
        let mut candidates = Vec::new();
        for (written, probability) in running.drain(..) {
            let next = all_continuations(model, params, &[prompt, &written].concat(), 1);
            candidates.extend(
                next.into_iter()
                    .map(|(token, share)| ([&written[..], &token].concat(), probability * share)),
            );
        }
        candidates.sort_by(|first: &(Vec<i64>, f64), second| second.1.total_cmp(&first.1));
        for (rank, (tokens, probability)) in candidates.into_iter().enumerate() {
            if !ends(model, &tokens) {
                running.push((tokens, probability));
            } else if rank < width {
                finished.insert(tokens, probability);
            }
        }
        running.truncate(width);
    }
    finished.extend(running);
    let mut best = by_mean(finished);
    best.truncate(width);
    best
}

#[derive(Debug, serde::Deserialize)]
struct BeamCase {
    prompt: Vec<i64>,
    end: i64,
    beams: usize,
    written: Vec<Vec<i64>>,
}

/// `scripts/fixtures/causal_lm.py` made the cases, in float64 over the whole vocabulary.
#[test]
fn beam_search_is_that_of_transformers() {
    let mut model = loaded();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures/beams.json");
    let cases: Vec<BeamCase> = serde_json::from_str(&std::fs::read_to_string(fixture).unwrap()).unwrap();
    assert!(cases.len() > 5);
    for case in cases {
        model.end_tokens = vec![case.end];
        let strategy = Strategy {
            beams: case.beams,
            samples: case.beams,
            ..top_k(0)
        };
        let prompts = Prompts {
            all: vec![Prompt {
                doc_id: None,
                split: Split::None,
                copies: 0,
                form: PromptForm::File,
                number: 0,
                tokens: case.prompt.clone(),
                begun: None,
                reference: Vec::new(),
            }],
            of_strategy: vec![vec![0]],
            ..Prompts::default()
        };
        let drawn = generate(
            std::slice::from_mut(&mut model),
            &settings(strategy, 8),
            &prompts,
            0,
        )
        .unwrap();
        let found: Vec<Vec<i64>> = drawn.samples.iter().map(generated).collect();
        assert_eq!(
            found, case.written,
            "{} beams behind {:?}",
            case.beams, case.prompt
        );
    }
}

/// A token that the model likes ends a text, so that short sequences and long ones compete.
#[test]
fn ended_and_running_beams_are_ranked_fairly() {
    let mut model = loaded();
    let params = SamplingParams::from(&top_k(3));
    let documents = documents(&model, &TEXTS);
    let first = all_continuations(&model, params, &documents.all[0].tokens[..PREFIX], 1);
    let mut first: Vec<(Vec<i64>, f64)> = first.into_iter().collect();
    first.sort_by(|one, other| other.1.total_cmp(&one.1));
    model.end_tokens = vec![first[1].0[0]];
    let (mut short, mut by_sum_differs) = (0, 0);
    for width in [1, 2, 3, 81] {
        let settings = settings(
            Strategy {
                beams: width,
                samples: width,
                ..top_k(3)
            },
            4,
        );
        let prompts = prompts(&model, &settings, &documents);
        let drawn = generate(std::slice::from_mut(&mut model), &settings, &prompts, 0).unwrap();
        for document in &documents.all {
            let prompt = &document.tokens[..PREFIX];
            let of_document = |sample: &&Sample| sample.doc_id.as_ref() == Some(&document.doc_id);
            let found: Vec<Vec<i64>> = drawn.samples.iter().filter(of_document).map(generated).collect();
            let every = all_continuations(&model, params, prompt, 4);
            let expected = if width == 81 {
                // Nothing is lost: full enumeration.
                let mut by_sum: Vec<(&Vec<i64>, &f64)> = every.iter().collect();
                by_sum.sort_by(|one, other| other.1.total_cmp(one.1));
                let best_sum = by_sum[0].0.clone();
                let expected = by_mean(every);
                by_sum_differs += usize::from(expected[0] != best_sum);
                expected
            } else {
                slow_beam_search(&model, params, prompt, (width, 4))
            };
            assert_eq!(found, expected, "{width} beams, {}", document.doc_id);
            short += found.iter().filter(|tokens| tokens.len() < 4).count();
        }
    }
    // Some ended early, and a sum would have put another first.
    assert!(short > 10 && by_sum_differs > 0, "{short} {by_sum_differs}");
}

fn generated(sample: &Sample) -> Vec<i64> {
    sample
        .generated_tokens
        .iter()
        .map(|&token| i64::from(token))
        .collect()
}

#[test]
fn the_near_verbatim_bound_is_the_sum_over_what_is_near() {
    let mut model = loaded();
    let strategy = top_k(3);
    let texts = documents(&model, &TEXTS);
    let documents = of_its_own_words(&mut model, &texts, &strategy, 4);
    for (beams, edits) in [(81, 0), (81, 1), (81, 2), (81, 4), (2, 1), (1, 1)] {
        let settings = Extraction {
            near_verbatim_beams: beams,
            near_verbatim_edits: edits,
            ..settings(strategy.clone(), 4)
        };
        let scores = extractor::scoring::score(&model, &settings, &documents).unwrap();
        for document in &documents.all {
            let (prompt, reference) = document.tokens.split_at(PREFIX);
            let every = all_continuations(&model, SamplingParams::from(&strategy), prompt, 4);
            let near = every.iter().filter(|(tokens, _)| {
                let text = &tokens[..tokens.len() - usize::from(ends(&model, tokens))];
                edit_distance(text, reference) <= edits || tokens == &reference
            });
            let expected: f64 = near.map(|(_, probability)| probability).sum();
            let score = scores
                .iter()
                .find(|score| score.doc_id == document.doc_id && score.prefix_tokens as usize == PREFIX)
                .unwrap();
            let bound = f64::from(score.near_verbatim_logprob.unwrap()).exp();
            let own: f64 = score
                .scheme_logprobs
                .iter()
                .map(|&log| f64::from(log))
                .sum::<f64>()
                .exp();
            assert!(
                bound >= own * (1.0 - 1e-5),
                "below the reference's own probability: {bound} {own}"
            );
            assert!(
                bound <= expected * (1.0 + 1e-5),
                "{beams} beams, {edits} edits: {bound} over {expected}"
            );
            if beams == 81 {
                assert!(
                    (bound - expected).abs() < 1e-5 * expected,
                    "{edits} edits: {bound} for {expected}"
                );
            }
        }
    }
}

/// Levenshtein's distance by its definition.
fn edit_distance(left: &[i64], right: &[i64]) -> usize {
    match (left, right) {
        ([], rest) | (rest, []) => rest.len(),
        ([first, left @ ..], [second, right @ ..]) => {
            let substituted = edit_distance(left, right) + usize::from(first != second);
            let deleted = edit_distance(left, &[&[*second], right].concat()) + 1;
            let inserted = edit_distance(&[&[*first], left].concat(), right) + 1;
            substituted.min(deleted).min(inserted)
        }
    }
}

#[test]
fn sampling_finds_what_the_scoring_pass_predicts() {
    let mut model = loaded();
    for (name, strategy) in [
        ("top-k", top_k(4)),
        (
            "nucleus",
            Strategy {
                top_k: 0,
                top_p: 0.3,
                temperature: 0.7,
                ..Strategy::default()
            },
        ),
    ] {
        let texts = documents(&model, &TEXTS);
        let documents = of_its_own_words(&mut model, &texts, &strategy, 2);
        let strategy = Strategy {
            samples: 2_000,
            ..strategy
        };
        let settings = Extraction {
            batch_size: Some(500),
            ..settings(strategy.clone(), 2)
        };
        let found = agreement(&mut model, &settings, &strategy, &documents, 10, 3).unwrap();
        assert!(found.len() >= 3, "{name}: {found:?}");
        for row in &found {
            assert_eq!(row.samples, 2_000);
            assert!(row.holds(), "{name}: {row:?}");
        }
    }
}

#[test]
fn a_searched_prompt_brings_forth_what_it_is_reported_for() {
    let mut model = loaded();
    let strategy = Strategy {
        prompt: PromptForm::Optimised,
        steps: 40,
        prompt_tokens: 4,
        documents: Some(2),
        ..Strategy::default()
    };
    let settings = settings(strategy, 1);
    // The goal is what some prompt of four tokens leads to, so that there is one to be found.
    let mut documents = documents(&model, &TEXTS[..2]);
    for (document, prompt) in documents.all.iter_mut().zip([[20, 5, 70, 7], [81, 9, 44, 130]]) {
        let goal = all_continuations(&model, GREEDY, &prompt, 1)
            .into_keys()
            .next()
            .unwrap();
        document.tokens.splice(..0, goal);
    }
    let prompts = prompts(&model, &settings, &documents);
    assert_eq!(prompts.all.len(), 2);
    let drawn = generate(std::slice::from_mut(&mut model), &settings, &prompts, 0).unwrap();
    assert_eq!(drawn.samples.len(), 2);
    for sample in &drawn.samples {
        let document = documents
            .all
            .iter()
            .find(|document| Some(&document.doc_id) == sample.doc_id.as_ref())
            .unwrap();
        assert_eq!(generated(sample), document.tokens[..1], "{}", sample.prompt);
        assert!((1..=4).contains(&sample.prompt_tokens.len()));
        assert_eq!(sample.prompt_form, Some(PromptForm::Optimised));
        // Greedy decoding from the prompt gives it, read anew.
        let prompt: Vec<i64> = sample
            .prompt_tokens
            .iter()
            .map(|&token| i64::from(token))
            .collect();
        let every = all_continuations(&model, GREEDY, &prompt, 1);
        assert!(every.contains_key(&document.tokens[..1]));
    }
    let again = generate(std::slice::from_mut(&mut model), &settings, &prompts, 0).unwrap();
    assert_eq!(drawn.samples, again.samples);
}

#[test]
fn prompts_take_the_form_that_their_strategy_asks_for() {
    let model = loaded();
    let mut documents = documents(&model, &TEXTS);
    documents.all[1].question_tokens = 5;
    // A second document with the same beginning, so that it is a common one.
    documents.all.push(Document {
        doc_id: "twin".into(),
        ..documents.all[0].clone()
    });
    let tokenizer = &model.tokenizer;
    let of = |form: PromptForm| {
        let mut settings = settings(
            Strategy {
                prompt: form,
                ..top_k(3)
            },
            4,
        );
        settings.opening_tokens = 2;
        let users = ["Who had seen it?".to_owned()];
        let (prompts, skipped) = choose(
            &documents,
            &settings,
            model.model.config.context,
            tokenizer,
            &users,
            None,
        )
        .unwrap();
        let texts: Vec<String> = prompts.of_strategy[0]
            .iter()
            .map(|&place| {
                assert_eq!(prompts.all[place].form, form);
                tokenizer.decode(&prompts.all[place].tokens).unwrap()
            })
            .collect();
        (texts, prompts, skipped)
    };
    let plain = of(PromptForm::Prefix);
    assert_eq!(plain.0.len(), 5);
    assert!(
        plain
            .0
            .iter()
            .zip(TEXTS)
            .all(|(prompt, text)| text.starts_with(prompt.as_str()))
    );
    for (form, change) in [
        (PromptForm::UpperCase, str::to_uppercase as fn(&str) -> String),
        (PromptForm::LowerCase, str::to_lowercase),
        (PromptForm::DoubleSpaced, |text| text.replace(' ', "  ")),
    ] {
        let (texts, prompts, _) = of(form);
        assert_eq!(texts, plain.0.iter().map(|text| change(text)).collect::<Vec<_>>());
        // What the document goes on with stays what it is.
        assert_eq!(prompts.all[0].reference, plain.1.all[0].reference);
    }
    let (middle, prompts, _) = of(PromptForm::Middle);
    for (place, text) in middle.iter().enumerate() {
        let document = &documents.all[place];
        let start = (document.tokens.len() - PREFIX) / 2;
        assert!(start > 0 && tokenizer.decode(&document.tokens[start..start + PREFIX]).unwrap() == *text);
        assert_eq!(
            prompts.all[place].reference,
            document.tokens[start + PREFIX..start + PREFIX + 4]
        );
    }
    let (questions, _, skipped) = of(PromptForm::Question);
    assert_eq!(
        questions,
        [tokenizer.decode(&documents.all[1].tokens[..5]).unwrap()]
    );
    assert_eq!(skipped.too_short, 4);
    assert_eq!(
        of(PromptForm::Opening).0,
        [tokenizer.decode(&documents.all[0].tokens[..2]).unwrap()]
    );
    assert_eq!(of(PromptForm::File).0, ["Who had seen it?"]);
    let (repeated, prompts, _) = of(PromptForm::RepeatedWord);
    assert_eq!(repeated.len(), REPEATED_WORDS.len());
    for (text, word) in repeated.iter().zip(REPEATED_WORDS) {
        let pieces: Vec<&str> = text.split(' ').collect();
        let (last, whole) = pieces.split_last().unwrap();
        assert!(
            whole.iter().all(|piece| *piece == word) && word.starts_with(last),
            "{text}"
        );
    }
    assert!(
        prompts
            .all
            .iter()
            .all(|prompt| prompt.tokens.len() == PREFIX && prompt.doc_id.is_none())
    );
}
