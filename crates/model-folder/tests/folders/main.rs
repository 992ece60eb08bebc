//! Folders of models and adapters from outside: what is read of them, and what a person reads where one cannot be used.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod adapters;
mod checkpoints;
mod families;
mod hostile;
mod kinds;
mod models;
mod place;
