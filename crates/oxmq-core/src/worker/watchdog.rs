//! Notices a worker that could work and does not: jobs are due, a slot is free, and nothing was taken for long.
//!
//! Nothing that is known leads there: connections recover by themselves, and an idle worker looks at every poll, or sees that the
//! queue is empty. It is the net under all that is not known.

use std::time::Duration;

use super::events::WorkerEvent;
use super::shared::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::state::JobState;
use crate::store::{JobsRequest, Order};

/// How long a look that was asked for may take to bring something.
const LOOK_WAIT: Duration = Duration::from_secs(2);
/// How often in a row the worker is found stuck before it ends, if it is to.
const STUCK_MAX: u32 = 3;

/// Looks again and again.
pub(crate) async fn watch(shared: &Shared) {
    let stuck_after = shared.settings.stuck_after;
    let mut found = 0;
    loop {
        shared.clock.sleep(stuck_after / 2).await;
        match is_stuck(shared).await {
            // When the store fails, the other duties tell it: a worker that cannot ask cannot be stuck.
            Ok(None) | Err(_) => found = 0,
            Ok(Some(due)) => {
                found += 1;
                let nothing_for = shared.clock.now() - shared.last_progress();
                tracing::error!(
                    queue = %shared.queue, worker = %shared.id, due, ?nothing_for,
                    "jobs are due and a slot is free, but nothing is taken: making new connections"
                );
                shared.listeners.tell(|| WorkerEvent::Stuck { due, nothing_for });
                if let Err(error) = shared.store.renew().await {
                    shared.trouble("renew", &error);
                }
                shared.look_again();
                if shared.settings.end_when_stuck && found >= STUCK_MAX {
                    let message = format!(
                        "jobs are due and a slot is free, but nothing was taken for {nothing_for:?}, also with new connections"
                    );
                    shared.give_up(
                        Error::new(ErrorKind::Internal, "work", message).with("queue", &shared.queue),
                    );
                    return;
                }
            }
        }
    }
}

/// How many jobs are due, if the worker should have taken some of them long ago.
async fn is_stuck(shared: &Shared) -> Result<Option<u64>> {
    if !is_late(shared) || due(shared).await? == 0 {
        return Ok(None);
    }
    // They may have come a moment ago.
    shared.look_again();
    shared.clock.sleep(LOOK_WAIT.min(shared.settings.stuck_after / 2)).await;
    if !is_late(shared) {
        return Ok(None);
    }
    Ok(Some(due(shared).await?).filter(|due| *due > 0))
}

/// Whether nothing was taken for long although something could have been.
fn is_late(shared: &Shared) -> bool {
    shared.has_free_slot() && shared.clock.now() - shared.last_progress() >= shared.settings.stuck_after
}

/// How many jobs could be taken now.
async fn due(shared: &Shared) -> Result<u64> {
    let now = shared.clock.now();
    let counts = shared.store.counts(&shared.queue, now).await?;
    if counts.paused || counts.limited_until.is_some() {
        return Ok(0);
    }
    let ready = counts.waiting + counts.prioritized;
    if ready > 0 || counts.delayed == 0 {
        return Ok(ready);
    }
    let request =
        JobsRequest { states: vec![JobState::Delayed], offset: 0, limit: 1, order: Order::Ascending };
    let page = shared.store.jobs(&shared.queue, request).await?;
    Ok(page.jobs.iter().filter(|view| view.due.is_some_and(|due| due <= now)).count() as u64)
}
