//! Cases of what is counted of the jobs that end: in `Store::finish`, and as `Store::metrics` tells it.

use super::harness::{
    Harness, On, again, completed, completed_keeping, draft, failed, failed_keeping, finish, ms,
};
use crate::options::Retention;
use crate::outcome::Ending;
use crate::state::JobState;
use crate::store::{FinishRequest, MetricsPage, MetricsRequest};

/// Adds so many jobs, takes them, and ends them in one call, in a worker that keeps so many points.
async fn end(q: &On<'_>, many: usize, ending: &Ending, keep: u32) {
    q.add_many(many).await;
    let jobs = q.take(many).await.jobs;
    let finished = jobs.iter().map(|job| finish(job, ending.clone())).collect();
    let request = FinishRequest { finished, take: None, metrics: Some(keep), now: q.now() };
    let done = q.store().finish(&q.address, request).await.unwrap();
    assert!(done.answers.iter().all(Result::is_ok));
}

async fn page(q: &On<'_>, state: JobState) -> MetricsPage {
    let request = MetricsRequest { state, offset: 0, limit: 100 };
    q.store().metrics(&q.address, request).await.unwrap()
}

async fn points(q: &On<'_>) -> Vec<u64> {
    page(q, JobState::Completed).await.points
}

const MINUTE: u64 = 60_000;

pub async fn nothing_is_counted_unless_the_worker_counts(bench: &Harness) {
    let q = bench.queue();
    assert_eq!(page(&q, JobState::Completed).await, MetricsPage::default());
    q.add_many(2).await;
    q.run_one(completed()).await;
    q.run_one(failed("no")).await;
    assert_eq!(page(&q, JobState::Completed).await, MetricsPage::default());
    assert_eq!(page(&q, JobState::Failed).await, MetricsPage::default());
    assert_eq!(page(&q, JobState::Waiting).await, MetricsPage::default());
}

pub async fn the_minute_that_runs_is_no_point_yet(bench: &Harness) {
    let q = bench.queue();
    let start = q.now();
    end(&q, 3, &completed(), 10).await;
    let expected = MetricsPage { total: 3, prev_at: Some(start), prev_total: 0, points: vec![], length: 0 };
    assert_eq!(page(&q, JobState::Completed).await, expected);
    // 20 s into the minute: this is still the same.
    q.advance(ms(30_000)).await;
    end(&q, 1, &completed(), 10).await;
    assert_eq!(page(&q, JobState::Completed).await, MetricsPage { total: 4, ..expected });
    q.advance(ms(30_000)).await;
    let now = q.now();
    end(&q, 2, &completed(), 10).await;
    let expected = MetricsPage { total: 6, prev_at: Some(now), prev_total: 4, points: vec![4], length: 1 };
    assert_eq!(page(&q, JobState::Completed).await, expected);
}

pub async fn minutes_in_which_nothing_ended_are_points_too(bench: &Harness) {
    let q = bench.queue();
    end(&q, 2, &completed(), 10).await;
    q.advance(ms(3 * MINUTE)).await;
    end(&q, 1, &completed(), 10).await;
    assert_eq!(points(&q).await, [0, 0, 2]);
    q.advance(ms(MINUTE)).await;
    end(&q, 5, &completed(), 10).await;
    assert_eq!(points(&q).await, [1, 0, 0, 2]);
    q.advance(ms(2 * MINUTE)).await;
    end(&q, 1, &completed(), 10).await;
    assert_eq!(points(&q).await, [0, 5, 1, 0, 0, 2]);
}

pub async fn the_newest_points_are_kept(bench: &Harness) {
    let q = bench.queue();
    for many in 1..=6 {
        end(&q, many, &completed(), 4).await;
        q.advance(ms(MINUTE)).await;
    }
    end(&q, 1, &completed(), 4).await;
    assert_eq!(points(&q).await, [6, 5, 4, 3]);
    // A worker that keeps fewer drops the others; one that keeps more brings none back.
    q.advance(ms(MINUTE)).await;
    end(&q, 1, &completed(), 2).await;
    assert_eq!(points(&q).await, [1, 6]);
    q.advance(ms(MINUTE)).await;
    end(&q, 1, &completed(), 9).await;
    assert_eq!((points(&q).await, page(&q, JobState::Completed).await.length), (vec![1, 1, 6], 3));
}

pub async fn the_last_minute_before_a_long_pause_is_the_oldest_point(bench: &Harness) {
    let q = bench.queue();
    end(&q, 3, &completed(), 4).await;
    q.advance(ms(MINUTE)).await;
    end(&q, 7, &completed(), 4).await;
    q.advance(ms(100 * MINUTE)).await;
    end(&q, 1, &completed(), 4).await;
    assert_eq!(points(&q).await, [0, 0, 0, 7]);
    q.advance(ms(MINUTE)).await;
    end(&q, 1, &completed(), 4).await;
    assert_eq!(points(&q).await, [1, 0, 0, 0]);
}

pub async fn completed_and_failed_jobs_are_counted_apart(bench: &Harness) {
    let q = bench.queue();
    end(&q, 2, &completed(), 4).await;
    end(&q, 1, &failed("no"), 4).await;
    q.advance(ms(MINUTE)).await;
    end(&q, 1, &failed("no"), 4).await;
    assert_eq!(page(&q, JobState::Completed).await.total, 2);
    let failed = page(&q, JobState::Failed).await;
    assert_eq!((failed.total, failed.points), (2, vec![1]));
    assert_eq!(points(&q).await, [] as [u64; 0]);
}

pub async fn jobs_that_are_removed_at_once_are_counted(bench: &Harness) {
    let q = bench.queue();
    end(&q, 2, &completed_keeping(Retention::NONE), 4).await;
    end(&q, 3, &failed_keeping("no", Retention::NONE), 4).await;
    assert_eq!(page(&q, JobState::Completed).await.total, 2);
    assert_eq!(page(&q, JobState::Failed).await.total, 3);
}

pub async fn what_has_not_ended_is_not_counted(bench: &Harness) {
    let q = bench.queue();
    for ending in [again(None), again(Some(q.now())), Ending::Postponed { at: q.now() }, Ending::Returned] {
        end(&q, 1, &ending, 4).await;
    }
    // An ending that is refused.
    let job = q.take_one().await;
    q.finish(&job, completed()).await.unwrap();
    let request = FinishRequest {
        finished: vec![finish(&job, completed())],
        take: None,
        metrics: Some(4),
        now: q.now(),
    };
    assert!(q.store().finish(&q.address, request).await.unwrap().answers[0].is_err());
    assert_eq!(page(&q, JobState::Completed).await, MetricsPage::default());
    assert_eq!(page(&q, JobState::Failed).await, MetricsPage::default());
}

pub async fn points_are_read_page_by_page(bench: &Harness) {
    let q = bench.queue();
    for many in 1..=5 {
        end(&q, many, &completed(), 100).await;
        q.advance(ms(2 * MINUTE)).await;
    }
    let read = async |offset, limit| {
        let request = MetricsRequest { state: JobState::Completed, offset, limit };
        q.store().metrics(&q.address, request).await.unwrap()
    };
    assert_eq!(read(0, 100).await.points, [0, 4, 0, 3, 0, 2, 0, 1]);
    assert_eq!(read(1, 3).await.points, [4, 0, 3]);
    assert_eq!(read(7, 3).await.points, [1]);
    assert_eq!(read(8, 3).await.points, [] as [u64; 0]);
    assert_eq!(read(u64::MAX, usize::MAX).await.points, [] as [u64; 0]);
    let none = read(0, 0).await;
    assert_eq!((none.total, none.length, none.points.len()), (15, 8, 0));
}

pub async fn a_clock_that_runs_behind_makes_no_points(bench: &Harness) {
    let q = bench.queue();
    q.advance(ms(10 * MINUTE)).await;
    end(&q, 2, &completed(), 4).await;
    q.add(draft()).await;
    let job = q.take_one().await;
    let request = FinishRequest {
        finished: vec![finish(&job, completed())],
        take: None,
        metrics: Some(4),
        now: q.now().minus(ms(5 * MINUTE)),
    };
    q.store().finish(&q.address, request).await.unwrap();
    let page = page(&q, JobState::Completed).await;
    assert_eq!((page.total, page.prev_at, page.points.len()), (3, Some(q.now()), 0));
}

pub async fn a_great_many_points_are_kept(bench: &Harness) {
    let q = bench.queue();
    end(&q, 2, &completed(), 20_000).await;
    q.advance(ms(12_345 * MINUTE)).await;
    end(&q, 1, &completed(), 20_000).await;
    let request = MetricsRequest { state: JobState::Completed, offset: 12_343, limit: 9 };
    let page = q.store().metrics(&q.address, request).await.unwrap();
    assert_eq!((page.length, page.points), (12_345, vec![0, 2]));
}

pub async fn queues_are_counted_apart_and_forgotten_when_obliterated(bench: &Harness) {
    let (q, other) = (bench.queue(), bench.on("other"));
    end(&q, 2, &completed(), 4).await;
    q.advance(ms(MINUTE)).await;
    end(&q, 1, &completed(), 4).await;
    assert_eq!(page(&other, JobState::Completed).await, MetricsPage::default());
    let request = crate::store::ObliterateRequest { force: true, limit: 10, now: q.now() };
    while q.store().obliterate(&q.address, request).await.unwrap().more {}
    assert_eq!(page(&q, JobState::Completed).await, MetricsPage::default());
    end(&q, 1, &completed(), 4).await;
    assert_eq!(page(&q, JobState::Completed).await.total, 1);
}
