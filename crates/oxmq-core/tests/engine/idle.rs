//! A worker that has nothing to do asks little of its store, and is there all the same when something comes.

use std::time::Duration;

use oxmq_core::store::TakeRequest;
use oxmq_core::{ErrorKind, HandlerError, Store as _, Token, Worker};
use serde_json::Value;

use crate::faulty::Fault;
use crate::rig::{Rig, draft, ms, soon};

async fn works(_: Value) -> Result<(), HandlerError> {
    Ok(())
}

/// A worker that has seen the empty queue in both ways, and hears of nothing that comes: its waits never end.
async fn deaf_and_idle(rig: &Rig, poll: Duration) -> Worker {
    rig.store.hold("wait");
    let worker = rig.worker().poll(poll).handle_any(works).start().unwrap();
    rig.until(async || rig.told("Drained") > 0 && rig.store.count("wait") > 0).await;
    rig.until(async || rig.store.count("recover") == 1).await;
    worker
}

#[tokio::test]
async fn in_a_minute_it_looks_six_times_and_takes_nothing() {
    let rig = Rig::new();
    let worker = deaf_and_idle(&rig, Duration::from_secs(5)).await;
    rig.store.forget_calls();
    let end = rig.clock.now() + Duration::from_secs(60);
    rig.until_moving(ms(50), async || rig.clock.now() >= end).await;
    for verb in ["recover", "announce"] {
        let count = rig.store.count(verb);
        assert!((4..=7).contains(&count), "{verb}: {count}");
    }
    assert!(rig.store.count("sweep") <= 2);
    assert_eq!(rig.store.count("counts"), 0, "the watchdog has nothing to suspect");
    // When a look took the machine longer than it should.
    let takes = rig.store.count("take");
    assert!(takes <= 3, "{takes}");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_job_whose_wake_up_was_lost_is_found_within_ten_seconds() {
    let rig = Rig::new();
    let worker = deaf_and_idle(&rig, Duration::from_secs(5)).await;
    for looks in [1, 2, 4] {
        rig.until_moving(ms(100), async || rig.store.count("recover") >= looks).await;
        let (id, added) = (rig.add_one(draft()).await, rig.clock.now());
        rig.until_moving(ms(20), async || rig.job(&id).await.state.is_final()).await;
        let found_after = rig.clock.now() - added;
        // The clock runs on while others think.
        assert!(found_after < Duration::from_secs(13), "{found_after:?}");
    }
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn whoever_polls_often_relies_on_a_look_for_two_polls_only() {
    let rig = Rig::new();
    let worker = deaf_and_idle(&rig, Duration::from_secs(1)).await;
    let (id, added) = (rig.add_one(draft()).await, rig.clock.now());
    rig.until_moving(ms(10), async || rig.job(&id).await.state.is_final()).await;
    let found_after = rig.clock.now() - added;
    assert!(found_after < Duration::from_secs(5), "{found_after:?}: the next look was far");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn without_looks_for_lost_jobs_it_polls() {
    for skips in [true, false] {
        let rig = Rig::new();
        rig.store.hold("wait");
        // They fail, and vouch for nothing.
        for _ in 0..100 {
            rig.store.fail_next("recover", Fault::Before(ErrorKind::Unavailable));
        }
        let worker = rig.worker().skip_stall_check(skips).handle_any(works).start().unwrap();
        let end = rig.clock.now() + Duration::from_secs(60);
        rig.until_moving(ms(50), async || rig.clock.now() >= end).await;
        let takes = rig.store.count("take");
        assert!(takes >= 5, "{takes}");
        assert_eq!(rig.store.count("recover") == 0, skips);
        soon(worker.close()).await.unwrap();
    }
}

#[tokio::test]
async fn a_job_of_a_worker_that_dies_in_an_idle_queue_is_brought_back_within_fifteen_seconds() {
    let rig = Rig::new();
    let worker = rig.worker().handle_any(works).start().unwrap();
    rig.until(async || rig.told("Drained") > 0 && rig.store.count("recover") == 1).await;
    // Right after the look; the one that dies never shows itself.
    worker.handle().pause();
    rig.until(async || rig.told("Paused") == 1).await;
    let (id, taken_at) = (rig.add_one(draft()).await, rig.clock.now());
    let request = TakeRequest {
        limit: 1,
        token: Token::new("dead:1"),
        lease_for: Duration::from_secs(10),
        worker: None,
        rate_limit: None,
        until_needs_rate: false,
        now: taken_at,
    };
    assert_eq!(rig.store.model.take(&rig.queue, request).await.unwrap().jobs.len(), 1);
    worker.handle().resume();
    rig.until_moving(ms(20), async || rig.job(&id).await.state.is_final()).await;
    let back_after = rig.clock.now() - taken_at;
    // The clock runs on while others think.
    assert!(back_after < Duration::from_secs(18), "{back_after:?}");
    // The thread for the duties may still be about to tell it.
    rig.until_told("Stalled", 1).await;
    assert_eq!(rig.told("Stalled"), 1);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn an_empty_queue_is_looked_at_in_time_whatever_the_lease_and_the_interval() {
    // A job that is taken right after a look is brought back within its lease and an interval.
    for (lease, check, next) in [(10, 5, 10), (10, 30, 40), (60, 5, 10)] {
        let rig = Rig::new();
        let (lease, check, next) =
            (Duration::from_secs(lease), Duration::from_secs(check), Duration::from_secs(next));
        let worker = rig.worker().lease(lease).stall_check(check).handle_any(works).start().unwrap();
        rig.until(async || rig.told("Drained") > 0 && rig.store.count("recover") == 1).await;
        let begin = rig.clock.now();
        rig.until_moving(next / 200, async || rig.store.count("recover") == 2).await;
        let after = rig.clock.now() - begin;
        assert!(after >= next && after < next.mul_f64(1.45), "{after:?} with {lease:?}, {check:?}");
        soon(worker.close()).await.unwrap();
    }
}

#[tokio::test]
async fn it_announces_itself_in_full_at_first_and_after_a_failure_and_now_and_then() {
    let rig = Rig::new();
    let worker = rig.worker().handle_any(works).start().unwrap();
    let renewals = || rig.store.renewals.lock().unwrap().clone();
    rig.until(async || renewals().len() == 1).await;
    rig.until_moving(ms(100), async || renewals().len() == 3).await;
    assert_eq!(renewals(), [false, true, true]);
    rig.store.fail_next("announce", Fault::Before(ErrorKind::Unavailable));
    rig.until_moving(ms(500), async || renewals().len() == 35).await;
    let whole: Vec<_> =
        renewals().iter().enumerate().filter(|(_, renews)| !**renews).map(|(at, _)| at).collect();
    assert_eq!(whole, [0, 4, 34]);
    soon(worker.close()).await.unwrap();
    assert_eq!(renewals().last(), Some(&false), "the good-bye");
}
