//! The Redis store of oxmq: BullMQ 6.7's format on Redis and Valkey, shared with Node in both directions.
//!
//! Users take the crate `oxmq` and call `connect("redis://..")`.

mod connection;
mod keys;
mod ops;
mod scripts;
mod store;
mod wire;

pub use store::RedisStore;
