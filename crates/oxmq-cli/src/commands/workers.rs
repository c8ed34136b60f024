//! `oxmq workers`

use anyhow::Result;
use oxmq::{Timestamp, WorkerInfo};

use crate::args::OneQueue;
use crate::context::Context;
use crate::output::note;
use crate::values::{show_duration, show_time};

pub(crate) async fn run(args: OneQueue, context: &Context) -> Result<()> {
    let queue = context.existing(&args.queue).await?;
    let workers = queue.workers().await?;
    if context.out.json {
        return workers.iter().try_for_each(|worker| context.out.object(worker));
    }
    if workers.is_empty() {
        note!(context.out, "no worker listens to {}", args.queue);
        return Ok(());
    }
    let now = queue.clock().now();
    let rows = workers.iter().map(|worker| row(worker, now)).collect();
    context.out.table(&["worker", "host", "process", "active", "of", "up for", "last got a job"], rows)
}

fn row(worker: &WorkerInfo, now: Timestamp) -> Vec<String> {
    vec![
        worker.name.clone().unwrap_or_else(|| worker.id.clone()),
        worker.host.clone(),
        worker.pid.to_string(),
        worker.active.to_string(),
        worker.concurrency.to_string(),
        show_duration(now - Timestamp::from_millis(worker.started_at)),
        worker.last_take_at.map(|ms| show_time(Timestamp::from_millis(ms))).unwrap_or_default(),
    ]
}
