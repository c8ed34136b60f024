//! What a handler fails with: a plain failure, or a wish about what happens next.

use std::error::Error as StdError;
use std::fmt;
use std::process::ExitStatus;
use std::time::Duration;

use super::quarantine;
use crate::address::JobKey;
use crate::clock::Timestamp;

/// Why a handler did not succeed, and what should happen to the job.
///
/// Every error type converts into a plain failure, so `?` works in handlers; a plain failure is tried again as
/// the job's options say. The other kinds are made by the constructors here.
///
/// It does not implement [`std::error::Error`], as otherwise it could not be made of every type that does.
///
/// ```
/// use std::time::Duration;
/// use oxmq_core::HandlerError;
///
/// async fn charge(amount: u64) -> Result<(), HandlerError> {
///     let limit: u64 = "100".parse()?; // any error: a plain failure
///     if amount > limit {
///         return Err(HandlerError::give_up("more than the card allows")); // not tried again
///     }
///     if amount == 0 {
///         return Err(HandlerError::again_after(Duration::from_secs(60))); // no attempt spent
///     }
///     Ok(())
/// }
/// ```
pub struct HandlerError {
    pub(crate) wish: Wish,
    pub(crate) cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// What should happen to a job whose handler did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Fail this try; try again by the job's options.
    Fail,
    /// Fail for good.
    GiveUp,
    /// Fail this try, by killing the process; a job that has done that before fails for good.
    Died,
    /// Run again so long from now, without spending an attempt.
    AgainAfter(Duration),
    /// Run again then, without spending an attempt.
    AgainAt(Timestamp),
    /// Give the job back, without spending an attempt: it runs next.
    GiveBack,
    /// Give the job back, and let the queue give nothing for so long.
    RateLimited(Duration),
    /// Run again when its children have ended, without spending an attempt; if this child is pending, or any.
    AwaitChildren(Option<JobKey>),
}

impl HandlerError {
    /// A plain failure: the job is tried again if its options leave it a try. The same as converting the error.
    pub fn fail(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { wish: Wish::Fail, cause: Some(error.into()) }
    }

    /// Fails the job for good, whatever tries are left. Takes a message or an error.
    pub fn give_up(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { wish: Wish::GiveUp, cause: Some(error.into()) }
    }

    /// The process that did the work died: a plain failure, but the second one of the same job is its last. It ends
    /// [quarantined](crate::QUARANTINED) then, whatever tries are left, so that it kills no more processes.
    ///
    /// A process that was asked to end (by SIGTERM, SIGINT or SIGHUP) is a plain failure, however often: a service manager may
    /// do that to all processes of a worker.
    ///
    /// `memory` is what the process was last seen with, in bytes; `last_words` is the last it wrote, of which 500
    /// characters are kept. [Isolated handlers](crate::Isolation) say this by themselves; it is for handlers that start
    /// programs of their own.
    pub fn process_died(status: ExitStatus, memory: Option<u64>, last_words: &str) -> Self {
        quarantine::failure(Some(status), &quarantine::how_it_ended(status), memory, last_words)
    }

    /// Runs the job again after `delay`. That is not a failure: no attempt is spent.
    pub fn again_after(delay: Duration) -> Self {
        Self { wish: Wish::AgainAfter(delay), cause: None }
    }

    /// Runs the job again at `time`. That is not a failure: no attempt is spent.
    pub fn again_at(time: Timestamp) -> Self {
        Self { wish: Wish::AgainAt(time), cause: None }
    }

    /// Some service said "too many": the job goes back to the front without spending an attempt, and the whole
    /// queue gives no job to any worker for `pause`.
    pub fn rate_limited(pause: Duration) -> Self {
        Self { wish: Wish::RateLimited(pause), cause: None }
    }

    /// Gives the job back without spending an attempt: it runs next, here or in another worker. Nothing slows this down: a
    /// handler that always gives back runs again and again.
    pub fn give_back() -> Self {
        Self { wish: Wish::GiveBack, cause: None }
    }

    /// Runs the job again, from the start, when all its children have ended. That is not a failure: no attempt is spent. If no
    /// child is pending any more, it runs again at once.
    ///
    /// A child that has failed without any [say](crate::ChildFailure) in what that does is waited for until it is retried or
    /// removed. If one has failed that fails its parent, the job fails.
    ///
    /// ```
    /// use oxmq_core::{HandlerError, JobContext};
    ///
    /// async fn report(year: u32, job: JobContext) -> Result<u64, HandlerError> {
    ///     // A start may have been cut short: with ids of their own, those that are there already are found.
    ///     if job.child_counts().await?.total() < 12 {
    ///         for month in 1..=12 {
    ///             job.add_child_named("months", "sum up", &(year, month)).id(format!("{year}-{month}")).await?;
    ///         }
    ///         return Err(HandlerError::wait_for_children());
    ///     }
    ///     Ok(job.children_values::<u64>().await?.into_values().sum())
    /// }
    /// ```
    pub fn wait_for_children() -> Self {
        Self { wish: Wish::AwaitChildren(None), cause: None }
    }

    /// The same, but only if this child is pending; otherwise the job runs again at once. Once it waits, it waits for all
    /// of them.
    pub fn wait_for_child(child: JobKey) -> Self {
        Self { wish: Wish::AwaitChildren(Some(child)), cause: None }
    }

    /// The message: of the error it was made of.
    pub fn message(&self) -> String {
        match (&self.cause, &self.wish) {
            (Some(cause), _) => cause.to_string(),
            (None, Wish::AgainAfter(delay)) => format!("again after {} ms", delay.as_millis()),
            (None, Wish::AgainAt(time)) => format!("again at {time}"),
            (None, Wish::GiveBack) => "given back".into(),
            (None, Wish::RateLimited(pause)) => format!("rate limited for {} ms", pause.as_millis()),
            (None, Wish::AwaitChildren(_)) => "waits for its children".into(),
            (None, Wish::Fail | Wish::GiveUp | Wish::Died) => "failed".into(),
        }
    }

    /// The message and those of everything that caused it, one per line; at most [`CAUSES_MAX`] of them.
    pub(crate) fn stack(&self) -> String {
        self.messages().join("\n    caused by: ")
    }

    /// The same as a list.
    pub(crate) fn messages(&self) -> Vec<String> {
        let mut messages = vec![self.message()];
        let mut source = self.cause.as_ref().and_then(|cause| cause.source());
        for _ in 0..CAUSES_MAX {
            let Some(cause) = source else { break };
            messages.push(cause.to_string());
            source = cause.source();
        }
        messages
    }
}

/// The most causes that are written down; a chain that is longer is probably a circle.
const CAUSES_MAX: usize = 32;

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::fail(error)
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerError").field("wish", &self.wish).field("cause", &self.cause).finish()
    }
}
