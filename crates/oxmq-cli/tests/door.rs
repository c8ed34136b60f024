//! `oxmq backend`, through the real binary, on the embedded store.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(clippy::needless_pass_by_value, reason = "what `json!` makes is handed over")]

/// The store of each test, in a directory of its own.
fn store_url() -> String {
    "sqlite:jobs.db".to_owned()
}

#[path = "door/adding.rs"]
mod adding;
#[path = "door/families.rs"]
mod families;
#[path = "door/life.rs"]
mod life;
#[path = "door/listening.rs"]
mod listening;
#[path = "door/looking.rs"]
mod looking;
#[path = "door/schedulers.rs"]
mod schedulers;
#[path = "door/sockets.rs"]
mod sockets;
#[path = "door/steering.rs"]
mod steering;
#[path = "door/support.rs"]
mod support;
#[path = "door/working.rs"]
mod working;
