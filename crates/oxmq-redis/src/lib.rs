//! The Redis store of oxmq: BullMQ 6.7's format on Redis and Valkey, shared with Node in both directions.
//!
//! Users take the crate `oxmq` and call `connect("redis://..")`.
//!
//! # The rights of a user
//!
//! With access lists, a user needs the keys and the channels under its prefixes, and these commands; a test keeps the
//! list whole and short. (`ACL SETUSER jobs on >PASSWORD ..`; on a cluster the patterns are `~{bull}:*` and `&{bull}:*`.)
//!
//! ```text
//! resetkeys ~bull:* resetchannels &bull:* -@all
//!     +evalsha +script|load +bzpopmin +xread +xrevrange +subscribe +unsubscribe +ping +info +time
//!     +select +scan +client|id +client|list +client|setname +client|unblock +del +exists +expire +get +hdel
//!     +hexists +hget +hgetall +hincrby +hkeys +hlen +hmget +hset +hvals +incr +incrby +llen +lpos +lpush
//!     +lrange +lrem +lset +ltrim +mget +persist +pexpire +pttl +publish +rename +rpop +rpoplpush +rpush +sadd +scard
//!     +set +sismember +smembers +srem +unlink +xadd +xinfo|stream +xrange +xtrim +zadd +zcard +zcount +zpopmin +zrange
//!     +zrangebyscore +zrem +zrevrange +zrevrangebyscore +zmscore +zscore
//! ```
//!
//! - `select` is for databases other than 0; `scan` is for listing queues. With Sentinel, `+role`; on a cluster,
//!   `+asking +cluster|slots`.
//! - Without `client|id` and `client|unblock`, waits are cut into slices of a quarter second; without
//!   `client|setname`, Node's `getWorkers` does not list the workers; without `client|list`, ours does not list Node's.
//! - `+config|get` is asked for only to warn of a server that saves nothing, `info` and `time` only to warn of other
//!   things that go wrong later: what is refused is not looked at.
//!
//! # What a server loses
//!
//! No client can help these, so set up the server for them:
//!
//! - Without an append-only file, a restart loses what came after the last snapshot. With `appendfsync everysec`, a crash of
//!   the machine loses about a second.
//! - A master that is replaced loses what its replica did not have yet, also if the failover is a planned one; see
//!   `min-replicas-to-write`.
//! - A SIGKILL can cut the append-only file within a transaction. Redis 7.0 leaves that half in the file, and it takes
//!   effect at the restart after the next (`MULTI calls can not be nested` in the log): jobs run again or are in no list. After a
//!   kill, run `redis-check-aof --fix` on the manifest before the start.

mod connection;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod keys;
mod ops;
mod scripts;
mod store;
mod wire;

pub use store::RedisStore;
