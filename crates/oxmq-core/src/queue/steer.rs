//! Steering a queue and its jobs. What may be large runs in bounded steps, so that others are served in between.

use std::future::Future;
use std::time::Duration;

use serde::Serialize;

use super::Queue;
use crate::address::JobId;
use crate::clock::millis;
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Event, EventId, EventKind};
use crate::json::JsonText;
use crate::options::PRIORITY_MAX;
use crate::state::JobState;
use crate::store::{
    CancelAnswer, CancelRequest, Change, CleanRequest, DrainRequest, GROUP_JOBS_MAX, Limit, LimitRequest,
    Note, NoteRequest, ObliterateRequest, PromoteRequest, RateLimit, ReleaseRequest, RemoveAnswer,
    RemoveRequest, RemoveScope, RescheduleRequest, RetryRequest, Step, TrimEventsRequest,
};
use crate::telemetry::{SpanKind, Trace, attribute};

/// Jobs per step of a bulk operation, unless fewer are asked for.
const STEP_JOBS: usize = GROUP_JOBS_MAX;

impl Queue {
    /// Pauses the queue for all workers: nothing is taken until [`resume`](Self::resume). Running jobs go on, and jobs
    /// can be added.
    ///
    /// # Errors
    /// Those of the store; so for all of these.
    pub async fn pause(&self) -> Result<()> {
        let paused = self.inner.store.pause(&self.inner.address, self.inner.clock.now());
        self.trace("pause", SpanKind::Internal).call(paused, |_, ()| {}).await
    }

    /// Ends the pause.
    pub async fn resume(&self) -> Result<()> {
        let resumed = self.inner.store.resume(&self.inner.address, self.inner.clock.now());
        self.trace("resume", SpanKind::Internal).call(resumed, |_, ()| {}).await
    }

    /// Nothing is taken for so long; a limit that is there is replaced.
    pub async fn rate_limit(&self, duration: Duration) -> Result<()> {
        let trace = self.trace("rateLimit", SpanKind::Internal);
        trace.set(attribute::QUEUE_RATE_LIMIT, || millis(duration).into());
        let now = self.inner.clock.now();
        let request = LimitRequest { limit: Limit::Until(Some(now + duration)), now };
        trace.call(self.inner.store.limit(&self.inner.address, request), |_, ()| {}).await
    }

    /// Lifts the limit of [`rate_limit`](Self::rate_limit), and begins the window of a rate anew. BullMQ's
    /// `removeRateLimitKey`.
    pub async fn remove_rate_limit(&self) -> Result<()> {
        self.limit(Limit::Until(None)).await
    }

    /// At most so many jobs of the queue are active at a time, over all workers; 1 or more.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`]: 0.
    pub async fn set_global_concurrency(&self, most: u32) -> Result<()> {
        if most == 0 {
            let remedy = "use 1 or more; `pause` keeps a queue from giving any";
            return Err(Error::invalid("limit", "concurrency", most, remedy));
        }
        self.limit(Limit::Concurrency(Some(most))).await
    }

    /// Any number of jobs may be active.
    pub async fn remove_global_concurrency(&self) -> Result<()> {
        self.limit(Limit::Concurrency(None)).await
    }

    /// At most `max` jobs of the queue are taken in each `window` (1 ms to 34 years), over all workers. Windows begin with the
    /// first take after the end of the last one. For workers that have a rate of their own, `max` is this one's and
    /// the window theirs.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`]: a `max` of 0, or a window out of range.
    pub async fn set_global_rate_limit(&self, max: u32, window: Duration) -> Result<()> {
        if max == 0 {
            let remedy = "use 1 or more; `pause` keeps a queue from giving any";
            return Err(Error::invalid("limit", "max", max, remedy));
        }
        if !(1..=1 << 40).contains(&millis(window)) {
            return Err(Error::invalid("limit", "window", format!("{window:?}"), "use 1 ms to 34 years"));
        }
        self.limit(Limit::Rate(Some(RateLimit { max, window }))).await
    }

    /// Any number of jobs may be taken, but for what workers bring.
    pub async fn remove_global_rate_limit(&self) -> Result<()> {
        self.limit(Limit::Rate(None)).await
    }

    async fn limit(&self, limit: Limit) -> Result<()> {
        let request = LimitRequest { limit, now: self.inner.clock.now() };
        self.inner.store.limit(&self.inner.address, request).await
    }

    /// Cancels a job. One that has not started fails at once with the reason `cancelled: ..`; one that runs is
    /// told to stop, and ends so whatever its handler returns.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn cancel(&self, id: impl Into<JobId>, reason: impl Into<String>) -> Result<CancelAnswer> {
        let request = CancelRequest { job: id.into(), reason: reason.into(), now: self.inner.clock.now() };
        self.inner.store.cancel(&self.inner.address, request).await
    }

    /// Lets a delayed job run now.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::WrongState`].
    pub async fn promote(&self, id: impl Into<JobId>) -> Result<()> {
        let request = PromoteRequest::One { job: id.into(), now: self.inner.clock.now() };
        self.inner.store.promote(&self.inner.address, request).await.map(|_| ())
    }

    /// Lets all delayed jobs run now; `each` hears how many it were so far.
    pub async fn promote_all(&self, each: impl FnMut(u64)) -> Result<u64> {
        let trace = self.trace("promoteJobs", SpanKind::Internal);
        trace.set(attribute::QUEUE_OPTIONS, || "{}".into());
        let all = steps(each, |_| {
            let request = PromoteRequest::All { limit: STEP_JOBS, now: self.inner.clock.now() };
            self.inner.store.promote(&self.inner.address, request)
        });
        trace.call(all, |_, _| {}).await.map(|done| done.count)
    }

    /// Runs a finished job again; its counters go on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::WrongState`] (it is not in `state`).
    pub async fn retry(&self, id: impl Into<JobId>, state: JobState) -> Result<()> {
        self.retry_with(id, state, false, false).await
    }

    /// Runs a finished job again, and counts its tries or its starts anew if asked.
    ///
    /// # Errors
    /// As [`retry`](Self::retry).
    pub async fn retry_with(
        &self,
        id: impl Into<JobId>,
        state: JobState,
        reset_attempts_made: bool,
        reset_attempts_started: bool,
    ) -> Result<()> {
        check_final("retry", state)?;
        let request = RetryRequest::One {
            job: id.into(),
            state,
            reset_attempts_made,
            reset_attempts_started,
            now: self.inner.clock.now(),
        };
        self.inner.store.retry(&self.inner.address, request).await.map(|_| ())
    }

    /// Runs all jobs again that are now in `state` (completed or failed); `each` hears how many it were so far.
    pub async fn retry_all(&self, state: JobState, each: impl FnMut(u64)) -> Result<u64> {
        check_final("retry", state)?;
        let trace = self.trace("retryJobs", SpanKind::Producer);
        trace.set(attribute::QUEUE_OPTIONS, || format!(r#"{{"state":"{state}"}}"#).into());
        let finished_until = self.inner.clock.now();
        let all = steps(each, |_| {
            let now = self.inner.clock.now();
            let request = RetryRequest::Many { state, finished_until, limit: STEP_JOBS, now };
            self.inner.store.retry(&self.inner.address, request)
        });
        trace.call(all, |_, _| {}).await.map(|done| done.count)
    }

    /// A delayed job runs so long from now.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::WrongState`].
    pub async fn change_delay(&self, id: impl Into<JobId>, delay: Duration) -> Result<()> {
        self.reschedule(id.into(), Change::Delay(delay)).await
    }

    /// Another priority, and a place among the jobs that wait: behind its equals, or before them with `lifo`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Invalid`] above 2,097,151.
    pub async fn change_priority(&self, id: impl Into<JobId>, priority: u32, lifo: bool) -> Result<()> {
        if priority > PRIORITY_MAX {
            let remedy = format!("use 0 (first) to {PRIORITY_MAX} (last)");
            return Err(Error::invalid("change_priority", "priority", priority, remedy));
        }
        self.reschedule(id.into(), Change::Priority { priority, lifo }).await
    }

    async fn reschedule(&self, job: JobId, change: Change) -> Result<()> {
        let request = RescheduleRequest { job, change, now: self.inner.clock.now() };
        self.inner.store.reschedule(&self.inner.address, request).await
    }

    /// New data in place of the old, in any state.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Invalid`]: no JSON form, or more than the queue's limit.
    pub async fn update_data(&self, id: impl Into<JobId>, data: &(impl Serialize + ?Sized)) -> Result<()> {
        let data = json("update_data", "data", data)?;
        let (size, limit) = (data.as_str().len(), self.inner.data_limit);
        if size > limit {
            let remedy = format!("the limit is {limit} bytes; raise `data_limit` of the queue");
            return Err(Error::invalid("update_data", "data", format!("{size} bytes"), remedy));
        }
        self.note(id.into(), Note::Data(data)).await.map(|_| ())
    }

    /// Tells how far a job is: any JSON.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn update_progress(
        &self,
        id: impl Into<JobId>,
        progress: &(impl Serialize + ?Sized),
    ) -> Result<()> {
        let progress = json("update_progress", "progress", progress)?;
        let id = id.into();
        let trace = self.trace("updateJobProgress", SpanKind::Internal);
        trace.set(attribute::JOB_ID, || id.as_str().into());
        trace.set(attribute::JOB_PROGRESS, || progress.as_str().into());
        trace.call(self.note(id, Note::Progress(progress)), |_, _| {}).await.map(|_| ())
    }

    /// Adds a line to a job's log, of which the newest `keep` are kept; returns how many there are.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn add_log(
        &self,
        id: impl Into<JobId>,
        line: impl Into<String>,
        keep: Option<u32>,
    ) -> Result<u64> {
        self.note(id.into(), Note::Log { line: line.into(), keep }).await
    }

    /// Removes a job's log lines, but for the newest `keep`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn clear_logs(&self, id: impl Into<JobId>, keep: Option<u32>) -> Result<()> {
        self.note(id.into(), Note::ClearLogs { keep }).await.map(|_| ())
    }

    async fn note(&self, job: JobId, note: Note) -> Result<u64> {
        let request = NoteRequest { job, note, now: self.inner.clock.now() };
        self.inner.store.note(&self.inner.address, request).await
    }

    /// Removes a job, its children (in whatever queues) and all that belongs to it. If somebody works on it, or on one of the children it waits
    /// for, all stay. See also [`remove_alone`](Self::remove_alone).
    ///
    /// # Errors
    /// [`ErrorKind::Refused`]: there are too many jobs below it.
    pub async fn remove(&self, id: impl Into<JobId>) -> Result<RemoveAnswer> {
        self.remove_scope(id.into(), RemoveScope::WithChildren).await
    }

    pub(super) async fn remove_scope(&self, job: JobId, scope: RemoveScope) -> Result<RemoveAnswer> {
        let request = RemoveRequest { job, scope, now: self.inner.clock.now() };
        let trace = self.trace("remove", SpanKind::Internal);
        trace.set(attribute::JOB_ID, || request.job.as_str().into());
        trace.set(attribute::JOB_OPTIONS, || {
            format!(r#"{{"removeChildren":{}}}"#, scope == RemoveScope::WithChildren).into()
        });
        trace.call(self.inner.store.remove(&self.inner.address, request), |_, _| {}).await
    }

    /// Frees a deduplication id, whoever owns it, so that the next job with it is added. Returns whether it was taken.
    /// BullMQ's `removeDeduplicationKey`.
    pub async fn release_deduplication(&self, id: impl Into<String>) -> Result<bool> {
        let request = ReleaseRequest { id: id.into(), only_if_owner: None, now: self.inner.clock.now() };
        let trace = self.trace("removeDeduplicationKey", SpanKind::Internal);
        trace.set(attribute::JOB_DEDUPLICATION_KEY, || request.id.as_str().into());
        trace.call(self.inner.store.release_deduplication(&self.inner.address, request), |_, _| {}).await
    }

    /// Removes all jobs that wait, and the delayed ones if asked; `each` hears how many it were so far.
    pub async fn drain(&self, delayed: bool, each: impl FnMut(u64)) -> Result<u64> {
        let trace = self.trace("drain", SpanKind::Internal);
        trace.set(attribute::QUEUE_DRAIN_DELAY, || delayed.into());
        let all = steps(each, |_| {
            let request = DrainRequest { delayed, limit: STEP_JOBS, now: self.inner.clock.now() };
            self.inner.store.drain(&self.inner.address, request)
        });
        trace.call(all, |_, _| {}).await.map(|done| done.count)
    }

    /// Removes the jobs in `state` that are older than `grace`, at most `limit` of them (0 is all); `each` hears how
    /// many it were so far. Returns their ids.
    pub async fn clean(
        &self,
        state: JobState,
        grace: Duration,
        limit: u64,
        each: impl FnMut(u64),
    ) -> Result<Vec<JobId>> {
        let trace = self.trace("clean", SpanKind::Internal);
        trace.set(attribute::QUEUE_GRACE, || millis(grace).into());
        // BullMQ's name of the list.
        let kind = if state == JobState::Waiting { "wait" } else { state.as_str() };
        trace.set(attribute::JOB_TYPE, || kind.into());
        trace.set(attribute::QUEUE_CLEAN_LIMIT, || limit.into());
        let older_than = self.inner.clock.now().minus(grace);
        let limit = if limit == 0 { u64::MAX } else { limit };
        let all = steps(each, |done| {
            let left = usize::try_from(limit - done).unwrap_or(usize::MAX);
            let now = self.inner.clock.now();
            let request = CleanRequest { state, older_than, limit: left.min(STEP_JOBS), now };
            let clean = self.inner.store.clean(&self.inner.address, request);
            async move {
                let mut step = clean.await?;
                step.more &= done + step.count < limit;
                Ok(step)
            }
        });
        let count =
            |trace: &Trace, done: &Step| trace.set(attribute::QUEUE_CLEAN_COUNT, || done.count.into());
        Ok(trace.call(all, count).await?.ids)
    }

    /// Removes the queue with everything in it; `each` hears how many jobs it were so far. Pauses it first.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`]: jobs are active, and it is not forced. The queue stays paused then.
    pub async fn obliterate(&self, force: bool, each: impl FnMut(u64)) -> Result<u64> {
        let trace = self.trace("obliterate", SpanKind::Internal);
        trace.set(attribute::QUEUE_OPTIONS, || format!(r#"{{"force":{force}}}"#).into());
        let all = steps(each, |_| {
            let request = ObliterateRequest { force, limit: STEP_JOBS, now: self.inner.clock.now() };
            self.inner.store.obliterate(&self.inner.address, request)
        });
        trace.call(all, |_, _| {}).await.map(|done| done.count)
    }

    /// Lets go of old events: at least the newest `keep` stay. Returns how many went.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn trim_events(&self, keep: u64) -> Result<u64> {
        let trace = self.trace("trimEvents", SpanKind::Internal);
        trace.set(attribute::QUEUE_EVENT_MAX_LENGTH, || keep.into());
        let request = TrimEventsRequest { keep, from_now_on: false, now: self.inner.clock.now() };
        trace.call(self.inner.store.trim_events(&self.inner.address, request), |_, _| {}).await
    }

    /// Sets how many events the queue keeps, about; 10,000 unless set. A BullMQ program that opens the queue sets its own number.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn keep_events(&self, keep: u64) -> Result<()> {
        let request = TrimEventsRequest { keep, from_now_on: true, now: self.inner.clock.now() };
        self.inner.store.trim_events(&self.inner.address, request).await.map(drop)
    }

    /// Writes an event of your own into the queue's stream.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`]: the name is empty.
    pub async fn publish(&self, name: &str, fields: &[(&str, &str)]) -> Result<EventId> {
        if name.is_empty() {
            return Err(Error::invalid("publish", "name", "empty", "give the event a name"));
        }
        let fields = fields.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect();
        let event = Event::queue(EventKind::Custom { name: name.into(), fields });
        self.inner.store.publish(&self.inner.address, event, self.inner.clock.now()).await
    }
}

/// Makes steps until there is no more to do. Yields in between, so that one long operation holds up nobody here.
async fn steps<F>(mut each: impl FnMut(u64), mut step: impl FnMut(u64) -> F) -> Result<Step>
where
    F: Future<Output = Result<Step>>,
{
    let mut done = Step::default();
    loop {
        let next = step(done.count).await?;
        done.count += next.count;
        done.ids.extend(next.ids);
        each(done.count);
        if !next.more {
            return Ok(done);
        }
        tokio::task::yield_now().await;
    }
}

fn check_final(operation: &'static str, state: JobState) -> Result<()> {
    if state.is_final() {
        return Ok(());
    }
    Err(Error::invalid(operation, "state", state, "only completed and failed jobs can be run again"))
}

fn json(operation: &'static str, field: &'static str, value: &(impl Serialize + ?Sized)) -> Result<JsonText> {
    JsonText::of(value).map_err(|error| {
        Error::new(ErrorKind::Invalid, operation, format!("`{field}` has no JSON form: {error}"))
            .caused_by(error)
    })
}
