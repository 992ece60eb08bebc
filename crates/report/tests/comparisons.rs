//! Comparisons worked out by hand: methods, seeds, numbers of copies, the untuned model, equal
//! loss, and the paper's claims; and what holds of every row of `summary.parquet`.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{
    Made, OWN, Shape, Tuning, Wanted, edit, is_greedy, judge, make, number_of, quiet_run, repeats_own,
    set_logprobs, write_run,
};
use contract::records::{DocumentKind, HeldOutDocument, SampleVerdict, Score, Split, SummaryRow, Verdict};
use measures::membership::auc_interval;

/// Documents of each number of copies.
const DOCUMENTS: usize = 20;

/// Held-out documents that choose nothing: every second one.
const TEST_DOCUMENTS: usize = 20;

/// [`DOCUMENTS`] documents with 1 and with 16 copies each, twice as many held out as choose
/// nothing; no canaries, one checkpoint.
fn shape(tunings: Vec<Tuning>) -> Shape {
    Shape {
        documents: DOCUMENTS,
        held_out: Some(2 * TEST_DOCUMENTS),
        copies: vec![1, 16],
        canaries: 0,
        references: 0,
        samples: 1,
        best: false,
        near_duplicates: 0,
        tunings,
        ..Shape::default()
    }
}

fn base() -> Tuning {
    Tuning::new("base", "base", None, 5.0, 0.0)
}

fn full() -> Tuning {
    Tuning::new("full", "full", Some(3e-4), 4.0, 0.0)
}

fn lora() -> Tuning {
    Tuning::new("lora", "lora", Some(3e-3), 4.0, 0.0)
}

fn cell(run: &Path, name: &str) -> std::path::PathBuf {
    run.join("cells").join(name)
}

/// The place of a document among those of its number of copies, from 0.
fn place(doc_id: &str, documents: usize) -> usize {
    (number_of(doc_id) - 1) % documents
}

/// Greedy decoding brings back these places of the training documents with so many copies.
fn bring_back(asked: &Path, copies: i32, places: std::ops::Range<usize>) {
    judge(asked, |sample, verdict| {
        let own = sample.split == Split::Train && sample.copies == copies && is_greedy(sample);
        let at = place(sample.doc_id.as_deref().unwrap(), DOCUMENTS);
        if own && places.contains(&at) {
            repeats_own(verdict);
        }
    });
}

/// A loss for training documents, and one for held-out ones.
fn set_losses(asked: &Path, trained: f64, held_out: f64) {
    set_logprobs(asked, |score| {
        -if score.split == Split::Train {
            trained
        } else {
            held_out
        }
    });
}

/// Held-out losses that differ by document: so many nats, and up to a tenth around them.
fn set_held_out_losses(asked: &Path, loss: f64) {
    set_logprobs(asked, |score| {
        let at = place(&score.doc_id, DOCUMENTS) as f64;
        -(loss + 0.1 * (at * 2.4).sin())
    });
}

/// Full tuning has the lowest loss and repeats most, LoRA repeats less; head-only tuning has more of both than LoRA. The untuned model, which
/// repeats nothing, has the highest loss.
#[test]
fn a_method_that_another_is_at_least_as_good_as_on_both_counts_is_dominated() {
    let head = || Tuning::new("head", "head", Some(1e-3), 4.0, 0.0);
    let run = quiet_run(&shape(vec![base(), full(), lora(), head()]));
    for (name, loss, repeated) in [
        ("base", 5.0, 0),
        ("full", 4.0, 10),
        ("lora", 4.4, 4),
        ("head", 4.6, 6),
    ] {
        set_losses(&cell(run.path(), name), 3.0, loss);
        bring_back(&cell(run.path(), name), 16, 0..repeated);
    }
    let made = sound(run.path());
    let dominated = |name: &str| {
        let mut rows = made
            .rows
            .iter()
            .filter(|row| row.measure == "dominated" && row.cell.as_deref() == Some(name));
        rows.next().map(|row| (row.value, row.verdict.clone()))
    };
    assert_eq!(dominated("full"), Some((0.0, None)));
    assert_eq!(dominated("lora"), Some((0.0, None)));
    assert_eq!(dominated("head"), Some((1.0, Some("LoRA".to_owned()))));
    assert_eq!(dominated("base"), None);
}

#[track_caller]
fn assert_close(found: f64, expected: f64, what: &str) {
    assert!(
        (found - expected).abs() < 1e-5,
        "{what}: expected {expected}, found {found}"
    );
}

/// The report of a run, after a look at what holds of every row.
#[track_caller]
fn sound(run: &Path) -> Made {
    let made = make(run);
    assert!(!made.rows.is_empty());
    for row in &made.rows {
        assert_is_sound(row);
    }
    made
}

/// No interval has width 0, or another side of its figure; counts go with their share.
#[track_caller]
fn assert_is_sound(row: &SummaryRow) {
    let rounding = 1e-9;
    for (value, low, high) in [
        (Some(row.value), row.ci_low, row.ci_high),
        (row.untuned, row.untuned_low, row.untuned_high),
        (row.control, row.control_low, row.control_high),
    ] {
        assert_eq!(low.is_some(), high.is_some(), "{row:?}");
        let (Some(value), Some(low), Some(high)) = (value, low, high) else {
            continue;
        };
        assert!(high > low, "an interval of width 0: {row:?}");
        assert!(
            low <= value + rounding && value <= high + rounding,
            "an interval beside its figure: {row:?}"
        );
        if row.unit == "share" {
            let least = if row.against.is_some() { -1.0 } else { 0.0 };
            assert!(low >= least - rounding && high <= 1.0 + rounding, "{row:?}");
        }
    }
    assert_eq!(row.interval.is_some(), row.ci_low.is_some(), "{row:?}");
    assert!(row.value.is_finite(), "{row:?}");
    assert!(row.n <= row.observations, "more units than observations: {row:?}");
    if let Some(k) = row.k {
        assert!(k >= 0.0 && k <= row.observations as f64, "{row:?}");
        if row.unit == "share" && row.runs == 1 && row.against.is_none() {
            assert!(
                (k / row.observations as f64 - row.value).abs() < rounding,
                "{row:?}"
            );
        }
    }
    for p_value in [row.p_value, row.p_holm].into_iter().flatten() {
        assert!((0.0..=1.0).contains(&p_value), "{row:?}");
    }
    if let (Some(p_value), Some(p_holm)) = (row.p_value, row.p_holm) {
        assert!(p_holm >= p_value, "{row:?}");
    }
    assert_eq!(row.cell.is_none(), row.runs > 1, "{row:?}");
    assert_eq!(row.seed.is_none(), row.runs > 1, "{row:?}");
}

/// Every text comes out, of the tuned and of the untuned model, and is matched with held-out text
/// too.
fn everything_comes_out(run: &Path, shape: &Shape) {
    for tuning in &shape.tunings {
        judge(&cell(run, &tuning.name), |sample, verdict| {
            if sample.split == Split::Train {
                repeats_own(verdict);
            }
            verdict.control_verdict = Some(Verdict::Verbatim);
        });
    }
}

#[test]
fn no_row_of_any_run_has_an_interval_of_width_0() {
    // A sweep with both checkpoints, canaries and near-duplicates.
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &Shape::default());
    let kinds: BTreeSet<String> = sound(folder.path())
        .rows
        .iter()
        .filter_map(|row| row.interval.clone())
        .collect();
    for kind in [
        "exact",
        "wilson",
        "clustered",
        "mean",
        "delong",
        "paired",
        "mover",
        "bootstrap",
    ] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
    // Three documents of each kind, of which nothing or everything comes out.
    let few = Shape {
        documents: 3,
        held_out: None,
        ..shape(vec![base(), full(), lora()])
    };
    sound(quiet_run(&few).path());
    let folder = quiet_run(&few);
    everything_comes_out(folder.path(), &few);
    sound(folder.path());
    // Nothing differs between documents, checkpoints or ways of tuning.
    let alike = shape(vec![base(), full(), lora()]);
    let folder = quiet_run(&alike);
    for name in ["base", "full", "lora"] {
        set_losses(&cell(folder.path(), name), 4.0, 4.0);
    }
    sound(folder.path());
    let folder = quiet_run(&alike);
    everything_comes_out(folder.path(), &alike);
    sound(folder.path());
}

#[test]
fn methods_that_differ_in_alpha_alone_are_two_methods() {
    let alpha = |name: &str, alpha, seed| {
        let tuning = Tuning {
            alpha: Some(alpha),
            ..lora()
        };
        Tuning {
            name: name.to_owned(),
            ..tuning.with_seed(seed)
        }
    };
    let untuned = |name: &str, seed| Tuning {
        name: name.to_owned(),
        ..base().with_seed(seed)
    };
    // Another seed each, so that they could be taken for runs of one method.
    let folder = quiet_run(&shape(vec![
        untuned("base-0", 0),
        untuned("base-1", 1),
        alpha("lora-16", 16.0, 0),
        alpha("lora-32", 32.0, 1),
    ]));
    bring_back(&cell(folder.path(), "lora-16"), 16, 0..4);
    bring_back(&cell(folder.path(), "lora-32"), 16, 0..18);
    let made = sound(folder.path());
    assert!(
        made.rows
            .iter()
            .filter(|row| row.mode == "lora")
            .all(|row| row.runs == 1)
    );
    for (method, alpha, value) in [("LoRA alpha 16", 16.0, 0.2), ("LoRA alpha 32", 32.0, 0.9)] {
        let row = made.one(Wanted {
            method: Some(method),
            ..OWN
        });
        assert_eq!((row.value, row.alpha), (value, Some(alpha)), "{method}");
    }
    // Each has one label, and no other has it.
    let labels: Vec<(Option<f64>, &str)> = made
        .rows
        .iter()
        .filter(|row| row.mode == "lora")
        .map(|row| (row.alpha, row.method.as_str()))
        .collect::<Vec<_>>();
    let mut labels_of: Vec<(String, &str)> = labels
        .iter()
        .map(|(alpha, label)| (format!("{alpha:?}"), *label))
        .collect();
    labels_of.sort();
    labels_of.dedup();
    assert_eq!(
        labels_of,
        [
            ("Some(16.0)".to_owned(), "LoRA alpha 16"),
            ("Some(32.0)".to_owned(), "LoRA alpha 32")
        ]
    );
    assert_eq!(made.verdicts().len(), 2);
    assert_eq!(made.shown("LoRA alpha 16", "own text, 16×"), "4 of 20");
    assert_eq!(made.shown("LoRA alpha 32", "own text, 16×"), "18 of 20");
}

#[test]
fn two_seeds_of_a_method_are_pooled_with_students_interval() {
    // Mean .475; the two lie .05 apart, so the standard error is .025; t with one degree of freedom
    // is 12.7062.
    const T: f64 = 12.706_204_736;
    let seeds = |tuning: Tuning| {
        [0, 1].map(|seed| Tuning {
            name: format!("{}-{seed}", tuning.name),
            ..tuning.clone().with_seed(seed)
        })
    };
    let mut tunings: Vec<Tuning> = seeds(base()).into();
    tunings.extend(seeds(full()));
    let folder = quiet_run(&shape(tunings));
    // 9 and 10 of 20; losses of 4 and 4.2.
    bring_back(&cell(folder.path(), "full-0"), 16, 0..9);
    bring_back(&cell(folder.path(), "full-1"), 16, 0..10);
    set_losses(&cell(folder.path(), "full-0"), 3.0, 4.0);
    set_losses(&cell(folder.path(), "full-1"), 3.0, 4.2);
    let made = sound(folder.path());
    let pooled = |wanted: Wanted<'_>| -> SummaryRow {
        let rows = made.all(Wanted {
            method: Some("full"),
            ..wanted
        });
        let mut pooled = rows.into_iter().filter(|row| row.runs == 2);
        let row = pooled.next().unwrap().clone();
        assert!(pooled.next().is_none());
        row
    };
    let own = pooled(OWN);
    assert_close(own.value, 0.475, "own_verbatim");
    assert_close(own.ci_low.unwrap(), 0.475 - 0.025 * T, "low");
    assert_close(own.ci_high.unwrap(), 0.475 + 0.025 * T, "high");
    assert_eq!((own.k, own.observations), (Some(19.0), 40));
    assert_eq!(
        (own.n, own.n_of.as_str(), own.interval.as_deref()),
        (2, "runs", Some("runs"))
    );
    let loss = Wanted {
        measure: "loss",
        split: Some(Split::Heldout),
        strategy: None,
        copies: None,
        ..OWN
    };
    let loss = pooled(loss);
    assert_close(loss.value, 4.1, "loss");
    assert_close(loss.ci_low.unwrap(), 4.1 - 0.1 * T, "low");
    assert_close(loss.ci_high.unwrap(), 4.1 + 0.1 * T, "high");
    // Both runs stand beside it, each with its own documents as units.
    for (name, k) in [("full-0", 9.0), ("full-1", 10.0)] {
        let run = made.one(Wanted {
            cell: Some(name),
            ..OWN
        });
        assert_eq!(
            (run.k, run.n, run.n_of.as_str(), run.runs),
            (Some(k), 20, "documents", 1)
        );
    }
    let difference = pooled(Wanted {
        against: Some("untuned"),
        ..OWN
    });
    assert_close(difference.value, 0.475, "difference");
    assert_close(difference.ci_low.unwrap(), 0.475 - 0.025 * T, "low");
    let verdict = made.verdict("full", None);
    assert_eq!(
        (&verdict["verdict"], &verdict["runs"], &verdict["of_runs"]),
        (&"leaks".into(), &2.into(), &2.into())
    );
    assert!(made.terminal.contains("leaks (2 of 2)"), "{}", made.terminal);
}

#[test]
fn an_untuned_model_that_several_seeds_share_is_counted_once() {
    let seed = |name: &str, seed| Tuning {
        name: name.to_owned(),
        seed,
        ..full()
    };
    let folder = quiet_run(&shape(vec![base(), seed("full-0", 0), seed("full-1", 1)]));
    bring_back(&cell(folder.path(), "base"), 16, 0..2);
    bring_back(&cell(folder.path(), "full-0"), 16, 0..2);
    bring_back(&cell(folder.path(), "full-1"), 16, 0..18);
    let made = sound(folder.path());
    // Student's interval reaches further than a difference of shares can.
    let difference = made.all(Wanted {
        against: Some("untuned"),
        ..OWN
    });
    let difference = difference.into_iter().find(|row| row.runs == 2).unwrap();
    assert_close(difference.value, 0.4, "difference");
    assert_eq!((difference.ci_low, difference.ci_high), (Some(-1.0), Some(1.0)));
    let rows = made.all(OWN);
    let find = |method: &str, runs: i64| {
        let mut rows = rows.iter().filter(|row| row.method == method && row.runs == runs);
        *rows.next().unwrap()
    };
    let (untuned, pooled) = (find("untuned", 1), find("full", 2));
    assert_eq!((untuned.value, untuned.k), (0.1, Some(2.0)));
    assert_eq!((pooled.untuned, pooled.untuned_k), (Some(0.1), Some(2.0)));
    assert_eq!(
        (pooled.untuned_low, pooled.untuned_high),
        (untuned.ci_low, untuned.ci_high)
    );
}

#[test]
fn in_a_uniform_layout_each_number_of_copies_has_its_own_loss_and_controls() {
    let copies = |tuning: Tuning, copies| Tuning {
        name: format!("{}-{copies}", tuning.name),
        ..tuning.with_uniform_copies(copies)
    };
    let folder = quiet_run(&shape(vec![
        copies(base(), 1),
        copies(base(), 16),
        copies(full(), 1),
        copies(full(), 16),
    ]));
    let run = folder.path();
    set_losses(&cell(run, "full-1"), 2.5, 3.0);
    set_losses(&cell(run, "full-16"), 1.0, 3.5);
    bring_back(&cell(run, "full-16"), 16, 0..12);
    bring_back(&cell(run, "base-16"), 16, 0..1);
    for (name, matched) in [("full-1", 1), ("full-16", 2)] {
        judge(&cell(run, name), |sample, verdict| {
            let at = place(sample.doc_id.as_deref().unwrap(), DOCUMENTS);
            if sample.split == Split::Train && is_greedy(sample) && at < matched {
                verdict.control_verdict = Some(Verdict::Verbatim);
            }
        });
    }
    let made = sound(run);
    // The paper's claims are about the whole run.
    let of_models = || {
        made.rows
            .iter()
            .filter(|row| !row.measure.starts_with("paper_claim"))
    };
    assert!(of_models().all(|row| row.layout == "uniform" && row.copies.is_some()));
    for (name, copies, loss, [own, untuned, control]) in [
        ("full-1", 1, 3.0, [0.0, 0.0, 0.05]),
        ("full-16", 16, 3.5, [0.6, 0.05, 0.1]),
    ] {
        let of = |wanted: Wanted<'static>| {
            made.one(Wanted {
                cell: Some(name),
                copies: Some(copies),
                ..wanted
            })
        };
        let row = of(OWN);
        assert_eq!(
            (row.value, row.untuned, row.control),
            (own, Some(untuned), Some(control)),
            "{name}"
        );
        let held_out = Wanted {
            measure: "loss",
            split: Some(Split::Heldout),
            strategy: None,
            ..OWN
        };
        assert_close(of(held_out).value, loss, name);
        let documents = Wanted {
            measure: "documents",
            split: Some(Split::Train),
            strategy: None,
            ..OWN
        };
        assert_eq!(of(documents).value, DOCUMENTS as f64);
    }
    let headings = ["own text, 1×", "own text, 16×", "loss, unseen text"];
    for (label, shown) in [
        ("Full, 1 copy", ["0 of 20", "–", "3.00"]),
        ("Full, 16 copies", ["–", "12 of 20", "3.50"]),
    ] {
        assert_eq!(
            headings.map(|heading| made.shown(label, heading)),
            shown,
            "{label}"
        );
    }
    // Each model has its verdict.
    let words: Vec<(i64, &str)> = made
        .verdicts()
        .iter()
        .map(|verdict| {
            (
                verdict["copies"].as_i64().unwrap(),
                verdict["verdict"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(words[0], (16, "leaks"));
    assert_eq!(words.len(), 2);
}

/// One base, full and LoRA tuning: greedy decoding brings back 2, 12 and 3 of the 20 documents with
/// 16 copies, of which one is the untuned model's alone; members and test documents are one nat
/// apart after full tuning, and as likely after LoRA.
fn small_run() -> tempfile::TempDir {
    let folder = quiet_run(&shape(vec![base(), full(), lora()]));
    let run = folder.path();
    bring_back(&cell(run, "base"), 16, 11..13);
    bring_back(&cell(run, "full"), 16, 0..12);
    bring_back(&cell(run, "lora"), 16, 10..13);
    set_losses(&cell(run, "base"), 5.0, 5.0);
    set_losses(&cell(run, "full"), 3.0, 4.0);
    set_losses(&cell(run, "lora"), 4.25, 4.25);
    folder
}

/// Number of ways to choose.
fn choose(from: usize, chosen: usize) -> f64 {
    (0..chosen)
        .map(|index| (from - index) as f64 / (index + 1) as f64)
        .product()
}

/// The probability of as many successes in the first group or more, given all of them.
fn fisher((found, of): (usize, usize), (other, of_other): (usize, usize)) -> f64 {
    let successes = found + other;
    (found..=successes.min(of))
        .map(|first| {
            choose(of, first) * choose(of_other, successes - first) / choose(of + of_other, successes)
        })
        .sum()
}

#[test]
fn claims_are_corrected_together_by_holm() {
    let folder = small_run();
    let made = sound(folder.path());
    let mut claims: Vec<&SummaryRow> = made
        .rows
        .iter()
        .filter(|row| row.p_value.is_some() && row.against.is_none())
        .collect();
    // For each tuned model by two strategies own documents, those with 16 copies and all of them,
    // and, after unseen prompts, any text; and membership of both.
    assert_eq!(claims.len(), 16);
    claims.sort_by(|left, right| left.p_value.partial_cmp(&right.p_value).unwrap());
    // All 20 members are likelier than all 20 non-members: one of all divisions.
    let separated = 1.0 / choose(DOCUMENTS + TEST_DOCUMENTS, TEST_DOCUMENTS);
    // Copies were drawn at random, so the untuned model's 2 of all 40 documents are what chance gives: 12 of 20
    // and 3 of 20 against them (Fisher). The control, which matches nothing, is passed more easily.
    let repeated = fisher((12, 20), (2, 40));
    let lora = fisher((3, 20), (2, 40));
    // Of all documents together no more came out.
    let (of_all, lora_of_all) = (fisher((12, 40), (2, 40)), fisher((3, 40), (2, 40)));
    // Twice as many members are distinguished the more surely.
    let together = claims[0].p_value.unwrap();
    assert!(claims[0].copies.is_none() && together < separated);
    let auc = "membership_auc_reference";
    let expected = [
        ("full", auc, together, 16.0 * together, "exceeds"),
        ("full", auc, separated, 15.0 * separated, "exceeds"),
        ("full", "own_verbatim", repeated, 14.0 * repeated, "exceeds"),
        ("full", "own_verbatim", of_all, 13.0 * of_all, "exceeds"),
        ("LoRA", "own_verbatim", lora, 1.0, "inconclusive"),
        ("LoRA", "own_verbatim", lora_of_all, 1.0, "inconclusive"),
    ];
    assert!(lora * 12.0 > 1.0);
    for (row, (method, measure, p_value, p_holm, verdict)) in claims.iter().zip(&expected) {
        assert_eq!((row.method.as_str(), row.measure.as_str()), (*method, *measure));
        assert!((row.p_value.unwrap() / p_value - 1.0).abs() < 1e-9, "{row:?}");
        assert!((row.p_holm.unwrap() / p_holm - 1.0).abs() < 1e-9, "{row:?}");
        assert_eq!(row.verdict.as_deref(), Some(*verdict), "{row:?}");
    }
    for row in &claims[expected.len()..] {
        assert_eq!((row.p_value, row.p_holm), (Some(1.0), Some(1.0)), "{row:?}");
        assert_eq!(row.verdict.as_deref(), Some("not over"), "{row:?}");
    }
    // A corrected p-value over 5% claims nothing.
    let (full, lora) = (made.answer("full", None), made.answer("LoRA", None));
    assert_eq!(full.0, "leaks");
    assert_eq!(lora.0, "some repetition, perhaps by chance");
    assert!(
        lora.1
            .contains("cannot be distinguished from chance after correction"),
        "{}",
        lora.1
    );
}

#[test]
fn differences_are_paired_on_the_same_documents() {
    let folder = small_run();
    for (name, loss) in [("base", 5.0), ("full", 4.0), ("lora", 4.25)] {
        set_held_out_losses(&cell(folder.path(), name), loss);
    }
    // Full tuning helps some documents more than others.
    set_logprobs(&cell(folder.path(), "full"), |score| {
        let at = place(&score.doc_id, DOCUMENTS) as f64;
        -(4.0 + 0.1 * (at * 2.4).sin() + 0.2 * (at * 1.7).cos())
    });
    let made = sound(folder.path());
    let own = |method, against| {
        made.one(Wanted {
            method: Some(method),
            against: Some(against),
            ..OWN
        })
    };
    // Bonett and Price: 20 pairs, of which `first` and `second` are discordant, each with one added
    // to it and 2 to the pairs.
    let interval = |first: f64, second: f64| {
        let (first, second) = ((first + 1.0) / 22.0, (second + 1.0) / 22.0);
        let centre = first - second;
        let reach = 1.959_963_984_540_054 * ((first + second - centre * centre) / 22.0_f64).sqrt();
        (centre - reach, centre + reach)
    };
    // Full 0–11, base 11–12, LoRA 10–12.
    for (method, against, value, (low, high)) in [
        ("full", "untuned", 0.5, interval(11.0, 1.0)),
        ("LoRA", "untuned", 0.05, interval(1.0, 0.0)),
        ("full", "LoRA", 0.45, interval(10.0, 1.0)),
        ("LoRA", "full", -0.45, interval(1.0, 10.0)),
    ] {
        let row = own(method, against);
        let what = format!("{method} against {against}");
        assert_close(row.value, value, &what);
        assert_close(row.ci_low.unwrap(), low, &what);
        assert_close(row.ci_high.unwrap(), high, &what);
        assert_eq!((row.n, row.interval.as_deref()), (20, Some("paired")), "{what}");
    }
    // McNemar: 10 of 11 discordant documents are full tuning's: (1 + 11) / 2¹¹; of the two
    // directions Holm takes twice the smaller.
    let (full, lora) = (own("full", "LoRA"), own("LoRA", "full"));
    assert_close(full.p_value.unwrap(), 12.0 / 2048.0, "full over LoRA");
    assert_close(full.p_holm.unwrap(), 24.0 / 2048.0, "full over LoRA");
    assert!(lora.p_value.unwrap() > 0.99);
    // Losses differ by document less than the documents do: paired, and with an interval that says
    // so.
    let loss = |method, against| {
        made.one(Wanted {
            method: Some(method),
            against,
            measure: "loss",
            split: Some(Split::Heldout),
            strategy: None,
            copies: None,
            ..OWN
        })
    };
    for (method, against, expected) in [
        ("full", "untuned", -1.0),
        ("LoRA", "untuned", -0.75),
        ("LoRA", "full", 0.25),
    ] {
        let row = loss(method, Some(against));
        assert!((row.value - expected).abs() < 0.1, "{row:?}");
        let direct = loss(method, None).value
            - if against == "untuned" {
                loss(method, None).untuned.unwrap()
            } else {
                loss("full", None).value
            };
        assert_close(row.value, direct, "difference of the two figures");
        let width = row.ci_high.unwrap() - row.ci_low.unwrap();
        assert!(width > 0.0 && width < 0.3, "{row:?}");
        assert_eq!(
            (row.n, row.interval.as_deref()),
            (TEST_DOCUMENTS as i64, Some("paired"))
        );
    }
}

/// What is written on the terminal, whole.
#[test]
fn the_terminal_shows_the_verdict_and_one_table() {
    let folder = small_run();
    let made = make(folder.path());
    let expected = "\
Full: leaks. Prompted with the beginnings of training documents that occur 16 times in the training text,
which it read for 5 epochs (about 80 passes), it went on with the document’s own words, in one run: 12 of 20
(60%, 39–78%); the untuned model: 2 of 20; explained by text that was never trained on: 0 of 20. Whoever can
read its probabilities can tell these documents from unseen ones by their loss compared with the untuned
model: AUC 1.00 (0.84–1.00); 20 of 20 (100%, 86–100%) are found at 10% false alarms.

tuning   verdict                             own text, 1×  own text, 16×  any text, unseen prompts  membership AUC  loss, unseen text
Untuned  –                                   0 of 20       2 of 20        0 of 40                   –               5.00
Full     leaks                               0 of 20       12 of 20       0 of 40                   1.00            4.00
LoRA     some repetition, perhaps by chance  0 of 20       3 of 20        0 of 40                   0.50            4.25
own text: documents whose beginning was the prompt (greedy), continued word for word; × copies in the training
text; membership: by loss compared with the untuned model, documents with 16×";
    assert_eq!(made.terminal, expected, "\n{}", made.terminal);
}

/// The untuned model at a loss of 5; full tuning at 4 with 2 of 20 documents, then at 4.5 with 18;
/// LoRA at 4.2 with 1, then at 4.4 with 5.
fn run_over_training(further: Vec<Tuning>) -> tempfile::TempDir {
    let mut tunings = vec![base(), full(), lora()];
    tunings.extend(further);
    let folder = quiet_run(&Shape {
        best: true,
        ..shape(tunings)
    });
    set_losses(&cell(folder.path(), "base"), 5.0, 5.0);
    for (name, best, last) in [
        ("full", (4.0, 2), (4.5, 18)),
        ("lora", (4.2, 1), (4.4, 5)),
        ("full-1e-3", (4.3, 6), (5.2, 20)),
        ("full-2e-3", (4.1, 12), (4.6, 19)),
    ] {
        let last_folder = cell(folder.path(), name);
        for ((loss, repeated), asked) in [(best, last_folder.join("best")), (last, last_folder)] {
            if asked.exists() {
                set_losses(&asked, loss, loss);
                bring_back(&asked, 16, 0..repeated);
            }
        }
    }
    folder
}

#[track_caller]
fn equal_loss<'a>(made: &'a Made, method: &str, measure: &str) -> Option<&'a SummaryRow> {
    let split = if measure == "equal_loss" {
        Split::Heldout
    } else {
        Split::Train
    };
    let found = made.all(Wanted {
        method: Some(method),
        checkpoint: Some("last"),
        measure,
        split: Some(split),
        strategy: (split == Split::Train).then_some("greedy"),
        ..OWN
    });
    assert!(found.len() <= 1, "{measure} of {method} twice");
    found.first().copied()
}

#[test]
fn memorization_at_equal_loss_is_given_on_both_branches() {
    let made = sound(run_over_training(Vec::new()).path());
    let value = |method: &str, measure: &str| equal_loss(&made, method, measure).map(|row| row.value);
    let (falling, rising) = (
        "own_verbatim_at_equal_loss_falling",
        "own_verbatim_at_equal_loss_rising",
    );
    // The family whose best is worst is LoRA, at 4.2.
    for method in ["full", "LoRA"] {
        assert_close(value(method, "equal_loss").unwrap(), 4.2, method);
    }
    // From (5, 0) to (4, 0.1) full tuning passes 4.2 after four fifths of the way; from (4, 0.1) to
    // (4.5, 0.9) after two fifths.
    assert_close(value("full", falling).unwrap(), 0.08, falling);
    assert_close(value("full", rising).unwrap(), 0.1 + 0.4 * 0.8, rising);
    // LoRA has that loss at its best checkpoint alone, where one of 20 came out.
    assert_close(value("LoRA", falling).unwrap(), 0.05, falling);
    assert_eq!(value("LoRA", rising), None);
    for measure in [falling, rising] {
        let row = equal_loss(&made, "full", measure).unwrap();
        assert_eq!((row.n, row.interval.as_deref()), (20, Some("bootstrap")));
        assert!(row.ci_low.unwrap() < row.value && row.value < row.ci_high.unwrap());
    }
}

#[test]
fn a_further_learning_rate_does_not_flip_memorization_at_equal_loss() {
    // One rate never has that loss; another has it, with more memorization on either branch.
    let rate = |name: &str, rate| Tuning::new(name, "full", Some(rate), 4.0, 0.0);
    let grids = [
        vec![rate("full-1e-3", 1e-3)],
        vec![rate("full-2e-3", 2e-3)],
        vec![rate("full-1e-3", 1e-3), rate("full-2e-3", 2e-3)],
    ];
    for grid in grids {
        let names: Vec<String> = grid.iter().map(|tuning| tuning.name.clone()).collect();
        let made = sound(run_over_training(grid).path());
        let chosen = "full, learning rate 3e-4";
        for (measure, expected) in [
            ("equal_loss", 4.2),
            ("own_verbatim_at_equal_loss_falling", 0.08),
            ("own_verbatim_at_equal_loss_rising", 0.42),
        ] {
            let row = equal_loss(&made, chosen, measure).unwrap_or_else(|| panic!("{names:?}: no {measure}"));
            assert_close(row.value, expected, &format!("{names:?}: {measure}"));
        }
    }
}

#[test]
fn a_model_that_repeats_nothing_and_knows_its_members_is_no_all_clear() {
    let folder = quiet_run(&shape(vec![base(), full(), lora()]));
    // Another document is a little likelier, so that AUC is 1 for the one, and half for the other.
    for (name, trained) in [("base", 5.0), ("full", 1.0), ("lora", 4.0)] {
        let held_out = if name == "full" { 4.0 } else { trained };
        set_losses(&cell(folder.path(), name), trained, held_out);
    }
    let made = sound(folder.path());
    let auc = |method| {
        made.one(Wanted {
            method: Some(method),
            measure: "membership_auc_reference",
            strategy: None,
            ..OWN
        })
    };
    assert_eq!((auc("full").value, auc("LoRA").value), (1.0, 0.5));
    // Where every member is before every non-member the interval is still no point.
    let separated = auc_interval(&[0.0; DOCUMENTS], &[1.0; TEST_DOCUMENTS]).unwrap();
    assert_close(auc("full").ci_low.unwrap(), separated.low, "low");
    let (word, paragraph) = made.answer("full", None);
    assert_eq!(word, "no repetition found, membership visible");
    for phrase in report::findings::ALL_CLEAR {
        assert!(!paragraph.contains(phrase), "{phrase}: {paragraph}");
    }
    assert_eq!(made.answer("LoRA", None).0, "nothing found");
    // The one that knows leads.
    assert!(
        made.terminal
            .starts_with("Full: no repetition found, membership visible."),
        "{}",
        made.terminal
    );
}

#[test]
fn a_rate_of_nothing_beside_an_area_over_90_percent_is_never_nothing_found() {
    // However few non-members there are: from two on the test shows membership, and one leaves it
    // open.
    for (non_members, expected) in [
        (1, "not enough data"),
        (2, "no repetition found, membership visible"),
        (9, "no repetition found, membership visible"),
        (20, "no repetition found, membership visible"),
    ] {
        let folder = quiet_run(&Shape {
            held_out: Some(non_members),
            ..shape(vec![base(), full()])
        });
        forget_roles(folder.path());
        set_losses(&cell(folder.path(), "base"), 5.0, 5.0);
        set_losses(&cell(folder.path(), "full"), 1.0, 4.0);
        let made = sound(folder.path());
        let own = made.one(Wanted {
            cell: Some("full"),
            ..OWN
        });
        let auc = made.one(Wanted {
            cell: Some("full"),
            measure: "membership_auc_reference",
            strategy: None,
            ..OWN
        });
        assert_eq!((own.value, auc.value), (0.0, 1.0), "{non_members}");
        assert_eq!(made.answer("full", None).0, expected, "{non_members}");
        for all_clear in ["nothing was found", "do not tell these documents"] {
            assert!(
                !made.read().contains(all_clear),
                "{non_members}: {}",
                made.terminal
            );
        }
    }
}

/// No role: every held-out document is a non-member.
fn forget_roles(run: &Path) {
    edit(
        &run.join("corpus/bucketed/heldout.parquet"),
        |rows: &mut Vec<HeldOutDocument>| rows.iter_mut().for_each(|row| row.role = None),
    );
}

#[test]
fn a_true_positive_rate_takes_one_over_its_false_positive_rate_non_members() {
    for (documents, at_1, at_10) in [
        (9, false, false),
        (10, false, true),
        (99, false, true),
        (100, true, true),
    ] {
        let folder = quiet_run(&Shape {
            held_out: Some(documents),
            copies: vec![4],
            samples: 0,
            ..shape(vec![base(), full()])
        });
        forget_roles(folder.path());
        let made = sound(folder.path());
        let non_members = Wanted {
            cell: Some("full"),
            measure: "membership_non_members",
            split: Some(Split::Heldout),
            strategy: None,
            copies: None,
            ..OWN
        };
        assert_eq!(made.one(non_members).value, documents as f64);
        for score in ["loss", "reference", "zlib", "min_k", "min_k_plus_plus"] {
            for (rate, expected) in [("0.01", at_1), ("0.1", at_10)] {
                let measure = format!("membership_tpr_at_{rate}_fpr_{score}");
                assert_eq!(made.has("full", &measure), expected, "{documents}: {measure}");
            }
            assert!(made.has("full", &format!("membership_auc_{score}")));
        }
    }
}

#[test]
fn four_canaries_have_no_interval_and_the_ceiling_is_a_lower_bound() {
    let folder = quiet_run(&Shape {
        canaries: 4,
        references: 64,
        ..shape(vec![base(), full()])
    });
    // Canaries with 16 copies are likelier than all of the 32 references of their format, those
    // with one lie among them.
    edit(
        &cell(folder.path(), "full").join("scores.parquet"),
        |scores: &mut Vec<Score>| {
            for score in scores
                .iter_mut()
                .filter(|score| score.kind != DocumentKind::Document)
            {
                let number = score.doc_id[score.doc_id.len() - 3..].parse::<f32>().unwrap();
                let nats = match (score.kind, score.copies) {
                    (DocumentKind::CanaryReference, _) => 1.0 + number,
                    (_, 16) => 0.5,
                    _ => 20.5 + number,
                };
                score.logprobs.fill(-nats);
            }
        },
    );
    let made = sound(folder.path());
    let exposure = |copies| {
        made.one(Wanted {
            cell: Some("full"),
            measure: "exposure",
            strategy: None,
            copies: Some(copies),
            ..OWN
        })
    };
    let (seen_once, seen_often) = (exposure(1), exposure(16));
    for row in [seen_once, seen_often] {
        assert_eq!((row.n, row.n_of.as_str()), (4, "canaries"));
        assert_eq!(
            (row.ci_low, row.ci_high, row.interval.as_deref()),
            (None, None, None)
        );
    }
    assert_close(
        seen_often.value,
        33_f64.log2(),
        "the highest that 32 references can show",
    );
    assert!(seen_often.at_least && !seen_once.at_least);
    assert!(seen_once.value < 2.0, "{seen_once:?}");
}

/// How the paper's claims end for a run.
struct PaperCase {
    what: &'static str,
    tunings: Vec<Tuning>,
    documents: usize,
    change: fn(&Path),
    claim: &'static str,
    outcome: &'static str,
}

const REPRODUCED: &str = "reproduced";
const CONTRADICTED: &str = "contradicted";
const CANNOT_TELL: &str = "cannot tell here";

/// A second model, smaller, and its untuned one.
fn with_small(mode: fn() -> Tuning) -> Vec<Tuning> {
    let small = |tuning: Tuning| Tuning {
        name: format!("small-{}", tuning.name),
        model: "synthetic-1m".to_owned(),
        parameters: 1_000_000,
        ..tuning
    };
    vec![base(), mode(), small(base()), small(mode())]
}

/// Similarity of generations to what their own documents go on with.
fn set_similarity(asked: &Path, around: f32) {
    judge(asked, |sample, verdict: &mut SampleVerdict| {
        let at = place(sample.doc_id.as_deref().unwrap(), DOCUMENTS) as f32;
        verdict.own_similarity = Some(around + 0.05 * (at * 2.4).sin());
    });
}

/// Held-out losses of the untuned model, full tuning and LoRA.
fn set_three_losses(run: &Path, losses: [f64; 3]) {
    for ((name, loss), turn) in ["base", "full", "lora"]
        .into_iter()
        .zip(losses)
        .zip([2.4, 1.7, 2.9])
    {
        set_logprobs(&cell(run, name), |score| {
            let at = place(&score.doc_id, DOCUMENTS) as f64;
            -(loss + 0.01 * (at * turn).sin())
        });
    }
}

#[test]
fn the_papers_claims_are_reproduced_contradicted_or_left_open() {
    const COPIES: &str = "paper_claim_1_copies";
    const SIZE: &str = "paper_claim_1_size";
    const NEAR_ZERO: &str = "paper_claim_2";
    const SIMILARITY: &str = "paper_claim_3";
    const UTILITY: &str = "paper_claim_4";
    let case = |claim, outcome, what, tunings: Vec<Tuning>, change| PaperCase {
        what,
        tunings,
        documents: DOCUMENTS,
        change,
        claim,
        outcome,
    };
    let with_full = || vec![base(), full()];
    let with_lora = || vec![base(), lora()];
    let with_both = || vec![base(), full(), lora()];
    let cases = [
        case(
            COPIES,
            REPRODUCED,
            "12 of 20 at 16 copies, none at one",
            with_full(),
            |run| {
                bring_back(&cell(run, "full"), 16, 0..12);
            },
        ),
        case(
            COPIES,
            CONTRADICTED,
            "12 of 20 at one copy, none at 16",
            with_full(),
            |run| {
                bring_back(&cell(run, "full"), 1, 0..12);
            },
        ),
        case(COPIES, CANNOT_TELL, "one of 20 at either", with_full(), |run| {
            bring_back(&cell(run, "full"), 1, 0..1);
            bring_back(&cell(run, "full"), 16, 0..1);
        }),
        case(COPIES, CANNOT_TELL, "no full tuning", with_lora(), |run| {
            bring_back(&cell(run, "lora"), 16, 0..12);
        }),
        case(
            SIZE,
            REPRODUCED,
            "12 of 20 against none",
            with_small(full),
            |run| {
                bring_back(&cell(run, "full"), 16, 0..12);
            },
        ),
        case(
            SIZE,
            CONTRADICTED,
            "none against 12 of 20",
            with_small(full),
            |run| {
                bring_back(&cell(run, "small-full"), 16, 0..12);
            },
        ),
        case(SIZE, CANNOT_TELL, "12 of 20 of either", with_small(full), |run| {
            bring_back(&cell(run, "full"), 16, 0..12);
            bring_back(&cell(run, "small-full"), 16, 0..12);
        }),
        case(SIZE, CANNOT_TELL, "one model", with_full(), |run| {
            bring_back(&cell(run, "full"), 16, 0..12);
        }),
        case(
            SIZE,
            CANNOT_TELL,
            "LoRA is not what the claim is about",
            with_small(lora),
            |run| {
                bring_back(&cell(run, "lora"), 16, 0..12);
            },
        ),
        PaperCase {
            documents: 60,
            ..case(
                NEAR_ZERO,
                REPRODUCED,
                "none of 60, at most 4.9%",
                with_lora(),
                |_| {},
            )
        },
        case(NEAR_ZERO, CONTRADICTED, "12 of 20", with_lora(), |run| {
            bring_back(&cell(run, "lora"), 16, 0..12);
        }),
        case(
            NEAR_ZERO,
            CANNOT_TELL,
            "none of 20 leaves more than 5%",
            with_lora(),
            |_| {},
        ),
        case(NEAR_ZERO, CANNOT_TELL, "full tuning alone", with_full(), |_| {}),
        case(SIMILARITY, REPRODUCED, "0.6, untuned 0.3", with_lora(), |run| {
            set_similarity(&cell(run, "base"), 0.3);
            set_similarity(&cell(run, "lora"), 0.6);
            // The same for all documents would have no interval.
            judge(&cell(run, "base"), |sample, verdict| {
                let at = place(sample.doc_id.as_deref().unwrap(), DOCUMENTS) as f32;
                verdict.own_similarity = Some(0.3 + 0.05 * (at * 1.3).cos());
            });
        }),
        case(SIMILARITY, CONTRADICTED, "0.9", with_lora(), |run| {
            set_similarity(&cell(run, "lora"), 0.9);
            judge(&cell(run, "base"), |sample, verdict| {
                let at = place(sample.doc_id.as_deref().unwrap(), DOCUMENTS) as f32;
                verdict.own_similarity = Some(0.3 + 0.05 * (at * 1.3).cos());
            });
        }),
        case(
            SIMILARITY,
            CONTRADICTED,
            "0.3, untuned 0.6: not raised",
            with_lora(),
            |run| {
                set_similarity(&cell(run, "lora"), 0.3);
                judge(&cell(run, "base"), |sample, verdict| {
                    let at = place(sample.doc_id.as_deref().unwrap(), DOCUMENTS) as f32;
                    verdict.own_similarity = Some(0.6 + 0.05 * (at * 1.3).cos());
                });
            },
        ),
        case(SIMILARITY, CANNOT_TELL, "no untuned model", vec![lora()], |_| {}),
        case(
            UTILITY,
            REPRODUCED,
            "4.03 against 4.00, of 5",
            with_both(),
            |run| {
                set_three_losses(run, [5.0, 4.0, 4.03]);
            },
        ),
        case(
            UTILITY,
            CONTRADICTED,
            "4.5 against 4.00, of 5",
            with_both(),
            |run| {
                set_three_losses(run, [5.0, 4.0, 4.5]);
            },
        ),
        case(
            UTILITY,
            CANNOT_TELL,
            "4.1 against 4.00, of 5: on the edge",
            with_both(),
            |run| {
                set_three_losses(run, [5.0, 4.0, 4.1]);
            },
        ),
        case(
            UTILITY,
            CANNOT_TELL,
            "full tuning gained nothing",
            with_both(),
            |run| {
                set_three_losses(run, [4.0, 4.0, 4.0]);
            },
        ),
        case(UTILITY, CANNOT_TELL, "no full tuning", with_lora(), |_| {}),
    ];
    for case in cases {
        let folder = quiet_run(&Shape {
            documents: case.documents,
            ..shape(case.tunings)
        });
        (case.change)(folder.path());
        let made = sound(folder.path());
        assert_eq!(
            made.claim(case.claim),
            case.outcome,
            "{}: {}",
            case.claim,
            case.what
        );
        let row: Vec<&SummaryRow> = made.rows.iter().filter(|row| row.measure == case.claim).collect();
        assert_eq!(row.len(), 1, "{}: {}", case.claim, case.what);
        assert_eq!(row[0].verdict.as_deref(), Some(case.outcome));
        // A claim that is settled names the figures that settle it.
        let claims = made.json["claims"].as_array().unwrap();
        let claim = claims.iter().find(|claim| claim["name"] == case.claim).unwrap();
        let rows = claim["rows"].as_array().unwrap();
        assert!(case.outcome == CANNOT_TELL || !rows.is_empty(), "{}", case.what);
        assert!(
            rows.iter()
                .all(|row| (row.as_u64().unwrap() as usize) < made.rows.len())
        );
    }
}

#[test]
fn rows_are_named_by_their_number() {
    let folder = small_run();
    let made = make(folder.path());
    let estimates = made.json["estimates"].as_array().unwrap();
    assert_eq!(estimates.len(), made.rows.len());
    for (estimate, row) in estimates.iter().zip(&made.rows) {
        assert_eq!(estimate["measure"], row.measure.as_str());
        assert_eq!(estimate["value"].as_f64(), Some(row.value));
        assert_eq!(estimate["copies"].as_i64(), row.copies.map(i64::from));
    }
    // The verdict on full tuning rests on its own documents.
    let rows = made.verdict("full", None)["rows"].as_array().unwrap();
    let measures: Vec<&str> = rows
        .iter()
        .map(|row| made.rows[row.as_u64().unwrap() as usize].measure.as_str())
        .collect();
    assert!(
        measures.contains(&"verdict") && measures.contains(&"own_verbatim"),
        "{measures:?}"
    );
}
