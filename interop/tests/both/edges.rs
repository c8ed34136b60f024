//! Where the two could differ: prefixes, bulk, what only one of them has.

use std::time::Duration;

use oxmq_core::store::{CancelAnswer, LogsRequest};
use oxmq_core::{EventCursor, EventKind, JobOptions, JobState, JsonText, NewJob, Notice, Order, Queue};
use oxmq_interop::{Rig, Side, Work, ms, server, until};
use serde_json::{Value, json};

#[tokio::test]
async fn a_prefix_with_colons_is_the_same_queue() {
    for (index, prefix) in ["my:app", "{tag}", "ü", "a b"].into_iter().enumerate() {
        let rig = Rig::new().await;
        let (name, options) = (format!("prefixed ü/ {index}"), json!({ "prefix": prefix }));
        rig.agent.make("Queue", &name, &name, options.clone(), 6).await;
        let queue = Queue::builder(&rig.store, &name).prefix(prefix).build().unwrap();
        let id = queue.add_named("echo", &json!({ "by": "us" })).await.unwrap().id;
        let shown = rig.agent.ask(json!({ "do": "job", "on": name, "job": id.as_str() })).await.unwrap();
        assert_eq!(shown["data"], json!({ "by": "us" }), "{prefix}");
        assert_eq!(shown["queueQualifiedName"], queue.address().to_string());
        let worker = format!("{name} worker");
        rig.agent.make("Worker", &worker, &name, options, 6).await;
        let outcome = queue.wait_for(&id, Some(Duration::from_secs(10))).await.unwrap();
        assert_eq!(outcome, oxmq_core::JobOutcome::Completed(JsonText::stored(r#"{"by":"us"}"#)));
        rig.agent.close(&worker, json!([])).await;
        rig.agent.close(&name, json!([])).await;
    }
}

#[tokio::test]
async fn bulks_are_the_same_from_both_sides() {
    let kinds = [
        json!({}),
        json!({ "lifo": true }),
        json!({ "priority": 2 }),
        json!({ "priority": 1 }),
        json!({ "delay": 60_000, "timestamp": 1_900_000_000_000_u64 }),
        json!({ "delay": 50_000, "timestamp": 1_900_000_000_000_u64 }),
        json!({ "jobId": "own" }),
        json!({ "jobId": "own" }),
        json!({ "attempts": 3 }),
    ];
    let mut pattern = None;
    for side in Side::BOTH {
        let rig = Rig::new().await;
        rig.pause(side).await;
        match side {
            Side::Node => {
                let jobs: Vec<Value> =
                    kinds.iter().map(|opts| json!({ "name": "echo", "data": 1, "opts": opts })).collect();
                rig.node("addBulk", json!([jobs])).await;
            }
            Side::Rust => {
                let jobs = kinds.iter().map(|opts| NewJob {
                    name: "echo".into(),
                    data: JsonText::stored("1"),
                    options: JobOptions::parse(&opts.to_string()).unwrap(),
                });
                rig.queue.add_bulk(jobs.collect()).await.unwrap();
            }
        }
        let mut seen = Vec::new();
        for looks in Side::BOTH {
            let mut states = Vec::new();
            for state in [JobState::Waiting, JobState::Prioritized, JobState::Delayed] {
                states.push(rig.ids(looks, state).await);
            }
            seen.push(states);
        }
        assert_eq!(seen[0], seen[1], "{side:?}");
        assert_eq!(&seen[0], pattern.get_or_insert_with(|| seen[0].clone()), "{side:?}");
    }
}

#[tokio::test]
async fn what_our_jobs_have_more_is_carried_by_node() {
    let rig = Rig::new().await;
    let id = rig
        .queue
        .add_named("echo", &json!(1))
        .timeout(ms(60_000))
        .ttl(ms(50_000))
        .attempts(2)
        .await
        .unwrap()
        .id;
    let shown = rig.shown(Side::Node, id.as_str()).await;
    assert_eq!(shown["opts"]["oxmq"], json!({ "timeout": 60_000, "ttl": 50_000 }));
    let node = rig.work(Side::Node, Work::default()).await;
    assert_eq!(rig.outcome(Side::Rust, id.as_str()).await, Ok(json!(1)));
    let options = rig.view(id.as_str()).await.unwrap().job.options();
    assert_eq!((options.timeout, options.ttl), (Some(ms(60_000)), Some(ms(50_000))));
    node.close().await;
}

/// BullMQ's options go through the server's JSON: what they lose there, ours keep.
#[tokio::test]
async fn options_of_ones_own_keep_more_with_us() {
    let rig = Rig::new().await;
    let own = json!({ "mine": { "empty": [], "digits": 123_456_789_012_345_u64 } });
    let node = rig.add(Side::Node, "echo", json!(1), own.clone()).await;
    let ours = rig.add(Side::Rust, "echo", json!(1), own.clone()).await;
    for side in Side::BOTH {
        let lost = rig.shown(side, &node).await["opts"]["mine"].take();
        assert_eq!(lost["empty"], json!({}), "an empty array is an empty object");
        assert_eq!(lost["digits"].as_f64(), Some(123_456_789_012_340.0), "14 digits");
        assert_eq!(rig.shown(side, &ours).await["opts"], own);
    }
}

#[tokio::test]
async fn a_job_that_we_cancel_has_failed_for_node() {
    let rig = Rig::new().await;
    let events = rig.make("QueueEvents", json!({})).await;
    for opts in [json!({}), json!({ "priority": 2 }), json!({ "delay": 60_000 })] {
        let id = rig.add(Side::Node, "echo", json!(1), opts).await;
        assert_eq!(rig.queue.cancel(id.as_str(), "not now").await.unwrap(), CancelAnswer::Cancelled);
        let shown = rig.shown(Side::Node, &id).await;
        assert_eq!(
            (&shown["state"], &shown["failedReason"]),
            (&json!("failed"), &json!("cancelled: not now"))
        );
        assert_eq!(rig.outcome(Side::Node, &id).await, Err("cancelled: not now".into()));
        until("Node hears of it", || async {
            let told = rig.agent.told(&events);
            told.iter().any(|line| line["event"] == "failed" && line["fields"]["jobId"] == id.as_str())
        })
        .await;
        rig.retry(Side::Node, &id, JobState::Failed).await;
    }
    rig.agent.close(&events, json!([])).await;
}

#[tokio::test]
async fn a_job_that_node_runs_cannot_be_cancelled() {
    let rig = Rig::new().await;
    let gate = format!("{} gate", rig.name);
    let node = rig.work(Side::Node, Work { name: Some("ann".into()), ..Work::default() }).await;
    let id = rig.add(Side::Rust, "hold", json!({ "gate": gate }), json!({})).await;
    rig.holds(Side::Node, &node, &id).await;
    let answer = rig.queue.cancel(id.as_str(), "now").await.unwrap();
    assert_eq!(answer, CancelAnswer::Unreachable { worker: Some("ann".into()) });
    rig.open(&gate).await;
    assert_eq!(rig.outcome(Side::Rust, &id).await, Ok(json!("released")));
    node.close().await;
}

#[tokio::test]
async fn a_retry_can_count_anew_on_both_sides() {
    let mut pattern = None;
    for steers in Side::BOTH {
        let rig = Rig::new().await;
        let worker = rig.work(steers.other(), Work::default()).await;
        let id = rig.add(steers, "fail", json!({ "message": "x" }), json!({ "attempts": 2 })).await;
        rig.reaches(&id, JobState::Failed).await;
        worker.close().await;
        match steers {
            Side::Node => {
                let reset = json!({ "resetAttemptsMade": true, "resetAttemptsStarted": true });
                drop(rig.node_job(&id, "retry", json!(["failed", reset])).await);
            }
            Side::Rust => rig.queue.retry_with(id.as_str(), JobState::Failed, true, true).await.unwrap(),
        }
        let mut shown = crate::getters::masked(rig.shown(Side::Node, &id).await);
        assert_eq!(crate::getters::masked(rig.shown(Side::Rust, &id).await), shown);
        shown["stacktrace"].take();
        assert_eq!((&shown["attemptsMade"], &shown["attemptsStarted"]), (&json!(0), &json!(0)));
        assert_eq!(&shown, pattern.get_or_insert_with(|| shown.clone()), "{steers:?}");
    }
}

#[tokio::test]
async fn pages_of_logs_are_the_same() {
    let rig = Rig::new().await;
    let id = rig.add(Side::Node, "echo", json!(1), json!({})).await;
    for n in 0..10 {
        let side = if n % 2 == 0 { Side::Node } else { Side::Rust };
        assert_eq!(rig.add_log(side, &id, &format!("line {n}"), 8).await, (n + 1).min(8));
    }
    for (order, ascending) in [(Order::Ascending, true), (Order::Descending, false)] {
        for (offset, limit) in [(0, 3), (2, 3), (6, 10), (20, 2)] {
            let request = LogsRequest { job: id.as_str().into(), offset, limit, order };
            let ours = rig.queue.logs(request).await.unwrap();
            let last = offset + limit as u64 - 1;
            let node = rig.node("getJobLogs", json!([id, offset, last, ascending])).await;
            assert_eq!(json!(ours.lines), node["logs"], "{order:?} {offset} {limit}");
            assert_eq!(json!(ours.total), node["count"]);
        }
    }
    rig.queue.clear_logs(id.as_str(), Some(2)).await.unwrap();
    assert_eq!(rig.logs(Side::Node, &id).await, ["line 8", "line 9"]);
    rig.node_job(&id, "clearLogs", json!([])).await;
    assert_eq!(rig.logs(Side::Rust, &id).await, Vec::<String>::new());
}

#[tokio::test]
async fn nodes_search_for_orphans_leaves_ours_alone() {
    let rig = Rig::new().await;
    let gate = format!("{} gate", rig.name);
    let worker = rig.work(Side::Rust, Work { name: Some("bob".into()), ..Work::default() }).await;
    let id = rig.add(Side::Rust, "hold", json!({ "gate": gate }), json!({})).await;
    rig.holds(Side::Rust, &worker, &id).await;
    until("it has announced itself", || async { rig.queue.workers().await.unwrap().len() == 1 }).await;
    assert_eq!(rig.node("removeOrphanedJobs", json!([])).await, 0);
    assert_eq!(rig.queue.workers().await.unwrap().len(), 1);
    let own: Vec<String> = redis::cmd("KEYS")
        .arg(format!("bull::oxmq:{}:*", rig.name))
        .query(&mut server::connection())
        .unwrap();
    assert!(own.iter().any(|key| key.ends_with(":leases")), "{own:?}");
    rig.open(&gate).await;
    assert_eq!(rig.outcome(Side::Node, &id).await, Ok(json!("released")));
    worker.close().await;
}

async fn a_busy_worker_is_listed(works: Side, busy_from_the_start: bool) {
    let rig = Rig::new().await;
    let listed = || async {
        let workers = rig.node("getWorkers", json!([])).await;
        workers
            .as_array()
            .unwrap()
            .iter()
            .any(|worker| worker["rawname"].as_str().unwrap().ends_with(":w:bob"))
    };
    let gate = format!("{} gate", rig.name);
    let add = || rig.add(Side::Node, "hold", json!({ "gate": gate }), json!({}));
    let work = Work { name: Some("bob".into()), ..Work::default() };
    let (worker, id) = if busy_from_the_start {
        let id = add().await;
        (rig.work(works, work).await, id)
    } else {
        let worker = rig.work(works, work).await;
        until("Node lists it", listed).await;
        (worker, add().await)
    };
    rig.holds(works, &worker, &id).await;
    until("Node lists it", listed).await;
    rig.open(&gate).await;
    worker.close().await;
}

#[tokio::test]
async fn node_lists_its_worker_that_is_busy() {
    for from_the_start in [false, true] {
        a_busy_worker_is_listed(Side::Node, from_the_start).await;
    }
}

#[tokio::test]
async fn node_lists_a_worker_of_ours_that_is_busy() {
    a_busy_worker_is_listed(Side::Rust, false).await;
}

#[tokio::test]
async fn node_lists_a_worker_of_ours_that_is_busy_from_its_start() {
    a_busy_worker_is_listed(Side::Rust, true).await;
}

#[tokio::test]
async fn a_job_that_was_taken_without_being_there_ends_on_either_side() {
    // An id in `wait` without a hash, as a removal by hand leaves it.
    for works in Side::BOTH {
        let rig = Rig::new().await;
        let mut connection = server::connection();
        let () = redis::cmd("LPUSH")
            .arg(format!("bull:{}:wait", rig.name))
            .arg("ghost")
            .query(&mut connection)
            .unwrap();
        let worker = rig.work(works, Work::default()).await;
        let next = rig.add(works.other(), "echo", json!("next"), json!({})).await;
        assert_eq!(rig.outcome(works.other(), &next).await, Ok(json!("next")));
        rig.reaches("ghost", JobState::Completed).await;
        assert_eq!(rig.shown(Side::Node, "ghost").await["returnvalue"], json!({}), "{works:?}");
        worker.close().await;
    }
}

#[tokio::test]
async fn broken_entries_of_others_do_not_stop_our_stream() {
    let rig = Rig::new().await;
    let mut connection = server::connection();
    for fields in [
        vec!["event", "completed", "jobId", "1", "returnvalue", "{oops"],
        vec!["event", "delayed", "jobId", "1", "delay", "soon"],
        vec!["no", "event"],
    ] {
        let () = redis::cmd("XADD")
            .arg(format!("bull:{}:events", rig.name))
            .arg("*")
            .arg(&fields)
            .query(&mut connection)
            .unwrap();
    }
    rig.queue.publish("last", &[]).await.unwrap();
    let mut stream = rig.queue.events(EventCursor::Oldest).await.unwrap();
    let mut names = Vec::new();
    while let Some(Notice::Event(stored)) = stream.try_next().await.unwrap() {
        names.push(stored.event.name().to_owned());
        if let EventKind::Completed { return_value, .. } = stored.event.kind {
            assert!(return_value.read::<Value>().is_err());
        }
    }
    assert_eq!(names, ["completed", "delayed", "", "last"]);
}
