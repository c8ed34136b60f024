//! What the children can do, and workers that have them do it.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use oxmq_core::conformance::Draft;
use oxmq_core::store::{ChildKind, LogsRequest};
use oxmq_core::{
    CancelCause, ChildFailure, Clock, Error, HandlerError, Handlers, Isolation, JobArgs, JobContext, JobId,
    JsonText, Order, Store, WorkerBuilder,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::rig::Rig;

/// This program, as a child.
pub fn isolation() -> Isolation {
    Isolation::this_program().args(["--exact", "child", "--nocapture", "--test-threads=1"])
}

pub fn isolated(rig: &Rig, isolation: Isolation) -> WorkerBuilder {
    rig.worker().isolate(isolation).handlers(all())
}

/// A job with a name and data.
pub fn named(name: &str, data: &Value) -> Draft {
    let mut draft = crate::rig::draft();
    draft.0.name = name.into();
    draft.0.data = JsonText::of(data).unwrap();
    draft
}

pub fn result(view: &oxmq_core::JobView) -> Value {
    view.job.return_value.as_ref().expect("it completed").read().unwrap()
}

pub async fn log_of(rig: &Rig, id: &JobId) -> Vec<String> {
    let request = LogsRequest { job: id.clone(), offset: 0, limit: 1_100, order: Order::Ascending };
    rig.store.model.logs(&rig.queue, request).await.unwrap().lines
}

/// Whether a process is there; one that is dead but not yet waited for is not.
pub fn lives(pid: u64) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

/// A typed job.
#[derive(Serialize, Deserialize)]
pub struct Double {
    pub number: u64,
}

impl JobArgs for Double {
    const NAME: &'static str = "double";
}

async fn double(job: Double) -> Result<u64, HandlerError> {
    Ok(job.number * 2)
}

#[derive(Debug)]
struct Outer(std::num::ParseIntError);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the total is not known")
    }
}

impl StdError for Outer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

async fn fails(how: String) -> Result<(), HandlerError> {
    match &*how {
        "plainly" => Err(Outer("x".parse::<u8>().unwrap_err()).into()),
        "for good" => Err(HandlerError::give_up("never again")),
        "later" => Err(HandlerError::again_after(Duration::from_secs(60))),
        "rate" => Err(HandlerError::rate_limited(Duration::from_secs(60))),
        "panic" => panic!("out of cheese"),
        _ => Ok(()),
    }
}

async fn writes(data: Value, context: JobContext) -> Result<Value, HandlerError> {
    println!("on stdout");
    context.progress(&json!({ "done": 1 })).await?;
    let lines = context.log("first line").await?;
    eprintln!("on stderr");
    print!("without an end");
    context.update_data(&json!({ "step": 2 })).await?;
    let job = context.job();
    Ok(json!({
        "data": data,
        "lines": lines > 0,
        "id": job.id.as_str(),
        "queue": context.queue().to_string(),
        "start": context.start_number(),
        "tries": context.failed_tries(),
        "remaining": context.remaining().is_some_and(|left| left <= Duration::from_secs(3600) && !left.is_zero()),
        "cancelled": context.cancel_cause().is_some(),
    }))
}

/// Waits until it should stop, and tells why.
async fn waits(_: Value, context: JobContext) -> Result<String, HandlerError> {
    context.log(format!("pid {}", std::process::id())).await?;
    let word = match context.cancelled().await {
        CancelCause::Requested(reason) => format!("requested {reason}"),
        CancelCause::TimedOut(limit) => format!("timed out {limit:?}"),
        CancelCause::LeaseLost => "lost".into(),
        _ => "closing".into(),
    };
    context.log(word).await?;
    Ok("stopped".into())
}

/// Hears that it should stop, and does not.
async fn lingers(_: Value, context: JobContext) -> Result<(), HandlerError> {
    context.log(format!("pid {}", std::process::id())).await?;
    context.cancelled().await;
    context.log("heard").await?;
    std::future::pending().await
}

/// Blocks its thread: it cannot hear anything.
async fn blocks(_: Value, context: JobContext) -> Result<(), HandlerError> {
    context.log(format!("pid {}", std::process::id())).await?;
    loop {
        std::thread::park();
    }
}

async fn dies(how: String) -> Result<(), HandlerError> {
    eprintln!("alas");
    match &*how {
        "abort" => std::process::abort(),
        "exit" => std::process::exit(3),
        "term" => {
            let term = rustix::process::Signal::TERM;
            rustix::process::kill_process(rustix::process::getpid(), term)?;
            // Long enough for the signal to be heard.
            Clock::system().sleep(Duration::from_millis(100)).await;
            return Ok(());
        }
        "kill" => rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?,
        _ => return Err("boom".into()),
    }
    std::future::pending().await
}

/// Dies in its first tries, as many as it is told to.
async fn dies_at_first(times: u32, context: JobContext) -> Result<(), HandlerError> {
    if context.start_number() <= times {
        std::process::abort();
    }
    Ok(())
}

async fn leaks(mebibytes: usize) -> Result<u32, HandlerError> {
    std::mem::forget(vec![1_u8; mebibytes << 20]);
    Ok(std::process::id())
}

/// Leaks and goes on.
async fn bloats(mebibytes: usize) -> Result<(), HandlerError> {
    std::mem::forget(vec![1_u8; mebibytes << 20]);
    std::future::pending().await
}

async fn pid(_: Value) -> Result<u32, HandlerError> {
    Ok(std::process::id())
}

/// Starts a process that would outlive it.
async fn has_a_child(_: Value) -> Result<[u32; 2], HandlerError> {
    let child = std::process::Command::new("sleep").arg("600").spawn()?;
    Ok([std::process::id(), child.id()])
}

/// Waits until so many of its kind run: each makes a file.
async fn meets(at: (String, usize)) -> Result<u32, HandlerError> {
    let (dir, count) = at;
    std::fs::write(Path::new(&dir).join(std::process::id().to_string()), "")?;
    while std::fs::read_dir(&dir)?.count() < count {
        Clock::system().sleep(Duration::from_millis(5)).await;
    }
    Ok(std::process::id())
}

async fn chatters(lines: u32) -> Result<(), HandlerError> {
    for line in 0..lines {
        println!("{line}");
    }
    Ok(())
}

/// Leaves something behind that wants to write when the job is over, and says what comes of it in the next job.
async fn speaks_too_late(_: Value, context: JobContext) -> Result<(), HandlerError> {
    tokio::spawn(async move {
        Clock::system().sleep(Duration::from_millis(20)).await;
        println!("idle words");
        let late = context.progress("too late").await;
        std::fs::write(context.job().data.read::<String>().unwrap(), format!("{late:?}")).unwrap();
    });
    Ok(())
}

/// Has children in the queue `kids`, waits for them, and says what became of them.
async fn sums(kids: Vec<Value>, context: JobContext) -> Result<Value, HandlerError> {
    if context.child_counts().await?.total() == 0 {
        let mut fates = Vec::new();
        for (index, kid) in kids.iter().enumerate() {
            let name = if kid == "fail" { "fail" } else { "n" };
            let add = context.add_child_named("kids", name, kid).id(format!("kid-{index}"));
            fates.push(add.on_failure(ChildFailure::Ignore).await?.fate);
        }
        let again = context.add_child_named("kids", "n", &1).id("kid-0").await?;
        fates.push(again.fate);
        context.log(format!("{fates:?}, {} pending", context.child_counts().await?.pending)).await?;
        return Err(HandlerError::wait_for_children());
    }
    let values = context.children_values::<u64>().await?;
    let mut cursor = None;
    let mut pages = Vec::new();
    loop {
        let page = context.children(&[ChildKind::Ignored, ChildKind::Processed], cursor, 2).await?;
        pages.push(page.children.iter().map(|child| child.outcome.kind().as_str()).collect::<Vec<_>>());
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let failures = context.ignored_failures().await?;
    let failures: Vec<_> = failures.iter().map(|(key, reason)| format!("{key}: {reason}")).collect();
    Ok(json!({ "sum": values.values().sum::<u64>(), "failures": failures, "pages": pages }))
}

/// Thinks better of having children.
async fn removes(_: Value, context: JobContext) -> Result<[u64; 2], HandlerError> {
    context.add_child_named("kids", "n", &1).id("late").delay(Duration::from_secs(9)).await?;
    let before = context.child_counts().await?.pending;
    context.remove_pending_children().await?;
    Ok([before, context.child_counts().await?.total()])
}

async fn releases(_: Value, context: JobContext) -> Result<[bool; 2], HandlerError> {
    Ok([context.release_deduplication().await?, context.release_deduplication().await?])
}

/// Tells how all fails that it asks for, in the end what it asks for in vain by itself.
async fn fares_ill(_: Value, context: JobContext) -> Result<Vec<String>, HandlerError> {
    let told = |error: Error| format!("{}: {error}", error.kind());
    Ok(vec![
        told(context.child_counts().await.unwrap_err()),
        told(context.add_child_named("kids", "n", &1).await.unwrap_err()),
        told(context.remove_pending_children().await.unwrap_err()),
        told(context.release_deduplication().await.unwrap_err()),
        told(context.add_child_named("a:b", "n", &1).await.unwrap_err()),
        told(context.add_child_named("kids", "n", &"too long").size_limit(3).await.unwrap_err()),
    ])
}

/// Has children with long results, and asks for all of them many times at once.
async fn reads_at_length(how: (usize, usize), context: JobContext) -> Result<Value, HandlerError> {
    let (kids, times) = how;
    if context.start_number() == 1 {
        for kid in 0..kids {
            context.add_child_named("kids", "long", &kid).await?;
        }
        return Err(HandlerError::wait_for_children());
    }
    let first = context.children(&[ChildKind::Processed], None, 10).await?.children.len();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..times {
        let context = context.clone();
        all.spawn(async move { context.children_values::<String>().await.map(|values| values.len()) });
    }
    let mut read = 0;
    while let Some(values) = all.join_next().await {
        read += values??;
    }
    Ok(json!([first, read]))
}

/// Asks for more at once than is read of it, and waits until it should stop.
async fn floods(times: usize, context: JobContext) -> Result<(), HandlerError> {
    if context.start_number() == 1 {
        context.add_child_named("kids", "long", &0).await?;
        return Err(HandlerError::wait_for_children());
    }
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..times {
        let context = context.clone();
        all.spawn(async move { context.children_values::<String>().await.map(|values| values.len()) });
    }
    context.cancelled().await;
    let mut read = 0;
    while let Some(values) = all.join_next().await {
        read += values??;
    }
    context.log(format!("read {read}")).await?;
    Ok(())
}

pub fn all() -> Handlers {
    Handlers::new()
        .handle(double)
        .handle_named("fails", fails)
        .handle_named("writes", writes)
        .handle_named("waits", waits)
        .handle_named("lingers", lingers)
        .handle_named("blocks", blocks)
        .handle_named("dies", dies)
        .handle_named("dies-at-first", dies_at_first)
        .handle_named("leaks", leaks)
        .handle_named("bloats", bloats)
        .handle_named("pid", pid)
        .handle_named("has-a-child", has_a_child)
        .handle_named("meets", meets)
        .handle_named("chatters", chatters)
        .handle_named("speaks-too-late", speaks_too_late)
        .handle_named("sums", sums)
        .handle_named("removes", removes)
        .handle_named("releases", releases)
        .handle_named("fares-ill", fares_ill)
        .handle_named("reads-at-length", reads_at_length)
        .handle_named("floods", floods)
}
