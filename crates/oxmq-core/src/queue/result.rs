//! Waiting for a job to end, without ever missing it.

use std::time::Duration;

use super::{Notice, Queue};
use crate::address::JobId;
use crate::error::{Error, ErrorKind, Result};
use crate::events::{EventCursor, EventKind};
use crate::json::JsonText;
use crate::state::JobState;

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobOutcome {
    /// It completed, and its handler returned this.
    Completed(JsonText),
    /// It failed for good, for this reason.
    Failed(String),
}

impl Queue {
    /// Waits until a job has completed or failed for good; `None` waits for ever.
    ///
    /// First the place in the stream of events is noted, then the job's state is read, then the events after that
    /// place are followed: an end at any moment is seen. So is that of a job which is removed as it ends, if the
    /// wait began before.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]: there is no such job, or it is removed while it waits. [`ErrorKind::Unavailable`]: it did not end in time (the job
    /// goes on). Those of the store.
    pub async fn wait_for(&self, id: impl Into<JobId>, timeout: Option<Duration>) -> Result<JobOutcome> {
        let id = id.into();
        let Some(timeout) = timeout else { return self.follow(&id).await };
        match self.inner.clock.timeout(timeout, self.follow(&id)).await {
            Some(outcome) => outcome,
            None => Err(Error::new(
                ErrorKind::Unavailable,
                "wait_for",
                format!("the job did not end within {timeout:?}; it goes on"),
            )
            .with("queue", self.address())
            .with("job", &id)),
        }
    }

    async fn follow(&self, id: &JobId) -> Result<JobOutcome> {
        let mut events = self.events(EventCursor::Now).await?;
        let gone = || {
            Error::new(ErrorKind::NotFound, "wait_for", "there is no such job, or it was removed")
                .with("queue", self.address())
                .with("job", id)
        };
        if let Some(outcome) = self.outcome(id).await?.ok_or_else(gone)? {
            return Ok(outcome);
        }
        loop {
            match events.next().await? {
                Notice::Event(event) if event.event.job.as_ref() == Some(id) => match event.event.kind {
                    EventKind::Completed { return_value, .. } => {
                        return Ok(JobOutcome::Completed(return_value));
                    }
                    EventKind::Failed { reason, .. } => return Ok(JobOutcome::Failed(reason)),
                    EventKind::Removed { .. } => return Err(gone()),
                    _ => {}
                },
                Notice::Event(_) => {}
                // Its end may be among those that are gone; if so, its state shows it.
                Notice::Trimmed => {
                    if let Some(outcome) = self.outcome(id).await?.ok_or_else(gone)? {
                        return Ok(outcome);
                    }
                }
            }
        }
    }

    /// `None`: no such job; `Some(None)`: it has not ended.
    async fn outcome(&self, id: &JobId) -> Result<Option<Option<JobOutcome>>> {
        let Some(view) = self.inner.store.job(&self.inner.address, id).await? else { return Ok(None) };
        Ok(Some(match view.state {
            JobState::Completed => {
                Some(JobOutcome::Completed(view.job.return_value.unwrap_or_else(JsonText::null)))
            }
            JobState::Failed => Some(JobOutcome::Failed(view.job.failed_reason.unwrap_or_default())),
            _ => None,
        }))
    }
}
