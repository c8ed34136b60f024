//! Handlers in processes of their own, on each real store; and what is left when their worker is killed.
//!
//! The other processes are this program: its test `child`, and its test `worker`.
#![cfg(all(unix, feature = "sqlite", feature = "redis"))]
#![allow(clippy::print_stdout, reason = "the output of a child is under test")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when something is wrong")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use oxmq::conformance::eventually;
use oxmq::store::LogsRequest;
use oxmq::{
    HandlerError, Handlers, Isolation, JobContext, JobId, JobOutcome, Order, QUARANTINED, Queue, Store,
    Worker, WorkerBuilder,
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
const URL: &str = "OXMQ_TEST_URL";

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

async fn reports(data: Value, context: JobContext) -> Result<Value, HandlerError> {
    context.progress(&json!({ "done": 50 })).await?;
    context.log("half way").await?;
    context.update_data(&json!("changed")).await?;
    println!("and on stdout");
    Ok(json!({ "data": data, "pid": std::process::id() }))
}

async fn crashes(_: Value) -> Result<(), HandlerError> {
    std::process::abort()
}

async fn waits(_: Value, context: JobContext) -> Result<(), HandlerError> {
    context.progress("waiting").await?;
    let cause = context.cancelled().await;
    context.log(cause.to_string()).await?;
    Ok(())
}

/// The first time it starts a process of its own, says who they are, and blocks its thread for ever.
async fn blocks_at_first(file: PathBuf, context: JobContext) -> Result<&'static str, HandlerError> {
    if context.start_number() > 1 {
        return Ok("done");
    }
    let started = Command::new("sleep").arg("600").stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let ready = file.with_extension("ready");
    std::fs::write(&ready, json!([std::process::id(), started.id()]).to_string())?;
    std::fs::rename(&ready, &file)?;
    loop {
        std::thread::park();
    }
}

fn handlers() -> Handlers {
    Handlers::new()
        .handle_named("reports", reports)
        .handle_named("crashes", crashes)
        .handle_named("waits", waits)
        .handle_named("blocks-at-first", blocks_at_first)
}

fn worker_on(store: &Arc<dyn Store>) -> WorkerBuilder {
    let isolation = Isolation::this_program().args(["--exact", "child", "--nocapture"]);
    Worker::builder(store, "q")
        .lease(ms(600))
        .renew_every(ms(100))
        .stall_check(ms(100))
        .isolate(isolation)
        .handlers(handlers())
}

/// What the children run. Among the tests it does nothing.
#[tokio::test]
async fn child() {
    if let Some(queue) = oxmq::child_queue() {
        assert_eq!(queue, "q");
    }
    oxmq::serve_if_child(handlers()).await;
}

/// A worker in a process of its own. Among the tests it does nothing.
#[tokio::test]
async fn worker() {
    if let Ok(url) = std::env::var(URL) {
        worker_on(&oxmq::connect(&url).await.unwrap()).run().await.unwrap();
    }
}

async fn outcome(queue: &Queue, id: &JobId) -> JobOutcome {
    queue.wait_for(id, Some(PATIENCE)).await.unwrap()
}

async fn what_a_handler_does_elsewhere_is_done(url: String) {
    let store = oxmq::connect(&url).await.unwrap();
    let queue = Queue::new(&store, "q").unwrap();
    let running = worker_on(&store).start().unwrap();

    let id = queue.add_named("reports", &json!("first")).await.unwrap().id;
    let JobOutcome::Completed(result) = outcome(&queue, &id).await else { panic!("it failed") };
    let result: Value = result.read().unwrap();
    assert_eq!(result["data"], "first");
    assert_ne!(result["pid"], std::process::id());
    let job = queue.job(&id).await.unwrap().unwrap().job;
    assert_eq!((job.progress.unwrap().as_str(), job.data.as_str()), (r#"{"done":50}"#, "\"changed\""));
    let request = LogsRequest { job: id, offset: 0, limit: 10, order: Order::Ascending };
    let mut log = queue.logs(request).await.unwrap().lines;
    log.sort();
    assert_eq!(log, ["and on stdout", "half way"]);

    // Its first death is tried again, its second is the last; also without stacks to remember it by.
    for stacks in [10, 0] {
        let added =
            queue.add_named("crashes", &Value::Null).attempts(9).stack_trace_limit(stacks).await.unwrap();
        let JobOutcome::Failed(reason) = outcome(&queue, &added.id).await else { panic!("it completed") };
        assert!(reason.starts_with(QUARANTINED) && reason.contains("signal 6 (SIGABRT)"), "{reason}");
        assert_eq!(queue.job(&added.id).await.unwrap().unwrap().job.attempts_made, 2);
    }

    let id = queue.add_named("waits", &Value::Null).attempts(5).await.unwrap().id;
    eventually(PATIENCE, || async { queue.job(&id).await.unwrap().unwrap().job.progress.is_some() }).await;
    queue.cancel(&id, "wrong address").await.unwrap();
    assert_eq!(outcome(&queue, &id).await, JobOutcome::Failed("cancelled: wrong address".into()));
    let request = LogsRequest { job: id, offset: 0, limit: 10, order: Order::Ascending };
    assert_eq!(queue.logs(request).await.unwrap().lines, ["cancelled: wrong address"]);
    running.close().await.unwrap();
}

fn lives(pid: u64) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

async fn nothing_is_left_of_a_worker_that_is_killed(url: String) {
    let store = oxmq::connect(&url).await.unwrap();
    let queue = Queue::new(&store, "q").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let id = queue.add_named("blocks-at-first", &file).await.unwrap().id;
    let program = std::env::current_exe().unwrap();
    let mut killed = Command::new(program);
    killed.args(["--exact", "worker", "--nocapture"]).env(URL, &url).stdin(Stdio::null());
    let mut killed = killed.stdout(Stdio::null()).spawn().unwrap();
    eventually(PATIENCE, || async { file.exists() }).await;
    let pids: [u64; 2] = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(pids.into_iter().all(lives));

    killed.kill().unwrap();
    killed.wait().unwrap();
    // The handler blocks its thread, and what it has started knows nothing of us; they end all the same.
    eventually(PATIENCE, || async { !pids.into_iter().any(lives) }).await;
    let running = worker_on(&store).start().unwrap();
    let JobOutcome::Completed(result) = outcome(&queue, &id).await else { panic!("it failed") };
    assert_eq!(result.as_str(), "\"done\"");
    running.close().await.unwrap();
}

macro_rules! cases {
    ($($case:ident)*) => {
        mod file {
            $(
                #[tokio::test]
                async fn $case() {
                    let folder = tempfile::tempdir().unwrap();
                    super::$case(format!("sqlite:{}", folder.path().join("jobs.db").display())).await;
                }
            )*
        }
        mod redis {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case(oxmq_testkit::Server::shared().fresh_url()).await;
                }
            )*
        }
    };
}

cases! {
    what_a_handler_does_elsewhere_is_done
    nothing_is_left_of_a_worker_that_is_killed
}

/// A program that forgets to serve must not become one worker more.
#[tokio::test]
async fn a_child_that_starts_a_worker_instead_is_refused() {
    let store = oxmq::connect("sqlite::memory:").await.unwrap();
    let queue = Queue::new(&store, "q").unwrap();
    let id = queue.add_named("reports", &Value::Null).await.unwrap().id;
    // That test starts a worker, and panics with what it is told.
    let isolation =
        Isolation::this_program().args(["--exact", "worker", "--nocapture"]).env(URL, "sqlite::memory:");
    let running = worker_on(&store).isolate(isolation).start().unwrap();
    let JobOutcome::Failed(reason) = outcome(&queue, &id).await else { panic!("it completed") };
    assert!(
        reason.starts_with("no process for the handler: it ended before it was ready: exit code 101"),
        "{reason}"
    );
    running.close().await.unwrap();
}
