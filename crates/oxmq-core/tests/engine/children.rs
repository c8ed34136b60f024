//! Handlers that have children: adding them, waiting for them, reading what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use oxmq_core::store::{
    ChildKind, ChildOutcome, ChildrenRequest, RemoveAnswer, RemoveRequest, RemoveScope, Store,
};
use oxmq_core::{
    ChildFailure, ErrorKind, HandlerError, JobContext, JobKey, JobState, JsonText, QueueAddress, Worker,
    WorkerEvent,
};
use serde_json::Value;

use crate::rig::{Barrier, Rig, draft, ms, reason, soon};

/// A worker of the queue `kids`: `fail` fails, anything else is given back.
fn kids(rig: &Rig) -> Worker {
    let store: Arc<dyn Store> = rig.store.clone();
    let handler = async |data: Value, job: JobContext| match job.job().name.as_str() {
        "fail" => Err(HandlerError::give_up("no")),
        _ => Ok(data),
    };
    Worker::builder(&store, "kids").clock(rig.clock.clone()).handle_any(handler).start().unwrap()
}

#[tokio::test]
async fn a_handler_adds_children_waits_for_them_and_has_their_results() {
    let rig = Rig::new();
    let handler = async |_: Value, job: JobContext| {
        if job.child_counts().await?.total() == 0 {
            for n in 1..=3 {
                job.add_child_named("kids", "n", &n).id(format!("kid-{n}")).await?;
            }
            let fails = job.add_child_named("kids", "fail", &()).on_failure(ChildFailure::Ignore);
            fails.id("bad").await?;
            return Err(HandlerError::wait_for_children());
        }
        let sum: u32 = job.children_values::<u32>().await?.into_values().sum();
        let failures: BTreeMap<_, _> = job.ignored_failures().await?;
        let page = job.children(&[ChildKind::Ignored, ChildKind::Processed], None, 2).await?;
        let outcomes: Vec<ChildKind> = page.children.iter().map(|child| child.outcome.kind()).collect();
        assert_eq!(outcomes, [ChildKind::Ignored, ChildKind::Processed]);
        let rest = job.children(&[ChildKind::Ignored, ChildKind::Processed], page.next, 9).await?;
        assert_eq!(rest.children.len(), 2);
        let failures: Vec<String> = failures.iter().map(|(key, reason)| format!("{key}: {reason}")).collect();
        Ok::<_, HandlerError>((sum, failures, job.start_number(), job.failed_tries()))
    };
    let worker = rig.worker().handle_any(handler).start().unwrap();
    let id = rig.add_one(draft()).await;
    let waiting = rig.until_state(&id, "waiting-children").await;
    assert_eq!((waiting.job.attempts_started, waiting.job.attempts_made), (1, 0));
    rig.until_told("AwaitsChildren", 1).await;
    let kids = kids(&rig);
    let done = rig.until_state(&id, "completed").await;
    assert_eq!(done.job.return_value.unwrap().as_str(), r#"[6,["bull:kids:bad: no"],2,0]"#);
    assert_eq!((done.job.attempts_started, done.job.attempts_made), (2, 1));
    assert_eq!((rig.told("AwaitsChildren"), rig.told("Returned"), rig.told("Failed")), (1, 0, 0));
    soon(worker.close()).await.unwrap();
    soon(kids.close()).await.unwrap();
}

#[tokio::test]
async fn a_wait_for_nothing_runs_the_job_again_at_once() {
    let rig = Rig::new();
    let handler = async |_: Value, job: JobContext| match job.start_number() {
        1 => Err(HandlerError::wait_for_children()),
        2 => Err(HandlerError::wait_for_child(JobKey::parse("bull:kids:nobody").unwrap())),
        start => Ok(start),
    };
    let worker = rig.worker().handle_any(handler).start().unwrap();
    let id = rig.add_one(draft()).await;
    let view = rig.until_state(&id, "completed").await;
    assert_eq!((view.job.attempts_started, view.job.attempts_made), (3, 1));
    assert_eq!((rig.told("AwaitsChildren"), rig.told("Returned")), (0, 2));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_wait_for_one_child_is_for_all_of_them() {
    let rig = Rig::new();
    let handler = async |_: Value, job: JobContext| {
        if job.start_number() > 1 {
            return Ok(job.child_counts().await?.processed);
        }
        let first = job.add_child_named("kids", "n", &1).id("first").await?;
        job.add_child_named("kids", "n", &2).id("second").await?;
        let key = JobKey::new(QueueAddress::new("kids")?, first.id);
        Err(HandlerError::wait_for_child(key))
    };
    let worker = rig.worker().handle_any(handler).start().unwrap();
    let id = rig.add_one(draft()).await;
    rig.until_state(&id, "waiting-children").await;
    let kids = kids(&rig);
    let view = rig.until_state(&id, "completed").await;
    assert_eq!(view.job.return_value.unwrap().as_str(), "2");
    soon(worker.close()).await.unwrap();
    soon(kids.close()).await.unwrap();
}

#[tokio::test]
async fn a_child_of_a_job_that_is_gone_is_refused() {
    let rig = Rig::new();
    let (gate, asked) = (Barrier::default(), Arc::new(std::sync::Mutex::new(None)));
    let handler = {
        let (gate, asked) = (gate.clone(), asked.clone());
        move |_: Value, job: JobContext| {
            let (gate, asked) = (gate.clone(), asked.clone());
            async move {
                gate.wait().await;
                let added = job.add_child_named("kids", "n", &1).await;
                *asked.lock().unwrap() = Some(added.unwrap_err().kind());
                Ok::<(), HandlerError>(())
            }
        }
    };
    let worker = rig.worker().handle_any(handler).start().unwrap();
    let id = rig.add_one(draft()).await;
    rig.until_state(&id, "active").await;
    // By somebody whose clock is ahead, so that its lease is over for them, however often it is renewed.
    let now = rig.clock.now() + ms(3_600_000);
    let request = RemoveRequest { job: id.clone(), scope: RemoveScope::JobOnly, now };
    let removed = rig.store.model.remove(&rig.queue, request).await.unwrap();
    assert_eq!(removed, RemoveAnswer::Removed);
    gate.open();
    rig.until(async || *asked.lock().unwrap() == Some(ErrorKind::NotFound)).await;
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn what_makes_no_sense_of_a_child_is_refused_before_it_is_added() {
    let rig = Rig::new();
    let handler = async |_: Value, job: JobContext| {
        for add in [
            job.add_child_named("a:b", "n", &1),
            job.add_child_named("kids", "", &1),
            job.add_child_named("kids", "n", &1).id("17"),
            job.add_child_named("kids", "n", &"too long").size_limit(3),
        ] {
            assert_eq!(add.await.unwrap_err().kind(), ErrorKind::Invalid);
        }
        job.add_child_named("kids", "n", "text").delay(ms(1)).await?;
        Ok::<_, HandlerError>(())
    };
    let worker = rig.worker().handle_any(handler).start().unwrap();
    let id = rig.add_one(draft().with(|options| options.job_id = Some("p".into()))).await;
    rig.until(async || {
        let request =
            ChildrenRequest { job: id.clone(), kinds: ChildKind::ALL.to_vec(), cursor: None, limit: 9 };
        let page = rig.store.model.children(&rig.queue, request).await.unwrap();
        assert!(page.children.iter().all(|child| child.outcome == ChildOutcome::Pending));
        page.children.len() == 1
    })
    .await;
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_result_that_does_not_fit_names_its_child() {
    let rig = Rig::new();
    let handler = async |_: Value, job: JobContext| {
        if job.start_number() == 1 {
            job.add_child_named("kids", "n", "text").id("odd").await?;
            return Err(HandlerError::wait_for_children());
        }
        let texts = job.children_values::<JsonText>().await?;
        assert_eq!(texts.into_values().next().unwrap().as_str(), r#""text""#);
        Ok::<_, HandlerError>(job.children_values::<u64>().await?.len())
    };
    let worker = rig.worker().handle_any(handler).start().unwrap();
    let id = rig.add_one(draft()).await;
    rig.until_state(&id, "waiting-children").await;
    let kids = kids(&rig);
    let view = rig.until_state(&id, "failed").await;
    assert!(reason(&view).contains("child=bull:kids:odd"), "{}", reason(&view));
    let is_it = |event: &WorkerEvent| matches!(event, WorkerEvent::AwaitsChildren { job } if job.id == id);
    assert!(rig.told.lock().unwrap().iter().any(is_it));
    assert_eq!(view.state, JobState::Failed);
    soon(worker.close()).await.unwrap();
    soon(kids.close()).await.unwrap();
}

#[tokio::test]
async fn a_wait_with_a_child_that_has_failed_its_parent_fails_for_good() {
    let rig = Rig::new();
    let kids = kids(&rig);
    let handler = async |_: Value, job: JobContext| {
        let child = job.add_child_named("kids", "fail", &()).on_failure(ChildFailure::FailParent);
        child.id("bad").await?;
        while job.child_counts().await?.failed == 0 {
            tokio::task::yield_now().await;
        }
        Err::<(), _>(HandlerError::wait_for_children())
    };
    let worker = rig.worker().handle_any(handler).start().unwrap();
    let id = rig.add_one(draft().with(|options| options.attempts = Some(5))).await;
    let view = rig.until_state(&id, "failed").await;
    assert!(reason(&view).contains("failed child"), "{}", reason(&view));
    assert_eq!((view.job.attempts_made, view.job.attempts_started), (1, 1));
    assert_eq!((rig.told("AwaitsChildren"), rig.told("LateResultRefused")), (0, 0));
    soon(worker.close()).await.unwrap();
    soon(kids.close()).await.unwrap();
}

#[tokio::test]
async fn a_job_that_went_on_without_its_children_completes_once_they_are_removed() {
    let rig = Rig::new();
    let handler = async |_: Value, job: JobContext| {
        job.add_child_named("kids", "n", &1).id("late").await?;
        job.remove_pending_children().await?;
        Ok::<_, HandlerError>(job.child_counts().await?.total())
    };
    let worker = rig.worker().handle_any(handler).start().unwrap();
    let id = rig.add_one(draft()).await;
    let view = rig.until_state(&id, "completed").await;
    assert_eq!(view.job.return_value.unwrap().as_str(), "0");
    let gone = rig.store.model.job(&QueueAddress::new("kids").unwrap(), &"late".into()).await.unwrap();
    assert_eq!(gone, None);
    soon(worker.close()).await.unwrap();
}
