//! One side steers, the other works.

use oxmq_core::JobState;
use oxmq_interop::{Rig, Side, Work, ms, server, until};
use serde_json::{Value, json};

async fn count(rig: &Rig, state: JobState) -> u64 {
    let counts = rig.counts(Side::Node).await;
    assert_eq!(counts, rig.counts(Side::Rust).await, "both count alike");
    counts[state.as_str()].as_u64().unwrap()
}

#[tokio::test]
async fn pause_and_resume_hold_the_other_sides_worker() {
    for steers in Side::BOTH {
        let rig = Rig::new().await;
        let gate = format!("{} gate", rig.name);
        let worker = rig.work(steers.other(), Work::default()).await;
        let running = rig.add(steers, "hold", json!({ "gate": gate }), json!({})).await;
        rig.holds(steers.other(), &worker, &running).await;
        rig.pause(steers).await;
        for side in Side::BOTH {
            assert!(rig.is_paused(side).await);
        }
        let mut ids = Vec::new();
        for adds in [steers, steers.other()] {
            ids.push(rig.add(adds, "echo", json!(1), json!({})).await);
            ids.push(rig.add(adds, "echo", json!(2), json!({ "priority": 2 })).await);
            ids.push(rig.add(adds, "echo", json!(3), json!({ "delay": 20 })).await);
        }
        rig.open(&gate).await;
        assert_eq!(rig.outcome(steers, &running).await, Ok(json!("released")), "what runs goes on");
        // Delayed jobs are promoted by whoever looks, at any time; but nothing is taken.
        for side in Side::BOTH {
            let counts = rig.counts(side).await;
            assert_eq!((&counts["active"], &counts["completed"]), (&json!(0), &json!(1)));
        }
        rig.resume(steers).await;
        for id in &ids {
            rig.outcome(steers.other(), id).await.unwrap();
        }
        assert!(!rig.is_paused(steers.other()).await);
        worker.close().await;
    }
}

#[tokio::test]
async fn finished_jobs_are_retried_by_the_other_side() {
    for (steers, works) in [(Side::Node, Side::Rust), (Side::Rust, Side::Node)] {
        let rig = Rig::new().await;
        let worker = rig.work(works, Work::default()).await;
        let mut failed = Vec::new();
        for opts in [json!({}), json!({ "priority": 3 }), json!({ "lifo": true }), json!({ "attempts": 2 })] {
            failed.push(rig.add(works, "fail", json!({ "message": "x" }), opts).await);
        }
        let done = rig.add(works, "echo", json!(5), json!({})).await;
        rig.reaches(&done, JobState::Completed).await;
        for id in &failed {
            rig.reaches(id, JobState::Failed).await;
        }
        for id in &failed {
            rig.update_data(steers, id, json!({ "message": "again" })).await;
            rig.retry(steers, id, JobState::Failed).await;
        }
        for id in &failed {
            assert_eq!(rig.outcome(steers, id).await, Err("again".into()));
        }
        rig.update_data(works, &done, json!(6)).await;
        rig.retry(steers, &done, JobState::Completed).await;
        assert_eq!(rig.outcome(works, &done).await, Ok(json!(6)));
        // All of them at once.
        for id in &failed {
            rig.update_data(steers, id, json!({ "message": "third" })).await;
        }
        rig.retry_all(steers, JobState::Failed).await;
        for id in &failed {
            until("it failed again", || async {
                let view = rig.view(id).await.unwrap();
                view.state == JobState::Failed && view.job.failed_reason.as_deref() == Some("third")
            })
            .await;
            assert_eq!(rig.shown(Side::Node, id).await, rig.shown(Side::Rust, id).await);
        }
        worker.close().await;
    }
}

#[tokio::test]
async fn retries_show_the_same_whichever_side_makes_them() {
    let mut pattern: Option<Value> = None;
    for steers in Side::BOTH {
        for works in Side::BOTH {
            let rig = Rig::new().await;
            let worker = rig.work(works, Work::default()).await;
            let data = json!({ "message": "x", "progress": 3, "lines": [] });
            let failed = rig.add(works, "fail", data.clone(), json!({ "priority": 3, "attempts": 2 })).await;
            let done = rig.add(works, "note", data, json!({})).await;
            rig.reaches(&failed, JobState::Failed).await;
            rig.reaches(&done, JobState::Completed).await;
            worker.close().await;
            rig.retry(steers, &failed, JobState::Failed).await;
            rig.retry(steers, &done, JobState::Completed).await;
            let mut shown = json!([]);
            for id in [&failed, &done] {
                let mut job = crate::getters::masked(rig.shown(Side::Node, id).await);
                assert_eq!(crate::getters::masked(rig.shown(Side::Rust, id).await), job);
                job["id"] = id.as_str().into();
                shown.as_array_mut().unwrap().push(job);
            }
            let pattern = pattern.get_or_insert_with(|| shown.clone());
            assert_eq!(&shown, pattern, "{steers:?} {works:?}");
        }
    }
}

#[tokio::test]
async fn delayed_jobs_are_promoted_and_moved_by_the_other_side() {
    for (steers, works) in [(Side::Node, Side::Rust), (Side::Rust, Side::Node)] {
        let rig = Rig::new().await;
        let worker = rig.work(works, Work::default()).await;
        let one = rig.add(works, "echo", json!(1), json!({ "delay": 60_000 })).await;
        let two = rig.add(works, "echo", json!(2), json!({ "delay": 60_000, "priority": 2 })).await;
        let three = rig.add(works, "echo", json!(3), json!({ "delay": 60_000 })).await;
        rig.promote(steers, &one).await;
        assert_eq!(rig.outcome(works, &one).await, Ok(json!(1)));
        rig.change_delay(steers, &two, ms(80)).await;
        assert_eq!(rig.outcome(works, &two).await, Ok(json!(2)));
        rig.promote_all(steers).await;
        assert_eq!(rig.outcome(works, &three).await, Ok(json!(3)));
        worker.close().await;
    }
}

#[tokio::test]
async fn priorities_are_changed_by_the_other_side() {
    for (steers, adds) in [(Side::Node, Side::Rust), (Side::Rust, Side::Node)] {
        let rig = Rig::new().await;
        rig.pause(steers).await;
        let mut ids = Vec::new();
        for priority in [0, 0, 5, 5, 5] {
            ids.push(rig.add(adds, "echo", json!(1), json!({ "priority": priority })).await);
        }
        rig.change_priority(steers, &ids[0], 5, false).await;
        rig.change_priority(steers, &ids[3], 5, true).await;
        rig.change_priority(steers, &ids[4], 0, true).await;
        rig.change_priority(steers, &ids[2], 9, false).await;
        for side in Side::BOTH {
            assert_eq!(rig.ids(side, JobState::Waiting).await, [ids[4].clone(), ids[1].clone()]);
            let expected = [ids[3].clone(), ids[0].clone(), ids[2].clone()];
            assert_eq!(rig.ids(side, JobState::Prioritized).await, expected);
            assert_eq!(rig.shown(side, &ids[2]).await["priority"], 9);
        }
    }
}

#[tokio::test]
async fn jobs_are_removed_by_the_other_side_but_not_those_that_run() {
    for (steers, works) in [(Side::Node, Side::Rust), (Side::Rust, Side::Node)] {
        let rig = Rig::new().await;
        let gate = format!("{} gate", rig.name);
        let worker = rig.work(works, Work::default()).await;
        let done = rig.add(works, "note", json!({ "progress": 1, "lines": ["x"] }), json!({})).await;
        let failed = rig.add(works, "fail", json!({ "message": "x" }), json!({})).await;
        let running = rig.add(works, "hold", json!({ "gate": gate }), json!({})).await;
        rig.holds(works, &worker, &running).await;
        let waiting = rig.add(works, "echo", json!(1), json!({})).await;
        let first = rig.add(works, "echo", json!(1), json!({ "priority": 1 })).await;
        let delayed = rig.add(works, "echo", json!(1), json!({ "delay": 60_000 })).await;
        for id in [&done, &failed, &waiting, &first, &delayed] {
            assert!(rig.remove(steers, id).await);
            assert!(rig.view(id).await.is_none());
        }
        assert!(!rig.remove(steers, &running).await, "somebody works on it");
        rig.open(&gate).await;
        assert_eq!(rig.outcome(steers, &running).await, Ok(json!("released")));
        assert!(rig.remove(steers, &running).await);
        let left: Vec<String> = redis::cmd("KEYS")
            .arg(format!("bull:{}:[0-9]*", rig.name))
            .query(&mut server::connection())
            .unwrap();
        assert_eq!(left, Vec::<String>::new());
        worker.close().await;
    }
}

#[tokio::test]
async fn clean_and_drain_take_the_other_sides_jobs() {
    for (steers, works) in [(Side::Node, Side::Rust), (Side::Rust, Side::Node)] {
        let rig = Rig::new().await;
        let gate = format!("{} gate", rig.name);
        let worker = rig.work(works, Work::default()).await;
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            done.push(rig.add(works, "echo", json!(1), json!({})).await);
            failed.push(rig.add(works, "fail", json!({ "message": "x" }), json!({})).await);
        }
        let running = rig.add(works, "hold", json!({ "gate": gate }), json!({})).await;
        rig.holds(works, &worker, &running).await;
        let mut others = Vec::new();
        for opts in [json!({}), json!({ "priority": 2 }), json!({ "delay": 60_000 })] {
            let mut ids = Vec::new();
            for _ in 0..2 {
                ids.push(rig.add(works, "echo", json!(1), opts.clone()).await);
            }
            others.push(ids);
        }
        assert_eq!(rig.clean(steers, JobState::Completed).await, done);
        assert_eq!(rig.clean(steers, JobState::Failed).await, failed);
        assert_eq!(rig.clean(steers, JobState::Active).await, Vec::<String>::new(), "it is held");
        assert_eq!(rig.clean(steers, JobState::Prioritized).await, others[1]);
        assert_eq!(rig.clean(steers, JobState::Delayed).await, others[2]);
        assert_eq!(rig.clean(steers, JobState::Waiting).await, others[0]);
        for opts in [json!({}), json!({ "priority": 2 }), json!({ "delay": 60_000 })] {
            rig.add(works, "echo", json!(1), opts).await;
        }
        rig.drain(steers, false).await;
        assert_eq!((count(&rig, JobState::Waiting).await, count(&rig, JobState::Delayed).await), (0, 1));
        rig.drain(steers, true).await;
        assert_eq!(count(&rig, JobState::Delayed).await, 0);
        rig.open(&gate).await;
        assert_eq!(rig.outcome(steers, &running).await, Ok(json!("released")));
        worker.close().await;
    }
}

#[tokio::test]
async fn obliterate_leaves_nothing_of_the_other_side() {
    for (steers, works) in [(Side::Node, Side::Rust), (Side::Rust, Side::Node)] {
        let rig = Rig::new().await;
        let gate = format!("{} gate", rig.name);
        let worker = rig.work(works, Work::default()).await;
        for _ in 0..3 {
            let done = rig.add(works, "note", json!({ "progress": 1, "lines": ["x"] }), json!({})).await;
            rig.reaches(&done, JobState::Completed).await;
        }
        let running = rig.add(works, "hold", json!({ "gate": gate }), json!({})).await;
        rig.holds(works, &worker, &running).await;
        for opts in [json!({}), json!({ "priority": 2 }), json!({ "delay": 60_000 })] {
            rig.add(works, "echo", json!(1), opts).await;
        }
        assert!(!rig.obliterate(steers, false).await, "a job is active");
        assert!(rig.is_paused(works).await, "it stays paused");
        rig.open(&gate).await;
        rig.reaches(&running, JobState::Completed).await;
        assert!(rig.obliterate(steers, false).await);
        worker.close().await;
        let mut left: Vec<String> =
            redis::cmd("KEYS").arg(format!("bull:{}:*", rig.name)).query(&mut server::connection()).unwrap();
        // A worker that is still there looks for stalled jobs and writes its own.
        left.retain(|key| !key.ends_with(":stalled-check") && !key.ends_with(":meta"));
        assert_eq!(left, Vec::<String>::new());
        // The queue is new.
        assert_eq!(rig.add(works, "echo", json!(1), json!({})).await, "1");
        assert!(!rig.is_paused(steers).await);
    }
}

#[tokio::test]
async fn obliterate_by_force_while_the_other_side_works() {
    for (steers, works) in [(Side::Node, Side::Rust), (Side::Rust, Side::Node)] {
        let rig = Rig::new().await;
        let gate = format!("{} gate", rig.name);
        let worker = rig.work(works, Work::default()).await;
        let running = rig.add(works, "hold", json!({ "gate": gate }), json!({})).await;
        rig.holds(works, &worker, &running).await;
        assert!(rig.obliterate(steers, true).await);
        assert!(rig.view(&running).await.is_none());
        rig.open(&gate).await;
        // The late result is refused, and the worker goes on with the new queue.
        let next = rig.add(steers, "echo", json!("new"), json!({ "jobId": "next" })).await;
        assert_eq!(rig.outcome(steers, &next).await, Ok(json!("new")));
        assert!(rig.view(&running).await.is_none(), "nothing came back");
        worker.close().await;
    }
}

#[tokio::test]
async fn a_limit_by_hand_holds_workers_that_know_limits() {
    for (steers, works) in [(Side::Node, Side::Rust), (Side::Rust, Side::Node)] {
        let rig = Rig::new().await;
        let worker = rig.work(works, Work { limiter: Some((1_000, ms(1_000))), ..Work::default() }).await;
        let warm = rig.add(steers, "echo", json!(0), json!({})).await;
        assert_eq!(rig.outcome(steers, &warm).await, Ok(json!(0)));
        rig.rate_limit(steers, ms(60_000)).await;
        let id = rig.add(steers, "echo", json!(1), json!({})).await;
        let ttl = rig.node("getRateLimitTtl", json!([])).await.as_i64().unwrap();
        assert!((50_000..=60_000).contains(&ttl), "{ttl}");
        let until = rig.queue.counts().await.unwrap().limited_until.expect("a limit");
        assert!(until - rig.queue.clock().now() > ms(50_000));
        assert_eq!(count(&rig, JobState::Waiting).await, 1);
        rig.remove_rate_limit(works).await;
        assert_eq!(rig.node("getRateLimitTtl", json!([])).await.as_i64().unwrap(), -2);
        drop(id);
        worker.close().await;
    }
}

#[tokio::test]
async fn settings_of_the_queue_by_node_are_obeyed_by_ours() {
    let rig = Rig::new().await;
    rig.node("setGlobalConcurrency", json!([2])).await;
    let gate = format!("{} gate", rig.name);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(rig.add(Side::Node, "hold", json!({ "gate": gate }), json!({})).await);
    }
    let ours = rig.work(Side::Rust, Work { concurrency: 5, ..Work::default() }).await;
    let node = rig.work(Side::Node, Work { concurrency: 5, ..Work::default() }).await;
    until("two run", || async { rig.queue.counts().await.unwrap().active == 2 }).await;
    // Both have looked and found the queue full: another look changes nothing.
    rig.add(Side::Node, "echo", json!(1), json!({})).await;
    until("both are idle again", || async { rig.node("isMaxed", json!([])).await == true }).await;
    assert_eq!(count(&rig, JobState::Active).await, 2);
    rig.open(&gate).await;
    for id in &ids {
        assert_eq!(rig.outcome(Side::Node, id).await, Ok(json!("released")));
    }
    rig.node("removeGlobalConcurrency", json!([])).await;
    rig.node("setGlobalRateLimit", json!([2, 300])).await;
    let mut limited = Vec::new();
    for n in 0..4 {
        limited.push(rig.add(Side::Rust, "echo", json!(n), json!({})).await);
    }
    for id in &limited {
        rig.reaches(id, JobState::Completed).await;
    }
    let mut starts = Vec::new();
    for id in &limited {
        starts.push(rig.view(id).await.unwrap().job.processed_on.unwrap());
    }
    starts.sort();
    assert!(starts[3] - starts[1] >= ms(290) || starts[2] - starts[0] >= ms(290), "{starts:?}");
    ours.close().await;
    node.close().await;
}

#[tokio::test]
async fn thousands_are_moved_by_the_other_side_and_none_is_left() {
    for (steers, works) in [(Side::Node, Side::Rust), (Side::Rust, Side::Node)] {
        let rig = Rig::new().await;
        let bulk = |name: &str, opts: Value| -> Vec<Value> {
            let data = json!({ "message": "x" });
            (0..1_200).map(|_| json!({ "name": name, "data": data, "opts": opts })).collect()
        };
        rig.node("addBulk", json!([bulk("fail", json!({ "delay": 3_600_000 }))])).await;
        assert_eq!(count(&rig, JobState::Delayed).await, 1_200);
        rig.promote_all(steers).await;
        assert_eq!(count(&rig, JobState::Waiting).await, 1_200);
        let worker = rig.work(works, Work { concurrency: 50, ..Work::default() }).await;
        until("all have failed", || async { rig.queue.counts().await.unwrap().failed == 1_200 }).await;
        worker.close().await;
        rig.retry_all(steers, JobState::Failed).await;
        assert_eq!((count(&rig, JobState::Waiting).await, count(&rig, JobState::Failed).await), (1_200, 0));
        rig.node("addBulk", json!([bulk("echo", json!({ "priority": 3 }))])).await;
        assert_eq!(rig.clean(steers, JobState::Prioritized).await.len(), 1_200);
        rig.node("addBulk", json!([bulk("echo", json!({ "delay": 3_600_000 }))])).await;
        assert!(rig.obliterate(steers, false).await);
        let left: Vec<String> =
            redis::cmd("KEYS").arg(format!("bull:{}:*", rig.name)).query(&mut server::connection()).unwrap();
        assert_eq!(left, Vec::<String>::new(), "{steers:?}");
    }
}
