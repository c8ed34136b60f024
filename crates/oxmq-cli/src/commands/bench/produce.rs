//! The producers: W1, W2c, W2b, filling, and the slow one of W4.

use std::time::Duration;

use anyhow::{Result, ensure};
use oxmq::store::GROUP_JOBS_MAX;
use oxmq::{JobOptions, NewJob, Queue};
use serde_json::{Map, Value};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::measure::{Span, monotonic_ns, payload, percentiles};

/// Adds before W1 is measured.
const WARM_UP: u64 = 200;
/// Loops of W2c.
const LOOPS: u64 = 100;
/// Between two adds of W4.
const GAP: Duration = Duration::from_millis(10);

/// W1
pub(super) async fn single(queue: &Queue, n: u64) -> Result<Map<String, Value>> {
    for _ in 0..WARM_UP {
        queue.add_named("job", &payload()).await?;
    }
    let mut times = Vec::with_capacity(usize::try_from(n)?);
    let span = Span::start()?;
    for _ in 0..n {
        let start = monotonic_ns();
        queue.add_named("job", &payload()).await?;
        times.push(monotonic_ns() - start);
    }
    let mut found = span.end(n)?;
    found.append(&mut percentiles(times));
    check(queue, n + WARM_UP).await?;
    Ok(found)
}

/// W2c
pub(super) async fn concurrent(queue: &Queue, n: u64) -> Result<Map<String, Value>> {
    let span = Span::start()?;
    let mut loops = JoinSet::new();
    for index in 0..LOOPS {
        let (queue, share) = (queue.clone(), n / LOOPS + u64::from(index < n % LOOPS));
        loops.spawn(async move {
            for _ in 0..share {
                queue.add_named("job", &payload()).await?;
            }
            Ok::<_, oxmq::Error>(())
        });
    }
    while let Some(ended) = loops.join_next().await {
        ended??;
    }
    let found = span.end(n)?;
    check(queue, n).await?;
    Ok(found)
}

/// W2b
pub(super) async fn bulk(queue: &Queue, n: u64) -> Result<Map<String, Value>> {
    let span = Span::start()?;
    add_chunks(queue, n).await?;
    let found = span.end(n)?;
    check(queue, n).await?;
    Ok(found)
}

/// Before W3.
pub(super) async fn fill(queue: &Queue, n: u64) -> Result<()> {
    add_chunks(queue, n).await?;
    check(queue, n).await
}

async fn add_chunks(queue: &Queue, n: u64) -> Result<()> {
    let mut left = n;
    while left > 0 {
        let count = left.min(GROUP_JOBS_MAX as u64);
        let jobs = (0..count).map(|_| NewJob {
            name: "job".into(),
            data: payload(),
            options: JobOptions::default(),
        });
        queue.add_bulk(jobs.collect()).await?;
        left -= count;
    }
    Ok(())
}

/// The producer of W4.
pub(super) async fn at_low_load(queue: &Queue, n: u64) -> Result<()> {
    let mut ticks = tokio::time::interval(GAP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..n {
        ticks.tick().await;
        queue.add_named("job", &payload()).await?;
    }
    Ok(())
}

/// Numbers of a run that did not do what it should do are worth nothing.
async fn check(queue: &Queue, n: u64) -> Result<()> {
    let counts = queue.counts().await?;
    ensure!(counts.waiting == n && counts.total() == n, "{n} jobs should be waiting, but: {counts:?}");
    Ok(())
}
