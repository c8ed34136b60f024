//! Looking at a queue and its jobs.

use super::Queue;
use crate::address::JobId;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::job::JobView;
use crate::store::{JobCounts, JobsPage, JobsRequest, LogsPage, LogsRequest, Tally, WorkerInfo};

impl Queue {
    /// One job and where it is; `None` if there is none.
    ///
    /// # Errors
    /// Those of the store; so for all of these.
    pub async fn job(&self, id: impl Into<JobId>) -> Result<Option<JobView>> {
        self.inner.store.job(&self.inner.address, &id.into()).await
    }

    /// A page of the jobs in some states, in either direction.
    pub async fn jobs(&self, request: JobsRequest) -> Result<JobsPage> {
        self.inner.store.jobs(&self.inner.address, request).await
    }

    /// How many jobs are in each state, and whether the queue is held.
    pub async fn counts(&self) -> Result<JobCounts> {
        self.inner.store.counts(&self.inner.address, self.inner.clock.now()).await
    }

    /// Whether the queue is paused.
    pub async fn is_paused(&self) -> Result<bool> {
        Ok(self.counts().await?.paused)
    }

    /// How many jobs wait with each of these priorities; 0 is those without one.
    pub async fn count_by_priority(&self, priorities: &[u32]) -> Result<Vec<u64>> {
        self.inner.store.tally(&self.inner.address, Tally::Priorities(priorities.to_vec())).await
    }

    /// How many delayed jobs are due before a time.
    pub async fn count_due_before(&self, time: impl Into<Timestamp>) -> Result<u64> {
        let counts = self.inner.store.tally(&self.inner.address, Tally::DueBefore(time.into())).await?;
        Ok(counts.into_iter().sum())
    }

    /// A page of a job's log.
    pub async fn logs(&self, request: LogsRequest) -> Result<LogsPage> {
        self.inner.store.logs(&self.inner.address, request).await
    }

    /// The workers that listen to this queue.
    pub async fn workers(&self) -> Result<Vec<WorkerInfo>> {
        self.inner.store.workers(&self.inner.address, self.inner.clock.now()).await
    }
}
