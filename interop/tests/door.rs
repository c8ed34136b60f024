//! The Node door: programs with BullMQ's own classes see the same on each of our stores as on BullMQ's own backend.
//!
//! `door/programs/` is compared with a run on BullMQ's backend, `door/vectors/` with what was recorded on it. Reports of
//! what a program saw are compared in full; see `door/differences.json` for what is meant to differ.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when something is wrong")]

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use oxmq_interop::door::{Run, compare, run};
use oxmq_testkit::Server;

const PROGRAMS: &str = "runner.mjs";
const RECORDED: &str = "vectors/play.mjs";

/// How often the server looks for clients that have waited long enough, per second. At its default, an empty read of
/// events lasts a tenth of a second.
const LOOKS_PER_SECOND: u32 = 500;

/// A database of the server that all tests share.
fn database() -> String {
    let url = Server::shared().fresh_url();
    let mut connection = redis::Client::open(url.as_str()).unwrap().get_connection().unwrap();
    redis::cmd("CONFIG").arg("SET").arg("hz").arg(LOOKS_PER_SECOND).exec(&mut connection).unwrap();
    url
}

/// One at a time: programs that wait for each other's time to pass share two cores.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

static PROGRAMS_OF_BULLMQ: LazyLock<Run> = LazyLock::new(|| run(PROGRAMS, "redis", &database()));
static RECORDINGS: LazyLock<Run> = LazyLock::new(|| run(RECORDED, "recorded", &database()));

fn programs_on(kind: &str, url: &str) {
    let _turn = turn();
    let found = run(PROGRAMS, kind, url);
    compare(PROGRAMS, kind, &PROGRAMS_OF_BULLMQ, &found);
    assert!(found.missing.is_empty(), "no program calls {}", found.missing.join(", "));
}

fn recordings_on(kind: &str, url: &str) {
    let _turn = turn();
    compare(RECORDED, kind, &RECORDINGS, &run(RECORDED, kind, url));
}

fn file() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("door.db").display());
    (folder, url)
}

/// The programs themselves see the same whenever they run.
#[test]
fn programs_see_the_same_twice() {
    programs_on("redis", &database());
}

#[test]
fn programs_on_sqlite() {
    let (_folder, url) = file();
    programs_on("door-sqlite", &url);
}

#[test]
fn programs_in_memory() {
    programs_on("door-memory", "sqlite::memory:");
}

#[test]
fn programs_on_redis() {
    programs_on("door-redis", &database());
}

/// The scenarios are played as they were recorded.
#[test]
fn recordings_on_bullmq() {
    recordings_on("redis", &database());
}

#[test]
fn recordings_on_sqlite() {
    let (_folder, url) = file();
    recordings_on("door-sqlite", &url);
}

#[test]
fn recordings_on_redis() {
    recordings_on("door-redis", &database());
}
