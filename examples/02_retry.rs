//! A job that fails twice and then works: attempts and backoff. And one that says that trying again is no use.
#![allow(clippy::print_stdout, reason = "a tutorial shows what happens")]

use std::time::Duration;

use oxmq::{Backoff, HandlerError, JobContext, JobOutcome, Queue, Worker};
use serde_json::{Value, json};

async fn flaky(data: Value, context: JobContext) -> Result<&'static str, HandlerError> {
    if data["hopeless"] == json!(true) {
        return Err(HandlerError::give_up("the address does not exist"));
    }
    // Any error can be returned with `?`; here is one made of a text.
    if context.failed_tries() < 2 {
        return Err("the server is busy".into());
    }
    Ok("third time lucky")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = oxmq::connect("sqlite::memory:").await?;
    let queue = Queue::new(&store, "flaky")?;
    // Waits 20 ms before the second try, 40 ms before the third.
    let backoff = Backoff::exponential(Duration::from_millis(20));
    let patient = queue.add_named("call", &json!({})).attempts(5).backoff(backoff).await?;
    let hopeless = queue.add_named("call", &json!({ "hopeless": true })).attempts(5).await?;

    let worker = Worker::builder(&store, "flaky").handle_any(flaky).start()?;
    let outcome = queue.wait_for(&patient.id, None).await?;
    println!("{outcome:?}");
    let failure = queue.wait_for(&hopeless.id, None).await?;
    println!("{failure:?}");
    worker.close().await?;

    anyhow::ensure!(matches!(outcome, JobOutcome::Completed(_)));
    anyhow::ensure!(failure == JobOutcome::Failed("the address does not exist".into()));
    let Some(view) = queue.job(&patient.id).await? else { anyhow::bail!("it was not kept") };
    let job = view.job;
    anyhow::ensure!(job.attempts_made == 3, "{} tries", job.attempts_made);
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
