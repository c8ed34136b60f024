//! `oxmq drain`

use anyhow::Result;
use serde_json::json;

use super::jobs_text;
use crate::args::DrainArgs;
use crate::context::Context;

pub(crate) async fn run(args: DrainArgs, context: &Context) -> Result<()> {
    let queue = context.existing(&args.queue).await?;
    let bar = context.out.progress(None, "draining");
    let count = queue.drain(args.delayed, |count| bar.set_position(count)).await?;
    bar.finish_and_clear();
    context.out.answer(&json!({ "removed": count }), format_args!("{} removed", jobs_text(count)))
}
