//! Cases of `Store::limit`, and of the rate limit of a take.

use super::harness::{
    Harness, LEASE, MOMENT, On, PATIENCE, again, completed, completed_keeping, draft, finish, ids, ms,
};
use crate::address::Token;
use crate::clock::Clock;
use crate::job::LeasedJob;
use crate::options::Retention;
use crate::outcome::Ending;
use crate::state::JobState;
use crate::store::{
    Idle, Limit, QueueLimits, RateLimit, RateWindow, RemoveAnswer, TakeRequest, Taken, WaitRequest, Woken,
};

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
    q.advance(ms(600)).await;
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

async fn at_most(q: &On<'_>, most: u32) {
    q.bound(Limit::Concurrency(Some(most))).await;
}

fn rate(max: u32, window_ms: u64) -> Limit {
    Limit::Rate(Some(RateLimit { max, window: ms(window_ms) }))
}

pub async fn a_queue_without_limits_says_so(bench: &Harness) {
    let q = bench.queue();
    assert_eq!(q.limits().await, QueueLimits::default());
    q.add(draft()).await;
    q.take_one().await;
    assert_eq!(q.limits().await, QueueLimits::default());
}

pub async fn limits_are_told_as_they_were_set(bench: &Harness) {
    let q = bench.queue();
    let here = q.here().await;
    let until = q.now() + ms(5_000);
    q.limit(Some(until)).await;
    at_most(&q, 3).await;
    q.bound(rate(10, 60_000)).await;
    let limits = q.limits().await;
    assert_eq!((limits.until, limits.concurrency, limits.is_full), (Some(until), Some(3), false));
    assert_eq!(limits.rate, Some(RateLimit { max: 10, window: ms(60_000) }));
    at_most(&q, 4_000_000_000).await;
    q.bound(rate(1, 1)).await;
    assert_eq!(q.limits().await.concurrency, Some(4_000_000_000));
    assert_eq!(q.limits().await.rate, Some(RateLimit { max: 1, window: ms(1) }));
    for limit in [Limit::Until(None), Limit::Concurrency(None), Limit::Rate(None)] {
        q.bound(limit).await;
    }
    assert_eq!(q.limits().await, QueueLimits::default());
    q.expect_events(&here, &[]).await;
    assert_eq!(bench.on("other").limits().await, QueueLimits::default());
}

pub async fn no_more_jobs_are_active_than_the_queue_allows(bench: &Harness) {
    let q = bench.queue();
    q.add_many(9).await;
    at_most(&q, 3).await;
    let mut taken = q.take(2).await;
    assert_eq!((taken.jobs.len(), taken.idle, q.limits().await.is_full), (2, None, false));
    let more = q.take(5).await;
    assert_eq!((ids(&more.jobs).as_str(), more.idle), ("3", Some(Idle::Full)));
    assert!(q.limits().await.is_full);
    assert_eq!(q.take(1).await.idle, Some(Idle::Full));
    assert_eq!(q.take(0).await.idle, None);
    taken.jobs.extend(more.jobs);
    // The call that frees places fills them.
    let ended = taken.jobs.drain(..2).map(|job| finish(&job, completed())).collect();
    let next = q.finish_by(ended, Some(q.demand(9))).await.taken.unwrap();
    assert_eq!((ids(&next.jobs).as_str(), next.idle), ("4 5", Some(Idle::Full)));
    q.bound(Limit::Concurrency(None)).await;
    assert_eq!(ids(&q.take(9).await.jobs), "6 7 8 9");
}

pub async fn every_way_out_of_active_frees_a_place(bench: &Harness) {
    let q = bench.queue();
    at_most(&q, 1).await;
    for ending in [
        completed(),
        completed_keeping(Retention::NONE),
        again(Some(q.now() + ms(60_000))),
        again(None),
        Ending::Postponed { at: q.now() + ms(60_000) },
        Ending::Returned,
    ] {
        q.add(draft()).await;
        let job = q.take_one().await;
        assert!(q.limits().await.is_full);
        q.finish(&job, ending).await.unwrap();
        assert!(!q.limits().await.is_full);
    }
    q.take_one().await;
    q.recover(9).await;
    assert!(!q.limits().await.is_full);
    let token = Token::none();
    let job = q.take_by(TakeRequest { token, ..q.demand(1) }).await.jobs.remove(0);
    q.remove(&job.job.id).await;
    assert!(!q.limits().await.is_full);
}

pub async fn a_limit_below_what_is_active_lets_that_end(bench: &Harness) {
    let q = bench.queue();
    q.add_many(4).await;
    let jobs = q.take(3).await.jobs;
    at_most(&q, 1).await;
    for job in &jobs[..2] {
        let taken = q.finish_by(vec![finish(job, completed())], Some(q.demand(1))).await.taken.unwrap();
        assert_eq!((taken.jobs.len(), taken.idle), (0, Some(Idle::Full)));
    }
    let taken = q.finish_by(vec![finish(&jobs[2], completed())], Some(q.demand(2))).await.taken.unwrap();
    assert_eq!((ids(&taken.jobs).as_str(), taken.idle), ("4", Some(Idle::Full)));
}

pub async fn no_more_jobs_are_active_though_many_take_at_once(bench: &Harness) {
    async fn greedy(q: &On<'_>, token: &str) -> Vec<LeasedJob> {
        q.take_as(token, 10).await
    }
    let q = bench.queue();
    q.add_many(60).await;
    at_most(&q, 7).await;
    let mut done = 0;
    while done < 60 {
        let taken: [Vec<LeasedJob>; 4] =
            tokio::join!(greedy(&q, "1"), greedy(&q, "2"), greedy(&q, "3"), greedy(&q, "4")).into();
        let jobs: Vec<LeasedJob> = taken.into_iter().flatten().collect();
        assert_eq!(jobs.len(), (60 - done).min(7));
        done += jobs.len();
        let ended = jobs.iter().map(|job| finish(job, completed())).collect();
        assert!(q.finish_by(ended, None).await.answers.iter().all(Result::is_ok));
    }
}

pub async fn due_jobs_are_promoted_in_a_full_queue(bench: &Harness) {
    let q = bench.queue();
    at_most(&q, 1).await;
    q.add(draft()).await;
    q.take_one().await;
    q.add(draft().delay(ms(10))).await;
    q.advance(ms(10)).await;
    assert_eq!(q.take(1).await.idle, Some(Idle::Full));
    assert_eq!(q.tally().await, "active=1 waiting=1");
}

/// Whether a wait ends while `act` is done, and not before.
async fn wakes(q: &On<'_>, act: impl Future<Output = ()>) {
    let wait = |timeout| q.store().wait(&q.address, WaitRequest { worker: None, timeout });
    let clock = Clock::system();
    // What was told before nobody waited.
    while clock.timeout(MOMENT, wait(PATIENCE)).await.is_some() {
        assert!(q.take(1).await.jobs.is_empty());
    }
    let (woken, ()) = tokio::join!(wait(PATIENCE), async {
        clock.sleep(MOMENT).await;
        act.await;
    });
    assert_eq!(woken.unwrap(), Woken::Look);
}

pub async fn a_wait_ends_when_a_place_is_free(bench: &Harness) {
    let q = bench.queue();
    q.add_many(4).await;
    at_most(&q, 1).await;
    let job = q.take_one().await;
    assert_eq!(q.take(1).await.idle, Some(Idle::Full));
    // A finish that takes nothing.
    wakes(&q, async { assert!(q.finish(&job, completed()).await.is_ok()) }).await;
    let token = Token::none();
    let job = q.take_by(TakeRequest { token, ..q.demand(1) }).await.jobs.remove(0);
    assert_eq!(q.take(1).await.idle, Some(Idle::Full));
    wakes(&q, async { assert_eq!(q.remove(&job.job.id).await, RemoveAnswer::Removed) }).await;
    q.take_one().await;
    assert_eq!(q.take(1).await.idle, Some(Idle::Full));
    wakes(&q, at_most(&q, 2)).await;
    assert_eq!(q.take(1).await.jobs.len(), 1);
}

pub async fn a_job_that_comes_to_a_full_queue_is_taken_when_a_place_is_free(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    at_most(&q, 1).await;
    let job = q.take_one().await;
    assert_eq!(q.take(1).await.idle, Some(Idle::Full));
    q.add(draft().priority(3)).await;
    wakes(&q, async { assert!(q.finish(&job, completed()).await.is_ok()) }).await;
    assert_eq!(q.take(1).await.jobs.len(), 1);
}

pub async fn a_rate_of_the_queue_holds_for_all_workers(bench: &Harness) {
    let q = bench.queue();
    q.add_many(9).await;
    q.bound(rate(3, 1_000)).await;
    let until = q.now() + ms(1_000);
    assert_eq!(ids(&q.take(2).await.jobs), "1 2");
    assert_eq!(q.limits().await.until, None);
    let taken = q.take(5).await;
    assert_eq!((ids(&taken.jobs).as_str(), taken.idle), ("3", Some(Idle::RateLimited { until })));
    assert_eq!((q.limits().await.until, q.counts().await.limited_until), (Some(until), Some(until)));
    q.advance(ms(900)).await;
    assert_eq!(q.take(1).await.idle, Some(Idle::RateLimited { until }));
    q.advance(ms(600)).await;
    assert_eq!(q.limits().await.until, None);
    assert_eq!(ids(&q.take(5).await.jobs), "4 5 6");
    q.bound(Limit::Rate(None)).await;
    assert_eq!(ids(&q.take(5).await.jobs), "7 8 9");
}

pub async fn of_two_rates_the_max_is_the_queues_and_the_window_the_workers(bench: &Harness) {
    let q = bench.queue();
    q.add_many(9).await;
    q.bound(rate(2, 60_000)).await;
    let until = q.now() + ms(1_000);
    let taken = take_rated(&q, 5, 4, 1_000).await;
    assert_eq!((ids(&taken.jobs).as_str(), taken.idle), ("1 2", Some(Idle::RateLimited { until })));
    // One count for all.
    assert_eq!(q.take(1).await.idle, Some(Idle::RateLimited { until }));
    q.advance(ms(1_500)).await;
    let until = q.now() + ms(60_000);
    assert_eq!(q.take(1).await.jobs.len(), 1);
    let taken = take_rated(&q, 5, 4, 1_000).await;
    assert_eq!((ids(&taken.jobs).as_str(), taken.idle), ("4", Some(Idle::RateLimited { until })));
}

pub async fn a_rate_and_a_concurrency_hold_both(bench: &Harness) {
    let q = bench.queue();
    q.add_many(9).await;
    at_most(&q, 2).await;
    q.bound(rate(3, 10_000)).await;
    let jobs = q.take(9).await.jobs;
    assert_eq!(jobs.len(), 2);
    let until = q.now() + ms(10_000);
    let ended = jobs.iter().map(|job| finish(job, completed())).collect();
    let taken = q.finish_by(ended, Some(q.demand(9))).await.taken.unwrap();
    assert_eq!((ids(&taken.jobs).as_str(), taken.idle), ("3", Some(Idle::RateLimited { until })));
    q.advance(ms(10_500)).await;
    assert_eq!(ids(&q.take(9).await.jobs), "4");
    assert_eq!(q.list(JobState::Active).await, "3 4");
}

pub async fn lifting_a_limit_begins_the_window_anew(bench: &Harness) {
    let q = bench.queue();
    q.add_many(9).await;
    q.bound(rate(1, 60_000)).await;
    q.take_one().await;
    q.limit(None).await;
    assert_eq!(ids(&q.take(2).await.jobs), "2");
}

pub async fn obliterating_forgets_the_limits(bench: &Harness) {
    let q = bench.queue();
    at_most(&q, 1).await;
    q.bound(rate(1, 60_000)).await;
    q.add_many(3).await;
    q.take_one().await;
    q.advance(LEASE).await;
    let request = crate::store::ObliterateRequest { force: true, limit: 10, now: q.now() };
    while q.store().obliterate(&q.address, request).await.unwrap().more {}
    assert_eq!(q.limits().await, QueueLimits::default());
    q.add_many(3).await;
    assert_eq!(q.take(3).await.jobs.len(), 3);
}

pub async fn a_limit_by_hand_may_hold_only_for_workers_with_a_rate(bench: &Harness) {
    let q = bench.queue();
    q.add_many(4).await;
    let until = q.now() + ms(5_000);
    q.limit(Some(until)).await;
    let limited = Some(Idle::RateLimited { until });
    let own = Some(RateLimit { max: 9, window: ms(1_000) });
    let demand = |rate_limit, until_needs_rate| TakeRequest { rate_limit, until_needs_rate, ..q.demand(1) };
    assert_eq!(q.take_by(demand(None, false)).await.idle, limited);
    assert_eq!(q.take_by(demand(own, true)).await.idle, limited);
    assert_eq!(q.take_by(demand(None, true)).await.jobs.len(), 1);
    q.bound(rate(9, 1_000)).await;
    assert_eq!(q.take_by(demand(None, true)).await.idle, limited);
}

pub async fn the_window_that_runs_is_told(bench: &Harness) {
    let q = bench.queue();
    q.add_many(9).await;
    assert_eq!((q.limits().await.window, q.limits().await.by_hand), (None, None));
    let ends = q.now() + ms(5_000);
    take_rated(&q, 2, 3, 5_000).await;
    let limits = q.limits().await;
    assert_eq!(
        (limits.window, limits.until),
        (Some(RateWindow::new(2, ends)), None),
        "the rate is a worker's own"
    );
    let until = q.now() + ms(9_000);
    q.limit(Some(until)).await;
    let limits = q.limits().await;
    assert_eq!((limits.window, limits.by_hand), (None, Some(until)));
    q.limit(None).await;
    take_rated(&q, 1, 3, 5_000).await;
    assert_eq!(q.limits().await.window.map(|window| window.taken), Some(1));
    q.advance(ms(5_001)).await;
    assert_eq!(q.limits().await, QueueLimits::default());
}
