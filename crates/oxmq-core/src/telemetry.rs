//! Spans and figures: what queues and workers tell a tracing system, and the context that travels with a job.
//!
//! Whoever has such a system implements [`Telemetry`] and gives it to [`QueueBuilder::telemetry`],
//! [`WorkerBuilder::telemetry`] and [`FlowProducerBuilder::telemetry`]; for OpenTelemetry the crate `oxmq` has it ready,
//! under its feature `otel`. The names of spans and attributes are BullMQ's, and so is the place of the context in a job
//! (`opts.tm`), so that one trace runs from a producer in Node through a worker here, and the other way round.
//!
//! Every span is named `<operation> <queue>` (of no queue: `<operation>`), and has [`QUEUE_NAME`](attribute::QUEUE_NAME) and
//! [`OPERATION`](attribute::OPERATION). An error is recorded on the span of the call that it ended.
//!
//! | operation | kind | further attributes |
//! | --- | --- | --- |
//! | `add` (its name ends in `.<job name>`) | producer | `job.name`, `job.id` |
//! | `add`, of a schedule that is put (its name ends in `.<job name>`) | producer | `job.scheduler.id`, `job.id` (of its next job) |
//! | `addBulk` | producer | `job.bulk.names`, `job.bulk.count` |
//! | `addFlow` (of the root's queue) | producer | `flow.name` (the root's) |
//! | `addBulkFlows` (of no queue) | producer | `job.bulk.names` (of the roots, as one text with commas), `job.bulk.count` |
//! | `addNode`, under its parent's or one of these two | producer | `job.name`, `job.id` |
//! | `process` | consumer | `worker.id`, `worker.name`, `job.id`, `job.name`; at its end `job.attempts.made`, `job.attempt_finished_timestamp`, `job.processed.timestamp`; events `job completed` (`job.result`), `job failed` (`job.failed.reason`) |
//! | `complete`, `fail`, `retry`, `delay` | internal, under `process` | `job.name`, `job.id` |
//! | `rateLimit` | internal | `queue.rate.limit`; by a handler: `worker.id`, `worker.rate.limit` |
//! | `pause`, `resume` | internal | of a worker: `worker.id`, `worker.name`, `worker.do.not.wait.active` |
//! | `close` (of a worker) | internal | `worker.id`, `worker.name`, `worker.force.close` |
//! | `extendLocks` | internal, a trace of its own | `worker.id`, `worker.name`, `worker.jobs.to.extend.locks` |
//! | `moveStalledJobsToWait` | internal, a trace of its own | `worker.id`, `worker.name`, `worker.stalled.jobs`; events `job stalled` (`job.id`) |
//! | `remove` | internal | `job.id`, `job.options` |
//! | `removeDeduplicationKey` | internal | `job.deduplication.key` |
//! | `updateJobProgress` (of a queue) | internal | `job.id`, `job.progress` |
//! | `drain` | internal | `queue.drain.delay` |
//! | `clean` | internal | `queue.grace`, `job.type`, `queue.clean.limit`, `queue.clean.count` |
//! | `obliterate`, `promoteJobs` | internal | `queue.options` |
//! | `retryJobs` | producer | `queue.options` |
//! | `trimEvents` | internal | `queue.event.max.length` |
//!
//! A job carries the context of the span that it is added in: of `add`, whatever its producer says; of `addBulk` and
//! `addNode`, unless its options bring one ([`JobOptions::trace`]). [`JobOptions::omit_trace`] keeps it out. Jobs of a
//! schedule carry none, unless the schedule's options bring one: each run begins a trace of its own. With BullMQ they
//! carry that in which the schedule was put, for ever; here a trace ends. A schedule that BullMQ has put goes on as there.
//!
//! With a [`Meter`], each ending that is stored counts one of `bullmq.jobs.completed`, `.failed`, `.retried`, `.delayed`,
//! `.waiting`, `.waiting_children`, and records `bullmq.job.duration`; [`Queue::record_counts`] records `bullmq.queue.jobs`.
//!
//! [`QueueBuilder::telemetry`]: crate::QueueBuilder::telemetry
//! [`WorkerBuilder::telemetry`]: crate::WorkerBuilder::telemetry
//! [`FlowProducerBuilder::telemetry`]: crate::FlowProducerBuilder::telemetry
//! [`Queue::record_counts`]: crate::Queue::record_counts

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Result;
use crate::options::JobOptions;

/// A tracing system.
///
/// It must not fail: there is nobody to tell. A panic of it is caught and logged, and the work goes on.
pub trait Telemetry: Send + Sync {
    /// Starts a span.
    fn start(&self, name: &str, kind: SpanKind, parent: SpanParent<'_>) -> Arc<dyn Span>;

    /// Where figures go; default nowhere.
    fn meter(&self) -> Option<&dyn Meter> {
        None
    }
}

/// A span that was started. It ends once, with [`end`](Self::end); later calls change nothing.
pub trait Span: Send + Sync {
    /// Sets an attribute, or replaces it.
    fn set(&self, name: &'static str, value: AttributeValue);

    /// Something happened now.
    fn event(&self, name: &'static str, attributes: &[(&'static str, AttributeValue)]);

    /// What the span is about went wrong.
    fn error(&self, message: &str);

    /// The context of this span as text, for [`SpanParent::Carried`] in another process; `None` if it has none.
    fn context(&self) -> Option<String>;

    /// Calls `work` once, with this span as the current one of the thread. Called for each poll of a future, so that the
    /// code in it finds this span; on return everything is as before.
    fn within(&self, work: &mut dyn FnMut());

    /// Ends it now.
    fn end(&self);
}

/// Takes figures. The names are those in the head of this module.
pub trait Meter: Send + Sync {
    /// Adds one to a counter.
    fn count(&self, name: &'static str, attributes: &[(&'static str, AttributeValue)]);

    /// Records a duration, in milliseconds.
    fn duration(&self, name: &'static str, millis: u64, attributes: &[(&'static str, AttributeValue)]);

    /// Sets a gauge.
    fn gauge(&self, name: &'static str, value: u64, attributes: &[(&'static str, AttributeValue)]);
}

/// What a span is under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanParent<'a> {
    /// The current span of the thread, if there is one.
    Current,
    /// Nothing: it begins a trace.
    Root,
    /// A span of another process, whose [context](Span::context) this is. Text that is not understood is as
    /// [`Root`](Self::Root): it comes from outside.
    Carried(&'a str),
}

/// What part a span has in the way of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanKind {
    /// None. BullMQ's number is 0.
    Internal,
    /// It adds jobs. BullMQ's number is 3.
    Producer,
    /// It runs a job. BullMQ's number is 4.
    Consumer,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttributeValue {
    /// A text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Yes or no.
    Bool(bool),
    /// Texts.
    Texts(Vec<String>),
}

macro_rules! value_from {
    ($($type:ty => $to:expr;)*) => {
        $(impl From<$type> for AttributeValue {
            fn from(value: $type) -> Self {
                $to(value)
            }
        })*
    };
}

value_from! {
    String => Self::Text;
    &str => |text: &str| Self::Text(text.to_owned());
    i64 => Self::Int;
    u64 => |number| Self::Int(i64::try_from(number).unwrap_or(i64::MAX));
    u32 => |number| Self::Int(i64::from(number));
    bool => Self::Bool;
    Vec<String> => Self::Texts;
}

/// The names of attributes.
pub mod attribute {
    #![allow(missing_docs, reason = "each is its own name")]

    pub const QUEUE_NAME: &str = "bullmq.queue.name";
    pub const OPERATION: &str = "bullmq.queue.operation";
    pub const QUEUE_OPTIONS: &str = "bullmq.queue.options";
    pub const QUEUE_GRACE: &str = "bullmq.queue.grace";
    pub const QUEUE_CLEAN_LIMIT: &str = "bullmq.queue.clean.limit";
    pub const QUEUE_CLEAN_COUNT: &str = "bullmq.queue.clean.count";
    pub const QUEUE_DRAIN_DELAY: &str = "bullmq.queue.drain.delay";
    pub const QUEUE_RATE_LIMIT: &str = "bullmq.queue.rate.limit";
    pub const QUEUE_EVENT_MAX_LENGTH: &str = "bullmq.queue.event.max.length";
    pub const QUEUE_JOBS_STATE: &str = "bullmq.queue.jobs.state";
    pub const JOB_NAME: &str = "bullmq.job.name";
    pub const JOB_ID: &str = "bullmq.job.id";
    pub const JOB_BULK_NAMES: &str = "bullmq.job.bulk.names";
    pub const JOB_BULK_COUNT: &str = "bullmq.job.bulk.count";
    pub const JOB_TYPE: &str = "bullmq.job.type";
    pub const JOB_STATE: &str = "bullmq.job.state";
    pub const JOB_OPTIONS: &str = "bullmq.job.options";
    pub const JOB_PROGRESS: &str = "bullmq.job.progress";
    pub const JOB_RESULT: &str = "bullmq.job.result";
    pub const JOB_FAILED_REASON: &str = "bullmq.job.failed.reason";
    pub const JOB_ATTEMPTS_MADE: &str = "bullmq.job.attempts.made";
    pub const JOB_ATTEMPT_FINISHED: &str = "bullmq.job.attempt_finished_timestamp";
    pub const JOB_PROCESSED: &str = "bullmq.job.processed.timestamp";
    pub const JOB_DEDUPLICATION_KEY: &str = "bullmq.job.deduplication.key";
    pub const JOB_SCHEDULER_ID: &str = "bullmq.job.scheduler.id";
    pub const FLOW_NAME: &str = "bullmq.flow.name";
    pub const WORKER_ID: &str = "bullmq.worker.id";
    pub const WORKER_NAME: &str = "bullmq.worker.name";
    pub const WORKER_RATE_LIMIT: &str = "bullmq.worker.rate.limit";
    pub const WORKER_DO_NOT_WAIT_ACTIVE: &str = "bullmq.worker.do.not.wait.active";
    pub const WORKER_FORCE_CLOSE: &str = "bullmq.worker.force.close";
    pub const WORKER_STALLED_JOBS: &str = "bullmq.worker.stalled.jobs";
    pub const WORKER_JOBS_TO_EXTEND: &str = "bullmq.worker.jobs.to.extend.locks";
}

/// The names of figures.
pub mod figure {
    /// Counts jobs that completed.
    pub const JOBS_COMPLETED: &str = "bullmq.jobs.completed";
    /// Counts jobs that failed for good.
    pub const JOBS_FAILED: &str = "bullmq.jobs.failed";
    /// Counts tries that failed and are followed by another at once.
    pub const JOBS_RETRIED: &str = "bullmq.jobs.retried";
    /// Counts jobs that run again later, after a failed try or by their own wish.
    pub const JOBS_DELAYED: &str = "bullmq.jobs.delayed";
    /// Counts jobs that were given back.
    pub const JOBS_WAITING: &str = "bullmq.jobs.waiting";
    /// Counts jobs that wait for their children by their own wish.
    pub const JOBS_WAITING_CHILDREN: &str = "bullmq.jobs.waiting_children";
    /// Milliseconds from when a job was taken to its ending.
    pub const JOB_DURATION: &str = "bullmq.job.duration";
    /// How many jobs are in a state.
    pub const QUEUE_JOBS: &str = "bullmq.queue.jobs";
}

/// The telemetry of a queue or a worker, if it has one. Nothing that goes wrong in it harms the work.
#[derive(Clone, Default)]
pub(crate) struct Tracer(Option<Arc<dyn Telemetry>>);

impl Tracer {
    pub(crate) fn new(telemetry: Arc<dyn Telemetry>) -> Self {
        Self(Some(telemetry))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Starts the span `<operation> <queue>`.
    pub(crate) fn start(
        &self,
        operation: &'static str,
        queue: &str,
        kind: SpanKind,
        parent: SpanParent<'_>,
    ) -> Trace {
        self.start_at(operation, queue, queue, kind, parent)
    }

    /// Starts the span `<operation> <destination>` of a queue; `<operation>` if there is no destination.
    pub(crate) fn start_at(
        &self,
        operation: &'static str,
        queue: &str,
        destination: &str,
        kind: SpanKind,
        parent: SpanParent<'_>,
    ) -> Trace {
        let Some(telemetry) = &self.0 else { return Trace::none() };
        let name = match destination {
            "" => operation.to_owned(),
            destination => format!("{operation} {destination}"),
        };
        let span = quietly(|| Some(telemetry.start(&name, kind, parent)));
        let trace = Trace { span, ended: AtomicBool::new(false) };
        trace.set(attribute::QUEUE_NAME, || queue.into());
        trace.set(attribute::OPERATION, || operation.into());
        trace
    }

    /// Gives the meter, if there is one, something to take.
    pub(crate) fn measure(&self, measure: impl FnOnce(&dyn Meter)) {
        if let Some(telemetry) = &self.0 {
            quietly(|| {
                if let Some(meter) = telemetry.meter() {
                    measure(meter);
                }
            });
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "Tracer(on)" } else { "Tracer(off)" })
    }
}

/// A span, or nothing where there is no telemetry. Ends when it is dropped.
#[derive(Default)]
pub(crate) struct Trace {
    span: Option<Arc<dyn Span>>,
    ended: AtomicBool,
}

/// Whose context a job carries when its producer has set one itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carried {
    /// The span's, always: as a single add in BullMQ.
    Spans,
    /// The producer's: as everything else in BullMQ.
    Producers,
}

impl Trace {
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Sets an attribute; the value is only made if there is a span.
    pub(crate) fn set(&self, name: &'static str, value: impl FnOnce() -> AttributeValue) {
        if let Some(span) = &self.span {
            quietly(|| span.set(name, value()));
        }
    }

    pub(crate) fn event(
        &self,
        name: &'static str,
        attribute: &'static str,
        value: impl FnOnce() -> AttributeValue,
    ) {
        if let Some(span) = &self.span {
            quietly(|| span.event(name, &[(attribute, value())]));
        }
    }

    pub(crate) fn error(&self, message: impl FnOnce() -> String) {
        if let Some(span) = &self.span {
            quietly(|| span.error(&message()));
        }
    }

    /// Ends it now, and not again when it is dropped.
    pub(crate) fn end(&self) {
        if let Some(span) = &self.span
            && !self.ended.swap(true, Ordering::AcqRel)
        {
            quietly(|| span.end());
        }
    }

    /// Calls `work` with the span as the current one. Only a panic of `work` itself goes through.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let Some(span) = &self.span else { return work() };
        let mut work = Some(work);
        let mut done = None;
        quietly(|| {
            span.within(&mut || {
                if let Some(work) = work.take() {
                    done = Some(catch_unwind(AssertUnwindSafe(work)));
                }
            });
        });
        match (done, work) {
            (Some(Ok(done)), _) => done,
            (Some(Err(panic)), _) => resume_unwind(panic),
            // The telemetry did not call it.
            (None, Some(work)) => work(),
            (None, None) => resume_unwind(Box::new("work that was called left nothing")),
        }
    }

    /// Awaits `work` with the span as the current one of whatever thread it is polled on.
    pub(crate) async fn around<T>(&self, work: impl Future<Output = T>) -> T {
        if self.span.is_none() {
            return work.await;
        }
        let mut work = pin!(work);
        poll_fn(|context| self.within(|| work.as_mut().poll(context))).await
    }

    /// Awaits a call in the span, records its error, and ends the span; `then` says more of its answer.
    pub(crate) async fn call<T>(
        &self,
        work: impl Future<Output = Result<T>>,
        then: impl FnOnce(&Self, &T),
    ) -> Result<T> {
        let result = self.around(work).await;
        match &result {
            Ok(answer) => then(self, answer),
            Err(error) => self.error(|| error.to_string()),
        }
        self.end();
        result
    }

    /// Puts the span's context into the options of a job that is added in it.
    pub(crate) fn put_context(&self, options: &mut JobOptions, carried: Carried) {
        let Some(span) = &self.span else { return };
        let keep = carried == Carried::Producers && options.trace.is_some();
        if options.omit_trace != Some(true)
            && !keep
            && let Some(context) = quietly(|| span.context())
        {
            options.trace = Some(context);
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.span.is_some() { "Trace(on)" } else { "Trace(off)" })
    }
}

/// Calls into the telemetry; a panic of it is logged, and gives the default.
fn quietly<T: Default>(call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
        tracing::error!("the telemetry panicked");
        T::default()
    })
}
