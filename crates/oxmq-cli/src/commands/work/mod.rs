//! `oxmq work`: a program for each job of a queue.

mod channel;
mod memory;
mod program;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use oxmq::{Job, JobContext, Queue, Worker, WorkerEvent, WorkerHandle};
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::channel::Channels;
use self::program::Program;
use crate::args::WorkArgs;
use crate::context::{Context, Missing};
use crate::output::{Output, note};

/// The contract with the program, as `oxmq work --help` shows it.
pub(crate) const HELP: &str = "\
The program, once per job:
  It is run by `sh -c` in a process group of its own. It gets the job as JSON on stdin, and in the environment
  OXMQ_QUEUE, OXMQ_JOB_ID, OXMQ_JOB_NAME, OXMQ_JOB_DATA (JSON; left out above 100 KB, it is on stdin as well),
  OXMQ_ATTEMPT (1 for the first try), OXMQ_ATTEMPTS (tries in all) and OXMQ_START (grows with every start, so
  that it can be used to fence off an earlier one).
  stdout is what the job returns: JSON if it is that, else text; at most 1 MiB.
  stderr is the log of the job, line by line, as it comes.
  OXMQ_CHANNEL is a pipe that takes lines while it runs, from any language: open, write, close, or keep it open.
    progress VALUE   the progress of the job: JSON if it is that, else text
    data JSON        new data: what the next try gets
    log TEXT         a line for the log
  For a shell: echo \"progress 50\" > \"$OXMQ_CHANNEL\". A line that is not understood is told in the log.
  Lines of up to 4096 bytes do not mix when several processes write; the most is 1 MiB.

How it ends:
  exit 0         the job completes
  exit 75        it failed and is tried again, if the job's attempts allow, after its backoff
  any other      it failed for good (with --retry-any: as 75)
  by a signal    as 75; but the second time it is the end: the job is quarantined (see oxmq jobs --quarantined).
                 SIGTERM, SIGINT and SIGHUP do not count. (A shell that waits for a program ends with 128 + the
                 signal instead: begin with `exec`.)
  over its time, or cancelled: SIGTERM to the whole group, then SIGKILL after --grace.

Stopping the worker:
  SIGTERM or SIGINT once: take no more, let running jobs finish, hand back those that are not done after
  --shutdown-timeout. Twice: hand them back at once. A worker that is killed loses nothing either: its jobs run
  again elsewhere when their leases run out. (A program whose worker is killed goes on alone.)";

/// How often `--until-drained` looks.
const DRAINED_CHECK: Duration = Duration::from_millis(200);
/// How often to look for jobs of dead workers, at the least; with a short lease more often.
const STALL_CHECK_MAX: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: WorkArgs, context: &Context) -> Result<()> {
    // From the first moment on: a signal that comes while the store is opened must not be lost.
    let signals = Signals::new()?;
    let missing = if args.create { Missing::Create } else { Missing::Refuse };
    let queue = context.queue(&args.queue, missing).await?;
    let name = args.name.unwrap_or_else(|| format!("process-{}", std::process::id()));
    let channels = Channels::new();
    if let Err(error) = &channels {
        note!(context.out, "programs get no OXMQ_CHANNEL: {error}");
    }
    let program = Arc::new(Program {
        channels: channels.ok(),
        command: args.exec,
        queue: args.queue.clone(),
        timeout: args.timeout,
        grace: args.grace,
        retry_any: args.retry_any,
    });
    let (out, same) = (context.out, program.clone());
    let mut builder = Worker::builder(queue.store(), queue.name());
    if let Some(minutes) = args.metrics {
        builder = builder.metrics(minutes);
    }
    let worker = builder
        .prefix(context.prefix.as_str())
        .name(name.as_str())
        .concurrency(args.concurrency)
        .lease(args.lease)
        .stall_check((args.lease / 2).clamp(Duration::from_millis(1), STALL_CHECK_MAX))
        .max_stalled(args.max_stalled)
        .shutdown_timeout(args.shutdown_timeout)
        .stuck_after(args.stuck_after)
        .end_when_stuck(args.end_when_stuck)
        // The program's own grace comes first.
        .cancel_grace(args.grace + Duration::from_secs(1))
        .on(move |event| tell(out, event))
        .handle_any(move |_: IgnoredAny, context: JobContext| {
            let program = program.clone();
            async move { program.run(context).await }
        })
        .start()?;
    note!(out, "worker {name} listens to {}, {} at once; ^C stops it", args.queue, args.concurrency);
    tokio::spawn(signals.heed(worker.handle(), out));
    if args.until_drained {
        tokio::spawn(close_when_drained(queue, worker.handle(), out));
    }
    let ran = worker.run().await;
    // A run that was cut off may hold the program until this process has ended.
    if let Some(channels) = &same.channels {
        channels.remove();
    }
    ran?;
    note!(out, "worker {name} has stopped");
    Ok(())
}

/// SIGTERM and SIGINT: once to finish what runs, twice to stop at once.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn heed(mut self, worker: WorkerHandle, out: Output) {
        self.next().await;
        note!(out, "stopping: no more jobs are taken, running ones may finish; once more to stop at once");
        worker.close();
        self.next().await;
        note!(out, "stopping at once: running jobs are handed back");
        worker.close_now();
    }
}

async fn close_when_drained(queue: Queue, worker: WorkerHandle, out: Output) {
    loop {
        match queue.counts().await {
            Ok(counts) if counts.unfinished() == counts.waiting_children => return worker.close(),
            Ok(_) => {}
            Err(error) => note!(out, "cannot tell whether the queue is drained: {error}"),
        }
        queue.clock().sleep(DRAINED_CHECK).await;
    }
}

/// Says what became of each job: a line of JSON on stdout, or a note for people.
fn tell(out: Output, event: &WorkerEvent) {
    let tell = |job: &Job, word: &str, why: &str| {
        if out.json {
            let line = json!({ "id": job.id.as_str(), "name": job.name, "ended": word, "reason": why });
            // The job has ended whether or not anybody reads this.
            let _ = out.object(&line);
        } else {
            let colon = if why.is_empty() { "" } else { ": " };
            note!(out, "job {} ({}) {word}{colon}{why}", job.id, job.name);
        }
    };
    match event {
        WorkerEvent::Completed { job, .. } => tell(job, "completed", ""),
        WorkerEvent::Failed { job, error, will_retry: true } => tell(job, "will be tried again", error),
        WorkerEvent::Failed { job, error, will_retry: false } => tell(job, "failed", error),
        WorkerEvent::Returned { job } => tell(job, "was handed back", ""),
        WorkerEvent::LeaseLost { job } => tell(job, "was lost to another worker", ""),
        WorkerEvent::Stalled { id } => note!(out, "job {id} was brought back: its worker had died"),
        WorkerEvent::Stuck { due, nothing_for } => {
            note!(
                out,
                "stuck: {due} jobs are due, but nothing was taken for {nothing_for:.0?}; making new connections"
            );
        }
        WorkerEvent::Error { error } => note!(out, "the store: {error}"),
        _ => {}
    }
}
