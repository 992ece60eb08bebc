//! Under no effect the report claims a leak in at most 5% of runs; simulated, since no single run
//! can show it.
//!
//! Every run has one untuned model and three ways of tuning, each at two checkpoints. Nothing
//! depends on training: tuned model, untuned model and control match text by the same chance,
//! members and non-members have scores of the same distribution, and the ranks of canaries are
//! uniform.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::Draws;
use contract::Cell;
use contract::pipeline::LossOn;
use contract::records::{DocumentKind, HeldOutRole, PromptForm, SampleVerdict, Split, Verdict};
use report::estimate::claims::LEVEL;
use report::read::{
    CellData, Corpus, CorpusDocument, DocumentScore, HeldOutCounts, JudgedSample, RankScores, TextSizes,
    WhichCheckpoint,
};
use report::{Bootstrap, Estimates, Run};

/// Runs without an effect.
const RUNS: usize = 120;

/// Documents on either side of the split.
const DOCUMENTS: usize = 40;

/// How often each document is matched by chance.
const BY_CHANCE: f64 = 0.1;

const CANARIES: usize = 4;
const REFERENCES: usize = 32;

/// What tuning does, besides lowering the loss of every text alike.
#[derive(Clone, Copy, PartialEq)]
enum Effect {
    Nothing,
    /// The last checkpoint of the first way of tuning repeats six of ten documents.
    Repeats,
    /// It knows its members.
    KnowsMembers,
}

/// Decoding, samples of a document, and of how many documents one is asked: one sample is tested
/// exactly, several are by random signs.
const STRATEGIES: [(&str, usize, usize); 2] = [("greedy", 1, 1), ("top-k 40", 2, 2)];

fn members() -> impl Iterator<Item = String> {
    (0..DOCUMENTS).map(|number| format!("member-{number}"))
}

/// Every second document has 16 copies, the others one: what is claimed of the first is held against chance over all.
fn copies_of(doc_id: &str) -> i32 {
    let number = doc_id
        .rsplit('-')
        .next()
        .and_then(|number| number.parse::<usize>().ok());
    if number.unwrap().is_multiple_of(2) { 16 } else { 1 }
}

fn non_members() -> impl Iterator<Item = String> {
    (0..DOCUMENTS).map(|number| format!("other-{number}"))
}

fn corpus() -> Corpus {
    let document = |split, copies, role| CorpusDocument {
        text: "As long as any other.".to_owned(),
        prompt_chars: 0,
        kind: DocumentKind::Document,
        split,
        copies,
        role,
        near_duplicate: false,
        canary_format: None,
    };
    let test = document(Split::Heldout, 0, Some(HeldOutRole::Test));
    let documents = members()
        .map(|id| (id.clone(), document(Split::Train, copies_of(&id), None)))
        .chain(non_members().map(|id| (id, test.clone())));
    // As much text on either side, so that nothing is carried over.
    let characters = (DOCUMENTS * test.text.chars().count()) as u64;
    Corpus {
        documents: documents.collect(),
        training: Arc::new(BTreeMap::from([1, 16].map(|copies| {
            let alike = members().filter(|id| copies_of(id) == copies);
            (copies, alike.collect::<BTreeSet<String>>())
        }))),
        canaries: CANARIES,
        held_out: HeldOutCounts {
            documents: DOCUMENTS,
            validation: 0,
            test: DOCUMENTS,
            near_duplicates: Some(0),
        },
        chars: TextSizes {
            training: characters,
            held_out: characters,
            held_out_apart: characters,
        },
        ..Corpus::default()
    }
}

fn sample(id: i64, doc_id: &str, split: Split, strategy: &str, class: [bool; 3]) -> JudgedSample {
    let [own, any, control] = class.map(|hit| if hit { Verdict::Verbatim } else { Verdict::None });
    let is_member = split == Split::Train;
    let copies = if is_member { copies_of(doc_id) } else { 0 };
    JudgedSample {
        id,
        doc_id: Some(doc_id.to_owned()),
        split,
        copies,
        strategy: strategy.to_owned(),
        greedy: strategy == "greedy",
        prompt: String::new(),
        generation: "Something else.".to_owned(),
        form: PromptForm::Prefix,
        prompt_tokens: 3,
        generated_tokens: 3,
        is_truth: false,
        goes_on_with: None,
        goes_on_as_document: None,
        is_finite: true,
        tokens_read: None,
        rank: RankScores::default(),
        verdict: SampleVerdict {
            sample_id: id,
            doc_id: Some(doc_id.to_owned()),
            split,
            copies,
            verdict: any,
            best_doc_id: None,
            longest_match_chars: 10,
            longest_match_tokens: 2,
            max_similarity: None,
            own_similarity: None,
            heldout_similarity: None,
            rouge_l: None,
            bleu: None,
            edit_similarity: None,
            boilerplate: None,
            best_copies: None,
            own_verdict: is_member.then_some(own),
            emitted_doc_ids: None,
            emitted_copies: None,
            control_verdict: Some(control),
            control_longest_match_chars: None,
            comparable_similarity: None,
            similarity_at_least: None,
            echoed_chars: None,
            final_answer_right: None,
        },
        matches: Vec::new(),
    }
}

/// The generations of a cell; `own` is the rate at which its own documents come back.
fn samples(draws: &mut Draws, own: f64) -> Vec<JudgedSample> {
    let mut samples: Vec<JudgedSample> = Vec::new();
    let sides = members()
        .map(|id| (id, Split::Train))
        .chain(non_members().map(|id| (id, Split::Heldout)));
    for (number, (doc_id, split)) in sides.enumerate() {
        let asked = |(_, _, every): &(&str, usize, usize)| number.is_multiple_of(*every);
        for (strategy, count, _) in STRATEGIES.into_iter().filter(asked) {
            // The samples of a document go together.
            let class = [own, BY_CHANCE, BY_CHANCE].map(|rate| draws.unit() < rate);
            for _ in 0..count {
                samples.push(sample(samples.len() as i64, &doc_id, split, strategy, class));
            }
        }
    }
    samples
}

fn score(doc_id: String, split: Split, kind: DocumentKind, loss: f64) -> DocumentScore {
    const TOKENS: usize = 20;
    let copies = match (split, kind) {
        (Split::Train, DocumentKind::Document) => copies_of(&doc_id),
        (Split::Train, _) => 16,
        _ => 0,
    };
    DocumentScore {
        doc_id,
        split,
        copies,
        kind,
        prefix_tokens: 0,
        tokens: TOKENS,
        document_tokens: Some(TOKENS + 1),
        canary_format: (kind != DocumentKind::Document).then_some(0),
        secret_tokens_given: None,
        nats: loss * TOKENS as f64,
        exact_memorization: 0.25,
        longest_run: 0,
        extraction_strength: 0.0,
        extractable: false,
        log_sequence_probability: f64::NAN,
        min_k: loss,
        min_k_plus_plus: None,
        window_votes: None,
        error_zone: None,
        conditional_loss: None,
        gradient_norm: None,
        log_near_verbatim_probability: None,
        by_place: Vec::new(),
        zlib_bytes: 100,
    }
}

/// Losses around `loss`; those of members lie so much lower.
fn scores(draws: &mut Draws, loss: f64, lower: f64) -> Vec<DocumentScore> {
    let mut around = |loss: f64| loss + draws.unit();
    let mut scores = Vec::new();
    for id in members() {
        scores.push(score(
            id,
            Split::Train,
            DocumentKind::Document,
            around(loss - lower),
        ));
    }
    for id in non_members() {
        scores.push(score(id, Split::Heldout, DocumentKind::Document, around(loss)));
    }
    for number in 0..CANARIES {
        scores.push(score(
            format!("canary-{number}"),
            Split::Train,
            DocumentKind::Canary,
            around(loss),
        ));
    }
    for number in 0..REFERENCES {
        let id = format!("reference-{number}");
        scores.push(score(
            id,
            Split::Heldout,
            DocumentKind::CanaryReference,
            around(loss),
        ));
    }
    scores
}

fn cell(mode: &str, checkpoint: Option<WhichCheckpoint>, draws: &mut Draws, effect: Effect) -> CellData {
    let is_base = mode == "base";
    let (own, lower) = match effect {
        Effect::Nothing => (BY_CHANCE, 0.0),
        Effect::Repeats => (0.6, 0.0),
        Effect::KnowsMembers => (BY_CHANCE, 1.0),
    };
    CellData {
        cell: Cell {
            name: mode.to_owned(),
            corpus: "bucketed".to_owned(),
            model: "model".to_owned(),
            parameters: 1_000_000,
            mode: mode.to_owned(),
            learning_rate: (!is_base).then_some(1e-3),
            ..Cell::default()
        },
        checkpoint,
        loss_on: LossOn::Text,
        new_tokens: None,
        prefix_tokens: None,
        most_documents: BTreeMap::new(),
        samples: samples(draws, own),
        details: Vec::new(),
        scores: Some(scores(draws, if is_base { 5.0 } else { 4.0 }, lower)),
        metrics: None,
        course: None,
        forms: None,
        non_finite_scores: 0,
        origins: BTreeMap::new(),
    }
}

fn run(seed: u64, effect: Effect) -> Run {
    let mut draws = Draws::new(seed);
    let mut cells = vec![cell("base", None, &mut draws, Effect::Nothing)];
    for mode in ["full", "head", "lora"] {
        for checkpoint in [WhichCheckpoint::Best, WhichCheckpoint::Last] {
            let is_affected = mode == "full" && checkpoint == WhichCheckpoint::Last;
            let effect = if is_affected { effect } else { Effect::Nothing };
            cells.push(cell(mode, Some(checkpoint), &mut draws, effect));
        }
    }
    let untuned = (0..cells.len()).map(|index| (index > 0).then_some(0)).collect();
    Run {
        cells,
        untuned,
        corpora: BTreeMap::from([("bucketed".to_owned(), corpus())]),
    }
}

/// What was claimed of a run.
struct Claimed {
    leaks: bool,
    membership: bool,
    /// Whether any single test would have claimed something, without correction.
    uncorrected: bool,
    tests: usize,
}

fn claimed(seed: u64, effect: Effect) -> Claimed {
    let run = run(seed, effect);
    let bootstrap = Bootstrap { resamples: 99, seed };
    let estimates = Estimates::of(&run, bootstrap).unwrap();
    let verdict = |wanted| {
        estimates
            .verdicts
            .values()
            .any(|verdict| verdict.verdict == wanted)
    };
    let claims = || {
        let rows = estimates
            .table
            .rows()
            .filter(|shown| shown.row.standing.is_some());
        rows.filter_map(|shown| shown.row.p_value)
    };
    Claimed {
        leaks: verdict(report::estimate::Verdict::Leaks),
        membership: verdict(report::estimate::Verdict::MembershipVisible)
            || verdict(report::estimate::Verdict::MembershipVisibleAndRepeats),
        uncorrected: claims().any(|p_value| p_value <= LEVEL),
        tests: claims().count(),
    }
}

/// The number of `runs` that chance exceeds with a probability of at most 1%, where each has the
/// probability `share`.
fn most_by_chance(runs: usize, share: f64) -> usize {
    let mut probability = (1.0 - share).powi(runs as i32);
    let mut up_to = probability;
    let mut count = 0;
    while up_to < 0.99 {
        probability *= (runs - count) as f64 / (count + 1) as f64 * share / (1.0 - share);
        up_to += probability;
        count += 1;
    }
    count
}

#[test]
fn without_an_effect_a_report_claims_a_leak_in_at_most_5_percent_of_runs() {
    let all: Vec<Claimed> = (0..RUNS as u64)
        .map(|seed| claimed(seed, Effect::Nothing))
        .collect();
    // Three ways of tuning at two checkpoints; by two strategies own documents, those with the most
    // copies and all, and any text after unseen prompts; membership of both; canaries.
    assert!(all.iter().all(|run| run.tests == 3 * 2 * (2 * 3 + 2 + 1)));
    let wrong = all.iter().filter(|run| run.leaks || run.membership).count();
    let most = most_by_chance(RUNS, LEVEL);
    assert!(wrong <= most, "{wrong} of {RUNS} runs, at most {most} by chance");
    // Some test of 54 claims something in far more runs: the correction is needed, and a report without
    // it would not pass here.
    let uncorrected = all.iter().filter(|run| run.uncorrected).count();
    assert!(uncorrected > 2 * most, "{uncorrected}");
    eprintln!("a leak claimed in {wrong} of {RUNS} runs, in {uncorrected} without correction");
}

#[test]
fn an_effect_is_claimed_in_most_runs() {
    const AFFECTED: u64 = 10;
    let found = |effect, holds: fn(&Claimed) -> bool| {
        (0..AFFECTED)
            .filter(|&seed| holds(&claimed(1000 + seed, effect)))
            .count()
    };
    assert!(found(Effect::Repeats, |run| run.leaks) >= 9);
    assert!(found(Effect::KnowsMembers, |run| run.membership) >= 9);
}
