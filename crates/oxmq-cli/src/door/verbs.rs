//! The table of operations: which function does it, and how it stands to the others of its stream.

use std::future::Future;
use std::pin::Pin;

use super::call::{Call, Outcome};
use super::{await_children, family, finish, listen, look, meta, note, produce, schedule, steer, take};

/// What an operation does, when it is its turn.
pub(super) type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// An operation.
type Operation = fn(Call) -> Work;

/// How an operation stands to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It changes nothing: it may run with others of its kind.
    Read,
    /// One call that changes something.
    Write,
    /// Several calls, of which one depends on the other: it runs alone.
    Alone,
}

/// The operation of a request; `None` if there is none of this name, or it is one that a session does by itself.
pub(super) fn find(call: &Call) -> Option<(Kind, Operation)> {
    macro_rules! table {
        ($($kind:ident { $($name:literal => $function:path,)* })*) => {
            match &*call.method {
                $($($name => (Kind::$kind, (|call| Box::pin($function(call))) as Operation),)*)*
                _ => return None,
            }
        };
    }
    Some(table! {
        Read {
            "getClientList" => meta::clients,
            "getCounts" => look::counts,
            "getCountsPerPriority" => look::counts_per_priority,
            "getDeduplicationJobId" => produce::owner,
            "getDependencies" => family::dependencies,
            "getDependencyCounts" => family::counts,
            "getIgnoredChildrenFailures" => family::failures,
            "getJobData" => look::job,
            "getJobLogs" => look::logs,
            "getJobScheduler" => schedule::get,
            "getJobSchedulerData" => schedule::get_data,
            "getJobSchedulersCount" => schedule::count,
            "getJobSchedulersRange" => schedule::range,
            "getMetrics" => look::metrics,
            "getProcessedChildrenValues" => family::values,
            "getQueueMeta" => meta::all,
            "getQueueMetaField" => meta::field,
            "getQueueMetaFields" => meta::fields,
            "getRanges" => look::ranges,
            "getRateLimitTtl" => meta::rate_limit_ttl,
            "getState" => look::state,
            "hasQueueMetaField" => meta::has,
            "isFinished" => look::is_finished,
            "isJobInState" => look::is_in_state,
            "isJobScheduler" => schedule::is_there,
            "isMaxed" => look::is_maxed,
            "paginate" => family::paginate,
            "removeDeprecatedPriorityKey" => meta::nothing,
            "removeOrphanedJobs" => steer::remove_orphans,
        }
        Write {
            "addFlow" => produce::add_flow,
            "addJobs" => produce::add_jobs,
            "addLog" => note::add_log,
            "changeDelay" => steer::change_delay,
            "changePriority" => steer::change_priority,
            "clearLogs" => note::clear_logs,
            "deleteDeduplicationKey" => produce::release,
            "extendLock" => take::extend_lock,
            "extendLocks" => take::extend_locks,
            "moveStalledJobsToWait" => take::move_stalled,
            "moveToActive" => take::move_to_active,
            "moveToCompleted" => finish::move_to_completed,
            "moveToDelayed" => finish::move_to_delayed,
            "moveToFailed" => finish::move_to_failed,
            "pause" => steer::pause,
            "promote" => steer::promote,
            "promoteJobs" => steer::promote_jobs,
            "publishEvent" => listen::publish,
            "remove" => steer::remove,
            "removeDeduplicationKey" => produce::release,
            "removeJobScheduler" => schedule::remove,
            "removeQueueMetaFields" => meta::remove,
            "removeUnprocessedChildren" => steer::remove_unprocessed,
            "retryFinishedJob" => steer::retry_finished_job,
            "retryFinishedJobs" => steer::retry_finished_jobs,
            "setQueueMeta" => meta::set,
            "setRateLimit" => meta::set_rate_limit,
            "trimEvents" => listen::trim,
            "updateData" => note::update_data,
            "updateJobSchedulerNextMillis" => schedule::advance,
            "updateProgress" => note::update_progress,
        }
        Alone {
            "addJobScheduler" => schedule::put,
            "cleanJobsByState" => steer::clean,
            "drain" => steer::drain,
            "moveJobFromActiveToWait" => finish::move_to_wait,
            "moveToWaitingChildren" => await_children::move_to_waiting_children,
            "obliterate" => steer::obliterate,
            "removeChildDependency" => steer::detach,
            "removeRateLimitKey" => meta::remove_rate_limit,
            "retryJob" => finish::retry_job,
        }
    })
}
