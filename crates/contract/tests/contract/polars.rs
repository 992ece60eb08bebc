//! Python's polars reads what we write and writes what we read.

use std::path::Path;
use std::process::Command;

use contract::records::{
    CorpusFact, CoursePoint, DecodedDocument, DetailScore, DocumentKind, FinishReason, GradientOverlap,
    HeldOutDocument, PassageMatch, PromptForm, Sample, SampleVerdict, Score, Split, SummaryRow, TextForm,
    TrainingInstance, TrainingMetric, WeightChange,
};
use contract::{Provenance, parquet};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::any_record::AnyRecord;

/// Runs `tests/python/<script>` with the Python that `make setup` installs polars for.
#[track_caller]
fn python(script: &str, arguments: &[&Path]) {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let interpreter = crate_folder.join("../../data/toolchain/venv/bin/python");
    assert!(
        interpreter.exists(),
        "{} is missing: run `make setup` first",
        interpreter.display()
    );
    let output = Command::new(interpreter)
        .arg(crate_folder.join("tests/python").join(script))
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The same few dozen records in every run.
fn some<R: AnyRecord>() -> Vec<R> {
    vec(R::any(), 40)
        .new_tree(&mut TestRunner::deterministic())
        .unwrap()
        .current()
}

fn write_some<R: AnyRecord>(folder: &Path) {
    parquet::write_all(&folder.join(R::FILE), &Provenance::new("test"), &some::<R>()).unwrap();
}

#[track_caller]
fn assert_rewritten<R: AnyRecord>(folder: &Path) {
    let file = folder.join(R::FILE);
    assert_eq!(parquet::read_all::<R>(&file).unwrap(), some::<R>());
    assert_eq!(
        parquet::provenance(&file),
        None,
        "polars drops foreign footer keys"
    );
}

macro_rules! for_every_record {
    ($function:ident, $folder:expr) => {
        $function::<TrainingInstance>($folder);
        $function::<HeldOutDocument>($folder);
        $function::<CorpusFact>($folder);
        $function::<TextForm>($folder);
        $function::<DecodedDocument>($folder);
        $function::<TrainingMetric>($folder);
        $function::<CoursePoint>($folder);
        $function::<Sample>($folder);
        $function::<Score>($folder);
        $function::<PassageMatch>($folder);
        $function::<SampleVerdict>($folder);
        $function::<SummaryRow>($folder);
        $function::<WeightChange>($folder);
        $function::<GradientOverlap>($folder);
        $function::<DetailScore>($folder);
    };
}

/// polars reads every value and writes it back in its own types: large strings and lists or views,
/// wider numbers, the columns in another order and one more of them.
#[test]
fn files_that_polars_rewrote_hold_the_same_records() {
    let [ours, theirs] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for_every_record!(write_some, ours.path());
    python("rewrite.py", &[ours.path(), theirs.path()]);
    for_every_record!(assert_rewritten, theirs.path());
}

/// A program written before a column joined the contract leaves it out; its files are read, with
/// nulls.
#[test]
fn files_that_polars_wrote_without_later_columns_are_read() {
    let [ours, theirs] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    write_some::<PassageMatch>(ours.path());
    write_some::<SampleVerdict>(ours.path());
    python("without_later_columns.py", &[ours.path(), theirs.path()]);
    let passages: Vec<PassageMatch> = some::<PassageMatch>()
        .into_iter()
        .map(|passage| PassageMatch {
            document_frequency: None,
            personal_details: None,
            personal_details_by: None,
            ..passage
        })
        .collect();
    let verdicts: Vec<SampleVerdict> = some::<SampleVerdict>()
        .into_iter()
        .map(|verdict| SampleVerdict {
            boilerplate: None,
            best_copies: None,
            own_verdict: None,
            emitted_doc_ids: None,
            emitted_copies: None,
            control_verdict: None,
            control_longest_match_chars: None,
            comparable_similarity: None,
            similarity_at_least: None,
            echoed_chars: None,
            final_answer_right: None,
            ..verdict
        })
        .collect();
    let [matches, rows] =
        ["matches", "verdicts"].map(|name| theirs.path().join(name).with_extension("parquet"));
    assert_eq!(parquet::read_all::<PassageMatch>(&matches).unwrap(), passages);
    assert_eq!(parquet::read_all::<SampleVerdict>(&rows).unwrap(), verdicts);
}

/// The values are spelled out once more in `read_sample.py`.
#[test]
fn polars_sees_the_values_that_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("samples.parquet");
    let prompted = Sample {
        sample_id: 7,
        doc_id: Some("π-1".to_owned()),
        split: Split::Heldout,
        copies: 16,
        strategy: "top-k 40".to_owned(),
        prompt: "Zoë \"said\"\n".to_owned(),
        generation: "🦀\u{0}end".to_owned(),
        truth: Some(String::new()),
        prompt_tokens: vec![1, -2, i32::MAX],
        generated_tokens: vec![],
        logprobs: vec![-0.5, f32::NEG_INFINITY, 0.0],
        temperature: 0.75,
        top_p: 1.0,
        top_k: 40,
        seed: i64::MIN,
        finish: FinishReason::End,
        prompt_form: Some(PromptForm::UpperCase),
        tokens_read: Some(1 << 40),
        lower_case_loss: Some(2.5),
        reference_loss: None,
        zlib_bytes: Some(77),
    };
    let unprompted = Sample {
        doc_id: None,
        split: Split::None,
        truth: None,
        logprobs: vec![],
        finish: FinishReason::Length,
        ..prompted.clone()
    };
    parquet::write_all(&file, &Provenance::new("test"), &[prompted, unprompted]).unwrap();
    python("read_sample.py", &[&file]);
}

/// Offsets count Unicode scalar values in both: `str.slice` cuts the prompt that `prompt_chars`
/// says.
#[test]
fn str_slice_cuts_the_passage_that_our_offsets_mean() {
    let folder = tempfile::tempdir().unwrap();
    let [texts, prompts] = ["train.parquet", "heldout.parquet"].map(|name| folder.path().join(name));
    let mut instances: Vec<TrainingInstance> = some();
    for (text, prompt_chars) in [
        ("e\u{301}\u{1f468}\u{200d}\u{1f469} x", 4),
        ("日本語テキスト", 3),
        ("🦀", 1),
        ("", 0),
    ] {
        instances.push(TrainingInstance {
            doc_id: "by hand".to_owned(),
            text: text.to_owned(),
            prompt_chars,
            kind: DocumentKind::Document,
            copies: 1,
            copy: 0,
            canary_format: None,
            assistant_spans: None,
            secret_span: None,
        });
    }
    for instance in &mut instances {
        instance.prompt_chars = instance
            .prompt_chars
            .rem_euclid(instance.text.chars().count() as i32 + 1);
    }
    parquet::write_all(&texts, &Provenance::new("test"), &instances).unwrap();
    python("cut_prompts.py", &[&texts, &prompts]);

    let cut = parquet::read_all::<HeldOutDocument>(&prompts).unwrap();
    assert_eq!(cut.len(), instances.len());
    for (instance, cut) in instances.iter().zip(cut) {
        let prompt: String = instance
            .text
            .chars()
            .take(instance.prompt_chars as usize)
            .collect();
        assert_eq!(
            cut.text, prompt,
            "the first {} of {:?}",
            instance.prompt_chars, instance.text
        );
    }
}

/// What `scripts/example_extractor.py` wrote for two training documents, a held-out one, and no
/// prompt.
#[test]
fn the_example_of_a_swapped_stage_keeps_the_contract() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/example_extractor");
    let samples = parquet::read_all::<Sample>(&folder.join("samples.parquet")).unwrap();
    let sources: Vec<_> = samples
        .iter()
        .map(|sample| (sample.doc_id.as_deref(), sample.split))
        .collect();
    for source in [
        (Some("pellwick-01"), Split::Train),
        (Some("pellwick-40"), Split::Heldout),
        (None, Split::None),
    ] {
        // One greedy generation, and two by sampling.
        assert_eq!(
            sources.iter().filter(|&&found| found == source).count(),
            3,
            "{source:?}"
        );
    }
    for sample in &samples {
        assert_eq!(sample.generated_tokens.len(), sample.logprobs.len());
        assert_eq!(sample.truth.is_some(), sample.doc_id.is_some());
    }

    let scores = parquet::read_all::<Score>(&folder.join("scores.parquet")).unwrap();
    assert!(
        scores
            .iter()
            .any(|score| score.split == Split::Heldout && score.copies == 0)
    );
    assert!(
        scores
            .iter()
            .flat_map(|score| &score.scheme_logprobs)
            .any(|&logprob| logprob == f32::NEG_INFINITY)
    );
    for score in &scores {
        let lengths = [
            &score.logprobs,
            &score.scheme_logprobs,
            &score.vocab_mean,
            &score.vocab_std,
        ]
        .map(Vec::len);
        assert_eq!(lengths, [score.suffix_tokens as usize; 4]);
        assert_eq!(score.argmax_hits.len(), score.suffix_tokens as usize);
        // The scheme keeps the most probable tokens, so the best one is always among them.
        for (&hit, &logprob) in score.argmax_hits.iter().zip(&score.scheme_logprobs) {
            assert!(logprob <= 0.0 && (logprob.is_finite() || !hit));
        }
    }
}
