//! Schedules: jobs that are made again and again, by a cron expression or every so often.
#![allow(clippy::print_stdout, reason = "a tutorial shows what happens")]

use std::time::Duration;

use oxmq::schedule::{Missed, Overlap};
use oxmq::{HandlerError, JobArgs, JobContext, Queue, Retention, Schedule, Worker};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Serialize, Deserialize)]
struct Report {
    team: String,
}

impl JobArgs for Report {
    const NAME: &'static str = "report";
}

#[derive(Serialize, Deserialize)]
struct Heartbeat {}

impl JobArgs for Heartbeat {
    const NAME: &'static str = "heartbeat";
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = oxmq::connect("sqlite::memory:").await?;
    let schedules = Queue::new(&store, "chores")?.schedules();

    // Every program may put its schedules when it starts: the same id is the same schedule.
    let weekdays = Schedule::cron("0 9 * * MON-FRI").zone("Europe/Stockholm").overlap(Overlap::Skip);
    schedules.put("sales-report", weekdays, Report { team: "sales".into() }).attempts(3).await?;
    for run in schedules.next("sales-report", 3).await? {
        println!("a report is due at {}", run.to_rfc3339());
    }

    // At once, then every 50 ms; three in all. Those that nobody had time for are left out.
    let often = Schedule::every(Duration::from_millis(50)).limit(3).missed(Missed::Last);
    schedules.put("beat", often, Heartbeat {}).remove_on_complete(Retention::count(10)).await?;

    let (heard, mut beats) = mpsc::channel(3);
    let worker = Worker::builder(&store, "chores")
        .handle(move |_: Heartbeat, context: JobContext| {
            let heard = heard.clone();
            async move {
                // `repeat:beat:` and the time of its slot.
                let _ = heard.send(context.job().id.to_string()).await;
                Ok::<_, HandlerError>(())
            }
        })
        .start()?;
    for _ in 0..3 {
        println!("{}", beats.recv().await.unwrap_or_default());
    }
    worker.close().await?;

    let beat = schedules.get("beat").await?;
    anyhow::ensure!(beat.is_some_and(|schedule| schedule.made == 3 && schedule.ended));
    anyhow::ensure!(schedules.remove("beat").await? && schedules.count().await? == 1);
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
