//! The behaviour suite, on a real server.

#![allow(clippy::unwrap_used, reason = "a test panics when something is wrong")]

mod support;

use support::OnRedis;

oxmq_core::conformance!(redis, OnRedis::new().await);
