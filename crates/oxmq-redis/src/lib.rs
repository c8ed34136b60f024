//! The Redis store of oxmq: BullMQ 6.7's format on Redis and Valkey, shared with Node in both directions.

mod connection;
mod keys;
mod scripts;
