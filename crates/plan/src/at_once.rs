//! How many cells can be worked on at once in the memory that is free, by the estimates of what each takes.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use contract::{Error, memory};

use crate::Plan;
use crate::estimate::{Speed, SpeedSource, count, estimates};
use crate::status::{State, Status};

/// The part of the free memory that cells may fill; the rest is for what else runs, and for what estimates miss.
const FILLED: f64 = 0.9;

/// How many jobs make should run at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AtOnce {
    /// So many, at least one.
    pub jobs: usize,
    /// So many were asked for.
    pub asked: usize,
    /// Memory that the largest cell takes, in bytes.
    pub largest_bytes: f64,
    /// Memory that is free, in bytes; none where that is not known.
    pub free_bytes: Option<f64>,
}

impl AtOnce {
    /// How many of the `asked` jobs fit into `free` bytes of memory, whichever of the cells that are still to be made come together;
    /// without `free`, into what the machine and the process's control group have left.
    ///
    /// # Errors
    /// [`Error::Input`] where a corpus file or a tokenizer cannot be read.
    pub fn of(plan: &Plan, run: &Path, asked: usize, free: Option<f64>) -> Result<Self, Error> {
        // Memory on the processor does not depend on how fast it is.
        let mut speed = SpeedSource::Given(Speed::of_training(1.0));
        let made: HashSet<String> = made_cells(run);
        let needed = estimates(plan, run, &mut speed)?
            .into_iter()
            .filter(|estimate| !made.contains(&estimate.cell))
            .map(|estimate| estimate.memory_bytes)
            .collect();
        Ok(Self::fitting(
            needed,
            asked,
            free.or_else(|| memory::free_bytes().map(|bytes| bytes as f64)),
        ))
    }

    fn fitting(mut needed: Vec<f64>, asked: usize, free_bytes: Option<f64>) -> Self {
        needed.sort_by(|one, other| other.total_cmp(one));
        let largest_bytes = needed.first().copied().unwrap_or(0.0);
        let fits = |free: f64| {
            let sums = needed.iter().scan(0.0, |sum, bytes| {
                *sum += bytes;
                Some(*sum)
            });
            let fitting = sums.take_while(|&sum| sum <= FILLED * free).count();
            // Where all cells fit, nothing is in the way of any number of jobs.
            if fitting == needed.len() {
                asked
            } else {
                fitting.clamp(1, asked.max(1))
            }
        };
        Self {
            jobs: free_bytes.map_or(asked, fits),
            asked,
            largest_bytes,
            free_bytes,
        }
    }
}

/// `3 of 8 jobs at once: cells take up to 5.1 GB of memory each, and 16 GB are free`
impl fmt::Display for AtOnce {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let free = self.free_bytes.unwrap_or(0.0);
        write!(
            formatter,
            "{} of {} jobs at once: cells take up to {}B of memory each by estimate, and {}B are free",
            self.jobs,
            self.asked,
            count(self.largest_bytes),
            count(free)
        )?;
        if self.largest_bytes > free {
            write!(formatter, ", so that the largest may fail")?;
        }
        Ok(())
    }
}

/// The cells of a run folder that are done.
fn made_cells(run: &Path) -> HashSet<String> {
    let cells = Status::of(run).map_or_else(|_| Vec::new(), |status| status.cells);
    let made = cells.into_iter().filter(|cell| cell.state() == State::Done);
    made.map(|cell| cell.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: f64 = 1e9;

    /// Nine tenths of what is free are filled, and the largest cells may come together.
    #[test]
    fn as_many_run_at_once_as_the_largest_cells_leave_room_for() {
        let needed = || vec![GB, 5.0 * GB, 1.0 * GB, 5.0 * GB, 5.0 * GB];
        for (free, asked, jobs) in [
            // 5, 10, 15, 16 and 17 GB against 9, 14.4 and 18 GB
            (10.0, 8, 1),
            (16.0, 8, 2),
            (17.0, 8, 3),
            (20.0, 8, 8),
            (20.0, 2, 2),
            (17.0, 2, 2),
            (3.0, 8, 1),
        ] {
            let fitting = AtOnce::fitting(needed(), asked, Some(free * GB));
            assert_eq!(fitting.jobs, jobs, "{free} GB, {asked} jobs");
        }
        assert_eq!(AtOnce::fitting(needed(), 8, None).jobs, 8);
        assert_eq!(
            AtOnce::fitting(Vec::new(), 8, Some(0.0)).jobs,
            8,
            "nothing is to be made"
        );
    }
}
