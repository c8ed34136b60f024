//! The worker engine on a store that fails on demand.
//!
//! Time is a manual clock, moved by the tests; nothing sleeps. [`rig`] has the set-up, [`faulty`] the store.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "the parts of a test program have no outside")]

#[path = "engine/faulty.rs"]
mod faulty;
#[path = "engine/rig.rs"]
mod rig;

#[path = "engine/cancel.rs"]
mod cancel;
#[path = "engine/children.rs"]
mod children;
#[path = "engine/exchange.rs"]
mod exchange;
#[path = "engine/family.rs"]
mod family;
#[path = "engine/handlers.rs"]
mod handlers;
#[path = "engine/idle.rs"]
mod idle;
#[path = "engine/leases.rs"]
mod leases;
#[path = "engine/outage.rs"]
mod outage;
#[path = "engine/schedules.rs"]
mod schedules;
#[path = "engine/shutdown.rs"]
mod shutdown;
#[path = "engine/stuck.rs"]
mod stuck;
#[path = "engine/telemetry.rs"]
mod telemetry;
#[path = "engine/telling.rs"]
mod telling;
