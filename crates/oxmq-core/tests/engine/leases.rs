//! Leases are kept while handlers run; one that is lost stops its handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use oxmq_core::store::RecoverRequest;
use oxmq_core::{CancelCause, Clock, HandlerError, JobContext, Store};
use serde_json::Value;

use crate::rig::{Barrier, Rig, draft, ms, soon};

/// Takes all leased jobs away, as if their leases had run out.
async fn take_away(rig: &Rig) {
    let now = rig.clock.now() + ms(3_600_000);
    let request = RecoverRequest { max_stalled: 9, interval: ms(0), now };
    assert!(!rig.store.model.recover(&rig.queue, request).await.unwrap().stalled.is_empty());
}

#[tokio::test]
async fn leases_are_renewed_for_as_long_as_the_handler_runs() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    let id = rig.add_one(draft()).await;
    let worker = rig
        .worker()
        .handle_any({
            let barrier = barrier.clone();
            move |_: Value| {
                let barrier = barrier.clone();
                async move {
                    barrier.wait().await;
                    Ok::<_, HandlerError>(())
                }
            }
        })
        .start()
        .unwrap();
    rig.until_told("Active", 1).await;
    let before = rig.clock.now();
    rig.until_moving(ms(250), async || rig.clock.now() - before > ms(60_000)).await;
    assert!(rig.store.count("extend") >= 2);
    assert_eq!(rig.told("Stalled"), 0);
    barrier.open();
    let view = rig.until_state(&id, "completed").await;
    assert_eq!((view.job.attempts_started, view.job.stalled_count), (1, 0));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_lost_lease_stops_the_handler_and_its_late_result_is_not_sent() {
    let rig = Rig::new();
    let id = rig.add_one(draft()).await;
    let worker = rig
        .worker()
        .handle_any(async |_: Value, job: JobContext| {
            if job.start_number() == 1 {
                assert_eq!(job.cancelled().await, CancelCause::LeaseLost);
                return Ok("too late");
            }
            Ok::<_, HandlerError>("right")
        })
        .start()
        .unwrap();
    rig.until_told("Active", 1).await;
    take_away(&rig).await;
    rig.until_moving(ms(500), async || rig.told("Completed") == 1).await;
    let view = rig.until_state(&id, "completed").await;
    assert_eq!(view.job.return_value.unwrap().as_str(), "\"right\"");
    assert_eq!((view.job.attempts_started, view.job.attempts_made), (2, 1));
    // The first run may end after the second.
    rig.until_told("LateResultRefused", 1).await;
    let stats = worker.handle().stats();
    assert_eq!((stats.leases_lost, stats.late_results_refused, stats.completed), (1, 1, 1));
    assert_eq!((rig.told("LeaseLost"), rig.told("LateResultRefused")), (1, 1));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_late_result_is_refused_by_the_store_and_counted() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    rig.add_one(draft()).await;
    let worker = rig
        .worker()
        .handle_any({
            let barrier = barrier.clone();
            move |_: Value| {
                let barrier = barrier.clone();
                async move {
                    barrier.wait().await;
                    Ok::<_, HandlerError>(())
                }
            }
        })
        .start()
        .unwrap();
    rig.until_told("Active", 1).await;
    take_away(&rig).await;
    // Nobody has told the worker.
    barrier.open();
    rig.until_told("LateResultRefused", 1).await;
    rig.until_told("Completed", 1).await;
    let stats = worker.handle().stats();
    assert_eq!((stats.started, stats.late_results_refused, stats.completed), (2, 1, 1));
    soon(worker.close()).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_handler_that_blocks_the_runtime_keeps_its_lease() {
    let rig = Rig::new();
    let (started, has_started) = mpsc::channel::<()>();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Arc::new(std::sync::Mutex::new(gone));
    let id = rig.add_one(draft()).await;
    // Somebody else moves the clock while this runtime stands still, and lets the handler go after a minute.
    let mover = std::thread::spawn({
        let (store, hand) = (rig.store.clone(), rig.hand.clone());
        move || {
            has_started.recv().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(soon(async {
                let before = hand.now();
                while hand.now() - before < ms(60_000) || store.count("extend") < 5 {
                    hand.advance(ms(250));
                    Clock::system().sleep(ms(1)).await;
                }
            }));
            go.send(()).unwrap();
        }
    });
    let worker = rig
        .worker()
        .handle_any(move |_: Value| {
            started.send(()).unwrap();
            gone.lock().unwrap().recv().unwrap();
            async { Ok::<_, HandlerError>(()) }
        })
        .start()
        .unwrap();
    let view = rig.until_state(&id, "completed").await;
    mover.join().unwrap();
    assert_eq!((view.job.attempts_started, view.job.stalled_count), (1, 0));
    soon(worker.close()).await.unwrap();
    assert_eq!((rig.told("LeaseLost"), rig.told("Stalled")), (0, 0));
}

#[tokio::test]
async fn the_jobs_of_a_dead_worker_are_brought_back_and_fail_after_too_many_deaths() {
    let rig = Rig::new();
    let id = rig.add_one(draft()).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let handler = {
        let runs = runs.clone();
        move |_: Value| {
            runs.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<Result<(), HandlerError>>()
        }
    };
    for death in 1..=2 {
        let worker = rig.worker().max_stalled(1).handle_any(handler.clone()).start().unwrap();
        rig.until_moving(ms(500), async || runs.load(Ordering::SeqCst) == death).await;
        drop(worker);
    }
    let worker = rig.worker().max_stalled(1).handle_any(handler).start().unwrap();
    rig.until_moving(ms(500), async || rig.job(&id).await.state.is_final()).await;
    let view = rig.until_state(&id, "failed").await;
    assert_eq!(crate::rig::reason(&view), "job stalled more than allowable limit");
    assert_eq!(runs.load(Ordering::SeqCst), 2, "the third worker did not call the handler");
    assert_eq!(rig.told("Stalled"), 2);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_skips_the_stall_check_leaves_lost_jobs_to_others() {
    let rig = Rig::new();
    let id = rig.add_one(draft()).await;
    let first =
        rig.worker().handle_any(async |_: Value| std::future::pending::<Result<(), HandlerError>>().await);
    let first = first.start().unwrap();
    rig.until_told("Active", 1).await;
    drop(first);
    let done = async |_: Value| Ok::<_, HandlerError>(());
    let skipping = rig.worker().skip_stall_check(true).handle_any(done).start().unwrap();
    // Long after the lease has run out: what was added after it is done, and it is still active.
    rig.hand.advance(ms(120_000));
    let later = rig.add_one(draft()).await;
    rig.until_state(&later, "completed").await;
    assert_eq!(rig.job(&id).await.state.as_str(), "active");
    let looking = rig.worker().handle_any(done).start().unwrap();
    rig.until_moving(ms(500), async || rig.job(&id).await.state.is_final()).await;
    assert_eq!(rig.told("Stalled"), 1);
    soon(skipping.close()).await.unwrap();
    soon(looking.close()).await.unwrap();
}

#[tokio::test]
async fn renewed_leases_are_told() {
    let rig = Rig::new();
    let id = rig.add_one(draft()).await;
    let handler = async |_: Value| std::future::pending::<Result<(), HandlerError>>().await;
    let worker = rig.worker().handle_any(handler).start().unwrap();
    rig.until_told("Active", 1).await;
    rig.until_moving(ms(500), async || rig.told("LeasesRenewed") > 0).await;
    assert_eq!(rig.job(&id).await.state.as_str(), "active");
    soon(worker.close_now()).await.unwrap();
}
