//! Cases of `Store::clean`.

use super::harness::{Harness, again, completed, draft, failed, ms};
use crate::address::Token;
use crate::state::JobState;
use crate::store::{Step, TakeRequest};

pub async fn finished_jobs_that_are_old_are_removed_oldest_first(bench: &Harness) {
    let q = bench.queue();
    q.add_many(5).await;
    for _ in 0..5 {
        q.advance(ms(10)).await;
        q.run_one(completed()).await;
    }
    let here = q.here().await;
    let until = q.now().minus(ms(10));
    let step = q.clean(JobState::Completed, until, 3).await;
    assert_eq!(step, Step { count: 3, ids: vec!["1".into(), "2".into(), "3".into()], more: step.more });
    let step = q.clean(JobState::Completed, until, 3).await;
    assert_eq!(step, Step { count: 1, ids: vec!["4".into()], more: false });
    let step = q.clean(JobState::Completed, until, 3).await;
    assert_eq!(step, Step::default());
    q.expect_events(&here, &["cleaned count=3", "cleaned count=1", "cleaned count=0"]).await;
    assert_eq!(q.list(JobState::Completed).await, "5");
    assert!(q.find(&"1".into()).await.is_none());
}

pub async fn the_finish_counts_and_not_the_creation(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    q.advance(ms(1_000)).await;
    q.run_one(failed("x")).await;
    assert_eq!(q.clean(JobState::Failed, q.now().minus(ms(500)), 10).await.count, 0);
    assert_eq!(q.clean(JobState::Failed, q.now(), 10).await.count, 1);
}

pub async fn only_the_state_asked_for_is_cleaned(bench: &Harness) {
    let q = bench.queue();
    q.add_many(3).await;
    q.run_one(completed()).await;
    q.run_one(failed("x")).await;
    q.clean(JobState::Failed, q.now(), 10).await;
    assert_eq!(q.tally().await, "completed=1 waiting=1");
}

pub async fn waiting_jobs_count_by_their_creation_only(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft(), draft().priority(1)]).await;
    let made = q.now();
    q.advance(ms(1_000)).await;
    for _ in 0..2 {
        let job = q.take_one().await;
        q.finish(&job, crate::Ending::Returned).await.unwrap();
        if job.job.id.as_str() == "1" {
            // So that the other one can be taken.
            assert_eq!(q.clean(JobState::Waiting, made.minus(ms(1)), 10).await.count, 0);
            assert_eq!(q.clean(JobState::Waiting, made, 10).await.ids, ["1".into()]);
        }
    }
    assert_eq!(q.clean(JobState::Prioritized, made.minus(ms(1)), 10).await.count, 0);
    assert_eq!(q.clean(JobState::Prioritized, made, 10).await.ids, ["2".into()]);
}

pub async fn delayed_jobs_count_by_their_age_whenever_they_are_due(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().delay(ms(9_000)), draft().delay(ms(1_000_000))]).await;
    let made = q.now();
    q.advance(ms(100)).await;
    q.add_all([draft().delay(ms(50)), draft()]).await;
    let job = q.take_one().await;
    q.finish(&job, again(Some(q.now() + ms(500)))).await.unwrap();
    let step = q.clean(JobState::Delayed, made, 10).await;
    assert_eq!(step.ids, ["1".into(), "2".into()]);
    assert_eq!(q.list(JobState::Delayed).await, "3 4");
    assert_eq!(q.clean(JobState::Delayed, q.now(), 10).await.ids, ["3".into(), "4".into()]);
}

pub async fn a_delayed_job_that_ran_counts_by_its_last_start(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let made = q.now();
    q.advance(ms(100)).await;
    q.run_one(again(Some(q.now() + ms(500)))).await;
    assert_eq!(q.clean(JobState::Delayed, made, 10).await.count, 0);
    assert_eq!(q.clean(JobState::Delayed, q.now(), 10).await.count, 1);
}

pub async fn prioritized_jobs_are_cleaned_in_their_order(bench: &Harness) {
    let q = bench.queue();
    q.add_all([3, 1, 2].map(|priority| draft().priority(priority))).await;
    assert_eq!(q.clean(JobState::Prioritized, q.now(), 2).await.ids, ["2".into(), "3".into()]);
    assert_eq!(q.list(JobState::Prioritized).await, "1");
}

pub async fn running_jobs_are_cleaned_only_without_a_lease(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    q.take(1).await;
    q.take_by(TakeRequest { token: Token::none(), ..q.demand(1) }).await;
    q.advance(ms(10)).await;
    assert_eq!(q.clean(JobState::Active, q.now(), 10).await.ids, ["2".into()]);
    assert_eq!(q.list(JobState::Active).await, "1");
}

pub async fn nothing_old_is_nothing_cleaned(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let before = q.now().minus(ms(1));
    assert_eq!(q.clean(JobState::Waiting, before, 10).await, Step::default());
    assert_eq!(q.clean(JobState::Completed, q.now(), 10).await, Step::default());
    assert_eq!(q.tally().await, "waiting=1");
}
