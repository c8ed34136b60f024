//! One task sends finishes and demand together; it wakes when there is something to do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use oxmq_core::store::Woken;
use oxmq_core::{ErrorKind, HandlerError};
use serde_json::Value;
use tokio::sync::Notify;

use crate::faulty::Fault;
use crate::rig::{Barrier, Rig, draft, ms, soon};

#[tokio::test]
async fn an_idle_worker_starts_a_job_after_one_round_trip() {
    let rig = Rig::new();
    let store = rig.store.clone();
    let calls = Arc::new(AtomicUsize::new(0));
    let worker = rig
        .worker()
        .concurrency(4)
        .handle_any({
            let (store, calls) = (store.clone(), calls.clone());
            move |_: Value| {
                calls.store(store.exchanges().len(), Ordering::SeqCst);
                async { Ok::<_, HandlerError>(()) }
            }
        })
        .start()
        .unwrap();
    rig.until(async || store.count("wait") == 1).await;
    store.forget_calls();
    let id = rig.add_one(draft()).await;
    rig.until_state(&id, "completed").await;
    assert_eq!(calls.load(Ordering::SeqCst), 1, "the take, and nothing else, came before the handler");
    let made = store.exchanges();
    assert_eq!((made[0].verb, made[0].limit), ("take", 4), "the whole demand: {made:?}");
    assert_eq!((made[1].verb, made[1].endings, made[1].limit), ("finish", 1, 4), "{made:?}");
    soon(worker.close()).await.unwrap();
    assert_eq!(rig.names(), ["Ready", "Drained", "Active", "Completed", "Drained", "Closing", "Closed"]);
}

#[tokio::test]
async fn endings_and_demand_travel_in_one_call() {
    let rig = Rig::new();
    let barrier = Barrier::default();
    rig.add((0..10).map(|_| draft())).await;
    let worker = rig
        .worker()
        .concurrency(10)
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
    rig.until_told("Active", 10).await;
    rig.store.forget_calls();
    barrier.open();
    rig.until_told("Completed", 10).await;
    let made = rig.store.exchanges();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!((made[0].endings, made[0].limit), (10, 10), "{made:?}");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn calls_are_bounded_in_number_and_size() {
    let rig = Rig::new();
    rig.add((0..300).map(|_| draft())).await;
    rig.store.hold("take");
    let worker = rig.worker().concurrency(200).handle_any(async |_: Value| Ok::<_, HandlerError>(())).start();
    let worker = worker.unwrap();
    rig.until(async || rig.store.count("take") == 2).await;
    rig.store.release("take");
    rig.until_told("Completed", 300).await;
    soon(worker.close()).await.unwrap();
    assert_eq!(rig.store.under_way_max.load(Ordering::SeqCst), oxmq_core::DEPTH);
    let made = rig.store.exchanges();
    assert!(made.iter().all(|made| made.endings <= 50 && made.limit <= 50), "{made:?}");
}

#[tokio::test]
async fn of_large_jobs_a_call_asks_for_few() {
    let rig = Rig::new();
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    rig.add((0..150).map(|_| draft().data(&large))).await;
    rig.add((0..300).map(|_| draft())).await;
    let worker = rig.worker().concurrency(50).handle_any(async |_: Value| Ok::<_, HandlerError>(())).start();
    let worker = worker.unwrap();
    rig.until_told("Completed", 450).await;
    soon(worker.close()).await.unwrap();
    let made = rig.store.exchanges();
    // How large they are is not known before the first answer.
    assert_eq!(made[0].limit, 50, "{made:?}");
    let of_large = made[1..].iter().take_while(|made| made.limit <= 8);
    assert!(of_large.clone().map(|made| made.limit).sum::<usize>() >= 100, "{made:?}");
    assert!(of_large.clone().any(|made| made.endings > 8), "endings travel as before: {made:?}");
    assert!(made[1 + of_large.count()..].iter().any(|made| made.limit == 50), "so do small jobs: {made:?}");
}

#[tokio::test]
async fn never_more_jobs_run_than_allowed_and_that_can_be_changed() {
    let rig = Rig::new();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let barrier = Barrier::default();
    let worker = rig
        .worker()
        .concurrency(2)
        .handle_any({
            let (now, most, barrier) = (now.clone(), most.clone(), barrier.clone());
            move |_: Value| {
                let (now, most, barrier) = (now.clone(), most.clone(), barrier.clone());
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    barrier.wait().await;
                    tokio::task::yield_now().await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok::<_, HandlerError>(())
                }
            }
        })
        .start()
        .unwrap();
    rig.add((0..40).map(|_| draft())).await;
    rig.until_told("Active", 2).await;
    let handle = worker.handle();
    assert_eq!((handle.active(), handle.concurrency()), (2, 2));
    handle.set_concurrency(5);
    rig.until_told("Active", 5).await;
    assert_eq!(most.load(Ordering::SeqCst), 5);
    handle.set_concurrency(1);
    barrier.open();
    rig.until_told("Completed", 5).await;
    most.store(0, Ordering::SeqCst);
    rig.until_told("Completed", 40).await;
    assert!(most.load(Ordering::SeqCst) <= 1, "{}", most.load(Ordering::SeqCst));
    soon(worker.close()).await.unwrap();
    assert_eq!(handle.stats().started, 40);
}

#[tokio::test]
async fn a_paused_worker_takes_nothing_until_it_is_resumed() {
    let rig = Rig::new();
    let worker = rig.worker().handle_any(async |_: Value| Ok::<_, HandlerError>(())).start().unwrap();
    rig.until_told("Drained", 1).await;
    worker.handle().pause();
    worker.handle().pause();
    rig.until(async || rig.told("Paused") == 1).await;
    let id = rig.add_one(draft()).await;
    rig.store.forget_calls();
    for _ in 0..20 {
        tokio::task::yield_now().await;
        rig.hand.advance(ms(1_000));
    }
    assert!(rig.store.exchanges().is_empty(), "{:?}", rig.store.exchanges());
    worker.handle().resume();
    rig.until_state(&id, "completed").await;
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_delayed_job_starts_when_it_is_due() {
    let rig = Rig::new();
    let id = rig.add_one(draft().delay(ms(60_000))).await;
    // Added before the worker looks, and after: it hears of both.
    let worker =
        rig.worker().poll(ms(3_600_000)).handle_any(async |_: Value| Ok::<_, HandlerError>(())).start();
    let worker = worker.unwrap();
    rig.until_told("Drained", 1).await;
    let earlier = rig.add_one(draft().delay(ms(30_000))).await;
    rig.until(async || rig.store.count("wait") >= 2).await;
    rig.hand.advance(ms(29_999));
    rig.until(async || rig.counts().await.delayed == 2).await;
    rig.hand.advance(ms(1));
    rig.until_state(&earlier, "completed").await;
    assert_eq!(rig.counts().await.delayed, 1);
    rig.hand.advance(ms(30_000));
    rig.until_state(&id, "completed").await;
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_job_that_is_due_later_is_not_forgotten_if_it_is_heard_of_after_a_call_has_looked_and_before_it_answers()
 {
    let rig = Rig::new();
    rig.add_one(draft()).await;
    rig.store.hold("wait");
    let may_end = Arc::new(Notify::new());
    let ends = Arc::clone(&may_end);
    let handler = move |_: Value| {
        let ends = Arc::clone(&ends);
        async move {
            ends.notified().await;
            Ok::<_, HandlerError>(())
        }
    };
    let worker = rig.worker().concurrency(2).poll(ms(3_600_000)).skip_stall_check(true).handle_any(handler);
    let worker = worker.start().unwrap();
    rig.until(async || rig.counts().await.active == 1 && rig.store.count("wait") == 1).await;
    rig.store.hold_answers("finish");
    may_end.notify_one();
    rig.until(async || rig.counts().await.completed == 1).await;
    let late = rig.add_one(draft().delay(ms(20_000))).await;
    rig.store.say(Woken::Due(rig.clock.now() + ms(20_000)));
    rig.until(async || rig.store.count("wait") == 2).await;
    rig.store.release_answers("finish");
    rig.until(async || rig.told("Completed") > 0).await;
    may_end.notify_one();
    rig.hand.advance(ms(20_000));
    rig.until_state(&late, "completed").await;
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_limited_worker_waits_for_the_window_and_does_not_hammer() {
    let rig = Rig::new();
    rig.add((0..5).map(|_| draft())).await;
    let worker = rig
        .worker()
        .concurrency(5)
        .rate_limit(2, ms(1_000))
        .handle_any(async |_: Value| Ok::<_, HandlerError>(()))
        .start()
        .unwrap();
    rig.until_told("Completed", 2).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.told("Completed"), 2);
    let calls = rig.store.exchanges().len();
    assert!(calls < 10, "{calls}");
    rig.hand.advance(ms(1_000));
    rig.until_told("Completed", 4).await;
    rig.hand.advance(ms(1_000));
    rig.until_told("Completed", 5).await;
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn the_next_jobs_begin_before_it_is_certain_that_endings_are_kept_which_are_told_after_it() {
    let rig = Rig::new();
    rig.add((0..10).map(|_| draft())).await;
    rig.store.answer_early();
    rig.store.hold("keep");
    let worker = rig.worker().handle_any(async |_: Value| Ok::<_, HandlerError>(())).start().unwrap();
    // One more than calls are let go ahead: its ending has to wait for one of them.
    rig.until_told("Active", oxmq_core::KEEPING_MAX + 1).await;
    rig.until(async || rig.store.count("keep") == oxmq_core::KEEPING_MAX).await;
    let closing = tokio::spawn(async move { worker.close().await });
    rig.until_told("Closing", 1).await;
    assert_eq!((rig.told("Completed"), rig.told("Closed")), (0, 0));
    assert_eq!(rig.told("Active"), oxmq_core::KEEPING_MAX + 1);
    rig.store.release("keep");
    soon(closing).await.unwrap().unwrap();
    assert_eq!(rig.told("Completed"), rig.told("Active"));
    assert_eq!(rig.counts().await.completed, rig.told("Completed") as u64);
}

#[tokio::test]
async fn an_ending_of_which_it_is_not_certain_that_it_is_kept_is_sent_again_and_told_once() {
    let rig = Rig::new();
    rig.add((0..3).map(|_| draft())).await;
    rig.store.answer_early();
    rig.store.fail_next("keep", Fault::After(ErrorKind::Ambiguous));
    let worker = rig.worker().handle_any(async |_: Value| Ok::<_, HandlerError>(())).start().unwrap();
    rig.until_moving(ms(50), async || rig.told("Completed") == 3).await;
    soon(worker.close()).await.unwrap();
    assert_eq!((rig.told("Active"), rig.told("Completed"), rig.told("LateResultRefused")), (3, 3, 0));
    let endings: usize = rig.store.exchanges().iter().map(|made| made.endings).sum();
    assert_eq!(endings, 4, "{:?}", rig.store.exchanges());
}

#[tokio::test]
async fn a_worker_that_must_not_begin_a_job_twice_waits_until_it_is_certain_that_it_was_taken() {
    let rig = Rig::new();
    rig.add((0..3).map(|_| draft())).await;
    rig.store.answer_early();
    rig.store.hold("keep");
    let handled = async |_: Value| Ok::<_, HandlerError>(());
    let worker = rig.worker().max_stalled(0).handle_any(handled).start().unwrap();
    rig.until(async || rig.store.count("keep") == 1).await;
    assert_eq!(rig.counts().await.active, 1);
    assert_eq!(rig.told("Active"), 0);
    rig.store.release("keep");
    rig.until_told("Completed", 3).await;
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_job_whose_take_may_not_be_kept_is_not_forgotten_by_who_waits_for_that() {
    let rig = Rig::new();
    let id = rig.add_one(draft()).await;
    rig.store.answer_early();
    rig.store.fail_next("keep", Fault::After(ErrorKind::Ambiguous));
    let handled = async |_: Value| Ok::<_, HandlerError>(());
    let worker = rig.worker().max_stalled(0).handle_any(handled).start().unwrap();
    rig.until_moving(ms(50), async || rig.job(&id).await.state.as_str() == "completed").await;
    soon(worker.close()).await.unwrap();
    assert_eq!(rig.told("Active"), 1);
}

#[tokio::test]
async fn of_two_answers_at_once_the_endings_of_one_leave_before_the_jobs_of_the_other_begin() {
    let rig = Rig::new();
    rig.add((0..100).map(|_| draft())).await;
    rig.store.hold_answers("take");
    // For each job: the calls with endings that had been made when it began.
    let began = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let (store, began) = (rig.store.clone(), Arc::clone(&began));
        move |_: Value| {
            began.lock().unwrap().push(store.count("finish"));
            async { Ok::<_, HandlerError>(()) }
        }
    };
    let worker = rig.worker().concurrency(100).handle_any(handler).start().unwrap();
    rig.until(async || rig.counts().await.active == 100).await;
    rig.store.release_answers("take");
    rig.until_told("Completed", 100).await;
    soon(worker.close()).await.unwrap();
    let began = began.lock().unwrap();
    assert_eq!(began[..50], [0; 50]);
    assert!(began[50..].iter().all(|calls| *calls > 0), "{began:?}");
}
