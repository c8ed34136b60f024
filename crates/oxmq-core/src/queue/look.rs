//! Looking at a queue and its jobs.

use super::Queue;
use crate::address::JobId;
use crate::error::Result;
use crate::job::JobView;
use crate::store::{
    JobCounts, JobsPage, JobsRequest, LogsPage, LogsRequest, OwnerRequest, QueueLimits, WorkerInfo,
};

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

    /// The job that owns a deduplication id; `None` if the id is free. BullMQ's `getDeduplicationJobId`.
    pub async fn deduplication_owner(&self, id: impl Into<String>) -> Result<Option<JobId>> {
        let request = OwnerRequest { id: id.into(), now: self.inner.clock.now() };
        self.inner.store.deduplication_owner(&self.inner.address, request).await
    }

    /// How many jobs are in each state, and whether the queue is held.
    pub async fn counts(&self) -> Result<JobCounts> {
        self.inner.store.counts(&self.inner.address, self.inner.clock.now()).await
    }

    /// The limits of the queue, and whether it is at one of them. BullMQ's `getGlobalConcurrency`, `getGlobalRateLimit`,
    /// `getRateLimitTtl` and `isMaxed`.
    pub async fn limits(&self) -> Result<QueueLimits> {
        self.inner.store.limits(&self.inner.address, self.inner.clock.now()).await
    }

    /// Whether the queue is paused.
    pub async fn is_paused(&self) -> Result<bool> {
        Ok(self.counts().await?.paused)
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
