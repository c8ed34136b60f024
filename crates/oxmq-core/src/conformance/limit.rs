//! Cases of `Store::limit`, and of the rate limit of a take.

use super::harness::{Harness, On, completed, draft, finish, ids, ms};
use crate::store::{Idle, RateLimit, TakeRequest, Taken};

pub async fn a_limited_queue_gives_nothing_until_then(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let until = q.now() + ms(5_000);
    q.limit(Some(until)).await;
    let taken = q.take(1).await;
    assert_eq!((taken.jobs.len(), taken.idle), (0, Some(Idle::RateLimited { until })));
    assert_eq!(q.counts().await.limited_until, Some(until));
    q.advance(ms(4_000)).await;
    assert!(q.take(1).await.jobs.is_empty());
    q.advance(ms(1_001)).await;
    assert_eq!(q.counts().await.limited_until, None);
    assert_eq!(ids(&q.take(1).await.jobs), "1");
}

pub async fn a_limit_can_be_lifted(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    q.limit(None).await;
    q.limit(Some(q.now() + ms(5_000))).await;
    q.limit(None).await;
    assert_eq!(q.counts().await.limited_until, None);
    assert_eq!(ids(&q.take(1).await.jobs), "1");
}

pub async fn a_limit_can_be_shortened_and_extended(bench: &Harness) {
    let q = bench.queue();
    for wait in [5_000, 1_000, 9_000] {
        let until = q.now() + ms(wait);
        q.limit(Some(until)).await;
        assert_eq!(q.take(1).await.idle, Some(Idle::RateLimited { until }));
    }
}

pub async fn a_limit_tells_no_event(bench: &Harness) {
    let q = bench.queue();
    let here = q.here().await;
    q.limit(Some(q.now() + ms(5_000))).await;
    q.limit(None).await;
    q.expect_events(&here, &[]).await;
}

pub async fn due_jobs_are_promoted_in_a_limited_queue(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().delay(ms(10))).await;
    q.limit(Some(q.now() + ms(5_000))).await;
    q.advance(ms(10)).await;
    q.take(1).await;
    assert_eq!(q.tally().await, "waiting=1");
}

pub async fn a_limit_holds_one_queue_only(bench: &Harness) {
    let (q, other) = (bench.queue(), bench.on("other"));
    q.limit(Some(q.now() + ms(5_000))).await;
    other.add(draft()).await;
    assert_eq!(other.take(1).await.jobs.len(), 1);
}

pub async fn drained_is_not_told_after_a_take_from_a_limited_queue(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    q.limit(Some(q.now() + ms(5_000))).await;
    let here = q.here().await;
    q.finish_by(vec![finish(&job, completed())], Some(q.demand(1))).await;
    q.expect_events(&here, &["completed 1 returnvalue=null prev=active"]).await;
}

async fn take_rated(q: &On<'_>, limit: usize, max: u32, window_ms: u64) -> Taken {
    let rate_limit = Some(RateLimit { max, window: ms(window_ms) });
    q.take_by(TakeRequest { rate_limit, ..q.demand(limit) }).await
}

pub async fn a_rate_limit_gives_so_many_in_a_window(bench: &Harness) {
    let q = bench.queue();
    q.add_many(9).await;
    let until = q.now() + ms(1_000);
    let taken = take_rated(&q, 5, 3, 1_000).await;
    assert_eq!((ids(&taken.jobs).as_str(), taken.idle), ("1 2 3", Some(Idle::RateLimited { until })));
    q.advance(ms(900)).await;
    let taken = take_rated(&q, 1, 3, 1_000).await;
    assert_eq!((taken.jobs.len(), taken.idle), (0, Some(Idle::RateLimited { until })));
    q.advance(ms(101)).await;
    assert_eq!(ids(&take_rated(&q, 5, 3, 1_000).await.jobs), "4 5 6");
}

pub async fn a_window_begins_with_its_first_take(bench: &Harness) {
    let q = bench.queue();
    q.add_many(9).await;
    assert_eq!(ids(&take_rated(&q, 1, 2, 1_000).await.jobs), "1");
    let until = q.now() + ms(1_000);
    q.advance(ms(700)).await;
    let taken = take_rated(&q, 2, 2, 1_000).await;
    assert_eq!((ids(&taken.jobs).as_str(), taken.idle), ("2", Some(Idle::RateLimited { until })));
    // The window that follows does not begin by itself.
    q.advance(ms(1_500)).await;
    let until = q.now() + ms(1_000);
    let taken = take_rated(&q, 3, 2, 1_000).await;
    assert_eq!((ids(&taken.jobs).as_str(), taken.idle), ("3 4", Some(Idle::RateLimited { until })));
}

pub async fn a_rate_limit_counts_for_the_whole_queue(bench: &Harness) {
    let q = bench.queue();
    q.add_many(9).await;
    let rate_limit = Some(RateLimit { max: 3, window: ms(1_000) });
    let take = async |token: &str| {
        let token = crate::Token::new(token);
        ids(&q.take_by(TakeRequest { token, rate_limit, ..q.demand(2) }).await.jobs)
    };
    assert_eq!((take("a:1").await.as_str(), take("b:1").await.as_str()), ("1 2", "3"));
    assert_eq!(take("c:1").await, "");
}

pub async fn a_take_without_a_rate_limit_is_not_held_by_the_window(bench: &Harness) {
    let q = bench.queue();
    q.add_many(9).await;
    take_rated(&q, 1, 1, 1_000).await;
    assert_eq!(take_rated(&q, 1, 1, 1_000).await.jobs.len(), 0);
    assert_eq!(ids(&q.take(2).await.jobs), "2 3");
}

pub async fn jobs_that_must_fail_do_not_count(bench: &Harness) {
    let q = bench.queue();
    q.add_many(4).await;
    q.take(2).await;
    assert_eq!(q.recover(0).await.len(), 2);
    let taken = take_rated(&q, 3, 2, 1_000).await;
    assert_eq!(taken.jobs.len(), 3, "two of them only to be failed");
    assert_eq!(take_rated(&q, 3, 2, 1_000).await.jobs.len(), 1);
}

pub async fn the_take_of_a_finish_is_rate_limited_too(bench: &Harness) {
    let q = bench.queue();
    q.add_many(3).await;
    let job = take_rated(&q, 1, 1, 1_000).await.jobs.remove(0);
    let until = q.now() + ms(1_000);
    let rate_limit = Some(RateLimit { max: 1, window: ms(1_000) });
    let request = TakeRequest { rate_limit, ..q.demand(1) };
    let taken = q.finish_by(vec![finish(&job, completed())], Some(request)).await.taken.unwrap();
    assert_eq!((taken.jobs.len(), taken.idle), (0, Some(Idle::RateLimited { until })));
}
