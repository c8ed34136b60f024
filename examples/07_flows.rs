//! Trees of jobs: a report is bound when its chapters, jobs of another queue, are written. One of them may fail.
#![allow(clippy::print_stdout, reason = "a tutorial shows what happens")]

use std::time::Duration;

use oxmq::{
    ChildFailure, FlowJob, FlowProducer, HandlerError, JobArgs, JobContext, JobOutcome, Queue, Worker,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Chapter {
    title: String,
}

impl JobArgs for Chapter {
    const NAME: &'static str = "write";
}

#[derive(Serialize, Deserialize)]
struct Report {
    year: u32,
}

impl JobArgs for Report {
    const NAME: &'static str = "bind";
}

/// A child. What it returns goes to its parent.
async fn write(chapter: Chapter) -> Result<String, HandlerError> {
    if chapter.title == "Gossip" {
        return Err(HandlerError::give_up("nobody would talk"));
    }
    Ok(format!("{}: all is well.", chapter.title))
}

/// The parent. It runs when its children have ended, wherever they ran.
async fn bind(report: Report, job: JobContext) -> Result<Vec<String>, HandlerError> {
    let mut chapters: Vec<String> = job.children_values::<String>().await?.into_values().collect();
    chapters.sort();
    for (child, reason) in job.ignored_failures().await? {
        println!("without {child}: {reason}");
    }
    println!("the report of {} has {} chapters", report.year, chapters.len());
    Ok(chapters)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = oxmq::connect("sqlite::memory:").await?;
    let chapter = |title: &str| FlowJob::new("chapters", Chapter { title: title.into() });
    let report = FlowJob::new("reports", Report { year: 2026 })
        .child(chapter("Sales").attempts(3))
        .child(chapter("Costs").attempts(3))
        // Without this the report would wait until somebody retries or removes the chapter.
        .child(chapter("Gossip").on_failure(ChildFailure::Ignore));

    // All of it is stored, or nothing.
    let flows = FlowProducer::new(&store);
    let added = flows.add(report).await?;
    println!("{} is {} for {} chapters", added.key(), added.job.state, added.children.len());

    let writer = Worker::builder(&store, "chapters").concurrency(2).handle(write).start()?;
    let binder = Worker::builder(&store, "reports").handle(bind).start()?;
    let reports = Queue::new(&store, "reports")?;
    let JobOutcome::Completed(result) =
        reports.wait_for(&added.job.id, Some(Duration::from_secs(10))).await?
    else {
        anyhow::bail!("the report failed");
    };
    anyhow::ensure!(result.read::<Vec<String>>()? == ["Costs: all is well.", "Sales: all is well."]);

    if let Some(tree) = flows.get_flow(added.key()).await? {
        for child in &tree.children {
            println!("{}: {:?}", child.key, child.outcome);
        }
    }
    writer.close().await?;
    binder.close().await?;
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
