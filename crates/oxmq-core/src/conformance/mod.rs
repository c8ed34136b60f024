//! The behaviour suite: what every store must do, as cases, with the reference model that they were written by.
//!
//! A store plugs in with a [`Bench`] and one line, [`conformance!`](crate::conformance!); it cannot leave a case
//! out. See [`harness`] for what a bench is.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unchecked_time_subtraction,
    clippy::items_after_statements,
    clippy::unused_async,
    reason = "these are tests, to be built into the tests of other crates: they panic when something is wrong"
)]

mod cases;
pub mod harness;
pub mod model;
mod model_store;

pub mod add;
pub mod add_flow;
pub mod announce;
pub mod cancel;
pub mod children;
pub mod clean;
pub mod close;
pub mod dedup;
pub mod detach;
pub mod drain;
pub mod extend;
pub mod finish;
pub mod limit;
pub mod listen;
pub mod look;
pub mod meta;
pub mod metrics;
pub mod note;
pub mod obliterate;
pub mod parents;
pub mod pause;
pub mod promote;
pub mod random;
pub mod recover;
pub mod remove;
pub mod reschedule;
pub mod retention;
pub mod retry;
pub mod schedule;
pub mod sweep;
pub mod take;
pub mod transitions;
pub mod wait;
pub mod years;

pub use self::harness::{Bench, Draft, Harness, On, block_on, draft, eventually, ms};
pub use self::model::Model;
pub use self::model_store::ModelStore;
