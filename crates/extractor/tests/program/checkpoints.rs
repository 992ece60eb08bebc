//! Several checkpoints: the last is asked, the best as well where it is named, and all are followed.

use std::path::Path;

use contract::parquet;
use contract::records::{CoursePoint, DocumentKind, Sample, Split};
use text_tokens::TextTokenizer;

use crate::support::{Bench, copy_folder, edit_json, fixtures, row};

fn course(bench: &Bench, out: &str) -> Vec<CoursePoint> {
    parquet::read_all(&bench.path(out).join("course.parquet")).unwrap()
}

/// How often the corpus was tokenized.
fn readings(told: &str) -> usize {
    told.matches("read as tokens").count()
}

/// The course holds what the scores of each checkpoint alone say.
#[test]
fn a_list_of_checkpoints_is_followed() {
    let bench = Bench::new("");
    let kept = bench.path("checkpoints");
    for (name, source) in [("step-00000010", "tiny-gpt2"), ("step-00000020", "peft-adapter")] {
        copy_folder(&fixtures().join(source), &kept.join(name));
    }
    let base = fixtures().join("tiny-gpt2");
    let with_base = ["--base", base.to_str().unwrap()];
    let (alone, scores) = bench.extract("peft-adapter", "alone", &with_base);
    assert!(!bench.path("alone/course.parquet").exists());
    let last = fixtures().join("peft-adapter");
    let more = [&[last.to_str().unwrap()], &with_base[..]].concat();
    // The option takes several folders, and --out follows it.
    let run = || {
        let told = std::process::Command::new(env!("CARGO_BIN_EXE_extractor"))
            .arg("--config")
            .arg(bench.path("extractor.toml"))
            .arg("--in")
            .arg(bench.path(""))
            .arg("--checkpoint")
            .arg(&kept)
            .args(&more)
            .arg("--out")
            .arg(bench.path("followed"))
            .output()
            .unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8_lossy(&told.stderr).into_owned()
    };
    let told = run();
    assert!(told.contains("step-00000010"), "{told}");
    assert_eq!(readings(&told), 1, "{told}");
    let file = |name: &str| bench.path("followed").join(name);
    assert_eq!(
        parquet::read_all::<Sample>(&file("samples.parquet")).unwrap(),
        alone
    );
    let course = course(&bench, "followed");
    let steps: Vec<Option<i64>> = course.iter().map(|point| point.step).collect();
    // Training documents with one copy and with three, and the held-out one.
    assert_eq!(
        steps,
        [Some(10); 3]
            .into_iter()
            .chain([Some(20); 3])
            .chain([None; 3])
            .collect::<Vec<_>>()
    );
    for (kept, last) in course[3..6].iter().zip(&course[6..]) {
        assert_eq!(kept.loss, last.loss);
        assert_ne!(kept.loss, course[0].loss);
    }
    let three = course[6..].iter().find(|point| point.copies == 3).unwrap();
    let whole = scores
        .iter()
        .find(|score| score.copies == 3 && score.prefix_tokens == 0)
        .unwrap();
    let loss = -whole.logprobs.iter().copied().map(f64::from).sum::<f64>() / whole.logprobs.len() as f64;
    assert!((three.loss - loss).abs() < 1e-9);
    assert_eq!((three.documents, three.continuations), (1, 1));

    // The share of its 50 tokens behind 8 that are the most probable ones.
    let continuation = row(&scores, &whole.doc_id, 8, 50);
    let hits = continuation.argmax_hits.iter().filter(|hit| **hit).count();
    assert_eq!(three.exact_memorization, Some(hits as f64 / 50.0));

    assert!(run().contains("up to date"));
    std::fs::remove_file(file("course.parquet")).unwrap();
    run();
    assert!(file("course.parquet").exists());
}

/// transformers writes the number of a step without zeros before it: 1000 comes after 500, not before.
#[test]
fn checkpoints_in_a_folder_are_taken_in_order_of_step() {
    let bench = Bench::new("");
    let kept = bench.path("output");
    for (name, source) in [
        ("checkpoint-500", "tiny-gpt2"),
        ("checkpoint-1000", "peft-adapter"),
        ("checkpoint-90", "tiny-gpt2"),
    ] {
        copy_folder(&fixtures().join(source), &kept.join(name));
    }
    let base = fixtures().join("tiny-gpt2");
    let with_base = ["--base", base.to_str().unwrap()];
    let (last, _) = bench.extract("peft-adapter", "alone", &with_base);
    let (asked, _) = bench.extract(&kept, "followed", &with_base);
    assert_eq!(asked, last);
    let mut steps: Vec<Option<i64>> = course(&bench, "followed")
        .iter()
        .map(|point| point.step)
        .collect();
    steps.dedup();
    assert_eq!(steps, [Some(90), Some(500), Some(1000)]);
}

/// What the best checkpoint gives is what it gives when it is asked alone, and the corpus is tokenized once.
#[test]
fn the_best_checkpoint_is_asked_beside_the_last() {
    let bench = Bench::new("prompts = [\"train\", \"heldout\", \"none\"]\nunprompted = 3");
    let (tuned, base) = (fixtures().join("peft-adapter"), fixtures().join("tiny-gpt2"));
    let reference = ["--reference", base.to_str().unwrap()];
    let last = bench.extract("tiny-gpt2", "last", &reference);
    let best = bench.extract("peft-adapter", "best", &reference);
    assert_ne!(last, best);
    let both = [&["--best", tuned.to_str().unwrap()], &reference[..]].concat();
    let told = bench.told("tiny-gpt2", "both", &both);
    assert_eq!(readings(&told), 1, "{told}");
    assert!(
        told.contains("; of the checkpoint with the best held-out loss "),
        "{told}"
    );
    assert_eq!(bench.results("both"), last);
    assert_eq!(bench.results("both/best"), best);
    // Ranked by the untuned model, both.
    let is_ranked = |sample: &&Sample| sample.split == Split::None && sample.reference_loss.is_some();
    assert!(best.0.iter().filter(is_ranked).count() > 0);

    // Each file says what it was made from.
    let provenance = |name: &str| parquet::provenance(&bench.path(name)).unwrap();
    for file in ["samples.parquet", "scores.parquet"] {
        let alone = provenance(&format!("best/{file}"));
        assert!(provenance(&format!("both/best/{file}")).same_work(&alone));
        assert!(provenance(&format!("both/{file}")).same_work(&provenance(&format!("last/{file}"))));
    }

    // Up to date only with best/, and without --best nothing of another run is left there.
    let is_up_to_date = |more: &[&str]| bench.told("tiny-gpt2", "both", more).contains("up to date");
    assert!(is_up_to_date(&both));
    std::fs::remove_file(bench.path("both/best/scores.parquet")).unwrap();
    assert!(!is_up_to_date(&both) && is_up_to_date(&both));
    let other = [&["--best", base.to_str().unwrap()], &reference[..]].concat();
    let told = bench.told("tiny-gpt2", "both", &other);
    assert!(
        told.contains("the checkpoint with the best held-out loss is the last"),
        "{told}"
    );
    assert_eq!(bench.results("both/best"), last);
    assert!(is_up_to_date(&reference));
    for file in ["samples.parquet", "scores.parquet"] {
        assert!(!bench.path("both/best").join(file).exists());
    }
}

/// The best checkpoint is one of those that are followed: its scores are there already, and are the same.
#[test]
fn a_best_checkpoint_that_is_followed_has_its_points() {
    for score in ["true", "false"] {
        let bench = Bench::new(&format!("score = {score}"));
        let kept = bench.path("checkpoints");
        for (name, source) in [
            ("step-1", "tiny-gpt2"),
            ("step-2", "peft-adapter"),
            ("step-3", "tiny-gpt2"),
        ] {
            copy_folder(&fixtures().join(source), &kept.join(name));
        }
        let base = fixtures().join("tiny-gpt2");
        let with_base = ["--base", base.to_str().unwrap()];
        bench.told(&kept, "without", &with_base);
        let best = kept.join("step-2");
        let with_best = [&["--best", best.to_str().unwrap()], &with_base[..]].concat();
        bench.told(&kept, "with", &with_best);
        let points = course(&bench, "with");
        assert_eq!(points, course(&bench, "without"));
        assert_eq!(points.len(), 9);
        assert_ne!(points[0].loss, points[3].loss);
        assert_eq!(points[0].loss, points[6].loss);
        assert_eq!(bench.results("with/best").1.is_empty(), score == "false");
    }
}

/// Where a checkpoint has another tokenizer, the corpus is tokenized with that one.
#[test]
fn another_tokenizer_reads_the_corpus_anew() {
    let bench = Bench::new("");
    let other = bench.path("other");
    copy_folder(&fixtures().join("tiny-gpt2"), &other);
    // Without its merges it reads letter by letter.
    edit_json(&other.join("tokenizer.json"), |json| {
        json["model"]["merges"] = serde_json::json!([]);
    });
    let alone = bench.extract(&other, "alone", &[]);
    let told = bench.told("tiny-gpt2", "both", &["--best", other.to_str().unwrap()]);
    assert_eq!(readings(&told), 2, "{told}");
    assert_eq!(bench.results("both/best"), alone);
    let letters = row(
        &alone.1,
        "d3",
        0,
        tokens(&other, "The pilot boat came in at dawn with mail. 3"),
    );
    assert_eq!(
        (letters.kind, letters.suffix_tokens),
        (DocumentKind::Document, 43)
    );
}

fn tokens(folder: &Path, text: &str) -> i32 {
    let tokenizer = TextTokenizer::load(folder).unwrap();
    tokenizer.encode(text).unwrap().len() as i32
}
