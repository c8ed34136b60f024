//! When a schedule is due: pure arithmetic, no store, no clock.
//!
//! What lives here:
//!
//! - [`Cron`]: an expression such as `0 9 * * MON-FRI`, and the time it is due next. It names the same times as
//!   npm's cron-parser 5, which BullMQ asks; [`Cron`]'s page has the syntax and the differences.
//! - [`Zone`]: where the clock hangs that a [`Cron`] reads.
//! - [`next_every`]: the next slot of "every so many milliseconds".
//! - [`Repeat`]: what a scheduler was told, in BullMQ's names, with its checks; [`preview`] shows what comes of it.
//! - [`Policy`]: what becomes of slots that were missed, and of runs that would overlap.
//! - [`step`]: what a store decides when a schedule is put or goes on.
//!
//! What does not: reading the clock (`now` is an argument), keeping schedulers, adding jobs. Reading a zone's rules is
//! the one thing that looks outside, and only when a [`Zone`] is made.

mod cron;
mod every;
mod policy;
mod repeat;
pub mod step;
mod zone;

pub use cron::{Cron, EXPRESSION_CHARS_MAX, SEARCH_YEARS_MAX};
pub use every::{EVERY_MAX, Slot, next_every};
pub use policy::{CATCH_UP_MAX, CATCH_UP_WITHIN_MAX, Missed, Overlap, Policy};
pub use repeat::{PREVIEW_RUNS_MAX, Repeat, Rule, preview};
pub use zone::Zone;

/// The operation that the errors of this folder name.
const OPERATION: &str = "schedule";
