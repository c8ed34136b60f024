//! Cases of `Store::finish`; retention has a file of its own.

use super::harness::{
    Harness, On, again, completed, draft, failed, failure, finish, ids, ms, refused, worker,
};
use crate::address::Token;
use crate::error::ErrorKind;
use crate::job::LeasedJob;
use crate::json::JsonText;
use crate::options::Retention;
use crate::outcome::{Ending, Failure};
use crate::state::JobState;
use crate::store::{Exchanged, Finish, FinishRequest, Idle, TakeRequest};

pub async fn a_completed_job_has_its_result(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    q.advance(ms(40)).await;
    let text = r#"{"z":1,"a":10000000000000000000001}"#;
    let ending = Ending::Completed { return_value: JsonText::stored(text), keep: Retention::ALL };
    assert_eq!(q.finish(&job, ending).await.unwrap(), Some(JobState::Completed));
    let view = q.job("1").await;
    assert_eq!((view.state, view.token), (JobState::Completed, None));
    assert_eq!(view.job.return_value.unwrap().as_str(), text);
    assert_eq!(view.job.finished_on, Some(q.now()));
    assert_eq!(view.job.processed_on, Some(q.now().minus(ms(40))));
    assert_eq!((view.job.attempts_made, view.job.attempts_started), (1, 1));
    assert_eq!(view.job.failed_reason, None);
}

pub async fn a_failed_job_has_its_reason_and_stacks(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    let stacks = JsonText::stored(r#"["at a","at b"]"#);
    let failure = Failure { reason: "it's \"broken\"\nü".into(), stacktrace: Some(stacks.clone()) };
    let ending = Ending::Failed { failure, attempts: 3, keep: Retention::ALL };
    assert_eq!(q.finish(&job, ending).await.unwrap(), Some(JobState::Failed));
    let job = q.job("1").await.job;
    assert_eq!(job.failed_reason.as_deref(), Some("it's \"broken\"\nü"));
    assert_eq!(job.stacktrace, Some(stacks));
    assert_eq!((job.attempts_made, job.finished_on), (1, Some(q.now())));
    assert_eq!(job.return_value, None);
}

pub async fn a_failure_without_stacks_leaves_those_that_are_there(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let stacks = Some(JsonText::stored(r#"["first"]"#));
    let first = Failure { reason: "one".into(), stacktrace: stacks.clone() };
    q.run_one(Ending::Retry { failure: first, at: None }).await;
    q.run_one(failed("two")).await;
    let job = q.job("1").await.job;
    assert_eq!((job.failed_reason.as_deref(), job.stacktrace), (Some("two"), stacks));
}

pub async fn the_reason_of_an_earlier_try_survives_a_success(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    q.run_one(again(None)).await;
    q.run_one(completed()).await;
    let job = q.job("1").await.job;
    assert_eq!((job.failed_reason.as_deref(), job.attempts_made), (Some("boom"), 2));
}

pub async fn a_completion_tells_completed_and_drained(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    let here = q.here().await;
    q.finish(&job, completed()).await.unwrap();
    q.expect_events(&here, &["completed 1 returnvalue=null prev=active", "drained"]).await;
}

pub async fn retries_exhausted_is_told_when_all_tries_are_used_up(bench: &Harness) {
    let q = bench.queue();
    q.add_many(3).await;
    for (attempts, told) in [(2, false), (1, true), (0, true)] {
        let job = q.take_one().await;
        let here = q.here().await;
        let ending = Ending::Failed { failure: failure("boom"), attempts, keep: Retention::ALL };
        q.finish(&job, ending).await.unwrap();
        let mut expected = vec![format!("failed {} failedReason=boom prev=active", job.job.id)];
        expected.extend(told.then(|| format!("retries-exhausted {} attemptsMade=1", job.job.id)));
        expected.extend((attempts == 0).then(|| "drained".into()));
        assert_eq!(q.events_since(&here).await, expected);
    }
}

pub async fn a_retry_at_once_goes_to_the_back(bench: &Harness) {
    let q = bench.queue();
    q.add_many(3).await;
    let job = q.take_one().await;
    let here = q.here().await;
    assert_eq!(q.finish(&job, again(None)).await.unwrap(), Some(JobState::Waiting));
    q.expect_events(&here, &["waiting 1 prev=active"]).await;
    let view = q.job("1").await;
    assert_eq!((view.job.attempts_made, view.job.attempts_started), (1, 1));
    assert_eq!((view.job.failed_reason.as_deref(), view.job.finished_on), (Some("boom"), None));
    assert_eq!(view.token, None);
    assert_eq!(q.take_rest().await, "2 3 1");
}

pub async fn a_retry_of_a_lifo_job_goes_to_the_front(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft().lifo(), draft()]).await;
    q.run_one(again(None)).await;
    assert_eq!(q.take_rest().await, "1 2");
}

pub async fn a_retry_of_a_job_with_a_priority_goes_behind_its_equals(bench: &Harness) {
    let q = bench.queue();
    q.add_all([1, 1, 2, 1].map(|priority| draft().priority(priority))).await;
    let job = q.take_one().await;
    assert_eq!(q.finish(&job, again(None)).await.unwrap(), Some(JobState::Prioritized));
    assert_eq!(q.take_rest().await, "2 4 1 3");
}

pub async fn a_retry_later_is_delayed(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    let here = q.here().await;
    let at = q.now() + ms(2_500);
    assert_eq!(q.finish(&job, again(Some(at))).await.unwrap(), Some(JobState::Delayed));
    q.expect_events(&here, &[&format!("delayed 1 delay={}", at.as_millis())]).await;
    let view = q.job("1").await;
    assert_eq!((view.due, view.job.delay_ms), (Some(at), 2_500));
    assert_eq!((view.job.attempts_made, view.job.failed_reason.as_deref()), (1, Some("boom")));
    assert_eq!(view.token, None);
}

pub async fn a_postponed_job_spends_no_attempt(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    let here = q.here().await;
    let at = q.now() + ms(700);
    assert_eq!(q.finish(&job, Ending::Postponed { at }).await.unwrap(), Some(JobState::Delayed));
    q.expect_events(&here, &[&format!("delayed 1 delay={}", at.as_millis())]).await;
    let view = q.job("1").await;
    assert_eq!((view.due, view.job.attempts_made, view.job.attempts_started), (Some(at), 0, 1));
    assert_eq!((view.job.failed_reason, view.job.delay_ms), (None, 700));
}

pub async fn a_job_that_is_postponed_into_the_past_is_due_now(bench: &Harness) {
    let q = bench.queue();
    for (id, ending) in [("1", Ending::Postponed { at: q.now() }), ("2", again(Some(q.now())))] {
        q.add(draft()).await;
        q.advance(ms(300)).await;
        let job = q.take_one().await;
        let here = q.here().await;
        let now = q.now();
        assert_eq!(q.finish(&job, ending).await.unwrap(), Some(JobState::Delayed));
        q.expect_events(&here, &[&format!("delayed {id} delay={}", now.as_millis())]).await;
        let view = q.job(id).await;
        assert_eq!((view.due, view.job.delay_ms), (Some(now), 0));
        q.run_one(completed()).await;
    }
}

pub async fn a_returned_job_runs_next_and_spends_no_attempt(bench: &Harness) {
    let q = bench.queue();
    q.add_many(3).await;
    let job = q.take_one().await;
    let here = q.here().await;
    assert_eq!(q.finish(&job, Ending::Returned).await.unwrap(), Some(JobState::Waiting));
    q.expect_events(&here, &["waiting 1 prev=active"]).await;
    assert_eq!(q.job("1").await.job.attempts_made, 0);
    assert_eq!(q.take_rest().await, "1 2 3");
}

pub async fn a_returned_job_with_a_priority_goes_before_its_equals(bench: &Harness) {
    let q = bench.queue();
    q.add_all([2, 2, 1, 1].map(|priority| draft().priority(priority))).await;
    let taken = q.take(3).await.jobs;
    assert_eq!(ids(&taken), "3 4 1");
    assert_eq!(q.finish(&taken[2], Ending::Returned).await.unwrap(), Some(JobState::Prioritized));
    q.add(draft().priority(2)).await;
    assert_eq!(q.take_rest().await, "1 2 5");
}

pub async fn drained_is_told_when_the_last_job_has_ended(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    let taken = q.take(2).await.jobs;
    let here = q.here().await;
    q.finish(&taken[0], completed()).await.unwrap();
    assert_eq!(q.events_since(&here).await.len(), 1, "another one is active");
    let here = q.here().await;
    q.finish(&taken[1], failed("x")).await.unwrap();
    assert_eq!(q.events_since(&here).await.last().unwrap(), "drained");
}

pub async fn drained_is_not_told_while_jobs_wait(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft(), draft().priority(1)]).await;
    let job = q.take_one().await;
    let here = q.here().await;
    q.finish(&job, completed()).await.unwrap();
    q.expect_events(&here, &["completed 1 returnvalue=null prev=active"]).await;
}

pub async fn drained_is_not_told_for_a_job_that_comes_back(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    let here = q.here().await;
    q.finish(&job, again(Some(q.now() + ms(10)))).await.unwrap();
    let at = (q.now() + ms(10)).as_millis();
    q.expect_events(&here, &[&format!("delayed 1 delay={at}")]).await;
}

pub async fn drained_is_told_with_delayed_jobs_only_when_nothing_is_asked_for(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft(), draft(), draft().delay(ms(60_000))]).await;
    let taken = q.take(2).await.jobs;
    q.finish(&taken[0], completed()).await.unwrap();
    let here = q.here().await;
    q.finish(&taken[1], completed()).await.unwrap();
    q.expect_events(&here, &["completed 2 returnvalue=null prev=active", "drained"]).await;

    q.add(draft()).await;
    let job = q.take_one().await;
    let here = q.here().await;
    let done = q.finish_by(vec![finish(&job, completed())], Some(q.demand(1))).await;
    assert!(matches!(done.taken.unwrap().idle, Some(Idle::Empty { next_due: Some(_) })));
    q.expect_events(&here, &["completed 4 returnvalue=null prev=active"]).await;
}

pub async fn drained_is_told_after_a_take_that_found_nothing(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    let here = q.here().await;
    let done = q.finish_by(vec![finish(&job, completed())], Some(q.demand(1))).await;
    assert_eq!(done.taken.unwrap().idle, Some(Idle::Empty { next_due: None }));
    q.expect_events(&here, &["completed 1 returnvalue=null prev=active", "drained"]).await;
}

pub async fn drained_is_not_told_after_a_take_from_a_held_queue(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    let taken = q.take(2).await.jobs;
    q.finish(&taken[0], completed()).await.unwrap();
    q.pause().await;
    let here = q.here().await;
    let done = q.finish_by(vec![finish(&taken[1], completed())], Some(q.demand(1))).await;
    assert_eq!(done.taken.unwrap().idle, Some(Idle::Paused));
    q.expect_events(&here, &["completed 2 returnvalue=null prev=active"]).await;
}

pub async fn a_finish_takes_the_next_jobs(bench: &Harness) {
    let q = bench.queue();
    q.add_all([draft(), draft().delay(ms(5)), draft()]).await;
    let job = q.take_one().await;
    q.advance(ms(5)).await;
    let here = q.here().await;
    let done = q.finish_by(vec![finish(&job, completed())], Some(q.demand(2))).await;
    let taken = done.taken.unwrap();
    assert_eq!((ids(&taken.jobs).as_str(), taken.idle), ("3 2", None));
    q.expect_events(
        &here,
        &[
            "completed 1 returnvalue=null prev=active",
            "waiting 2 prev=delayed",
            "active 3 prev=waiting",
            "active 2 prev=waiting",
        ],
    )
    .await;
}

pub async fn a_finish_may_take_back_the_job_it_ended(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    let done = q.finish_by(vec![finish(&job, Ending::Returned)], Some(q.demand(1))).await;
    assert_eq!(done.answers[0].as_ref().unwrap(), &Some(JobState::Waiting));
    assert_eq!(done.taken.unwrap().jobs[0].job.attempts_started, 2);
}

pub async fn a_finish_of_nothing_only_takes(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let here = q.here().await;
    let done = q.finish_by(vec![], Some(q.demand(1))).await;
    assert_eq!((done.answers.len(), ids(&done.taken.unwrap().jobs).as_str()), (0, "1"));
    q.expect_events(&here, &["active 1 prev=waiting"]).await;
    let done = q.finish_by(vec![], None).await;
    assert!(done.answers.is_empty() && done.taken.is_none());
}

pub async fn a_refused_ending_leaves_the_others_alone(bench: &Harness) {
    let q = bench.queue();
    q.add_many(3).await;
    let taken = q.take(3).await.jobs;
    let stranger =
        |job: &LeasedJob| Finish { lease: On::lease(&job.job.id, "x:1"), ..finish(job, completed()) };
    let here = q.here().await;
    let finished = vec![finish(&taken[0], completed()), stranger(&taken[1]), finish(&taken[2], failed("x"))];
    let mut answers = q.finish_by(finished, None).await.answers;
    assert_eq!(answers.remove(0).unwrap(), Some(JobState::Completed));
    refused(answers.remove(0), ErrorKind::LockedByAnother);
    assert_eq!(answers.remove(0).unwrap(), Some(JobState::Failed));
    assert_eq!(q.tally().await, "active=1 completed=1 failed=1");
    q.expect_events(
        &here,
        &[
            "completed 1 returnvalue=null prev=active",
            "failed 3 failedReason=x prev=active",
            "retries-exhausted 3 attemptsMade=1",
        ],
    )
    .await;
}

pub async fn the_same_ending_twice_in_one_call_is_refused_once(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    let mut answers =
        q.finish_by(vec![finish(&job, completed()), finish(&job, completed())], None).await.answers;
    assert!(answers.remove(0).is_ok());
    refused(answers.remove(0), ErrorKind::NotLocked);
    assert_eq!(q.job("1").await.job.attempts_made, 1);
}

fn all_endings(q: &On<'_>) -> [Ending; 6] {
    let at = q.now() + ms(1_000);
    [completed(), failed("x"), again(None), again(Some(at)), Ending::Postponed { at }, Ending::Returned]
}

/// Each ending with this lease is refused, and changes nothing.
async fn all_refused(q: &On<'_>, job: &LeasedJob, token: Token, kind: ErrorKind) {
    let (before, here) = (q.find(&job.job.id).await, q.here().await);
    for ending in all_endings(q) {
        let mut job = job.clone();
        job.lease.token = token.clone();
        refused(q.finish(&job, ending).await, kind);
        assert_eq!(q.find(&job.job.id).await, before);
    }
    q.expect_events(&here, &[]).await;
}

pub async fn endings_of_a_job_that_is_gone_are_refused(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    q.finish(&job, super::harness::completed_keeping(Retention::NONE)).await.unwrap();
    all_refused(&q, &job, Token::new("w:1"), ErrorKind::NotFound).await;
    all_refused(&q, &job, Token::none(), ErrorKind::NotFound).await;
}

pub async fn endings_of_a_job_held_by_another_are_refused(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    all_refused(&q, &job, Token::new("w:2"), ErrorKind::LockedByAnother).await;
    all_refused(&q, &job, Token::new("w"), ErrorKind::LockedByAnother).await;
    q.finish(&job, completed()).await.unwrap();
}

pub async fn endings_of_a_job_that_nobody_holds_are_refused(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    q.finish(&job, Ending::Returned).await.unwrap();
    all_refused(&q, &job, Token::new("w:1"), ErrorKind::NotLocked).await;
    q.run_one(again(Some(q.now() + ms(10)))).await;
    all_refused(&q, &job, Token::new("w:1"), ErrorKind::NotLocked).await;
    q.advance(ms(10)).await;
    q.run_one(completed()).await;
    all_refused(&q, &job, Token::new("w:1"), ErrorKind::NotLocked).await;
}

pub async fn endings_without_locking_of_a_job_that_is_not_active_are_refused(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_one().await;
    q.finish(&job, Ending::Returned).await.unwrap();
    all_refused(&q, &job, Token::none(), ErrorKind::WrongState).await;
    q.run_one(completed()).await;
    all_refused(&q, &job, Token::none(), ErrorKind::WrongState).await;
}

pub async fn endings_without_locking_pass_every_check(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let mut job = q.take_one().await;
    job.lease.token = Token::none();
    q.finish(&job, completed()).await.unwrap();
    assert_eq!(q.tally().await, "completed=1");
}

pub async fn a_token_cannot_end_a_job_that_was_taken_without_locking(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let job = q.take_by(TakeRequest { token: Token::none(), ..q.demand(1) }).await.jobs.remove(0);
    all_refused(&q, &job, Token::new("w:1"), ErrorKind::NotLocked).await;
}

pub async fn a_lease_that_ran_out_is_good_until_somebody_recovers(bench: &Harness) {
    let q = bench.queue();
    q.add_many(2).await;
    let taken = q.take(2).await.jobs;
    q.advance(ms(10_000_000)).await;
    q.finish(&taken[0], completed()).await.unwrap();
    q.recover(9).await;
    all_refused(&q, &taken[1], Token::new("w:1"), ErrorKind::NotLocked).await;
    let next = q.take_as("v:1", 1).await.remove(0);
    all_refused(&q, &taken[1], Token::new("w:1"), ErrorKind::LockedByAnother).await;
    q.finish(&next, completed()).await.unwrap();
}

pub async fn an_old_lease_is_good_again_if_the_same_token_took_the_job_again(bench: &Harness) {
    let q = bench.queue();
    q.add(draft()).await;
    let old = q.take_one().await;
    q.recover(9).await;
    q.take_one().await;
    q.finish(&old, completed()).await.unwrap();
    assert_eq!(q.job("1").await.job.attempts_started, 2, "which is what the number of the start is for");
}

pub async fn a_request_to_cancel_stops_an_ending_that_does_not_heed_it(bench: &Harness) {
    let q = bench.queue();
    q.announce(worker("w", None), ms(600_000)).await;
    q.add(draft()).await;
    let job = q.take_one().await;
    q.cancel(&job.job.id, "not wanted").await.unwrap();
    all_refused(&q, &job, Token::new("w:1"), ErrorKind::CancelRequested).await;
    let error = q.finish(&job, completed()).await.unwrap_err();
    assert_eq!(error.message(), "not wanted");
    let finish = Finish { heeds_cancel: true, ..finish(&job, failed("cancelled: not wanted")) };
    q.finish_by(vec![finish], None).await.answers.remove(0).unwrap();
    assert_eq!(q.state("1").await, JobState::Failed);
}

pub async fn a_request_to_cancel_dies_with_the_attempt(bench: &Harness) {
    let q = bench.queue();
    q.announce(worker("w", None), ms(600_000)).await;
    for ending in [again(None), Ending::Returned, Ending::Postponed { at: q.now() }, again(Some(q.now()))] {
        let id = q.add(draft()).await;
        let job = q.take_one().await;
        q.cancel(&id, "not wanted").await.unwrap();
        let finish = Finish { heeds_cancel: true, ..finish(&job, ending) };
        q.finish_by(vec![finish], None).await.answers.remove(0).unwrap();
        assert_eq!(q.run_one(completed()).await, id, "the next attempt knows nothing of it");
    }
}

pub async fn endings_of_one_call_are_written_in_order(bench: &Harness) {
    let q = bench.queue();
    q.add_many(3).await;
    let taken = q.take(3).await.jobs;
    q.finish_by(taken.iter().map(|job| finish(job, again(None))).collect(), None).await;
    assert_eq!(q.list(JobState::Waiting).await, "1 2 3");
    let taken = q.take(3).await.jobs;
    q.finish_by(taken.iter().map(|job| finish(job, Ending::Returned)).collect(), None).await;
    assert_eq!(q.list(JobState::Waiting).await, "3 2 1");
}

pub async fn endings_of_one_call_leave_the_other_jobs_active_as_they_are(bench: &Harness) {
    let q = bench.queue();
    q.add_many(9).await;
    let taken = q.take(9).await.jobs;
    let end = async |which: &[usize]| {
        let finished = which.iter().map(|&job| finish(&taken[job - 1], completed())).collect();
        q.finish_by(finished, None).await.answers
    };
    // The oldest ones, in another order; then not the oldest; then one that has ended before beside the oldest.
    for (which, left) in [(&[2, 1, 3][..], "4 5 6 7 8 9"), (&[6, 8], "4 5 7 9"), (&[4, 5], "7 9")] {
        assert!(end(which).await.into_iter().all(|answer| answer.unwrap() == Some(JobState::Completed)));
        assert_eq!(q.list(JobState::Active).await, left);
    }
    let mut answers = end(&[7, 4]).await;
    assert_eq!(answers.remove(0).unwrap(), Some(JobState::Completed));
    refused(answers.remove(0), ErrorKind::NotLocked);
    assert_eq!(q.list(JobState::Active).await, "9");
    let mut answers = end(&[9, 9]).await;
    assert_eq!(answers.remove(0).unwrap(), Some(JobState::Completed));
    refused(answers.remove(0), ErrorKind::NotLocked);
    assert_eq!(q.tally().await, "completed=9");
}

pub async fn an_exchange_finishes_and_takes_or_only_takes(bench: &Harness) {
    let q = bench.queue();
    q.add_many(3).await;
    let exchange = async |finished, take| {
        let request = FinishRequest { finished, take, metrics: None, now: q.now() };
        let Exchanged { finished, kept } = q.store().exchange(&q.address, request).await.unwrap();
        if let Some(kept) = kept {
            kept.await.unwrap();
        }
        finished
    };
    let first = exchange(vec![], Some(q.demand(2))).await;
    assert!(first.answers.is_empty());
    let taken = first.taken.unwrap();
    assert_eq!((taken.jobs.len(), taken.idle), (2, None));
    assert_eq!(q.list(JobState::Active).await, "1 2");
    let endings = taken.jobs.iter().map(|job| finish(job, completed())).collect();
    let second = exchange(endings, Some(q.demand(2))).await;
    assert!(second.answers.into_iter().all(|answer| answer.unwrap() == Some(JobState::Completed)));
    let taken = second.taken.unwrap();
    assert_eq!(taken.jobs.len(), 1);
    assert!(matches!(taken.idle, Some(Idle::Empty { next_due: None })), "{:?}", taken.idle);
    let last = exchange(vec![finish(&taken.jobs[0], completed())], None).await;
    assert!(last.taken.is_none());
    assert_eq!(last.answers.into_iter().next().unwrap().unwrap(), Some(JobState::Completed));
    assert_eq!(q.tally().await, "completed=3");
}
