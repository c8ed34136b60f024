//! The setters of a job's options, written once for all builders of jobs.

use crate::clock::Timestamp;
use crate::options::JobOptions;

/// The setters, for a builder with the fields `options: JobOptions` and `at: Option<Timestamp>`: its own, or those of the field that
/// is named.
macro_rules! option_setters {
    ($($inner:ident)?) => {
        /// All options at once; later settings go over them.
        pub fn options(mut self, options: $crate::JobOptions) -> Self {
            self.$($inner.)?options = options;
            self
        }

        /// An id of your own: not a whole number, no `:`. Adding it twice adds one job.
        pub fn id(mut self, id: impl Into<$crate::JobId>) -> Self {
            self.$($inner.)?options.job_id = Some(id.into());
            self
        }

        /// Runs it after so long.
        pub fn delay(mut self, delay: std::time::Duration) -> Self {
            self.$($inner.)?options.delay = Some(delay);
            self.$($inner.)?at = None;
            self
        }

        /// Runs it at a point in time (a `SystemTime` or a [`Timestamp`](crate::Timestamp)); one in the past is now.
        pub fn at(mut self, time: impl Into<$crate::Timestamp>) -> Self {
            self.$($inner.)?at = Some(time.into());
            self
        }

        /// 0, the default, runs before 1, 1 before 2, up to 2,097,151.
        pub fn priority(mut self, priority: u32) -> Self {
            self.$($inner.)?options.priority = Some(priority);
            self
        }

        /// Runs it next: last in, first out.
        pub fn lifo(mut self) -> Self {
            self.$($inner.)?options.lifo = Some(true);
            self
        }

        /// How often it is tried in all; 1 is no second try.
        pub fn attempts(mut self, attempts: u32) -> Self {
            self.$($inner.)?options.attempts = Some(attempts);
            self
        }

        /// How long to wait before each further try.
        pub fn backoff(mut self, backoff: $crate::Backoff) -> Self {
            self.$($inner.)?options.backoff = Some(backoff);
            self
        }

        /// What is kept of completed jobs when this one completes.
        pub fn remove_on_complete(mut self, keep: $crate::Retention) -> Self {
            self.$($inner.)?options.remove_on_complete = Some(keep);
            self
        }

        /// What is kept of failed jobs when this one fails for good.
        pub fn remove_on_fail(mut self, keep: $crate::Retention) -> Self {
            self.$($inner.)?options.remove_on_fail = Some(keep);
            self
        }

        /// How many log lines are kept, the newest.
        pub fn keep_logs(mut self, lines: u32) -> Self {
            self.$($inner.)?options.keep_logs = Some(lines);
            self
        }

        /// How many stacks of failures are kept, the newest; default 10.
        pub fn stack_trace_limit(mut self, entries: u32) -> Self {
            self.$($inner.)?options.stack_trace_limit = Some(entries);
            self
        }

        /// The most bytes that the data may have as JSON, instead of the usual limit.
        pub fn size_limit(mut self, bytes: usize) -> Self {
            self.$($inner.)?options.size_limit = Some(bytes);
            self
        }

        /// How long one run may take; it then counts as a failed try.
        pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
            self.$($inner.)?options.timeout = Some(timeout);
            self
        }

        /// How late its first start may be, counted from when it is due; too late, it fails instead of running.
        pub fn ttl(mut self, ttl: std::time::Duration) -> Self {
            self.$($inner.)?options.ttl = Some(ttl);
            self
        }

        /// What its final failure does to its parent; without this the parent waits until the job is retried and
        /// completes, or is removed. No effect on a job without a parent.
        pub fn on_failure(mut self, what: $crate::ChildFailure) -> Self {
            self.$($inner.)?options.on_failure = Some(what);
            self
        }
    };
}

pub(crate) use option_setters;

/// A point in time as the delay from the job's timestamp.
pub(crate) fn with_time(mut options: JobOptions, at: Option<Timestamp>, now: Timestamp) -> JobOptions {
    if let Some(at) = at {
        options.delay = Some(at - options.timestamp.unwrap_or(now));
    }
    options
}
