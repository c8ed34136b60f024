//! [`Queue`]: the face for everybody who adds jobs, looks at them, or steers them.
//!
//! Nothing is decided here: each method turns what the caller says into one call of the [`Store`], or into a loop
//! of bounded calls.

mod add;
mod children;
mod events;
mod joiner;
mod look;
mod metrics;
mod result;
mod schedules;
mod steer;

use std::fmt;
use std::sync::Arc;

pub use self::add::{AddJob, JOB_NAME_BYTES_MAX};
pub(crate) use self::add::{check, no_answer, payload};
pub use self::events::{EventStream, Notice};
use self::joiner::AddJoiner;
pub use self::metrics::{Metrics, MetricsTime};
pub use self::result::JobOutcome;
pub use self::schedules::{PutSchedule, Schedule, Schedules};

use crate::address::{DEFAULT_PREFIX, QueueAddress};
use crate::clock::Clock;
use crate::error::Result;
use crate::options::{DATA_BYTES_MAX_DEFAULT, JobOptions};
use crate::store::Store;
use crate::telemetry::{SpanKind, SpanParent, Telemetry, Trace, Tracer};

/// A queue of a store. Cheap to clone; clones are the same queue.
///
/// ```ignore
/// let store = oxmq::connect("sqlite:jobs.db").await?;
/// let queue = oxmq::Queue::new(&store, "emails")?;
/// let job = queue.add(Welcome { user: 7 }).delay(Duration::from_secs(30)).await?;
/// println!("job {} is {}", job.id, job.state);
/// ```
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    address: QueueAddress,
    clock: Clock,
    /// None when there is nothing to merge.
    defaults: Option<JobOptions>,
    data_limit: usize,
    joiner: Arc<AddJoiner>,
    tracer: Tracer,
}

impl Queue {
    /// The queue `name` of `store`, under the default prefix.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): the name is empty, too long, or contains `:`.
    pub fn new(store: &Arc<dyn Store>, name: &str) -> Result<Self> {
        Self::builder(store, name).build()
    }

    /// The queue `name` of `store`, with settings.
    pub fn builder(store: &Arc<dyn Store>, name: &str) -> QueueBuilder {
        QueueBuilder {
            store: store.clone(),
            prefix: DEFAULT_PREFIX.into(),
            name: name.into(),
            clock: Clock::system(),
            defaults: JobOptions::default(),
            data_limit: DATA_BYTES_MAX_DEFAULT,
            tracer: Tracer::default(),
        }
    }

    /// Its address: prefix and name.
    pub fn address(&self) -> &QueueAddress {
        &self.inner.address
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.inner.address.name()
    }

    /// The store it is kept in.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The clock it goes by.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Starts the span of an operation, under the caller's.
    fn trace(&self, operation: &'static str, kind: SpanKind) -> Trace {
        self.inner.tracer.start(operation, self.name(), kind, SpanParent::Current)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("address", &self.inner.address)
            .field("store", &self.inner.store.describe())
            .finish_non_exhaustive()
    }
}

/// Settings of a [`Queue`].
#[derive(Debug, Clone)]
#[must_use]
pub struct QueueBuilder {
    store: Arc<dyn Store>,
    prefix: String,
    name: String,
    clock: Clock,
    defaults: JobOptions,
    data_limit: usize,
    tracer: Tracer,
}

impl QueueBuilder {
    /// The prefix; default `bull`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The clock; default the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Options for jobs that do not bring their own. An id is never taken from here.
    pub fn default_options(mut self, options: JobOptions) -> Self {
        self.defaults = options;
        self
    }

    /// The most bytes of JSON that a job's data may have; default 1 MiB
    /// ([`DATA_BYTES_MAX_DEFAULT`]). A job's own `size_limit` counts instead of it.
    pub fn data_limit(mut self, bytes: usize) -> Self {
        self.data_limit = bytes;
        self
    }

    /// Where spans and figures go, and where the context comes from that travels with each job; default nowhere. What
    /// there is: [`telemetry`](crate::telemetry).
    pub fn telemetry(mut self, telemetry: Arc<dyn Telemetry>) -> Self {
        self.tracer = Tracer::new(telemetry);
        self
    }

    /// The queue.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): the name or the prefix, or a default option.
    pub fn build(self) -> Result<Queue> {
        self.defaults.check()?;
        let address = QueueAddress::with_prefix(self.prefix, self.name)?;
        let joiner = Arc::new(AddJoiner::new(self.store.clone(), address.clone()));
        let inner = Inner {
            store: self.store,
            address,
            clock: self.clock,
            defaults: (self.defaults != JobOptions::default()).then_some(self.defaults),
            data_limit: self.data_limit,
            joiner,
            tracer: self.tracer,
        };
        Ok(Queue { inner: Arc::new(inner) })
    }
}
