//! BullMQ in Node and oxmq on one server: what the tests of both directions share.
//!
//! A [`Rig`] is a queue that both sides have; a [`Side`] does what a test says, in Node through an [`Agent`], in Rust
//! with `oxmq`'s own [`Queue`](oxmq_core::Queue) and [`Worker`](oxmq_core::Worker). Workers choose what they do by the
//! job's name, the same on both sides: `node/processors.mjs` and [`processors`] are twins.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "this is for tests only: it panics when something is wrong"
)]

pub mod agent;
pub mod door;
pub mod flows;
pub mod keyspace;
pub mod processors;
pub mod rig;
pub mod server;
pub mod soak;
mod steer;

pub use agent::{Agent, undefined};
pub use rig::{Rig, Running, Side, Work, ms, until};
