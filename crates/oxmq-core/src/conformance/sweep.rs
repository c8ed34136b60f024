//! Cases of `Store::sweep`.

use std::time::Duration;

use super::harness::{Harness, On, completed, completed_keeping, draft, failed_keeping, ms};
use crate::options::Retention;
use crate::state::JobState;
use crate::store::{Step, SweepRequest};

async fn sweep(q: &On<'_>, limit: usize) -> Step {
    q.store().sweep(&q.address, SweepRequest { limit, now: q.now() }).await.unwrap()
}

const fn seconds(seconds: u64) -> Retention {
    Retention::age(Duration::from_secs(seconds))
}

pub async fn jobs_whose_age_is_over_are_removed(bench: &Harness) {
    let q = bench.queue();
    q.add_many(3).await;
    q.run_one(completed_keeping(seconds(10))).await;
    q.run_one(failed_keeping("x", seconds(20))).await;
    q.run_one(completed()).await;
    let here = q.here().await;
    q.advance(ms(9_000)).await;
    assert_eq!(sweep(&q, 100).await, Step::default());
    q.advance(ms(1_001)).await;
    let step = sweep(&q, 100).await;
    assert_eq!((step.count, step.more), (1, false));
    assert!(q.find(&"1".into()).await.is_none());
    q.advance(ms(10_000)).await;
    assert_eq!(sweep(&q, 100).await.count, 1);
    q.advance(ms(10_000_000)).await;
    assert_eq!(sweep(&q, 100).await.count, 0);
    assert_eq!(q.list(JobState::Completed).await, "3", "it was kept for ever");
    q.expect_events(&here, &[]).await;
}

pub async fn a_sweep_is_done_step_by_step(bench: &Harness) {
    let q = bench.queue();
    q.add_many(5).await;
    for _ in 0..5 {
        q.run_one(completed_keeping(seconds(100))).await;
        q.advance(ms(1_000)).await;
    }
    q.advance(ms(200_000)).await;
    let mut total = 0;
    for turn in 0.. {
        let step = sweep(&q, 2).await;
        assert!(step.count <= 2 && turn < 5);
        total += step.count;
        if !step.more {
            break;
        }
    }
    assert_eq!((total, q.tally().await.as_str()), (5, ""));
}

pub async fn a_job_that_runs_again_is_not_swept(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    q.run_one(completed_keeping(seconds(1))).await;
    q.retry(&"1".into(), JobState::Completed).await.unwrap();
    q.advance(ms(5_000)).await;
    assert_eq!(sweep(&q, 10).await, Step::default());
    q.run_one(completed()).await;
    q.advance(ms(5_000)).await;
    assert_eq!(sweep(&q, 10).await, Step::default(), "its age is that of its last ending");
    assert_eq!(q.tally().await, "completed=1");
}
