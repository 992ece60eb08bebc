//! The program as its users see it: corpus files and a pipeline file in, two Parquet files, an exit status and messages out.

#![allow(
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "a test that cannot set up its folder has failed"
)]

mod canaries;
mod chat;
mod cut;
mod errors;
mod facts;
mod formats;
mod held_out;
mod interruption;
mod layout;
mod limits;
mod manifest;
mod other;
mod properties;
mod same_text;
mod support;
