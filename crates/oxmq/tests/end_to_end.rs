//! The whole of it, on each real store: a queue, workers, and what becomes of the jobs. Real time; leases and checks
//! are fractions of a second.
#![cfg(all(feature = "sqlite", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when something is wrong")]
#![allow(clippy::items_after_statements, reason = "a handler stands where it is used")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxmq::conformance::eventually;
use oxmq::store::{CancelAnswer, JobsRequest, LogsRequest};
use oxmq::{
    Backoff, ChildFailure, FlowJob, FlowProducer, HandlerError, JobContext, JobOptions, JobOutcome, JobState,
    Order, Queue, Retention, Store, Worker, WorkerBuilder,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(20);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A worker with a short lease, and checks to match.
fn worker(store: &Arc<dyn Store>) -> WorkerBuilder {
    Worker::builder(store, "q").lease(ms(600)).renew_every(ms(100)).stall_check(ms(100)).poll(ms(500))
}

async fn outcome(queue: &Queue, id: &oxmq::JobId) -> JobOutcome {
    queue.wait_for(id, Some(PATIENCE)).await.unwrap()
}

async fn jobs_are_added_worked_on_and_answered(store: Arc<dyn Store>) {
    let queue = Queue::new(&store, "q").unwrap();
    let double = |n: u64| async move { Ok::<u64, HandlerError>(n * 2) };
    let running = worker(&store).concurrency(8).handle_any(double).start().unwrap();
    let mut ids = Vec::new();
    for n in 0..200_u64 {
        ids.push(queue.add_named("double", &n).await.unwrap().id);
    }
    for (n, id) in ids.iter().enumerate() {
        let JobOutcome::Completed(result) = outcome(&queue, id).await else { panic!("job {id} failed") };
        assert_eq!(result.read::<usize>().unwrap(), n * 2);
    }
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.completed, counts.total()), (200, 200));
    assert_eq!(running.handle().stats().completed, 200);
    running.close().await.unwrap();
    assert!(queue.workers().await.unwrap().is_empty(), "it said good-bye");
}

async fn failures_are_tried_again_and_their_stacks_are_kept(store: Arc<dyn Store>) {
    let queue = Queue::new(&store, "q").unwrap();
    let fails = |_: Value, context: JobContext| async move {
        Err::<(), _>(HandlerError::from(format!("try {}", context.failed_tries() + 1)))
    };
    let running = worker(&store).handle_any(fails).start().unwrap();
    let backoff = Backoff::exponential(ms(10));
    let added =
        queue.add_named("x", &json!({})).attempts(3).backoff(backoff).stack_trace_limit(2).await.unwrap();
    assert_eq!(outcome(&queue, &added.id).await, JobOutcome::Failed("try 3".into()));
    let job = queue.job(&added.id).await.unwrap().unwrap().job;
    assert_eq!((job.attempts_made, job.attempts_started), (3, 3));
    let stacks: Vec<String> = job.stacktrace.unwrap().read().unwrap();
    assert_eq!(stacks.len(), 2);
    assert!(stacks[0].contains("try 2") && stacks[1].contains("try 3"), "{stacks:?}");
    running.close().await.unwrap();
}

async fn a_panic_is_a_failure_with_its_message(store: Arc<dyn Store>) {
    let queue = Queue::new(&store, "q").unwrap();
    async fn panics(_: Value) -> Result<(), HandlerError> {
        panic!("out of cheese")
    }
    let running = worker(&store).handle_any(panics).start().unwrap();
    let added = queue.add_named("x", &json!({})).await.unwrap();
    let JobOutcome::Failed(reason) = outcome(&queue, &added.id).await else { panic!("it completed") };
    assert!(reason.contains("out of cheese"), "{reason}");
    let next = queue.add_named("x", &json!({})).await.unwrap();
    assert!(matches!(outcome(&queue, &next.id).await, JobOutcome::Failed(_)), "the worker goes on");
    running.close().await.unwrap();
}

async fn a_running_job_is_told_to_stop_without_waiting_for_a_renewal(store: Arc<dyn Store>) {
    let queue = Queue::new(&store, "q").unwrap();
    let (started, mut starts) = mpsc::channel(1);
    let waits = move |_: Value, context: JobContext| {
        let started = started.clone();
        async move {
            let _ = started.send(()).await;
            context.cancelled().await;
            // Whatever it says, the job ends as cancelled.
            Ok::<_, HandlerError>("done after all")
        }
    };
    // Renewals, which are the net, come too late to be what tells it.
    let running = worker(&store)
        .lease(ms(60_000))
        .renew_every(ms(30_000))
        .name("w1")
        .handle_any(waits)
        .start()
        .unwrap();
    let added = queue.add_named("x", &json!({})).attempts(5).await.unwrap();
    starts.recv().await.unwrap();
    let asked = eventually_announced(&queue, &added.id).await;
    assert_eq!(asked, CancelAnswer::Requested { worker: "w1".into() });
    let ended = queue.wait_for(&added.id, Some(Duration::from_secs(5))).await.unwrap();
    assert_eq!(ended, JobOutcome::Failed("cancelled: wrong address".into()));
    running.close().await.unwrap();
}

/// Asks for a cancel once the worker has announced itself.
async fn eventually_announced(queue: &Queue, id: &oxmq::JobId) -> CancelAnswer {
    eventually(PATIENCE, || async { !queue.workers().await.unwrap().is_empty() }).await;
    queue.cancel(id, "wrong address").await.unwrap()
}

async fn the_jobs_of_a_dead_worker_run_elsewhere(store: Arc<dyn Store>) {
    let queue = Queue::new(&store, "q").unwrap();
    let (started, mut starts) = mpsc::channel(1);
    let hangs = move |_: Value| {
        let started = started.clone();
        async move {
            let _ = started.send(()).await;
            std::future::pending::<()>().await;
            Ok::<(), HandlerError>(())
        }
    };
    let dies = worker(&store).handle_any(hangs).start().unwrap();
    let added = queue.add_named("x", &json!({})).await.unwrap();
    starts.recv().await.unwrap();
    drop(dies);
    let lives =
        |_: Value, context: JobContext| async move { Ok::<u32, HandlerError>(context.start_number()) };
    let running = worker(&store).handle_any(lives).start().unwrap();
    let JobOutcome::Completed(start) = outcome(&queue, &added.id).await else { panic!("it failed") };
    assert_eq!(start.read::<u32>().unwrap(), 2);
    let job = queue.job(&added.id).await.unwrap().unwrap().job;
    assert_eq!((job.stalled_count, job.attempts_made), (1, 1));
    running.close().await.unwrap();
}

async fn handlers_that_block_the_runtime_do_not_lose_their_jobs(store: Arc<dyn Store>) {
    let queue = Queue::new(&store, "q").unwrap();
    let lost = Arc::new(AtomicBool::new(false));
    let noticed = lost.clone();
    async fn blocks(_: Value) -> Result<(), HandlerError> {
        let (_keep, never) = std::sync::mpsc::channel::<()>();
        // Longer than two leases, on the runtime's only thread.
        let _ = never.recv_timeout(ms(1_500));
        Ok(())
    }
    let running = worker(&store)
        .handle_any(blocks)
        .on(move |event| {
            if matches!(event, oxmq::WorkerEvent::LeaseLost { .. } | oxmq::WorkerEvent::Stalled { .. }) {
                noticed.store(true, Ordering::SeqCst);
            }
        })
        .start()
        .unwrap();
    let added = queue.add_named("x", &json!({})).await.unwrap();
    assert_eq!(outcome(&queue, &added.id).await, JobOutcome::Completed(oxmq::JsonText::null()));
    assert!(!lost.load(Ordering::SeqCst));
    assert_eq!(queue.job(&added.id).await.unwrap().unwrap().job.attempts_started, 1);
    running.close().await.unwrap();
}

async fn what_handlers_ask_for_is_done(store: Arc<dyn Store>) {
    let queue = Queue::new(&store, "q").unwrap();
    let handler = |what: String, context: JobContext| async move {
        let first = context.start_number() == 1;
        match what.as_str() {
            "give up" => Err(HandlerError::give_up("no use")),
            "again" if first => Err(HandlerError::again_after(ms(50))),
            "limited" if first => Err(HandlerError::rate_limited(ms(50))),
            _ => {
                context.log("a line").await?;
                context.progress(&0.5).await?;
                Ok(context.start_number())
            }
        }
    };
    let running = worker(&store).handle_any(handler).start().unwrap();
    let give_up = queue.add_named("x", "give up").attempts(9).await.unwrap();
    assert_eq!(outcome(&queue, &give_up.id).await, JobOutcome::Failed("no use".into()));
    for what in ["again", "limited"] {
        let added = queue.add_named("x", what).await.unwrap();
        assert_eq!(
            outcome(&queue, &added.id).await,
            JobOutcome::Completed(oxmq::JsonText::stored("2")),
            "{what}"
        );
        let job = queue.job(&added.id).await.unwrap().unwrap().job;
        assert_eq!((job.attempts_made, job.progress.unwrap().as_str()), (1, "0.5"), "{what}");
        let request = LogsRequest { job: added.id, offset: 0, limit: 9, order: Order::Ascending };
        assert_eq!(queue.logs(request).await.unwrap().lines, ["a line"]);
    }
    running.close().await.unwrap();
}

async fn run_time_limits_and_times_to_live_hold(store: Arc<dyn Store>) {
    let queue = Queue::new(&store, "q").unwrap();
    let late = queue.add_named("late", &json!({})).ttl(ms(1)).await.unwrap();
    let begin = queue.clock().now();
    eventually(PATIENCE, || async { queue.clock().now() > begin + ms(5) }).await;
    let endless = |_: Value, context: JobContext| async move {
        context.cancelled().await;
        Ok::<(), HandlerError>(())
    };
    let running = worker(&store).handle_any(endless).start().unwrap();
    let long = queue.add_named("long", &json!({})).timeout(ms(50)).await.unwrap();
    let JobOutcome::Failed(reason) = outcome(&queue, &late.id).await else { panic!("it ran") };
    assert!(reason.starts_with("expired:"), "{reason}");
    let JobOutcome::Failed(reason) = outcome(&queue, &long.id).await else { panic!("it ran for ever") };
    assert!(reason.contains("timed out after 50 ms"), "{reason}");
    running.close().await.unwrap();
}

async fn concurrency_changes_while_it_runs(store: Arc<dyn Store>) {
    let queue = Queue::new(&store, "q").unwrap();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let open = Arc::new(tokio::sync::Semaphore::new(0));
    let handler = {
        let (now, most, open) = (now.clone(), most.clone(), open.clone());
        move |_: Value| {
            let (now, most, open) = (now.clone(), most.clone(), open.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let _permit = open.acquire().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<(), HandlerError>(())
            }
        }
    };
    let running = worker(&store).concurrency(1).handle_any(handler).start().unwrap();
    for _ in 0..10 {
        queue.add_named("x", &json!({})).await.unwrap();
    }
    eventually(PATIENCE, || async { now.load(Ordering::SeqCst) == 1 }).await;
    running.handle().set_concurrency(4);
    eventually(PATIENCE, || async { now.load(Ordering::SeqCst) == 4 }).await;
    open.add_permits(4);
    eventually(PATIENCE, || async { queue.counts().await.unwrap().completed == 10 }).await;
    assert_eq!(most.load(Ordering::SeqCst), 4);
    running.close().await.unwrap();
}

async fn retention_applies_with_and_without_traffic(store: Arc<dyn Store>) {
    let queue = Queue::new(&store, "q").unwrap();
    let running = worker(&store)
        .keep_completed(Retention::count(3))
        .handle_any(|_: Value| async { Ok::<(), HandlerError>(()) })
        .start()
        .unwrap();
    for _ in 0..20 {
        queue.add_named("x", &json!({})).await.unwrap();
    }
    eventually(PATIENCE, || async { queue.counts().await.unwrap().unfinished() == 0 }).await;
    assert_eq!(queue.counts().await.unwrap().completed, 3);
    let page =
        JobsRequest { states: vec![JobState::Completed], offset: 0, limit: 9, order: Order::Descending };
    let ids: Vec<String> =
        queue.jobs(page).await.unwrap().jobs.iter().map(|view| view.job.id.to_string()).collect();
    assert_eq!(ids, ["20", "19", "18"]);
    running.close().await.unwrap();
}

async fn closing_hands_back_what_does_not_end_in_time(store: Arc<dyn Store>) {
    let queue = Queue::new(&store, "q").unwrap();
    let (started, mut starts) = mpsc::channel(1);
    let deaf = move |_: Value| {
        let started = started.clone();
        async move {
            let _ = started.send(()).await;
            std::future::pending::<()>().await;
            Ok::<(), HandlerError>(())
        }
    };
    let running =
        worker(&store).shutdown_timeout(ms(50)).cancel_grace(ms(50)).handle_any(deaf).start().unwrap();
    let added = queue.add_named("x", &json!({})).await.unwrap();
    starts.recv().await.unwrap();
    running.close().await.unwrap();
    let view = queue.job(&added.id).await.unwrap().unwrap();
    assert_eq!((view.state, view.job.attempts_made, view.token), (JobState::Waiting, 0, None));
}

async fn several_workers_share_a_queue_and_each_job_runs_once(store: Arc<dyn Store>) {
    let queue = Queue::new(&store, "q").unwrap();
    let runs = Arc::new(Mutex::new(std::collections::HashMap::new()));
    let workers: Vec<Worker> = (0..4)
        .map(|_| {
            let runs = runs.clone();
            let count = move |n: u64| {
                let runs = runs.clone();
                async move {
                    *runs.lock().unwrap().entry(n).or_insert(0) += 1;
                    Ok::<(), HandlerError>(())
                }
            };
            worker(&store).lease(ms(10_000)).concurrency(5).handle_any(count).start().unwrap()
        })
        .collect();
    let adds: Vec<_> = (0..500_u64).map(|n| tokio::spawn(queue.add_named("x", &n).into_future())).collect();
    for add in adds {
        add.await.unwrap().unwrap();
    }
    eventually(PATIENCE, || async { queue.counts().await.unwrap().completed == 500 }).await;
    assert!(runs.lock().unwrap().values().all(|runs| *runs == 1));
    assert_eq!(runs.lock().unwrap().len(), 500);
    for worker in workers {
        worker.close().await.unwrap();
    }
}

async fn a_flow_of_three_levels_over_three_queues_ends_as_its_failures_say(store: Arc<dyn Store>) {
    let on = |queue: &str| {
        Worker::builder(&store, queue).lease(ms(600)).renew_every(ms(100)).stall_check(ms(100)).poll(ms(500))
    };
    let leaf = |what: String, context: JobContext| async move {
        match (what.as_str(), context.failed_tries()) {
            ("fails", _) => Err(HandlerError::give_up("no use")),
            ("stumbles", 0) => Err(HandlerError::fail("not yet")),
            (word, _) => Ok(word.len()),
        }
    };
    // Its own children, and one that it adds when it first runs.
    let middle = |what: String, context: JobContext| async move {
        if context.start_number() == 1 {
            let id = format!("late of {}", context.job().id);
            context.add_child_named("leaves", "x", "late").id(id).await?;
            return Err(HandlerError::wait_for_children());
        }
        let sum: usize = context.children_values::<usize>().await?.into_values().sum();
        Ok((what, sum, context.ignored_failures().await?.len()))
    };
    let top = |_: Value, context: JobContext| async move {
        let values = context.children_values::<(String, usize, usize)>().await?;
        let counts = context.child_counts().await?;
        let mut values: Vec<_> = values.into_values().collect();
        values.sort();
        Ok::<_, HandlerError>((values, counts.processed, counts.ignored))
    };
    let workers = [
        on("leaves").concurrency(3).handle_any(leaf).start().unwrap(),
        on("middles").concurrency(2).handle_any(middle).start().unwrap(),
        on("tops").handle_any(top).start().unwrap(),
    ];
    let flows = FlowProducer::builder(&store)
        .queue_defaults("leaves", JobOptions::parse(r#"{"attempts":2}"#).unwrap())
        .build()
        .unwrap();
    let leaf = |what: &str| FlowJob::named("leaves", "x", what);
    let middle = |what: &str| FlowJob::named("middles", "x", what);
    let tree = |doom: Option<ChildFailure>| {
        let doomed =
            middle("doomed").child(leaf("fails").on_failure(ChildFailure::FailParent)).child(leaf("abc"));
        let doomed = match doom {
            Some(doom) => doomed.on_failure(doom),
            None => doomed,
        };
        let fine = middle("fine")
            .child(leaf("ab"))
            .child(leaf("stumbles"))
            .child(leaf("fails").on_failure(ChildFailure::Ignore))
            .child(leaf("fails").on_failure(ChildFailure::Remove));
        FlowJob::named("tops", "x", &()).child(fine).child(doomed)
    };
    let queue = Queue::new(&store, "tops").unwrap();

    let ignored = flows.add(tree(Some(ChildFailure::Ignore))).await.unwrap();
    let JobOutcome::Completed(result) = outcome(&queue, &ignored.job.id).await else { panic!("it failed") };
    // ab, stumbles and late: 2 + 8 + 4.
    assert_eq!(result.read::<Value>().unwrap(), json!([[["fine", 14, 1]], 1, 1]));
    let tree_of = flows.get_flow(ignored.key()).await.unwrap().unwrap();
    let fine = tree_of.children.iter().find(|child| child.counts.processed == 3).unwrap();
    assert_eq!((fine.counts.ignored, fine.counts.pending, fine.children.len()), (1, 0, 4));
    let job = &fine.job.as_ref().unwrap().job;
    assert_eq!((job.attempts_started, job.attempts_made), (2, 1), "waiting spends no attempt");

    // A failure climbs: the leaf fails its parent, and that the root.
    let failed = flows.add(tree(Some(ChildFailure::FailParent))).await.unwrap();
    let JobOutcome::Failed(reason) = outcome(&queue, &failed.job.id).await else { panic!("it completed") };
    let doomed = &failed.children[1];
    assert_eq!(reason, format!("child {} failed", doomed.key()));
    let below = Queue::new(&store, "middles").unwrap().job(&doomed.job.id).await.unwrap().unwrap().job;
    assert_eq!(below.failed_reason.unwrap(), format!("child {} failed", doomed.children[0].key()));

    // Without a say the root waits for the child that failed; once that is gone, it runs.
    let stuck = flows.add(tree(None)).await.unwrap();
    let doomed = &stuck.children[1];
    let middles = Queue::new(&store, "middles").unwrap();
    let JobOutcome::Failed(_) = outcome(&middles, &doomed.job.id).await else { panic!("it completed") };
    let JobOutcome::Completed(_) = outcome(&middles, &stuck.children[0].job.id).await else {
        panic!("it failed")
    };
    assert_eq!(queue.job(&stuck.job.id).await.unwrap().unwrap().state, JobState::WaitingChildren);
    assert!(middles.detach(&doomed.job.id).await.unwrap());
    let JobOutcome::Completed(result) = outcome(&queue, &stuck.job.id).await else { panic!("it failed") };
    assert_eq!(result.read::<Value>().unwrap(), json!([[["fine", 14, 1]], 1, 0]));
    for worker in workers {
        worker.close().await.unwrap();
    }
}

/// Each case on each store: a file, Redis, and memory.
macro_rules! cases {
    ($($case:ident)*) => {
        mod file {
            $(
                #[tokio::test]
                async fn $case() {
                    let folder = tempfile::tempdir().unwrap();
                    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
                    super::$case(oxmq::connect(&url).await.unwrap()).await;
                }
            )*
        }
        mod redis {
            $(
                #[tokio::test]
                async fn $case() {
                    let url = oxmq_testkit::Server::shared().fresh_url();
                    super::$case(oxmq::connect(&url).await.unwrap()).await;
                }
            )*
        }
        mod memory {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case(oxmq::connect("sqlite::memory:").await.unwrap()).await;
                }
            )*
        }
    };
}

cases! {
    jobs_are_added_worked_on_and_answered
    failures_are_tried_again_and_their_stacks_are_kept
    a_panic_is_a_failure_with_its_message
    a_running_job_is_told_to_stop_without_waiting_for_a_renewal
    the_jobs_of_a_dead_worker_run_elsewhere
    handlers_that_block_the_runtime_do_not_lose_their_jobs
    what_handlers_ask_for_is_done
    run_time_limits_and_times_to_live_hold
    concurrency_changes_while_it_runs
    retention_applies_with_and_without_traffic
    closing_hands_back_what_does_not_end_in_time
    several_workers_share_a_queue_and_each_job_runs_once
    a_flow_of_three_levels_over_three_queues_ends_as_its_failures_say
}

#[tokio::test]
async fn urls_that_make_no_sense_are_explained() {
    for (url, word) in [
        ("jobs.db", "sqlite:PATH"),
        ("sqlite:", "name a file"),
        ("redis://localhost:port", "port"),
        ("redis://localhost?retries=3", "retries"),
        ("postgres://me:secret@host", "sqlite:PATH"),
        ("sqlite:/no/such/folder/jobs.db", "/no/such/folder"),
    ] {
        let error = oxmq::connect(url).await.unwrap_err();
        assert!(error.to_string().contains(word), "{url}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
