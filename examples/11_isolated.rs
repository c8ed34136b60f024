//! Handlers in processes of their own: one that crashes costs the try of one job, and a job that does it twice is set aside.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tutorial shows what happens")]

use std::time::Duration;

use oxmq::{HandlerError, Handlers, Isolation, JobContext, JobOutcome, QUARANTINED, Queue, Worker};

/// Some library that is not as good as it should be.
async fn decode(file: String, context: JobContext) -> Result<u32, HandlerError> {
    context.log(format!("decoding {file}")).await?;
    if file.contains("bad") {
        eprintln!("decoder: stack is gone");
        std::process::abort();
    }
    context.progress(&100).await?;
    Ok(std::process::id())
}

/// The worker and its children must agree about them.
fn handlers() -> Handlers {
    Handlers::new().handle_named("decode", decode)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // First of all: the worker starts this same program for its handlers. There, this call does the work and does not
    // return; what stands below is never run twice.
    oxmq::serve_if_child(handlers()).await;

    let store = oxmq::connect("sqlite::memory:").await?;
    let queue = Queue::new(&store, "pictures")?;
    let mut ids = Vec::new();
    for file in ["one.jpg", "bad.jpg", "three.jpg"] {
        ids.push(queue.add_named("decode", &file).attempts(5).await?.id);
    }

    let isolation = Isolation::this_program()
        // For a library that leaks: a new process after so many jobs, or when one has grown too big.
        .recycle_after_jobs(1_000)
        .recycle_above(512 << 20);
    let worker = Worker::builder(&store, "pictures").isolate(isolation).handlers(handlers()).start()?;
    let mut fates = Vec::new();
    for id in &ids {
        fates.push(queue.wait_for(id, Some(Duration::from_secs(30))).await?);
    }
    worker.close().await?;

    for fate in &fates {
        println!("{fate:?}");
    }
    let here = std::process::id();
    for good in [&fates[0], &fates[2]] {
        let JobOutcome::Completed(pid) = good else { anyhow::bail!("it should have completed: {good:?}") };
        anyhow::ensure!(pid.read::<u32>()? != here);
    }
    // It was tried twice, not five times. `oxmq jobs pictures --quarantined` lists such jobs.
    let JobOutcome::Failed(reason) = &fates[1] else { anyhow::bail!("it should have failed") };
    anyhow::ensure!(reason.starts_with(QUARANTINED) && reason.contains("SIGABRT"), "{reason}");
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
