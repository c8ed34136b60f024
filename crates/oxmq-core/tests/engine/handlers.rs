//! What handlers return, and what becomes of their jobs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oxmq_core::{
    Backoff, BackoffAnswer, CancelCause, HandlerError, JobArgs, JobContext, Retention, Store, WorkerBuilder,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rig::{Draft, Rig, draft, ms, reason, soon};

#[derive(Debug, Serialize, Deserialize)]
struct Welcome {
    user: u64,
}

impl JobArgs for Welcome {
    const NAME: &'static str = "welcome";
}

async fn send_welcome(job: Welcome) -> Result<u64, std::num::ParseIntError> {
    "1".parse::<u64>().map(|one| one + job.user)
}

async fn with_context(job: Welcome, context: JobContext) -> Result<String, HandlerError> {
    Ok(format!("{} {} {}", job.user, context.job().name, context.queue()))
}

/// Runs one job to its end, with the clock moving.
async fn run(builder: WorkerBuilder, rig: &Rig, job: Draft) -> oxmq_core::JobView {
    let worker = builder.start().unwrap();
    let id = rig.add_one(job).await;
    rig.until_moving(ms(50), async || rig.job(&id).await.state.is_final()).await;
    soon(worker.close()).await.unwrap();
    rig.job(&id).await
}

#[tokio::test]
async fn both_shapes_of_handlers_work_and_are_found_by_name() {
    let rig = Rig::new();
    let job = || draft().name("welcome").data(r#"{"user":7}"#);
    let view = run(rig.worker().handle(send_welcome), &rig, job()).await;
    assert_eq!(view.job.return_value.unwrap().as_str(), "8");
    let view = run(rig.worker().handle(with_context), &rig, job()).await;
    assert_eq!(view.job.return_value.unwrap().as_str(), "\"7 welcome bull:q\"");
    let view = run(
        rig.worker().handle(send_welcome).handle_any(async |value: Value| Ok::<_, HandlerError>(value)),
        &rig,
        draft().data("[1]"),
    )
    .await;
    assert_eq!(view.job.return_value.unwrap().as_str(), "[1]");
    let view = run(
        rig.worker().handle_named("work", async |()| Ok::<_, HandlerError>(())),
        &rig,
        draft().data("null"),
    )
    .await;
    assert_eq!(view.job.return_value.unwrap().as_str(), "null");
}

#[tokio::test]
async fn a_name_without_a_handler_fails_at_once_and_says_which_are_known() {
    let rig = Rig::new();
    let job = draft().with(|options| options.attempts = Some(5));
    let view = run(rig.worker().handle(send_welcome), &rig, job).await;
    assert_eq!(reason(&view), "no handler for jobs named `work`: this worker knows `welcome`");
    assert_eq!(view.job.attempts_made, 1);
}

#[tokio::test]
async fn data_that_does_not_fit_fails_at_once_and_names_the_field() {
    for (data, part) in [
        (r#"{"user":"me"}"#, "at `user`: invalid type: string \"me\", expected u64"),
        ("{}", "missing field `user`"),
    ] {
        let rig = Rig::new();
        let job = draft().name("welcome").data(data).with(|options| options.attempts = Some(5));
        let view = run(rig.worker().handle(send_welcome), &rig, job).await;
        assert!(reason(&view).contains(part), "{}", reason(&view));
        assert_eq!((view.job.attempts_made, view.state.as_str()), (1, "failed"));
    }
}

#[tokio::test]
async fn a_failure_is_tried_again_by_the_jobs_options_then_fails() {
    let rig = Rig::new();
    let handler = async |_: Value, job: JobContext| Err::<(), _>(format!("try {}", job.failed_tries() + 1));
    let job = draft().with(|options| {
        options.attempts = Some(3);
        options.backoff = Some(Backoff::fixed(ms(1_000)));
    });
    let before = rig.clock.now();
    let view = run(rig.worker().handle_any(handler), &rig, job).await;
    assert_eq!((reason(&view), view.job.attempts_made, view.job.attempts_started), ("try 3", 3, 3));
    assert_eq!(view.job.stacktrace.unwrap().as_str(), r#"["try 1","try 2","try 3"]"#);
    assert!(rig.clock.now() - before >= ms(2_000));
    assert_eq!(rig.told("Failed"), 3);
}

#[tokio::test]
async fn the_workers_own_backoff_is_asked() {
    let rig = Rig::new();
    let builder = rig
        .worker()
        .backoff(|ask| {
            if ask.tries < 3 { BackoffAnswer::After(ask.delay * ask.tries) } else { BackoffAnswer::GiveUp }
        })
        .handle_any(async |_: Value| Err::<(), _>("no"));
    let job = draft().with(|options| {
        options.attempts = Some(9);
        options.backoff = Some(Backoff::custom("mine"));
    });
    assert_eq!(run(builder, &rig, job).await.job.attempts_made, 3);
}

#[tokio::test]
async fn giving_up_spends_no_further_tries() {
    let rig = Rig::new();
    let job = draft().with(|options| options.attempts = Some(9));
    let builder = rig.worker().handle_any(async |_: Value| Err::<(), _>(HandlerError::give_up("bad card")));
    let view = run(builder, &rig, job).await;
    assert_eq!((reason(&view), view.job.attempts_made), ("bad card", 1));
}

#[tokio::test]
async fn again_spends_no_attempt() {
    let rig = Rig::new();
    let builder = rig.worker().handle_any(async |_: Value, job: JobContext| match job.start_number() {
        1 => Err(HandlerError::again_after(ms(5_000))),
        2 => Err(HandlerError::again_at(oxmq_core::Timestamp::EPOCH)),
        _ => Ok(job.failed_tries()),
    });
    let before = rig.clock.now();
    let view = run(builder, &rig, draft()).await;
    assert_eq!((view.job.return_value.unwrap().as_str(), view.job.attempts_made), ("0", 1));
    assert!(rig.clock.now() - before >= ms(5_000));
    assert_eq!((rig.told("Returned"), rig.told("Failed")), (2, 0));
}

#[tokio::test]
async fn giving_back_spends_no_attempt_and_the_job_runs_next() {
    let rig = Rig::new();
    let ids = rig.add([draft(), draft()]).await;
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let handler = {
        let order = order.clone();
        move |_: Value, job: JobContext| {
            order.lock().unwrap().push(job.job().id.clone());
            async move {
                if job.start_number() == 1 { Err(HandlerError::give_back()) } else { Ok(job.failed_tries()) }
            }
        }
    };
    let worker = rig.worker().handle_any(handler).start().unwrap();
    for id in &ids {
        let view = rig.until_state(id, "completed").await;
        assert_eq!((view.job.attempts_made, view.job.attempts_started), (1, 2));
    }
    let (a, b) = (ids[0].clone(), ids[1].clone());
    assert_eq!(*order.lock().unwrap(), [a.clone(), a, b.clone(), b]);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_job_that_was_started_too_often_fails_without_running() {
    let rig = Rig::new();
    let runs = Arc::new(AtomicUsize::new(0));
    let builder = rig.worker().max_starts(2).handle_any({
        let runs = runs.clone();
        move |_: Value| {
            runs.fetch_add(1, Ordering::SeqCst);
            async { Err::<(), _>(HandlerError::give_back()) }
        }
    });
    let view = run(builder, &rig, draft().with(|options| options.attempts = Some(9))).await;
    assert_eq!(reason(&view), "job started more than allowable limit");
    assert_eq!((runs.load(Ordering::SeqCst), view.job.attempts_started), (2, 3));
}

#[tokio::test]
async fn rate_limited_gives_the_job_back_and_holds_the_queue() {
    let rig = Rig::new();
    let starts = Arc::new(AtomicUsize::new(0));
    let builder = rig.worker().handle_any({
        let starts = starts.clone();
        move |_: Value| {
            let first = starts.fetch_add(1, Ordering::SeqCst) == 0;
            async move { if first { Err(HandlerError::rate_limited(ms(30_000))) } else { Ok(()) } }
        }
    });
    let id = rig.add_one(draft()).await;
    let worker = builder.start().unwrap();
    rig.until_told("Returned", 1).await;
    let other = rig.add_one(draft()).await;
    rig.hand.advance(ms(29_999));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(starts.load(Ordering::SeqCst), 1);
    rig.hand.advance(ms(1));
    let view = rig.until_state(&id, "completed").await;
    assert_eq!((view.job.attempts_made, view.job.attempts_started), (1, 2));
    rig.until_told("Completed", 2).await;
    assert!(
        rig.job(&other).await.job.processed_on >= view.job.processed_on,
        "the first one went to the front"
    );
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_panic_is_a_failure_with_its_message() {
    let rig = Rig::new();
    let job = draft().with(|options| options.attempts = Some(2));
    let builder = rig.worker().handle_any(async |_: Value, job: JobContext| {
        assert!(job.start_number() > 1, "boom {}", 1);
        Ok::<_, HandlerError>(())
    });
    let view = run(builder, &rig, job).await;
    assert_eq!((view.state.as_str(), view.job.attempts_made), ("completed", 2));
    assert_eq!(view.job.stacktrace.unwrap().as_str(), r#"["panicked: boom 1"]"#);
}

#[tokio::test]
async fn a_result_that_json_cannot_hold_is_named() {
    let rig = Rig::new();
    let builder =
        rig.worker().handle_any(async |_: Value| Ok::<_, HandlerError>(HashMap::from([((1, 2), 3)])));
    let view = run(builder, &rig, draft()).await;
    assert!(reason(&view).contains("HashMap"), "{}", reason(&view));
    assert!(reason(&view).contains("cannot be written as JSON"), "{}", reason(&view));
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_told_to_stop_and_counts_as_failed() {
    let rig = Rig::new();
    let builder = rig.worker().handle_any(async |_: Value, job: JobContext| {
        assert!(job.remaining().unwrap() <= ms(2_000));
        assert_eq!(job.cancelled().await, CancelCause::TimedOut(ms(2_000)));
        Ok::<_, HandlerError>("whatever")
    });
    let job = draft().with(|options| {
        options.attempts = Some(2);
        options.timeout = Some(ms(2_000));
    });
    let view = run(builder, &rig, job).await;
    assert_eq!((reason(&view), view.job.attempts_made), ("timed out after 2000 ms", 2));
}

#[tokio::test]
async fn a_handler_that_ignores_its_time_limit_is_dropped_after_the_grace() {
    let rig = Rig::new();
    let builder = rig
        .worker()
        .cancel_grace(ms(3_000))
        .handle_any(async |_: Value| std::future::pending::<Result<(), HandlerError>>().await);
    let before = rig.clock.now();
    let view = run(builder, &rig, draft().with(|options| options.timeout = Some(ms(2_000)))).await;
    assert_eq!(reason(&view), "timed out after 2000 ms");
    assert!(rig.clock.now() - before >= ms(5_000));
}

#[tokio::test]
async fn a_job_that_nobody_started_in_time_is_not_run() {
    let rig = Rig::new();
    let id = rig.add_one(draft().with(|options| options.ttl = Some(ms(500)))).await;
    rig.hand.advance(ms(501));
    let worker = rig.worker().handle_any(async |_: Value| Ok::<_, HandlerError>(())).start().unwrap();
    let view = rig.until_state(&id, "failed").await;
    assert_eq!(reason(&view), "expired: not started within 500 ms of 2023-11-14T22:13:20.000Z");
    assert_eq!(worker.handle().stats().started, 0);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn handlers_write_down_progress_lines_and_data() {
    let rig = Rig::new();
    let builder = rig.worker().handle_any(async |_: Value, job: JobContext| {
        job.progress(&50).await?;
        for line in ["a", "b", "c"] {
            job.log(line).await?;
        }
        job.update_data(&"new").await?;
        Ok::<_, HandlerError>(())
    });
    let view = run(builder, &rig, draft().with(|options| options.keep_logs = Some(2))).await;
    assert_eq!((view.job.progress.unwrap().as_str(), view.job.data.as_str()), ("50", "\"new\""));
    let request = oxmq_core::store::LogsRequest {
        job: view.job.id,
        offset: 0,
        limit: 9,
        order: oxmq_core::Order::Ascending,
    };
    assert_eq!(rig.store.model.logs(&rig.queue, request).await.unwrap().lines, ["b", "c"]);
    assert_eq!(rig.told("Progress"), 1);
}

#[tokio::test]
async fn the_worker_says_what_is_kept_when_the_job_does_not() {
    let rig = Rig::new();
    let worker = rig
        .worker()
        .keep_completed(Retention::NONE)
        .handle_any(async |_: Value| Ok::<_, HandlerError>(()))
        .start()
        .unwrap();
    rig.add([draft(), draft().with(|options| options.remove_on_complete = Some(Retention::ALL))]).await;
    rig.until_told("Completed", 2).await;
    assert_eq!(rig.counts().await.completed, 1);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_cannot_work_is_refused_at_start() {
    let rig = Rig::new();
    let ok = async |_: Value| Ok::<_, HandlerError>(());
    let store: Arc<dyn Store> = rig.store.clone();
    for (builder, part) in [
        (rig.worker(), "`handle`"),
        (rig.worker().handle_any(ok).handle_any(ok), "given twice for `*`"),
        (rig.worker().handle(send_welcome).handle(with_context), "given twice for `welcome`"),
        (rig.worker().handle_any(ok).concurrency(0), "`concurrency`"),
        (rig.worker().handle_any(ok).renew_every(ms(10_000)), "`renew_every`"),
        (rig.worker().handle_any(ok).rate_limit(0, ms(1)), "`rate_limit`"),
        (oxmq_core::Worker::builder(&store, "a:b").handle_any(ok), "must not contain"),
    ] {
        let error = builder.start().unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}
