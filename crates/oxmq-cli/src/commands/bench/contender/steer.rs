//! Operations on all jobs of a queue.

use std::time::Duration;

use anyhow::Result;
use oxmq::{JobState, Queue};
use serde_json::Map;

use super::{Running, end_of_stdin};
use crate::output::Output;

pub(super) async fn clean(queue: &Queue, out: Output) -> Result<()> {
    let running = Running::start(out)?;
    let removed = queue.clean(JobState::Completed, Duration::ZERO, 0, |_| ()).await?;
    running.done(removed.len() as u64, Map::new())?;
    end_of_stdin().await
}

pub(super) async fn retry(queue: &Queue, out: Output) -> Result<()> {
    let running = Running::start(out)?;
    let count = queue.retry_all(JobState::Failed, |_| ()).await?;
    running.done(count, Map::new())?;
    end_of_stdin().await
}

pub(super) async fn obliterate(queue: &Queue, out: Output) -> Result<()> {
    let running = Running::start(out)?;
    let count = queue.obliterate(true, |_| ()).await?;
    running.done(count, Map::new())?;
    end_of_stdin().await
}
