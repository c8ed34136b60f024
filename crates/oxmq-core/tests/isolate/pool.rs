//! How long a child is kept, how many there are, and children that do not start.

use std::collections::BTreeSet;

use oxmq_core::{ErrorKind, Isolation, WorkerEvent};
use serde_json::{Value, json};

use crate::handlers::{isolated, isolation, lives, named, result};
use crate::rig::{Rig, ms, reason, soon};

/// Runs a job, and gives the process that ran it.
async fn pid(rig: &Rig) -> u64 {
    ran(rig, "pid", &Value::Null).await
}

async fn ran(rig: &Rig, name: &str, data: &Value) -> u64 {
    let id = rig.add_one(named(name, data)).await;
    result(&rig.until_state(&id, "completed").await).as_u64().unwrap()
}

#[tokio::test]
async fn a_child_runs_one_job_after_another() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation()).concurrency(4).start().unwrap();
    let first = pid(&rig).await;
    for _ in 0..5 {
        assert_eq!(pid(&rig).await, first);
    }
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn children_are_recycled_by_count() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation().recycle_after_jobs(2)).start().unwrap();
    let pids = [pid(&rig).await, pid(&rig).await, pid(&rig).await, pid(&rig).await, pid(&rig).await];
    assert!(pids[0] == pids[1] && pids[2] == pids[3], "{pids:?}");
    assert!(pids[1] != pids[2] && pids[3] != pids[4], "{pids:?}");
    rig.until(async || !lives(pids[0]) && !lives(pids[2])).await;
    assert!(lives(pids[4]));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn children_are_recycled_by_age() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation().recycle_after(ms(60_000))).start().unwrap();
    let first = pid(&rig).await;
    rig.hand.advance(ms(59_000));
    assert_eq!(pid(&rig).await, first);
    rig.hand.advance(ms(1_000));
    let second = pid(&rig).await;
    assert_ne!(second, first);
    rig.until(async || !lives(first)).await;
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn children_are_recycled_by_memory() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation().recycle_above(150 << 20)).start().unwrap();
    let first = ran(&rig, "leaks", &json!(1)).await;
    assert_eq!(ran(&rig, "leaks", &json!(200)).await, first);
    let second = pid(&rig).await;
    assert_ne!(second, first);
    rig.until(async || !lives(first)).await;
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_child_without_work_is_ended_after_a_while() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation().idle_timeout(ms(30_000))).start().unwrap();
    let first = pid(&rig).await;
    rig.hand.advance(ms(29_000));
    assert_eq!(pid(&rig).await, first);
    rig.hand.advance(ms(29_000));
    assert!(lives(first), "it had work in between");
    rig.hand.advance(ms(1_000));
    rig.until(async || !lives(first)).await;
    assert_ne!(pid(&rig).await, first);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn as_many_children_as_jobs_at_once_and_no_more() {
    let rig = Rig::new();
    let dir = std::env::temp_dir().join(format!("oxmq-meet-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let ids = rig.add((0..9).map(|_| named("meets", &json!([dir, 3])))).await;
    let worker = isolated(&rig, isolation()).concurrency(3).start().unwrap();
    let mut pids = BTreeSet::new();
    for id in &ids {
        pids.insert(result(&rig.until_state(id, "completed").await).as_u64().unwrap());
    }
    assert_eq!(pids.len(), 3);
    std::fs::remove_dir_all(&dir).unwrap();
    soon(worker.close()).await.unwrap();
    assert!(!pids.into_iter().any(lives));
}

#[tokio::test]
async fn what_a_handler_has_started_ends_with_its_child() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation().recycle_after_jobs(1)).start().unwrap();
    let id = rig.add_one(named("has-a-child", &Value::Null)).await;
    let pids: [u64; 2] = serde_json::from_value(result(&rig.until_state(&id, "completed").await)).unwrap();
    rig.until(async || !pids.into_iter().any(lives)).await;
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_child_that_does_not_start_fails_the_job_and_says_why() {
    for (isolation, why) in [
        (
            Isolation::program("sh").args(["-c", "echo no license >&2; exit 4"]),
            "it ended before it was ready: exit code 4: no license; does it call `serve_if_child`?",
        ),
        (
            Isolation::program("/nowhere/at/all"),
            "it cannot be started: No such file or directory (os error 2)",
        ),
        (
            Isolation::program("sh").args(["-c", "echo hello >&0; read line"]),
            "its first message is not understood",
        ),
        (
            Isolation::program("sh").args(["-c", r#"echo '{"cmd":"ready","protocol":99}' >&0; read line"#]),
            "it speaks version 99 of the protocol, not 1",
        ),
        (
            // Among the tests of this program, there is none of that name.
            Isolation::this_program().args(["--exact", "nobody"]),
            "it ended before it was ready: exit code 0; does it call `serve_if_child`?",
        ),
    ] {
        let rig = Rig::new();
        let id = rig.add_one(named("pid", &Value::Null)).await;
        let worker = isolated(&rig, isolation).start().unwrap();
        let view = rig.until_state(&id, "failed").await;
        assert_eq!(reason(&view), format!("no process for the handler: {why}"));
        let told = rig.told.lock().unwrap().clone();
        let told = told.iter().any(
            |event| matches!(event, WorkerEvent::ChildNotStarted { reason, failures: 1 } if reason == why),
        );
        assert!(told, "{:?}", rig.names());
        soon(worker.close()).await.unwrap();
    }
}

#[tokio::test]
async fn a_child_that_is_not_ready_in_time_is_killed() {
    let rig = Rig::new();
    let id = rig.add_one(named("pid", &Value::Null)).await;
    let isolation = Isolation::program("sh").args(["-c", "exec sleep 600"]).start_timeout(ms(5_000));
    let worker = isolated(&rig, isolation).start().unwrap();
    rig.until_moving(ms(100), async || rig.job(&id).await.state.is_final()).await;
    assert_eq!(reason(&rig.job(&id).await), "no process for the handler: it was not ready within 5000 ms");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn starts_that_fail_are_slowed_down() {
    let rig = Rig::new();
    rig.add((0..40).map(|_| named("pid", &Value::Null))).await;
    let isolation = Isolation::program("sh").args(["-c", "exit 1"]);
    let worker = isolated(&rig, isolation).concurrency(4).start().unwrap();
    let before = rig.clock.now();
    rig.until_moving(ms(100), async || rig.told("ChildNotStarted") >= 13).await;
    // At most four begin together, of which three may be slow and be told of last. Besides these it is one at a time, each after
    // the wait of the one before.
    let least = ms(100 + 200 + 400 + 800 + 1_600 + 3_200 + 6_400 + 10_000 + 10_000);
    let took = rig.clock.now() - before;
    assert!(took >= least, "{took:?}, but at least {least:?}");
    soon(worker.close_now()).await.unwrap();
}

#[tokio::test]
async fn a_child_that_takes_no_job_does_not_harm_it_for_ever() {
    let rig = Rig::new();
    let id = rig.add_one(named("pid", &Value::Null)).await;
    // Ready, but gone as soon as it hears of a job.
    let script = r#"read init; echo '{"cmd":"ready","protocol":1}' >&0; read start; exit 7"#;
    let worker = isolated(&rig, Isolation::program("sh").args(["-c", script])).start().unwrap();
    rig.until_moving(ms(20), async || rig.job(&id).await.state.is_final()).await;
    let view = rig.job(&id).await;
    assert_eq!(reason(&view), "no process has taken the job: it ended: exit code 7");
    assert_eq!(rig.told("ChildNotStarted"), 3);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_child_that_speaks_nonsense_is_replaced() {
    let rig = Rig::new();
    let id = rig.add_one(named("pid", &Value::Null)).await;
    let script = r#"read init; echo '{"cmd":"ready","protocol":1}' >&0; read start; echo '{"cmd":"started"}' >&0; echo nonsense >&0; read line"#;
    let worker = isolated(&rig, Isolation::program("sh").args(["-c", script])).start().unwrap();
    let view = rig.until_state(&id, "failed").await;
    assert!(reason(&view).starts_with("the handler's process sent what is not understood"), "{view:?}");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn settings_out_of_range_are_refused() {
    let rig = Rig::new();
    for (wrong, field) in [
        (isolation().recycle_after_jobs(0), "recycle_after_jobs"),
        (isolation().recycle_after(ms(0)), "recycle_after"),
        (isolation().recycle_above(0), "recycle_above"),
        (isolation().kill_above(0), "kill_above"),
        (isolation().idle_timeout(ms(0)), "idle_timeout"),
        (isolation().start_timeout(ms(0)), "start_timeout"),
    ] {
        let error = isolated(&rig, wrong).start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
    }
}

#[test]
fn a_runtime_without_io_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let rig = Rig::new();
    let error = runtime
        .block_on(async { isolated(&rig, isolation()).start() })
        .map(|worker| worker.handle())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("enable_all"), "{error}");
}
