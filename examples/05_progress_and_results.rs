//! Follow a job from outside: its progress, its log, its result, and everything else that happens in the queue.
#![allow(clippy::print_stdout, reason = "a tutorial shows what happens")]

use oxmq::store::LogsRequest;
use oxmq::{EventCursor, EventKind, HandlerError, JobContext, Notice, Order, Queue, Worker};
use serde_json::{Value, json};

async fn count_words(data: Value, context: JobContext) -> Result<usize, HandlerError> {
    let text = data["text"].as_str().unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().collect();
    for (index, word) in words.iter().enumerate() {
        context.log(format!("read {word}")).await?;
        context.progress(&json!({ "done": index + 1, "of": words.len() })).await?;
    }
    Ok(words.len())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = oxmq::connect("sqlite::memory:").await?;
    let queue = Queue::new(&store, "words")?;
    // From here on nothing is missed. A cursor can be kept, and followed later.
    let mut events = queue.events(EventCursor::Now).await?;
    let added = queue.add_named("count", &json!({ "text": "to be or not to be" })).await?;

    let worker = Worker::builder(&store, "words").handle_any(count_words).start()?;
    let result = loop {
        let Notice::Event(event) = events.next().await? else { continue };
        println!("{} {:?}", event.event.name(), event.event.fields());
        if let EventKind::Completed { return_value, .. } = event.event.kind {
            break return_value;
        }
    };
    worker.close().await?;
    anyhow::ensure!(result.read::<usize>()? == 6);

    let request = LogsRequest { job: added.id, offset: 0, limit: 100, order: Order::Ascending };
    let log = queue.logs(request).await?;
    println!("log: {:?}", log.lines);
    anyhow::ensure!(log.total == 6);
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
