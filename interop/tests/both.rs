//! Everything that both sides do with one queue, in both directions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when something is wrong")]

#[path = "both/dedup.rs"]
mod dedup;
#[path = "both/edges.rs"]
mod edges;
#[path = "both/events.rs"]
mod events;
#[path = "both/families.rs"]
mod families;
#[path = "both/flows.rs"]
mod flows;
#[path = "both/getters.rs"]
mod getters;
#[path = "both/jobs.rs"]
mod jobs;
#[path = "both/limits.rs"]
mod limits;
#[path = "both/options.rs"]
mod options;
#[path = "both/schedules.rs"]
mod schedules;
#[path = "both/stalls.rs"]
mod stalls;
#[path = "both/steer.rs"]
mod steer;
#[path = "both/telemetry.rs"]
mod telemetry;
#[path = "both/ties.rs"]
mod ties;
#[path = "both/work.rs"]
mod work;
