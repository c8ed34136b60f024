//! The decisions, as tables.

use super::*;
use crate::options::Backoff;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn job(made: u32) -> Job {
    let mut job = Job::new("1".into(), "n".into(), JsonText::null(), JsonText::empty_object());
    job.attempts_made = made;
    job.attempts_started = made + 1;
    job.timestamp = NOW;
    job
}

fn options(attempts: u32) -> JobOptions {
    JobOptions { attempts: Some(attempts), ..JobOptions::default() }
}

fn decide(job: &Job, options: &JobOptions, outcome: Outcome) -> Decision {
    ending_for(job, options, outcome, &Policy::default(), NOW, 0.5)
}

fn plain() -> Outcome {
    Outcome::Failed(HandlerError::fail("boom"))
}

#[test]
fn a_failure_is_tried_again_only_while_tries_are_left() {
    for (made, attempts, again) in [
        (0, 0, false),
        (0, 1, false),
        (0, 2, true),
        (1, 2, false),
        (1, 3, true),
        (2, 3, false),
        (5, 3, false),
    ] {
        let ending = decide(&job(made), &options(attempts), plain()).ending;
        assert_eq!(
            matches!(ending, Ending::Retry { at: None, .. }),
            again,
            "{made} of {attempts}: {ending:?}"
        );
        assert_eq!(matches!(ending, Ending::Failed { .. }), !again, "{made} of {attempts}: {ending:?}");
    }
}

#[test]
fn each_outcome_has_its_ending() {
    type Check = fn(&Ending) -> bool;
    let second = Duration::from_secs(1);
    let table: Vec<(Outcome, bool, Check)> = vec![
        (Outcome::Done(JsonText::null()), false, |e| {
            matches!(e, Ending::Completed { keep: Retention::ALL, .. })
        }),
        (plain(), false, |e| matches!(e, Ending::Retry { .. })),
        (
            Outcome::Failed(HandlerError::give_up("no")),
            false,
            |e| matches!(e, Ending::Failed { attempts: 9, failure, .. } if failure.reason == "no"),
        ),
        // Once; the table of what is stored is with the quarantine.
        (
            Outcome::Failed(quarantine::failure(None, "gone", None, "")),
            false,
            |e| matches!(e, Ending::Retry { failure, .. } if failure.reason == "the handler's process died: gone"),
        ),
        (Outcome::Failed(HandlerError::again_after(second)), false, |e| {
            *e == Ending::Postponed { at: NOW + Duration::from_secs(1) }
        }),
        (Outcome::Failed(HandlerError::again_at(NOW)), false, |e| *e == Ending::Postponed { at: NOW }),
        (Outcome::Failed(HandlerError::rate_limited(second)), false, |e| *e == Ending::Returned),
        (Outcome::Failed(HandlerError::wait_for_children()), false, |e| {
            *e == Ending::AwaitChildren { child: None }
        }),
        (
            Outcome::Panicked("oh".into()),
            false,
            |e| matches!(e, Ending::Retry { failure, .. } if failure.reason == "panicked: oh"),
        ),
        (
            Outcome::Refused("stalled".into()),
            false,
            |e| matches!(e, Ending::Failed { failure, .. } if failure.reason == "stalled" && failure.stacktrace.is_none()),
        ),
        (
            Outcome::Stopped(CancelCause::Requested("why".into())),
            true,
            |e| matches!(e, Ending::Failed { failure, .. } if failure.reason == "cancelled: why"),
        ),
        (
            Outcome::Stopped(CancelCause::TimedOut(second)),
            false,
            |e| matches!(e, Ending::Retry { failure, .. } if failure.reason == "timed out after 1000 ms"),
        ),
        (Outcome::Stopped(CancelCause::Closing), false, |e| *e == Ending::Returned),
    ];
    for (outcome, heeds_cancel, check) in table {
        let shown = format!("{outcome:?}");
        let decision = decide(&job(0), &options(9), outcome);
        assert!(check(&decision.ending), "{shown}: {decision:?}");
        assert_eq!(decision.heeds_cancel, heeds_cancel, "{shown}");
    }
}

#[test]
fn the_delay_is_the_curves_and_none_is_at_once() {
    let mut options = options(9);
    for (backoff, made, delay) in [
        (Some(Backoff::fixed(Duration::from_millis(50))), 3, Some(50)),
        (Some(Backoff::exponential(Duration::from_millis(50))), 3, Some(400)),
        (Some(Backoff::fixed(Duration::ZERO)), 0, None),
        (Some(Backoff::custom("mine")), 0, None),
        (None, 0, None),
    ] {
        options.backoff = backoff;
        let Ending::Retry { at, .. } = decide(&job(made), &options, plain()).ending else {
            panic!("no retry")
        };
        assert_eq!(at, delay.map(|ms| NOW + Duration::from_millis(ms)), "{:?}", options.backoff);
    }
}

#[test]
fn a_job_that_killed_its_process_before_is_not_tried_again() {
    let death = || Outcome::Failed(quarantine::failure(None, "gone", None, ""));
    let mut killer = job(1);
    killer.stacktrace = Some(JsonText::of(&["the handler's process died: gone too"]).unwrap());
    let Ending::Failed { failure, attempts: 9, .. } = decide(&killer, &options(9), death()).ending else {
        panic!("it has not failed for good");
    };
    let reason = "quarantined: the handler's process died 2 times: gone; before that: gone too";
    assert_eq!(failure.reason, reason);
    let stacks: Vec<String> = failure.stacktrace.unwrap().read().unwrap();
    assert_eq!(stacks, ["the handler's process died: gone too", "the handler's process died: gone"]);
}

#[test]
fn the_workers_own_curve_is_asked_and_may_give_up() {
    let mut options = options(9);
    options.backoff = Some(Backoff::custom("mine"));
    let policy = Policy {
        backoff: Some(Arc::new(|ask: &BackoffAsk<'_>| match ask.tries {
            1 => BackoffAnswer::After(Duration::from_secs(7)),
            2 => BackoffAnswer::GiveUp,
            _ => panic!("{} {}", ask.curve, ask.reason),
        })),
        ..Policy::default()
    };
    let at = |made| ending_for(&job(made), &options, plain(), &policy, NOW, 0.5).ending;
    assert!(matches!(at(0), Ending::Retry { at: Some(at), .. } if at == NOW + Duration::from_secs(7)));
    assert!(matches!(at(1), Ending::Failed { .. }));
    assert!(matches!(at(2), Ending::Retry { at: None, .. }), "a function that panics loses no job");
}

#[test]
fn stacks_are_appended_and_limited() {
    let mut job = job(0);
    job.stacktrace = Some(JsonText::stored(r#"["a","b"]"#));
    for (limit, expected) in [
        (None, r#"["a","b","boom"]"#),
        (Some(2), r#"["b","boom"]"#),
        (Some(1), r#"["boom"]"#),
        (Some(0), "[]"),
    ] {
        let mut options = options(0);
        options.stack_trace_limit = limit;
        let Ending::Failed { failure, .. } = decide(&job, &options, plain()).ending else {
            panic!("not failed")
        };
        assert_eq!(failure.stacktrace.unwrap().as_str(), expected);
    }
    job.stacktrace = Some(JsonText::stored("no json"));
    let Ending::Failed { failure, .. } = decide(&job, &options(0), plain()).ending else {
        panic!("not failed")
    };
    assert_eq!(failure.stacktrace.unwrap().as_str(), r#"["boom"]"#);
}

#[test]
fn reasons_and_stacks_are_cut_between_characters() {
    let long = "ä".repeat(REASON_BYTES_MAX);
    let ending = decide(&job(0), &options(0), Outcome::Failed(HandlerError::fail(long))).ending;
    let Ending::Failed { failure, .. } = ending else { panic!("not failed") };
    assert!(failure.reason.len() <= REASON_BYTES_MAX && failure.reason.ends_with("ä .."));
    let stacks: Vec<String> = failure.stacktrace.unwrap().read().unwrap();
    assert!(stacks[0].len() <= STACK_BYTES_MAX);
}

#[test]
fn the_causes_of_an_error_are_its_stack() {
    let cause = std::io::Error::other("disk on fire");
    let error = crate::Error::new(crate::ErrorKind::Full, "write", "cannot").caused_by(cause);
    assert_eq!(HandlerError::from(error).stack(), "write: cannot\n    caused by: disk on fire");
}

#[test]
fn retention_is_the_jobs_then_the_workers() {
    let policy = Policy { keep_completed: Retention::NONE, keep_failed: Retention::count(3), backoff: None };
    let mut options = options(0);
    let keep = |options: &JobOptions, outcome| match ending_for(&job(0), options, outcome, &policy, NOW, 0.0)
        .ending
    {
        Ending::Completed { keep, .. } | Ending::Failed { keep, .. } => keep,
        other => panic!("{other:?}"),
    };
    assert_eq!(keep(&options, Outcome::Done(JsonText::null())), Retention::NONE);
    assert_eq!(keep(&options, plain()), Retention::count(3));
    options.remove_on_complete = Some(Retention::ALL);
    options.remove_on_fail = Some(Retention::count(1));
    assert_eq!(keep(&options, Outcome::Done(JsonText::null())), Retention::ALL);
    assert_eq!(keep(&options, plain()), Retention::count(1));
}

#[test]
fn a_job_that_is_too_late_or_condemned_is_not_run() {
    let (ttl, delay) = (Some(Duration::from_millis(500)), Some(Duration::from_secs(2)));
    let options = JobOptions { delay, ttl, ..JobOptions::default() };
    let due = NOW + Duration::from_secs(2);
    let mut first = job(0);
    assert_eq!(refusal_before_start(&first, &options, None, due + Duration::from_millis(500)), None);
    assert_eq!(
        refusal_before_start(&first, &options, None, due + Duration::from_millis(501)).unwrap(),
        "expired: not started within 500 ms of 2023-11-14T22:13:22.000Z"
    );
    assert_eq!(
        refusal_before_start(&job(1), &options, None, due + Duration::from_secs(9)),
        None,
        "it has started"
    );
    first.deferred_failure = Some("condemned".into());
    assert_eq!(refusal_before_start(&first, &options, None, NOW).unwrap(), "condemned");
}

#[test]
fn times_are_written_in_utc() {
    for (ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400_123, "2000-02-29T00:00:00.123Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
    ] {
        assert_eq!(Timestamp::from_millis(ms).to_rfc3339(), text);
    }
}
