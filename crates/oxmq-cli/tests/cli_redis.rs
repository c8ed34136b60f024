//! Every verb, through the real binary, on a database of a real Redis server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

/// The store of each bench.
fn store_url() -> String {
    oxmq_testkit::Server::shared().fresh_url()
}

#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/bulk.rs"]
mod bulk;
#[path = "cli/demo_redis.rs"]
mod demo;
#[path = "cli/flow.rs"]
mod flow;
#[path = "cli/look.rs"]
mod look;
#[path = "cli/options.rs"]
mod options;
#[path = "cli/schedules.rs"]
mod schedules;
#[path = "cli/steer.rs"]
mod steer;
#[path = "cli/support.rs"]
mod support;
#[path = "cli/watch.rs"]
mod watch;
#[path = "cli/work.rs"]
mod work;
#[path = "cli/work_stop.rs"]
mod work_stop;
