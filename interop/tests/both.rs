//! Everything that both sides do with one queue, in both directions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when something is wrong")]

#[path = "both/jobs.rs"]
mod jobs;
#[path = "both/work.rs"]
mod work;
