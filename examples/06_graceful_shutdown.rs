//! Ending a worker: it stops taking, waits for what runs, and hands back what does not end in time, unharmed.
#![allow(clippy::print_stdout, reason = "a tutorial shows what happens")]

use std::time::Duration;

use oxmq::{HandlerError, JobContext, JobState, Queue, Worker};
use serde_json::{Value, json};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = oxmq::connect("sqlite::memory:").await?;
    let queue = Queue::new(&store, "long")?;
    let quick = queue.add_named("quick", &json!({})).await?;
    let endless = queue.add_named("endless", &json!({})).await?;

    let (started, mut starts) = mpsc::channel(2);
    let handler = move |_: Value, context: JobContext| {
        let started = started.clone();
        async move {
            let _ = started.send(()).await;
            if context.job().name == "endless" {
                // Well-behaved: it stops when it is told to.
                context.cancelled().await;
                return Err(HandlerError::from("interrupted"));
            }
            Ok(json!("done"))
        }
    };
    let worker = Worker::builder(&store, "long")
        .concurrency(2)
        .shutdown_timeout(Duration::from_millis(200))
        .handle_any(handler)
        .start()?;
    starts.recv().await;
    starts.recv().await;

    // In a program: `oxmq`'s own command line calls this at SIGTERM, and `close_now` at the second one.
    worker.close().await?;

    let state =
        |id| async { anyhow::Ok(queue.job(id).await?.map(|view| (view.state, view.job.attempts_made))) };
    let (quick, endless) = (state(quick.id).await?, state(endless.id).await?);
    println!("quick: {quick:?}, endless: {endless:?}");
    anyhow::ensure!(quick == Some((JobState::Completed, 1)));
    anyhow::ensure!(endless == Some((JobState::Waiting, 0)), "handed back, no attempt spent");
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
