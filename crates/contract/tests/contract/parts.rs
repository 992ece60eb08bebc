//! Parts put together are what one process would have written, and nothing else is put together.

use std::path::{Path, PathBuf};

use contract::parts::{Part, PartArguments, Parts, Places, Share};
use contract::records::{CoursePoint, Split};
use contract::{Provenance, parquet};
use proptest::prelude::*;

use crate::{assert_tells, told};

const NAME: &str = "course.parquet";

fn point(step: i64) -> CoursePoint {
    CoursePoint {
        checkpoint: format!("step-{step}"),
        step: (step % 3 > 0).then_some(step),
        split: Split::Train,
        copies: 1,
        documents: 7,
        loss: step as f64 / 3.0,
        continuations: 2,
        exact_memorization: Some(0.5),
        extractable: None,
        extraction_probability: None,
    }
}

fn provenance() -> Provenance {
    Provenance::new("extractor")
        .with_seed(3)
        .with_configuration(&serde_json::json!({"prefix_tokens": 8, "begin": "model"}))
        .unwrap()
}

fn file(out: &Path, rank: usize, world: usize) -> PathBuf {
    Part::new(rank, world).unwrap().folder(out).join(NAME)
}

/// Writes the rows with these places as part `rank` of `world` of the work.
fn write_part(
    out: &Path,
    (rank, world): (usize, usize),
    provenance: &Provenance,
    rows: &[(i64, CoursePoint)],
) {
    let part = Part::new(rank, world).unwrap();
    let provenance = provenance.clone().with_part(part);
    let rows = rows.iter().map(|(place, point)| (*place, point));
    parquet::write_placed(&file(out, rank, world), &provenance, rows).unwrap();
}

fn merged(out: &Path, world: usize, places: Places) -> Result<Vec<u8>, contract::Error> {
    let provenance = provenance();
    let parts = Parts::check(out, world, &provenance, &[NAME])?;
    parts.merge::<CoursePoint>(NAME, places, |_, _| ())?;
    Ok(std::fs::read(out.join(NAME)).unwrap())
}

/// The bytes up to the footer, which says when a file was begun.
fn rows_of(bytes: &[u8]) -> &[u8] {
    let end = bytes.len() - 8;
    let footer = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap());
    &bytes[..end - footer as usize]
}

fn whole(rows: &[(i64, CoursePoint)]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(NAME);
    let rows: Vec<CoursePoint> = rows.iter().map(|(_, point)| point.clone()).collect();
    parquet::write_all(&file, &provenance(), &rows).unwrap();
    std::fs::read(file).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// However things are dealt out, and however many rows each has.
    #[test]
    fn parts_put_together_are_the_bytes_of_one_process(
        things in prop::collection::vec((0..4_usize, 0..4_usize), 0..60),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut all = Vec::new();
        let mut parts = vec![Vec::new(); 4];
        for (place, &(part, rows)) in things.iter().enumerate() {
            for row in 0..rows {
                let placed = (place as i64, point((10 * place + row) as i64));
                all.push(placed.clone());
                parts[part].push(placed);
            }
        }
        for (rank, rows) in parts.iter().enumerate() {
            write_part(folder.path(), (rank, 4), &provenance(), rows);
        }
        let merged = merged(folder.path(), 4, Places::Some).unwrap();
        let whole = whole(&all);
        prop_assert_eq!(rows_of(&merged), rows_of(&whole));
        let written = parquet::provenance(&folder.path().join(NAME)).unwrap();
        prop_assert!(written.same_work(&provenance()), "{:?}", written);
    }

    #[test]
    fn every_thing_is_in_one_part(count in 0..2000_usize, world in 1..40_usize) {
        let ranges: Vec<usize> = Part::all(world).flat_map(|part| part.range(count)).collect();
        prop_assert_eq!(ranges, (0..count).collect::<Vec<_>>());
        let sizes: Vec<usize> = Part::all(world).map(|part| part.range(count).len()).collect();
        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        for number in 0..count.min(100) {
            prop_assert_eq!(Part::all(world).filter(|part| part.takes(number)).count(), 1);
        }
    }
}

#[test]
fn row_groups_are_those_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    // More than two row groups, dealt out in turn; each row tells its number.
    let all: Vec<(i64, CoursePoint)> = (0..9000).map(|place| (place, point(place))).collect();
    for rank in 0..3 {
        let own: Vec<_> = all
            .iter()
            .filter(|(place, _)| place % 3 == rank)
            .cloned()
            .collect();
        write_part(folder.path(), (rank as usize, 3), &provenance(), &own);
    }
    let mut numbers = 0..9000_usize;
    let provenance = provenance();
    let parts = Parts::check(folder.path(), 3, &provenance, &[NAME]).unwrap();
    parts
        .merge::<CoursePoint>(NAME, Places::All, |row, number| {
            assert_eq!(numbers.next(), Some(number));
            assert_eq!(row, &point(number as i64));
        })
        .unwrap();
    let bytes = std::fs::read(folder.path().join(NAME)).unwrap();
    assert_eq!(rows_of(&bytes), rows_of(&whole(&all)));
    // A part is a file of the record all the same.
    let part: Vec<CoursePoint> = parquet::read_all(&file(folder.path(), 1, 3)).unwrap();
    assert_eq!((part.len(), &part[1]), (3000, &point(4)));
}

#[test]
fn what_is_no_part_of_the_work_is_refused_by_name() {
    let rows = [(0, point(0)), (1, point(1))];
    let check = |change: &dyn Fn(&Path), pieces: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        write_part(folder.path(), (0, 2), &provenance(), &rows[..1]);
        write_part(folder.path(), (1, 2), &provenance(), &rows[1..]);
        assert!(merged(folder.path(), 2, Places::All).is_ok());
        change(folder.path());
        let (message, status) = told(merged(folder.path(), 2, Places::All));
        assert_tells(&message, pieces);
        assert_eq!(status, 3, "{message}");
    };
    let second = "1-of-2/course.parquet";
    check(
        &|out| std::fs::remove_file(file(out, 1, 2)).unwrap(),
        &[second, "part 1 of 2 is missing", "--rank 1 --world 2"],
    );
    check(
        &|out| _ = std::fs::copy(file(out, 0, 2), file(out, 1, 2)).unwrap(),
        &[second, "part: expected part 1 of 2, found part 0 of 2"],
    );
    let other = |change: &dyn Fn(Provenance) -> Provenance, pieces: &[&str]| {
        let change = |out: &Path| write_part(out, (1, 2), &change(provenance()), &rows[1..]);
        check(&change, &[&[second], pieces].concat());
    };
    other(
        &|provenance| provenance.with_seed(4),
        &["seed: expected 3, found 4"],
    );
    other(
        &|provenance| {
            let settings = serde_json::json!({"prefix_tokens": 9, "begin": "model"});
            provenance.with_configuration(&settings).unwrap()
        },
        &["setting prefix_tokens: expected 8, found 9"],
    );
    other(
        &|mut provenance| {
            provenance.inputs.insert("checkpoint".to_owned(), "ff".to_owned());
            provenance
        },
        &["input checkpoint: expected none, found that with digest ff"],
    );
    // The whole is no part of itself.
    check(
        &|out| parquet::write_all(&file(out, 1, 2), &provenance(), &[point(1)]).unwrap(),
        &[second, "expected part 1 of 2, found the whole"],
    );
    check(
        &|out| {
            let bytes = std::fs::read(file(out, 1, 2)).unwrap();
            std::fs::write(file(out, 1, 2), &bytes[..bytes.len() - 20]).unwrap();
        },
        &[second],
    );
    check(
        &|out| {
            let mut bytes = std::fs::read(file(out, 1, 2)).unwrap();
            bytes[30] ^= 1;
            std::fs::write(file(out, 1, 2), bytes).unwrap();
        },
        &[second, "damaged"],
    );
}

#[test]
fn places_that_overlap_or_are_missing_are_refused() {
    let told_of = |first: &[i64], second: &[i64]| {
        let folder = tempfile::tempdir().unwrap();
        for (rank, places) in [first, second].into_iter().enumerate() {
            let rows: Vec<_> = places.iter().map(|&place| (place, point(place))).collect();
            write_part(folder.path(), (rank, 2), &provenance(), &rows);
        }
        let (message, status) = told(merged(folder.path(), 2, Places::All));
        assert_eq!(status, 3, "{message}");
        assert!(!folder.path().join(NAME).exists());
        message
    };
    assert_tells(
        &told_of(&[0, 1, 2], &[2, 3]),
        &["1-of-2", "place 2 is in", "0-of-2", "too"],
    );
    assert_tells(&told_of(&[0, 1], &[3]), &[NAME, "no part has place 2"]);
    assert_tells(&told_of(&[1], &[2]), &["no part has place 0"]);
    assert_tells(
        &told_of(&[0, 1, 0], &[2]),
        &["0-of-2", "place 0 comes after place 1"],
    );
}

#[test]
fn the_command_line_asks_for_a_part_that_can_be() {
    let share = |rank, world, merge| PartArguments { rank, world, merge }.share();
    assert_eq!(share(None, None, None).unwrap(), Share::Whole);
    assert_eq!(
        share(Some(2), Some(3), None).unwrap(),
        Share::Part(Part::new(2, 3).unwrap())
    );
    assert_eq!(share(None, None, Some(4)).unwrap(), Share::Merge(4));
    for (rank, world, merge) in [
        (Some(3), Some(3), None),
        (Some(0), Some(0), None),
        (None, None, Some(0)),
        (Some(1), None, None),
    ] {
        let (message, status) = told(share(rank, world, merge));
        assert_eq!(status, 2, "{message}");
    }
    let part = Part::new(2, 3).unwrap();
    assert_eq!(part.to_string().parse::<Part>().unwrap(), part);
    assert!("3 of 3".parse::<Part>().is_err() && "x".parse::<Part>().is_err());
}
