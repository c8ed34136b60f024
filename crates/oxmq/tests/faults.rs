//! Each fault on real servers, under load: what is acknowledged is done, nothing is stuck, nothing is done twice that
//! may not be, and work goes on soon after the fault has ended.
//!
//! Every campaign prints a line with its recovery times: from "the server is in reach again" to the first job that is
//! taken. `OXMQ_ALL=1` is the long form, with more rounds and longer faults; `OXMQ_FAULT_ROUNDS` is the number of
//! rounds of the chaos (3 unless said otherwise, 100 in the full form), `OXMQ_SEED` repeats its choices.
#![cfg(all(unix, feature = "redis", feature = "tls", feature = "cluster"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test panics when something is wrong, and prints what it measured"
)]

#[path = "faults/absent.rs"]
mod absent;
#[path = "faults/chaos.rs"]
mod chaos;
#[path = "faults/connection.rs"]
mod connection;
#[path = "faults/load.rs"]
mod load;
#[path = "faults/plain.rs"]
mod plain;
#[path = "faults/refusals.rs"]
mod refusals;
#[path = "faults/replaced.rs"]
mod replaced;
#[path = "faults/restart.rs"]
mod restart;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use oxmq_testkit::Server;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Whether this is the long form.
fn is_long() -> bool {
    std::env::var_os("OXMQ_ALL").is_some()
}

/// So many rounds, or so many in the long form.
fn rounds(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// Does what blocks (starting servers, breaking them) without holding up the load.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Kills a server that writes an append-only file, and mends the file.
///
/// A SIGKILL can cut the last transaction in the file in half. Redis 7.0 then takes the file as it should, but leaves the
/// half transaction in it, which comes to life at the restart after the next: jobs are popped once more, or out of
/// nothing (`MULTI calls can not be nested` in the log). No client can help that, and `redis-check-aof` does.
fn kill(server: &Server) {
    server.kill();
    let manifest = server.folder().join("appendonlydir/appendonly.aof.manifest");
    let file = if manifest.exists() { manifest } else { server.folder().join("appendonly.aof") };
    let mut check = Command::new("redis-check-aof");
    check.arg("--fix").arg(file).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut check = check.spawn().unwrap();
    // It asks for each file; one that is whole is not asked for.
    let _ = check.stdin.take().unwrap().write_all(b"y\ny\n");
    check.wait().unwrap();
}
