//! Cases of `Store::finish`: what is kept of finished jobs.

use std::time::Duration;

use super::harness::{Harness, On, completed_keeping, draft, failed_keeping, finish, ms};
use crate::options::Retention;
use crate::state::JobState;

async fn complete(q: &On<'_>, keep: Retention) {
    q.add(draft()).await;
    q.advance(ms(1)).await;
    q.run_one(completed_keeping(keep)).await;
}

pub async fn everything_is_kept_if_nothing_is_said(bench: &Harness) {
    let q = bench.queue();
    for _ in 0..5 {
        complete(&q, Retention::ALL).await;
        q.advance(Duration::from_secs(100_000)).await;
    }
    assert_eq!(q.list(JobState::Completed).await, "1 2 3 4 5");
}

pub async fn the_newest_are_kept_by_count(bench: &Harness) {
    let q = bench.queue();
    for _ in 0..4 {
        complete(&q, Retention::ALL).await;
    }
    let here = q.here().await;
    complete(&q, Retention::count(2)).await;
    assert_eq!(q.list(JobState::Completed).await, "4 5");
    assert!(q.find(&"1".into()).await.is_none());
    let events = q.events_since(&here).await;
    assert!(!events.iter().any(|event| event.contains("removed")), "no events of retention: {events:?}");
}

pub async fn a_count_of_zero_removes_the_job_itself(bench: &Harness) {
    let q = bench.queue();
    complete(&q, Retention::ALL).await;
    let id = q.add(draft()).await;
    let job = q.take_one().await;
    let here = q.here().await;
    assert_eq!(q.finish(&job, completed_keeping(Retention::NONE)).await.unwrap(), None);
    assert!(q.find(&id).await.is_none());
    q.expect_events(&here, &["completed 2 returnvalue=null prev=active", "drained"]).await;
    assert_eq!(q.list(JobState::Completed).await, "1", "the others stay");

    q.add(draft()).await;
    let job = q.take_one().await;
    let here = q.here().await;
    assert_eq!(q.finish(&job, failed_keeping("x", Retention::NONE)).await.unwrap(), None);
    q.expect_events(
        &here,
        &["failed 3 failedReason=x prev=active", "retries-exhausted 3 attemptsMade=1", "drained"],
    )
    .await;
}

pub async fn old_ones_are_removed_when_another_finishes(bench: &Harness) {
    let q = bench.queue();
    complete(&q, Retention::ALL).await;
    q.advance(Duration::from_secs(6)).await;
    complete(&q, Retention::ALL).await;
    q.advance(Duration::from_secs(6)).await;
    complete(&q, Retention::age(Duration::from_secs(10))).await;
    assert_eq!(q.list(JobState::Completed).await, "2 3");
}

pub async fn what_finished_just_so_long_ago_is_too_old(bench: &Harness) {
    let q = bench.queue();
    complete(&q, Retention::ALL).await;
    complete(&q, Retention::ALL).await;
    q.advance(Duration::from_secs(10) - ms(2)).await;
    // When 3 finishes, 1 did so 10 s ago, and 2 a millisecond later.
    complete(&q, Retention::age(Duration::from_secs(10))).await;
    assert_eq!(q.list(JobState::Completed).await, "2 3");
}

pub async fn an_age_of_nothing_removes_the_job_itself(bench: &Harness) {
    let q = bench.queue();
    complete(&q, Retention::ALL).await;
    q.advance(ms(1)).await;
    q.add(draft()).await;
    let job = q.take_one().await;
    assert_eq!(q.finish(&job, completed_keeping(Retention::age(Duration::ZERO))).await.unwrap(), None);
    assert_eq!(q.tally().await, "");
}

pub async fn a_finish_removes_at_most_its_limit_of_old_ones(bench: &Harness) {
    let q = bench.queue();
    for _ in 0..5 {
        complete(&q, Retention::ALL).await;
    }
    q.advance(Duration::from_secs(60)).await;
    let keep = Retention { limit: Some(2), ..Retention::age(Duration::from_secs(10)) };
    complete(&q, keep).await;
    assert_eq!(q.list(JobState::Completed).await, "1 2 3 6", "the newest of the old ones go first");
}

pub async fn age_and_count_hold_both(bench: &Harness) {
    let q = bench.queue();
    for _ in 0..3 {
        complete(&q, Retention::ALL).await;
    }
    q.advance(Duration::from_secs(60)).await;
    for _ in 0..3 {
        complete(&q, Retention::ALL).await;
    }
    complete(&q, Retention { count: Some(2), ..Retention::age(Duration::from_secs(30)) }).await;
    assert_eq!(q.list(JobState::Completed).await, "6 7");
}

pub async fn completed_and_failed_jobs_are_kept_apart(bench: &Harness) {
    let q = bench.queue();
    for _ in 0..2 {
        complete(&q, Retention::ALL).await;
    }
    for _ in 0..3 {
        q.add(draft()).await;
        q.advance(ms(1)).await;
        q.run_one(failed_keeping("x", Retention::count(1))).await;
    }
    assert_eq!(q.list(JobState::Completed).await, "1 2");
    assert_eq!(q.list(JobState::Failed).await, "5");
}

pub async fn the_log_of_a_job_goes_with_it(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft().id("mine")).await;
    q.log(&id, "a line", None).await;
    q.run_one(completed_keeping(Retention::NONE)).await;
    q.add(draft().id("mine")).await;
    assert_eq!(q.log(&id, "the first again", None).await, 1);
}

pub async fn a_count_holds_for_each_ending_of_one_call(bench: &Harness) {
    let q = bench.queue();
    q.add_many(4).await;
    let taken = q.take(4).await.jobs;
    let endings = taken.iter().map(|job| finish(job, completed_keeping(Retention::count(1)))).collect();
    let done = q.finish_by(endings, None).await;
    assert!(done.answers.iter().all(Result::is_ok));
    assert_eq!(q.tally().await, "completed=1");
}
