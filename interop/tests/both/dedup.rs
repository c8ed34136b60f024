//! Deduplication: ids that one side takes, and the other hits.

use oxmq_core::store::Fate;
use oxmq_core::{JobOptions, JobState};
use oxmq_interop::{Rig, Side, Work, keyspace, until};
use serde_json::{Value, json};

fn once(id: &str, mut deduplication: Value) -> Value {
    deduplication["id"] = id.into();
    json!({ "deduplication": deduplication })
}

fn later(mut opts: Value, delay: u64) -> Value {
    opts["delay"] = delay.into();
    opts
}

/// What is left when `first` takes each id and `second` hits it, and `works` runs the jobs.
async fn left(first: Side, second: Side, works: Side) -> Value {
    let rig = Rig::new().await;
    let add = async |side: Side, n: u32, opts: &Value| rig.add(side, "echo", json!(n), opts.clone()).await;

    let simple = once("simple/ü id", json!({}));
    assert_eq!(add(first, 1, &simple).await, "1");
    assert_eq!(add(second, 2, &simple).await, "1");
    for side in Side::BOTH {
        assert_eq!(owner(&rig, side, "simple/ü id").await.as_deref(), Some("1"));
    }
    let throttle = once("throttle", json!({ "ttl": 600_000 }));
    assert_eq!(add(first, 3, &throttle).await, "3");
    assert_eq!(add(second, 4, &throttle).await, "3");
    let extend = once("extend", json!({ "ttl": 600_000, "extend": true }));
    assert_eq!(add(first, 5, &extend).await, "5");
    assert_eq!(add(second, 6, &extend).await, "5");
    let debounce = once("debounce", json!({ "ttl": 600_000, "extend": true, "replace": true }));
    assert_eq!(add(first, 7, &later(debounce.clone(), 600_000)).await, "7");
    assert_eq!(add(second, 8, &later(debounce, 600_000)).await, "8");
    let keeps_ttl = once("replace", json!({ "ttl": 600_000, "replace": true }));
    assert_eq!(add(first, 9, &later(keeps_ttl.clone(), 600_000)).await, "9");
    assert_eq!(add(second, 10, &later(keeps_ttl, 600_000)).await, "10");
    assert_eq!(add(first, 11, &later(once("reschedule", json!({})), 600_000)).await, "11");
    let reschedule = once("reschedule", json!({ "reschedule": true }));
    assert_eq!(add(second, 12, &later(reschedule, 900_000)).await, "11");

    let last = once("last", json!({ "keepLastIfActive": true }));
    let gate = format!("{} gate", rig.name);
    let held = rig.add(first, "hold", json!({ "gate": gate }), last.clone()).await;
    let worker = rig.work(works, Work::default()).await;
    rig.holds(works, &worker, &held).await;
    assert_eq!(add(second, 14, &last).await, held);
    assert_eq!(add(first, 15, &last).await, held);
    rig.open(&gate).await;
    rig.reaches("15", JobState::Completed).await;
    for side in Side::BOTH {
        assert_eq!(owner(&rig, side, "last").await, None, "it has finished");
        assert_eq!(owner(&rig, side, "throttle").await.as_deref(), Some("3"), "taken for its ttl");
    }
    release(&rig, second, "throttle").await;
    assert_eq!(owner(&rig, first, "throttle").await, None);
    worker.close().await;
    rig.remove(second, "10").await;
    assert_eq!(owner(&rig, first, "replace").await, None);
    keyspace::of(&[&rig], &[])
}

async fn owner(rig: &Rig, side: Side, id: &str) -> Option<String> {
    match side {
        Side::Node => rig.node("getDeduplicationJobId", json!([id])).await.as_str().map(str::to_owned),
        Side::Rust => rig.queue.deduplication_owner(id).await.unwrap().map(|id| id.to_string()),
    }
}

async fn release(rig: &Rig, side: Side, id: &str) {
    match side {
        Side::Node => drop(rig.node("removeDeduplicationKey", json!([id])).await),
        Side::Rust => assert!(rig.queue.release_deduplication(id).await.unwrap()),
    }
}

#[tokio::test]
async fn ids_are_taken_and_hit_by_either_side() {
    let node = left(Side::Node, Side::Node, Side::Node).await;
    for (first, second, works) in [
        (Side::Rust, Side::Rust, Side::Rust),
        (Side::Node, Side::Rust, Side::Node),
        (Side::Rust, Side::Node, Side::Rust),
        (Side::Node, Side::Rust, Side::Rust),
        (Side::Rust, Side::Node, Side::Node),
    ] {
        let ours = left(first, second, works).await;
        let nothing = Value::Null;
        for key in node.as_object().unwrap().keys().chain(ours.as_object().unwrap().keys()) {
            let get = |side: &Value| side.get(key).unwrap_or(&nothing).clone();
            assert_eq!(get(&node), get(&ours), "{first:?} {second:?} {works:?}: {key}");
        }
    }
}

#[tokio::test]
async fn of_many_adds_by_both_sides_at_once_one_is_new() {
    let rig = Rig::new().await;
    let opts = once("x", json!({}));
    let parsed = JobOptions::parse(&opts.to_string()).unwrap();
    let ours = async || {
        let mut new = 0;
        for n in 0..50 {
            let added = rig.queue.add_named("echo", &n).options(parsed.clone()).await.unwrap();
            new += usize::from(added.fate == Fate::Created);
        }
        new
    };
    let theirs = async || {
        for n in 0..50 {
            rig.add(Side::Node, "echo", json!(n), opts.clone()).await;
        }
    };
    let (new, ()) = tokio::join!(ours(), theirs());
    assert!(new <= 1, "{new} of ours");
    assert_eq!(rig.counts(Side::Rust).await["waiting"], 1);
    let worker = rig.work(Side::Node, Work::default()).await;
    until("the job is done", || async { rig.counts(Side::Rust).await["completed"] == 1 }).await;
    worker.close().await;
    let added = rig.queue.add_named("echo", &0).options(parsed).await.unwrap();
    assert_eq!(added.fate, Fate::Created);
}
