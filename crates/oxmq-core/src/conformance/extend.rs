//! Cases of `Store::extend`.

use super::harness::{Harness, INTERVAL, LEASE, On, completed, draft, ms, worker};
use crate::job::Lease;
use crate::state::JobState;
use crate::store::{ExtendRequest, Extended, RecoverRequest};

async fn extend(q: &On<'_>, leases: Vec<Lease>) -> Vec<Extended> {
    let request = ExtendRequest { leases, lease_for: LEASE, now: q.now() };
    q.store().extend(&q.address, request).await.unwrap()
}

pub async fn a_lease_that_is_extended_lasts_longer(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    let taken = q.take(2).await.jobs;
    q.advance(LEASE - ms(1_000)).await;
    assert_eq!(extend(&q, vec![taken[0].lease.clone()]).await, [Extended::Kept]);
    q.advance(ms(2_000)).await;
    let request = RecoverRequest { max_stalled: 1, interval: ms(1_000), now: q.now() };
    let recovered = q.store().recover(&q.address, request).await.unwrap().stalled;
    assert_eq!(recovered, [taken[1].job.id.clone()]);
    assert_eq!(q.state("1").await, JobState::Active);
}

pub async fn a_lease_lasts_from_the_time_of_the_call(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    extend(&q, vec![job.lease.clone()]).await;
    assert_eq!(q.recover(1).await, [job.job.id], "30 s from then on are over");
}

pub async fn a_lease_that_ran_out_but_was_not_recovered_is_kept(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    q.advance(LEASE + INTERVAL).await;
    assert_eq!(extend(&q, vec![job.lease.clone()]).await, [Extended::Kept]);
    let request = RecoverRequest { max_stalled: 1, interval: INTERVAL, now: q.now() };
    assert!(q.store().recover(&q.address, request).await.unwrap().stalled.is_empty());
}

pub async fn each_lease_is_answered_in_order(bench: &Harness) {
    let q = bench.queue();
    q.add_many(4).await;
    let taken = q.take(2).await.jobs;
    let other = q.take_as("v:1", 1).await.remove(0);
    q.finish(&taken[1], completed()).await.unwrap();
    let leases = vec![
        taken[1].lease.clone(),
        taken[0].lease.clone(),
        On::lease(&other.job.id, "w:1"),
        On::lease(&"4".into(), "w:1"),
        On::lease(&"nobody".into(), "w:1"),
        other.lease,
    ];
    use Extended::{Kept, Lost};
    assert_eq!(extend(&q, leases).await, [Lost, Kept, Lost, Lost, Lost, Kept]);
    assert!(extend(&q, vec![]).await.is_empty());
}

pub async fn a_lease_is_lost_when_the_job_was_recovered(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    q.recover(1).await;
    assert_eq!(extend(&q, vec![job.lease.clone()]).await, [Extended::Lost]);
    q.take_as("v:1", 1).await;
    assert_eq!(extend(&q, vec![job.lease]).await, [Extended::Lost]);
}

pub async fn an_extension_tells_of_a_request_to_cancel_each_time(bench: &Harness) {
    let q = bench.queue();
    q.announce(worker("w", None), ms(600_000)).await;
    q.add(draft()).await;
    let job = q.take_one().await;
    q.cancel(&job.job.id, "why").await.unwrap();
    for _ in 0..2 {
        q.advance(LEASE - ms(1_000)).await;
        let expected = Extended::CancelRequested { reason: "why".into() };
        assert_eq!(extend(&q, vec![job.lease.clone()]).await, [expected]);
    }
    q.advance(LEASE - ms(1_000)).await;
    let request = RecoverRequest { max_stalled: 1, interval: INTERVAL, now: q.now() };
    assert!(q.store().recover(&q.address, request).await.unwrap().stalled.is_empty(), "the lease is kept");
}

pub async fn an_extension_tells_nothing(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    let (here, before) = (q.here().await, q.job("1").await);
    extend(&q, vec![job.lease]).await;
    q.expect_events(&here, &[]).await;
    assert_eq!(q.job("1").await, before);
}
