//! Callers that commit by themselves, and when they must not.

use std::sync::Mutex;

use super::tests::{NOW, emit, events, folder, open, options, queue};
use super::*;
use oxmq_core::{Event, EventKind};

const WRITER: &str = "oxmq-writer";

/// Writes so many events as an operation of one job; the threads that it was run in.
async fn lone(engine: &Engine, count: u64) -> Sql<Vec<String>> {
    let queue = queue("a");
    let threads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&threads);
    engine
        .write_jobs(1, move |tx| {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            seen.lock().unwrap().push(name);
            let queue = tx.queue(&queue, NOW)?;
            for _ in 0..count {
                queue.emit(NOW, &Event::queue(EventKind::Resumed))?;
            }
            Ok(())
        })
        .await?;
    Ok(std::mem::take(&mut threads.lock().unwrap()))
}

#[tokio::test]
async fn a_lone_caller_commits_in_its_own_thread_and_now_and_then_by_the_writer() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    let mut by_writer = 0;
    for _ in 0..300 {
        let threads = lone(&engine, 1).await.unwrap();
        assert_eq!(threads.len(), 1);
        by_writer += u32::from(threads[0] == WRITER);
    }
    // Every 129th; the writer may still hold the connection when the caller comes again.
    assert!((2..100).contains(&by_writer), "{by_writer} of 300");
    assert_eq!(events(&engine).await, 300);
}

#[tokio::test]
async fn what_turns_out_to_be_long_is_done_by_the_writer_and_once() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    let threads = lone(&engine, 100).await.unwrap();
    assert_eq!(threads.len(), 2, "{threads:?}");
    assert_ne!(threads[0], WRITER);
    assert_eq!(threads[1], WRITER);
    assert_eq!(events(&engine).await, 100);
}

#[tokio::test]
async fn callers_that_come_together_share_commits() {
    let (_folder, path) = folder();
    let engine = Arc::new(open(&path).await);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                let mut by_writer = 0;
                for _ in 0..40 {
                    by_writer += u32::from(lone(&engine, 1).await.unwrap()[0] == WRITER);
                }
                by_writer
            })
        })
        .collect();
    let mut by_writer = 0;
    for caller in callers {
        by_writer += caller.await.unwrap();
    }
    assert!(by_writer >= 1_000, "{by_writer} of 2,000 by the writer");
    assert_eq!(events(&engine).await, 2_000);
}

#[tokio::test]
async fn calls_take_effect_in_the_order_in_which_they_were_begun_large_and_small() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    for _ in 0..20 {
        let before = events(&engine).await;
        let number = |jobs| {
            let queue = queue("a");
            engine.write_jobs(jobs, move |tx| {
                tx.queue(&queue, NOW)?.emit(NOW, &Event::queue(EventKind::Resumed))
            })
        };
        let all =
            tokio::join!(biased; number(1), number(usize::MAX), number(1), number(usize::MAX), number(1));
        let numbers = [all.0, all.1, all.2, all.3, all.4]
            .map(|number| i64::try_from(number.unwrap()).unwrap() - before);
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
    }
}

#[tokio::test]
async fn another_process_in_the_way_is_waited_for_by_the_writer() {
    let (_folder, path) = folder();
    let deadline = std::time::Duration::from_secs(1);
    let engine = Engine::open(Options { call_deadline: deadline, ..options(&path) }).await.unwrap();
    lone(&engine, 1).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let fault = lone(&engine, 1).await.unwrap_err();
    assert!(matches!(fault, SqlFault::Locked { .. } | SqlFault::TimedOut), "{fault:?}");
    other.execute_batch("COMMIT").unwrap();
    lone(&engine, 1).await.unwrap();
    assert_eq!(events(&engine).await, 2);
}

#[tokio::test]
async fn a_panic_of_a_lone_caller_is_an_error_and_leaves_nothing_behind() {
    let (_folder, path) = folder();
    let engine = open(&path).await;
    lone(&engine, 1).await.unwrap();
    let queue = queue("a");
    let panicked = engine
        .write_jobs::<(), _>(1, move |tx| {
            tx.queue(&queue, NOW)?.emit(NOW, &Event::queue(EventKind::Resumed))?;
            panic!("oh")
        })
        .await;
    assert!(matches!(&panicked, Err(SqlFault::Other(text)) if text.contains("panicked: oh")), "{panicked:?}");
    assert_eq!(emit(&engine, "a").await.unwrap(), 2);
}

#[tokio::test]
async fn with_durability_power_a_lone_caller_commits_by_itself_and_is_answered_by_the_disk() {
    let (_folder, path) = folder();
    let engine = Engine::open(Options { durability: Durability::Power, ..options(&path) }).await.unwrap();
    let mut by_writer = 0;
    for _ in 0..300 {
        by_writer += u32::from(lone(&engine, 1).await.unwrap()[0] == WRITER);
    }
    assert!((2..100).contains(&by_writer), "{by_writer} of 300");
    assert_eq!(events(&engine).await, 300);
    engine.close().await;
    assert_eq!(lone(&engine, 1).await, Err(SqlFault::Closed));
    assert_eq!(events(&open(&path).await).await, 300);
}

#[tokio::test]
async fn with_durability_power_callers_that_come_together_are_all_answered() {
    let (_folder, path) = folder();
    let engine = Engine::open(Options { durability: Durability::Power, ..options(&path) }).await.unwrap();
    let engine = Arc::new(engine);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                for _ in 0..10 {
                    lone(&engine, 1).await.unwrap();
                    emit(&engine, "a").await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(events(&engine).await, 1_000);
    // What is under way is answered, also if the store is closed meanwhile.
    let (written, ()) = tokio::join!(biased; emit(&engine, "a"), engine.close());
    assert_eq!(written.unwrap(), 1_001);
}
