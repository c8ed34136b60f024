//! `Store::pause` and `Store::resume`: `lua/pause.lua`, `lua/resume.lua`.

use oxmq_core::{Error, ErrorKind, QueueAddress, Result};

use crate::scripts::{PAUSE, RESUME};
use crate::store::RedisStore;
use crate::wire::reply;

/// How many calls one resume makes for the list that BullMQ 5 left, of 7,000 jobs each.
const STEPS_MAX: usize = 10_000;

pub(crate) async fn pause(store: &RedisStore, queue: &QueueAddress) -> Result<()> {
    store.script("pause", queue, &PAUSE).once().await.map(drop)
}

pub(crate) async fn resume(store: &RedisStore, queue: &QueueAddress) -> Result<()> {
    for _ in 0..STEPS_MAX {
        let answer = store.script("resume", queue, &RESUME).once().await?;
        if reply::int(answer).map_err(|bad| bad.into_error("resume"))? == 0 {
            return Ok(());
        }
    }
    Err(Error::new(
        ErrorKind::Internal,
        "resume",
        "the jobs that BullMQ 5 left in `paused` do not come to an end",
    )
    .with("queue", queue))
}
