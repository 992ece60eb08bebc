//! Several processes give what one gives.

use contract::parts::PartArguments;
use contract::provenance::digest;
use contract::records::Sample;
use contract::{Provenance, parquet};
use plagiarism::{Arguments, Outcome};

use crate::support::{Run, sample};
use crate::{COPIED, REWORDED, SPUN_OUT, UNRELATED, control, corpus};

/// Enough samples for several rounds, of several lengths, in the order in which none repeats the last.
fn samples() -> Vec<Sample> {
    let generations = [COPIED, REWORDED, SPUN_OUT, UNRELATED];
    let numbered = generations.iter().cycle().take(330).enumerate();
    numbered
        .map(|(number, generation)| {
            let cut = generation.len() - number % 7;
            sample(number as i64, &format!("{} Visit {number}.", &generation[..cut]))
        })
        .collect()
}

fn part(run: &Run, rank: usize, world: usize) -> Arguments {
    Arguments {
        parts: PartArguments {
            rank: Some(rank),
            world: Some(world),
            merge: None,
        },
        ..run.arguments(&[], 2)
    }
}

fn merge(run: &Run, world: usize) -> Arguments {
    Arguments {
        parts: PartArguments {
            merge: Some(world),
            ..PartArguments::default()
        },
        ..run.arguments(&[], 2)
    }
}

/// Digests of the rows' bytes, and what the files say that they are.
fn results(run: &Run) -> Vec<(String, Provenance)> {
    let files = ["out/matches.parquet", "out/verdicts.parquet"].map(|name| run.file(name));
    let results = files.map(|file| (digest(&file).unwrap(), parquet::provenance(&file).unwrap()));
    results.into()
}

#[test]
fn parts_put_together_are_the_bytes_of_one_process() {
    let run = Run::new(&corpus(), &control(), &samples());
    for similarity in ["exhaustive", "candidates"] {
        let similarity = format!("detection.similarity={similarity}");
        let with = |mut arguments: Arguments| {
            arguments.stage.overrides.push(similarity.clone());
            plagiarism::run(&arguments)
        };
        with(run.arguments(&[], 2)).unwrap();
        let whole = results(&run);
        for world in [3, 8] {
            std::fs::remove_dir_all(run.file("out")).unwrap();
            for rank in 0..world {
                let outcome = with(part(&run, rank, world)).unwrap();
                // More parts than rounds leave some without work.
                assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
            }
            assert_eq!(with(part(&run, 1, world)).unwrap(), Outcome::UpToDate);
            assert_eq!(with(merge(&run, world)).unwrap(), Outcome::Merged(world));
            for ((merged, merged_as), (expected, expected_as)) in results(&run).iter().zip(&whole) {
                assert_eq!(merged, expected, "{world}");
                assert!(merged_as.same_work(expected_as), "{merged_as:?}");
                assert_eq!(merged_as.places, expected_as.places);
            }
            // Neither a part nor the whole is made again where the whole is there.
            std::fs::remove_dir_all(run.file("out/parts")).unwrap();
            assert_eq!(with(merge(&run, world)).unwrap(), Outcome::UpToDate);
            assert_eq!(with(part(&run, 0, world)).unwrap(), Outcome::UpToDate);
            assert_eq!(with(run.arguments(&[], 2)).unwrap(), Outcome::UpToDate);
        }
    }
}

#[test]
fn nothing_is_put_together_where_a_part_is_missing() {
    let run = Run::new(&corpus(), &control(), &[sample(0, COPIED)]);
    plagiarism::run(&part(&run, 0, 2)).unwrap();
    let error = plagiarism::run(&merge(&run, 2)).unwrap_err();
    assert_eq!(error.exit_status(), 3);
    let message = error.to_string();
    assert!(message.contains("parts/1-of-2/matches.parquet"), "{message}");
    assert!(message.contains("part 1 of 2 is missing"), "{message}");
    assert!(!run.file("out/matches.parquet").exists());
}
