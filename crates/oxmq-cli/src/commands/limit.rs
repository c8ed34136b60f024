//! `oxmq limit`

use std::time::Duration;

use anyhow::Result;
use oxmq::store::QueueLimits;
use oxmq::{Queue, Timestamp, millis};
use serde_json::json;

use crate::args::LimitArgs;
use crate::context::{Context, Missing};
use crate::values::{LimitKind, show_duration, show_time};

pub(crate) async fn run(args: LimitArgs, context: &Context) -> Result<()> {
    let sets =
        args.concurrency.is_some() || args.rate.is_some() || args.pause.is_some() || args.until.is_some();
    // A limit may be set before the first job comes.
    let missing = if sets { Missing::Create } else { Missing::Refuse };
    let queue = context.queue(&args.queue, missing).await?;
    for kind in &args.off {
        match kind {
            LimitKind::Concurrency => queue.remove_global_concurrency().await?,
            LimitKind::Rate => queue.remove_global_rate_limit().await?,
            LimitKind::Until => queue.remove_rate_limit().await?,
        }
    }
    if let Some(most) = args.concurrency {
        queue.set_global_concurrency(most).await?;
    }
    if let Some((max, window)) = args.rate {
        queue.set_global_rate_limit(max, window).await?;
    }
    let until = args.until.map(|until| until - queue.clock().now());
    if let Some(pause) = args.pause.or(until) {
        queue.rate_limit(pause).await?;
    }
    show(&queue, queue.limits().await?, context)
}

fn show(queue: &Queue, limits: QueueLimits, context: &Context) -> Result<()> {
    if context.out.json {
        return context.out.object(&json!({
            "concurrency": limits.concurrency,
            "rate": limits.rate.map(|rate| json!({ "max": rate.max, "duration": millis(rate.window) })),
            "limitedUntil": limits.until.map(Timestamp::as_millis),
            "full": limits.is_full,
        }));
    }
    let none = || "any number".to_owned();
    let full = if limits.is_full { ", and as many run now" } else { "" };
    let until = limits.until.map_or_else(
        || "now".to_owned(),
        |until| {
            let left: Duration = until - queue.clock().now();
            format!("not before {}, in {}", show_time(until), show_duration(left))
        },
    );
    let rows = vec![
        vec!["jobs at a time".into(), limits.concurrency.map_or_else(none, |most| format!("{most}{full}"))],
        vec![
            "jobs in a time".into(),
            limits.rate.map_or_else(none, |rate| format!("{} in {}", rate.max, show_duration(rate.window))),
        ],
        vec!["gives jobs".into(), until],
    ];
    context.out.table(&["limit", queue.name()], rows)
}
