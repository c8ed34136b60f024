//! One part of a workload: what whoever compares job queues runs, interleaved with the same part of others.
//!
//! Nothing here measures CPU or memory: that is read from outside, at the two lines that a part prints.

mod payload;
mod produce;
mod steer;
mod work;

use std::env;

use anyhow::Result;
use oxmq::Queue;
use serde_json::{Map, Value};
use tokio::io::AsyncReadExt as _;

use super::clock::{monotonic_ns, rounded, seconds_since};
use crate::args::{BenchPart, BenchPartArgs};
use crate::context::{Context, Missing};
use crate::output::Output;

/// Where the store is if `--store` does not say it: a variable, and what its value lacks to be a URL.
const VARIABLES: [(&str, &str); 2] = [("BENCH_REDIS", ""), ("BENCH_SQLITE", "sqlite:")];

pub(super) async fn run(part: BenchPart, context: &Context) -> Result<()> {
    let context = &in_its_store(context);
    let result = run_part(part, context).await;
    context.close().await;
    result
}

async fn run_part(part: BenchPart, context: &Context) -> Result<()> {
    match part {
        BenchPart::AddSingle(args) => {
            let (queue, out) = (ready(&args, context).await?, context.out);
            in_a_task(async move { produce::single(&queue, &args, out).await }).await
        }
        BenchPart::AddConcurrent(args) => {
            produce::concurrent(&ready(&args, context).await?, &args, context.out).await
        }
        BenchPart::AddBulk(args) => {
            let (queue, out) = (ready(&args, context).await?, context.out);
            in_a_task(async move { produce::bulk(&queue, &args, out).await }).await
        }
        BenchPart::LatencyProducer(args) => {
            let (queue, out) = (ready(&args, context).await?, context.out);
            in_a_task(async move { produce::at_low_load(&queue, &args, out).await }).await
        }
        BenchPart::Process(args) => work::process(&args, context).await,
        BenchPart::LatencyWorker(args) => work::latency(&args, context).await,
        BenchPart::Idle(args) => work::idle(&args, &in_one_wait(&args, context)).await,
        BenchPart::Hold(args) => work::hold(&args, context).await,
        BenchPart::Clean(args) => steer::clean(&ready(&args, context).await?, context.out).await,
        BenchPart::Retry(args) => steer::retry(&ready(&args, context).await?, context.out).await,
        BenchPart::Obliterate(args) => steer::obliterate(&ready(&args, context).await?, context.out).await,
    }
}

/// Runs a producer where those that run beside each other are: in a task, as calls from a future that a thread blocks on
/// change threads.
async fn in_a_task(producer: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    tokio::spawn(producer).await?
}

/// The context with the store that a contender is given.
fn in_its_store(context: &Context) -> Context {
    let of_variable = |(name, scheme): (&'static str, &str)| {
        let value = env::var(name).ok().filter(|value| !value.is_empty())?;
        Some(context.at(format!("{scheme}{value}"), name))
    };
    match context.url_of_flag() {
        Some(url) => context.at(url.to_owned(), "--store"),
        None => VARIABLES.into_iter().find_map(of_variable).unwrap_or_else(|| context.at_the_same()),
    }
}

/// With many queues on Redis, one connection waits for the work of all: the setting that is meant for them.
fn in_one_wait(args: &BenchPartArgs, context: &Context) -> Context {
    let url = context.url();
    if args.queues == 1 || url.starts_with("sqlite:") || url.contains("shared_wait=") {
        return context.at_the_same();
    }
    let sign = if url.contains('?') { '&' } else { '?' };
    context.at(format!("{url}{sign}shared_wait=true"), "--store")
}

/// The queue, with its store open. Nothing is asked of it here: a command that nobody has used before takes 24 KB of a Redis server's memory, as
/// does a script, and other libraries only connect.
async fn ready(args: &BenchPartArgs, context: &Context) -> Result<Queue> {
    let store = context.store(Missing::Create).await?;
    let large = usize::try_from(args.pad)?.saturating_add(oxmq::DATA_BYTES_MAX_DEFAULT);
    Ok(Queue::builder(&store, &args.queue).prefix(context.prefix.as_str()).data_limit(large).build()?)
}

/// The clock of a part, from the line `START` to the line `DONE`.
#[derive(Debug)]
struct Running {
    out: Output,
    start_ns: u64,
}

impl Running {
    fn start(out: Output) -> Result<Self> {
        out.line("START")?;
        Ok(Self { out, start_ns: monotonic_ns() })
    }

    fn done(self, n: u64, mut more: Map<String, Value>) -> Result<()> {
        let seconds = rounded(seconds_since(self.start_ns), 6);
        let mut found = Map::from_iter([("n".into(), n.into()), ("seconds".into(), seconds.into())]);
        found.append(&mut more);
        self.out.line(format_args!("DONE {}", Value::from(found)))
    }
}

/// Until whoever watches has seen enough.
async fn end_of_stdin() -> Result<()> {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 1 << 10];
    while stdin.read(&mut ignored).await? > 0 {}
    Ok(())
}
