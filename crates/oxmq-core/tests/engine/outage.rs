//! The store goes away, comes back, or leaves without an answer.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oxmq_core::store::TakeRequest;
use oxmq_core::{ErrorKind, HandlerError, JobState, Queue, Store, Token, WorkerBuilder};
use serde_json::Value;

use crate::faulty::{Fault, FaultyStore};
use crate::rig::{Barrier, Rig, draft, ms, soon};

/// A worker whose handlers wait at the barrier and are counted.
fn counting(rig: &Rig, barrier: &Barrier) -> (WorkerBuilder, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let (count, barrier) = (runs.clone(), barrier.clone());
    let builder = rig.worker().concurrency(3).handle_any(move |_: Value| {
        let barrier = barrier.clone();
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            barrier.wait().await;
            Ok::<_, HandlerError>("done")
        }
    });
    (builder, runs)
}

#[tokio::test]
async fn an_outage_loses_no_ending_and_is_told_once() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    let (builder, runs) = counting(&rig, &barrier);
    let ids = rig.add((0..3).map(|_| draft())).await;
    let worker = builder.start().unwrap();
    rig.until_told("Active", 3).await;
    rig.store.set_down(true);
    barrier.open();
    let handle = worker.handle();
    rig.store.forget_calls();
    rig.until_moving(ms(20), async || rig.store.count("finish") >= 5).await;
    assert_eq!(handle.active(), 3, "the slots stay taken until the endings are stored");
    assert!(handle.stats().store_errors >= 5);
    rig.store.set_down(false);
    rig.until_moving(ms(20), async || rig.told("Completed") == 3).await;
    for id in &ids {
        rig.until_state(id, "completed").await;
    }
    // It takes again by itself.
    let more = rig.add_one(draft()).await;
    rig.until_moving(ms(20), async || rig.job(&more).await.state.is_final()).await;
    assert_eq!(runs.load(Ordering::SeqCst), 4);
    assert_eq!((handle.stats().completed, handle.stats().late_results_refused), (4, 0));
    // Once for each duty that noticed: the exchange, the leases, the cancellations, the recovery, the announcement.
    let errors = rig.told("Error");
    assert!((1..=6).contains(&errors), "{:?}", rig.names());
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_worker_starts_without_a_store_and_waits_for_it() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    barrier.open();
    rig.store.set_down(true);
    let (builder, _) = counting(&rig, &barrier);
    let worker = builder.start().unwrap();
    rig.until_moving(ms(100), async || rig.store.count("take") >= 5).await;
    assert_eq!(rig.told("Ready"), 0);
    rig.store.set_down(false);
    rig.until_moving(ms(100), async || rig.told("Ready") == 1).await;
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_finish_without_an_answer_is_written_once() {
    for fault in [Fault::Before(ErrorKind::Ambiguous), Fault::After(ErrorKind::Ambiguous)] {
        let rig = Rig::new();
        let barrier = Barrier::default();
        let (builder, runs) = counting(&rig, &barrier);
        let id = rig.add_one(draft()).await;
        let worker = builder.start().unwrap();
        rig.until_told("Active", 1).await;
        rig.store.fail_next("finish", fault);
        barrier.open();
        rig.until_moving(ms(20), async || rig.told("Completed") == 1).await;
        let view = rig.until_state(&id, "completed").await;
        assert_eq!(view.job.attempts_made, 1, "{fault:?}");
        let stats = worker.handle().stats();
        assert_eq!(
            (runs.load(Ordering::SeqCst), stats.completed, stats.late_results_refused),
            (1, 1, 0),
            "{fault:?}"
        );
        soon(worker.close()).await.unwrap();
    }
}

#[tokio::test]
async fn jobs_of_a_take_without_an_answer_are_adopted_and_run_once() {
    for fault in [Fault::Before(ErrorKind::Ambiguous), Fault::After(ErrorKind::Ambiguous)] {
        let rig = Rig::new();
        let barrier = Barrier::default();
        barrier.open();
        let (builder, runs) = counting(&rig, &barrier);
        let ids = rig.add((0..3).map(|_| draft())).await;
        rig.store.fail_next("take", fault);
        // Looking for them fails, too, at first.
        rig.store.fail_next("jobs", Fault::Before(ErrorKind::Unavailable));
        let worker = builder.start().unwrap();
        rig.until_moving(ms(20), async || rig.told("Completed") == 3).await;
        assert_eq!(runs.load(Ordering::SeqCst), 3, "{fault:?}");
        for id in &ids {
            let job = rig.until_state(id, "completed").await.job;
            assert_eq!((job.attempts_started, job.stalled_count), (1, 0), "{fault:?}: not by recovery");
        }
        soon(worker.close()).await.unwrap();
    }
}

#[tokio::test]
async fn both_halves_of_a_call_without_an_answer_are_settled() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    barrier.open();
    let (builder, runs) = counting(&rig, &barrier);
    for _ in 0..3 {
        rig.store.fail_next("finish", Fault::After(ErrorKind::Ambiguous));
    }
    rig.add((0..20).map(|_| draft())).await;
    let worker = builder.start().unwrap();
    rig.until_moving(ms(20), async || rig.told("Completed") == 20).await;
    assert_eq!(rig.told("Stalled"), 0);
    assert_eq!(runs.load(Ordering::SeqCst), 20);
    assert_eq!((rig.counts().await.completed, rig.counts().await.active), (20, 0));
    assert_eq!(worker.handle().stats().late_results_refused, 0);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn an_ending_that_the_store_chokes_on_does_not_hold_up_the_others() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    let (builder, _) = counting(&rig, &barrier);
    rig.add((0..3).map(|_| draft())).await;
    let worker = builder.start().unwrap();
    rig.until_told("Active", 3).await;
    // All three together, then the first alone.
    rig.store.fail_next("finish", Fault::Before(ErrorKind::Invalid));
    rig.store.fail_next("finish", Fault::Before(ErrorKind::Invalid));
    barrier.open();
    rig.until_moving(ms(20), async || rig.told("Completed") == 2 && rig.told("LateResultRefused") == 1).await;
    assert_eq!(worker.handle().active(), 0);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_wait_that_fails_is_made_again() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    barrier.open();
    let (builder, _) = counting(&rig, &barrier);
    rig.store.fail_next("wait", Fault::Before(ErrorKind::Unavailable));
    let worker = builder.start().unwrap();
    rig.until_moving(ms(20), async || rig.store.count("wait") >= 2).await;
    let id = rig.add_one(draft()).await;
    rig.until_state(&id, "completed").await;
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn an_outage_is_told_to_all_who_wait_to_add_and_not_to_one_after_the_other() {
    let store = FaultyStore::new();
    let shared: Arc<dyn Store> = store.clone();
    let queue = Queue::new(&shared, "q").unwrap();
    store.hold("add");
    let adds: Vec<_> = (0..1_000).map(|n| tokio::spawn(queue.add_named("x", &n).into_future())).collect();
    while store.count("add") < 2 {
        tokio::task::yield_now().await;
    }
    for _under_way in 0..2 {
        store.fail_next("add", Fault::Before(ErrorKind::Unavailable));
    }
    store.release("add");
    for add in adds {
        assert_eq!(add.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert_eq!(store.count("add"), 2, "each further call would take as long again");
    queue.add_named("x", &1).await.unwrap();
    assert_eq!(queue.counts().await.unwrap().total(), 1);
}

#[tokio::test]
async fn a_take_that_the_server_ran_after_we_had_looked_for_it_is_found() {
    let rig = Rig::new();
    rig.store.fail_next("take", Fault::Before(ErrorKind::Ambiguous));
    let works = |_: Value| async { Ok::<_, HandlerError>(()) };
    let worker = rig.worker().handle_any(works).start().unwrap();
    rig.until_told("Error", 1).await;
    // The worker's next takes wait; the first one is run by the server only now.
    rig.store.hold("take");
    rig.until_moving(ms(50), async || rig.store.count("take") >= 2).await;
    let id = rig.add_one(draft()).await;
    let late = TakeRequest {
        limit: 1,
        token: Token::new(format!("{}:1", worker.handle().id())),
        lease_for: Duration::from_secs(10),
        worker: None,
        rate_limit: None,
        until_needs_rate: false,
        now: rig.clock.now(),
    };
    assert_eq!(rig.store.model.take(&rig.queue, late).await.unwrap().jobs.len(), 1);
    rig.until_moving(ms(100), async || rig.job(&id).await.state == JobState::Completed).await;
    assert_eq!(rig.job(&id).await.job.stalled_count, 0);
    rig.store.release("take");
    soon(worker.close()).await.unwrap();
}
