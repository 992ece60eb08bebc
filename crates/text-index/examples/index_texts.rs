//! Times the indexes of this crate. Documents are the lines of text files; every phase prints one
//! line of JSON with its seconds and the peak memory of the process so far.
//!
//! ```text
//! index_texts exact FOLDER SHARD_MB FILE...       builds and saves an exact index
//! index_texts repeats FOLDER MINIMUM              opens it, finds repeats of at least MINIMUM characters
//! index_texts search FOLDER MINIMUM QUERIES       opens it, looks for each line of the file QUERIES
//! index_texts candidates FOLDER FILE...           builds and saves a candidate index
//! index_texts rank FOLDER QUERIES                 opens it, ranks ten candidates for each line of QUERIES
//! ```
//!
//! `RAYON_NUM_THREADS` sets the threads; `search` and `rank` use one.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use text_index::{CandidateIndex, CandidateIndexBuilder, ExactIndex, ExactIndexBuilder};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["exact", folder, shard_megabytes, files @ ..] => {
            let shard_bytes = shard_megabytes.parse::<usize>()? << 20;
            let clock = Instant::now();
            let mut builder = ExactIndexBuilder::new(Path::new(folder), shard_bytes)?;
            for_each_line(files, |line| Ok(builder.push(line)?))?;
            let index = builder.finish()?;
            tell("exact build", clock, &[("documents", index.documents())]);
        }
        ["repeats", folder, minimum] => {
            let index = open_exact(folder)?;
            let clock = Instant::now();
            let places = index.repeats(minimum.parse()?);
            let characters = places.iter().map(|place| place.in_document.len()).sum();
            tell(
                "repeats",
                clock,
                &[("places", places.len()), ("characters", characters)],
            );
        }
        ["search", folder, minimum, queries] => {
            let index = open_exact(folder)?;
            let queries = fs::read_to_string(queries)?;
            let minimum = minimum.parse()?;

            let clock = Instant::now();
            let passages = queries
                .lines()
                .map(|query| index.matches_at_least(query, minimum).len());
            let found = passages.sum();
            tell(
                "passages",
                clock,
                &[("queries", queries.lines().count()), ("found", found)],
            );

            let clock = Instant::now();
            let lengths = queries
                .lines()
                .filter_map(|query| index.longest_match(query))
                .map(|found| found.len());
            let characters = lengths.sum();
            tell(
                "longest",
                clock,
                &[("queries", queries.lines().count()), ("characters", characters)],
            );
        }
        ["candidates", folder, files @ ..] => {
            let clock = Instant::now();
            let mut builder = CandidateIndexBuilder::new(Path::new(folder))?;
            for_each_line(files, |line| Ok(builder.push(line)?))?;
            let index = builder.finish()?;
            tell("candidates build", clock, &[("documents", index.documents())]);
        }
        ["rank", folder, queries] => {
            let clock = Instant::now();
            let index = CandidateIndex::open(Path::new(folder))?;
            tell("candidates open", clock, &[("documents", index.documents())]);
            let queries = fs::read_to_string(queries)?;
            let clock = Instant::now();
            let mut found = 0;
            let mut sum = 0;
            for query in queries.lines() {
                let candidates = index.candidates(query, 10)?;
                found += candidates.len();
                sum += candidates
                    .iter()
                    .map(|candidate| candidate.document)
                    .sum::<usize>();
            }
            tell(
                "rank",
                clock,
                &[
                    ("queries", queries.lines().count()),
                    ("found", found),
                    ("sum", sum),
                ],
            );
        }
        _ => return Err("wrong arguments; see the head of the example".into()),
    }
    Ok(())
}

fn open_exact(folder: &str) -> Result<ExactIndex, Box<dyn Error>> {
    let clock = Instant::now();
    let index = ExactIndex::open(Path::new(folder))?;
    tell("exact open", clock, &[("documents", index.documents())]);
    Ok(index)
}

fn for_each_line(
    files: &[&str],
    mut take: impl FnMut(&str) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut line = String::new();
    for file in files {
        let mut reader = BufReader::new(File::open(file)?);
        while reader.read_line(&mut line)? > 0 {
            take(line.strip_suffix('\n').unwrap_or(&line))?;
            line.clear();
        }
    }
    Ok(())
}

fn tell(phase: &str, clock: Instant, counts: &[(&str, usize)]) {
    let seconds = clock.elapsed().as_secs_f64();
    let counts = counts.iter().fold(String::new(), |all, (name, count)| {
        all + &format!(",\"{name}\":{count}")
    });
    let peak = peak_megabytes().map_or_else(|| "null".to_owned(), |peak| peak.to_string());
    println!("{{\"phase\":\"{phase}\",\"seconds\":{seconds:.3},\"peak_megabytes\":{peak}{counts}}}");
}

/// The most memory that the process has had at once, mapped files included; Linux alone tells.
fn peak_megabytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes / 1024)
}
