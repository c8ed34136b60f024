//! `oxmq clean`

use anyhow::Result;
use serde_json::json;

use super::jobs_text;
use crate::args::CleanArgs;
use crate::context::Context;

pub(crate) async fn run(args: CleanArgs, context: &Context) -> Result<()> {
    let queue = context.existing(&args.queue).await?;
    let bar = context.out.progress(None, "cleaning");
    let ids = queue.clean(args.state, args.older_than, args.limit, |count| bar.set_position(count)).await?;
    bar.finish_and_clear();
    let names: Vec<&str> = ids.iter().map(oxmq::JobId::as_str).collect();
    context.out.answer(
        &json!({ "removed": ids.len(), "ids": names }),
        format_args!("{} removed", jobs_text(ids.len() as u64)),
    )
}
