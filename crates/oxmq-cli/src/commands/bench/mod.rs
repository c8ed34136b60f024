//! `oxmq bench`: how fast the store is on this machine, by workloads that any job queue can be measured by.
//!
//! It has two faces. [`contender`] is one part of a workload (`oxmq bench add-single --n 30000`): a program that says when its
//! clock starts and ends, to be run and watched by others, ours among them. [`measure`] is for people: it runs the parts
//! of the workloads as processes, watches them and the server from outside, checks the queues, and shows a table. With
//! `--program` it does so with any other program that has the command line of a part.

mod clock;
mod contender;
mod measure;

use anyhow::Result;

use crate::args::BenchArgs;
use crate::context::Context;

/// What `oxmq bench --help` says of the workloads.
pub(crate) const HELP: &str = "\
Workloads:
  W1               one producer, awaited adds one after the other
  W2c              one producer, 100 loops of awaited adds at the same time
  W2b              one producer, chunks of 1,000
  W3c1, c10, c100  one worker of that concurrency, on a queue that was filled before
  W4               from the add in one process to the first line of the handler in another, at 100 jobs/s
  W5               memory of the server (bytes of the file) for each waiting and each completed job
  W6q1, q50        workers on empty queues: CPU, commands, connections
  W7..             concurrency 100 with 1k to 1M jobs waiting, beside 100k delayed ones, of 100k with priorities
  5ms              handlers that take 5 ms, at concurrency 100: how near to 20,000 jobs/s
  held1k           concurrency 100 beside 1,000 jobs that another worker holds
  bulk1M           commands of other clients while a million jobs are retried, cleaned and obliterated
  1MiB             memory of a worker of concurrency 100 with payloads of 1 MiB

CPU is in ms for each 1,000 jobs: of the process that adds or works, and of the server. memory is the peak of that process.";

pub(crate) async fn run(args: BenchArgs, context: &Context) -> Result<()> {
    match args.part {
        Some(part) => contender::run(part, context).await,
        None => measure::run(args.measure, context).await,
    }
}
