//! Add a job, work on it, get its result. In memory, so that nothing is left behind; `sqlite:jobs.db` is a file.
#![allow(clippy::print_stdout, reason = "a tutorial shows what happens")]

use oxmq::{HandlerError, JobArgs, JobOutcome, Queue, Worker};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Welcome {
    user: u64,
}

// The name ties the producer and the worker together.
impl JobArgs for Welcome {
    const NAME: &'static str = "welcome";
}

async fn send_welcome(job: Welcome) -> Result<String, HandlerError> {
    Ok(format!("mail to user {} sent", job.user))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = oxmq::connect("sqlite::memory:").await?;
    let queue = Queue::new(&store, "emails")?;
    let added = queue.add(Welcome { user: 7 }).await?;
    println!("job {} is {}", added.id, added.state);

    let worker = Worker::builder(&store, "emails").handle(send_welcome).start()?;
    let outcome = queue.wait_for(added.id, None).await?;
    println!("{outcome:?}");
    worker.close().await?;

    let JobOutcome::Completed(result) = outcome else { anyhow::bail!("it failed") };
    anyhow::ensure!(result.read::<String>()? == "mail to user 7 sent");
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
