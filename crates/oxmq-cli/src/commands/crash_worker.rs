//! `oxmq crash-worker`: a worker that is made to be killed. It prints `ID START` as each job begins, so that whoever
//! killed it knows what it had in hand. Run by `tests/crash.rs`.

use std::time::Duration;

use anyhow::Result;
use oxmq::{Clock, HandlerError, JobContext, Worker};
use serde::de::IgnoredAny;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::CrashWorkerArgs;
use crate::context::{Context, Missing};

/// How long a job takes, so that a kill finds some that run.
const WORK: Duration = Duration::from_millis(5);

pub(crate) async fn run(args: CrashWorkerArgs, context: &Context) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let queue = context.queue(&args.queue, Missing::Create).await?;
    let out = context.out;
    let worker = Worker::builder(queue.store(), queue.name())
        .prefix(context.prefix.as_str())
        .name(args.name)
        .concurrency(args.concurrency)
        .lease(args.lease)
        .stall_check(args.lease / 4)
        .max_stalled(u32::MAX)
        .handle_any(move |_: IgnoredAny, context: JobContext| async move {
            out.line(format_args!("{} {}", context.job().id, context.start_number()))?;
            Clock::system().sleep(WORK).await;
            Ok::<_, HandlerError>(())
        })
        .start()?;
    terminate.recv().await;
    Ok(worker.close().await?)
}
