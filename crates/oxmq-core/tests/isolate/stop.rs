//! Jobs that are told to stop, and workers that end.

use oxmq_core::{Clock, JobId};
use serde_json::{Value, json};

use crate::handlers::{isolated, isolation, lives, log_of, named, result};
use crate::rig::{Rig, ms, reason, soon};

/// Waits until the handler runs, and gives its process.
async fn pid_of(rig: &Rig, id: &JobId) -> u64 {
    rig.until(async || !log_of(rig, id).await.is_empty()).await;
    log_of(rig, id).await[0].strip_prefix("pid ").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_cancelled_handler_is_told_why_and_its_process_lives_on() {
    let rig = Rig::new();
    let id = rig.add_one(named("waits", &Value::Null)).await;
    let worker = isolated(&rig, isolation()).start().unwrap();
    let pid = pid_of(&rig, &id).await;
    assert!(worker.handle().cancel_local(&id, "by its worker"));
    let view = rig.until_state(&id, "failed").await;
    assert_eq!(reason(&view), "cancelled: by its worker");
    assert_eq!(log_of(&rig, &id).await[1], "requested by its worker");
    let next = rig.add_one(named("pid", &Value::Null)).await;
    assert_eq!(result(&rig.until_state(&next, "completed").await), pid);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_handler_over_its_time_is_told_and_has_failed() {
    let rig = Rig::new();
    let draft = named("waits", &Value::Null).with(|options| options.timeout = Some(ms(60_000)));
    let id = rig.add_one(draft).await;
    let worker = isolated(&rig, isolation()).start().unwrap();
    pid_of(&rig, &id).await;
    rig.hand.advance(ms(60_000));
    assert_eq!(reason(&rig.until_state(&id, "failed").await), "timed out after 60000 ms");
    assert_eq!(log_of(&rig, &id).await[1], "timed out 60s");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_handler_that_does_not_stop_gets_sigterm_then_sigkill() {
    let rig = Rig::new();
    // It hears nothing, and its process not even SIGTERM.
    let draft = named("blocks", &Value::Null).with(|options| options.timeout = Some(ms(60_000)));
    let id = rig.add_one(draft).await;
    let worker = isolated(&rig, isolation().kill_after(ms(3_000))).cancel_grace(ms(7_000)).start().unwrap();
    let pid = pid_of(&rig, &id).await;
    rig.hand.advance(ms(60_000));
    for left in [6_999, 2_999] {
        // Up to the last moment of its grace, and of its time after SIGTERM, nothing happens to it.
        Clock::system().sleep(ms(50)).await;
        rig.hand.advance(ms(left));
        Clock::system().sleep(ms(50)).await;
        assert!(lives(pid));
        assert_eq!(rig.job(&id).await.state.as_str(), "active");
        rig.hand.advance(ms(1));
    }
    let view = rig.until_state(&id, "failed").await;
    assert_eq!(reason(&view), "timed out after 60000 ms");
    assert!(!lives(pid), "it is dead before the job has failed");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn sigterm_out_of_the_blue_does_not_keep_a_job_from_being_finished() {
    let rig = Rig::new();
    let id = rig.add_one(named("dies", &json!("term"))).await;
    let worker = isolated(&rig, isolation()).start().unwrap();
    rig.until_state(&id, "completed").await;
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_handler_that_does_not_listen_to_sigterm_ends_by_it() {
    let rig = Rig::new();
    let id = rig.add_one(named("lingers", &Value::Null)).await;
    let worker = isolated(&rig, isolation().kill_after(ms(3_600_000))).start().unwrap();
    let pid = pid_of(&rig, &id).await;
    assert!(worker.handle().cancel_local(&id, "by its worker"));
    rig.until(async || log_of(&rig, &id).await.len() == 2).await;
    rig.hand.advance(ms(5_000));
    assert_eq!(reason(&rig.until_state(&id, "failed").await), "cancelled: by its worker");
    assert!(!lives(pid));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_handler_that_blocks_its_thread_is_ended() {
    let rig = Rig::new();
    let id = rig.add_one(named("blocks", &Value::Null)).await;
    let worker = isolated(&rig, isolation()).start().unwrap();
    let pid = pid_of(&rig, &id).await;
    assert!(worker.handle().cancel_local(&id, "by its worker"));
    rig.until_moving(ms(100), async || rig.job(&id).await.state.is_final()).await;
    assert_eq!(reason(&rig.job(&id).await), "cancelled: by its worker");
    assert!(!lives(pid));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_closing_worker_lets_its_handlers_finish_and_leaves_no_process() {
    let rig = Rig::new();
    let ids = rig.add([named("pid", &Value::Null), named("waits", &Value::Null)]).await;
    let worker = isolated(&rig, isolation()).concurrency(2).start().unwrap();
    let idle = result(&rig.until_state(&ids[0], "completed").await).as_u64().unwrap();
    let busy = pid_of(&rig, &ids[1]).await;
    assert!(lives(busy));
    let handle = worker.handle();
    let closing = tokio::spawn(worker.close());
    rig.until_told("Closing", 1).await;
    assert!(handle.cancel_local(&ids[1], "by its worker"));
    soon(closing).await.unwrap().unwrap();
    assert!(!lives(idle) && !lives(busy));
    assert_eq!(reason(&rig.job(&ids[1]).await), "cancelled: by its worker");
}

#[tokio::test]
async fn a_worker_that_closes_at_once_kills_the_process_and_hands_the_job_back() {
    for dropped in [false, true] {
        let rig = Rig::new();
        let id = rig.add_one(named("blocks", &Value::Null)).await;
        let worker = isolated(&rig, isolation()).start().unwrap();
        let pid = pid_of(&rig, &id).await;
        if dropped {
            drop(worker);
        } else {
            let closing = tokio::spawn(worker.close_now());
            rig.until_moving(ms(10), async || closing.is_finished()).await;
            let view = rig.job(&id).await;
            assert_eq!((view.state.as_str(), view.job.attempts_made), ("waiting", 0));
        }
        rig.until(async || !lives(pid)).await;
    }
}

#[tokio::test]
async fn a_worker_that_is_dropped_takes_the_idle_ones_with_it() {
    let rig = Rig::new();
    let id = rig.add_one(named("pid", &Value::Null)).await;
    let worker = isolated(&rig, isolation()).start().unwrap();
    let pid = result(&rig.until_state(&id, "completed").await).as_u64().unwrap();
    assert!(lives(pid));
    // Something that steers it may outlive it.
    let _handle = worker.handle();
    drop(worker);
    rig.until(async || !lives(pid)).await;
}
