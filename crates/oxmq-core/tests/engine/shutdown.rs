//! How workers end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use oxmq_core::{CancelCause, HandlerError, JobContext, Store, Worker};
use serde_json::Value;

use crate::rig::{Barrier, Rig, draft, ms, soon};

fn waiting(rig: &Rig, barrier: &Barrier) -> Worker {
    let barrier = barrier.clone();
    let handler = move |_: Value| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            Ok::<_, HandlerError>(())
        }
    };
    rig.worker().concurrency(2).handle_any(handler).start().unwrap()
}

#[tokio::test]
async fn close_takes_nothing_more_and_waits_for_what_runs() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    let ids = rig.add((0..3).map(|_| draft())).await;
    let worker = waiting(&rig, &barrier);
    rig.until_told("Active", 2).await;
    let handle = worker.handle();
    handle.close();
    rig.until_told("Closing", 1).await;
    rig.hand.advance(ms(29_000));
    barrier.open();
    soon(worker.run()).await.unwrap();
    soon(handle.closed()).await;
    assert_eq!(rig.job(&ids[0]).await.state.as_str(), "completed");
    assert_eq!(rig.job(&ids[1]).await.state.as_str(), "completed");
    assert_eq!(rig.job(&ids[2]).await.state.as_str(), "waiting");
    assert_eq!(rig.names().last().unwrap(), "Closed");
    let workers = rig.store.model.workers(&rig.queue, rig.clock.now()).await.unwrap();
    assert!(workers.is_empty(), "it said good-bye: {workers:?}");
}

#[tokio::test]
async fn what_is_not_done_in_time_is_told_to_stop_and_handed_back_without_an_attempt() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    let ids = rig.add([draft(), draft()]).await;
    let worker = waiting(&rig, &barrier);
    rig.until_told("Active", 2).await;
    worker.handle().close();
    rig.until_told("Closing", 1).await;
    rig.hand.advance(ms(30_000));
    soon(worker.run()).await.unwrap();
    for id in &ids {
        let view = rig.job(id).await;
        assert_eq!((view.state.as_str(), view.job.attempts_made), ("waiting", 0));
    }
    assert_eq!(rig.told("Returned"), 2);
}

#[tokio::test]
async fn close_now_hands_back_at_once() {
    let rig = Rig::new();
    let id = rig.add_one(draft()).await;
    let told = Arc::new(AtomicBool::new(false));
    let worker = rig
        .worker()
        .handle_any({
            let told = told.clone();
            move |_: Value, job: JobContext| {
                let told = told.clone();
                // What a handler has given to a task of its own hears it too.
                tokio::spawn(async move {
                    told.store(job.cancelled().await == CancelCause::Closing, Ordering::SeqCst);
                });
                std::future::pending::<Result<(), HandlerError>>()
            }
        })
        .start()
        .unwrap();
    rig.until_told("Active", 1).await;
    soon(worker.close_now()).await.unwrap();
    let view = rig.job(&id).await;
    assert_eq!((view.state.as_str(), view.job.attempts_made), ("waiting", 0));
    rig.until(async || told.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn the_second_close_is_the_last() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    let id = rig.add_one(draft()).await;
    let worker = waiting(&rig, &barrier);
    rig.until_told("Active", 1).await;
    let handle = worker.handle();
    handle.close();
    rig.until_told("Closing", 1).await;
    handle.close();
    soon(worker.run()).await.unwrap();
    assert_eq!(rig.job(&id).await.state.as_str(), "waiting");
}

#[tokio::test]
async fn a_take_that_is_under_way_at_the_close_is_handed_back() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    let id = rig.add_one(draft()).await;
    rig.store.hold("take");
    let worker = waiting(&rig, &barrier);
    rig.until(async || rig.store.count("take") == 1).await;
    worker.handle().close();
    rig.until_told("Closing", 1).await;
    rig.store.release("take");
    soon(worker.run()).await.unwrap();
    let view = rig.job(&id).await;
    assert_eq!((view.state.as_str(), view.job.attempts_made), ("waiting", 0));
    assert_eq!(rig.told("Active"), 0);
}

#[tokio::test]
async fn a_store_that_is_away_does_not_keep_a_worker_from_closing() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    rig.add_one(draft()).await;
    let worker = waiting(&rig, &barrier);
    rig.until_told("Active", 1).await;
    rig.store.set_down(true);
    let handle = worker.handle();
    handle.close_now();
    let running = tokio::spawn(worker.run());
    rig.until_moving(ms(20), async || running.is_finished()).await;
    soon(running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_store_that_never_answers_does_not_either() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    barrier.open();
    for verb in ["finish", "announce", "extend"] {
        rig.store.hold(verb);
    }
    rig.add_one(draft()).await;
    let worker = waiting(&rig, &barrier);
    rig.until(async || rig.store.count("finish") == 1).await;
    worker.handle().close_now();
    let running = tokio::spawn(worker.run());
    rig.until_moving(ms(20), async || running.is_finished()).await;
    soon(running).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_job_of_a_handler_that_blocks_its_thread_is_handed_back() {
    let rig = Rig::new();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Arc::new(std::sync::Mutex::new(gone));
    let id = rig.add_one(draft()).await;
    let worker = rig
        .worker()
        .handle_any(move |_: Value| {
            let _ = gone.lock().unwrap().recv();
            async { Ok::<_, HandlerError>(()) }
        })
        .start()
        .unwrap();
    rig.until_told("Active", 1).await;
    let handle = worker.handle();
    handle.close_now();
    let running = tokio::spawn(worker.run());
    rig.until_moving(ms(20), async || running.is_finished()).await;
    assert_eq!(rig.job(&id).await.state.as_str(), "waiting");
    drop(go);
}

#[tokio::test]
async fn run_until_closes_when_it_is_told() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    let worker = waiting(&rig, &barrier);
    let stop = barrier.clone();
    let running = tokio::spawn(async move { worker.run_until(async move { stop.wait().await }).await });
    rig.until_told("Drained", 1).await;
    barrier.open();
    soon(running).await.unwrap().unwrap();
    assert_eq!(rig.told("Closed"), 1);
}

#[tokio::test]
async fn a_dropped_worker_leaves_nothing_running() {
    let rig = Rig::new();
    let alive = Arc::new(());
    rig.add_one(draft()).await;
    let worker = rig
        .worker()
        .handle_any({
            let alive = alive.clone();
            move |_: Value| {
                let alive = alive.clone();
                async move {
                    std::future::pending::<()>().await;
                    drop(alive);
                    Ok::<_, HandlerError>(())
                }
            }
        })
        .start()
        .unwrap();
    rig.until_told("Active", 1).await;
    let handle = worker.handle();
    drop(worker);
    soon(handle.closed()).await;
    drop(handle);
    // The handler, its worker and the worker's thread are all gone: nobody holds the handler's values any more, or the store.
    rig.until(async || Arc::strong_count(&alive) == 1).await;
    rig.until(async || Arc::strong_count(&rig.store) == 1).await;
}
