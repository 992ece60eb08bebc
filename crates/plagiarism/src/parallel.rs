//! Work on many things at once, with a progress bar, results in the order of the things.

use contract::{Error, Progress};
use rayon::prelude::*;

/// Things worked on between two steps of the progress bar.
const TOGETHER: usize = 1024;

/// What `work` makes of each of `items`, on the threads of the current pool.
///
/// # Errors
/// The first error of `work`, in the order of the items of a step.
pub(crate) fn map<'items, T: Sync, R: Send>(
    label: &'static str,
    unit: &'static str,
    items: &'items [T],
    work: impl Fn(&'items T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let mut progress = Progress::new(label, items.len() as u64, unit);
    let mut results = Vec::with_capacity(items.len());
    for together in items.chunks(TOGETHER) {
        results.extend(
            together
                .par_iter()
                .map(&work)
                .collect::<Result<Vec<R>, Error>>()?,
        );
        progress.advance(together.len() as u64, "");
    }
    Ok(results)
}
