//! `oxmq obliterate`

use anyhow::{Result, ensure};
use serde_json::json;

use super::jobs_text;
use crate::args::ObliterateArgs;
use crate::context::Context;

pub(crate) async fn run(args: ObliterateArgs, context: &Context) -> Result<()> {
    ensure!(args.yes, "say --yes");
    let queue = context.existing(&args.queue).await?;
    let bar = context.out.progress(None, "removing");
    let count = queue.obliterate(args.force, |count| bar.set_position(count)).await?;
    bar.finish_and_clear();
    context.out.answer(
        &json!({ "queue": args.queue, "removed": count }),
        format_args!("{} is gone, with {}", args.queue, jobs_text(count)),
    )
}
