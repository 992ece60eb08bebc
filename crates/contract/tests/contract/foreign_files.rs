//! Files in other types than ours: read where nothing can be lost, refused by name where it could.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int8Array, Int32Array, Int64Array, LargeListArray,
    LargeStringArray, ListArray, NullArray, RecordBatch, StringArray, StringViewArray, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type, UInt16Type};
use contract::parquet;
use contract::records::{DocumentKind, HeldOutDocument, PassageMatch, Sample, Score, Split};

use crate::{assert_tells, told};

type Columns = Vec<(&'static str, ArrayRef)>;

fn write(file: &Path, columns: Columns) {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(file).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Two held-out documents in the contract's own types.
fn documents() -> Columns {
    vec![
        ("doc_id", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("text", Arc::new(StringArray::from(vec!["first", "sécond"]))),
        ("prompt_chars", Arc::new(Int32Array::from(vec![0, 3]))),
        (
            "kind",
            Arc::new(StringArray::from(vec!["document", "canary_reference"])),
        ),
    ]
}

/// One sample in the contract's types, or such as come to the same.
fn sample() -> Columns {
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let whole = |value| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
    let real = |value| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
    vec![
        ("sample_id", whole(5)),
        ("doc_id", Arc::new(NullArray::new(1))),
        ("split", text("none")),
        ("copies", whole(0)),
        ("strategy", text("greedy")),
        ("prompt", text("")),
        ("generation", text("x")),
        ("truth", Arc::new(NullArray::new(1))),
        ("prompt_tokens", list(&[])),
        ("generated_tokens", list(&[Some(3), Some(4)])),
        (
            "logprobs",
            Arc::new(LargeListArray::from_iter_primitive::<Float64Type, _, _>([Some(
                [Some(-0.25), Some(f64::NEG_INFINITY)],
            )])),
        ),
        ("temperature", real(0.0)),
        ("top_p", real(1.0)),
        ("top_k", whole(0)),
        ("seed", whole(9)),
        ("finish", text("end")),
    ]
}

fn list(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(
        values.to_vec(),
    )]))
}

fn with(mut columns: Columns, name: &'static str, array: ArrayRef) -> Columns {
    columns.iter_mut().find(|(column, _)| *column == name).unwrap().1 = array;
    columns
}

#[test]
fn types_that_come_to_the_same_are_cast() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heldout.parquet");
    let dictionary: DictionaryArray<UInt16Type> = ["document", "canary_reference"].into_iter().collect();
    let columns: Columns = vec![
        ("extra", Arc::new(BooleanArray::from(vec![true, false]))),
        ("kind", Arc::new(dictionary)),
        ("prompt_chars", Arc::new(Int8Array::from(vec![0, 3]))),
        ("text", Arc::new(StringViewArray::from(vec!["first", "sécond"]))),
        ("doc_id", Arc::new(LargeStringArray::from(vec!["a", "b"]))),
    ];
    write(&file, columns);
    let read = parquet::read_all::<HeldOutDocument>(&file).unwrap();
    write(&file, documents());
    assert_eq!(read, parquet::read_all::<HeldOutDocument>(&file).unwrap());
    assert_eq!(
        (read[1].text.as_str(), read[1].kind),
        ("sécond", DocumentKind::CanaryReference)
    );

    let unsigned = with(
        documents(),
        "prompt_chars",
        Arc::new(UInt64Array::from(vec![0, 3])),
    );
    write(&file, unsigned);
    assert_eq!(parquet::read_all::<HeldOutDocument>(&file).unwrap(), read);
}

#[test]
fn wider_lists_and_columns_of_nulls_are_cast() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("samples.parquet");
    write(&file, sample());
    let read = parquet::read_all::<Sample>(&file).unwrap();
    assert_eq!(read[0].split, Split::None);
    assert_eq!((&read[0].doc_id, &read[0].truth), (&None, &None));
    assert_eq!(read[0].generated_tokens, [3, 4]);
    assert_eq!(read[0].logprobs, [-0.25, f32::NEG_INFINITY]);
}

/// One passage in the contract's columns as they first were.
fn passage() -> Columns {
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let whole = |value| -> ArrayRef { Arc::new(Int32Array::from(vec![value])) };
    vec![
        ("sample_id", Arc::new(Int64Array::from(vec![5]))),
        ("doc_id", text("a")),
        ("doc_split", text("train")),
        ("kind", text("verbatim")),
        ("gen_start", whole(0)),
        ("gen_end", whole(60)),
        ("doc_start", whole(7)),
        ("doc_end", whole(67)),
        ("similarity", Arc::new(Float64Array::from(vec![1.0]))),
        ("detector", text("mine")),
    ]
}

#[test]
fn columns_that_joined_later_may_be_missing_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("matches.parquet");
    let read = |columns: Columns| {
        write(&file, columns);
        let passage = parquet::read_all::<PassageMatch>(&file).unwrap().remove(0);
        (
            passage.gen_end,
            passage.document_frequency,
            passage.personal_details,
        )
    };
    assert_eq!(read(passage()), (60, None, None));

    let mut given = passage();
    let details = StringArray::from(vec!["name", "phone"]);
    let details = ListArray::new(
        Arc::new(Field::new("element", DataType::Utf8, true)),
        OffsetBuffer::from_lengths([2]),
        Arc::new(details),
        None,
    );
    given.insert(0, ("personal_details", Arc::new(details)));
    assert_eq!(
        read(given.clone()),
        (60, None, Some(vec!["name".to_owned(), "phone".to_owned()]))
    );
    given.push(("document_frequency", Arc::new(Int64Array::from(vec![12]))));
    assert_eq!(read(given).1, Some(12));
    let mut nulls = passage();
    nulls.push(("document_frequency", Arc::new(NullArray::new(1))));
    nulls.push(("personal_details", Arc::new(NullArray::new(1))));
    assert_eq!(read(nulls), (60, None, None));

    let mut mistyped = passage();
    mistyped.push(("personal_details", Arc::new(StringArray::from(vec!["name"]))));
    refused::<PassageMatch>(
        "matches.parquet",
        mistyped,
        &["column personal_details", "expected list of string", "found Utf8"],
    );
    let without_detector = passage()
        .into_iter()
        .filter(|(name, _)| *name != "detector")
        .collect();
    refused::<PassageMatch>(
        "matches.parquet",
        without_detector,
        &["column detector", "missing"],
    );
}

/// Each case: the columns, and what the message must name. All are bad input, exit status 3.
#[test]
fn what_cannot_be_cast_is_told_with_file_column_expected_and_found() {
    let missing = documents()
        .into_iter()
        .filter(|(name, _)| *name != "text")
        .collect();
    let cases: Vec<(Columns, &[&str])> = vec![
        (
            missing,
            &[
                "column text",
                "missing",
                "expected string",
                "found the columns doc_id, prompt_chars, kind",
            ],
        ),
        (
            with(documents(), "text", Arc::new(Int32Array::from(vec![1, 2]))),
            &["column text", "expected string", "found Int32"],
        ),
        (
            with(
                documents(),
                "prompt_chars",
                Arc::new(StringArray::from(vec!["0", "3"])),
            ),
            &["column prompt_chars", "expected int32", "found Utf8"],
        ),
        (
            with(
                documents(),
                "prompt_chars",
                Arc::new(Float64Array::from(vec![0.0, 3.0])),
            ),
            &["column prompt_chars", "expected int32", "found Float64"],
        ),
        // Wide enough a type is no matter; a value that does not fit is.
        (
            with(
                documents(),
                "prompt_chars",
                Arc::new(Int64Array::from(vec![0, 3_000_000_000])),
            ),
            &["column prompt_chars", "expected int32", "3000000000"],
        ),
        (
            with(
                documents(),
                "doc_id",
                Arc::new(StringArray::from(vec![Some("a"), None])),
            ),
            &["column doc_id", "expected string", "no value in row 2"],
        ),
        (
            with(documents(), "doc_id", Arc::new(NullArray::new(2))),
            &["column doc_id", "expected string", "found Null"],
        ),
        (
            with(
                documents(),
                "kind",
                Arc::new(StringArray::from(vec!["document", "dokument"])),
            ),
            &["kind", "dokument", "expected", "canary_reference"],
        ),
    ];
    for (columns, fragments) in cases {
        refused::<HeldOutDocument>("heldout.parquet", columns, fragments);
    }
    let lists: Vec<(Columns, &[&str])> = vec![
        (
            with(sample(), "prompt_tokens", Arc::new(Int32Array::from(vec![1]))),
            &["column prompt_tokens", "expected list of int32", "found Int32"],
        ),
        (
            with(
                sample(),
                "prompt_tokens",
                Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>([Some([
                    Some(0.5),
                ])])),
            ),
            &["column prompt_tokens", "expected list of int32", "found List"],
        ),
        (
            with(sample(), "prompt_tokens", list(&[Some(1), None])),
            &["column prompt_tokens", "expected list of int32", "row 1"],
        ),
        (
            with(
                sample(),
                "prompt_tokens",
                Arc::new(ListArray::from_iter_primitive::<Int32Type, [Option<i32>; 0], _>(
                    [None],
                )),
            ),
            &["column prompt_tokens", "no value in row 1"],
        ),
    ];
    for (columns, fragments) in lists {
        refused::<Sample>("samples.parquet", columns, fragments);
    }
    refused::<Score>("scores.parquet", documents(), &["column split", "missing"]);
}

#[track_caller]
fn refused<R: contract::records::Record>(name: &str, columns: Columns, fragments: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    write(&file, columns);
    let (message, status) = told(parquet::read_all::<R>(&file));
    assert_tells(&message, &[file.to_str().unwrap()]);
    assert_tells(&message, fragments);
    assert_eq!(status, 3);
}
