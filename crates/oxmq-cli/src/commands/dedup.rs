//! `oxmq dedup`

use anyhow::Result;
use oxmq::{JobId, JobState};
use serde_json::json;

use crate::args::DedupArgs;
use crate::context::Context;

pub(crate) async fn run(args: DedupArgs, context: &Context) -> Result<()> {
    let queue = context.existing(&args.queue).await?;
    let id = &args.id;
    if args.release {
        let released = queue.release_deduplication(id).await?;
        let text = if released { "is free now" } else { "was free already" };
        return context.out.answer(
            &json!({ "id": id, "released": released }),
            format_args!("deduplication id {id} {text}"),
        );
    }
    let owner = queue.deduplication_owner(id).await?;
    let state = match &owner {
        Some(owner) => queue.job(owner.clone()).await?.map(|view| view.state),
        None => None,
    };
    let (job, shown) = (owner.as_ref().map(JobId::as_str), state.map(JobState::as_str));
    if context.out.json {
        return context.out.object(&json!({ "id": id, "job": job, "state": shown }));
    }
    match (job, shown) {
        (None, _) => context.out.line(format_args!("deduplication id {id} is free")),
        (Some(job), Some(state)) => {
            context.out.line(format_args!("job {job} stands for deduplication id {id}, and is {state}"))
        }
        (Some(job), None) => context.out.line(format_args!(
            "job {job} stands for deduplication id {id}; it has finished, and was removed"
        )),
    }
}
