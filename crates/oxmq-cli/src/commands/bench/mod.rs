//! `oxmq bench`: how fast the store is on this machine, by workloads that any job queue can be measured by.
//!
//! | workload | what is measured |
//! | --- | --- |
//! | W1 | one producer, awaited adds one after the other |
//! | W2c | one producer, 100 loops of awaited adds at the same time |
//! | W2b | one producer, groups of 1,000 |
//! | W3c1, W3c10, W3c100 | one worker with that concurrency, on a queue that was filled before |
//! | W4 | from the add in one process to the first line of the handler in another, at 100 jobs/s |
//!
//! Each is measured in a process and a queue of its own; the queue is checked, then removed.

mod measure;
mod produce;
mod work;

use std::process::Stdio;
use std::str::FromStr;

use anyhow::{Context as _, Result, ensure};
use oxmq::{Error, Queue};
use serde_json::{Map, Value};
use tokio::process::Command;

use super::this_program;
use crate::args::{BenchArgs, BenchRunArgs};
use crate::context::{Context, Missing};
use crate::output::note;

/// The workloads that are measured, with their usual number of jobs.
const WORKLOADS: [(&str, u64); 7] = [
    ("W1", 30_000),
    ("W2c", 80_000),
    ("W2b", 120_000),
    ("W3c1", 30_000),
    ("W3c10", 50_000),
    ("W3c100", 60_000),
    ("W4", 200),
];

/// What a process of the benchmark does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    AddSingle,
    AddConcurrent,
    AddBulk,
    /// Adds in bulk, unmeasured.
    Fill,
    Process(usize),
    LatencyWorker,
    LatencyProducer,
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> oxmq::Result<Self> {
        Ok(match text {
            "W1" => Self::AddSingle,
            "W2c" => Self::AddConcurrent,
            "W2b" => Self::AddBulk,
            "fill" => Self::Fill,
            "W3c1" => Self::Process(1),
            "W3c10" => Self::Process(10),
            "W3c100" => Self::Process(100),
            "W4" => Self::LatencyWorker,
            "W4-producer" => Self::LatencyProducer,
            _ => {
                let names = WORKLOADS.map(|(name, _)| name).join(", ");
                return Err(Error::invalid("bench", "workload", text, format!("use all, or one of {names}")));
            }
        })
    }
}

pub(crate) async fn run(args: BenchArgs, context: &Context) -> Result<()> {
    let mut chosen = Vec::new();
    for name in &args.workload {
        if name == "all" {
            chosen.extend(WORKLOADS);
        } else {
            name.parse::<Part>()?;
            let known = WORKLOADS.into_iter().find(|(known, _)| known == name);
            chosen.push(known.with_context(|| format!("`workload` is {name}: not measured by itself"))?);
        }
    }
    let store = context.store(Missing::Create).await?;
    ensure!(!context.url().contains(":memory:"), "a store in memory cannot be shared between processes");
    for round in 0..args.repeat {
        for (name, usual) in &chosen {
            let n = args.n.unwrap_or(*usual);
            let queue = format!("bench-{name}-{}-{round}", std::process::id());
            note!(context.out, "{name}: {n} jobs ..");
            if name.starts_with("W3") {
                let filled = process(context, "fill", &queue, n)?.status().await?;
                ensure!(filled.success(), "filling the queue for {name} failed");
            }
            let answer = process(context, name, &queue, n)?.output().await?;
            ensure!(answer.status.success(), "{name} failed");
            context.out.line(String::from_utf8(answer.stdout)?.trim_end())?;
            let queue = Queue::builder(&store, &queue).prefix(context.prefix.as_str()).build()?;
            queue.obliterate(true, |_| ()).await?;
        }
    }
    Ok(())
}

/// One part, in a process of its own.
pub(crate) async fn run_one(args: BenchRunArgs, context: &Context) -> Result<()> {
    let part = args.workload.parse()?;
    let queue = context.queue(&args.queue, Missing::Refuse).await?;
    let n = args.n;
    let mut found: Map<String, Value> = match part {
        Part::AddSingle => produce::single(&queue, n).await?,
        Part::AddConcurrent => produce::concurrent(&queue, n).await?,
        Part::AddBulk => produce::bulk(&queue, n).await?,
        Part::Fill => return produce::fill(&queue, n).await,
        Part::LatencyProducer => return produce::at_low_load(&queue, n).await,
        Part::Process(concurrency) => work::process(&queue, concurrency, n).await?,
        Part::LatencyWorker => {
            let producer = process(context, "W4-producer", &args.queue, n)?;
            work::latency(&queue, producer, n).await?
        }
    };
    let mut line = Map::from_iter([
        ("workload".to_owned(), args.workload.into()),
        ("store".to_owned(), queue.store().describe().into()),
        ("n".to_owned(), n.into()),
    ]);
    line.append(&mut found);
    line.insert("peak_rss_mib".into(), measure::peak_rss_mib()?.into());
    context.out.object(&line)
}

/// This program again, for one part.
fn process(context: &Context, part: &str, queue: &str, n: u64) -> Result<Command> {
    let mut command = Command::new(this_program()?);
    command.args([
        "--store",
        context.url(),
        "--prefix",
        &context.prefix,
        "--quiet",
        "bench-run",
        part,
        queue,
    ]);
    command.arg("--n").arg(n.to_string()).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    Ok(command)
}
