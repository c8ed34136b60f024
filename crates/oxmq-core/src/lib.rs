//! The model, the [`Store`] trait and the worker engine of oxmq. It knows no backend.
//!
//! Users take the crate `oxmq`, which re-exports all of this. Whoever writes a store starts at [`store`].

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod metrics;
pub mod schedule;
pub mod store;
pub mod telemetry;

mod address;
mod args;
mod children;
mod clock;
mod deduplication;
mod error;
mod events;
mod family;
mod flow;
mod job;
mod json;
mod options;
mod outcome;
mod queue;
mod retry;
mod setters;
mod state;
mod turn;
mod worker;

pub use address::{DEFAULT_PREFIX, JobId, JobKey, NAME_BYTES_MAX, QueueAddress, Token};
pub use args::JobArgs;
pub use children::CHILDREN_GATHERED_MAX;
pub use clock::{Clock, ClockHand, Timestamp, millis};
pub use deduplication::{DEDUPLICATION_ID_BYTES_MAX, Deduplication};
pub use error::{Error, ErrorKind, Result};
pub use events::{Event, EventCursor, EventId, EventKind, StoredEvent};
pub use family::{ChildFailure, Parent};
pub use flow::{
    FLOW_DEPTH_MAX, FlowJob, FlowProducer, FlowProducerBuilder, FlowTree, GetFlow, JobNode,
    TREE_CHILDREN_DEFAULT, TREE_DEPTH_DEFAULT,
};
pub use job::{Job, JobView, Lease, LeasedJob, NewJob};
pub use json::JsonText;
pub use options::{Backoff, Curve, DATA_BYTES_MAX_DEFAULT, JobOptions, PRIORITY_MAX, Retention};
pub use outcome::{Ending, Failure};
pub use queue::{
    AddJob, EventStream, JOB_NAME_BYTES_MAX, JobOutcome, Metrics, MetricsTime, Notice, PutSchedule, Queue,
    QueueBuilder, Schedule, Schedules,
};
pub use retry::{BACKOFF_MAX, backoff_delay};
pub use state::{JobState, Move, TRANSITIONS, is_legal};
pub use store::{JobCounts, Order, Store, WorkerInfo};
pub use telemetry::Telemetry;
#[doc(hidden)]
pub use turn::{hear, turn};
#[cfg(feature = "internals")]
#[doc(hidden)]
pub use worker::internals;
pub use worker::{
    AddChild, BackoffAnswer, BackoffAsk, CHILD_LINE_BYTES_MAX, CHILD_LOG_LINE_BYTES_MAX, CHILD_LOG_LINES_MAX,
    CONCURRENCY_MAX, CancelCause, ChildOutput, DEATHS_MAX, DEPTH, ENDINGS_PER_CALL_MAX, Handler,
    HandlerError, HandlerFuture, Handlers, Isolation, JobContext, KEEPING_MAX, QUARANTINED, REASON_BYTES_MAX,
    STACK_BYTES_MAX, STACKS_DEFAULT, SkipReason, TAKES_PER_CALL_MAX, Worker, WorkerBuilder, WorkerEvent,
    WorkerHandle, WorkerStats, child_queue, serve_if_child,
};
