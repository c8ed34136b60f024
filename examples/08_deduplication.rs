//! One job instead of many: once until it has finished, throttled, debounced, and the last one kept.
#![allow(clippy::print_stdout, reason = "a tutorial shows what happens")]

use std::time::Duration;

use oxmq::store::Fate;
use oxmq::{Deduplication, HandlerError, Queue, Worker};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = oxmq::connect("sqlite::memory:").await?;
    let queue = Queue::new(&store, "reindex")?;

    // A second job with the id is not added as long as the first one has not finished.
    let once = Deduplication::by("shop 7");
    let first = queue.add_named("reindex", "shop 7").deduplicate(once.clone()).await?;
    let second = queue.add_named("reindex", "shop 7, again").deduplicate(once.clone()).await?;
    println!("job {} stands for both: {:?}", second.id, second.fate);
    anyhow::ensure!(first.fate == Fate::Created && second.id == first.id && !second.fate.is_new());

    // Throttled: one job in a minute, whatever becomes of it.
    let throttled = Deduplication::by("report").ttl(Duration::from_secs(60));
    queue.add_named("report", "at once").deduplicate(throttled.clone()).await?;
    let late = queue.add_named("report", "too soon").deduplicate(throttled).await?;
    anyhow::ensure!(!late.fate.is_new());

    // Debounced: each add takes the place of the one before, which waits; the last one runs, 200 ms after it was added.
    let quiet = Duration::from_millis(200);
    let debounced = Deduplication::by("save").ttl(quiet).extend().replace();
    for text in ["d", "dr", "dra", "draft"] {
        let added = queue.add_named("save", text).delay(quiet).deduplicate(debounced.clone()).await?;
        println!("{text}: {:?}", added.fate);
    }

    let run = async |text: String| {
        println!("ran: {text}");
        Ok::<String, HandlerError>(text)
    };
    let worker = Worker::builder(&store, "reindex").handle_any(run).start()?;
    let saved = queue.deduplication_owner("save").await?;
    if let Some(saved) = saved {
        println!("{:?}", queue.wait_for(saved, None).await?);
    }
    // It has finished: the id is free.
    queue.wait_for(first.id, None).await?;
    anyhow::ensure!(queue.add_named("reindex", "shop 7").deduplicate(once).await?.fate.is_new());
    worker.close().await?;
    anyhow::ensure!(queue.counts().await?.delayed == 0);
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
