//! BullMQ 5.81 on one queue with us: what is the same, and what it leaves behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when something is wrong")]

use std::sync::Arc;

use oxmq_core::{JobState, Store as _, Timestamp, WorkerInfo};
use oxmq_interop::{Agent, Rig, Side, Work, ms, server, until};
use serde_json::{Value, json};

async fn rig() -> Rig {
    Rig::with(Agent::shared(), 5).await
}

/// A queue of BullMQ 6.7's with the same name, in Node.
async fn six(rig: &Rig) -> String {
    let name = format!("{} six", rig.name);
    rig.agent.make("Queue", &name, &rig.name, json!({}), 6).await;
    name
}

fn list(rig: &Rig, suffix: &str) -> Vec<String> {
    let key = format!("bull:{}:{suffix}", rig.name);
    redis::cmd("LRANGE").arg(key).arg(0).arg(-1).query(&mut server::connection()).unwrap()
}

#[tokio::test]
async fn one_side_adds_and_the_other_works() {
    for adds in Side::BOTH {
        let rig = rig().await;
        let mut ids = Vec::new();
        for opts in [
            json!({}),
            json!({ "lifo": true }),
            json!({ "priority": 3 }),
            json!({ "delay": 50 }),
            json!({ "jobId": "own" }),
            json!({ "attempts": 3, "backoff": { "type": "exponential", "delay": 10 }, "removeOnFail": 3, "keepLogs": 2 }),
        ] {
            ids.push(rig.add(adds, "throws", json!({ "fails": 0 }), opts).await);
        }
        let retried =
            rig.add(adds, "throws", json!({ "fails": 2 }), json!({ "attempts": 3, "backoff": 10 })).await;
        let fails = rig.add(adds, "fail", json!({ "message": "no ü" }), json!({ "attempts": 2 })).await;
        let noted = rig.add(adds, "note", json!({ "progress": [1], "lines": ["a", "b"] }), json!({})).await;
        let later = rig.add(adds, "later", json!({ "ms": 30 }), json!({})).await;
        let worker = rig.work(adds.other(), Work { name: Some("w".into()), ..Work::default() }).await;
        let side = if adds == Side::Node { "rust" } else { "node" };
        for id in &ids {
            assert_eq!(rig.outcome(adds, id).await, Ok(json!({ "side": side, "made": 0, "started": 1 })));
        }
        assert_eq!(rig.outcome(adds, &retried).await.unwrap()["made"], 2);
        assert_eq!(rig.outcome(adds, &fails).await, Err("no ü".into()));
        assert_eq!(rig.outcome(adds, &noted).await, Ok(json!("noted")));
        assert_eq!(rig.outcome(adds, &later).await, Ok(json!({ "started": 2, "made": 0 })));
        assert_eq!(rig.logs(adds, &noted).await, ["a", "b"]);
        ids.extend([retried, fails, noted, later]);
        for id in &ids {
            assert_eq!(rig.shown(Side::Node, id).await, rig.shown(Side::Rust, id).await);
        }
        worker.close().await;
    }
}

#[tokio::test]
async fn workers_share_a_queue() {
    let rig = rig().await;
    for n in 0..200 {
        rig.add(if n % 2 == 0 { Side::Node } else { Side::Rust }, "echo", json!(n), json!({})).await;
    }
    let node = rig.work(Side::Node, Work { concurrency: 3, ..Work::default() }).await;
    let ours = rig.work(Side::Rust, Work { concurrency: 3, ..Work::default() }).await;
    until("all are done", || async { rig.queue.counts().await.unwrap().completed == 200 }).await;
    let runs = || {
        let mut runs = rig.diary.runs.lock().unwrap().clone();
        runs.extend(node.told("run").iter().map(|line| line["jobId"].as_str().unwrap().to_owned()));
        runs
    };
    until("Node has told of all", || async { runs().len() >= 200 }).await;
    let mut runs = runs();
    runs.sort();
    let total = runs.len();
    runs.dedup();
    assert_eq!((total, runs.len()), (200, 200));
    node.close().await;
    ours.close().await;
}

#[tokio::test]
async fn the_jobs_of_a_killed_worker_of_five_are_done_by_ours() {
    let rig = rig().await;
    let gate = format!("{} gate", rig.name);
    let id = rig.add(Side::Rust, "hold", json!({ "gate": gate }), json!({})).await;
    let work = Work { lock: ms(300), stall_check: ms(150), ..Work::default() };
    let agent = Arc::new(Agent::start());
    let killed = rig.node_worker(&agent, work.clone()).await;
    rig.holds(Side::Node, &killed, &id).await;
    agent.kill().await;
    rig.open(&gate).await;
    let ours = rig.work(Side::Rust, work).await;
    assert_eq!(rig.outcome(Side::Node, &id).await, Ok(json!("released")));
    assert_eq!(rig.shown(Side::Node, &id).await["stalledCounter"], 1);
    ours.close().await;
}

/// Jobs that 5.x has put into its list `paused`, oldest first.
async fn left_paused(rig: &Rig) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(rig.add(Side::Node, "echo", json!(n), json!({})).await);
    }
    rig.pause(Side::Node).await;
    for n in 3..6 {
        ids.push(rig.add(Side::Node, "echo", json!(n), json!({})).await);
    }
    assert_eq!(list(rig, "paused").len(), 6, "5.x keeps them there");
    assert!(list(rig, "wait").is_empty());
    ids
}

#[tokio::test]
async fn what_a_paused_queue_of_five_holds_waits_and_runs_after_our_resume() {
    let rig = rig().await;
    let mut ids = left_paused(&rig).await;
    assert!(rig.is_paused(Side::Rust).await);
    let counts = rig.queue.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.paused), (6, true));
    let six = six(&rig).await;
    let theirs = rig.agent.call(&six, "getJobCounts", json!(["waiting"])).await.unwrap();
    assert_eq!(theirs["waiting"], 0, "6.7 does not count them until it resumes the queue");
    assert_eq!(rig.ids(Side::Rust, JobState::Waiting).await, ids);
    for id in &ids {
        assert_eq!(rig.view(id).await.unwrap().state, JobState::Waiting);
        assert_eq!(rig.agent.job(&six, id, "getState", json!([])).await.unwrap(), "waiting");
    }
    // Ours goes to `wait`, as 6.7's does.
    ids.push(rig.add(Side::Rust, "echo", json!(6), json!({})).await);
    assert_eq!((list(&rig, "paused").len(), list(&rig, "wait").len()), (6, 1));
    assert_eq!(rig.queue.counts().await.unwrap().waiting, 7);
    let worker = rig.work(Side::Rust, Work::default()).await;
    rig.resume(Side::Rust).await;
    for id in &ids {
        rig.reaches(id, JobState::Completed).await;
    }
    // In the order that they were added: what was paused comes first.
    assert_eq!(*rig.diary.runs.lock().unwrap(), ids);
    assert!(list(&rig, "paused").is_empty());
    worker.close().await;
}

#[tokio::test]
async fn what_a_paused_queue_of_five_holds_is_steered() {
    let rig = rig().await;
    let ids = left_paused(&rig).await;
    assert!(rig.remove(Side::Rust, &ids[1]).await);
    assert_eq!(list(&rig, "paused").len(), 5);
    let cancelled = rig.queue.cancel(ids[2].as_str(), "not now").await;
    assert!(cancelled.is_ok(), "{cancelled:?}");
    assert_eq!(rig.view(&ids[2]).await.unwrap().state, JobState::Failed);
    rig.change_priority(Side::Rust, &ids[3], 7, false).await;
    let moved = rig.view(&ids[3]).await.unwrap();
    assert_eq!(moved.job.priority, 7);
    let cleaned = rig.queue.clean(JobState::Waiting, ms(0), 1, |_| {}).await.unwrap();
    assert_eq!(cleaned.len(), 1);
    rig.drain(Side::Rust, true).await;
    assert!(list(&rig, "paused").is_empty() && list(&rig, "wait").is_empty());
    assert_eq!(rig.queue.counts().await.unwrap().unfinished(), 0);
    assert!(rig.obliterate(Side::Rust, false).await);
    let left: Vec<String> =
        redis::cmd("KEYS").arg(format!("bull:{}:*", rig.name)).query(&mut server::connection()).unwrap();
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn thousands_of_paused_jobs_are_moved_by_our_resume() {
    let rig = rig().await;
    rig.pause(Side::Node).await;
    let jobs: Vec<Value> = (0..7_500).map(|n| json!({ "name": "echo", "data": n })).collect();
    for part in jobs.chunks(2_500) {
        rig.node("addBulk", json!([part])).await;
    }
    assert_eq!(list(&rig, "paused").len(), 7_500);
    let waits = rig.add(Side::Rust, "echo", json!(-1), json!({})).await;
    rig.resume(Side::Rust).await;
    assert_eq!((list(&rig, "paused").len(), list(&rig, "wait").len()), (0, 7_501));
    let order = list(&rig, "wait");
    assert_eq!((order[0].as_str(), order[7_500].as_str()), (waits.as_str(), "1"), "oldest at the tail");
}

#[tokio::test]
async fn five_adds_to_a_queue_that_we_paused_and_nothing_is_lost_if_we_resume() {
    let rig = rig().await;
    let before = rig.add(Side::Rust, "echo", json!(0), json!({})).await;
    rig.pause(Side::Rust).await;
    assert!(rig.is_paused(Side::Node).await);
    let during = rig.add(Side::Node, "echo", json!(1), json!({})).await;
    assert_eq!(list(&rig, "paused"), [during.as_str()], "5.x writes its own list");
    let worker = rig.work(Side::Rust, Work::default()).await;
    rig.resume(Side::Rust).await;
    for id in [&before, &during] {
        rig.reaches(id, JobState::Completed).await;
    }
    worker.close().await;
}

/// This is why 5.x and 6.x must not be mixed while a queue is paused, and it is the same with 6.7 in our place.
#[tokio::test]
async fn a_resume_by_five_forgets_what_waited_in_a_queue_that_we_paused() {
    let rig = rig().await;
    rig.pause(Side::Rust).await;
    let during = rig.add(Side::Node, "echo", json!(1), json!({})).await;
    let ours = rig.add(Side::Rust, "echo", json!(2), json!({})).await;
    let six = six(&rig).await;
    let theirs = rig.agent.call(&six, "add", json!(["echo", 3])).await.unwrap();
    let theirs = theirs["id"].as_str().unwrap().to_owned();
    assert_eq!(list(&rig, "wait"), [theirs.clone(), ours.clone()]);
    rig.resume(Side::Node).await;
    let wait = list(&rig, "wait");
    assert_eq!(wait, [during], "wait was replaced by paused");
    // It is seen: the job is there, and in no list.
    assert_eq!(rig.agent.job(&six, &theirs, "getState", json!([])).await.unwrap(), "unknown");
    assert!(rig.view(&ours).await.is_none());
    let again = rig.queue.add_named("echo", &2).id(ours.as_str()).await;
    assert!(again.is_err(), "{again:?}");
}

#[tokio::test]
async fn a_repeatable_job_of_five_is_done_once_and_stays_readable() {
    let rig = rig().await;
    rig.node("add", json!(["echo", { "n": 1 }, { "repeat": { "every": 100 } }])).await;
    let worker = rig.work(Side::Rust, Work::default()).await;
    until("it is done", || async { rig.queue.counts().await.unwrap().completed == 1 }).await;
    let done = rig.ids(Side::Rust, JobState::Completed).await;
    assert_eq!(rig.outcome(Side::Node, &done[0]).await, Ok(json!({ "n": 1 })));
    let view = rig.view(&done[0]).await.unwrap();
    assert!(view.job.options().other.contains_key("repeat"), "its options say what it is: {}", view.job.opts);
    assert!(view.job.timestamp > Timestamp::EPOCH);
    let repeatables = rig.node("getRepeatableJobs", json!([])).await;
    assert_eq!(repeatables.as_array().unwrap().len(), 1, "5.x still has it");
    worker.close().await;
}

#[tokio::test]
async fn what_five_does_to_a_queue_is_told() {
    let rig = rig().await;
    left_paused(&rig).await;
    let store = oxmq_redis::RedisStore::open(&server::url()).await.unwrap();
    let request = oxmq_core::store::AnnounceRequest {
        worker: WorkerInfo {
            id: "w".into(),
            name: None,
            host: "here".into(),
            pid: 1,
            version: "0.1.0".into(),
            concurrency: 1,
            active: 0,
            started_at: 0,
            last_take_at: None,
        },
        ttl: ms(60_000),
        renews: false,
        now: rig.queue.clock().now(),
    };
    for _ in 0..2 {
        store.announce(rig.queue.address(), request.clone()).await.unwrap();
    }
    let of_queue: Vec<_> =
        store.warnings().into_iter().filter(|warning| warning.contains(&rig.name)).collect();
    assert_eq!(of_queue.len(), 2, "{of_queue:?}");
    assert!(of_queue[0].contains("bullmq:5.81.5") && of_queue[1].contains("`paused`"), "{of_queue:?}");
}
