//! `oxmq crash-producer`: adds jobs with ids of its own, and prints each id once the store has said that it has the
//! job. Whatever it printed must never be lost, however it ends. Run by `tests/crash.rs`.

use anyhow::Result;
use oxmq::{JobId, JobOptions, JsonText, NewJob};

use crate::args::CrashProducerArgs;
use crate::context::{Context, Missing};
use crate::values::Filling;

/// Jobs in one group of `--by bulk`.
const GROUP: u64 = 50;

pub(crate) async fn run(args: CrashProducerArgs, context: &Context) -> Result<()> {
    let queue = context.queue(&args.queue, Missing::Create).await?;
    let id = |index: u64| format!("{}-{index}", args.tag);
    let mut index = 0;
    while index < args.n {
        match args.by {
            Filling::Single => {
                let added = queue.add_named("crash", &index).id(id(index)).await?;
                context.out.line(added.id)?;
                index += 1;
            }
            Filling::Bulk => {
                let end = (index + GROUP).min(args.n);
                let jobs = (index..end).map(|index| {
                    let mut options = JobOptions::default();
                    options.job_id = Some(JobId::from(id(index)));
                    NewJob { name: "crash".into(), data: JsonText::stored(index.to_string()), options }
                });
                for added in queue.add_bulk(jobs.collect()).await? {
                    context.out.line(added.id)?;
                }
                index = end;
            }
        }
    }
    Ok(())
}
