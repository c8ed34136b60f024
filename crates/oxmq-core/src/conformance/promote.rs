//! Cases of `Store::promote`.

use super::harness::{Harness, On, completed, draft, ms, refused};
use crate::error::ErrorKind;
use crate::state::JobState;
use crate::store::{PromoteRequest, Step};

async fn promote_all(q: &On<'_>, limit: usize) -> Step {
    q.store().promote(&q.address, PromoteRequest::All { limit, now: q.now() }).await.unwrap()
}

pub async fn a_promoted_job_runs_now(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().delay(ms(60_000)), draft()]).await;
    let here = q.here().await;
    let step = q.promote(&"1".into()).await.unwrap();
    assert_eq!((step.count, step.more), (1, false));
    q.expect_events(&here, &["waiting 1 prev=delayed"]).await;
    let view = q.job("1").await;
    assert_eq!((view.state, view.due, view.job.delay_ms), (JobState::Waiting, None, 0));
    assert_eq!(q.take_rest().await, "2 1");
}

pub async fn a_promoted_job_with_a_priority_goes_to_its_place(bench: &Harness) {
    let q = bench.queue();
    q.add_all([
        draft().priority(2).delay(ms(60_000)),
        draft().priority(2),
        draft().priority(3),
        draft().priority(1),
    ])
    .await;
    q.promote(&"1".into()).await.unwrap();
    assert_eq!(q.state("1").await, JobState::Prioritized);
    assert_eq!(q.take_rest().await, "4 2 1 3");
}

pub async fn a_job_that_is_not_delayed_is_not_promoted(bench: &Harness) {
    let q = bench.queue();
    refused(q.promote(&"nobody".into()).await, ErrorKind::NotFound);
    let id = q.add(draft()).await;
    refused(q.promote(&id).await, ErrorKind::WrongState);
    let job = q.take_one().await;
    refused(q.promote(&id).await, ErrorKind::WrongState);
    q.finish(&job, completed()).await.unwrap();
    let here = q.here().await;
    refused(q.promote(&id).await, ErrorKind::WrongState);
    q.expect_events(&here, &[]).await;
}

pub async fn all_are_promoted_step_by_step_earliest_first(bench: &Harness) {
    let q = bench.queue();
    q.add_all([5_000, 1_000, 3_000, 2_000, 4_000].map(|delay| draft().delay(ms(delay)))).await;
    let here = q.here().await;
    let step = promote_all(&q, 2).await;
    assert_eq!((step.count, step.more), (2, true));
    q.expect_events(&here, &["waiting 2 prev=delayed", "waiting 4 prev=delayed"]).await;
    assert_eq!(q.list(JobState::Waiting).await, "2 4");
    assert_eq!(
        (promote_all(&q, 2).await.count, promote_all(&q, 2).await),
        (2, Step { count: 1, ..Step::default() })
    );
    assert_eq!(q.take_rest().await, "2 4 3 5 1");
    assert_eq!(promote_all(&q, 2).await, Step::default());
}

pub async fn all_keep_their_priorities(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().delay(ms(1_000)).priority(1), draft().delay(ms(2_000))]).await;
    promote_all(&q, 1_000).await;
    assert_eq!(q.tally().await, "prioritized=1 waiting=1");
    assert_eq!(q.job("1").await.job.delay_ms, 0);
}

pub async fn a_paused_queue_promotes_but_gives_none(bench: &Harness) {
    let q = bench.queue();
    q.add(draft().delay(ms(1_000))).await;
    q.pause().await;
    q.promote(&"1".into()).await.unwrap();
    assert_eq!(q.state("1").await, JobState::Waiting);
    assert!(q.take(1).await.jobs.is_empty());
}
