//! Workers: take jobs of a queue, run their handlers, write how they ended.
//!
//! What lives here: the builder ([`WorkerBuilder`]), the running thing ([`Worker`], [`WorkerHandle`]) and its parts.
//! What must not: any word of a backend. Start reading at `exchange.rs`, the one task that talks to the store for
//! work (its other half is `answers.rs`, its gate `gate.rs`); then `run.rs` (the life of one job), `schedule.rs` (what a job of a schedule does first), `finish.rs` (how it ends), `trace.rs` (what telemetry hears of it), `leases.rs` and `upkeep.rs` (the duties,
//! on a thread of their own), `shutdown.rs`, and `isolate/` (handlers in processes of their own).

mod answers;
mod builder;
mod child;
mod context;
mod decode;
mod duties;
mod errors;
mod events;
mod exchange;
mod finish;
mod gate;
mod handler;
#[cfg(feature = "internals")]
pub mod internals;
mod isolate;
mod leases;
mod quarantine;
mod resolve;
mod run;
mod schedule;
mod shared;
mod shutdown;
mod trace;
mod upkeep;
mod watchdog;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinHandle;

pub use self::builder::{CONCURRENCY_MAX, WorkerBuilder};
pub use self::child::AddChild;
pub use self::context::{CancelCause, JobContext};
pub use self::errors::HandlerError;
pub use self::events::WorkerEvent;
pub use self::exchange::{DEPTH, ENDINGS_PER_CALL_MAX, KEEPING_MAX, TAKES_PER_CALL_MAX};
pub use self::finish::{BackoffAnswer, BackoffAsk, REASON_BYTES_MAX, STACK_BYTES_MAX, STACKS_DEFAULT};
pub use self::handler::{Handler, HandlerFuture, Handlers};
pub use self::isolate::{
    CHILD_LINE_BYTES_MAX, CHILD_LOG_LINE_BYTES_MAX, CHILD_LOG_LINES_MAX, ChildOutput, Isolation, child_queue,
    serve_if_child,
};
pub use self::quarantine::{DEATHS_MAX, QUARANTINED};
use self::run::Running;
pub use self::schedule::SkipReason;
pub use self::shared::WorkerStats;
use self::shared::{Shared, Stage};
use crate::address::{JobId, QueueAddress};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Store;
use crate::telemetry::{SpanKind, SpanParent, attribute};

/// A worker that runs. Made by [`Worker::builder`].
///
/// Dropping it ends everything at once: handlers are dropped, and their jobs are recovered by some worker when
/// their leases have run out. [`close`](Self::close) it to let them finish.
#[must_use = "a worker that is dropped ends at once"]
pub struct Worker {
    shared: Arc<Shared>,
    exchange: JoinHandle<()>,
}

impl Worker {
    /// A worker for a queue, to be given handlers and started.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use oxmq_core::{HandlerError, JobArgs, Store, Worker};
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Serialize, Deserialize)]
    /// struct Welcome { user: u64 }
    /// impl JobArgs for Welcome { const NAME: &'static str = "welcome"; }
    ///
    /// async fn send_welcome(job: Welcome) -> Result<(), HandlerError> {
    ///     println!("welcome, {}", job.user);
    ///     Ok(())
    /// }
    ///
    /// # async fn work(store: Arc<dyn Store>) -> oxmq_core::Result<()> {
    /// Worker::builder(&store, "emails").concurrency(8).handle(send_welcome).run().await
    /// # }
    /// ```
    pub fn builder(store: &Arc<dyn Store>, queue: impl Into<String>) -> WorkerBuilder {
        WorkerBuilder::new(store.clone(), queue.into())
    }

    /// Something to steer it with; outlives it harmlessly.
    pub fn handle(&self) -> WorkerHandle {
        WorkerHandle { shared: self.shared.clone() }
    }

    /// Waits until it has ended: after [`WorkerHandle::close`].
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the worker itself broke, or was stuck and is to end then.
    pub async fn run(mut self) -> Result<()> {
        self.ended().await
    }

    /// Runs until `shutdown` is ready, then [closes](Self::close).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_until(mut self, shutdown: impl Future<Output = ()>) -> Result<()> {
        tokio::select! {
            ended = self.ended() => return ended,
            () = shutdown => self.handle().close(),
        }
        self.ended().await
    }

    /// Takes no more jobs, lets the running ones finish, and ends. Those that are not done within the shutdown timeout are
    /// told to stop and handed back, without an attempt spent.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn close(self) -> Result<()> {
        self.handle().close();
        self.run().await
    }

    /// Drops the running handlers, hands their jobs back, and ends; within about a second.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn close_now(self) -> Result<()> {
        self.handle().close_now();
        self.run().await
    }

    async fn ended(&mut self) -> Result<()> {
        (&mut self.exchange).await.map_err(|error| {
            Error::new(ErrorKind::Internal, "work", "the worker broke")
                .with("queue", &self.shared.queue)
                .caused_by(error)
        })?;
        self.shared.broken().map_or(Ok(()), Err)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The exchange owns the handlers, which end with it.
        self.exchange.abort();
        self.shared.stop.cancel();
        self.shared.stop_all();
        if let Some(pool) = &self.shared.pool {
            pool.close_now();
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

/// Steers a running [`Worker`], from anywhere. Cheap to clone.
#[derive(Clone)]
pub struct WorkerHandle {
    shared: Arc<Shared>,
}

impl WorkerHandle {
    /// The worker's id: unique for each start.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// Its queue.
    pub fn queue(&self) -> &QueueAddress {
        &self.shared.queue
    }

    /// Begins to end the worker, as [`Worker::close`] does, without waiting for it. The second time, as
    /// [`close_now`](Self::close_now).
    pub fn close(&self) {
        self.shared.control.send_modify(|control| {
            control.stage = if control.stage == Stage::Working { Stage::Draining } else { Stage::Ending };
        });
    }

    /// Ends the worker as [`Worker::close_now`] does, without waiting for it.
    pub fn close_now(&self) {
        self.shared.control.send_modify(|control| control.stage = Stage::Ending);
    }

    /// Waits until the worker has ended.
    pub async fn closed(&self) {
        self.shared.closed.cancelled().await;
    }

    /// Takes no more jobs until it is resumed; the running ones go on. Only this worker: to hold the queue for all,
    /// pause the queue.
    pub fn pause(&self) {
        self.set_paused(true);
    }

    /// Takes jobs again.
    pub fn resume(&self) {
        self.set_paused(false);
    }

    fn set_paused(&self, paused: bool) {
        let changed = self
            .shared
            .control
            .send_if_modified(|control| std::mem::replace(&mut control.paused, paused) != paused);
        if changed {
            let operation = if paused { "pause" } else { "resume" };
            let trace = self.shared.trace(operation, SpanKind::Internal, SpanParent::Current);
            if paused {
                trace.set(attribute::WORKER_DO_NOT_WAIT_ACTIVE, || true.into());
            }
            self.shared.listeners.tell(|| if paused { WorkerEvent::Paused } else { WorkerEvent::Resumed });
        }
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.shared.control.borrow().paused
    }

    /// Runs up to so many jobs at once from now on, 1 to [`CONCURRENCY_MAX`]. With fewer than run now, those go on, and
    /// nothing is taken until enough have ended.
    pub fn set_concurrency(&self, concurrency: usize) {
        let concurrency = concurrency.clamp(1, CONCURRENCY_MAX);
        self.shared.control.send_modify(|control| control.concurrency = concurrency);
    }

    /// How many jobs it runs at once.
    pub fn concurrency(&self) -> usize {
        self.shared.control.borrow().concurrency
    }

    /// How many jobs it holds now: those that run, and those whose endings are not stored yet.
    pub fn active(&self) -> usize {
        self.shared.running().len()
    }

    /// Cancels a job if this worker runs it, without asking the store. Returns whether it does. The job fails for
    /// good, with the reason `cancelled: ` and yours.
    pub fn cancel_local(&self, id: &JobId, reason: impl Into<String>) -> bool {
        self.cancel_those(&reason.into(), |running| running.job.id == *id) > 0
    }

    /// Cancels all jobs that this worker runs, as [`cancel_local`](Self::cancel_local) does; returns how many these are.
    pub fn cancel_all_local(&self, reason: impl Into<String>) -> usize {
        self.cancel_those(&reason.into(), |_| true)
    }

    fn cancel_those(&self, reason: &str, is_meant: impl Fn(&Running) -> bool) -> usize {
        let meant = |running: &&Arc<Running>| is_meant(running);
        let found: Vec<_> = self.shared.running().values().filter(meant).cloned().collect();
        found.iter().filter(|running| running.stop(CancelCause::Requested(reason.to_owned()))).count()
    }

    /// What has happened since the start.
    pub fn stats(&self) -> WorkerStats {
        self.shared.counters.read()
    }
}

impl fmt::Debug for WorkerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}
