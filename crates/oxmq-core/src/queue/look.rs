//! Looking at a queue and its jobs.

use super::Queue;
use crate::address::JobId;
use crate::error::Result;
use crate::job::JobView;
use crate::state::JobState;
use crate::store::{JobCounts, JobsPage, JobsRequest, LogsPage, LogsRequest, WorkerInfo};
use crate::telemetry::{attribute, figure};

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

    /// The same counts, and tells them to the meter of the queue's [telemetry](crate::telemetry), if it has one, as the
    /// gauge `bullmq.queue.jobs` with a value for each state.
    pub async fn record_counts(&self) -> Result<JobCounts> {
        let counts = self.counts().await?;
        self.inner.tracer.measure(|meter| {
            for state in JobState::ALL {
                let attributes = [
                    (attribute::QUEUE_NAME, self.name().into()),
                    (attribute::QUEUE_JOBS_STATE, state.as_str().into()),
                ];
                meter.gauge(figure::QUEUE_JOBS, counts.of(state), &attributes);
            }
        });
        Ok(counts)
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
