//! `oxmq counts`

use anyhow::Result;

use crate::args::OneQueue;
use crate::context::Context;
use crate::output::note;
use crate::shape::{CountsShape, STATES};

pub(crate) async fn run(args: OneQueue, context: &Context) -> Result<()> {
    let queue = context.existing(&args.queue).await?;
    let counts = queue.counts().await?;
    if context.out.json {
        context.out.object(&CountsShape(counts))?;
    } else {
        let rows =
            STATES.iter().map(|state| vec![state.to_string(), counts.of(*state).to_string()]).collect();
        context.out.table(&["state", "jobs"], rows)?;
        if counts.paused {
            context.out.line("the queue is paused: `oxmq resume` lets it run")?;
        }
    }
    if counts.unfinished() > 0 && queue.workers().await?.is_empty() {
        note!(context.out, "no worker listens to {}", args.queue);
    }
    Ok(())
}
