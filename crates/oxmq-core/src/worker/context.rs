//! What a handler gets besides its payload: the job, a way to hear that it should stop, and to write things down.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::child::AddChild;
use super::events::WorkerEvent;
use super::run::Running;
use super::shared::Shared;
use crate::address::{JobKey, QueueAddress};
use crate::args::JobArgs;
use crate::children::{ignored_failures, only_counts, values};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::job::{Job, NewJob};
use crate::json::JsonText;
use crate::queue::{no_answer, payload};
use crate::store::{
    AddGroup, AddRequest, Added, Answer, ChildCounts, ChildKind, ChildrenCursor, ChildrenPage,
    ChildrenRequest, Note, NoteRequest, ReleaseRequest, RemoveRequest, RemoveScope,
};
use crate::telemetry::Tracer;

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
/// It is the same in a [process of its own](crate::Isolation): there the worker does what it is asked to.
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

    /// Where spans go, if this process has it.
    fn tracer(&self) -> Option<&Tracer> {
        None
    }

    /// Has something written down about the job.
    fn note<'a>(&'a self, running: &'a Running, note: Note) -> Answer<'a, u64>;

    /// Lists children of the job.
    fn children<'a>(&'a self, running: &'a Running, which: ChildrenRequest) -> Answer<'a, ChildrenPage>;

    /// Adds a child of the job to a queue under its prefix.
    fn add_child<'a>(&'a self, running: &'a Running, queue: QueueAddress, child: NewJob)
    -> Answer<'a, Added>;

    /// Removes the children that the job waits for.
    fn remove_pending_children<'a>(&'a self, running: &'a Running) -> Answer<'a, ()>;

    /// Frees the job's deduplication id, if the job owns one.
    fn release_deduplication<'a>(&'a self, running: &'a Running) -> Answer<'a, bool>;
}

impl Desk for Shared {
    fn queue(&self) -> &QueueAddress {
        &self.queue
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn tracer(&self) -> Option<&Tracer> {
        Some(&self.settings.tracer)
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

    fn children<'a>(&'a self, _: &'a Running, which: ChildrenRequest) -> Answer<'a, ChildrenPage> {
        self.store.children(&self.queue, which)
    }

    fn add_child<'a>(&'a self, _: &'a Running, queue: QueueAddress, child: NewJob) -> Answer<'a, Added> {
        let request = AddRequest { groups: vec![AddGroup { jobs: vec![child] }], now: self.clock.now() };
        Box::pin(async move {
            let mut answers = self.store.add(&queue, request).await?;
            answers
                .pop()
                .and_then(|group| group.map(|mut jobs| jobs.pop()).transpose())
                .unwrap_or_else(|| Err(no_answer()))
        })
    }

    fn remove_pending_children<'a>(&'a self, running: &'a Running) -> Answer<'a, ()> {
        let (job, scope) = (running.job.id.clone(), RemoveScope::PendingChildren);
        let request = RemoveRequest { job, scope, now: self.clock.now() };
        Box::pin(async move { self.store.remove(&self.queue, request).await.map(drop) })
    }

    fn release_deduplication<'a>(&'a self, running: &'a Running) -> Answer<'a, bool> {
        let Job { id: owner, deduplication_id: Some(id), .. } = &*running.job else {
            return Box::pin(std::future::ready(Ok(false)));
        };
        let now = self.clock.now();
        let request = ReleaseRequest { id: id.clone(), only_if_owner: Some(owner.clone()), now };
        self.store.release_deduplication(&self.queue, request)
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
        self.desk.release_deduplication(&self.running).await
    }

    /// Which job this is, for jobs in other queues: [`AddJob::parent`](crate::AddJob::parent).
    pub fn key(&self) -> JobKey {
        JobKey::new(self.queue().clone(), &self.job().id)
    }

    /// Adds a child: a job of `queue`, under this one's prefix, that this job waits for when its handler ends with
    /// [`HandlerError::wait_for_children`](crate::HandlerError::wait_for_children); it cannot complete before. Ends in
    /// `.await`.
    ///
    /// A handler runs again from the start, also after a crash between two of these. Give children ids of their own, so that those are
    /// found that are there already, and look at [`child_counts`](Self::child_counts) first: see
    /// [`HandlerError::wait_for_children`](crate::HandlerError::wait_for_children).
    #[allow(clippy::needless_pass_by_value, reason = "a job is handed over")]
    pub fn add_child<T: JobArgs>(&self, queue: &str, args: T) -> AddChild {
        self.add_child_named(queue, T::NAME, &args)
    }

    /// The same by name, with any payload that has a JSON form.
    pub fn add_child_named(
        &self,
        queue: &str,
        name: impl Into<String>,
        data: &(impl Serialize + ?Sized),
    ) -> AddChild {
        AddChild::new(self.clone(), queue, name.into(), payload(data))
    }

    /// A page of the job's children: of these kinds, from where the last page ended, at most `limit`
    /// ([`GROUP_JOBS_MAX`](crate::store::GROUP_JOBS_MAX)). In a process of its own a page with long results may end
    /// earlier; `next` says whether there is more.
    ///
    /// # Errors
    /// Those of the store; so for all of these.
    pub async fn children(
        &self,
        kinds: &[ChildKind],
        cursor: Option<ChildrenCursor>,
        limit: usize,
    ) -> Result<ChildrenPage> {
        let job = self.job().id.clone();
        self.children_page(ChildrenRequest { job, kinds: kinds.to_vec(), cursor, limit }).await
    }

    /// How many children the job has of each kind.
    pub async fn child_counts(&self) -> Result<ChildCounts> {
        self.children_page(only_counts(self.job().id.clone())).await.map(|page| page.counts)
    }

    /// What the children returned that have completed. `T` may be [`JsonText`] to read each by itself.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`]: one of them is no `T`; the error says which. [`ErrorKind::Refused`]: there are more than
    /// [`CHILDREN_GATHERED_MAX`](crate::CHILDREN_GATHERED_MAX).
    pub async fn children_values<T: DeserializeOwned>(&self) -> Result<BTreeMap<JobKey, T>> {
        let values = values(&self.job().id, |request| self.children_page(request)).await?;
        let read = |(key, value): (JobKey, JsonText)| match value.read() {
            Ok(value) => Ok((key, value)),
            Err(error) => {
                let message = format!("the result of a child does not fit: {error}");
                Err(Error::new(ErrorKind::Invalid, "children_values", message)
                    .with("child", key)
                    .caused_by(error))
            }
        };
        values.into_iter().map(read).collect()
    }

    /// Why those children failed whose failure the job does without.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`]: there are more than [`CHILDREN_GATHERED_MAX`](crate::CHILDREN_GATHERED_MAX).
    pub async fn ignored_failures(&self) -> Result<BTreeMap<JobKey, String>> {
        ignored_failures(&self.job().id, |request| self.children_page(request)).await
    }

    /// Removes the children that the job waits for, with those that they wait for. Those stay that somebody works on, or that
    /// have failed. For a job that runs although not all have ended ([`ChildFailure::ContinueParent`](crate::ChildFailure::ContinueParent)): it cannot
    /// complete as long as one is pending.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`]: there are too many of them.
    pub async fn remove_pending_children(&self) -> Result<()> {
        self.desk.remove_pending_children(&self.running).await
    }

    async fn children_page(&self, request: ChildrenRequest) -> Result<ChildrenPage> {
        self.desk.children(&self.running, request).await
    }

    pub(super) async fn add_job(&self, queue: QueueAddress, job: NewJob) -> Result<Added> {
        self.desk.add_child(&self.running, queue, job).await
    }

    pub(super) fn now(&self) -> Timestamp {
        self.desk.clock().now()
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
