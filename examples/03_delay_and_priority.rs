//! The order of jobs: priority 0 first, then 1, then 2; delayed ones when their time has come.
#![allow(clippy::print_stdout, reason = "a tutorial shows what happens")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use oxmq::{HandlerError, Queue, Worker};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = oxmq::connect("sqlite::memory:").await?;
    let queue = Queue::new(&store, "line")?;
    let now = SystemTime::from(queue.clock().now());
    queue.add_named("say", "later, after 100 ms").delay(Duration::from_millis(100)).await?;
    let last =
        queue.add_named("say", "last, at a point in time").at(now + Duration::from_millis(300)).await?;
    queue.add_named("say", "third").priority(2).await?;
    queue.add_named("say", "second").priority(1).await?;
    queue.add_named("say", "first").await?;

    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = said.clone();
    let say = move |text: String| {
        let heard = heard.clone();
        async move {
            println!("{text}");
            heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(text);
            Ok::<(), HandlerError>(())
        }
    };
    let worker = Worker::builder(&store, "line").handle_named("say", say).start()?;
    queue.wait_for(last.id, None).await?;
    worker.close().await?;

    let said = said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    anyhow::ensure!(
        *said == ["first", "second", "third", "later, after 100 ms", "last, at a point in time"],
        "{said:?}"
    );
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
