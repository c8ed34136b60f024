//! Who hears of other processes' commits.

#![cfg(target_os = "linux")]

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::tests::{emit, folder, open, queue};
use super::*;
use crate::tx::QueueRow;
use crate::wake::Marks;

const HEARD_WITHIN: Duration = Duration::from_secs(10);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Waits until a commit of another store, which is to this one as another process is, is heard, listening as a wait of a worker does.
async fn hears(engine: &Engine, waiting: &Waiting, other: &Engine, name: &str) {
    let bell = engine.bells().bell(&queue(name));
    let mut newest = bell.work.subscribe();
    newest.mark_unchanged();
    emit(other, name).await.unwrap();
    let heard = async {
        tokio::select! {
            heard = newest.changed() => heard.unwrap(),
            never = waiting.listen() => match never {},
        }
    };
    tokio::time::timeout(HEARD_WITHIN, heard).await.unwrap();
}

#[test]
fn a_wait_has_an_ear_on_the_runtime_of_the_others_and_else_the_watcher_listens() {
    let (_folder, path) = folder();
    let (first, second) = (runtime(), runtime());
    let engine = first.block_on(open(&path));
    let listens = || engine.bells().is_listened_for();
    assert!(listens());
    let beside = engine.wait_beside();
    assert!(listens(), "nobody else does");
    let one = first.block_on(async { engine.wait() });
    let another = first.block_on(async { engine.wait() });
    assert!(!listens());
    let elsewhere = second.block_on(async { engine.wait() });
    assert!(listens(), "for the one that is elsewhere");
    drop(elsewhere);
    assert!(!listens());
    // No runtime at all.
    let nowhere = engine.wait();
    assert!(listens());
    drop((nowhere, one));
    assert!(!listens());
    drop(another);
    assert!(listens());
    // The first runtime has no wait any more.
    let elsewhere = second.block_on(async { engine.wait() });
    assert!(!listens());
    drop((elsewhere, beside));
    first.block_on(engine.close());
}

#[test]
fn a_future_that_a_thread_blocks_on_beside_a_runtime_of_several_threads_has_no_ear() {
    let (_folder, path) = folder();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let engine = Arc::new(runtime.block_on(open(&path)));
    let waiting = runtime.block_on(async { engine.wait() });
    assert!(engine.bells().is_listened_for());
    drop(waiting);
    let same = Arc::clone(&engine);
    let waiting = runtime.block_on(async { tokio::spawn(async move { same.wait() }).await.unwrap() });
    assert!(!engine.bells().is_listened_for());
    drop(waiting);
    runtime.block_on(engine.close());
}

#[test]
fn without_io_the_watcher_hears() {
    let (_folder, path) = folder();
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (engine, other) = (open(&path).await, open(&path).await);
        emit(&engine, "a").await.unwrap();
        let waiting = engine.wait();
        assert!(engine.bells().is_listened_for());
        hears(&engine, &waiting, &other, "a").await;
    });
}

#[tokio::test]
async fn one_nudge_after_the_other_is_heard_of_queues_that_are_known_and_of_others() {
    let (_folder, path) = folder();
    let (engine, other) = (open(&path).await, open(&path).await);
    let waiting = engine.wait();
    for round in 0..50 {
        // What number a queue has is known when it was looked at once.
        let name = ["a", "b", "c"][round % 3];
        hears(&engine, &waiting, &other, name).await;
    }
    assert!(!engine.bells().is_listened_for());
    assert!(engine.bells().is_watched());
    let row = engine.read(|db| QueueRow::find(db, &queue("b"))).await.unwrap().unwrap();
    assert_eq!(*engine.bells().bell(&queue("b")).work.borrow(), Marks::of(&row).work);
}

#[tokio::test]
async fn another_wait_listens_when_the_one_that_did_has_ended() {
    let (_folder, path) = folder();
    let (engine, other) = (open(&path).await, open(&path).await);
    emit(&engine, "a").await.unwrap();
    let (first, second) = (engine.wait(), engine.wait());
    let listening = tokio::spawn(async move { first.listen().await });
    tokio::task::yield_now().await;
    hears(&engine, &second, &other, "a").await;
    listening.abort();
    assert!(listening.await.is_err());
    for _ in 0..10 {
        hears(&engine, &second, &other, "a").await;
    }
}

#[tokio::test]
async fn an_ear_hears_without_a_watcher_too() {
    let (_folder, path) = folder();
    let (engine, other) = (open(&path).await, open(&path).await);
    // Its number is known when this process has committed something of it.
    engine.bells().bell(&queue("a"));
    emit(&engine, "a").await.unwrap();
    // As if the thread could not be started.
    engine.watcher_started.store(true, Ordering::Release);
    let waiting = engine.wait();
    assert!(!engine.bells().is_watched());
    for _ in 0..10 {
        hears(&engine, &waiting, &other, "a").await;
    }
}
