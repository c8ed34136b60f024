//! Cases of `Store::pause` and `Store::resume`.

use super::harness::{Harness, completed, draft, ids, ms};
use crate::state::JobState;
use crate::store::Idle;

pub async fn a_paused_queue_gives_nothing_and_says_so(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft(), draft().priority(1)]).await;
    q.pause().await;
    let taken = q.take(2).await;
    assert_eq!((taken.jobs.len(), taken.idle), (0, Some(Idle::Paused)));
    let counts = q.counts().await;
    assert!(counts.paused);
    assert_eq!((counts.waiting, counts.prioritized), (1, 1), "they are still counted as waiting");
    assert_eq!(q.state("1").await, JobState::Waiting);
    q.resume().await;
    assert!(!q.counts().await.paused);
    assert_eq!(q.take_rest().await, "1 2");
}

pub async fn an_empty_queue_can_be_paused(bench: &Harness) {
    let q = bench.queue();
    q.pause().await;
    assert!(q.counts().await.paused);
    assert_eq!(q.take(1).await.idle, Some(Idle::Paused));
}

pub async fn running_jobs_go_on_in_a_paused_queue(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    let job = q.take_one().await;
    q.pause().await;
    q.finish(&job, completed()).await.unwrap();
    assert_eq!(q.tally().await, "completed=1 waiting=1");
}

pub async fn due_jobs_are_promoted_in_a_paused_queue(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().delay(ms(10)), draft().delay(ms(10)).priority(1)]).await;
    q.pause().await;
    q.advance(ms(10)).await;
    let here = q.here().await;
    assert_eq!(q.take(9).await.idle, Some(Idle::Paused));
    q.expect_events(&here, &["waiting 1 prev=delayed", "waiting 2 prev=delayed"]).await;
    assert_eq!(q.tally().await, "prioritized=1 waiting=1");
}

pub async fn each_pause_and_resume_is_told(bench: &Harness) {
    let q = bench.queue();
    let here = q.here().await;
    q.pause().await;
    q.pause().await;
    q.resume().await;
    q.resume().await;
    q.expect_events(&here, &["paused", "paused", "resumed", "resumed"]).await;
}

pub async fn a_pause_holds_one_queue_only(bench: &Harness) {
    let (q, other) = (bench.queue(), bench.on("other"));
    q.pause().await;
    other.add(draft()).await;
    assert_eq!(ids(&other.take(1).await.jobs), "1");
    assert!(!other.counts().await.paused);
}
