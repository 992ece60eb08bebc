//! Planning from outside: names, files, rules under a real make, and what a user sees when something is wrong.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod audited;
mod cells;
mod chat;
mod command;
mod corpora;
mod given;
mod look;
mod reduced;
mod rules;
mod shipped;
mod slurm;
mod status;
mod workplace;
