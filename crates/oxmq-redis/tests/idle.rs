//! What a worker that has nothing to do sends: plain commands.

#![allow(clippy::unwrap_used, reason = "a test panics when something is wrong")]

use std::time::Duration;

use oxmq_core::conformance::ms;
use oxmq_core::store::{AnnounceRequest, RecoverRequest, Recovered, SweepRequest};
use oxmq_core::{Clock, QueueAddress, Store, WorkerInfo};
use oxmq_redis::RedisStore;
use oxmq_testkit::{Options, Server};
use redis::Commands;

/// The commands that are looked at; the others are about connections.
const ABOUT: [&str; 7] = ["evalsha", "exists", "hgetall", "hget", "hset", "pexpire", "zcount"];

/// A store on a server of its own, and a connection to ask that.
struct Rig {
    store: RedisStore,
    queue: QueueAddress,
    raw: redis::Connection,
    _server: Server,
}

impl Rig {
    async fn new() -> Self {
        let server = Server::start(Options::new());
        let raw = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        let store = RedisStore::open(&server.url()).await.unwrap();
        Self { store, queue: QueueAddress::new("q").unwrap(), raw, _server: server }
    }

    /// What was sent for the queue since the last time, and what its scripts did.
    fn sent(&mut self) -> Vec<String> {
        let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut self.raw).unwrap();
        let () = redis::cmd("CONFIG").arg("RESETSTAT").query(&mut self.raw).unwrap();
        let calls = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
        let calls = calls.filter(|(name, _)| ABOUT.contains(name));
        let mut sent: Vec<_> =
            calls.map(|(name, rest)| format!("{name} {}", rest.split(',').next().unwrap())).collect();
        sent.sort();
        sent
    }

    async fn announce(&self, renews: bool) {
        let worker = WorkerInfo {
            id: "w".into(),
            name: None,
            host: "here".into(),
            pid: 1,
            version: "1".into(),
            concurrency: 1,
            active: 0,
            started_at: 0,
            last_take_at: None,
        };
        let request =
            AnnounceRequest { worker, ttl: Duration::from_secs(30), renews, now: Clock::system().now() };
        self.store.announce(&self.queue, request).await.unwrap();
    }
}

#[tokio::test]
async fn an_empty_queue_is_seen_by_one_plain_command() {
    let mut rig = Rig::new().await;
    rig.sent();
    let now = Clock::system().now();
    let check = RecoverRequest { max_stalled: 1, interval: ms(5_000), now };
    let found = rig.store.recover(&rig.queue, check).await.unwrap();
    assert_eq!(found, Recovered { stalled: Vec::new(), empty: true });
    assert_eq!(rig.sent(), ["exists 1"]);
    rig.store.sweep(&rig.queue, SweepRequest { limit: 100, now }).await.unwrap();
    assert_eq!(rig.sent(), ["zcount 1"]);
}

#[tokio::test]
async fn what_bullmq_5_left_in_paused_is_to_be_done_and_what_dead_jobs_left_is_cleared_away() {
    let mut rig = Rig::new().await;
    let check = RecoverRequest { max_stalled: 1, interval: ms(1), now: Clock::system().now() };
    let () = rig.raw.lpush("bull:q:paused", "1").unwrap();
    assert!(!rig.store.recover(&rig.queue, check.clone()).await.unwrap().empty);
    let () = rig.raw.del("bull:q:paused").unwrap();
    let () = rig.raw.sadd("bull:q:stalled", "1").unwrap();
    let () = rig.raw.hset("bull::oxmq:q:leases", "1", "1700000000000 w:1").unwrap();
    // Unless another check was made just before.
    let end = Clock::system().now() + Duration::from_secs(10);
    while !rig.store.recover(&rig.queue, check.clone()).await.unwrap().empty {
        assert!(Clock::system().now() < end, "it is never cleared away");
    }
    assert!(!rig.raw.exists::<_, bool>(&["bull:q:stalled", "bull::oxmq:q:leases"]).unwrap());
}

#[tokio::test]
async fn an_announcement_is_renewed_by_one_plain_command_unless_it_is_gone() {
    let mut rig = Rig::new().await;
    rig.announce(false).await;
    rig.sent();
    rig.announce(true).await;
    assert_eq!(rig.sent(), ["hset 1"]);
    let () = rig.raw.del("bull::oxmq:q:workers").unwrap();
    rig.announce(true).await;
    assert!(rig.raw.pttl::<_, i64>("bull::oxmq:q:workers").unwrap() > 0, "it ends by itself");
    assert_eq!(rig.store.workers(&rig.queue, Clock::system().now()).await.unwrap().len(), 1);
}
