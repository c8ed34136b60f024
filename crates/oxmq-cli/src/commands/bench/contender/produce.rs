//! The producers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use oxmq::{JobOptions, NewJob, Queue};
use serde_json::Map;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::payload::Payloads;
use super::{Running, end_of_stdin};
use crate::args::BenchPartArgs;
use crate::commands::bench::clock::{monotonic_ns, percentiles};
use crate::output::Output;

pub(super) async fn single(queue: &Queue, args: &BenchPartArgs, out: Output) -> Result<()> {
    let payloads = Payloads::padded(args.pad)?;
    for _ in 0..args.warmup {
        queue.add_named("job", &payloads.now()).await?;
    }
    let mut times = Vec::with_capacity(usize::try_from(args.n)?);
    let running = Running::start(out)?;
    for _ in 0..args.n {
        let start = monotonic_ns();
        queue.add_named("job", &payloads.now()).await?;
        times.push(monotonic_ns() - start);
    }
    running.done(args.n, percentiles(times))?;
    end_of_stdin().await
}

pub(super) async fn concurrent(queue: &Queue, args: &BenchPartArgs, out: Output) -> Result<()> {
    let payloads = Arc::new(Payloads::padded(args.pad)?);
    let mut loops = JoinSet::new();
    let running = Running::start(out)?;
    for index in 0..args.parallel {
        let share = args.n / args.parallel + u64::from(index < args.n % args.parallel);
        let (queue, payloads) = (queue.clone(), payloads.clone());
        loops.spawn(async move {
            for _ in 0..share {
                queue.add_named("job", &payloads.now()).await?;
            }
            Ok::<_, oxmq::Error>(())
        });
    }
    while let Some(ended) = loops.join_next().await {
        ended??;
    }
    running.done(args.n, Map::new())?;
    end_of_stdin().await
}

pub(super) async fn bulk(queue: &Queue, args: &BenchPartArgs, out: Output) -> Result<()> {
    let payloads = Payloads::padded(args.pad)?;
    let mut options = JobOptions::default();
    options.delay = (args.delay_ms > 0).then(|| Duration::from_millis(args.delay_ms));
    let mut priorities = (1..=args.priority).cycle();
    let mut left = args.n;
    let running = Running::start(out)?;
    while left > 0 {
        let count = left.min(args.chunk);
        options.priority = priorities.next();
        let jobs =
            (0..count).map(|_| NewJob { name: "job".into(), data: payloads.now(), options: options.clone() });
        queue.add_bulk(jobs.collect()).await?;
        left -= count;
    }
    running.done(args.n, Map::new())?;
    end_of_stdin().await
}

pub(super) async fn at_low_load(queue: &Queue, args: &BenchPartArgs, out: Output) -> Result<()> {
    let payloads = Payloads::padded(args.pad)?;
    let mut ticks = tokio::time::interval(Duration::from_millis(args.gap_ms.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let running = Running::start(out)?;
    let mut times = Vec::with_capacity(usize::try_from(args.n)?);
    for _ in 0..args.n {
        ticks.tick().await;
        let start = monotonic_ns();
        queue.add_named("job", &payloads.now()).await?;
        times.push(monotonic_ns() - start);
    }
    running.done(args.n, percentiles(times))?;
    end_of_stdin().await
}
