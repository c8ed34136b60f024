//! `oxmq promote`

use anyhow::Result;
use serde_json::json;

use super::jobs_text;
use crate::args::PromoteArgs;
use crate::context::Context;

pub(crate) async fn run(args: PromoteArgs, context: &Context) -> Result<()> {
    let queue = context.existing(&args.queue).await?;
    if let Some(id) = args.id {
        queue.promote(id.as_str()).await?;
        return context.out.answer(&json!({ "id": id, "promoted": 1 }), format_args!("job {id} can run now"));
    }
    let bar = context.out.progress(None, "promoting");
    let count = queue.promote_all(|count| bar.set_position(count)).await?;
    bar.finish_and_clear();
    context.out.answer(&json!({ "promoted": count }), format_args!("{} can run now", jobs_text(count)))
}
