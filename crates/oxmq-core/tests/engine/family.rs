//! Jobs whose children have not ended, or have failed, when their handlers are done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oxmq_core::conformance::harness;
use oxmq_core::store::{AddGroup, AddRequest, FinishRequest, TakeRequest};
use oxmq_core::{
    ChildFailure, HandlerError, JobContext, JobId, JobKey, QueueAddress, Store, Timestamp, Token,
};
use serde_json::Value;

use crate::faulty::FaultyStore;
use crate::rig::{Rig, draft, ms, reason, soon};

fn children() -> QueueAddress {
    QueueAddress::new("children").unwrap()
}

/// Adds a child to the job; if it is to fail, it has failed.
async fn add_child(store: &FaultyStore, parent: &JobId, fails: bool, now: Timestamp) {
    let child = draft().with(|options| {
        options.parent = Some(JobKey::new(QueueAddress::new("q").unwrap(), parent));
        options.on_failure = Some(ChildFailure::FailParent);
    });
    let queue = children();
    let request = AddRequest { groups: vec![AddGroup { jobs: vec![child.0] }], now };
    store.model.add(&queue, request).await.unwrap().remove(0).unwrap();
    if fails {
        let token = Token::new("other:1");
        let request = TakeRequest {
            limit: 1,
            token,
            lease_for: ms(30_000),
            worker: None,
            rate_limit: None,
            until_needs_rate: false,
            now,
        };
        let given = store.model.take(&queue, request).await.unwrap();
        let finished = vec![harness::finish(&given.jobs[0], harness::failed("boom"))];
        store.model.finish(&queue, FinishRequest { finished, take: None, metrics: None, now }).await.unwrap();
    }
}

#[tokio::test]
async fn a_try_that_ends_before_its_children_has_failed() {
    let rig = Rig::new();
    let id = rig.add_one(draft().with(|options| options.attempts = Some(2))).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let (store, counted, now) = (rig.store.clone(), runs.clone(), rig.clock.now());
    let worker = rig
        .worker()
        .handle_any(move |_: Value, job: JobContext| {
            let (store, counted) = (store.clone(), counted.clone());
            async move {
                if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                    add_child(&store, &job.job().id, false, now).await;
                }
                Ok::<_, HandlerError>(())
            }
        })
        .start()
        .unwrap();
    let view = rig.until_state(&id, "failed").await;
    assert_eq!(reason(&view), format!("Job {id} has pending dependencies. moveToFinished"));
    assert_eq!((view.job.attempts_made, runs.load(Ordering::SeqCst)), (2, 2), "it was tried again");
    assert_eq!(rig.told("LateResultRefused"), 0);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_job_with_a_failed_child_fails_for_good() {
    let rig = Rig::new();
    let id = rig.add_one(draft().with(|options| options.attempts = Some(5))).await;
    let (store, now) = (rig.store.clone(), rig.clock.now());
    let worker = rig
        .worker()
        .handle_any(move |_: Value, job: JobContext| {
            let store = store.clone();
            async move {
                add_child(&store, &job.job().id, true, now).await;
                Ok::<_, HandlerError>(())
            }
        })
        .start()
        .unwrap();
    let view = rig.until_state(&id, "failed").await;
    let text = format!("Cannot complete job {id} because it has at least one failed child. moveToFinished");
    assert_eq!((reason(&view), view.job.attempts_made), (text.as_str(), 1));
    soon(worker.close()).await.unwrap();
}
