//! How a worker is described before it starts.

use std::sync::Arc;
use std::time::Duration;

use super::Worker;
use super::duties;
use super::events::{Listeners, WorkerEvent};
use super::exchange::Exchange;
use super::finish::{BackoffAnswer, BackoffAsk, Policy};
use super::handler::{Handler, Handlers, Routes, route};
use super::isolate::{Isolation, Pool, is_child};
use super::shared::{Settings, Shared};
use crate::address::{DEFAULT_PREFIX, QueueAddress};
use crate::args::JobArgs;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Retention;
use crate::store::{METRICS_POINTS_MAX, RateLimit, Store};
use crate::telemetry::{Telemetry, Tracer};

/// The most jobs that one worker runs at once.
pub const CONCURRENCY_MAX: usize = 100_000;

/// A worker to be: what it works on, and how. Made by [`Worker::builder`].
#[must_use = "a worker does nothing until it is started"]
#[derive(Debug)]
pub struct WorkerBuilder {
    store: Arc<dyn Store>,
    prefix: String,
    queue: String,
    clock: Clock,
    concurrency: usize,
    renew_every: Option<Duration>,
    settings: Settings,
    policy: Policy,
    routes: Routes,
    isolation: Option<Isolation>,
    listeners: Listeners,
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listeners")
    }
}

impl WorkerBuilder {
    pub(super) fn new(store: Arc<dyn Store>, queue: String) -> Self {
        Self {
            store,
            prefix: DEFAULT_PREFIX.into(),
            queue,
            clock: Clock::system(),
            concurrency: 1,
            renew_every: None,
            settings: Settings {
                name: None,
                lease: Duration::from_secs(10),
                renew_every: Duration::from_secs(3),
                max_stalled: 3,
                max_starts: None,
                skip_stall_check: false,
                stall_check: Duration::from_secs(5),
                poll: Duration::from_secs(5),
                rate_limit: None,
                metrics: None,
                shutdown_timeout: Duration::from_secs(30),
                cancel_grace: Duration::from_secs(5),
                retry_delay: Duration::from_secs(1),
                stuck_after: Duration::from_secs(30),
                end_when_stuck: false,
                tracer: Tracer::default(),
            },
            policy: Policy::default(),
            routes: Routes::default(),
            isolation: None,
            listeners: Listeners::default(),
        }
    }

    /// The prefix of the queue; default `bull`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Another clock than the system's; for tests.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// A name, stored with the jobs it takes. Default none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// How many jobs it runs at once, 1 to [`CONCURRENCY_MAX`]; default 1.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// How long a job is safe from being given to others when this worker dies; default 10 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// How often leases are renewed; less than the lease. Default three tenths of it.
    pub fn renew_every(mut self, interval: Duration) -> Self {
        self.renew_every = Some(interval);
        self
    }

    /// How often the worker of a job may die before the job fails; default 3. With 0 no job is begun twice because a worker died: so none is begun
    /// before it is certain that the store will remember that, if the store answers before (the embedded store with durability `power`).
    pub fn max_stalled(mut self, max: u32) -> Self {
        self.settings.max_stalled = max;
        self
    }

    /// How often a job may be started in all, for whatever reason: one that is started more often fails for good. Default
    /// without limit.
    pub fn max_starts(mut self, max: u32) -> Self {
        self.settings.max_starts = Some(max);
        self
    }

    /// Leaves the search for the jobs of dead workers to other workers of the queue. Default no: if nobody
    /// looks, such jobs stay active for ever.
    pub fn skip_stall_check(mut self, skip: bool) -> Self {
        self.settings.skip_stall_check = skip;
        self
    }

    /// How often to look for the jobs of dead workers; default every 5 s. A queue that is empty, so that there is nothing to find, is
    /// looked at half as often (or later by a lease, if that is less).
    pub fn stall_check(mut self, interval: Duration) -> Self {
        self.settings.stall_check = interval;
        self
    }

    /// How often an idle worker looks for work even if nothing woke it; default every 5 s. While the look for the jobs of dead workers
    /// finds an empty queue, that does for up to two of these: a job whose wake-up was lost starts within 10 s.
    pub fn poll(mut self, interval: Duration) -> Self {
        self.settings.poll = interval;
        self
    }

    /// At most `max` jobs are taken in each `window`, counted over all workers of the queue. Default without limit.
    pub fn rate_limit(mut self, max: u32, window: Duration) -> Self {
        self.settings.rate_limit = Some(RateLimit { max, window });
        self
    }

    /// Counts the jobs that complete and fail in it, minute by minute, and keeps so many minutes of them: 1 to
    /// [`METRICS_POINTS_MAX`], such as [`MetricsTime::ONE_WEEK`](crate::MetricsTime::ONE_WEEK). They are read by [`Queue::metrics`](crate::Queue::metrics), to
    /// which all workers of a queue contribute that count. Default not.
    pub fn metrics(mut self, minutes: u32) -> Self {
        self.settings.metrics = Some(minutes);
        self
    }

    /// How long [`close`](Worker::close) waits for running jobs before it hands them back; default 30 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.settings.shutdown_timeout = timeout;
        self
    }

    /// How long a handler that was told to stop may take to do so before it is dropped; default 5 s.
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.settings.cancel_grace = grace;
        self
    }

    /// What is kept of completed jobs that do not say it themselves; default all.
    pub fn keep_completed(mut self, keep: Retention) -> Self {
        self.policy.keep_completed = keep;
        self
    }

    /// What is kept of failed jobs that do not say it themselves; default all.
    pub fn keep_failed(mut self, keep: Retention) -> Self {
        self.policy.keep_failed = keep;
        self
    }

    /// The longest wait before a store that failed is tried again; waits begin at 100 ms and double. Default 1 s.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.settings.retry_delay = delay;
        self
    }

    /// How long it may take nothing, while jobs are due and a slot is free, before it counts as stuck: that is told
    /// ([`WorkerEvent::Stuck`]), and the store makes new connections. Default 30 s.
    pub fn stuck_after(mut self, time: Duration) -> Self {
        self.settings.stuck_after = time;
        self
    }

    /// Whether a worker that is found stuck three times in a row ends, with an error from [`Worker::run`]; so that
    /// whatever keeps the process alive can start it anew. Default no: it goes on trying.
    pub fn end_when_stuck(mut self, end: bool) -> Self {
        self.settings.end_when_stuck = end;
        self
    }

    /// The delay of jobs whose backoff is a custom one. Without it they wait their base delay.
    pub fn backoff(
        mut self,
        function: impl Fn(&BackoffAsk<'_>) -> BackoffAnswer + Send + Sync + 'static,
    ) -> Self {
        self.policy.backoff = Some(Arc::new(function));
        self
    }

    /// Calls `listener` for what happens in this worker. It must be quick: the worker waits for it, and so may others of this process that
    /// share its store.
    pub fn on(mut self, listener: impl Fn(&WorkerEvent) + Send + Sync + 'static) -> Self {
        self.listeners.add(listener);
        self
    }

    /// Where spans and figures go; default nowhere. A handler runs within the span of its job, which is under the span
    /// that added it. What there is: [`telemetry`](crate::telemetry).
    pub fn telemetry(mut self, telemetry: Arc<dyn Telemetry>) -> Self {
        self.settings.tracer = Tracer::new(telemetry);
        self
    }

    /// Runs jobs of the handler's type, which gives their name.
    pub fn handle<Shape, H>(mut self, handler: H) -> Self
    where
        H: Handler<Shape>,
        H::Args: JobArgs,
    {
        self.routes.name(<H::Args as JobArgs>::NAME, route(handler));
        self
    }

    /// Runs jobs with this name; their data is anything that serde can read.
    pub fn handle_named<Shape, H: Handler<Shape>>(mut self, name: impl AsRef<str>, handler: H) -> Self {
        self.routes.name(name.as_ref(), route(handler));
        self
    }

    /// Runs jobs of every name that has no handler of its own.
    pub fn handle_any<Shape, H: Handler<Shape>>(mut self, handler: H) -> Self {
        self.routes.any(route(handler));
        self
    }

    /// Adds all these handlers.
    pub fn handlers(mut self, handlers: Handlers) -> Self {
        self.routes.extend(handlers.routes);
        self
    }

    /// Runs the handlers in child processes, so that what one does to its process costs the try of one job and no more. Of the
    /// handlers that this worker is given, only the names count then: the child has its own, by
    /// [`serve_if_child`](crate::serve_if_child). Default no.
    pub fn isolate(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// Starts it, on the tokio runtime that this is called in.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`]: no handler, two for one name, or a setting out of range; the message says which.
    /// [`ErrorKind::Unavailable`]: the system gives no thread. [`ErrorKind::Unsupported`]: this is no tokio runtime, or it has
    /// no I/O, or this system no child processes, for an [`isolated`](Self::isolate) worker. [`ErrorKind::Refused`]: this process is the child of an
    /// isolated worker, and should have called [`serve_if_child`](crate::serve_if_child).
    pub fn start(mut self) -> Result<Worker> {
        let queue =
            QueueAddress::with_prefix(std::mem::take(&mut self.prefix), std::mem::take(&mut self.queue))?;
        self.settings.renew_every = self.renew_every.unwrap_or(self.settings.lease.mul_f64(0.3));
        self.check()?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| {
            Error::new(ErrorKind::Unsupported, "start", "a worker starts within a tokio runtime")
                .caused_by(error)
        })?;
        if is_child() {
            let message = "this process was started to run handlers for an isolated worker: call `serve_if_child` first of all";
            return Err(Error::new(ErrorKind::Refused, "start", message));
        }
        let pool = self.isolation.map(Pool::new).transpose()?;
        let shared = Arc::new(Shared::new(
            self.store,
            queue,
            self.clock,
            self.settings,
            self.policy,
            self.routes,
            self.listeners,
            pool,
            self.concurrency,
        ));
        let duties = duties::start(shared.clone())?;
        if let Some(pool) = &shared.pool {
            pool.watch(&shared);
        }
        let exchange = runtime.spawn(Exchange::new(shared.clone()).run(duties));
        Ok(Worker { shared, exchange })
    }

    /// Starts it and waits until it has ended, which somebody else has to bring about.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`Worker::run`].
    pub async fn run(self) -> Result<()> {
        self.start()?.run().await
    }

    fn check(&self) -> Result<()> {
        let settings = &self.settings;
        let refuse = |field, value: String, remedy: &str| Err(Error::invalid("start", field, value, remedy));
        if self.routes.is_empty() {
            return refuse("handle", "missing".into(), "give the worker at least one handler");
        }
        if let Some(name) = self.routes.twice.first() {
            return refuse("handle", format!("given twice for `{name}`"), "give one handler per name");
        }
        if !(1..=CONCURRENCY_MAX).contains(&self.concurrency) {
            return refuse("concurrency", self.concurrency.to_string(), "use 1 to 100000");
        }
        let waits = [
            ("lease", settings.lease),
            ("renew_every", settings.renew_every),
            ("stall_check", settings.stall_check),
            ("poll", settings.poll),
            ("retry_delay", settings.retry_delay),
            ("stuck_after", settings.stuck_after),
        ];
        for (field, wait) in waits {
            if wait < Duration::from_millis(1) {
                return refuse(field, format!("{wait:?}"), "use at least a millisecond");
            }
        }
        if settings.renew_every >= settings.lease {
            let value = format!("{:?}", settings.renew_every);
            return refuse("renew_every", value, "it must be less than the lease");
        }
        if let Some(minutes) = settings.metrics.filter(|it| !(1..=METRICS_POINTS_MAX).contains(it)) {
            return refuse("metrics", minutes.to_string(), "use 1 to 100800 minutes");
        }
        if let Some(limit) = settings.rate_limit
            && (limit.max == 0 || limit.window < Duration::from_millis(1))
        {
            return refuse("rate_limit", format!("{limit:?}"), "use at least 1 job and a millisecond");
        }
        Ok(())
    }
}
