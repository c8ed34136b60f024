//! Cases of `Store::drain`.

use super::harness::{Harness, On, completed, draft, ms};
use crate::store::{DrainRequest, Step};

async fn drain(q: &On<'_>, delayed: bool, limit: usize) -> Step {
    q.store().drain(&q.address, DrainRequest { delayed, limit, now: q.now() }).await.unwrap()
}

async fn one_of_each(q: &On<'_>) {
    q.add_many(2).await;
    q.run_one(completed()).await;
    q.take(1).await;
    q.add_all([draft(), draft().priority(1), draft().delay(ms(10))]).await;
}

pub async fn what_waits_is_removed_and_nothing_else(bench: &Harness) {
    let q = bench.queue();
    one_of_each(&q).await;
    let here = q.here().await;
    let step = drain(&q, false, 1_000).await;
    assert_eq!((step.count, step.more), (2, false));
    assert_eq!(q.tally().await, "active=1 completed=1 delayed=1");
    assert!(q.find(&"3".into()).await.is_none());
    q.expect_events(&here, &[]).await;
}

pub async fn delayed_jobs_go_too_if_asked(bench: &Harness) {
    let q = bench.queue();
    one_of_each(&q).await;
    assert_eq!(drain(&q, true, 1_000).await.count, 3);
    assert_eq!(q.tally().await, "active=1 completed=1");
    q.advance(ms(10)).await;
    assert!(q.take(9).await.jobs.is_empty());
}

pub async fn a_queue_is_drained_step_by_step(bench: &Harness) {
    let q = bench.queue();
    q.add_all((0..5).map(|n| draft().priority(n % 2))).await;
    let mut total = 0;
    for turn in 0.. {
        let step = drain(&q, false, 2).await;
        assert!(step.count <= 2 && turn < 5);
        total += step.count;
        if !step.more {
            break;
        }
    }
    assert_eq!((total, q.tally().await.as_str()), (5, ""));
}

pub async fn an_empty_queue_is_drained_at_once(bench: &Harness) {
    assert_eq!(drain(&bench.queue(), true, 10).await, Step::default());
}

pub async fn ids_go_on_after_a_drain(bench: &Harness) {
    let q = bench.queue();
    q.add_many(3).await;
    drain(&q, true, 1_000).await;
    assert_eq!(q.add(draft()).await.as_str(), "4");
}
