//! The embedded store of oxmq: one SQLite file, several processes.
#![allow(dead_code)]

mod connection;
mod engine;
mod event_body;
mod fault;
mod inbox;
mod lock;
mod migrate;
mod readers;
mod real_time;
mod sync;
mod tx;
mod wake;
mod watch;
mod writer;

pub use connection::Durability;
