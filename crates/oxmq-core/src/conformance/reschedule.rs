//! Cases of `Store::reschedule`.

use super::harness::{Harness, completed, draft, ids, ms, refused};
use crate::error::ErrorKind;
use crate::outcome::Ending;
use crate::state::JobState;
use crate::store::Change;

const fn to(priority: u32) -> Change {
    Change::Priority { priority, lifo: false }
}

const fn before(priority: u32) -> Change {
    Change::Priority { priority, lifo: true }
}

pub async fn a_delayed_job_is_due_so_long_from_now(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().delay(ms(60_000)), draft().delay(ms(30_000))]).await;
    q.advance(ms(1_000)).await;
    let here = q.here().await;
    q.reschedule(&"1".into(), Change::Delay(ms(500))).await.unwrap();
    let due = q.now() + ms(500);
    q.expect_events(&here, &[&format!("delayed 1 delay={}", due.as_millis())]).await;
    let view = q.job("1").await;
    assert_eq!((view.state, view.due, view.job.delay_ms), (JobState::Delayed, Some(due), 500));
    assert_eq!(q.list(JobState::Delayed).await, "1 2");
    q.advance(ms(500)).await;
    assert_eq!(ids(&q.take(9).await.jobs), "1");
}

pub async fn a_delay_can_be_made_longer(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().delay(ms(100))).await;
    q.reschedule(&"1".into(), Change::Delay(ms(5_000))).await.unwrap();
    q.advance(ms(4_999)).await;
    assert!(q.take(1).await.jobs.is_empty());
    q.advance(ms(1)).await;
    assert_eq!(q.take(1).await.jobs.len(), 1);
}

pub async fn a_delay_of_zero_leaves_the_job_delayed_until_the_next_take(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().delay(ms(100))).await;
    q.reschedule(&"1".into(), Change::Delay(ms(0))).await.unwrap();
    let view = q.job("1").await;
    assert_eq!((view.state, view.due), (JobState::Delayed, Some(q.now())));
    assert_eq!(q.take(1).await.jobs.len(), 1);
}

pub async fn only_a_delayed_job_has_a_delay_to_change(bench: &Harness) {
    let q = bench.queue();
    refused(q.reschedule(&"nobody".into(), Change::Delay(ms(1))).await, ErrorKind::NotFound);
    let id = q.add(draft()).await;
    refused(q.reschedule(&id, Change::Delay(ms(1))).await, ErrorKind::WrongState);
    let job = q.take_one().await;
    refused(q.reschedule(&id, Change::Delay(ms(1))).await, ErrorKind::WrongState);
    q.finish(&job, completed()).await.unwrap();
    let here = q.here().await;
    refused(q.reschedule(&id, Change::Delay(ms(1))).await, ErrorKind::WrongState);
    q.expect_events(&here, &[]).await;
}

pub async fn a_new_priority_puts_the_job_behind_its_equals(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft(), draft().priority(5), draft().priority(3), draft().priority(5)]).await;
    let here = q.here().await;
    q.reschedule(&"1".into(), to(5)).await.unwrap();
    q.reschedule(&"3".into(), to(5)).await.unwrap();
    q.expect_events(&here, &[]).await;
    let view = q.job("1").await;
    assert_eq!((view.state, view.job.priority), (JobState::Prioritized, 5));
    assert_eq!(q.take_rest().await, "2 4 1 3");
}

pub async fn a_new_priority_with_lifo_puts_it_before_its_equals(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft(), draft().priority(5), draft().priority(3), draft().priority(5)]).await;
    q.reschedule(&"4".into(), before(5)).await.unwrap();
    q.reschedule(&"1".into(), before(3)).await.unwrap();
    assert_eq!(q.take_rest().await, "1 3 4 2");
}

pub async fn priority_zero_is_waiting(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().priority(5), draft(), draft().priority(5)]).await;
    q.reschedule(&"1".into(), to(0)).await.unwrap();
    q.reschedule(&"3".into(), before(0)).await.unwrap();
    assert_eq!(q.tally().await, "waiting=3");
    assert_eq!(q.job("1").await.job.priority, 0);
    assert_eq!(q.take_rest().await, "3 2 1");
}

pub async fn the_same_priority_places_the_job_anew(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().priority(5), draft().priority(5), draft(), draft()]).await;
    q.reschedule(&"1".into(), to(5)).await.unwrap();
    q.reschedule(&"3".into(), to(0)).await.unwrap();
    assert_eq!(q.take_rest().await, "4 3 2 1");
}

pub async fn in_other_states_the_priority_counts_later(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().delay(ms(10)), draft()]).await;
    q.reschedule(&"1".into(), to(7)).await.unwrap();
    assert_eq!(q.state("1").await, JobState::Delayed);
    let job = q.take_one().await;
    q.reschedule(&"2".into(), to(3)).await.unwrap();
    let view = q.job("2").await;
    assert_eq!((view.state, view.job.priority), (JobState::Active, 3));
    q.finish(&job, Ending::Returned).await.unwrap();
    q.advance(ms(10)).await;
    q.take(0).await;
    assert_eq!(q.list(JobState::Prioritized).await, "2 1");
    let job = q.take_one().await;
    q.finish(&job, completed()).await.unwrap();
    q.reschedule(&"2".into(), to(0)).await.unwrap();
    q.retry(&"2".into(), JobState::Completed).await.unwrap();
    assert_eq!(q.take_rest().await, "2 1");
}

pub async fn a_job_that_is_not_there_has_no_priority(bench: &Harness) {
    refused(bench.queue().reschedule(&"nobody".into(), to(1)).await, ErrorKind::NotFound);
}
