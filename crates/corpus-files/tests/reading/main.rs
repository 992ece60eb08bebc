//! Corpora as people bring them: what is read of each, what is passed over, and what is refused in which words.

#![allow(
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "a test that cannot set up its folder has failed"
)]

mod columns;
mod conversations;
mod damaged;
mod folders;
mod formats;
mod limits;
mod properties;
mod reference;
mod size;
mod support;
