//! Cases of `Store::wait`. It waits in real time.

use std::time::Duration;

use super::harness::{Harness, MOMENT, On, PATIENCE, draft, ids, ms};
use crate::state::JobState;
use crate::store::{Idle, TakeRequest, WaitRequest, Woken};

async fn wait(q: &On<'_>, timeout: Duration) -> Woken {
    let request = WaitRequest { worker: None, timeout };
    q.store().wait(&q.address, request).await.unwrap()
}

/// Runs `act` while somebody waits, who must be woken by it.
async fn wakes(q: &On<'_>, act: impl Future<Output = ()>) {
    let later = async {
        tokio::task::yield_now().await;
        act.await;
    };
    let (woken, ()) = tokio::join!(wait(q, PATIENCE), later);
    assert_ne!(woken, Woken::TimedOut);
}

pub async fn a_wait_for_nothing_times_out(bench: &Harness) {
    assert_eq!(wait(&bench.queue(), MOMENT).await, Woken::TimedOut);
}

pub async fn a_wait_ends_when_a_job_is_added(bench: &Harness) {
    let q = bench.queue();
    assert!(q.take(1).await.jobs.is_empty());
    wakes(&q, async { drop(q.add(draft()).await) }).await;
    assert_eq!(ids(&q.take(1).await.jobs), "1");
    wakes(&q, async { drop(q.add(draft().priority(3)).await) }).await;
    assert_eq!(ids(&q.take(1).await.jobs), "2");
}

pub async fn a_job_added_between_an_empty_take_and_the_wait_is_noticed(bench: &Harness) {
    let q = bench.queue();
    for _ in 0..20 {
        assert_eq!(q.take(1).await.idle, Some(Idle::Empty { next_due: None }));
        q.add(draft()).await;
        assert_eq!(wait(&q, PATIENCE).await, Woken::Look);
        assert_eq!(q.take(1).await.jobs.len(), 1);
    }
}

pub async fn no_wake_up_is_lost_in_a_race(bench: &Harness) {
    let q = bench.queue();
    const JOBS: usize = 60;
    let producer = async {
        for turn in 0..JOBS {
            q.add(draft()).await;
            for _ in 0..turn % 5 {
                tokio::task::yield_now().await;
            }
        }
    };
    let consumer = async {
        let mut got = 0;
        while got < JOBS {
            let taken = q.take(1).await.jobs.len();
            got += taken;
            if taken == 0 {
                assert_ne!(wait(&q, PATIENCE).await, Woken::TimedOut, "after {got} jobs");
            }
        }
    };
    tokio::join!(producer, consumer);
}

pub async fn all_jobs_are_taken_when_several_wait(bench: &Harness) {
    let q = bench.queue();
    const JOBS: u64 = 40;
    let work = async |token: &str| {
        while q.counts().await.active < JOBS {
            if q.take_as(token, 1).await.is_empty() {
                wait(&q, ms(200)).await;
            }
        }
    };
    let produce = async {
        for _ in 0..JOBS {
            q.add(draft()).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(work("a:1"), work("b:1"), work("c:1"), produce);
    assert_eq!(q.counts().await.active, JOBS);
}

pub async fn a_wait_ends_when_the_queue_is_resumed(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    q.pause().await;
    assert_eq!(q.take(1).await.idle, Some(Idle::Paused));
    wakes(&q, q.resume()).await;
}

pub async fn a_wait_ends_when_a_limit_is_lifted(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    q.limit(Some(q.now() + ms(600_000))).await;
    assert!(matches!(q.take(1).await.idle, Some(Idle::RateLimited { .. })));
    wakes(&q, q.limit(None)).await;
    assert_eq!(q.take(1).await.jobs.len(), 1);
}

pub async fn a_wait_ends_when_a_job_comes_back(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().delay(ms(600_000))).await;
    // What is due later may be told first.
    for _ in 0..3 {
        wait(&q, MOMENT).await;
    }
    wakes(&q, async { drop(q.promote(&"1".into()).await.unwrap()) }).await;
    let job = q.take_one().await;
    wakes(&q, async { assert!(q.finish(&job, crate::Ending::Returned).await.is_ok()) }).await;
    q.run_one(super::harness::failed("x")).await;
    wakes(&q, async { drop(q.retry(&"1".into(), JobState::Failed).await.unwrap()) }).await;
    q.take_one().await;
    wakes(&q, async { drop(q.recover(9).await) }).await;
}

pub async fn a_wait_may_be_dropped(bench: &Harness) {
    let q = bench.queue();
    {
        let dropped = wait(&q, PATIENCE);
        tokio::pin!(dropped);
        tokio::select! {
            biased;
            _ = &mut dropped => {}
            () = tokio::task::yield_now() => {}
        }
        q.add(draft()).await;
    }
    assert_eq!(wait(&q, PATIENCE).await, Woken::Look);
}

pub async fn a_job_in_another_queue_wakes_nobody_for_long(bench: &Harness) {
    let (q, other) = (bench.queue(), bench.on("other"));
    other.add(draft()).await;
    // A wake-up for nothing is allowed, again and again is not.
    let mut wakes = 0;
    while wait(&q, MOMENT).await != Woken::TimedOut {
        wakes += 1;
        assert!(wakes < 5, "woken {wakes} times for nothing");
    }
    assert!(q.take_by(TakeRequest { ..q.demand(1) }).await.jobs.is_empty());
}
