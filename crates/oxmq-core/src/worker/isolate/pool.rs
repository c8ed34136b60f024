//! The children of a worker: those that wait, how one is come by, and how they all end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::Isolation;
use super::process::Child;
use super::talk::{Ended, Talk};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::json::JsonText;
use crate::worker::errors::HandlerError;
use crate::worker::events::WorkerEvent;
use crate::worker::handler::HandlerFuture;
use crate::worker::run::Running;
use crate::worker::shared::Shared;

/// How many children a job is offered to, if each ends before it has taken it.
const OFFERS_MAX: u32 = 3;
/// The first wait after a child did not start; it doubles from start to start.
const START_WAIT_FIRST: Duration = Duration::from_millis(100);
/// The longest.
const START_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a closing worker waits for its children before it kills them; real time.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

pub(crate) struct Pool {
    isolation: Isolation,
    /// Those that wait, the newest last. Held only for moments, so a std mutex does.
    idle: Mutex<Vec<Child>>,
    /// Those that were asked to end.
    retiring: Mutex<JoinSet<()>>,
    closed: AtomicBool,
    /// Tells the keeper that a child waits.
    returned: Notify,
    /// While starts fail, it is held: one start at a time.
    starts: tokio::sync::Mutex<Starts>,
}

/// How starting goes.
#[derive(Debug, Default)]
struct Starts {
    /// Failures in a row.
    failures: u32,
    retry_at: Option<Timestamp>,
}

impl Pool {
    /// No children yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a setting out of range; [`ErrorKind::Unsupported`] if this tokio runtime has no I/O.
    pub(crate) fn new(isolation: Isolation) -> Result<Arc<Self>> {
        isolation.check()?;
        // Tokio tells that there is no I/O by a panic only.
        let has_io = std::panic::catch_unwind(|| tokio::net::UnixStream::pair().map(drop));
        has_io
            .map_err(|_| {
                let message =
                    "isolated handlers need a tokio runtime with I/O: `enable_all` when it is built";
                Error::new(ErrorKind::Unsupported, "start", message)
            })?
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, "start", "the system gives no socket for a child process")
                    .caused_by(error)
            })?;
        Ok(Arc::new(Self {
            isolation,
            idle: Mutex::default(),
            retiring: Mutex::default(),
            closed: AtomicBool::new(false),
            returned: Notify::new(),
            starts: tokio::sync::Mutex::default(),
        }))
    }

    /// Ends children that wait for too long; ends with the worker.
    pub(crate) fn watch(self: &Arc<Self>, shared: &Arc<Shared>) {
        let (pool, clock, stop) = (self.clone(), shared.clock.clone(), shared.stop.clone());
        tokio::spawn(async move {
            loop {
                let next =
                    pool.idle().iter().map(|child| child.idle_since + pool.isolation.idle_timeout).min();
                let due = async {
                    match next {
                        Some(next) => clock.sleep_until(next).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = pool.returned.notified() => {}
                    () = due => pool.retire_idle(clock.now()),
                }
            }
        });
    }

    /// How much longer than the grace of its worker it can take until a child that does not stop is dead.
    pub(crate) fn kill_time(&self) -> Duration {
        self.isolation.kill_after + Duration::from_secs(2)
    }

    /// Runs a job in a child.
    pub(crate) fn call(self: Arc<Self>, shared: Arc<Shared>, running: Arc<Running>) -> HandlerFuture {
        Box::pin(async move { self.offer(&shared, &running).await })
    }

    async fn offer(&self, shared: &Arc<Shared>, running: &Arc<Running>) -> Result<JsonText, HandlerError> {
        let mut refusal = String::new();
        for _ in 0..OFFERS_MAX {
            let mut child = tokio::select! {
                biased;
                () = running.cancel.cancelled() => return Err("told to stop before its process was ready".into()),
                child = self.get(shared) => child?,
            };
            let is_new = child.jobs == 0;
            match Talk::new(&mut child, &self.isolation, shared, running).hold().await {
                Ended::Answered(answer) => {
                    child.jobs += 1;
                    self.put(child, shared);
                    return answer;
                }
                Ended::Broken(error) => return Err(error),
                Ended::NotBegun(reason) if is_new && !running.cancel.is_cancelled() => {
                    start_failed(shared, &mut *self.starts.lock().await, &reason);
                    refusal = reason;
                }
                Ended::NotBegun(reason) => refusal = reason,
            }
        }
        Err(format!("no process has taken the job: {refusal}").into())
    }

    // ---------------------------------------------------------------- getting one

    async fn get(&self, shared: &Shared) -> Result<Child, HandlerError> {
        loop {
            let Some(mut child) = self.idle().pop() else { break };
            if !child.is_alive() {
                tracing::warn!(queue = %shared.queue, pid = child.id(), "a child process ended while it had nothing to do");
            } else if self.is_worn(&mut child, shared.clock.now()) {
                self.retire(child);
            } else {
                return Ok(child);
            }
        }
        self.start(shared).await
    }

    /// Starts a child. While starts fail, one at a time, with a wait in between that doubles.
    async fn start(&self, shared: &Shared) -> Result<Child, HandlerError> {
        let starts = self.starts.lock().await;
        let mut trouble = starts.retry_at.is_some().then_some(starts);
        if let Some(at) = trouble.as_ref().and_then(|starts| starts.retry_at) {
            shared.clock.sleep_until(at).await;
        }
        match Child::start(&self.isolation, &shared.queue, &shared.clock).await {
            Ok(child) => {
                if let Some(starts) = &mut trouble {
                    **starts = Starts::default();
                }
                tracing::debug!(queue = %shared.queue, pid = child.id(), "started a child process");
                Ok(child)
            }
            Err(reason) => {
                let mut starts = match trouble {
                    Some(starts) => starts,
                    None => self.starts.lock().await,
                };
                Err(start_failed(shared, &mut starts, &reason))
            }
        }
    }

    // ---------------------------------------------------------------- and after its job

    fn put(&self, mut child: Child, shared: &Shared) {
        let now = shared.clock.now();
        child.idle_since = now;
        if self.isolation.recycle_above.is_some() {
            child.measure();
        }
        let limit = shared.control.borrow().concurrency;
        if self.is_worn(&mut child, now) {
            return self.retire(child);
        }
        let mut idle = self.idle();
        if self.closed.load(Ordering::Acquire) || idle.len() >= limit {
            drop(idle);
            return self.retire(child);
        }
        idle.push(child);
        drop(idle);
        self.returned.notify_one();
    }

    /// Whether it is to be ended, by its count of jobs, its age or its memory.
    fn is_worn(&self, child: &mut Child, now: Timestamp) -> bool {
        let Isolation { recycle_after_jobs, recycle_after, recycle_above, .. } = &self.isolation;
        recycle_after_jobs.is_some_and(|jobs| child.jobs >= jobs)
            || recycle_after.is_some_and(|age| now - child.born >= age)
            || recycle_above.is_some_and(|limit| child.memory.is_some_and(|bytes| bytes > limit))
    }

    fn retire_idle(&self, now: Timestamp) {
        let timeout = self.isolation.idle_timeout;
        let over: Vec<Child> =
            self.idle().extract_if(.., |child| now >= child.idle_since + timeout).collect();
        for child in over {
            self.retire(child);
        }
    }

    /// Asks it to end. After the end of the worker it is killed instead.
    fn retire(&self, child: Child) {
        let mut retiring = self.retiring();
        if !self.closed.load(Ordering::Acquire) {
            while retiring.try_join_next().is_some() {}
            retiring.spawn(child.retire());
        }
    }

    // ---------------------------------------------------------------- the end of them all

    /// Ends all that wait, and waits for it; kills those that take too long.
    pub(crate) async fn close(&self) {
        let waiting = {
            let mut idle = self.idle();
            self.closed.store(true, Ordering::Release);
            std::mem::take(&mut *idle)
        };
        let mut retiring = std::mem::take(&mut *self.retiring());
        for child in waiting {
            retiring.spawn(child.retire());
        }
        let all = async { while retiring.join_next().await.is_some() {} };
        if crate::clock::Clock::system().timeout(CLOSE_WAIT, all).await.is_none() {
            tracing::warn!("child processes did not end when they were asked to, and are killed");
        }
    }

    /// Kills all that wait.
    pub(crate) fn close_now(&self) {
        let waiting = {
            let mut idle = self.idle();
            self.closed.store(true, Ordering::Release);
            std::mem::take(&mut *idle)
        };
        drop(waiting);
        self.retiring().abort_all();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Child>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retiring(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.retiring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells it, and puts the next start off.
fn start_failed(shared: &Shared, starts: &mut Starts, reason: &str) -> HandlerError {
    let wait = START_WAIT_FIRST.saturating_mul(1 << starts.failures.min(16)).min(START_WAIT_MAX);
    starts.failures = starts.failures.saturating_add(1);
    starts.retry_at = Some(shared.clock.now() + wait);
    let failures = starts.failures;
    tracing::error!(queue = %shared.queue, failures, reason, "a child process for handlers did not start");
    shared.listeners.tell(|| WorkerEvent::ChildNotStarted { reason: reason.to_owned(), failures });
    format!("no process for the handler: {reason}").into()
}
