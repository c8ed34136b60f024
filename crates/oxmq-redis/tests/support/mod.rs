//! A bench of the behaviour suite: a database of its own on one server that all tests of the program share.

use std::future::Future;
use std::net::TcpListener;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use oxmq_core::Store;
use oxmq_core::conformance::Bench;
use oxmq_redis::RedisStore;

/// How many databases the server has; each test uses one.
const DATABASES: u32 = 4_096;

/// The port of the server, which ends with the program.
static PORT: LazyLock<u16> = LazyLock::new(|| {
    let (sender, receiver) = std::sync::mpsc::channel();
    // The server is told to end when the thread that started it does, so that one waits for ever.
    std::thread::spawn(move || {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "redis-server", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string(), "--databases", &DATABASES.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        while client.get_connection().is_err() {
            std::thread::yield_now();
        }
        sender.send(port).unwrap();
        server.wait().unwrap();
    });
    receiver.recv().unwrap()
});

static NEXT: AtomicU32 = AtomicU32::new(0);

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
        let database = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(database < DATABASES, "a test for each database");
        let url = format!("redis://127.0.0.1:{}/{database}", *PORT);
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
