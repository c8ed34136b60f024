//! How jobs run, and how they end.

use oxmq_core::JobState;
use oxmq_interop::agent::undefined;
use oxmq_interop::{Rig, Side, Work, ms, until};
use serde_json::{Value, json};

#[tokio::test]
async fn results_are_read_by_the_other_side() {
    for works in Side::BOTH {
        let rig = Rig::new().await;
        let worker = rig.work(works, Work::default()).await;
        for (value, result) in [
            (undefined(), Value::Null),
            (json!(null), Value::Null),
            (json!(0), json!(0)),
            (json!(""), json!("")),
            (
                json!({ "a": [{ "b": [[], {}, "\u{7f}/ü"] }] }),
                json!({ "a": [{ "b": [[], {}, "\u{7f}/ü"] }] }),
            ),
        ] {
            // Nothing is added under `value` for undefined: JSON has no such member.
            let id = rig.add(Side::Node, "value", json!({ "value": value }), json!({})).await;
            assert_eq!(rig.outcome(works.other(), &id).await, Ok(result.clone()), "{works:?} {value}");
            assert_eq!(rig.shown(Side::Node, &id).await.get("returnvalue").unwrap_or(&Value::Null), &result);
        }
        worker.close().await;
    }
}

#[tokio::test]
async fn a_job_that_failed_on_one_side_succeeds_on_the_other() {
    for first in Side::BOTH {
        for opts in [
            json!({ "attempts": 2 }),
            json!({ "attempts": 2, "lifo": true }),
            json!({ "attempts": 2, "priority": 7 }),
            json!({ "attempts": 2, "backoff": 50 }),
            json!({ "attempts": 2, "backoff": { "type": "exponential", "delay": 50 } }),
        ] {
            let rig = Rig::new().await;
            let gate = format!("{} gate", rig.name);
            let id =
                rig.add(first.other(), "throws", json!({ "fails": 1, "gate": gate }), opts.clone()).await;
            // The queue is paused while the first try runs, so that the second waits for the other side.
            let one = rig.work(first, Work::default()).await;
            rig.holds(first, &one, &id).await;
            rig.queue.pause().await.unwrap();
            rig.open(&gate).await;
            until("the first try has failed", || async {
                rig.view(&id).await.unwrap().job.attempts_made == 1
            })
            .await;
            one.close().await;
            let other = rig.work(first.other(), Work::default()).await;
            rig.node("resume", json!([])).await;
            let result = rig.outcome(first, &id).await.unwrap();
            let side = if first == Side::Node { "rust" } else { "node" };
            assert_eq!(result, json!({ "side": side, "made": 1, "started": 2 }), "{opts}");
            let shown = rig.shown(Side::Node, &id).await;
            assert_eq!(
                (&shown["attemptsMade"], &shown["attemptsStarted"]),
                (&json!(2), &json!(2)),
                "{shown}"
            );
            let expected = if first == Side::Node { "try 1 in node" } else { "try 1 in rust" };
            assert_eq!(shown["failedReason"], expected, "kept by a later success");
            assert_eq!(shown["stacktrace"].as_array().unwrap().len(), 1);
            assert_eq!(rig.shown(Side::Rust, &id).await, shown);
            other.close().await;
        }
    }
}

#[tokio::test]
async fn tries_alternate_and_the_last_failure_is_final() {
    let rig = Rig::new().await;
    // One worker of each side, stopped and started in turns by pausing the queue between the tries.
    let opts = json!({ "attempts": 4, "backoff": { "type": "fixed", "delay": 30_000 } });
    let id = rig.add(Side::Rust, "fail", json!({ "message": "no: grüße/\u{7f}" }), opts).await;
    for (tries, side) in [Side::Node, Side::Rust, Side::Node, Side::Rust].into_iter().enumerate() {
        let worker = rig.work(side, Work::default()).await;
        if tries > 0 {
            rig.node_job(&id, "promote", json!([])).await;
        }
        let state = if tries == 3 { JobState::Failed } else { JobState::Delayed };
        until("the try has ended", || async {
            let view = rig.view(&id).await.unwrap();
            view.job.attempts_made as usize == tries + 1 && view.state == state
        })
        .await;
        worker.close().await;
    }
    let node = rig.shown(Side::Node, &id).await;
    assert_eq!(node, rig.shown(Side::Rust, &id).await);
    assert_eq!(node["failedReason"], "no: grüße/\u{7f}");
    assert_eq!(node["stacktrace"].as_array().unwrap().len(), 4);
    for side in Side::BOTH {
        assert_eq!(rig.outcome(side, &id).await, Err("no: grüße/\u{7f}".into()));
    }
}

#[tokio::test]
async fn unrecoverable_failures_use_no_further_try() {
    for works in Side::BOTH {
        let rig = Rig::new().await;
        let opts = json!({ "attempts": 5, "backoff": 10 });
        let id = rig.add(works.other(), "unrecoverable", json!({ "message": "never" }), opts).await;
        let worker = rig.work(works, Work::default()).await;
        for side in Side::BOTH {
            assert_eq!(rig.outcome(side, &id).await, Err("never".into()));
        }
        assert_eq!(rig.shown(works.other(), &id).await["attemptsMade"], 1);
        worker.close().await;
    }
}

#[tokio::test]
async fn a_custom_backoff_is_the_workers_own() {
    for works in Side::BOTH {
        for (strategy, state) in [(60_000, JobState::Delayed), (-1, JobState::Failed)] {
            let rig = Rig::new().await;
            let opts = json!({ "attempts": 3, "backoff": { "type": "mine", "delay": 5 } });
            let id = rig.add(works.other(), "fail", json!({ "message": "x" }), opts).await;
            let worker = rig.work(works, Work { strategy: Some(strategy), ..Work::default() }).await;
            rig.reaches(&id, state).await;
            let shown = crate::getters::masked(rig.shown(works.other(), &id).await);
            assert_eq!(shown["attemptsMade"], 1);
            if state == JobState::Delayed {
                assert_eq!(shown["delay"], 60_000);
            }
            worker.close().await;
        }
    }
}

#[tokio::test]
async fn progress_and_logs_are_read_by_the_other_side() {
    for works in Side::BOTH {
        let rig = Rig::new().await;
        let worker = rig.work(works, Work::default()).await;
        for progress in [json!(42), json!({ "done": [1, "ü/\u{7f}"] }), json!("half"), json!(true)] {
            let lines = json!(["one", "zwei ü", "", "four\nlines", "5"]);
            let data = json!({ "progress": progress, "lines": lines });
            let id = rig.add(works.other(), "note", data, json!({ "keepLogs": 3 })).await;
            assert_eq!(rig.outcome(works.other(), &id).await, Ok(json!("noted")));
            for side in Side::BOTH {
                assert_eq!(rig.shown(side, &id).await["progress"], progress, "{works:?} {side:?}");
                assert_eq!(rig.logs(side, &id).await, ["", "four\nlines", "5"], "{works:?} {side:?}");
            }
        }
        worker.close().await;
    }
}

#[tokio::test]
async fn a_job_asks_to_be_run_later_and_spends_no_try() {
    for works in Side::BOTH {
        let rig = Rig::new().await;
        let worker = rig.work(works, Work::default()).await;
        let id = rig.add(works.other(), "later", json!({ "ms": 50 }), json!({})).await;
        assert_eq!(rig.outcome(works.other(), &id).await, Ok(json!({ "started": 2, "made": 0 })));
        worker.close().await;
    }
}

#[tokio::test]
async fn a_job_that_one_side_postponed_runs_on_the_other() {
    for first in Side::BOTH {
        let rig = Rig::new().await;
        let one = rig.work(first, Work::default()).await;
        let id = rig.add(first, "later", json!({ "ms": 60_000 }), json!({ "priority": 3 })).await;
        rig.reaches(&id, JobState::Delayed).await;
        one.close().await;
        let other = rig.work(first.other(), Work::default()).await;
        match first {
            Side::Node => rig.queue.promote(id.as_str()).await.unwrap(),
            Side::Rust => drop(rig.node_job(&id, "promote", json!([])).await),
        }
        assert_eq!(rig.outcome(first, &id).await, Ok(json!({ "started": 2, "made": 0 })));
        other.close().await;
    }
}

#[tokio::test]
async fn a_delayed_job_wakes_an_idle_worker_of_the_other_side() {
    for works in Side::BOTH {
        let rig = Rig::new().await;
        let worker = rig.work(works, Work::default()).await;
        let first = rig.add(works.other(), "echo", json!(1), json!({})).await;
        assert_eq!(rig.outcome(works, &first).await, Ok(json!(1)));
        let id = rig.add(works.other(), "echo", json!(2), json!({ "delay": 150 })).await;
        assert_eq!(rig.outcome(works, &id).await, Ok(json!(2)));
        let job = rig.view(&id).await.unwrap().job;
        let late = job.processed_on.unwrap() - job.timestamp;
        assert!(late >= ms(150) && late < ms(1_500), "{works:?}: {late:?}");
        worker.close().await;
    }
}

#[tokio::test]
async fn workers_of_both_sides_share_five_hundred_jobs_and_each_is_done_once() {
    let rig = Rig::new().await;
    rig.node("pause", json!([])).await;
    // As many as there are slots wait for each other at a gate: so both sides have some, however fast the one is.
    let gate = format!("{} gate", rig.name);
    let hold = json!({ "name": "hold", "data": { "gate": gate } });
    let slots = 12;
    let echo = |n| json!({ "name": "echo", "data": { "node": n } });
    let jobs: Vec<Value> = std::iter::repeat_n(hold, slots).chain((slots..250).map(echo)).collect();
    rig.node("addBulk", json!([jobs])).await;
    for n in 0..250 {
        rig.queue.add_named("echo", &json!({ "rust": n })).await.unwrap();
    }
    let workers = [
        rig.work(Side::Node, Work { concurrency: 5, ..Work::default() }).await,
        rig.work(Side::Rust, Work { concurrency: 5, ..Work::default() }).await,
        rig.work(Side::Node, Work { concurrency: 1, ..Work::default() }).await,
        rig.work(Side::Rust, Work { concurrency: 1, ..Work::default() }).await,
    ];
    rig.queue.resume().await.unwrap();
    until("every slot has a job", || async { rig.queue.counts().await.unwrap().active == slots as u64 })
        .await;
    rig.open(&gate).await;
    until("500 jobs are done", || async { rig.queue.counts().await.unwrap().completed == 500 }).await;
    let ours = rig.diary.runs.lock().unwrap().clone();
    let runs = || {
        let mut runs = ours.clone();
        for worker in [&workers[0], &workers[2]] {
            runs.extend(worker.told("run").iter().map(|line| line["jobId"].as_str().unwrap().to_owned()));
        }
        runs
    };
    until("Node has told of all", || async { runs().len() >= 500 }).await;
    let mut runs = runs();
    assert!(!ours.is_empty() && ours.len() < 500, "both sides had some: {} were ours", ours.len());
    let total = runs.len();
    runs.sort();
    runs.dedup();
    assert_eq!((total, runs.len()), (500, 500), "each once");
    for worker in workers {
        worker.close().await;
    }
}

#[tokio::test]
async fn a_handler_that_is_told_too_many_holds_both_sides() {
    for works in Side::BOTH {
        let rig = Rig::new().await;
        let limiter = Some((100, ms(1_000)));
        let id = rig.add(works.other(), "limit", json!({ "ms": 400 }), json!({})).await;
        let worker = rig.work(works, Work { limiter, ..Work::default() }).await;
        until("the limit is there", || async { rig.queue.counts().await.unwrap().limited_until.is_some() })
            .await;
        let other = rig.work(works.other(), Work { limiter, ..Work::default() }).await;
        let ttl = rig.node("getRateLimitTtl", json!([100])).await.as_i64().unwrap();
        assert!((1..=400).contains(&ttl), "{ttl}");
        assert_eq!(rig.outcome(works, &id).await, Ok(json!({ "started": 2, "made": 0 })));
        worker.close().await;
        other.close().await;
    }
}

#[tokio::test]
async fn a_rate_limit_is_one_for_the_workers_of_both_sides() {
    let rig = Rig::new().await;
    for n in 0..9 {
        rig.add(if n % 2 == 0 { Side::Node } else { Side::Rust }, "echo", json!(n), json!({})).await;
    }
    let work = Work { limiter: Some((3, ms(400))), concurrency: 5, ..Work::default() };
    let workers = [rig.work(Side::Node, work.clone()).await, rig.work(Side::Rust, work).await];
    until("all are done", || async { rig.queue.counts().await.unwrap().completed == 9 }).await;
    let mut starts = Vec::new();
    for id in rig.ids(Side::Rust, JobState::Completed).await {
        starts.push(rig.view(&id).await.unwrap().job.processed_on.unwrap());
    }
    starts.sort();
    // The fourth start is in the next window, the seventh in the one after that.
    for (before, after) in [(0, 3), (3, 6)] {
        let apart = starts[after] - starts[before];
        assert!(apart >= ms(390), "{apart:?} between the starts {before} and {after}");
    }
    for worker in workers {
        worker.close().await;
    }
}
