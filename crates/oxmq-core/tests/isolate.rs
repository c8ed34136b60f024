//! Handlers in processes of their own: this program, started again.
//!
//! The worker's time is a manual clock, moved by the tests; the processes are real.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the output of a child is under test")]
#![allow(unreachable_pub, dead_code, reason = "the parts of a test program have no outside, and are shared")]

#[path = "engine/faulty.rs"]
mod faulty;
#[path = "engine/rig.rs"]
mod rig;

#[path = "isolate/children.rs"]
mod children;
#[path = "isolate/death.rs"]
mod death;
#[path = "isolate/handlers.rs"]
mod handlers;
#[path = "isolate/pool.rs"]
mod pool;
#[path = "isolate/stop.rs"]
mod stop;
#[path = "isolate/talk.rs"]
mod talk;

/// What the children run. Among the tests it does nothing.
#[tokio::test]
async fn child() {
    oxmq_core::serve_if_child(handlers::all()).await;
}
