//! `oxmq backend`, through the real binary, on a database of a real Redis server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(clippy::needless_pass_by_value, reason = "what `json!` makes is handed over")]

/// The store of each test.
fn store_url() -> String {
    oxmq_testkit::Server::shared().fresh_url()
}

#[path = "door/adding.rs"]
mod adding;
#[path = "door/families.rs"]
mod families;
#[path = "door/listening.rs"]
mod listening;
#[path = "door/looking.rs"]
mod looking;
#[path = "door/schedulers.rs"]
mod schedulers;
#[path = "door/steering.rs"]
mod steering;
#[path = "door/support.rs"]
mod support;
#[path = "door/working.rs"]
mod working;
