//! `oxmq queues`

use anyhow::Result;
use oxmq::Queue;
use serde_json::json;

use crate::context::{Context, Missing};
use crate::output::note;

pub(crate) async fn run(context: &Context) -> Result<()> {
    let store = context.store(Missing::Refuse).await?;
    let mut rows = Vec::new();
    for info in store.queues(Some(context.prefix.clone())).await? {
        let name = info.queue.name();
        let queue = Queue::builder(&store, name).prefix(info.queue.prefix()).build()?;
        let (counts, workers) = (queue.counts().await?, queue.workers().await?.len());
        if context.out.json {
            context.out.object(&json!({
                "queue": name, "paused": info.paused, "workers": workers, "unfinished": counts.unfinished(),
                "active": counts.active, "completed": counts.completed, "failed": counts.failed,
            }))?;
            continue;
        }
        let held = if info.paused { "paused" } else { "" };
        let to_do = counts.unfinished() - counts.active;
        let mut row = vec![name.to_owned(), held.to_owned()];
        row.extend([to_do, counts.active, counts.completed, counts.failed].map(|count| count.to_string()));
        row.push(if workers == 0 { "none listens".into() } else { workers.to_string() });
        rows.push(row);
    }
    if context.out.json {
        return Ok(());
    }
    if rows.is_empty() {
        note!(context.out, "no queues under the prefix {}", context.prefix);
        return Ok(());
    }
    context.out.table(&["queue", "", "to do", "active", "completed", "failed", "workers"], rows)
}
