//! The embedded store of oxmq: one SQLite file, several processes.

mod committer;
mod connection;
mod disk;
mod ear;
mod engine;
mod event_body;
mod fault;
mod inbox;
mod lock;
mod migrate;
mod open;
mod ops;
mod readers;
mod real_time;
mod row;
mod store;
mod sync;
mod tx;
mod wake;
mod watch;
mod writer;

pub use connection::Durability;
pub use open::{CALL_DEADLINE_DEFAULT, SqliteStoreBuilder};
pub use store::SqliteStore;
