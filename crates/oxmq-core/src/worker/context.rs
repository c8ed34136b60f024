//! What a handler gets besides its payload: the job, a way to hear that it should stop, and to write things down.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::events::WorkerEvent;
use super::run::Running;
use super::shared::Shared;
use crate::address::QueueAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::json::JsonText;
use crate::store::{Note, NoteRequest, ReleaseRequest};

/// Why a handler should stop.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelCause {
    /// Somebody asked for the job to be cancelled; this is their reason. Whatever the handler returns, the job fails for good.
    Requested(String),
    /// The run took longer than the job's `timeout`. It counts as failed.
    TimedOut(Duration),
    /// The job is not this worker's any more; the result will be thrown away.
    LeaseLost,
    /// The worker ends; the job goes back to its queue.
    Closing,
}

impl fmt::Display for CancelCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested(reason) => write!(f, "cancelled: {reason}"),
            Self::TimedOut(limit) => write!(f, "timed out after {} ms", limit.as_millis()),
            Self::LeaseLost => f.write_str("the lease was lost"),
            Self::Closing => f.write_str("the worker is closing"),
        }
    }
}

/// The second argument of a handler, if it takes one. Cheap to clone.
///
/// ```
/// use oxmq_core::{HandlerError, JobContext};
///
/// async fn copy(rows: Vec<u64>, job: JobContext) -> Result<usize, HandlerError> {
///     for (index, _row) in rows.iter().enumerate() {
///         if job.cancel_token().is_cancelled() {
///             return Err("stopped half-way".into());
///         }
///         job.progress(&(index * 100 / rows.len())).await?;
///     }
///     job.log(format!("copied {} rows", rows.len())).await?;
///     Ok(rows.len())
/// }
/// ```
#[derive(Clone)]
pub struct JobContext {
    pub(super) running: Arc<Running>,
    pub(super) shared: Arc<Shared>,
}

impl JobContext {
    /// The job, as it was taken.
    pub fn job(&self) -> &Job {
        &self.running.job
    }

    /// Its queue.
    pub fn queue(&self) -> &QueueAddress {
        &self.shared.queue
    }

    /// Cancelled when the handler should stop. A handler that goes on is dropped after the worker's grace time.
    pub fn cancel_token(&self) -> &CancellationToken {
        &self.running.cancel
    }

    /// Waits until the handler should stop, and says why.
    pub async fn cancelled(&self) -> CancelCause {
        self.running.cancel.cancelled().await;
        self.cancel_cause().unwrap_or(CancelCause::Closing)
    }

    /// Why the handler should stop; `None` as long as it should not.
    pub fn cancel_cause(&self) -> Option<CancelCause> {
        self.running.cause()
    }

    /// How many tries of this job have failed before; 0 in the first.
    pub fn failed_tries(&self) -> u32 {
        self.running.job.attempts_made
    }

    /// The number of this start, from 1. It grows with each start, also after a stall: give it to outside systems
    /// as a fencing number, so that they can refuse a start that is out of date.
    pub fn start_number(&self) -> u32 {
        self.running.job.attempts_started
    }

    /// How much of the job's `timeout` is left; `None` without one.
    pub fn remaining(&self) -> Option<Duration> {
        self.running.deadline().map(|deadline| deadline - self.shared.clock.now())
    }

    /// Stores the job's progress: a number, text, an object.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it cannot be JSON; [`ErrorKind::NotFound`] if the job is gone; those of the store.
    pub async fn progress(&self, progress: &(impl Serialize + Sync + ?Sized)) -> Result<()> {
        let progress = json("progress", progress)?;
        self.note(Note::Progress(progress.clone())).await?;
        self.shared.listeners.tell(|| WorkerEvent::Progress { job: self.running.job.clone(), progress });
        Ok(())
    }

    /// Adds a line to the job's log, of which the newest `keep_logs` are kept. Returns how many lines there are.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the job is gone; those of the store.
    pub async fn log(&self, line: impl Into<String>) -> Result<u64> {
        self.note(Note::Log { line: line.into(), keep: self.running.options.keep_logs }).await
    }

    /// Replaces the job's stored data: the next try of it gets this. [`job`](Self::job) stays as it was taken.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it cannot be JSON; [`ErrorKind::NotFound`] if the job is gone; those of the store.
    pub async fn update_data(&self, data: &(impl Serialize + Sync + ?Sized)) -> Result<()> {
        self.note(Note::Data(json("update_data", data)?)).await.map(|_| ())
    }

    /// Frees the job's deduplication id from here on, if the job owns it: the next job with the id is added though this
    /// one still runs. Returns whether it did.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn release_deduplication(&self) -> Result<bool> {
        let Job { id: owner, deduplication_id: Some(id), .. } = &*self.running.job else { return Ok(false) };
        let now = self.shared.clock.now();
        let request = ReleaseRequest { id: id.clone(), only_if_owner: Some(owner.clone()), now };
        self.shared.store.release_deduplication(&self.shared.queue, request).await
    }

    async fn note(&self, note: Note) -> Result<u64> {
        let request = NoteRequest { job: self.running.job.id.clone(), note, now: self.shared.clock.now() };
        self.shared.store.note(&self.shared.queue, request).await
    }
}

fn json(operation: &'static str, value: &(impl Serialize + ?Sized)) -> Result<JsonText> {
    JsonText::of(value).map_err(|error| {
        Error::new(ErrorKind::Invalid, operation, "the value cannot be written as JSON").caused_by(error)
    })
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("queue", &self.shared.queue)
            .field("job", &self.running.job.id)
            .finish()
    }
}
