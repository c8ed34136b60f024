//! Cases of `Store::cancel` and `Store::cancellations`.

use std::time::Duration;

use super::harness::{Harness, MOMENT, On, PATIENCE, completed, draft, failed, ms, refused, worker};
use crate::address::Token;
use crate::error::ErrorKind;
use crate::job::Lease;
use crate::state::JobState;
use crate::store::{CancelAnswer, Cancellation, CancellationsRequest, TakeRequest};

async fn cancellations(q: &On<'_>, worker: &str, known: Vec<Lease>, timeout: Duration) -> Vec<Cancellation> {
    let request = CancellationsRequest { worker_id: worker.into(), known, timeout };
    q.store().cancellations(&q.address, request).await.unwrap()
}

pub async fn a_job_that_has_not_started_fails_at_once(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft(), draft().priority(1), draft().delay(ms(9_000))]).await;
    q.advance(ms(10)).await;
    for (id, prev) in [("1", "waiting"), ("2", "prioritized"), ("3", "delayed")] {
        let here = q.here().await;
        assert_eq!(q.cancel(&id.into(), "no need").await.unwrap(), CancelAnswer::Cancelled);
        q.expect_events(&here, &[&format!("failed {id} failedReason=cancelled: no need prev={prev}")]).await;
        let view = q.job(id).await;
        assert_eq!((view.state, view.due), (JobState::Failed, None));
        assert_eq!(view.job.failed_reason.as_deref(), Some("cancelled: no need"));
        assert_eq!((view.job.attempts_made, view.job.attempts_started), (0, 0));
        assert_eq!((view.job.finished_on, view.job.processed_on), (Some(q.now()), None));
    }
    assert_eq!(q.tally().await, "failed=3");
    assert!(q.take(9).await.jobs.is_empty());
}

pub async fn a_job_that_is_not_there_cannot_be_cancelled(bench: &Harness) {
    let q = bench.queue();
    refused(q.cancel(&"nobody".into(), "x").await, ErrorKind::NotFound);
}

pub async fn a_finished_job_is_not_cancelled(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    q.run_one(completed()).await;
    q.run_one(failed("x")).await;
    let (here, before) = (q.here().await, q.job("2").await);
    assert_eq!(q.cancel(&"1".into(), "x").await.unwrap(), CancelAnswer::Finished(JobState::Completed));
    assert_eq!(q.cancel(&"2".into(), "y").await.unwrap(), CancelAnswer::Finished(JobState::Failed));
    assert_eq!(q.job("2").await, before);
    q.expect_events(&here, &[]).await;
}

pub async fn the_worker_of_a_running_job_is_asked(bench: &Harness) {
    let q = bench.queue();
    q.announce(worker("w", None), ms(60_000)).await;
    q.announce(worker("v", Some("vera")), ms(60_000)).await;
    q.add_many(2).await;
    q.take_as("w:1", 1).await;
    q.take_as("v:a:b", 1).await;
    q.take_as("v:7", 1).await;
    let here = q.here().await;
    assert_eq!(q.cancel(&"1".into(), "x").await.unwrap(), CancelAnswer::Requested { worker: "w".into() });
    assert_eq!(q.state("1").await, JobState::Active);
    q.expect_events(&here, &[]).await;
    q.add(draft()).await;
    q.take_as("v:7", 1).await;
    assert_eq!(q.cancel(&"3".into(), "x").await.unwrap(), CancelAnswer::Requested { worker: "vera".into() });
}

pub async fn a_worker_that_is_not_known_cannot_be_reached(bench: &Harness) {
    let q = bench.queue();
    q.add_many(4).await;
    q.take_by(TakeRequest { worker: Some("node".into()), ..q.demand(1) }).await;
    q.take_as("w:1", 1).await;
    q.take_by(TakeRequest { token: Token::none(), ..q.demand(1) }).await;
    q.announce(worker("gone", None), ms(1_000)).await;
    q.take_as("gone:1", 1).await;
    q.advance(ms(2_000)).await;
    let named = CancelAnswer::Unreachable { worker: Some("node".into()) };
    assert_eq!(q.cancel(&"1".into(), "x").await.unwrap(), named);
    for id in ["2", "3", "4"] {
        assert_eq!(q.cancel(&id.into(), "x").await.unwrap(), CancelAnswer::Unreachable { worker: None });
        assert_eq!(q.state(id).await, JobState::Active);
    }
    q.finish_by(vec![super::harness::finish(&held("1", "w:1"), completed())], None).await.answers[0]
        .clone()
        .unwrap();
}

fn held(id: &str, token: &str) -> crate::LeasedJob {
    let job = crate::Job::new(id.into(), String::new(), crate::JsonText::null(), crate::JsonText::null());
    crate::LeasedJob { lease: On::lease(&job.id, token), job }
}

pub async fn a_worker_waits_for_requests(bench: &Harness) {
    let q = bench.queue();
    q.announce(worker("w", None), ms(60_000)).await;
    q.add_many(2).await;
    q.take_as("w:1", 1).await;
    q.take_as("w:2", 1).await;
    let ask = async {
        tokio::task::yield_now().await;
        q.cancel(&"1".into(), "why").await.unwrap();
    };
    let (found, ()) = tokio::join!(cancellations(&q, "w", vec![], PATIENCE), ask);
    assert_eq!(found, [Cancellation { lease: On::lease(&"1".into(), "w:1"), reason: "why".into() }]);

    let known = vec![found[0].lease.clone()];
    assert!(cancellations(&q, "w", known.clone(), MOMENT).await.is_empty(), "known already");
    q.cancel(&"2".into(), "too").await.unwrap();
    let found = cancellations(&q, "w", known, PATIENCE).await;
    assert!(found.iter().any(|found| found.lease == On::lease(&"2".into(), "w:2") && found.reason == "too"));
}

pub async fn requests_that_came_before_the_wait_are_found(bench: &Harness) {
    let q = bench.queue();
    q.announce(worker("w", None), ms(60_000)).await;
    q.add(draft()).await;
    q.take_one().await;
    q.cancel(&"1".into(), "why").await.unwrap();
    assert_eq!(cancellations(&q, "w", vec![], PATIENCE).await.len(), 1);
}

pub async fn requests_for_others_are_not_told(bench: &Harness) {
    let q = bench.queue();
    for id in ["w", "ww", "w:x"] {
        q.announce(worker(id, None), ms(60_000)).await;
    }
    q.add_many(2).await;
    q.take_as("ww:1", 1).await;
    q.cancel(&"1".into(), "why").await.unwrap();
    assert!(cancellations(&q, "w", vec![], MOMENT).await.is_empty());
    assert_eq!(cancellations(&q, "ww", vec![], PATIENCE).await.len(), 1);
    q.take_as("w:x:1", 1).await;
    q.cancel(&"2".into(), "why").await.unwrap();
    assert!(cancellations(&q, "w", vec![], MOMENT).await.is_empty(), "the worker's id is w:x");
}

pub async fn a_request_is_not_told_after_the_attempt(bench: &Harness) {
    let q = bench.queue();
    q.announce(worker("w", None), ms(600_000)).await;
    q.add(draft()).await;
    q.take_one().await;
    q.cancel(&"1".into(), "why").await.unwrap();
    q.recover(1).await;
    q.take_one().await;
    assert!(cancellations(&q, "w", vec![], MOMENT).await.is_empty());
}

pub async fn a_cancelled_job_can_be_retried_by_hand(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft()).await;
    q.cancel(&id, "x").await.unwrap();
    q.retry(&id, JobState::Failed).await.unwrap();
    assert_eq!(q.run_one(completed()).await, id);
    assert_eq!(q.job(&id).await.job.failed_reason, None);
}

pub async fn the_first_request_stands(bench: &Harness) {
    let q = bench.queue();
    q.announce(worker("w", None), ms(60_000)).await;
    q.add(draft()).await;
    let job = q.take_as("w:1", 1).await.remove(0);
    for reason in ["first", "second"] {
        assert_eq!(
            q.cancel(&"1".into(), reason).await.unwrap(),
            CancelAnswer::Requested { worker: "w".into() }
        );
    }
    let told = q.finish(&job, completed()).await.unwrap_err();
    assert_eq!((told.kind(), told.message()), (ErrorKind::CancelRequested, "first"));
}
