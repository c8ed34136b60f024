//! `oxmq job`: everything about one job.

use anyhow::Result;
use oxmq::store::ChildCounts;
use oxmq::{JobView, JsonText, Timestamp};

use super::flow::children_text;
use super::no_such_job;
use crate::args::OneJob;
use crate::context::Context;
use crate::shape::JobShape;
use crate::values::show_time;

pub(crate) async fn run(args: OneJob, context: &Context) -> Result<()> {
    let queue = context.existing(&args.queue).await?;
    let view = queue.job(args.id.as_str()).await?.ok_or_else(|| no_such_job("job", &queue, &args.id))?;
    let children = queue.child_counts(args.id.as_str()).await?;
    if context.out.json {
        return context.out.object(&JobShape::from(&view).with_children(children));
    }
    context.out.line(text(&view, children))
}

fn text(view: &JobView, children: ChildCounts) -> String {
    let job = &view.job;
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| lines.push(format!("{name:<11} {value}"));
    line("id", job.id.to_string());
    line("name", job.name.clone());
    line("state", view.state.to_string());
    line("data", job.data.to_string());
    line("options", job.opts.to_string());
    line("added", show_time(job.timestamp));
    if job.priority > 0 {
        line("priority", job.priority.to_string());
    }
    line(
        "starts",
        format!(
            "{} (tries ended: {}, workers lost: {})",
            job.attempts_started, job.attempts_made, job.stalled_count
        ),
    );
    let mut time = |name: &str, time: Option<Timestamp>| {
        if let Some(time) = time {
            line(name, show_time(time));
        }
    };
    time("due", view.due);
    time("started", job.processed_on);
    time("finished", job.finished_on);
    let mut optional = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            line(name, value);
        }
    };
    optional(
        "parent",
        job.parent.as_ref().map(|parent| match parent.on_failure {
            Some(choice) => format!("{} ({})", parent.key, choice.as_str()),
            None => parent.key.to_string(),
        }),
    );
    optional("children", children_text(children));
    optional("worker", job.processed_by.clone());
    optional("progress", job.progress.as_ref().map(JsonText::to_string));
    optional("result", job.return_value.as_ref().map(JsonText::to_string));
    optional("will fail", job.deferred_failure.clone());
    optional("failed", job.failed_reason.clone());
    let stacks: Vec<String> =
        job.stacktrace.as_ref().and_then(|stacks| stacks.read().ok()).unwrap_or_default();
    for stack in stacks {
        optional("stack", Some(stack));
    }
    lines.join("\n")
}
