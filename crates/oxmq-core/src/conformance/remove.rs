//! Cases of `Store::remove`.

use super::harness::{Harness, On, completed, draft, failed, ms, refused};
use crate::address::Token;
use crate::error::ErrorKind;
use crate::state::JobState;
use crate::store::{LogsPage, LogsRequest, Order, RemoveAnswer, TakeRequest};

async fn removed(q: &On<'_>, id: &str, prev: &str) {
    let here = q.here().await;
    assert_eq!(q.remove(&id.into()).await, RemoveAnswer::Removed);
    q.expect_events(&here, &[&format!("removed {id} prev={prev}")]).await;
    assert!(q.find(&id.into()).await.is_none());
}

pub async fn a_job_is_removed_from_any_state(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    q.run_one(completed()).await;
    q.run_one(failed("x")).await;
    q.add_all([draft(), draft().priority(1), draft().delay(ms(10))]).await;
    let states = [("1", "completed"), ("2", "failed"), ("3", "wait"), ("4", "prioritized"), ("5", "delayed")];
    for (id, prev) in states {
        removed(&q, id, prev).await;
    }
    assert_eq!(q.tally().await, "");
    q.advance(ms(10)).await;
    assert!(q.take(9).await.jobs.is_empty());
}

pub async fn a_job_under_a_lease_stays(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    let (here, before) = (q.here().await, q.job("1").await);
    assert_eq!(q.remove(&"1".into()).await, RemoveAnswer::Locked);
    assert_eq!(q.job("1").await, before);
    q.expect_events(&here, &[]).await;
    q.finish(&job, completed()).await.unwrap();
}

pub async fn a_running_job_without_a_lease_is_removed(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_by(TakeRequest { token: Token::none(), ..q.demand(1) }).await.jobs.remove(0);
    removed(&q, "1", "active").await;
    refused(q.finish(&job, completed()).await, ErrorKind::NotFound);
}

pub async fn a_job_that_is_not_there_is_not_found(bench: &Harness) {
    let q = bench.queue();
    let here = q.here().await;
    assert_eq!(q.remove(&"nobody".into()).await, RemoveAnswer::NotFound);
    q.expect_events(&here, &[]).await;
    q.add(draft()).await;
    q.remove(&"1".into()).await;
    assert_eq!(q.remove(&"1".into()).await, RemoveAnswer::NotFound);
}

pub async fn the_log_goes_too(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft()).await;
    q.log(&id, "a", None).await;
    q.remove(&id).await;
    let request = LogsRequest { job: id, offset: 0, limit: 9, order: Order::Ascending };
    assert_eq!(q.store().logs(&q.address, request).await.unwrap(), LogsPage::default());
}

pub async fn its_neighbours_keep_their_places(bench: &Harness) {
    let q = bench.queue();
    q.add_many(5).await;
    q.remove(&"3".into()).await;
    q.remove(&"1".into()).await;
    assert_eq!(q.list(JobState::Waiting).await, "2 4 5");
}

pub async fn a_lease_that_ran_out_protects_no_more(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    q.advance(super::harness::LEASE + ms(1)).await;
    removed(&q, "1", "active").await;
    refused(q.finish(&job, completed()).await, ErrorKind::NotFound);
}
