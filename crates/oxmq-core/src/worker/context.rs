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
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::json::JsonText;
use crate::store::{Answer, Note, NoteRequest, ReleaseRequest, Store};

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
    pub(super) desk: Arc<dyn Desk>,
}

/// What a running job turns to: its worker, or, in a process of its own, the worker at the other end of the line.
pub(crate) trait Desk: Send + Sync {
    fn queue(&self) -> &QueueAddress;

    fn clock(&self) -> &Clock;

    /// The store, if this process has it open.
    fn store(&self) -> Option<&Arc<dyn Store>>;

    /// Has something written down about the job.
    fn note<'a>(&'a self, running: &'a Running, note: Note) -> Answer<'a, u64>;
}

impl Desk for Shared {
    fn queue(&self) -> &QueueAddress {
        &self.queue
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn store(&self) -> Option<&Arc<dyn Store>> {
        Some(&self.store)
    }

    fn note<'a>(&'a self, running: &'a Running, note: Note) -> Answer<'a, u64> {
        let progress = match &note {
            Note::Progress(progress) => Some(progress.clone()),
            _ => None,
        };
        let request = NoteRequest { job: running.job.id.clone(), note, now: self.clock.now() };
        Box::pin(async move {
            let lines = self.store.note(&self.queue, request).await?;
            if let Some(progress) = progress {
                self.listeners.tell(|| WorkerEvent::Progress { job: running.job.clone(), progress });
            }
            Ok(lines)
        })
    }
}

impl JobContext {
    /// The job, as it was taken.
    pub fn job(&self) -> &Job {
        &self.running.job
    }

    /// Its queue.
    pub fn queue(&self) -> &QueueAddress {
        self.desk.queue()
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
        self.running.deadline().map(|deadline| deadline - self.desk.clock().now())
    }

    /// Stores the job's progress: a number, text, an object.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it cannot be JSON; [`ErrorKind::NotFound`] if the job is gone; those of the store.
    pub async fn progress(&self, progress: &(impl Serialize + Sync + ?Sized)) -> Result<()> {
        self.note(Note::Progress(json("progress", progress)?)).await.map(|_| ())
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
        let now = self.desk.clock().now();
        let request = ReleaseRequest { id: id.clone(), only_if_owner: Some(owner.clone()), now };
        self.store("release_deduplication")?.release_deduplication(self.queue(), request).await
    }

    fn store(&self, operation: &'static str) -> Result<&Arc<dyn Store>> {
        self.desk.store().ok_or_else(|| {
            let why = "a handler in a process of its own has no store: open it there with `connect`";
            Error::new(ErrorKind::Unsupported, operation, why)
        })
    }

    async fn note(&self, note: Note) -> Result<u64> {
        self.desk.note(&self.running, note).await
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
            .field("queue", self.queue())
            .field("job", &self.running.job.id)
            .finish_non_exhaustive()
    }
}
