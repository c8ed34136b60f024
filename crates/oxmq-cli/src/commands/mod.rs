//! One file per verb.

mod add;
mod backend;
mod bench;
mod cancel;
mod clean;
mod completions;
mod counts;
mod crash_producer;
mod crash_worker;
mod dedup;
mod demo;
mod drain;
mod flow;
mod job;
mod jobs;
mod limit;
mod logs;
mod metrics;
mod obliterate;
mod pause;
mod promote;
mod queues;
mod remove;
mod resume;
mod retry;
mod schedules;
mod watch;
mod work;
mod workers;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use oxmq::{Error, ErrorKind, Queue};

pub(crate) use self::backend::HELP as BACKEND_HELP;
pub(crate) use self::bench::HELP as BENCH_HELP;
pub(crate) use self::flow::HELP as FLOW_HELP;
pub(crate) use self::work::HELP as WORK_HELP;
use crate::args::Verb;
use crate::context::Context;

/// Runs a verb. Success may still be another exit code: the demo's verdict.
pub(crate) async fn run(verb: Verb, context: &Context) -> Result<ExitCode> {
    match verb {
        Verb::Add(args) => add::run(*args, context).await,
        Verb::Flow(verb) => flow::run(verb, context).await,
        Verb::Work(args) => work::run(args, context).await,
        Verb::Jobs(args) => jobs::run(args, context).await,
        Verb::Job(args) => job::run(args, context).await,
        Verb::Logs(args) => logs::run(args, context).await,
        Verb::Schedules(verb) => schedules::run(verb, context).await,
        Verb::Retry(args) => retry::run(args, context).await,
        Verb::Promote(args) => promote::run(args, context).await,
        Verb::Remove(args) => remove::run(args, context).await,
        Verb::Cancel(args) => cancel::run(args, context).await,
        Verb::Limit(args) => limit::run(args, context).await,
        Verb::Metrics(args) => metrics::run(args, context).await,
        Verb::Dedup(args) => dedup::run(args, context).await,
        Verb::Pause(args) => pause::run(args, context).await,
        Verb::Resume(args) => resume::run(args, context).await,
        Verb::Drain(args) => drain::run(args, context).await,
        Verb::Clean(args) => clean::run(args, context).await,
        Verb::Obliterate(args) => obliterate::run(args, context).await,
        Verb::Counts(args) => counts::run(args, context).await,
        Verb::Queues => queues::run(context).await,
        Verb::Watch(args) => watch::run(args, context).await,
        Verb::Workers(args) => workers::run(args, context).await,
        Verb::Backend(args) => backend::run(args, context).await,
        Verb::Bench(args) => bench::run(*args, context).await,
        Verb::Demo(args) => return demo::run(args, context).await,
        Verb::DemoWorker(args) => demo::work(args, context).await,
        Verb::CrashProducer(args) => crash_producer::run(args, context).await,
        Verb::CrashWorker(args) => crash_worker::run(args, context).await,
        Verb::Completions { shell } => completions::run(shell, context),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// The error for a job that is not there.
fn no_such_job(operation: &'static str, queue: &Queue, id: &str) -> Error {
    Error::new(ErrorKind::NotFound, operation, "there is no such job")
        .with("queue", queue.address())
        .with("job", id)
}

/// `1 job`, `2 jobs`.
fn jobs_text(count: u64) -> String {
    format!("{count} {}", if count == 1 { "job" } else { "jobs" })
}

/// The path of this program, to run it again.
fn this_program() -> Result<PathBuf> {
    env::current_exe().context("where is this program?")
}
