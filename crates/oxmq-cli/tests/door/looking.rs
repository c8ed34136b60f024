//! Counts, states, fields, metrics.

use serde_json::{Value, json};

use crate::support::{Backend, ctx};

#[test]
fn jobs_are_counted_and_found_by_their_state() {
    let backend = Backend::start();
    backend.add(json!({}));
    backend.add(json!({ "priority": 4 }));
    backend.add(json!({ "delay": 100 }));
    backend.add(json!({ "delay": 900 }));
    backend.take("t");
    assert_eq!(
        backend.counts(&["active", "wait", "prioritized", "delayed", "zzz", "repeat"]),
        [1, 0, 1, 2, 0, 0]
    );
    let due = json!({ "types": ["delayed", "active"], "delayedTimestamp": backend.now() + 500 });
    assert_eq!(backend.call("getCounts", due), json!([1, 1]));
    assert_eq!(backend.call("getCountsPerPriority", json!({ "priorities": [0, 4, 5] })), json!([0, 1, 0]));
    let state = |id: &str| backend.call("getState", json!({ "jobId": id }));
    assert_eq!(
        [state("1"), state("2"), state("3"), state("9")],
        ["active", "prioritized", "delayed", "unknown"]
    );
    let is_in = |state: &str| backend.call("isJobInState", json!({ "state": state, "jobId": "3" }));
    assert_eq!([is_in("delayed"), is_in("waiting"), is_in("paused")], [true, false, false]);
    assert_eq!(
        backend.refusal("isJobInState", json!({ "state": "zzz", "jobId": "3" })).0,
        "Unknown job state: zzz"
    );
    let finished = |id: &str| backend.call("isFinished", json!({ "jobId": id, "returnValue": true }));
    assert_eq!(finished("1"), json!([0]));
    assert_eq!(finished("9"), json!([-1, "Missing key for job bull:q:9. isFinished"]));
    assert_eq!(backend.call("isFinished", json!({ "jobId": "9" })), -1);
}

#[test]
fn a_long_list_comes_whole() {
    let backend = Backend::start();
    let job = backend.job(json!({}));
    for _ in 0..5 {
        let entries = vec![job.clone(); 500];
        backend.call("addJobs", json!({ "entries": entries }));
    }
    let range = |start: i64, end: i64| {
        let ranges =
            backend.call("getRanges", json!({ "types": ["wait", "zzz"], "start": start, "end": end }));
        assert_eq!(ranges[1], json!([]));
        ranges[0]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_str().unwrap().parse().unwrap())
            .collect::<Vec<u32>>()
    };
    assert_eq!(range(0, -1), (1..=2_500).rev().collect::<Vec<_>>());
    assert_eq!(range(2_490, 9_999), (1..=10).rev().collect::<Vec<_>>());
    assert_eq!(range(-3, -2), [3, 2]);
    assert_eq!(range(5, 4), Vec::<u32>::new());
}

#[test]
fn fields_of_a_queue_are_what_other_calls_set() {
    let backend = Backend::start();
    let set = |values: Value| backend.call("setQueueMeta", json!({ "values": values }));
    assert_eq!(set(json!({ "opts.maxLenEvents": 10_000, "version": "bullmq:6.7.0" })), 2);
    assert_eq!(set(json!({ "version": "bullmq:6.8.0" })), 0);
    let meta = || backend.call("getQueueMeta", json!({}));
    assert_eq!(meta(), json!({ "opts.maxLenEvents": "10000", "version": "bullmq:6.8.0" }));
    assert_eq!(
        backend.call("getQueueMetaFields", json!({ "fields": ["version", "x"] })),
        json!(["bullmq:6.8.0", null])
    );
    assert_eq!(backend.call("hasQueueMetaField", json!({ "field": "paused" })), false);
    backend.call("pause", json!({ "pause": true }));
    assert_eq!(backend.call("hasQueueMetaField", json!({ "field": "paused" })), true);
    backend.call("pause", json!({ "pause": false }));
    set(json!({ "concurrency": 1, "max": 5, "duration": 1_000 }));
    backend.add(json!({}));
    backend.add(json!({}));
    assert_eq!(backend.call("isMaxed", json!({})), false);
    backend.take("t");
    assert_eq!(backend.call("isMaxed", json!({})), true);
    assert_eq!(backend.call("moveToActive", json!({ "token": "t", "ctx": ctx() })), json!([null, 0, 0, 0]));
    assert_eq!(backend.call("removeQueueMetaFields", json!({ "fields": ["concurrency", "max", "x"] })), 2);
    assert_eq!(backend.call("isMaxed", json!({})), false);
    backend.take("t");
    assert!(
        backend
            .refusal("setQueueMeta", json!({ "values": { "concurrency": "many" } }))
            .0
            .contains("concurrency")
    );
}

#[test]
fn what_ended_is_counted_by_the_minute() {
    let backend = Backend::start();
    let metrics = |kind: &str| backend.call("getMetrics", json!({ "type": kind, "start": 0, "end": -1 }));
    assert_eq!(metrics("completed"), json!([[null, null, null], [], 0]));
    let mut ctx = ctx();
    ctx["metrics"] = json!({ "maxDataPoints": 10 });
    let mut last = backend.now();
    for _ in 0..3 {
        let id = backend.add(json!({}));
        backend.take("t");
        last = backend.now();
        backend.call(
            "moveToCompleted",
            json!({ "job": { "id": id, "opts": {} }, "token": "t", "fetchNext": false, "ctx": ctx }),
        );
        backend.advance(60_000);
    }
    let expected = json!([["3", last.to_string(), "2"], ["1", "1"], 2]);
    assert_eq!(metrics("completed"), expected);
    assert_eq!(metrics("failed"), json!([[null, null, null], [], 0]));
    assert_eq!(metrics("zzz"), json!([[null, null, null], [], 0]));
}
