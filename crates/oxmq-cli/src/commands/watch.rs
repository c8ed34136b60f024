//! `oxmq watch`: what happens in a queue, as it happens.

use anyhow::Result;
use oxmq::{EventCursor, EventId, Notice, StoredEvent};
use serde_json::json;

use crate::args::WatchArgs;
use crate::context::Context;
use crate::output::note;
use crate::shape::EventShape;
use crate::values::show_time;

pub(crate) async fn run(args: WatchArgs, context: &Context) -> Result<()> {
    let queue = context.existing(&args.queue).await?;
    let from = match args.from.as_str() {
        "start" => EventCursor::Oldest,
        "now" => EventCursor::Now,
        id => EventCursor::After(EventId::stored(id)),
    };
    let mut events = queue.events(from).await?;
    note!(context.out, "watching {} from {}; ^C ends it", args.queue, args.from);
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let notice = tokio::select! {
            notice = events.next() => notice?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        match notice {
            Notice::Event(event) => {
                left -= 1;
                if context.out.json {
                    context.out.object(&EventShape(&event))?;
                } else {
                    context.out.line(text(&event))?;
                }
            }
            Notice::Trimmed if context.out.json => context.out.object(&json!({ "event": "trimmed" }))?,
            Notice::Trimmed => context.out.line("(events before this are gone)")?,
            _ => {}
        }
    }
    Ok(())
}

fn text(event: &StoredEvent) -> String {
    let mut line = format!("{} {:>10} {:<18}", show_time(event.at), event.id.as_str(), event.event.name());
    for (name, value) in event.event.fields() {
        line.extend([" ", name, "=", &value]);
    }
    line.trim_end().to_owned()
}
