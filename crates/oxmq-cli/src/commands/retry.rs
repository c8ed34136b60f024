//! `oxmq retry`

use anyhow::Result;
use serde_json::json;

use super::jobs_text;
use crate::args::RetryArgs;
use crate::context::Context;

pub(crate) async fn run(args: RetryArgs, context: &Context) -> Result<()> {
    let queue = context.existing(&args.queue).await?;
    if let Some(id) = args.id {
        queue.retry(id.as_str(), args.state).await?;
        return context.out.answer(&json!({ "id": id, "retried": 1 }), format_args!("job {id} runs again"));
    }
    let bar = context.out.progress(None, "retrying");
    let count = queue.retry_all(args.state, |count| bar.set_position(count)).await?;
    bar.finish_and_clear();
    context.out.answer(&json!({ "retried": count }), format_args!("{} to run again", jobs_text(count)))
}
