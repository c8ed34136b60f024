//! How a job ends: decided here, written by the exchange. Pure.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::context::CancelCause;
use super::errors::{HandlerError, Wish};
use super::quarantine;
use crate::clock::Timestamp;
use crate::job::Job;
use crate::json::JsonText;
use crate::options::{Curve, JobOptions, Retention};
use crate::outcome::{Ending, Failure};
use crate::retry::backoff_delay;

/// The longest reason that is stored, in bytes.
pub const REASON_BYTES_MAX: usize = 64 << 10;

/// The longest stack of one failure that is stored, in bytes.
pub const STACK_BYTES_MAX: usize = 16 << 10;

/// How many stacks are kept when the job does not say.
pub const STACKS_DEFAULT: u32 = 10;

/// What a worker's own backoff function is asked.
#[derive(Debug)]
#[non_exhaustive]
pub struct BackoffAsk<'a> {
    /// The job, as it was taken.
    pub job: &'a Job,
    /// The name of the curve, from the job's options.
    pub curve: &'a str,
    /// The base delay in the job's options; zero if it has none.
    pub delay: Duration,
    /// How many tries have failed, this one included.
    pub tries: u32,
    /// Why this one failed.
    pub reason: &'a str,
}

/// What a worker's own backoff function answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackoffAnswer {
    /// Try again after so long; zero is at once.
    After(Duration),
    /// Do not try again.
    GiveUp,
}

pub(crate) type BackoffFunction = Arc<dyn Fn(&BackoffAsk<'_>) -> BackoffAnswer + Send + Sync>;

/// What the worker has to say about endings, where the job says nothing.
#[derive(Clone, Default)]
pub(crate) struct Policy {
    pub(crate) keep_completed: Retention,
    pub(crate) keep_failed: Retention,
    pub(crate) backoff: Option<BackoffFunction>,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("keep_completed", &self.keep_completed)
            .field("keep_failed", &self.keep_failed)
            .field("backoff", &self.backoff.is_some())
            .finish()
    }
}

/// What came of running a job.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The handler succeeded.
    Done(JsonText),
    /// The handler said no.
    Failed(HandlerError),
    /// The handler panicked, with this message.
    Panicked(String),
    /// It was not called, for this reason.
    Refused(String),
    /// It was stopped, or told to stop: the cause counts, not what it returned.
    Stopped(CancelCause),
}

/// What is to be written, and what is to be told when it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision {
    pub(crate) ending: Ending,
    pub(crate) heeds_cancel: bool,
}

impl Decision {
    fn plain(ending: Ending) -> Self {
        Self { ending, heeds_cancel: false }
    }
}

/// Decides how a job ends. `chance` is drawn evenly from 0 to 1.
pub(crate) fn ending_for(
    job: &Job,
    options: &JobOptions,
    outcome: Outcome,
    policy: &Policy,
    now: Timestamp,
    chance: f64,
) -> Decision {
    let failing = Failing { job, options, policy };
    match outcome {
        Outcome::Done(return_value) => {
            let keep = options.remove_on_complete.unwrap_or(policy.keep_completed);
            Decision::plain(Ending::Completed { return_value, keep })
        }
        Outcome::Failed(error) => match error.wish {
            Wish::Fail => Decision::plain(failing.by_policy(&error.message(), &error.stack(), now, chance)),
            Wish::GiveUp => Decision::plain(failing.for_good(&error.message(), Some(&error.stack()))),
            Wish::Died => {
                let reason = error.message();
                Decision::plain(match quarantine::verdict(job, &reason) {
                    Some(verdict) => failing.for_good(&verdict, Some(&reason)),
                    None => failing.by_policy(&reason, &reason, now, chance),
                })
            }
            Wish::AgainAfter(delay) => Decision::plain(Ending::Postponed { at: now + delay }),
            Wish::AgainAt(at) => Decision::plain(Ending::Postponed { at }),
            Wish::GiveBack | Wish::RateLimited(_) => Decision::plain(Ending::Returned),
            Wish::AwaitChildren(child) => Decision::plain(Ending::AwaitChildren { child }),
        },
        Outcome::Panicked(message) => {
            let reason = format!("panicked: {message}");
            Decision::plain(failing.by_policy(&reason, &reason, now, chance))
        }
        Outcome::Refused(reason) => Decision::plain(failing.for_good(&reason, None)),
        Outcome::Stopped(cause) => match cause {
            CancelCause::Requested(_) => {
                Decision { ending: failing.for_good(&cause.to_string(), None), heeds_cancel: true }
            }
            CancelCause::TimedOut(_) => {
                let reason = cause.to_string();
                Decision::plain(failing.by_policy(&reason, &reason, now, chance))
            }
            CancelCause::LeaseLost | CancelCause::Closing => Decision::plain(Ending::Returned),
        },
    }
}

/// A job that has failed.
struct Failing<'a> {
    job: &'a Job,
    options: &'a JobOptions,
    policy: &'a Policy,
}

impl Failing<'_> {
    /// Tried again if a try is left.
    fn by_policy(&self, reason: &str, stack: &str, now: Timestamp, chance: f64) -> Ending {
        let tries = self.job.attempts_made.saturating_add(1);
        if tries < self.options.attempts.unwrap_or(0)
            && let BackoffAnswer::After(delay) = self.delay(tries, reason, chance)
        {
            let at = (delay >= Duration::from_millis(1)).then(|| now + delay);
            return Ending::Retry { failure: self.failure(reason, Some(stack)), at };
        }
        self.for_good(reason, Some(stack))
    }

    fn for_good(&self, reason: &str, stack: Option<&str>) -> Ending {
        Ending::Failed {
            failure: self.failure(reason, stack),
            attempts: self.options.attempts.unwrap_or(0),
            keep: self.options.remove_on_fail.unwrap_or(self.policy.keep_failed),
        }
    }

    /// The delay before the next try. A curve that is the worker's own, in a worker that has none, waits its base
    /// delay: the job is not lost for it. So it does if the function panics.
    fn delay(&self, tries: u32, reason: &str, chance: f64) -> BackoffAnswer {
        let Some(backoff) = &self.options.backoff else { return BackoffAnswer::After(Duration::ZERO) };
        if let Some(delay) = backoff_delay(backoff, tries, chance) {
            return BackoffAnswer::After(delay);
        }
        let fallback = BackoffAnswer::After(backoff.delay);
        let Curve::Custom(curve) = &backoff.curve else { return fallback };
        let Some(function) = &self.policy.backoff else {
            tracing::warn!(job = %self.job.id, curve, "this worker has no backoff function; waiting the base delay");
            return fallback;
        };
        let ask = BackoffAsk { job: self.job, curve, delay: backoff.delay, tries, reason };
        catch_unwind(AssertUnwindSafe(|| function(&ask))).unwrap_or_else(|_| {
            tracing::error!(job = %self.job.id, curve, "the backoff function panicked; waiting the base delay");
            fallback
        })
    }

    fn failure(&self, reason: &str, stack: Option<&str>) -> Failure {
        Failure {
            reason: cut(reason, REASON_BYTES_MAX),
            stacktrace: stack.map(|stack| self.stacks(cut(stack, STACK_BYTES_MAX))),
        }
    }

    /// The stored stacks and this one, the newest that the job's limit allows.
    fn stacks(&self, stack: String) -> JsonText {
        let limit = self.options.stack_trace_limit.unwrap_or(STACKS_DEFAULT) as usize;
        let mut stacks: Vec<String> =
            self.job.stacktrace.as_ref().and_then(|stored| stored.read().ok()).unwrap_or_default();
        stacks.push(stack);
        let surplus = stacks.len().saturating_sub(limit);
        JsonText::of(&stacks[surplus..]).unwrap_or_else(|_| JsonText::stored("[]"))
    }
}

/// The text, with at most so many bytes.
fn cut(text: &str, bytes_max: usize) -> String {
    const MARK: &str = " ..";
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut end = bytes_max - MARK.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &text[..end])
}

/// Why a job must not be run although it was taken; `None` if it may.
pub(crate) fn refusal_before_start(
    job: &Job,
    options: &JobOptions,
    starts_max: Option<u32>,
    now: Timestamp,
) -> Option<String> {
    if let Some(reason) = &job.deferred_failure {
        return Some(reason.clone());
    }
    if starts_max.is_some_and(|max| job.attempts_started > max) {
        return Some("job started more than allowable limit".into());
    }
    let ttl = options.ttl?;
    let due = job.timestamp + options.delay.unwrap_or_default();
    let late = job.attempts_started <= 1 && now > due + ttl;
    late.then(|| format!("expired: not started within {} ms of {}", ttl.as_millis(), due.to_rfc3339()))
}

#[cfg(test)]
#[path = "finish_tests.rs"]
mod tests;
