//! Random numbers of a seed: LibTorch has one generator for the whole program.

use std::sync::{Mutex, PoisonError};

/// What `draw` draws from LibTorch's generator, begun anew with a seed. One thread after the other: a model that another thread loads
/// meanwhile would take numbers of the same sequence.
pub(crate) fn seeded<T>(seed: i64, draw: impl FnOnce() -> T) -> T {
    static GENERATOR: Mutex<()> = Mutex::new(());
    let _turn = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed);
    draw()
}
