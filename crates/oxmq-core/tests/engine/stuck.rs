//! A worker that could work and does not.

use std::time::Duration;

use oxmq_core::{ErrorKind, HandlerError, Store as _, WorkerEvent};
use serde_json::Value;

use crate::rig::{Rig, draft, ms, soon};

async fn works(_: Value) -> Result<(), HandlerError> {
    Ok(())
}

#[tokio::test]
async fn a_take_that_never_ends_is_told_and_the_connections_are_made_anew() {
    let rig = Rig::new();
    rig.store.hold("take");
    let worker = rig.worker().handle_any(works).start().unwrap();
    let id = rig.add_one(draft()).await;
    rig.until_moving(ms(500), async || rig.told("Stuck") > 0).await;
    assert!(rig.store.count("renew") > 0);
    let told = rig.told.lock().unwrap().iter().find_map(|event| match event {
        WorkerEvent::Stuck { due, nothing_for } => Some((*due, *nothing_for)),
        _ => None,
    });
    let (due, nothing_for) = told.unwrap();
    assert!(due == 1 && nothing_for >= Duration::from_secs(30), "{due} {nothing_for:?}");
    rig.store.release("take");
    rig.until_state(&id, "completed").await;
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn an_idle_worker_is_not_stuck_and_a_held_queue_neither() {
    let rig = Rig::new();
    let worker = rig.worker().handle_any(works).start().unwrap();
    let later = rig.clock.now() + Duration::from_secs(300);
    rig.until_moving(Duration::from_secs(1), async || rig.clock.now() >= later).await;
    rig.store.model.pause(&rig.queue, rig.clock.now()).await.unwrap();
    rig.add_one(draft()).await;
    let later = rig.clock.now() + Duration::from_secs(300);
    rig.until_moving(Duration::from_secs(1), async || rig.clock.now() >= later).await;
    assert_eq!((rig.told("Stuck"), rig.store.count("renew")), (0, 0));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_stuck_worker_ends_if_it_is_to() {
    let rig = Rig::new();
    rig.store.hold("take");
    let worker = rig
        .worker()
        .end_when_stuck(true)
        .stuck_after(Duration::from_secs(4))
        .handle_any(works)
        .start()
        .unwrap();
    rig.add_one(draft()).await;
    let ended = tokio::spawn(worker.run());
    rig.until_moving(ms(200), async || ended.is_finished()).await;
    let error = ended.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.to_string().contains("nothing was taken"), "{error}");
    assert_eq!(rig.told("Stuck"), 3);
}
