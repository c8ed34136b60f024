//! The limits of a whole queue, set by one side and kept by the workers of both; metrics, written by one and read by
//! the other.

use oxmq_core::store::{Limit, LimitRequest, MetricsRequest, RateLimit};
use oxmq_core::{Clock, JobState, Timestamp};
use oxmq_interop::rig::millis;
use oxmq_interop::{Rig, Running, Side, Work, ms, until};
use serde_json::{Value, json};

async fn bound(rig: &Rig, side: Side, limit: Limit) {
    let (method, args) = match limit {
        Limit::Concurrency(Some(most)) => ("setGlobalConcurrency", json!([most])),
        Limit::Concurrency(None) => ("removeGlobalConcurrency", json!([])),
        Limit::Rate(Some(rate)) => ("setGlobalRateLimit", json!([rate.max, millis(rate.window)])),
        _ => ("removeGlobalRateLimit", json!([])),
    };
    match side {
        Side::Node => drop(rig.node(method, args).await),
        Side::Rust => {
            let request = LimitRequest { limit, now: rig.queue.clock().now() };
            rig.store.limit(rig.queue.address(), request).await.unwrap();
        }
    }
}

async fn mixed(rig: &Rig) -> Vec<Running> {
    let mut all = Vec::new();
    for side in [Side::Node, Side::Rust, Side::Node, Side::Rust] {
        all.push(rig.work(side, Work { concurrency: 10, ..Work::default() }).await);
    }
    all
}

#[tokio::test]
async fn a_concurrency_holds_for_the_workers_of_both() {
    for sets in Side::BOTH {
        let rig = Rig::new().await;
        bound(&rig, sets, Limit::Concurrency(Some(3))).await;
        assert_eq!(rig.queue.limits().await.unwrap().concurrency, Some(3));
        assert_eq!(rig.node("getGlobalConcurrency", json!([])).await, 3);
        let jobs: Vec<Value> = (0..40).map(|_| json!({ "name": "slow", "data": { "ms": 8 } })).collect();
        rig.node("addBulk", json!([jobs])).await;
        let workers = mixed(&rig).await;
        let mut most = 0;
        loop {
            let counts = rig.queue.counts().await.unwrap();
            most = most.max(counts.active);
            if counts.completed == 40 {
                break;
            }
            Clock::system().sleep(ms(1)).await;
        }
        assert!((1..=3).contains(&most), "{sets:?}: {most}");
        for worker in workers {
            worker.close().await;
        }
        bound(&rig, sets.other(), Limit::Concurrency(None)).await;
        assert_eq!(rig.queue.limits().await.unwrap().concurrency, None);
        assert_eq!(rig.node("getGlobalConcurrency", json!([])).await, Value::Null);
    }
}

#[tokio::test]
async fn a_rate_holds_for_the_workers_of_both() {
    for sets in Side::BOTH {
        let rig = Rig::new().await;
        bound(&rig, sets, Limit::Rate(Some(RateLimit { max: 4, window: ms(400) }))).await;
        assert_eq!(rig.node("getGlobalRateLimit", json!([])).await, json!({ "max": 4, "duration": 400 }));
        assert_eq!(rig.queue.limits().await.unwrap().rate.map(|rate| rate.max), Some(4));
        let jobs: Vec<Value> = (0..16).map(|n| json!({ "name": "echo", "data": n })).collect();
        rig.node("addBulk", json!([jobs])).await;
        let workers = mixed(&rig).await;
        until("all have run", || async { rig.queue.counts().await.unwrap().completed == 16 }).await;
        for worker in workers {
            worker.close().await;
        }
        let mut starts = Vec::new();
        for id in 1..=16 {
            starts.push(rig.view(&id.to_string()).await.unwrap().job.processed_on.unwrap());
        }
        starts.sort();
        // Two windows that touch hold eight; each side stamps with its own clock.
        for some in starts.windows(9) {
            assert!(some[8] - some[0] > ms(300), "{sets:?}: {starts:?}");
        }
        bound(&rig, sets.other(), Limit::Rate(None)).await;
        assert_eq!(rig.queue.limits().await.unwrap().rate, None);
        assert_eq!(rig.node("getGlobalRateLimit", json!([])).await, Value::Null);
    }
}

#[tokio::test]
async fn metrics_are_written_and_read_by_both() {
    let rig = Rig::new().await;
    let ours = rig.queue.store().clone();
    let count = async |side: Side, many: usize, name: &str| {
        let name_of = format!("metrics {side:?} {many} {name}");
        for _ in 0..many {
            rig.add(Side::Node, name, json!({ "message": "no" }), json!({})).await;
        }
        let before = rig.queue.counts().await.unwrap();
        let done = before.completed + before.failed + many as u64;
        match side {
            Side::Node => {
                let options = json!({ "metrics": { "maxDataPoints": 60 } });
                rig.agent.make("Worker", &name_of, &rig.name, options, 6).await;
                let all = || async {
                    let counts = rig.queue.counts().await.unwrap();
                    counts.completed + counts.failed == done
                };
                until("all have ended", all).await;
                rig.agent.close(&name_of, json!([])).await;
            }
            Side::Rust => {
                let handler = move |_: Value, context: oxmq_core::JobContext| async move {
                    match context.job().name.as_str() {
                        "fail" => Err(oxmq_core::HandlerError::fail("no")),
                        _ => Ok(()),
                    }
                };
                let builder = oxmq_core::Worker::builder(&ours, rig.name.as_str()).metrics(60);
                let worker = builder.handle_any(handler).start().unwrap();
                let all = || async {
                    let counts = rig.queue.counts().await.unwrap();
                    counts.completed + counts.failed == done
                };
                until("all have ended", all).await;
                worker.close().await.unwrap();
            }
        }
    };
    count(Side::Node, 3, "echo").await;
    count(Side::Rust, 4, "echo").await;
    count(Side::Rust, 2, "fail").await;
    count(Side::Node, 1, "fail").await;
    for (state, total) in [(JobState::Completed, 7), (JobState::Failed, 3)] {
        let theirs = rig.node("getMetrics", json!([state.as_str()])).await;
        assert_eq!(theirs["meta"]["count"], total);
        let request = MetricsRequest { state, offset: 0, limit: 100 };
        let ours = rig.queue.metrics_page(request).await.unwrap();
        assert_eq!((ours.total, ours.prev_total), (total, theirs["meta"]["prevCount"].as_u64().unwrap()));
        assert_eq!(ours.prev_at.map(Timestamp::as_millis), theirs["meta"]["prevTS"].as_i64());
        assert_eq!(json!(ours.points), theirs["data"]);
        assert_eq!(rig.queue.metrics(state, 60).await.unwrap().sum(60), total);
    }
    // As Prometheus text: theirs, then ours.
    rig.add(Side::Node, "later", json!(null), json!({ "delay": 60_000 })).await;
    let theirs = rig.node("exportPrometheusMetrics", json!([{ "env": "dev" }])).await;
    let theirs = theirs.as_str().unwrap();
    for value in ["state=\"delayed\", env=\"dev\"} 1", "bullmq_job_completed_total", "env=\"dev\"} 7"] {
        assert!(theirs.contains(value), "{theirs}");
    }
    let ours = rig.queue.prometheus(&[("env", "dev")]).await.unwrap();
    assert_eq!(ours.split("\n# HELP oxmq_").next().unwrap(), theirs);
}
