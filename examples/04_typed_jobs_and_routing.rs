//! One queue, several kinds of jobs: each handler gets its own type. Data that does not fit fails at once, and says why.
#![allow(clippy::print_stdout, reason = "a tutorial shows what happens")]

use oxmq::{HandlerError, JobArgs, JobOutcome, Queue, Worker};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Serialize, Deserialize)]
struct Resize {
    picture: String,
    width: u32,
}

impl JobArgs for Resize {
    const NAME: &'static str = "resize";
}

#[derive(Serialize, Deserialize)]
struct Mail {
    to: String,
}

impl JobArgs for Mail {
    const NAME: &'static str = "mail";
}

async fn resize(job: Resize) -> Result<String, HandlerError> {
    Ok(format!("{} is {} wide", job.picture, job.width))
}

async fn mail(job: Mail) -> Result<String, HandlerError> {
    Ok(format!("to {}", job.to))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = oxmq::connect("sqlite::memory:").await?;
    let queue = Queue::new(&store, "mixed")?;
    let picture = queue.add(Resize { picture: "cat.jpg".into(), width: 200 }).await?;
    let letter = queue.add(Mail { to: "ada@example.com".into() }).await?;
    // What another program may send.
    let wrong =
        queue.add_named("resize", &json!({ "picture": "dog.jpg", "width": "wide" })).attempts(5).await?;

    let worker = Worker::builder(&store, "mixed").handle(resize).handle(mail).start()?;
    for id in [&picture.id, &letter.id] {
        println!("{:?}", queue.wait_for(id, None).await?);
    }
    let JobOutcome::Failed(reason) = queue.wait_for(wrong.id, None).await? else {
        anyhow::bail!("it fitted")
    };
    println!("{reason}");
    anyhow::ensure!(reason.contains("width"), "{reason}");
    worker.close().await?;
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
