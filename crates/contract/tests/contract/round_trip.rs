//! What a writer wrote, a reader reads, for every kind of record.

use contract::records::{
    CorpusFact, CoursePoint, DecodedDocument, DetailScore, DocumentCheck, DocumentKind, GradientOverlap,
    HeldOutDocument, PassageMatch, Sample, SampleVerdict, Score, SummaryRow, TextForm, TrainingInstance,
    TrainingMetric, WeightChange,
};
use contract::{Provenance, parquet};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::any_record::AnyRecord;

fn comes_back<R: AnyRecord>(records: &[R]) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(R::FILE);
    parquet::write_all(&file, &Provenance::new("test"), records).unwrap();
    prop_assert_eq!(parquet::read_all::<R>(&file).unwrap(), records);
    Ok(())
}

macro_rules! every_record_comes_back {
    ($($name:ident: $record:ident),+ $(,)?) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
            $(#[test]
            fn $name(records in vec($record::any(), 0..12)) {
                comes_back(&records)?;
            })+
        }
    };
}

every_record_comes_back! {
    training_instances: TrainingInstance,
    held_out_documents: HeldOutDocument,
    corpus_facts: CorpusFact,
    document_checks: DocumentCheck,
    text_forms: TextForm,
    decoded_documents: DecodedDocument,
    training_metrics: TrainingMetric,
    course_points: CoursePoint,
    samples: Sample,
    scores: Score,
    passage_matches: PassageMatch,
    sample_verdicts: SampleVerdict,
    summary_rows: SummaryRow,
    weight_changes: WeightChange,
    gradient_overlaps: GradientOverlap,
    detail_scores: DetailScore,
}

fn document(number: usize) -> HeldOutDocument {
    HeldOutDocument {
        doc_id: format!("document {number}"),
        text: "abc".repeat(number % 7),
        prompt_chars: number as i32,
        kind: DocumentKind::Document,
        role: None,
        near_duplicate_of: None,
        shared_8grams: None,
        canary_format: None,
        assistant_spans: None,
        secret_span: None,
    }
}

/// 10,000 rows are three row groups; a flush in between makes one more.
#[test]
fn rows_keep_their_order_across_row_groups() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heldout.parquet");
    let documents: Vec<_> = (0..10_000).map(document).collect();
    let mut writer = parquet::Writer::create(&file, &Provenance::new("test")).unwrap();
    writer.write_all(&documents[..3]).unwrap();
    writer.flush().unwrap();
    writer.write_all(&documents[3..]).unwrap();
    writer.finish().unwrap();

    let reader = parquet::Reader::<HeldOutDocument>::open(&file).unwrap();
    assert_eq!(reader.rows(), 10_000);
    let batches: Vec<Vec<HeldOutDocument>> = reader.collect::<Result<_, _>>().unwrap();
    assert!(batches.len() > 1, "a reader streams");
    assert_eq!(batches.concat(), documents);
}

#[test]
fn a_file_of_no_rows_has_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("samples.parquet");
    parquet::write_all::<Sample>(&file, &Provenance::new("test"), &[]).unwrap();
    assert_eq!(parquet::read_all::<Sample>(&file).unwrap(), []);
    // The columns of scores are not those of samples, even where there are no rows to miss them in.
    assert!(parquet::read_all::<Score>(&file).is_err());
}

/// Everything but the time at which it was made depends on the records alone.
#[test]
fn the_same_records_make_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let provenance = Provenance {
        created: 0,
        ..Provenance::new("test")
    };
    let documents: Vec<_> = (0..100).map(document).collect();
    for file in [&first, &second] {
        parquet::write_all(file, &provenance, &documents).unwrap();
    }
    assert_eq!(std::fs::read(first).unwrap(), std::fs::read(second).unwrap());
}
