//! What telemetry hears of one job: the span `process`, the span of each ending that is sent, and figures.

use std::sync::OnceLock;

use super::exchange::Pending;
use super::run::Running;
use super::shared::Shared;
use crate::clock::{Timestamp, millis};
use crate::outcome::Ending;
use crate::telemetry::{SpanKind, SpanParent, Trace, attribute, figure};

/// The span of a job that runs, from before its handler is called until its ending is stored or refused.
#[derive(Debug, Default)]
pub(crate) struct JobTrace {
    process: OnceLock<Trace>,
    ended_at: OnceLock<Timestamp>,
}

impl JobTrace {
    /// Starts the span, under the one that the job was added in.
    pub(super) fn begin(&self, shared: &Shared, running: &Running) -> &Trace {
        self.process.get_or_init(|| {
            // A handler must not be found under whatever span this worker was started in.
            let parent = running.options.trace.as_deref().map_or(SpanParent::Root, SpanParent::Carried);
            let trace = shared.trace("process", SpanKind::Consumer, parent);
            trace.set(attribute::JOB_ID, || running.job.id.as_str().into());
            trace.set(attribute::JOB_NAME, || running.job.name.as_str().into());
            trace
        })
    }

    /// The handler has ended.
    pub(super) fn handler_ended(&self, now: Timestamp) {
        let _ = self.ended_at.set(now);
    }

    /// Starts the span of an ending that is sent, if that is one of a try.
    pub(super) fn ending(&self, shared: &Shared, pending: &Pending) -> Trace {
        let operation = match &pending.decision.ending {
            Ending::Completed { .. } => "complete",
            Ending::Failed { .. } => "fail",
            Ending::Retry { at: None, .. } => "retry",
            Ending::Retry { at: Some(_), .. } => "delay",
            Ending::Postponed { .. } | Ending::Returned | Ending::AwaitChildren { .. } => {
                return Trace::none();
            }
        };
        let tracer = &shared.settings.tracer;
        let Some(process) = self.process.get().filter(|_| tracer.is_on()) else { return Trace::none() };
        let trace = process
            .within(|| tracer.start(operation, shared.queue.name(), SpanKind::Internal, SpanParent::Current));
        let job = &pending.running.job;
        trace.set(attribute::JOB_NAME, || job.name.as_str().into());
        trace.set(attribute::JOB_ID, || job.id.as_str().into());
        trace
    }

    /// The ending is stored: ends the span, and counts.
    pub(super) fn stored(&self, shared: &Shared, pending: &Pending) {
        if !shared.settings.tracer.is_on() {
            return;
        }
        let Some(process) = self.process.get() else { return };
        let job = &pending.running.job;
        let ended_at = self.ended_at.get().copied().unwrap_or_else(|| shared.clock.now());
        let (counter, state) = match &pending.decision.ending {
            Ending::Completed { return_value, .. } => {
                process.event("job completed", attribute::JOB_RESULT, || return_value.as_str().into());
                (figure::JOBS_COMPLETED, "completed")
            }
            Ending::Failed { failure, .. } => {
                failed(process, &failure.reason);
                (figure::JOBS_FAILED, "failed")
            }
            Ending::Retry { failure, at } => {
                failed(process, &failure.reason);
                match at {
                    None => (figure::JOBS_RETRIED, "retried"),
                    Some(_) => (figure::JOBS_DELAYED, "delayed"),
                }
            }
            Ending::Postponed { .. } => (figure::JOBS_DELAYED, "delayed"),
            Ending::Returned => (figure::JOBS_WAITING, "waiting"),
            Ending::AwaitChildren { .. } => (figure::JOBS_WAITING_CHILDREN, "waiting-children"),
        };
        let spends_none = matches!(
            pending.decision.ending,
            Ending::Postponed { .. } | Ending::Returned | Ending::AwaitChildren { .. }
        );
        if !spends_none {
            process.set(attribute::JOB_ATTEMPTS_MADE, || job.attempts_made.saturating_add(1).into());
        }
        process.set(attribute::JOB_ATTEMPT_FINISHED, || ended_at.as_millis().into());
        if let Some(processed_on) = job.processed_on {
            process.set(attribute::JOB_PROCESSED, || processed_on.as_millis().into());
        }
        process.end();
        shared.settings.tracer.measure(|meter| {
            let attributes = [
                (attribute::QUEUE_NAME, shared.queue.name().into()),
                (attribute::JOB_NAME, job.name.as_str().into()),
                (attribute::JOB_STATE, state.into()),
            ];
            meter.count(counter, &attributes);
            if let Some(processed_on) = job.processed_on {
                let millis = u64::try_from(millis(ended_at - processed_on)).unwrap_or(0);
                meter.duration(figure::JOB_DURATION, millis, &attributes);
            }
        });
    }

    /// The ending cannot be stored: ends the span.
    pub(super) fn refused(&self, why: &str) {
        if let Some(process) = self.process.get() {
            process.error(|| format!("the result was refused: {why}"));
            process.end();
        }
    }
}

/// A try failed: an event as BullMQ has it, and an error, so that the trace shows as a failed one.
fn failed(process: &Trace, reason: &str) {
    process.event("job failed", attribute::JOB_FAILED_REASON, || reason.into());
    process.error(|| reason.to_owned());
}
