//! The workers: W3 and W4.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use oxmq::{Queue, Worker, WorkerBuilder, WorkerEvent};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use tokio::process::Command;
use tokio::sync::oneshot;

use super::measure::{Payload, Span, monotonic_ns, percentiles};

/// How long the worker of W4 is up before the producer starts.
const SETTLED: Duration = Duration::from_millis(1_500);

/// W3
pub(super) async fn process(queue: &Queue, concurrency: usize, n: u64) -> Result<Map<String, Value>> {
    let span = Span::start()?;
    let (worker, done) = until_completed(builder(queue, concurrency), n);
    let worker = worker.handle_any(|_: IgnoredAny| async { Ok::<_, String>(()) }).start()?;
    done.await?;
    let found = span.end(n)?;
    worker.close().await?;
    check(queue, n).await?;
    Ok(found)
}

/// W4
pub(super) async fn latency(queue: &Queue, mut producer: Command, n: u64) -> Result<Map<String, Value>> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let (worker, done) = until_completed(builder(queue, 1), n);
    let all = times.clone();
    let worker = worker.handle_any(move |payload: Payload| {
        let latency = monotonic_ns() - payload.t;
        all.lock().unwrap_or_else(PoisonError::into_inner).push(latency);
        async { Ok::<_, String>(()) }
    });
    let worker = worker.start()?;
    queue.clock().sleep(SETTLED).await;
    let span = Span::start()?;
    let mut producer = producer.spawn()?;
    done.await?;
    let mut found = span.end(n)?;
    ensure!(producer.wait().await?.success(), "the producer failed");
    worker.close().await?;
    check(queue, n).await?;
    let times = std::mem::take(&mut *times.lock().unwrap_or_else(PoisonError::into_inner));
    // The producer sets the pace, so jobs per second say nothing here.
    found.remove("jobs_per_s");
    found.append(&mut percentiles(times));
    Ok(found)
}

fn builder(queue: &Queue, concurrency: usize) -> WorkerBuilder {
    Worker::builder(queue.store(), queue.name()).prefix(queue.address().prefix()).concurrency(concurrency)
}

/// The worker, and what tells that `n` jobs are completed.
fn until_completed(worker: WorkerBuilder, n: u64) -> (WorkerBuilder, oneshot::Receiver<()>) {
    let (sender, receiver) = oneshot::channel();
    let (sender, completed) = (Mutex::new(Some(sender)), AtomicU64::new(0));
    let worker = worker.on(move |event| {
        if matches!(event, WorkerEvent::Completed { .. })
            && completed.fetch_add(1, Ordering::Relaxed) + 1 == n
            && let Some(sender) = sender.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // If nobody waits any more, the run has failed already.
            let _ = sender.send(());
        }
    });
    (worker, receiver)
}

async fn check(queue: &Queue, n: u64) -> Result<()> {
    let counts = queue.counts().await?;
    ensure!(counts.completed == n && counts.total() == n, "{n} jobs should be completed, but: {counts:?}");
    Ok(())
}
