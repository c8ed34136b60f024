//! Jobs of schedules: the schedule goes on before the handler runs, whatever happens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxmq_core::schedule::{Missed, Overlap, Repeat};
use oxmq_core::store::{PutScheduleRequest, ScheduleInfo};
use oxmq_core::{
    ErrorKind, HandlerError, Job, JobContext, JobState, Queue, Schedule, SkipReason, Store, Timestamp,
    WorkerBuilder, WorkerEvent,
};
use serde_json::Value;

use crate::faulty::Fault;
use crate::rig::{Barrier, Rig, draft, ms, soon};

const MINUTE: Duration = Duration::from_secs(60);

fn queue(rig: &Rig) -> Queue {
    let store: Arc<dyn Store> = rig.store.clone();
    Queue::builder(&store, rig.queue.name()).clock(rig.clock.clone()).build().unwrap()
}

async fn put(rig: &Rig, id: &str, schedule: Schedule) {
    queue(rig).schedules().put_named(id, schedule, "tick", &id).await.unwrap();
}

async fn schedule(rig: &Rig, id: &str) -> ScheduleInfo {
    queue(rig).schedules().get(id).await.unwrap().unwrap()
}

/// Ids of the jobs that ran, in order.
type Runs = Arc<Mutex<Vec<Job>>>;

/// A worker whose handlers are written down.
fn worker(rig: &Rig) -> (WorkerBuilder, Runs) {
    let runs = Runs::default();
    let seen = runs.clone();
    let builder = rig.worker().concurrency(4).handle_any(move |_: Value, context: JobContext| {
        seen.lock().unwrap().push(context.job().clone());
        async { Ok::<_, HandlerError>("done") }
    });
    (builder, runs)
}

/// The slots of the jobs that ran, in milliseconds after `begin`.
fn slots(runs: &Runs, begin: Timestamp) -> Vec<i64> {
    let slot = |job: &Job| -> i64 { job.id.as_str().rsplit(':').next().unwrap().parse().unwrap() };
    runs.lock().unwrap().iter().map(|job| slot(job) - begin.as_millis()).collect()
}

fn skipped(rig: &Rig) -> Vec<SkipReason> {
    let told = rig.told.lock().unwrap();
    let skipped = told.iter().filter_map(|event| match event {
        WorkerEvent::Skipped { reason, .. } => Some(*reason),
        _ => None,
    });
    skipped.collect()
}

fn trouble(rig: &Rig) -> Vec<String> {
    let told = rig.told.lock().unwrap();
    let trouble = told.iter().filter_map(|event| match event {
        WorkerEvent::ScheduleTrouble { error, .. } => Some(error.to_string()),
        _ => None,
    });
    trouble.collect()
}

/// Moves the clock to when the schedule is due, and waits until its job has ended.
async fn run_next(rig: &Rig, id: &str) -> Timestamp {
    let due = schedule(rig, id).await.next;
    rig.hand.advance(due - rig.clock.now());
    let job = oxmq_core::JobId::from(format!("repeat:{id}:{due}"));
    rig.until(async || rig.job(&job).await.state.is_final()).await;
    due
}

#[tokio::test]
async fn the_next_job_is_there_before_the_handler_runs() {
    let rig = Rig::new();
    let store = rig.store.clone();
    let address = rig.queue.clone();
    let seen = Arc::new(Mutex::new(None));
    let note = seen.clone();
    put(&rig, "tick", Schedule::every(MINUTE)).await;
    let worker = rig
        .worker()
        .handle_any(move |_: Value| {
            let (store, address, note) = (store.clone(), address.clone(), note.clone());
            async move {
                *note.lock().unwrap() = store.schedule(&address, "tick").await.unwrap();
                Ok::<_, HandlerError>("done")
            }
        })
        .start()
        .unwrap();
    rig.until_told("Completed", 1).await;
    let info = seen.lock().unwrap().clone().unwrap();
    assert_eq!((info.made, info.next), (2, rig.clock.now() + MINUTE));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn ordinary_jobs_ask_for_no_schedule() {
    let rig = Rig::new();
    rig.add((0..5).map(|_| draft())).await;
    let (builder, _) = worker(&rig);
    let worker = builder.start().unwrap();
    rig.until_told("Completed", 5).await;
    assert_eq!(rig.store.count("advance_schedule"), 0);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn an_outage_ends_no_schedule() {
    let rig = Rig::new();
    let begin = rig.clock.now();
    put(&rig, "tick", Schedule::every(MINUTE)).await;
    rig.store.fail_next("advance_schedule", Fault::Before(ErrorKind::Unavailable));
    rig.store.fail_next("advance_schedule", Fault::Before(ErrorKind::Full));
    rig.store.fail_next("advance_schedule", Fault::After(ErrorKind::Ambiguous));
    let (builder, runs) = worker(&rig);
    let worker = builder.start().unwrap();
    rig.until_moving(ms(20), async || rig.told("Completed") == 1).await;
    assert_eq!(rig.store.count("advance_schedule"), 4);
    // What was applied although the answer got lost is not done twice.
    let info = schedule(&rig, "tick").await;
    assert_eq!((info.made, info.next), (2, begin + MINUTE));
    run_next(&rig, "tick").await;
    assert_eq!(slots(&runs, begin), [0, 60_000]);
    assert!(trouble(&rig).is_empty());
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_closes_while_the_store_is_away_leaves_the_schedule_to_others() {
    let rig = Rig::new();
    let begin = rig.clock.now();
    put(&rig, "tick", Schedule::every(MINUTE)).await;
    for _ in 0..1_000 {
        rig.store.fail_next("advance_schedule", Fault::Before(ErrorKind::Unavailable));
    }
    let (builder, runs) = worker(&rig);
    let first = builder.shutdown_timeout(ms(100)).start().unwrap();
    rig.until(async || rig.store.count("advance_schedule") > 0).await;
    let closing = tokio::spawn(first.close());
    rig.until_moving(ms(20), async || closing.is_finished()).await;
    closing.await.unwrap().unwrap();
    assert!(runs.lock().unwrap().is_empty());
    let job = format!("repeat:tick:{begin}").into();
    assert_eq!(rig.job(&job).await.state, JobState::Waiting);
    rig.store.forget_faults();
    let (builder, runs) = worker(&rig);
    let second = builder.start().unwrap();
    rig.until_moving(ms(20), async || rig.told("Completed") == 1).await;
    assert_eq!(slots(&runs, begin), [0]);
    assert_eq!(schedule(&rig, "tick").await.made, 2);
    soon(second.close()).await.unwrap();
}

#[tokio::test]
async fn a_store_that_refuses_is_told_and_the_job_runs() {
    let rig = Rig::new();
    put(&rig, "tick", Schedule::every(MINUTE)).await;
    rig.store.fail_next("advance_schedule", Fault::Before(ErrorKind::Corrupt));
    let (builder, runs) = worker(&rig);
    let worker = builder.start().unwrap();
    rig.until_told("Completed", 1).await;
    assert_eq!(runs.lock().unwrap().len(), 1);
    let trouble = trouble(&rig);
    assert!(trouble.len() == 1 && trouble[0].contains("schedule=tick"), "{trouble:?}");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_rule_that_nobody_can_read_is_told_and_the_job_runs() {
    let rig = Rig::new();
    let now = rig.clock.now();
    let repeat = Repeat::pattern("whenever I like");
    let template = draft().0;
    let request = PutScheduleRequest { id: "odd".into(), repeat, at: Some(now), template, now };
    rig.store.put_schedule(&rig.queue, request).await.unwrap();
    let (builder, runs) = worker(&rig);
    let worker = builder.start().unwrap();
    rig.until_told("Completed", 1).await;
    assert_eq!(runs.lock().unwrap().len(), 1);
    let trouble = trouble(&rig);
    assert!(trouble.len() == 1 && trouble[0].contains("whenever"), "{trouble:?}");
    assert!(schedule(&rig, "odd").await.ended);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_pattern_with_an_end_ends_without_trouble() {
    let rig = Rig::new();
    let now = rig.clock.now();
    let mut repeat = Repeat::pattern("0 0 1 1 *");
    repeat.end_date = Some(now + Duration::from_secs(366 * 24 * 3600));
    let template = draft().0;
    let request = PutScheduleRequest { id: "last".into(), repeat, at: Some(now + MINUTE), template, now };
    rig.store.put_schedule(&rig.queue, request).await.unwrap();
    let (builder, _) = worker(&rig);
    let worker = builder.start().unwrap();
    run_next(&rig, "last").await;
    run_next(&rig, "last").await;
    assert!(schedule(&rig, "last").await.ended);
    assert!(trouble(&rig).is_empty());
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn an_old_repeatable_job_is_told() {
    let rig = Rig::new();
    let id = "name::::* * * * *";
    let now = rig.clock.now();
    let request = PutScheduleRequest {
        id: id.into(),
        repeat: Repeat::every(MINUTE),
        at: None,
        template: draft().0,
        now,
    };
    rig.store.put_schedule(&rig.queue, request).await.unwrap();
    let request = oxmq_core::store::RemoveScheduleRequest { id: id.into(), now };
    rig.store.remove_schedule(&rig.queue, request).await.unwrap();
    let (builder, runs) = worker(&rig);
    let worker = builder.start().unwrap();
    rig.until_told("Completed", 1).await;
    assert_eq!(runs.lock().unwrap().len(), 1);
    let trouble = trouble(&rig);
    assert!(trouble.len() == 1 && trouble[0].contains("before version 6"), "{trouble:?}");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_limit_ends_a_schedule() {
    let rig = Rig::new();
    let begin = rig.clock.now();
    put(&rig, "tick", Schedule::every(MINUTE).limit(3)).await;
    let (builder, runs) = worker(&rig);
    let worker = builder.start().unwrap();
    for _ in 0..3 {
        run_next(&rig, "tick").await;
    }
    assert_eq!(slots(&runs, begin), [0, 60_000, 120_000]);
    assert!(schedule(&rig, "tick").await.ended);
    assert_eq!(rig.counts().await.unfinished(), 0);
    assert!(trouble(&rig).is_empty());
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn missed_slots_are_one_late_job_by_default() {
    let rig = Rig::new();
    let begin = rig.clock.now();
    put(&rig, "tick", Schedule::every(MINUTE)).await;
    rig.hand.advance(MINUTE * 10 + ms(1));
    let (builder, runs) = worker(&rig);
    let worker = builder.start().unwrap();
    rig.until_told("Completed", 1).await;
    assert_eq!(schedule(&rig, "tick").await.next, begin + MINUTE * 11);
    assert_eq!(slots(&runs, begin), [0]);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn missed_slots_can_be_skipped() {
    for rule in [Schedule::every(MINUTE), Schedule::cron("20 * * * * *").immediately()] {
        let rig = Rig::new();
        let begin = rig.clock.now();
        put(&rig, "tick", rule.missed(Missed::None)).await;
        rig.hand.advance(MINUTE * 10 + ms(1));
        let (builder, runs) = worker(&rig);
        let worker = builder.start().unwrap();
        rig.until_told("Completed", 1).await;
        assert!(runs.lock().unwrap().is_empty());
        assert_eq!(skipped(&rig), [SkipReason::Missed]);
        let view = rig.job(&format!("repeat:tick:{begin}").into()).await;
        assert_eq!(view.job.return_value.unwrap().as_str(), r#"{"skipped":"missed"}"#);
        // The next one is in time, and so is one that is a little late.
        assert_eq!(run_next(&rig, "tick").await, begin + MINUTE * 11);
        assert_eq!(slots(&runs, begin), [660_000]);
        soon(worker.close()).await.unwrap();
    }
}

#[tokio::test]
async fn missed_slots_can_each_get_their_job() {
    for rule in [Schedule::every(MINUTE), Schedule::cron("20 * * * * *").immediately()] {
        let rig = Rig::new();
        let begin = rig.clock.now();
        put(&rig, "tick", rule.missed(Missed::All { within: MINUTE * 4 })).await;
        rig.hand.advance(MINUTE * 10 + ms(1));
        let (builder, runs) = worker(&rig);
        let worker = builder.concurrency(1).start().unwrap();
        rig.until_told("Completed", 5).await;
        rig.until(async || rig.counts().await.active == 0).await;
        // The first was there already; then those of the last four minutes.
        assert_eq!(slots(&runs, begin), [0, 420_000, 480_000, 540_000, 600_000]);
        let last = runs.lock().unwrap().last().unwrap().opts.clone();
        assert!(last.as_str().contains(r#""behind":4"#), "{last}");
        assert_eq!(run_next(&rig, "tick").await, begin + MINUTE * 11);
        let last = runs.lock().unwrap().last().unwrap().opts.clone();
        assert!(!last.as_str().contains("behind"), "{last}");
        soon(worker.close()).await.unwrap();
    }
}

#[tokio::test]
async fn catching_up_ends_somewhere() {
    let rig = Rig::new();
    let begin = rig.clock.now();
    put(&rig, "tick", Schedule::every(ms(10)).missed(Missed::All { within: MINUTE })).await;
    rig.hand.advance(Duration::from_secs(50));
    let (builder, runs) = worker(&rig);
    let worker = builder.start().unwrap();
    // 5,000 slots were missed; after 1,000 in a row the rest is left out.
    rig.until(async || schedule(&rig, "tick").await.next > rig.clock.now()).await;
    rig.until(async || rig.counts().await.active + rig.counts().await.waiting == 0).await;
    let slots = slots(&runs, begin);
    assert_eq!((slots.len(), slots.last()), (1_001, Some(&10_000)));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_run_that_would_overlap_can_be_skipped() {
    for (overlap, expected) in [(Overlap::Allow, 2), (Overlap::Skip, 1)] {
        let rig = Rig::new();
        let begin = rig.clock.now();
        put(&rig, "tick", Schedule::every(MINUTE).overlap(overlap)).await;
        let (barrier, runs) = (Barrier::default(), Runs::default());
        let (gate, seen) = (barrier.clone(), runs.clone());
        let worker = rig
            .worker()
            .concurrency(4)
            .handle_any(move |_: Value, context: JobContext| {
                seen.lock().unwrap().push(context.job().clone());
                let gate = gate.clone();
                async move {
                    gate.wait().await;
                    Ok::<_, HandlerError>("done")
                }
            })
            .start()
            .unwrap();
        rig.until_told("Active", 1).await;
        rig.hand.advance(MINUTE);
        rig.until(async || schedule(&rig, "tick").await.made == 3).await;
        if overlap == Overlap::Skip {
            rig.until_told("Completed", 1).await;
            let view = rig.job(&format!("repeat:tick:{}", begin + MINUTE).into()).await;
            assert_eq!(view.job.return_value.unwrap().as_str(), r#"{"skipped":"overlap"}"#);
            assert_eq!(skipped(&rig), [SkipReason::Overlap]);
        } else {
            rig.until_told("Active", 2).await;
        }
        assert_eq!(runs.lock().unwrap().len(), expected, "{overlap:?}");
        barrier.open();
        // It goes on when the long one has ended.
        run_next(&rig, "tick").await;
        assert_eq!(runs.lock().unwrap().len(), expected + 1, "{overlap:?}");
        soon(worker.close()).await.unwrap();
    }
}

#[tokio::test]
async fn a_retry_of_a_run_makes_no_other_next_one() {
    let rig = Rig::new();
    put(&rig, "tick", Schedule::every(MINUTE).missed(Missed::None)).await;
    queue(&rig)
        .schedules()
        .put_named("tick", Schedule::every(MINUTE).missed(Missed::None), "tick", &1)
        .attempts(3)
        .await
        .unwrap();
    let worker = rig
        .worker()
        .handle_any(|_: Value| async { Err::<(), _>(HandlerError::from("boom")) })
        .start()
        .unwrap();
    rig.until_told("Failed", 3).await;
    assert_eq!(schedule(&rig, "tick").await.made, 2);
    assert!(skipped(&rig).is_empty());
    soon(worker.close()).await.unwrap();
}
