//! `oxmq logs`: the log of a job, page by page.

use anyhow::Result;
use oxmq::Order;
use oxmq::store::{GROUP_JOBS_MAX, LogsRequest};

use super::no_such_job;
use crate::args::LogsArgs;
use crate::context::Context;

pub(crate) async fn run(args: LogsArgs, context: &Context) -> Result<()> {
    let queue = context.existing(&args.job.queue).await?;
    let id = args.job.id.as_str();
    if queue.job(id).await?.is_none() {
        return Err(no_such_job("logs", &queue, id).into());
    }
    let (mut offset, mut left) = (args.offset, args.limit.unwrap_or(u64::MAX));
    while left > 0 {
        let limit = usize::try_from(left).unwrap_or(usize::MAX).min(GROUP_JOBS_MAX);
        let order = if args.desc { Order::Descending } else { Order::Ascending };
        let page = queue.logs(LogsRequest { job: id.into(), offset, limit, order }).await?;
        let count = page.lines.len();
        for line in page.lines {
            context.out.answer(&line, &line)?;
        }
        (offset, left) = (offset + count as u64, left - count as u64);
        if count < limit {
            break;
        }
    }
    Ok(())
}
