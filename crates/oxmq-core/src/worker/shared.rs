//! What all parts of a worker share: its settings, its running jobs, its controls and its counters.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::context::CancelCause;
use super::events::{Listeners, WorkerEvent};
use super::finish::Policy;
use super::handler::Routes;
use super::isolate::Pool;
use super::run::Running;
use crate::address::{QueueAddress, Token};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind};
use crate::job::{Lease, LeasedJob};
use crate::store::{RateLimit, Store};
use crate::telemetry::{SpanKind, SpanParent, Trace, Tracer, attribute};

/// The most takes without an answer that are remembered; of more, the oldest are forgotten, and their jobs run when
/// their leases have run out.
const DOUBTFUL_MAX: usize = 64;

/// No time.
const NEVER: i64 = i64::MIN;

/// The first wait after the store failed; it doubles up to the builder's `retry_delay`.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(100);

/// What the builder was told.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) name: Option<String>,
    pub(crate) lease: Duration,
    pub(crate) renew_every: Duration,
    pub(crate) max_stalled: u32,
    pub(crate) max_starts: Option<u32>,
    pub(crate) skip_stall_check: bool,
    pub(crate) stall_check: Duration,
    pub(crate) poll: Duration,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) metrics: Option<u32>,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) cancel_grace: Duration,
    pub(crate) retry_delay: Duration,
    pub(crate) stuck_after: Duration,
    pub(crate) end_when_stuck: bool,
    pub(crate) tracer: Tracer,
}

impl Settings {
    /// How soon to look again for the jobs of dead workers in a queue that was seen to be empty.
    pub(crate) fn empty_check(&self) -> Duration {
        // A job that is taken after the look has a lease to lose first.
        self.stall_check + self.stall_check.min(self.lease)
    }

    /// How long the sight of an empty queue stands in for looking by taking: until the next one, and a little for that to be
    /// answered; but never much longer than two polls.
    fn empty_for(&self) -> Duration {
        self.empty_check().min(self.poll * 2) + self.poll / 5
    }
}

/// How far the worker is on its way to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It works.
    Working,
    /// It takes nothing more and waits for what runs.
    Draining,
    /// It hands back what runs, now.
    Ending,
}

/// What can be changed while it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Control {
    pub(crate) stage: Stage,
    pub(crate) paused: bool,
    pub(crate) concurrency: usize,
    /// Counts what asked for a look at the queue whatever the gate says.
    pub(crate) looks: u64,
}

/// What has happened since the start. Each number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Handlers called.
    pub started: u64,
    /// Jobs completed, and that was stored.
    pub completed: u64,
    /// Jobs failed for good, and that was stored.
    pub failed: u64,
    /// Tries failed that are followed by another.
    pub retried: u64,
    /// Jobs given back without an attempt spent: again later, rate limited, shutdown.
    pub returned: u64,
    /// Leases lost while the handler ran.
    pub leases_lost: u64,
    /// Endings that the store refused, or that were not sent because the lease was lost.
    pub late_results_refused: u64,
    /// Jobs of dead workers, its own or others, that it found and brought back.
    pub stalled: u64,
    /// Calls to the store that failed as a whole.
    pub store_errors: u64,
}

impl WorkerStats {
    /// Adds those of another worker.
    pub(crate) fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.completed += other.completed;
        self.failed += other.failed;
        self.retried += other.retried;
        self.returned += other.returned;
        self.leases_lost += other.leases_lost;
        self.late_results_refused += other.late_results_refused;
        self.stalled += other.stalled;
        self.store_errors += other.store_errors;
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// [`WorkerStats`], counting.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) started: Count,
    pub(crate) completed: Count,
    pub(crate) failed: Count,
    pub(crate) retried: Count,
    pub(crate) returned: Count,
    pub(crate) leases_lost: Count,
    pub(crate) late_results_refused: Count,
    pub(crate) stalled: Count,
    pub(crate) store_errors: Count,
}

impl Counters {
    pub(crate) fn read(&self) -> WorkerStats {
        WorkerStats {
            started: self.started.get(),
            completed: self.completed.get(),
            failed: self.failed.get(),
            retried: self.retried.get(),
            returned: self.returned.get(),
            leases_lost: self.leases_lost.get(),
            late_results_refused: self.late_results_refused.get(),
            stalled: self.stalled.get(),
            store_errors: self.store_errors.get(),
        }
    }
}

/// What all parts of a worker share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queue: QueueAddress,
    pub(crate) clock: Clock,
    pub(crate) id: String,
    pub(crate) settings: Settings,
    pub(crate) policy: Policy,
    pub(crate) routes: Routes,
    pub(crate) listeners: Listeners,
    /// The processes that run the handlers, if this one does not.
    pub(crate) pool: Option<Arc<Pool>>,
    pub(crate) counters: Counters,
    pub(crate) control: watch::Sender<Control>,
    pub(crate) started_at: Timestamp,
    last_take_at: AtomicI64,
    /// When a job was last taken, or the store said why it gives none, or there was no slot.
    last_progress: AtomicI64,
    /// When the search for the jobs of dead workers last saw an empty queue; [`NEVER`] if it saw none the last time.
    empty_at: AtomicI64,
    /// The tokens of takes without an answer, until when they are looked for: a server that was away can still run what it
    /// was sent before.
    doubtful: Mutex<VecDeque<(Token, Timestamp)>>,
    /// Tells of such takes.
    doubted: Notify,
    /// Jobs of such takes that were found late, for the exchange.
    found: Mutex<Vec<LeasedJob>>,
    /// Why the worker ended itself.
    broken: Mutex<Option<Error>>,
    /// Every job whose ending is not acknowledged yet. Held only for moments, so a std mutex does.
    running: Mutex<HashMap<Lease, Arc<Running>>>,
    /// Whether duties may sleep because nothing runs.
    duties_sleep: AtomicBool,
    busy: Notify,
    /// What each duty's last error was, so that an outage is told once.
    trouble: Mutex<HashMap<&'static str, ErrorKind>>,
    /// Ends the duties.
    pub(crate) stop: CancellationToken,
    /// Set when the worker has announced itself for the first time, or could not.
    pub(crate) announced: CancellationToken,
    /// Whether the end is an orderly one.
    goodbye: AtomicBool,
    /// Set when all has ended.
    pub(crate) closed: CancellationToken,
}

impl Shared {
    #[allow(clippy::too_many_arguments, reason = "called once, by the builder")]
    pub(crate) fn new(
        store: Arc<dyn Store>,
        queue: QueueAddress,
        clock: Clock,
        settings: Settings,
        policy: Policy,
        routes: Routes,
        listeners: Listeners,
        pool: Option<Arc<Pool>>,
        concurrency: usize,
    ) -> Self {
        let started_at = clock.now();
        Self {
            store,
            queue,
            clock,
            id: uuid::Uuid::new_v4().to_string(),
            settings,
            policy,
            routes,
            listeners,
            pool,
            counters: Counters::default(),
            control: watch::Sender::new(Control {
                stage: Stage::Working,
                paused: false,
                concurrency,
                looks: 0,
            }),
            started_at,
            last_take_at: AtomicI64::new(0),
            last_progress: AtomicI64::new(started_at.as_millis()),
            empty_at: AtomicI64::new(NEVER),
            doubtful: Mutex::default(),
            doubted: Notify::new(),
            found: Mutex::default(),
            broken: Mutex::default(),
            running: Mutex::default(),
            duties_sleep: AtomicBool::new(false),
            busy: Notify::new(),
            trouble: Mutex::default(),
            stop: CancellationToken::new(),
            announced: CancellationToken::new(),
            goodbye: AtomicBool::new(false),
            closed: CancellationToken::new(),
        }
    }

    pub(crate) fn running(&self) -> MutexGuard<'_, HashMap<Lease, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job was taken.
    pub(crate) fn begin(&self, running: &Arc<Running>) {
        let now = self.clock.now().as_millis();
        self.last_take_at.store(now, Ordering::Relaxed);
        self.last_progress.store(now, Ordering::Relaxed);
        self.running().insert(running.lease.clone(), running.clone());
        if self.duties_sleep.swap(false, Ordering::SeqCst) {
            self.busy.notify_waiters();
        }
    }

    /// Waits until a job runs. For callers that do not come back for a while, as they are not to be woken for every job: that
    /// would cost each of them a switch of threads.
    pub(crate) async fn until_busy(&self) {
        loop {
            let mut busy = pin!(self.busy.notified());
            // From here on it hears whoever begins.
            busy.as_mut().enable();
            self.duties_sleep.store(true, Ordering::SeqCst);
            if !self.running().is_empty() {
                return;
            }
            busy.await;
        }
    }

    /// A job is not this worker's any more.
    pub(crate) fn end(&self, lease: &Lease) {
        self.running().remove(lease);
    }

    /// Ends the duties in an orderly way.
    pub(crate) fn stop_with_goodbye(&self) {
        self.goodbye.store(true, Ordering::Release);
        self.stop.cancel();
    }

    pub(crate) fn says_goodbye(&self) -> bool {
        self.goodbye.load(Ordering::Acquire)
    }

    /// Tells every handler to stop, for what it has given to tasks of its own: it is about to be dropped.
    pub(crate) fn stop_all(&self) {
        let all: Vec<Arc<Running>> = self.running().values().cloned().collect();
        for running in all {
            running.stop(CancelCause::Closing);
        }
    }

    /// A job was taken, or there was a good reason for taking none.
    pub(crate) fn progressed(&self) {
        self.last_progress.store(self.clock.now().as_millis(), Ordering::Relaxed);
    }

    pub(crate) fn last_progress(&self) -> Timestamp {
        Timestamp::from_millis(self.last_progress.load(Ordering::Relaxed))
    }

    /// The search for the jobs of dead workers, begun at that time, saw an empty queue, or not.
    pub(crate) fn saw(&self, is_empty: bool, at: Timestamp) {
        if is_empty {
            self.empty_at.store(at.as_millis(), Ordering::Relaxed);
            // To take nothing is all that can be done.
            self.progressed();
        } else if self.empty_at.swap(NEVER, Ordering::Relaxed) != NEVER {
            // The exchange may rely on it, and sleep.
            self.control.send_modify(|_| {});
        }
    }

    /// Until when the queue counts as empty, if it does: there is no need to look.
    pub(crate) fn empty_until(&self) -> Option<Timestamp> {
        let (now, at) = (self.clock.now(), Timestamp::from_millis(self.empty_at.load(Ordering::Relaxed)));
        let until = at + self.settings.empty_for();
        // If the clock was set back, nobody knows when that was.
        (at <= now && now < until).then_some(until)
    }

    /// Whether the worker could take a job.
    pub(crate) fn has_free_slot(&self) -> bool {
        let control = *self.control.borrow();
        let free =
            control.stage == Stage::Working && !control.paused && self.running().len() < control.concurrency;
        if !free {
            self.progressed();
        }
        free
    }

    /// A take got no answer: its jobs are looked for again, for two leases' time.
    pub(crate) fn doubt(&self, token: Token) {
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        if doubtful.len() == DOUBTFUL_MAX {
            doubtful.pop_front();
        }
        doubtful.push_back((token, self.clock.now() + self.settings.lease * 2));
        drop(doubtful);
        self.doubted.notify_one();
    }

    /// Waits until there is a take without an answer. For one caller.
    pub(crate) async fn until_doubtful(&self) {
        while self.doubtful().is_empty() {
            self.doubted.notified().await;
        }
    }

    /// The takes without an answer that are still to be looked for.
    pub(crate) fn doubtful(&self) -> Vec<Token> {
        let now = self.clock.now();
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        doubtful.retain(|(_, until)| *until > now);
        doubtful.iter().map(|(token, _)| token.clone()).collect()
    }

    /// Hands the jobs of a take that were found late to the exchange, once: a take is run whole or not at all.
    pub(crate) fn hand_over(&self, token: &Token, jobs: Vec<LeasedJob>) {
        if !jobs.is_empty() {
            self.doubtful.lock().unwrap_or_else(PoisonError::into_inner).retain(|(other, _)| other != token);
            self.found.lock().unwrap_or_else(PoisonError::into_inner).extend(jobs);
            self.look_again();
        }
    }

    /// The jobs that were found late.
    pub(crate) fn found(&self) -> Vec<LeasedJob> {
        std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the exchange to look at the queue now.
    pub(crate) fn look_again(&self) {
        self.control.send_modify(|control| control.looks += 1);
    }

    /// Ends the worker, with an error.
    pub(crate) fn give_up(&self, error: Error) {
        tracing::error!(queue = %self.queue, worker = %self.id, %error, "the worker ends itself");
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.control.send_modify(|control| control.stage = Stage::Ending);
    }

    /// Why the worker ended itself, if it did.
    pub(crate) fn broken(&self) -> Option<Error> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn last_take_at(&self) -> Option<i64> {
        Some(self.last_take_at.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    /// The store failed a call: counted each time, told when it is news for this duty.
    pub(crate) fn trouble(&self, duty: &'static str, error: &Error) {
        self.counters.store_errors.add_one();
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let before = trouble.insert(duty, error.kind());
        drop(trouble);
        if before != Some(error.kind()) {
            tracing::error!(queue = %self.queue, worker = %self.id, duty, %error, "the store failed; trying again");
            self.listeners.tell(|| WorkerEvent::Error { error: error.clone() });
        }
    }

    /// The store answered this duty.
    pub(crate) fn answered(&self, duty: &'static str) {
        let before = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).remove(duty);
        if before.is_some() {
            tracing::info!(queue = %self.queue, worker = %self.id, duty, "the store answers again");
        }
    }

    /// Starts the span of something that this worker does, with its id and name.
    pub(crate) fn trace(&self, operation: &'static str, kind: SpanKind, parent: SpanParent<'_>) -> Trace {
        let trace = self.settings.tracer.start(operation, self.queue.name(), kind, parent);
        trace.set(attribute::WORKER_ID, || self.id.as_str().into());
        if let Some(name) = &self.settings.name {
            trace.set(attribute::WORKER_NAME, || name.as_str().into());
        }
        trace
    }

    /// How long to wait after the store failed so often in a row.
    pub(crate) fn retry_delay(&self, failures: u32) -> Duration {
        RETRY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.settings.retry_delay)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.id)
            .field("queue", &self.queue)
            .field("settings", &self.settings)
            .field("routes", &self.routes)
            .field("running", &self.running().len())
            .finish_non_exhaustive()
    }
}
