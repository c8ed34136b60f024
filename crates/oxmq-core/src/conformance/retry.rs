//! Cases of `Store::retry`.

use super::harness::{Harness, On, completed, draft, failed, ms, refused};
use crate::clock::Timestamp;
use crate::error::ErrorKind;
use crate::json::JsonText;
use crate::options::Retention;
use crate::outcome::{Ending, Failure};
use crate::state::JobState;
use crate::store::{Note, RetryRequest, Step};

async fn retry_many(q: &On<'_>, state: JobState, finished_until: Timestamp, limit: usize) -> Step {
    let request = RetryRequest::Many { state, finished_until, limit, now: q.now() };
    q.store().retry(&q.address, request).await.unwrap()
}

pub async fn a_failed_job_runs_again_as_if_it_had_not_ended(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    let job = q.take_one().await;
    let stacktrace = Some(JsonText::stored(r#"["s"]"#));
    let failure = Failure { reason: "x".into(), stacktrace: stacktrace.clone() };
    q.finish(&job, Ending::Failed { failure, attempts: 1, keep: Retention::ALL }).await.unwrap();
    q.log(&job.job.id, "line", None).await;
    q.note(&job.job.id, Note::Progress(JsonText::stored("5"))).await.unwrap();
    q.advance(ms(50)).await;
    let here = q.here().await;
    assert_eq!(q.retry(&job.job.id, JobState::Failed).await.unwrap().count, 1);
    q.expect_events(&here, &["waiting 1 prev=failed"]).await;
    let view = q.job("1").await;
    assert_eq!((view.state, view.job.finished_on, view.job.processed_on), (JobState::Waiting, None, None));
    assert_eq!((view.job.failed_reason, view.job.stacktrace), (None, stacktrace));
    assert_eq!((view.job.attempts_made, view.job.attempts_started), (1, 1), "counters stay unless asked");
    assert_eq!(view.job.progress.unwrap().as_str(), "5");
    assert_eq!(q.log(&job.job.id, "two", None).await, 2);
    assert_eq!(q.take_rest().await, "2 1");
}

pub async fn a_completed_job_runs_again(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    q.run_one(completed()).await;
    let here = q.here().await;
    q.retry(&"1".into(), JobState::Completed).await.unwrap();
    q.expect_events(&here, &["waiting 1 prev=completed"]).await;
    let job = q.job("1").await.job;
    assert_eq!((job.return_value, job.finished_on), (None, None));
    assert_eq!(q.tally().await, "waiting=1");
}

pub async fn counters_are_reset_if_asked(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    for (made, started) in [(true, false), (false, true)] {
        let id = q.run_one(failed("x")).await;
        let request = RetryRequest::One {
            job: id.clone(),
            state: JobState::Failed,
            reset_attempts_made: made,
            reset_attempts_started: started,
            now: q.now(),
        };
        q.store().retry(&q.address, request).await.unwrap();
        let job = q.job(&id).await.job;
        assert_eq!((job.attempts_made, job.attempts_started), (u32::from(!made), u32::from(!started)));
    }
}

pub async fn a_retried_job_goes_to_its_place(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().lifo(), draft().priority(2)]).await;
    q.run_one(failed("x")).await;
    q.run_one(failed("x")).await;
    q.add_all([draft(), draft().priority(2), draft().priority(3)]).await;
    q.retry(&"1".into(), JobState::Failed).await.unwrap();
    q.retry(&"2".into(), JobState::Failed).await.unwrap();
    assert_eq!(q.take_rest().await, "1 3 4 2 5");
}

pub async fn a_job_in_another_state_is_not_retried(bench: &Harness) {
    let q = bench.queue();
    let id = q.add(draft()).await;
    refused(q.retry(&"nobody".into(), JobState::Failed).await, ErrorKind::NotFound);
    refused(q.retry(&id, JobState::Failed).await, ErrorKind::WrongState);
    let job = q.take_one().await;
    refused(q.retry(&id, JobState::Failed).await, ErrorKind::WrongState);
    q.finish(&job, completed()).await.unwrap();
    let (here, before) = (q.here().await, q.job(&id).await);
    refused(q.retry(&id, JobState::Failed).await, ErrorKind::WrongState);
    assert_eq!(q.job(&id).await, before);
    q.expect_events(&here, &[]).await;
}

pub async fn many_are_retried_step_by_step_oldest_first(bench: &Harness) {
    let q = bench.queue();
    q.add_many(5).await;
    for _ in 0..5 {
        q.advance(ms(10)).await;
        q.run_one(failed("x")).await;
    }
    let until = q.now().minus(ms(10));
    let here = q.here().await;
    let step = retry_many(&q, JobState::Failed, until, 3).await;
    assert_eq!((step.count, step.more), (3, true));
    q.expect_events(&here, &["waiting 1 prev=failed", "waiting 2 prev=failed", "waiting 3 prev=failed"])
        .await;
    let step = retry_many(&q, JobState::Failed, until, 3).await;
    assert_eq!((step.count, step.more), (1, false));
    assert_eq!(q.list(JobState::Waiting).await, "1 2 3 4");
    assert_eq!(q.list(JobState::Failed).await, "5", "it finished after the time given");
    let job = q.job("1").await.job;
    assert_eq!((job.attempts_made, job.attempts_started, job.failed_reason), (1, 1, None));
}

pub async fn many_keep_their_priorities(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft(), draft().priority(4)]).await;
    q.run_one(completed()).await;
    q.advance(ms(5)).await;
    q.run_one(completed()).await;
    q.add(draft()).await;
    retry_many(&q, JobState::Completed, q.now(), 9).await;
    assert_eq!(q.tally().await, "prioritized=1 waiting=2");
    assert_eq!(q.take_rest().await, "3 1 2");
}

pub async fn many_of_one_state_leave_the_other_alone(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    q.run_one(completed()).await;
    q.run_one(failed("x")).await;
    assert_eq!(retry_many(&q, JobState::Failed, q.now(), 9).await.count, 1);
    assert_eq!(q.tally().await, "completed=1 waiting=1");
    assert_eq!(retry_many(&q, JobState::Failed, q.now(), 9).await, Step::default());
}
