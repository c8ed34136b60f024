//! Cases of `Store::recover`.

use super::harness::{
    Harness, INTERVAL, LEASE, completed, draft, failed, failed_keeping, ids, ms, tree, worker,
};
use crate::address::Token;
use crate::options::Retention;
use crate::outcome::Ending;
use crate::state::JobState;
use crate::store::{RecoverRequest, TakeRequest};

const DEFERRED: &str = "job stalled more than allowable limit";

pub async fn a_job_whose_lease_ran_out_waits_again_in_front(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    q.take(1).await;
    let here = q.here().await;
    assert_eq!(q.recover(1).await, ["1".into()]);
    q.expect_events(&here, &["waiting 1 prev=active", "stalled 1"]).await;
    let view = q.job("1").await;
    assert_eq!((view.state, view.token), (JobState::Waiting, None));
    assert_eq!((view.job.stalled_count, view.job.attempts_started, view.job.attempts_made), (1, 1, 0));
    assert_eq!(view.job.deferred_failure, None);
    assert_eq!(q.take_rest().await, "1 2");
}

pub async fn a_lease_that_holds_is_left_alone(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    q.take_by(TakeRequest { lease_for: LEASE + INTERVAL + ms(10), ..q.demand(1) }).await;
    let here = q.here().await;
    assert!(q.recover(1).await.is_empty());
    assert_eq!(q.state("1").await, JobState::Active);
    q.expect_events(&here, &[]).await;
    q.advance(ms(10)).await;
    assert_eq!(q.recover(1).await.len(), 1);
}

pub async fn jobs_that_are_not_active_are_left_alone(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft(), draft(), draft().priority(1), draft().delay(ms(10_000_000))]).await;
    q.run_one(completed()).await;
    assert!(q.recover(1).await.is_empty());
    assert_eq!(q.tally().await, "completed=1 delayed=1 prioritized=1 waiting=1");
}

pub async fn a_job_with_a_priority_waits_in_front_too(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().priority(9), draft().priority(1)]).await;
    assert_eq!(ids(&q.take(2).await.jobs), "2 1");
    let recovered = q.recover(1).await;
    assert_eq!(recovered.len(), 2);
    assert_eq!(q.tally().await, "waiting=2");
    assert_eq!(q.job("1").await.job.priority, 9);
    let job = q.take_one().await;
    q.finish(&job, Ending::Returned).await.unwrap();
    assert_eq!(q.state(&job.job.id).await, JobState::Prioritized, "its priority counts again");
}

pub async fn a_job_that_stalled_too_often_gets_a_deferred_failure(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    for stalls in 1..=3 {
        q.take_one().await;
        q.recover(2).await;
        let job = q.job("1").await.job;
        let expected = (stalls > 2).then_some(DEFERRED);
        assert_eq!((job.stalled_count, job.deferred_failure.as_deref()), (stalls, expected));
        assert_eq!(q.state("1").await, JobState::Waiting);
    }
    let job = q.take_one().await;
    assert_eq!(job.job.deferred_failure.as_deref(), Some(DEFERRED), "it is given like any other");
    q.finish(&job, failed(DEFERRED)).await.unwrap();
    let job = q.job("1").await.job;
    assert_eq!((job.deferred_failure, job.failed_reason.as_deref()), (None, Some(DEFERRED)));
    assert_eq!((job.attempts_started, job.attempts_made, job.stalled_count), (4, 1, 3));
}

pub async fn without_patience_the_first_stall_is_too_often(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    q.take_one().await;
    q.recover(0).await;
    assert_eq!(q.job("1").await.job.deferred_failure.as_deref(), Some(DEFERRED));
    q.run_one(failed_keeping(DEFERRED, Retention::NONE)).await;
    assert_eq!(q.tally().await, "");
}

pub async fn all_jobs_of_a_dead_worker_are_brought_back(bench: &Harness) {
    let q = bench.queue();
    q.add_many(4).await;
    q.take(3).await;
    let mut recovered = q.recover(1).await;
    recovered.sort();
    assert_eq!(recovered, ["1".into(), "2".into(), "3".into()]);
    let rest = q.take_rest().await;
    assert!(rest.ends_with(" 4") && rest.len() == 7, "all three run before the one that waits: {rest}");
}

pub async fn a_job_taken_without_locking_is_recovered_after_the_interval(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    q.take_by(TakeRequest { token: Token::none(), ..q.demand(1) }).await;
    q.advance(INTERVAL - ms(1_000)).await;
    let request = RecoverRequest { max_stalled: 1, interval: INTERVAL, now: q.now() };
    assert!(q.store().recover(&q.address, request).await.unwrap().stalled.is_empty());
    assert_eq!(q.recover(1).await, ["1".into()]);
}

pub async fn a_recovered_job_forgets_a_request_to_cancel(bench: &Harness) {
    let q = bench.queue();
    q.announce(worker("w", None), ms(600_000)).await;
    q.add(draft()).await;
    q.take_one().await;
    q.cancel(&"1".into(), "why").await.unwrap();
    q.recover(1).await;
    q.run_one(completed()).await;
    assert_eq!(q.state("1").await, JobState::Completed);
}

pub async fn a_recovered_job_waits_in_a_paused_queue_too(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    q.take_one().await;
    q.pause().await;
    assert_eq!(q.recover(1).await.len(), 1);
    assert_eq!(q.tally().await, "waiting=1");
    assert!(q.take(1).await.jobs.is_empty());
}

pub async fn other_queues_are_left_alone(bench: &Harness) {
    let (q, other) = (bench.queue(), bench.on("other"));
    q.add(draft()).await;
    q.take_one().await;
    assert!(other.recover(1).await.is_empty());
    assert_eq!(q.state("1").await, JobState::Active);
}

pub async fn a_queue_in_which_something_is_to_be_done_is_not_empty(bench: &Harness) {
    let jobs =
        [("waits", draft()), ("has a priority", draft().priority(1)), ("later", draft().delay(ms(60_000)))];
    for (name, job) in jobs {
        let q = bench.on(name);
        q.add(job).await;
        assert!(!q.is_empty().await, "{name}");
        q.pause().await;
        assert!(!q.is_empty().await, "{name}, in a paused queue");
    }
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    assert!(!q.is_empty().await, "a job is active");
    q.finish(&job, failed("no")).await.unwrap();
    q.retry(&job.job.id, JobState::Failed).await.unwrap();
    assert!(!q.is_empty().await, "it waits again");
    q.take_one().await;
    assert_eq!(q.recover(1).await.len(), 1);
    assert!(!q.is_empty().await, "it was brought back");
}

pub async fn a_queue_of_finished_jobs_and_parents_that_wait_is_empty(bench: &Harness) {
    let (q, below) = (bench.queue(), bench.on("below"));
    q.add_many(2).await;
    q.run_one(completed()).await;
    q.run_one(failed("no")).await;
    bench.add_flow(tree(&q, "p").over([tree(&below, "c")])).await;
    assert_eq!(q.tally().await, "completed=1 failed=1 waiting-children=1");
    assert!(q.is_empty().await);
    below.end("c", completed()).await;
    assert!(!q.is_empty().await, "the parent was released");
    assert!(below.is_empty().await);
    q.remove(&"p".into()).await;
    assert!(q.is_empty().await);
    q.pause().await;
    assert!(q.is_empty().await, "a paused queue may be empty");
}

pub async fn an_empty_queue_may_be_one_that_nobody_named(bench: &Harness) {
    assert!(bench.queue().is_empty().await);
    assert!(bench.store().queues(None).await.unwrap().is_empty(), "asking does not make it");
}
