//! One stage's work by several processes: each does a part, and the parts are put together to what
//! one process would have written.
//!
//! A part is a folder `parts/R-of-N` below that of the results, with the same files. Their rows
//! have one column more, `place`: the number of the thing that the row is about (a request, a
//! document, a sample) among all the things that the stage works on. Which things are whose follows
//! from rank and number of parts alone, so that parts neither overlap nor leave anything out, and
//! rows in the order of their places are those of one process.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::parquet::{PlacedReader, Writer};
use crate::records::Record;
use crate::{Error, Provenance, parquet};

/// The folder that all parts are in.
const FOLDER: &str = "parts";

/// How much of the work a process does, as the command line says it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PartArguments {
    /// Do part R of the work, counted from 0, of as many as --world says. The results go to
    /// parts/R-of-N below --out; parts may run at once, on one machine or several
    #[arg(long, value_name = "R", requires = "world", conflicts_with = "merge")]
    pub rank: Option<usize>,

    /// Number of parts that the work is done in
    #[arg(long, value_name = "N", requires = "rank")]
    pub world: Option<usize>,

    /// Put the results of N parts together: the files are those of one process
    #[arg(long, value_name = "N")]
    pub merge: Option<usize>,
}

/// How much of the work a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// All of it.
    Whole,
    /// One part.
    Part(Part),
    /// None: it puts so many parts together.
    Merge(usize),
}

impl Share {
    /// Where its results go, those of the whole being in `out`.
    pub fn folder(self, out: &Path) -> PathBuf {
        match self {
            Self::Whole | Self::Merge(_) => out.to_path_buf(),
            Self::Part(part) => part.folder(out),
        }
    }
}

impl PartArguments {
    /// What was asked for.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a part that cannot be.
    pub fn share(&self) -> Result<Share, Error> {
        match (self.rank, self.world, self.merge) {
            (None, None, None) => Ok(Share::Whole),
            (Some(rank), Some(world), None) => Part::new(rank, world).map(Share::Part),
            (None, None, Some(0)) => Err(Error::Configuration(
                "--merge: expected a number of parts, at least 1, found 0".to_owned(),
            )),
            (None, None, Some(world)) => Ok(Share::Merge(world)),
            _ => Err(Error::Configuration(
                "expected --rank with --world, or --merge, or none of them".to_owned(),
            )),
        }
    }
}

/// One of several parts of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Part {
    rank: usize,
    world: usize,
}

impl Part {
    /// Part `rank`, counted from 0, of `world`.
    ///
    /// # Errors
    /// [`Error::Configuration`] unless `rank` is less than `world`.
    pub fn new(rank: usize, world: usize) -> Result<Self, Error> {
        if rank < world {
            Ok(Self { rank, world })
        } else {
            Err(Error::Configuration(format!(
                "--rank {rank} --world {world}: expected a rank from 0 to less than the number of parts"
            )))
        }
    }

    /// All `world` parts.
    pub fn all(world: usize) -> impl Iterator<Item = Self> {
        (0..world).map(move |rank| Self { rank, world })
    }

    /// Its number, counted from 0.
    pub fn rank(self) -> usize {
        self.rank
    }

    /// Where its results go, those of the whole being in `out`.
    pub fn folder(self, out: &Path) -> PathBuf {
        out.join(FOLDER).join(format!("{}-of-{}", self.rank, self.world))
    }

    /// Whether number `number` of things that are dealt out one by one is its own.
    pub fn takes(self, number: usize) -> bool {
        number % self.world == self.rank
    }

    /// Its own of `count` things that stay in their order: as many as the others have, or one more
    /// or less.
    pub fn range(self, count: usize) -> Range<usize> {
        // Not by a product of both, which might be too large a number.
        let (each, more) = (count / self.world, count % self.world);
        let start = |rank: usize| each * rank + rank.min(more);
        start(self.rank)..start(self.rank + 1)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {}", self.rank, self.world)
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let numbers = text.split_once(" of ");
        let parsed = numbers.and_then(|(rank, world)| Some((rank.parse().ok()?, world.parse().ok()?)));
        let unknown = || Error::Configuration(format!("expected a part such as 0 of 4, found {text}"));
        let (rank, world) = parsed.ok_or_else(unknown)?;
        Self::new(rank, world)
    }
}

impl TryFrom<String> for Part {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        part.to_string()
    }
}

/// Which places a file's rows have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Places {
    /// Every one from 0 on, each in one row or several.
    All,
    /// Some of them: there are things without a row.
    Some,
}

/// The parts of some work, all of which are there.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    out: &'a Path,
    world: usize,
    provenance: &'a Provenance,
}

impl<'a> Parts<'a> {
    /// The `world` parts below `out` of the work whose whole has this provenance, each with files
    /// of these `names`.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is missing, damaged, or of other work.
    pub fn check(
        out: &'a Path,
        world: usize,
        provenance: &'a Provenance,
        names: &[&str],
    ) -> Result<Self, Error> {
        for part in Part::all(world) {
            for name in names {
                check_file(&part.folder(out).join(name), part, provenance)?;
            }
        }
        Ok(Self {
            out,
            world,
            provenance,
        })
    }

    /// Writes the rows that the parts have of the file `name` as that file of the whole. Each is
    /// handed to `change` with its number before.
    ///
    /// # Errors
    /// [`Error::Input`] where parts have a place twice or lack one, [`Error::Output`] where the
    /// file cannot be written.
    pub fn merge<R: Record + Clone>(
        &self,
        name: &str,
        places: Places,
        mut change: impl FnMut(&mut R, usize),
    ) -> Result<(), Error> {
        let mut writer = Writer::create(&self.out.join(name), self.provenance)?;
        let mut count = 0;
        self.for_each(name, places, |mut row| {
            change(&mut row, count);
            count += 1;
            writer.write(&row)
        })?;
        writer.finish()
    }

    /// Hands out the rows that the parts have of the file `name`, in the order of the whole.
    ///
    /// # Errors
    /// [`Error::Input`] where parts have a place twice or lack one; and those of `each`.
    pub fn for_each<R: Record>(
        &self,
        name: &str,
        places: Places,
        mut each: impl FnMut(R) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let files = Part::all(self.world).map(|part| part.folder(self.out).join(name));
        let mut parts = files.map(Rows::<R>::open).collect::<Result<Vec<_>, _>>()?;
        let mut expected = 0;
        while let Some((number, place)) = next_part(&parts)? {
            if places == Places::All && place != expected {
                let problem =
                    format!("{name}: no part has place {expected}. Make the parts again, with --force");
                return Err(Error::input(self.out.join(FOLDER), problem));
            }
            expected = place + 1;
            // What is of one thing is in one part, in its order.
            while parts[number].place() == Some(place) {
                parts[number].take()?.map_or(Ok(()), &mut each)?;
            }
        }
        Ok(())
    }
}

/// Whether a part's file is there, and of this very work.
fn check_file(file: &Path, part: Part, provenance: &Provenance) -> Result<(), Error> {
    let again = format!(
        "Make it with --rank {} --world {}, and otherwise as for --merge",
        part.rank, part.world
    );
    if !file.exists() {
        return Err(Error::input(file, format!("part {part} is missing. {again}")));
    }
    parquet::check_seal(file)?.unbroken(file)?;
    let expected = provenance.clone().with_part(part);
    let difference = match parquet::provenance(file) {
        Some(found) => expected.difference(&found),
        None => Some("no stage of this program wrote it".to_owned()),
    };
    match difference {
        Some(difference) => Err(Error::input(
            file,
            format!("is not part {part} of this work: {difference}. {again}"),
        )),
        None => Ok(()),
    }
}

/// The part that has the smallest place next, and that place.
fn next_part<R: Record>(parts: &[Rows<R>]) -> Result<Option<(usize, i64)>, Error> {
    let places = parts.iter().enumerate();
    let Some((number, place)) = places
        .filter_map(|(number, rows)| Some((number, rows.place()?)))
        .min_by_key(|&(_, place)| place)
    else {
        return Ok(None);
    };
    let mut later = parts.iter().skip(number + 1);
    match later.find(|rows| rows.place() == Some(place)) {
        Some(other) => Err(Error::input(
            &other.file,
            format!(
                "place {place} is in {} too. Make both again, with --force",
                parts[number].file.display()
            ),
        )),
        None => Ok(Some((number, place))),
    }
}

/// The rows of a part that are not taken yet.
struct Rows<R> {
    file: PathBuf,
    reader: PlacedReader<R>,
    read: VecDeque<(i64, R)>,
}

impl<R: Record> Rows<R> {
    fn open(file: PathBuf) -> Result<Self, Error> {
        let mut rows = Self {
            reader: PlacedReader::open(&file)?,
            file,
            read: VecDeque::new(),
        };
        rows.fill(i64::MIN)?;
        Ok(rows)
    }

    /// The place of the next row.
    fn place(&self) -> Option<i64> {
        self.read.front().map(|(place, _)| *place)
    }

    fn take(&mut self) -> Result<Option<R>, Error> {
        let Some((place, row)) = self.read.pop_front() else {
            return Ok(None);
        };
        self.fill(place)?;
        Ok(Some(row))
    }

    /// Reads on where nothing is left, and checks that the next place does not come before `last`.
    fn fill(&mut self, last: i64) -> Result<(), Error> {
        while self.read.is_empty() {
            match self.reader.next() {
                Some(rows) => self.read.extend(rows?),
                None => return Ok(()),
            }
        }
        match self.place() {
            Some(place) if place < last => Err(Error::input(
                &self.file,
                format!(
                    "place {place} comes after place {last}: expected ascending ones. Make it again, with --force"
                ),
            )),
            _ => Ok(()),
        }
    }
}
