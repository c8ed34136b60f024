//! Somebody asks for a running job to be cancelled.

use oxmq_core::store::{CancelAnswer, CancelRequest};
use oxmq_core::{CancelCause, HandlerError, JobContext, JobId, Store};
use serde_json::Value;

use crate::rig::{Barrier, Rig, draft, ms, reason, soon};

async fn ask(rig: &Rig, id: &JobId) {
    let request = || CancelRequest { job: id.clone(), reason: "wrong order".into(), now: rig.clock.now() };
    let answer = soon(async {
        loop {
            match rig.store.model.cancel(&rig.queue, request()).await.unwrap() {
                // The worker has not announced itself yet.
                CancelAnswer::Unreachable { .. } => tokio::task::yield_now().await,
                answer => return answer,
            }
        }
    });
    assert!(matches!(answer.await, CancelAnswer::Requested { .. }));
}

#[tokio::test]
async fn a_cancelled_job_fails_for_good_whatever_its_handler_returns() {
    for fine in [true, false] {
        let rig = Rig::new();
        let id = rig.add_one(draft().with(|options| options.attempts = Some(9))).await;
        let worker = rig
            .worker()
            .handle_any(move |_: Value, job: JobContext| async move {
                assert_eq!(job.cancelled().await, CancelCause::Requested("wrong order".into()));
                if fine { Ok(()) } else { Err(HandlerError::fail("stopped")) }
            })
            .start()
            .unwrap();
        rig.until_told("Active", 1).await;
        ask(&rig, &id).await;
        // The clock stands still: only the wait for requests can have told it.
        let view = rig.until_state(&id, "failed").await;
        assert_eq!((reason(&view), view.job.attempts_made), ("cancelled: wrong order", 1));
        soon(worker.close()).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_is_also_heard_with_the_renewal() {
    let rig = Rig::new();
    rig.store.hold("cancellations");
    let id = rig.add_one(draft()).await;
    let worker = rig
        .worker()
        .handle_any(async |_: Value, job: JobContext| {
            job.cancelled().await;
            Ok::<_, HandlerError>(())
        })
        .start()
        .unwrap();
    rig.until_told("Active", 1).await;
    ask(&rig, &id).await;
    // The thread for the duties may not have begun to wait yet, so once is not enough.
    rig.until_moving(ms(500), async || rig.job(&id).await.state.is_final()).await;
    assert_eq!(reason(&rig.until_state(&id, "failed").await), "cancelled: wrong order");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_request_that_comes_with_the_ending_is_heeded() {
    let rig = Rig::new();
    rig.store.hold("cancellations");
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
    ask(&rig, &id).await;
    barrier.open();
    assert_eq!(reason(&rig.until_state(&id, "failed").await), "cancelled: wrong order");
    rig.until_told("Failed", 1).await;
    assert_eq!(rig.told("Completed"), 0);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_handler_that_ignores_the_request_is_dropped_after_the_grace() {
    let rig = Rig::new();
    let id = rig.add_one(draft()).await;
    let worker = rig
        .worker()
        .handle_any(async |_: Value| std::future::pending::<Result<(), HandlerError>>().await)
        .start()
        .unwrap();
    rig.until_told("Active", 1).await;
    ask(&rig, &id).await;
    let before = rig.clock.now();
    rig.until_moving(ms(100), async || rig.job(&id).await.state.is_final()).await;
    assert_eq!(reason(&rig.job(&id).await), "cancelled: wrong order");
    assert!(rig.clock.now() - before >= ms(5_000));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_worker_can_cancel_its_own_jobs() {
    let rig = Rig::new();
    let id = rig.add_one(draft()).await;
    let worker = rig
        .worker()
        .handle_any(async |_: Value, job: JobContext| {
            job.cancelled().await;
            Ok::<_, HandlerError>(())
        })
        .start()
        .unwrap();
    rig.until_told("Active", 1).await;
    assert!(worker.handle().cancel_local(&id, "not needed"));
    assert!(!worker.handle().cancel_local(&"nobody".into(), ""));
    assert_eq!(reason(&rig.until_state(&id, "failed").await), "cancelled: not needed");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_worker_can_cancel_all_its_jobs() {
    let rig = Rig::new();
    let ids = rig.add([draft(), draft(), draft()]).await;
    let handler = async |_: Value, job: JobContext| {
        job.cancelled().await;
        Ok::<_, HandlerError>(())
    };
    let worker = rig.worker().concurrency(2).handle_any(handler).start().unwrap();
    rig.until_told("Active", 2).await;
    assert_eq!(worker.handle().cancel_all_local("tidying up"), 2);
    for id in &ids[..2] {
        assert_eq!(reason(&rig.until_state(id, "failed").await), "cancelled: tidying up");
    }
    rig.until_told("Active", 3).await;
    assert_eq!(rig.job(&ids[2]).await.state.as_str(), "active", "it came later");
    soon(worker.close_now()).await.unwrap();
}
