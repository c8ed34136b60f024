//! What the getters of one side show of the other side's jobs, field by field.

use oxmq_core::JobState;
use oxmq_interop::{Rig, Side, Work, until};
use serde_json::{Value, json};

/// Without what differs from job to job: the id, times, the rest of a delay of a minute, and what a stack looks like.
pub(crate) fn masked(mut job: Value) -> Value {
    for time in ["id", "timestamp", "processedOn", "finishedOn"] {
        if let Some(value) = job.get_mut(time) {
            assert!(
                value.is_string() || value.as_i64().is_some_and(|ms| ms > 1_700_000_000_000),
                "{time}: {value}"
            );
            *value = "..".into();
        }
    }
    // Ours is what was left of the delay when it was written: a moment less.
    if job["delay"].as_u64().is_some_and(|delay| (55_000..60_000).contains(&delay)) {
        job["delay"] = 60_000.into();
    }
    if let Some(gate) = job["data"].get_mut("gate") {
        *gate = "..".into();
    }
    if let Some(Value::Array(stacks)) = job.get_mut("stacktrace") {
        *stacks = vec![json!(stacks.len())];
    }
    job
}

/// A job in each state, made and moved by these sides. Answers with what both show.
async fn in_each_state(adds: Side, works: Side) -> Vec<(JobState, Value)> {
    let rig = Rig::new().await;
    let opts =
        || json!({ "attempts": 2, "backoff": 60_000, "keepLogs": 4, "removeOnFail": { "age": 3_600 } });
    let with = |name: &str, value: Value| {
        let mut opts = opts();
        opts[name] = value;
        opts
    };
    let gate = format!("{} gate", rig.name);
    let worker = rig.work(works, Work { name: Some("ann".into()), ..Work::default() }).await;
    let completed = rig.add(adds, "note", json!({ "progress": { "at": 7 }, "lines": ["a"] }), opts()).await;
    rig.reaches(&completed, JobState::Completed).await;
    let failed = rig.add(adds, "fail", json!({ "message": "no" }), json!({})).await;
    rig.reaches(&failed, JobState::Failed).await;
    let retried = rig.add(adds, "fail", json!({ "message": "once" }), opts()).await;
    rig.reaches(&retried, JobState::Delayed).await;
    let active = rig.add(adds, "hold", json!({ "gate": gate }), opts()).await;
    rig.holds(works, &worker, &active).await;
    let waiting = rig.add(adds, "echo", json!({}), opts()).await;
    let prioritized = rig.add(adds, "echo", json!({}), with("priority", json!(9))).await;
    let delayed = rig.add(adds, "echo", json!({}), with("delay", json!(90_000))).await;
    let mut shown = Vec::new();
    for (id, state) in [
        (waiting, JobState::Waiting),
        (prioritized, JobState::Prioritized),
        (delayed, JobState::Delayed),
        (retried, JobState::Delayed),
        (active, JobState::Active),
        (completed, JobState::Completed),
        (failed, JobState::Failed),
    ] {
        let job = rig.shown(Side::Node, &id).await;
        assert_eq!(job["state"], state.as_str(), "{adds:?} {works:?}");
        assert_eq!(rig.shown(Side::Rust, &id).await, job, "both see the same: {adds:?} {works:?} {state}");
        for side in Side::BOTH {
            assert!(rig.ids(side, state).await.contains(&id), "{adds:?} {works:?} {state}");
        }
        shown.push((state, masked(job)));
    }
    let counts = rig.counts(Side::Node).await;
    assert_eq!(counts, rig.counts(Side::Rust).await);
    rig.open(&gate).await;
    until("they are done", || async { rig.counts(Side::Node).await["completed"] == 4 }).await;
    worker.close().await;
    shown
}

#[tokio::test]
async fn a_job_looks_the_same_whoever_made_and_moved_it() {
    let pattern = in_each_state(Side::Node, Side::Node).await;
    for (adds, works) in [(Side::Rust, Side::Node), (Side::Node, Side::Rust), (Side::Rust, Side::Rust)] {
        for ((state, job), (_, expected)) in in_each_state(adds, works).await.into_iter().zip(&pattern) {
            assert_eq!(&job, expected, "{adds:?} adds, {works:?} works: {state}");
        }
    }
}

#[tokio::test]
async fn pages_are_the_same_from_both_sides() {
    let rig = Rig::new().await;
    for n in 0..25 {
        rig.add(if n % 2 == 0 { Side::Node } else { Side::Rust }, "echo", json!(n), json!({})).await;
        rig.add(
            if n % 2 == 0 { Side::Rust } else { Side::Node },
            "echo",
            json!(n),
            json!({ "priority": n % 3 + 1 }),
        )
        .await;
        rig.add(
            if n % 2 == 0 { Side::Rust } else { Side::Node },
            "echo",
            json!(n),
            json!({ "delay": 50_000 }),
        )
        .await;
    }
    for state in [JobState::Waiting, JobState::Prioritized, JobState::Delayed] {
        assert_eq!(rig.ids(Side::Node, state).await, rig.ids(Side::Rust, state).await, "{state}");
    }
    let per_priority = rig.node("getCountsPerPriority", json!([[0, 1, 2, 3]])).await;
    assert_eq!(per_priority, json!({ "0": 25, "1": 9, "2": 8, "3": 8 }));
}

#[tokio::test]
async fn each_side_lists_the_workers_of_both_by_name() {
    let rig = Rig::new().await;
    let bob = rig.work(Side::Rust, Work { name: Some("bob ü:1".into()), ..Work::default() }).await;
    let ann = rig.work(Side::Node, Work { name: Some("ann".into()), ..Work::default() }).await;
    until("Node sees both", || async {
        let workers = rig.node("getWorkers", json!([])).await;
        let mut names: Vec<&str> =
            workers.as_array().unwrap().iter().filter_map(|worker| worker["name"].as_str()).collect();
        names.sort_unstable();
        names.len() == 2 && names.iter().all(|name| !name.is_empty())
    })
    .await;
    let workers = rig.node("getWorkers", json!([])).await;
    let raw: Vec<&str> =
        workers.as_array().unwrap().iter().filter_map(|worker| worker["rawname"].as_str()).collect();
    assert!(raw.iter().any(|name| name.ends_with(":w:bob__:1")), "{raw:?}");
    assert!(raw.iter().any(|name| name.ends_with(":w:ann")), "{raw:?}");
    let ours = || async {
        let workers = rig.queue.workers().await.unwrap();
        let mut names: Vec<_> = workers.into_iter().map(|worker| worker.name.unwrap_or_default()).collect();
        names.sort_unstable();
        names
    };
    until("we see both", || async { ours().await == ["ann", "bob ü:1"] }).await;
    bob.close().await;
    until("we see that ours has gone", || async { ours().await == ["ann"] }).await;
    ann.close().await;
    until("we see that both have gone", || async { ours().await.is_empty() }).await;
}

#[tokio::test]
async fn a_side_waits_for_a_job_that_the_other_does() {
    for works in Side::BOTH {
        let waits = works.other();
        let rig = Rig::new().await;
        let gate = format!("{} gate", rig.name);
        let worker = rig.work(works, Work { concurrency: 3, ..Work::default() }).await;
        let id = rig.add(waits, "hold", json!({ "gate": gate }), json!({})).await;
        rig.holds(works, &worker, &id).await;
        assert_eq!(rig.outcome_once_waited_for(waits, &id, &gate).await, Ok(json!("released")));
        // One that is removed as it ends is seen by who began to wait before.
        let (gate, opts) = (format!("{gate} 2"), json!({ "removeOnComplete": true }));
        let gone = rig.add(waits, "hold", json!({ "gate": gate }), opts).await;
        rig.holds(works, &worker, &gone).await;
        assert_eq!(rig.outcome_once_waited_for(waits, &gone, &gate).await, Ok(json!("released")));
        assert!(rig.view(&gone).await.is_none());
        worker.close().await;
    }
}
