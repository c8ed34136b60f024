//! `oxmq resume`

use anyhow::Result;
use serde_json::json;

use crate::args::OneQueue;
use crate::context::Context;

pub(crate) async fn run(args: OneQueue, context: &Context) -> Result<()> {
    context.existing(&args.queue).await?.resume().await?;
    context
        .out
        .answer(&json!({ "queue": args.queue, "paused": false }), format_args!("{} is resumed", args.queue))
}
