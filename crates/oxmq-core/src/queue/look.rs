//! Looking at a queue and its jobs.

use std::time::Duration;

use super::Queue;
use crate::address::JobId;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::job::{Job, JobView};
use crate::metrics::QueueFigures;
use crate::state::JobState;
use crate::store::{
    JobCounts, JobsPage, JobsRequest, LogsPage, LogsRequest, MetricsRequest, Order, OwnerRequest,
    QueueLimits, Tally, WorkerInfo,
};
use crate::telemetry::{attribute, figure};

/// How many jobs [`Queue::figures`] reads of each end.
const FIGURES_JOBS: usize = 10;

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

    /// The queue's figures for [`metrics::prometheus`](crate::metrics::prometheus), except for what workers did: see
    /// [`QueueFigures::with_worker`]. Up to seven calls, which read few jobs.
    ///
    /// How many jobs have ended is what workers have counted that [count](crate::WorkerBuilder::metrics), here or in BullMQ.
    ///
    /// The oldest waiting job is looked for among the 10 at either end of the line, and of the prioritized ones among
    /// the 10 that run first. Of a job that was tried before, the time counts since its last start; of one that was
    /// delayed, since it was due.
    pub async fn figures(&self) -> Result<QueueFigures> {
        let now = self.inner.clock.now();
        let counts = self.counts().await?;
        let mut figures = QueueFigures::new(self.name(), counts);
        let page = async |state, limit, order| {
            let request = JobsRequest { states: vec![state], offset: 0, limit, order };
            self.jobs(request).await.map(|page| page.jobs)
        };
        let mut waiting = Vec::new();
        if counts.waiting > 0 {
            waiting.extend(page(JobState::Waiting, FIGURES_JOBS, Order::Ascending).await?);
        }
        if counts.waiting > FIGURES_JOBS as u64 {
            waiting.extend(page(JobState::Waiting, FIGURES_JOBS, Order::Descending).await?);
        }
        if counts.prioritized > 0 {
            waiting.extend(page(JobState::Prioritized, FIGURES_JOBS, Order::Ascending).await?);
        }
        let total = async |state| {
            let request = MetricsRequest { state, offset: 0, limit: 0 };
            self.metrics_page(request).await.map(|page| page.total)
        };
        figures.completed_total = total(JobState::Completed).await?;
        figures.failed_total = total(JobState::Failed).await?;
        figures.oldest_waiting = waiting.iter().map(|view| now - waits_since(&view.job)).max();
        figures.delayed_late = Some(Duration::ZERO);
        if counts.delayed > 0 {
            let first = page(JobState::Delayed, 1, Order::Ascending).await?.into_iter().next();
            figures.delayed_late = first.and_then(|view| view.due).map(|due| now - due);
        }
        Ok(figures)
    }

    /// The queue's [figures](Self::figures) as Prometheus text, with `labels` on every line; its first part is what BullMQ's
    /// `exportPrometheusMetrics` gives. [`metrics::prometheus`](crate::metrics::prometheus) makes one text of several queues,
    /// of workers, and of the store's calls.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): a label's name is not one, is used already, or is given twice; those of
    /// the store.
    pub async fn prometheus(&self, labels: &[(&str, &str)]) -> Result<String> {
        crate::metrics::prometheus(&[self.figures().await?], &[], labels)
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

/// Since when a waiting job could run.
fn waits_since(job: &Job) -> Timestamp {
    let due = job.timestamp + job.options().delay.unwrap_or_default();
    job.processed_on.map_or(due, |started| started.max(due))
}
