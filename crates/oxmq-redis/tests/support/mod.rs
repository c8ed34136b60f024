//! A bench of the behaviour suite: a database of its own on one server that all tests of the program share.

#![allow(dead_code, reason = "not all programs of tests need all of it")]
#![allow(clippy::disallowed_methods, reason = "what the server's own clock did meanwhile is real time")]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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
    since: Instant,
}

impl OnRedis {
    pub(crate) async fn new() -> Self {
        let url = fresh_url();
        let connection = redis::Client::open(url.as_str()).unwrap().get_connection().unwrap();
        let store = Arc::new(RedisStore::open(&url).await.unwrap());
        Self { store, raw: Mutex::new(Aging { connection, since: Instant::now() }) }
    }
}

/// Makes every key that expires older by ARGV[1] ms, which the clock was moved by, and younger by ARGV[2] ms, which
/// passed meanwhile: so that they expire by the suite's clock only.
const AGE: &str = "
for _, key in ipairs(redis.call('KEYS', '*')) do
  local ttl = redis.call('PTTL', key)
  if ttl >= 0 then
    ttl = ttl - tonumber(ARGV[1]) + tonumber(ARGV[2])
    if ttl > 0 then redis.call('PEXPIRE', key, ttl) else redis.call('DEL', key) end
  end
end";

impl Bench for OnRedis {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn advance(&self, by: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let mut raw = self.raw.lock().unwrap();
            let passed = raw.since.elapsed();
            raw.since = Instant::now();
            let () = redis::cmd("EVAL")
                .arg(AGE)
                .arg(0)
                .arg(u64::try_from(by.as_millis()).unwrap())
                .arg(u64::try_from(passed.as_millis()).unwrap())
                .query(&mut raw.connection)
                .unwrap();
        })
    }
}
