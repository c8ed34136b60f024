//! Cases of `Store::take`.

use super::harness::{Harness, again, completed, draft, ids, ms};
use crate::address::Token;
use crate::state::JobState;
use crate::store::{Idle, TakeRequest};

pub async fn a_taken_job_counts_its_start(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let request = TakeRequest { worker: Some("anna".into()), ..q.demand(1) };
    let job = q.take_by(request).await.jobs.remove(0);
    assert_eq!(job.job.attempts_started, 1);
    assert_eq!(job.job.attempts_made, 0);
    assert_eq!(job.job.processed_on, Some(q.now()));
    assert_eq!(job.job.processed_by.as_deref(), Some("anna"));
    assert_eq!((job.lease.job.as_str(), job.lease.token.as_str()), ("1", "w:1"));
    let view = q.job("1").await;
    assert_eq!((view.state, view.token), (JobState::Active, Some(Token::new("w:1"))));
    assert_eq!(view.job, job.job, "the job is given as it is after it was taken");
}

pub async fn each_start_is_counted(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    for start in 1..=4 {
        let job = q.take_one().await;
        assert_eq!(job.job.attempts_started, start);
        q.finish(&job, again(None)).await.unwrap();
        q.advance(ms(10)).await;
    }
}

pub async fn the_name_of_the_last_worker_stays_when_the_next_has_none(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_by(TakeRequest { worker: Some("anna".into()), ..q.demand(1) }).await.jobs.remove(0);
    q.finish(&job, again(None)).await.unwrap();
    assert_eq!(q.take_one().await.job.processed_by.as_deref(), Some("anna"));
}

pub async fn no_job_is_given_twice(bench: &Harness) {
    let q = bench.queue();
    q.add_many(3).await;
    assert_eq!(ids(&q.take_as("a:1", 2).await), "1 2");
    assert_eq!(ids(&q.take_as("b:1", 2).await), "3");
    assert!(q.take_as("a:1", 1).await.is_empty());
}

pub async fn no_job_is_given_to_two_who_ask_at_once(bench: &Harness) {
    let q = bench.queue();
    let added = q.add_many(60).await;
    let (a, b, c) = tokio::join!(q.take_as("a:1", 30), q.take_as("b:1", 30), q.take_as("c:1", 30));
    let mut given: Vec<_> = [a, b, c].concat().into_iter().map(|job| job.job.id).collect();
    assert_eq!(given.len(), 60);
    given.sort();
    given.dedup();
    assert_eq!(given.len(), added.len());
}

pub async fn one_token_may_hold_several_jobs(bench: &Harness) {
    let q = bench.queue();
    q.add_many(3).await;
    let jobs = [q.take_as("a:1", 2).await, q.take_as("a:1", 1).await].concat();
    for job in &jobs {
        q.finish(job, completed()).await.unwrap();
    }
    assert_eq!(q.tally().await, "completed=3");
}

pub async fn a_take_is_told_when_nothing_is_there(bench: &Harness) {
    let q = bench.queue();
    let taken = q.take(3).await;
    assert_eq!((taken.jobs.len(), taken.idle), (0, Some(Idle::Empty { next_due: None })));
}

pub async fn a_take_that_got_all_it_asked_for_is_not_idle(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    assert_eq!(q.take(2).await.idle, None);
}

pub async fn a_take_that_got_less_is_told_when_the_next_is_due(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft(), draft().delay(ms(900)), draft().delay(ms(700))]).await;
    let taken = q.take(5).await;
    assert_eq!(ids(&taken.jobs), "1");
    assert_eq!(taken.idle, Some(Idle::Empty { next_due: Some(q.now() + ms(700)) }));
}

pub async fn a_delayed_job_is_not_given_before_its_time(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().delay(ms(1_000))).await;
    q.advance(ms(999)).await;
    let due = q.now() + ms(1);
    assert_eq!(q.take(1).await.idle, Some(Idle::Empty { next_due: Some(due) }));
    assert_eq!(q.state("1").await, JobState::Delayed);
    q.advance(ms(1)).await;
    let job = q.take_one().await.job;
    assert_eq!((job.id.as_str(), job.delay_ms), ("1", 0));
}

pub async fn due_jobs_go_behind_those_that_wait(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().delay(ms(20)), draft().delay(ms(10)), draft(), draft().delay(ms(99))]).await;
    q.advance(ms(50)).await;
    assert_eq!(ids(&q.take(1).await.jobs), "3");
    assert_eq!(q.list(JobState::Waiting).await, "2 1");
    assert_eq!(q.list(JobState::Delayed).await, "4");
}

pub async fn due_jobs_with_a_priority_go_to_their_place(bench: &Harness) {
    let q = bench.queue();
    q.add_all([
        draft().priority(2),
        draft().priority(2).delay(ms(10)),
        draft().priority(1).delay(ms(20)),
        draft().priority(3),
    ])
    .await;
    q.advance(ms(20)).await;
    assert_eq!(q.take_rest().await, "3 1 2 4");
}

pub async fn due_jobs_that_are_lifo_still_go_behind(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().lifo().delay(ms(10)), draft()]).await;
    q.advance(ms(20)).await;
    assert_eq!(q.take_rest().await, "2 1");
}

pub async fn a_take_of_none_still_promotes_what_is_due(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().delay(ms(10))).await;
    q.advance(ms(10)).await;
    assert!(q.take(0).await.jobs.is_empty());
    assert_eq!(q.tally().await, "waiting=1");
}

pub async fn a_take_promotes_a_bounded_number(bench: &Harness) {
    let q = bench.queue();
    for _ in 0..2 {
        q.add_all(std::iter::repeat_n(draft().delay(ms(5)), 600)).await;
    }
    q.advance(ms(5)).await;
    q.take(0).await;
    let counts = q.counts().await;
    assert_eq!((counts.waiting, counts.delayed), (1_000, 200));
    let first = q.take(1).await.jobs.remove(0);
    assert_eq!(first.job.id.as_str(), "1");
    assert_eq!(q.counts().await.delayed, 0);
}

pub async fn a_take_tells_promoted_and_then_active(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().delay(ms(10)), draft().priority(4)]).await;
    q.advance(ms(10)).await;
    let here = q.here().await;
    q.take(2).await;
    q.expect_events(&here, &["waiting 1 prev=delayed", "active 1 prev=waiting", "active 2 prev=waiting"])
        .await;
}

pub async fn an_empty_take_tells_nothing(bench: &Harness) {
    let q = bench.queue();
    let here = q.here().await;
    q.take(2).await;
    q.expect_events(&here, &[]).await;
}

pub async fn a_job_taken_without_locking_has_no_lease(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_by(TakeRequest { token: Token::none(), ..q.demand(1) }).await.jobs.remove(0);
    let view = q.job("1").await;
    assert_eq!((view.state, view.token, view.job.attempts_started), (JobState::Active, None, 1));
    q.finish(&job, completed()).await.unwrap();
    assert_eq!(q.state("1").await, JobState::Completed);
}

pub async fn a_lease_that_ran_out_does_not_free_the_job_by_itself(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    q.take_one().await;
    q.advance(ms(3_600_000)).await;
    assert!(q.take(1).await.jobs.is_empty());
    assert_eq!(q.state("1").await, JobState::Active);
}
