//! Every option of a job: stored by one side, shown and obeyed by the other.

use oxmq_core::JobState;
use oxmq_interop::agent::undefined;
use oxmq_interop::{Rig, Side, Work, server, until};
use serde_json::{Value, json};

use crate::getters::masked;

fn every_option() -> Vec<Value> {
    vec![
        json!({}),
        json!({ "attempts": 0 }),
        json!({ "attempts": 1 }),
        json!({ "attempts": 7 }),
        json!({ "backoff": 250 }),
        json!({ "backoff": { "type": "fixed", "delay": 10 } }),
        json!({ "backoff": { "type": "fixed", "delay": 10, "jitter": 0.5 } }),
        json!({ "backoff": { "type": "exponential", "delay": 1_000 } }),
        json!({ "backoff": { "type": "exponential", "delay": 1_000, "jitter": 1 } }),
        json!({ "backoff": { "type": "mine", "delay": 3 } }),
        json!({ "removeOnComplete": true, "removeOnFail": true }),
        json!({ "removeOnComplete": false, "removeOnFail": false }),
        json!({ "removeOnComplete": 5, "removeOnFail": 0 }),
        json!({ "removeOnComplete": { "count": 3 }, "removeOnFail": { "age": 60 } }),
        json!({ "removeOnComplete": { "count": 3, "age": 60, "limit": 10 } }),
        json!({ "keepLogs": 3 }),
        json!({ "stackTraceLimit": 0 }),
        json!({ "stackTraceLimit": 2 }),
        json!({ "sizeLimit": 100 }),
        json!({ "timestamp": 1_712_345_678_901_u64 }),
        json!({ "timestamp": 1_712_345_678_901_u64, "delay": 4_000_000_000_000_u64 / 8 }),
        json!({ "priority": 2_097_151 }),
        json!({ "priority": 0 }),
        json!({ "lifo": true }),
        json!({ "lifo": false }),
        json!({ "jobId": "own/ü id" }),
        json!({ "jobId": "a:b:c" }),
        json!({ "jobId": "007" }),
        json!({ "mine": { "text": "a/b \u{7f} ü", "list": [1, null, "x"], "yes": true, "number": 1.5 } }),
    ]
}

/// The options as they lie in Redis.
fn raw_options(queue: &str, id: &str) -> Value {
    let text: String = redis::cmd("HGET")
        .arg(format!("bull:{queue}:{id}"))
        .arg("opts")
        .query(&mut server::connection())
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A number on its own is stored as an object by either side, but not the same one.
fn meaning(mut opts: Value) -> Value {
    assert!(opts.is_object(), "{opts}");
    for kept in ["removeOnComplete", "removeOnFail"] {
        if let Some(value) = opts.get_mut(kept) {
            *value = match &*value {
                Value::Number(n) => json!({ "count": n }),
                Value::Bool(true) => json!({ "count": 0 }),
                other => other.clone(),
            };
        }
    }
    // A jitter of 1 and of 1.0 is one.
    if let Some(jitter) = opts.get_mut("backoff").and_then(|backoff| backoff.get_mut("jitter")) {
        *jitter = json!(jitter.as_f64());
    }
    opts
}

#[tokio::test]
async fn options_are_stored_alike_and_shown_alike() {
    let queues = [(Side::Node, Rig::new().await), (Side::Rust, Rig::new().await)];
    for opts in every_option() {
        let mut made = Vec::new();
        for (side, rig) in &queues {
            rig.pause(*side).await;
            let id = rig.add(*side, "echo", json!({ "n": 1 }), opts.clone()).await;
            let (node, ours) = (rig.shown(Side::Node, &id).await, rig.shown(Side::Rust, &id).await);
            let alike = |mut job: Value| {
                job["opts"] = meaning(job["opts"].take());
                job
            };
            assert_eq!(alike(ours), alike(node.clone()), "{side:?} made it with {opts}");
            made.push((alike(masked(node)), meaning(raw_options(&rig.name, &id))));
        }
        assert_eq!(made[0].0, made[1].0, "as Node shows it: {opts}");
        assert_eq!(made[0].1, made[1].1, "as it is stored: {opts}");
    }
}

#[tokio::test]
async fn what_both_refuse() {
    let rig = Rig::new().await;
    for opts in [
        json!({ "jobId": "12" }),
        json!({ "jobId": "-7" }),
        json!({ "jobId": "a:b" }),
        json!({ "jobId": "0" }),
        json!({ "jobId": "0:x:y" }),
        json!({ "priority": 2_097_152 }),
        json!({ "priority": 1.5 }),
        json!({ "sizeLimit": 5 }),
        json!({ "backoff": { "type": "fixed", "delay": 1, "jitter": 2 } }),
    ] {
        let node = rig.agent.call(&rig.name, "add", json!(["x", { "text": "ü" }, opts])).await;
        assert!(node.is_err(), "Node adds with {opts}: {node:?}");
        let ours = async {
            let opts = oxmq_core::JobOptions::parse(&opts.to_string())?;
            rig.queue.add_named("x", &json!({ "text": "ü" })).options(opts).await
        };
        assert!(ours.await.is_err(), "we add with {opts}");
    }
    // Bytes of UTF-8 count: {"text":"ü"} has 13.
    for (limit, fits) in [(12, false), (13, true)] {
        let node =
            rig.agent.call(&rig.name, "add", json!(["x", { "text": "ü" }, { "sizeLimit": limit }])).await;
        assert_eq!(node.is_ok(), fits, "{limit}");
        assert_eq!(rig.queue.add_named("x", &json!({ "text": "ü" })).size_limit(limit).await.is_ok(), fits);
    }
}

#[tokio::test]
async fn a_custom_id_is_one_job_whoever_adds_it_again() {
    for first in Side::BOTH {
        let rig = Rig::new().await;
        let opts = json!({ "jobId": "order-17" });
        for (side, data) in [(first, 1), (first.other(), 2), (first, 3)] {
            assert_eq!(rig.add(side, "echo", json!({ "n": data }), opts.clone()).await, "order-17");
        }
        let next = rig.add(first.other(), "echo", json!({}), json!({})).await;
        assert_eq!(next, "4", "each of them used up a number");
        for side in Side::BOTH {
            assert_eq!(rig.shown(side, "order-17").await["data"], json!({ "n": 1 }));
            assert_eq!(rig.ids(side, JobState::Waiting).await, ["order-17", "4"]);
        }
        let worker = rig.work(first.other(), Work::default()).await;
        assert_eq!(rig.outcome(first, "order-17").await, Ok(json!({ "n": 1 })));
        let again = rig.add(first.other(), "echo", json!({ "n": 9 }), opts.clone()).await;
        assert_eq!(rig.outcome(first, &again).await, Ok(json!({ "n": 1 })), "done is done");
        worker.close().await;
    }
}

#[tokio::test]
async fn what_is_kept_of_finished_jobs_is_the_jobs_choice() {
    for works in Side::BOTH {
        for (state, name, option) in
            [(JobState::Completed, "echo", "removeOnComplete"), (JobState::Failed, "fail", "removeOnFail")]
        {
            for (keep, left) in [
                (json!(true), 0),
                (json!(false), 4),
                (json!(0), 0),
                (json!(2), 2),
                (json!({ "count": 1 }), 1),
                (json!({ "count": -1 }), 4),
                (json!({ "age": 3_600 }), 4),
                (json!({ "age": 3_600, "count": 3 }), 3),
            ] {
                let rig = Rig::new().await;
                let mut ids = Vec::new();
                for _ in 0..4 {
                    ids.push(
                        rig.add(works.other(), name, json!({ "message": "x" }), json!({ option: keep }))
                            .await,
                    );
                }
                let worker = rig.work(works, Work::default()).await;
                until("all have ended", || async {
                    let counts = rig.queue.counts().await.unwrap();
                    counts.unfinished() == 0
                })
                .await;
                worker.close().await;
                let newest = ids[4 - left..].to_vec();
                for side in Side::BOTH {
                    assert_eq!(rig.ids(side, state).await, newest, "{works:?} {option}: {keep}");
                }
                let hashes: Vec<String> = redis::cmd("KEYS")
                    .arg(format!("bull:{}:[0-9]*", rig.name))
                    .query(&mut server::connection())
                    .unwrap();
                assert_eq!(hashes.len(), left, "nothing else is left: {hashes:?}");
            }
        }
    }
}

#[tokio::test]
async fn stacks_are_kept_up_to_the_jobs_limit() {
    for works in Side::BOTH {
        for (limit, kept) in [(json!(0), 0), (json!(2), 2), (Value::Null, 3)] {
            let rig = Rig::new().await;
            let mut opts = json!({ "attempts": 3 });
            if !limit.is_null() {
                opts["stackTraceLimit"] = limit.clone();
            }
            let id = rig.add(works.other(), "fail", json!({ "message": "no" }), opts).await;
            let worker = rig.work(works, Work::default()).await;
            rig.reaches(&id, JobState::Failed).await;
            for side in Side::BOTH {
                let shown = rig.shown(side, &id).await;
                let stacks = shown.get("stacktrace").map_or(0, |stacks| stacks.as_array().unwrap().len());
                assert_eq!(stacks, kept, "{works:?} {side:?} {limit}");
            }
            worker.close().await;
        }
    }
}

#[tokio::test]
async fn what_only_node_can_add_is_worked_on() {
    let rig = Rig::new().await;
    rig.pause(Side::Rust).await;
    let nothing = rig.node("add", json!(["echo", undefined()])).await["id"].as_str().unwrap().to_owned();
    let null = rig.add(Side::Node, "echo", json!(null), json!({})).await;
    let first = rig.add(Side::Node, "echo", json!(1), json!({ "priority": -5 })).await;
    let broken = rig.add(Side::Node, "echo", json!(2), json!({ "delay": 100.5, "mine": [] })).await;
    let early = rig.add(Side::Node, "echo", json!(3), json!({ "delay": -5 })).await;
    assert_eq!(rig.ids(Side::Rust, JobState::Prioritized).await, [first.as_str()]);
    rig.resume(Side::Rust).await;
    let worker = rig.work(Side::Rust, Work::default()).await;
    assert_eq!(rig.outcome(Side::Node, &nothing).await, Ok(json!({})));
    assert_eq!(rig.outcome(Side::Node, &null).await, Ok(json!(null)));
    assert_eq!(rig.outcome(Side::Node, &first).await, Ok(json!(1)));
    assert_eq!(rig.outcome(Side::Node, &broken).await, Ok(json!(2)));
    assert_eq!(rig.outcome(Side::Node, &early).await, Ok(json!(3)));
    worker.close().await;
}
