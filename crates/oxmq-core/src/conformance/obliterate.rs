//! Cases of `Store::obliterate`.

use super::harness::{Harness, On, completed, draft, failed, ms, refused, worker};
use crate::error::{ErrorKind, Result};
use crate::events::EventCursor;
use crate::store::{JobCounts, ObliterateRequest, RateLimit, Step, TakeRequest};

async fn obliterate(q: &On<'_>, force: bool, limit: usize) -> Result<Step> {
    q.store().obliterate(&q.address, ObliterateRequest { force, limit, now: q.now() }).await
}

async fn fill(q: &On<'_>) {
    q.add_many(3).await;
    q.run_one(completed()).await;
    q.run_one(failed("x")).await;
    q.add_all([draft().priority(1), draft().delay(ms(10)), draft().id("mine")]).await;
    q.log(&"mine".into(), "a line", None).await;
    q.announce(worker("w", None), ms(60_000)).await;
}

pub async fn afterwards_the_queue_was_never_there(bench: &Harness) {
    let q = bench.queue();
    fill(&q).await;
    q.limit(Some(q.now() + ms(60_000))).await;
    let step = obliterate(&q, false, 1_000).await.unwrap();
    assert!(!step.more);
    assert_eq!(q.counts().await, JobCounts::default());
    assert!(q.events_since(&EventCursor::Oldest).await.is_empty());
    assert!(q.find(&"mine".into()).await.is_none());
    assert!(q.store().workers(&q.address, q.now()).await.unwrap().is_empty());
    assert!(q.store().queues(None).await.unwrap().is_empty());
}

pub async fn afterwards_ids_begin_at_one(bench: &Harness) {
    let q = bench.queue();
    fill(&q).await;
    obliterate(&q, false, 1_000).await.unwrap();
    assert_eq!(q.add(draft()).await.as_str(), "1");
    assert_eq!(q.add(draft().id("mine")).await.as_str(), "mine");
    assert_eq!(q.log(&"mine".into(), "the first", None).await, 1);
    assert_eq!(q.take_rest().await, "1 mine", "it is not paused any more");
    let events = q.events_since(&EventCursor::Oldest).await;
    assert_eq!(events[..2], ["added 1 name=work", "waiting 1"]);
}

pub async fn afterwards_the_window_of_a_rate_limit_is_gone(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    let rate_limit = Some(RateLimit { max: 1, window: ms(60_000) });
    q.take_by(TakeRequest { rate_limit, ..q.demand(1) }).await;
    obliterate(&q, true, 1_000).await.unwrap();
    q.add(draft()).await;
    assert_eq!(q.take_by(TakeRequest { rate_limit, ..q.demand(1) }).await.jobs.len(), 1);
}

pub async fn it_is_done_step_by_step(bench: &Harness) {
    let q = bench.queue();
    q.add_many(3).await;
    q.add_all([draft().priority(1), draft().delay(ms(9))]).await;
    let mut left = 5;
    for turn in 0.. {
        let step = obliterate(&q, false, 2).await.unwrap();
        assert!(step.count <= 2 && turn < 6);
        left -= step.count;
        if !step.more {
            break;
        }
        let counts = q.counts().await;
        assert_eq!((counts.total(), counts.paused), (left, true));
    }
    assert_eq!(left, 0);
    assert_eq!(q.counts().await, JobCounts::default());
}

pub async fn it_is_refused_while_jobs_are_active(bench: &Harness) {
    let q = bench.queue();
    fill(&q).await;
    let job = q.take_one().await;
    let before = q.tally().await;
    let here = q.here().await;
    refused(obliterate(&q, false, 1_000).await, ErrorKind::Refused);
    assert_eq!(q.tally().await, before);
    assert!(q.counts().await.paused, "it stays paused");
    q.expect_events(&here, &["paused"]).await;
    q.finish(&job, completed()).await.unwrap();
}

pub async fn by_force_active_jobs_go_too(bench: &Harness) {
    let q = bench.queue();
    fill(&q).await;
    let job = q.take_one().await;
    obliterate(&q, true, 1_000).await.unwrap();
    assert_eq!(q.counts().await, JobCounts::default());
    refused(q.finish(&job, completed()).await, ErrorKind::NotFound);
}

pub async fn an_empty_queue_can_be_obliterated(bench: &Harness) {
    let q = bench.queue();
    assert!(!obliterate(&q, false, 10).await.unwrap().more);
    assert_eq!(q.counts().await, JobCounts::default());
}

pub async fn other_queues_stay(bench: &Harness) {
    let (q, other) = (bench.queue(), bench.on("other"));
    fill(&q).await;
    fill(&other).await;
    let before = other.tally().await;
    obliterate(&q, true, 1_000).await.unwrap();
    assert_eq!(other.tally().await, before);
    assert_eq!(other.add(draft()).await.as_str(), "7");
}
