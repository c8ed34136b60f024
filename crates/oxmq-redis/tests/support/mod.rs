//! A bench of the behaviour suite: a database of its own on one server that all tests of the program share.

#![allow(dead_code, reason = "not all programs of tests need all of it")]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxmq_core::Store;
use oxmq_core::conformance::Bench;
use oxmq_redis::RedisStore;
use oxmq_testkit::{Options, Server};

/// How many databases the server has; each test uses one.
const DATABASES: u32 = 4_096;

/// A database that nobody else uses.
pub(crate) fn fresh_url() -> String {
    static SERVER: std::sync::OnceLock<Server> = std::sync::OnceLock::new();
    SERVER.get_or_init(|| Server::start(Options::new().databases(DATABASES))).fresh_url()
}

/// A store with a database of its own.
pub(crate) struct OnRedis {
    store: Arc<RedisStore>,
    raw: Mutex<Aging>,
}

struct Aging {
    connection: redis::Connection,
    /// What the last advance left: each key that expires, with the time of the server's clock at which it does and what it had
    /// left then, in ms, as the script gave it.
    left: String,
}

impl OnRedis {
    pub(crate) async fn new() -> Self {
        let url = fresh_url();
        let connection = redis::Client::open(url.as_str()).unwrap().get_connection().unwrap();
        let store = Arc::new(RedisStore::open(&url).await.unwrap());
        Self { store, raw: Mutex::new(Aging { connection, left: "{}".into() }) }
    }
}

/// Makes every key that expires older by ARGV[1] ms, which the suite's clock was moved by. A key that was there at the last
/// advance, as ARGV[2] has it, gets back what the server's own clock took from it since: so it expires by the suite's
/// clock only. A key that was set since has lost as much as it is old, and no more; it never lives longer than it was to, so
/// what must be gone after an advance is gone, on a machine of any speed.
const AGE: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local before, left = cjson.decode(ARGV[2]), {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local ttl = redis.call('PTTL', key)
  if ttl >= 0 then
    local known = before[key]
    -- The two clocks of the server differ by a millisecond at most.
    if known and math.abs(known[1] - (now + ttl)) <= 2 then ttl = known[2] end
    ttl = ttl - tonumber(ARGV[1])
    if ttl > 0 then
      redis.call('PEXPIREAT', key, string.format('%.0f', now + ttl))
      left[key] = { now + ttl, ttl }
    else
      redis.call('DEL', key)
    end
  end
end
return next(left) and cjson.encode(left) or '{}'";

impl Bench for OnRedis {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn advance(&self, by: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let mut raw = self.raw.lock().unwrap();
            let left = raw.left.clone();
            let by = u64::try_from(by.as_millis()).unwrap();
            raw.left =
                redis::cmd("EVAL").arg(AGE).arg(0).arg(by).arg(left).query(&mut raw.connection).unwrap();
        })
    }
}
