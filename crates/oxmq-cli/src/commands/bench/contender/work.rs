//! The workers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use oxmq::{Clock, HandlerError, Store, Worker, WorkerBuilder, WorkerEvent};
use serde::de::IgnoredAny;
use serde_json::Map;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::payload::Stamped;
use super::{Running, end_of_stdin};
use crate::args::BenchPartArgs;
use crate::commands::bench::clock::{monotonic_ns, percentiles};
use crate::context::{Context, Missing};
use crate::values::BenchOutcome;

/// The clock includes the way to the store: other libraries connect when their worker is made.
pub(super) async fn process(args: &BenchPartArgs, context: &Context) -> Result<()> {
    let running = Running::start(context.out)?;
    let store = context.store(Missing::Refuse).await?;
    let (worker, done) = until_ended(builder(&store, args, &args.queue, context), args.n);
    let (work, fails, clock) =
        (Duration::from_millis(args.work_ms), args.outcome == BenchOutcome::Fail, Clock::system());
    let worker = worker.handle_any(move |_: IgnoredAny| {
        let clock = clock.clone();
        async move {
            if !work.is_zero() {
                clock.sleep(work).await;
            }
            if fails { Err(HandlerError::give_up("as it was told")) } else { Ok(()) }
        }
    });
    let worker = worker.start()?;
    done.await?;
    running.done(args.n, Map::new())?;
    worker.close().await?;
    end_of_stdin().await
}

pub(super) async fn latency(args: &BenchPartArgs, context: &Context) -> Result<()> {
    let store = context.store(Missing::Create).await?;
    let times = Arc::new(Mutex::new(Vec::with_capacity(usize::try_from(args.n)?)));
    let (worker, done) = until_ended(builder(&store, args, &args.queue, context), args.n);
    let all = times.clone();
    let worker = worker.handle_any(move |payload: Stamped| {
        let latency = monotonic_ns().saturating_sub(payload.t);
        all.lock().unwrap_or_else(PoisonError::into_inner).push(latency);
        async { Ok::<_, String>(()) }
    });
    let running = Running::start(context.out)?;
    let worker = worker.start()?;
    done.await?;
    let times = std::mem::take(&mut *times.lock().unwrap_or_else(PoisonError::into_inner));
    running.done(args.n, percentiles(times))?;
    worker.close().await?;
    end_of_stdin().await
}

pub(super) async fn idle(args: &BenchPartArgs, context: &Context) -> Result<()> {
    let store = context.store(Missing::Create).await?;
    let names = (0..args.queues).map(|index| match args.queues {
        1 => args.queue.clone(),
        _ => format!("{}-{index}", args.queue),
    });
    let running = Running::start(context.out)?;
    let mut workers = Vec::new();
    for name in names {
        let worker = builder(&store, args, &name, context);
        workers.push(worker.handle_any(|_: IgnoredAny| async { Ok::<_, String>(()) }).start()?);
    }
    end_of_stdin().await?;
    running.done(0, Map::new())?;
    for worker in workers {
        worker.close().await?;
    }
    context.close().await;
    Ok(())
}

pub(super) async fn hold(args: &BenchPartArgs, context: &Context) -> Result<()> {
    let store = context.store(Missing::Refuse).await?;
    let (worker, done) = until_ended(builder(&store, args, &args.queue, context), args.n);
    let concurrency = usize::try_from(args.n)?;
    let (held, release) = (Arc::new(Semaphore::new(0)), CancellationToken::new());
    let (one_more, released) = (held.clone(), release.clone());
    let worker = worker.concurrency(concurrency).handle_any(move |_: IgnoredAny| {
        one_more.add_permits(1);
        let released = released.clone();
        async move {
            released.cancelled().await;
            Ok::<_, String>(())
        }
    });
    let worker = worker.start()?;
    let all = u32::try_from(args.n).context("`n` is more than can be held")?;
    held.acquire_many(all).await?.forget();
    let running = Running::start(context.out)?;
    end_of_stdin().await?;
    release.cancel();
    done.await?;
    running.done(args.n, Map::new())?;
    worker.close().await?;
    Ok(())
}

fn builder(store: &Arc<dyn Store>, args: &BenchPartArgs, queue: &str, context: &Context) -> WorkerBuilder {
    Worker::builder(store, queue).prefix(context.prefix.as_str()).concurrency(args.concurrency)
}

/// The worker, and what tells that `n` jobs have completed or failed for good.
fn until_ended(worker: WorkerBuilder, n: u64) -> (WorkerBuilder, oneshot::Receiver<()>) {
    let (sender, receiver) = oneshot::channel();
    let (sender, ended) = (Mutex::new(Some(sender)), AtomicU64::new(0));
    let worker = worker.on(move |event| {
        let is_end =
            matches!(event, WorkerEvent::Completed { .. } | WorkerEvent::Failed { will_retry: false, .. });
        if is_end
            && ended.fetch_add(1, Ordering::Relaxed) + 1 == n
            && let Some(sender) = sender.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // If nobody waits any more, the run has failed already.
            let _ = sender.send(());
        }
    });
    (worker, receiver)
}
