//! Every verb, through the real binary, on SQLite files of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

/// The store of each bench.
fn store_url() -> String {
    "sqlite:jobs.db".to_owned()
}

#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/bulk.rs"]
mod bulk;
#[path = "cli/dedup.rs"]
mod dedup;
#[path = "cli/demo.rs"]
mod demo;
#[path = "cli/flow.rs"]
mod flow;
#[path = "cli/limit.rs"]
mod limit;
#[path = "cli/look.rs"]
mod look;
#[path = "cli/options.rs"]
mod options;
#[path = "cli/schedules.rs"]
mod schedules;
#[path = "cli/shell.rs"]
mod shell;
#[path = "cli/steer.rs"]
mod steer;
#[path = "cli/store.rs"]
mod store;
#[path = "cli/support.rs"]
mod support;
#[path = "cli/watch.rs"]
mod watch;
#[path = "cli/work.rs"]
mod work;
#[path = "cli/work_stop.rs"]
mod work_stop;
