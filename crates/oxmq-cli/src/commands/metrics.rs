//! `oxmq metrics`

use anyhow::Result;
use oxmq::{JobState, Metrics};
use serde_json::{Map, Value, json};

use crate::args::MetricsArgs;
use crate::context::Context;
use crate::output::note;
use crate::values::show_time;

/// How wide a line of bars is at most.
const BARS_MAX: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(crate) async fn run(args: MetricsArgs, context: &Context) -> Result<()> {
    let queue = context.existing(&args.queue).await?;
    if args.prometheus {
        return context.out.line(queue.prometheus(&[]).await?.trim_end());
    }
    let mut all = Vec::new();
    for state in [JobState::Completed, JobState::Failed] {
        all.push(queue.metrics(state, args.minutes).await?);
    }
    if context.out.json {
        let shapes: Map<String, Value> =
            all.iter().map(|metrics| (metrics.state.as_str().to_owned(), shape(metrics))).collect();
        return context.out.object(&shapes);
    }
    let minutes = args.minutes as usize;
    let rows = all
        .iter()
        .map(|metrics| {
            vec![
                metrics.state.to_string(),
                metrics.total.to_string(),
                metrics.sum(minutes).to_string(),
                metrics.sum(1).to_string(),
                bars(metrics, minutes),
            ]
        })
        .collect();
    let span = format!("last {} min", args.minutes);
    context
        .out
        .table(&["state", "in all", &span, "this minute", "minute by minute, the last one right"], rows)?;
    if all.iter().all(|metrics| metrics.total == 0) {
        note!(context.out, "nothing was counted: `oxmq work {} --metrics MINUTES` counts", args.queue);
    }
    Ok(())
}

fn shape(metrics: &Metrics) -> Value {
    json!({
        "total": metrics.total,
        "newest": metrics.newest.as_millis(),
        "newestAt": show_time(metrics.newest),
        "minutes": metrics.minutes,
    })
}

/// A bar for each minute, or for some together if they are many.
fn bars(metrics: &Metrics, minutes: usize) -> String {
    let per_bar = minutes.div_ceil(BARS_MAX).max(1);
    let sums: Vec<u64> = metrics.minutes.chunks(per_bar).map(|some| some.iter().sum()).collect();
    let most = sums.iter().copied().max().unwrap_or(0).max(1);
    let bar = |sum: &u64| match sum {
        0 => ' ',
        // The highest is the most.
        sum => BARS[usize::try_from((sum * 7).div_ceil(most)).unwrap_or(7).min(7)],
    };
    sums.iter().rev().map(bar).collect()
}
