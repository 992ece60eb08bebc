//! The one way to divide work over threads.

use rayon::prelude::*;

/// How many threads a kernel may use: as many as LibTorch was told to, and at most `max`.
pub(crate) fn count(max: usize) -> usize {
    (tch::get_num_threads().max(1) as usize).min(max.max(1))
}

/// Elements that are handled at once where a tensor is divided; the division does not depend on the number of threads.
pub(crate) const BLOCK: usize = 1 << 16;

/// What `work` makes of each part, in the order of the parts. Each of `threads` threads takes parts that follow one another.
pub(crate) fn map<T: Send, R: Send>(threads: usize, parts: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    if threads < 2 || parts.len() < 2 {
        return parts.into_iter().map(work).collect();
    }
    let share = parts.len().div_ceil(threads);
    let mut shares: Vec<Vec<T>> = Vec::with_capacity(threads);
    let mut parts = parts.into_iter().peekable();
    while parts.peek().is_some() {
        shares.push(parts.by_ref().take(share).collect());
    }
    let done: Vec<Vec<R>> = shares
        .into_par_iter()
        .map(|share| share.into_iter().map(&work).collect())
        .collect();
    done.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_the_order_of_the_parts() {
        for threads in [1, 2, 3, 8] {
            for parts in [0, 1, 2, 7, 16] {
                let expected: Vec<usize> = (0..parts).map(|part| part * part).collect();
                assert_eq!(map(threads, (0..parts).collect(), |part| part * part), expected);
            }
        }
    }
}
