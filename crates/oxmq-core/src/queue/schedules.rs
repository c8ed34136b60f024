//! Schedules: jobs that are made again and again.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;

use super::Queue;
use crate::address::NAME_BYTES_MAX;
use crate::args::JobArgs;
use crate::clock::{Timestamp, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::job::NewJob;
use crate::json::JsonText;
use crate::options::{Backoff, JobOptions, Retention};
use crate::schedule::step::slot_of;
use crate::schedule::{Missed, Overlap, PREVIEW_RUNS_MAX, Policy, Repeat, Rule, Zone};
use crate::store::{
    PutScheduleRequest, RemoveScheduleRequest, ScheduleInfo, Scheduled, SchedulesPage, SchedulesRequest,
};
use crate::telemetry::{SpanKind, SpanParent, Trace, attribute};

/// When a schedule makes jobs, and what becomes of runs that were missed or overlap.
///
/// ```
/// use std::time::Duration;
/// use oxmq_core::Schedule;
/// use oxmq_core::schedule::{Missed, Overlap};
///
/// let heartbeat = Schedule::every(Duration::from_secs(30));
/// let report = Schedule::cron("0 9 * * MON-FRI").zone("Europe/Stockholm").overlap(Overlap::Skip);
/// let meter = Schedule::every(Duration::from_secs(3600)).missed(Missed::All { within: Duration::from_secs(86_400) });
/// # let _ = (heartbeat, report, meter);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Schedule {
    repeat: Repeat,
    policy: Policy,
}

impl Schedule {
    /// A job every so often, the first one at once; whole milliseconds, 1 ms to 34 years.
    pub fn every(every: Duration) -> Self {
        Self::from(Repeat::every(every))
    }

    /// A job at the times that a [cron expression](crate::schedule::Cron) names, in UTC unless a [`zone`](Self::zone) is given.
    pub fn cron(expression: impl Into<String>) -> Self {
        Self::from(Repeat::pattern(expression))
    }

    /// The time zone in which a cron expression is read: `Europe/Stockholm`; default `UTC`. It is stored with the schedule, so that
    /// all programs agree.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.repeat.tz = Some(zone.into());
        self
    }

    /// How many jobs it makes in all; at least 1, default without limit. Putting the schedule again does not begin anew.
    pub fn limit(mut self, jobs: u64) -> Self {
        self.repeat.limit = Some(jobs);
        self
    }

    /// When it begins. The first job of "every" is at that time, that of a cron expression after it. Default now.
    pub fn start(mut self, at: impl Into<Timestamp>) -> Self {
        self.repeat.start_date = Some(at.into());
        self
    }

    /// When it ends: no job is later. Default never.
    pub fn end(mut self, at: impl Into<Timestamp>) -> Self {
        self.repeat.end_date = Some(at.into());
        self
    }

    /// "Every" only: how far its times are from the multiples of `every` since 1970, in whole milliseconds and less than
    /// `every`. `Schedule::every(hour).offset(5 minutes)` is at five past. Default as the first job has it.
    pub fn offset(mut self, offset: Duration) -> Self {
        self.repeat.offset = Some(millis(offset));
        self
    }

    /// Cron only: the first job is made at once, when the schedule is put.
    pub fn immediately(mut self) -> Self {
        self.repeat.immediately = true;
        self
    }

    /// What becomes of slots that pass while no worker works; default [`Missed::Last`].
    pub fn missed(mut self, missed: Missed) -> Self {
        self.policy.missed = missed;
        self
    }

    /// What becomes of a job that would start while one of an earlier slot is active; default [`Overlap::Allow`].
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.policy.overlap = overlap;
        self
    }

    /// What the `H` of a cron expression is hashed from; default the schedule's id.
    pub fn hash_seed(mut self, seed: impl Into<String>) -> Self {
        self.repeat.hash_seed = Some(seed.into());
        self
    }
}

impl From<Repeat> for Schedule {
    fn from(mut repeat: Repeat) -> Self {
        let policy = Policy { behind: 0, ..Policy::of(&repeat) };
        // They are written when it is put.
        Policy::default().write(&mut repeat);
        Self { repeat, policy }
    }
}

impl Queue {
    /// The queue's schedules.
    pub fn schedules(&self) -> Schedules {
        Schedules { queue: self.clone() }
    }
}

/// The schedules of a queue. From [`Queue::schedules`].
///
/// A schedule has one job that waits for its next slot. When a worker starts it, it makes the next one first: a schedule goes on as long
/// as jobs of the queue are worked on, and one job is made per slot.
#[derive(Debug, Clone)]
pub struct Schedules {
    queue: Queue,
}

impl Schedules {
    /// Makes a schedule, or gives the one with this id another rule or template; to be called by every program at its start, if you
    /// like. Its jobs are of a type that fixes their name and payload. Ends in `.await`.
    ///
    /// ```no_run
    /// # use oxmq_core::{JobArgs, Queue, Schedule};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Report { team: String }
    /// # impl JobArgs for Report { const NAME: &'static str = "report"; }
    /// # async fn put(queue: Queue) -> oxmq_core::Result<()> {
    /// let weekdays = Schedule::cron("0 9 * * MON-FRI").zone("Europe/Stockholm");
    /// let scheduled = queue.schedules().put("daily-report", weekdays, Report { team: "sales".into() }).attempts(3).await?;
    /// println!("first run: {:?}", scheduled.next.map(|next| next.due.to_rfc3339()));
    /// # Ok(())
    /// # }
    /// ```
    #[allow(clippy::needless_pass_by_value, reason = "a template is handed over")]
    pub fn put<T: JobArgs>(&self, id: impl Into<String>, schedule: Schedule, args: T) -> PutSchedule {
        self.put_named(id, schedule, T::NAME, &args)
    }

    /// The same with jobs of any name, and any payload that has a JSON form.
    pub fn put_named(
        &self,
        id: impl Into<String>,
        schedule: Schedule,
        name: impl Into<String>,
        data: &(impl Serialize + ?Sized),
    ) -> PutSchedule {
        let data = JsonText::of(data).map_err(|error| {
            Error::new(ErrorKind::Invalid, "put_schedule", format!("`data` has no JSON form: {error}"))
                .caused_by(error)
        });
        PutSchedule {
            queue: self.queue.clone(),
            id: id.into(),
            schedule,
            name: name.into(),
            data,
            options: JobOptions::default(),
        }
    }

    /// One schedule; `None` if there is none.
    ///
    /// # Errors
    /// Those of the store; so for all of these.
    pub async fn get(&self, id: &str) -> Result<Option<ScheduleInfo>> {
        self.queue.inner.store.schedule(&self.queue.inner.address, id).await
    }

    /// A page of the schedules, by when they are due next; also those that have ended, until they are removed.
    pub async fn list(&self, request: SchedulesRequest) -> Result<SchedulesPage> {
        self.queue.inner.store.schedules(&self.queue.inner.address, request).await
    }

    /// How many there are, with those that have ended.
    pub async fn count(&self) -> Result<u64> {
        let request = SchedulesRequest { offset: 0, limit: 0, order: crate::Order::Ascending };
        Ok(self.list(request).await?.total)
    }

    /// Removes a schedule; whether it was there. A job of it that waits for its slot goes with it; one that is due runs, and is the
    /// last.
    pub async fn remove(&self, id: &str) -> Result<bool> {
        let request = RemoveScheduleRequest { id: id.to_owned(), now: self.queue.inner.clock.now() };
        self.queue.inner.store.remove_schedule(&self.queue.inner.address, request).await
    }

    /// The next runs of a schedule, at most `count` and [`PREVIEW_RUNS_MAX`], if each starts when it is due; none if it has ended.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Unsupported`] if its rule is of a kind that is not known here; [`ErrorKind::Invalid`] if
    /// somebody else's pattern cannot be read.
    pub async fn next(&self, id: &str, count: usize) -> Result<Vec<Timestamp>> {
        let refuse = |kind, message: &str| {
            Err(Error::new(kind, "next", message)
                .with("queue", &self.queue.inner.address)
                .with("schedule", id))
        };
        let Some(info) = self.get(id).await? else {
            return refuse(ErrorKind::NotFound, "there is no such schedule");
        };
        let Some(mut repeat) = info.repeat else {
            return refuse(
                ErrorKind::Unsupported,
                "the rule of the schedule is of a kind that is not known here",
            );
        };
        let mut runs = Vec::new();
        if info.ended {
            return Ok(runs);
        }
        // As a worker does: a pattern without a zone is read in that of the process.
        let zone = Zone::local().unwrap_or_default();
        let (mut now, mut slot) = (self.queue.inner.clock.now(), info.next);
        repeat.count = Some(info.made);
        while runs.len() < count.min(PREVIEW_RUNS_MAX) {
            runs.push(slot);
            now = now.max(slot);
            let Some(number) = repeat.iteration() else { break };
            let Some(next) = repeat.next_run(id, &zone, now, Some(slot))? else { break };
            (slot, repeat.count) = (next.at, Some(number));
        }
        Ok(runs)
    }
}

/// A schedule about to be put: set options of its jobs, then `.await`.
///
/// # Errors
/// [`ErrorKind::Invalid`] for anything that makes no sense, before the store is asked: a pattern or zone that cannot be read, a rule that
/// never comes, an option that a schedule's jobs cannot have. [`ErrorKind::Refused`]: a job is there already in its slot. The store's own
/// errors; after [`ErrorKind::Ambiguous`] put it again.
#[must_use = "nothing is put until this is awaited"]
#[derive(Debug)]
pub struct PutSchedule {
    queue: Queue,
    id: String,
    schedule: Schedule,
    name: String,
    data: Result<JsonText>,
    options: JobOptions,
}

impl PutSchedule {
    /// All options of the jobs at once; later settings go over them.
    pub fn options(mut self, options: JobOptions) -> Self {
        self.options = options;
        self
    }

    /// 0, the default, runs before 1, 1 before 2, up to 2,097,151.
    pub fn priority(mut self, priority: u32) -> Self {
        self.options.priority = Some(priority);
        self
    }

    /// How often each job is tried in all; 1 is no second try.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.options.attempts = Some(attempts);
        self
    }

    /// How long to wait before each further try.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.backoff = Some(backoff);
        self
    }

    /// What is kept of completed jobs when one completes. Each run leaves a job, so a schedule should say.
    pub fn remove_on_complete(mut self, keep: Retention) -> Self {
        self.options.remove_on_complete = Some(keep);
        self
    }

    /// What is kept of failed jobs when one fails for good.
    pub fn remove_on_fail(mut self, keep: Retention) -> Self {
        self.options.remove_on_fail = Some(keep);
        self
    }

    /// How long one run may take; it then counts as a failed try.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// How late its first start may be after its slot; too late, it fails instead of running.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    async fn send(self) -> Result<Scheduled> {
        let tracer = &self.queue.inner.tracer;
        if !tracer.is_on() {
            return self.hand_over().await;
        }
        let queue = self.queue.name();
        let destination = format!("{queue}.{}", self.name);
        let trace = tracer.start_at("add", queue, &destination, SpanKind::Producer, SpanParent::Current);
        trace.set(attribute::JOB_SCHEDULER_ID, || self.id.as_str().into());
        let id = |trace: &Trace, scheduled: &Scheduled| {
            if let Some(next) = &scheduled.next {
                trace.set(attribute::JOB_ID, || next.job.as_str().into());
            }
        };
        trace.call(self.hand_over(), id).await
    }

    /// Puts it. No context goes into the template: a trace in which a schedule was put would never end.
    async fn hand_over(self) -> Result<Scheduled> {
        const VERB: &str = "put_schedule";
        let Self { queue, id, schedule: Schedule { mut repeat, policy }, name, data, options } = self;
        let now = queue.inner.clock.now();
        check_id(&id)?;
        if let Some((field, remedy)) = no_option_of_a_schedule(&options) {
            return Err(Error::invalid(VERB, field, "set", remedy).with("schedule", id));
        }
        repeat.check(now)?;
        policy.check()?;
        policy.write(&mut repeat);
        let mut at = None;
        if let Rule::Pattern(pattern) = &repeat.rule {
            let has_hash = pattern.split(|c: char| !c.is_ascii_alphabetic()).any(|word| word == "H");
            if has_hash && repeat.hash_seed.is_none() {
                // BullMQ hands it to its own parser, which would draw other values each time.
                repeat.hash_seed = Some(id.clone());
            }
            if repeat.tz.is_none() {
                repeat.tz = Some(Zone::utc().name().to_owned());
            }
            at = repeat.next_run(&id, &Zone::utc(), now, None)?.map(|slot| slot.at);
            if at.is_none() {
                let remedy = "it is never due before its end: give another pattern or a later end";
                return Err(Error::invalid(VERB, "pattern", pattern, remedy).with("schedule", id));
            }
        }
        let mut template = queue.prepare(NewJob { name, data: data?, options })?;
        // The queue's defaults may have one.
        template.options.deduplication = None;
        let request = PutScheduleRequest { id, repeat, at, template, now };
        queue.inner.store.put_schedule(&queue.inner.address, request).await
    }
}

impl IntoFuture for PutSchedule {
    type Output = Result<Scheduled>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

fn check_id(id: &str) -> Result<()> {
    let refuse = |value: &str, remedy: &str| Err(Error::invalid("put_schedule", "id", value, remedy));
    if id.is_empty() {
        return refuse("empty", "give the schedule a name");
    }
    if id.len() > NAME_BYTES_MAX {
        return refuse(id, "use at most 512 bytes");
    }
    // `repeat:<id>` would be the name of a job of another schedule.
    if slot_of(&format!("repeat:{id}")).is_some() {
        return refuse(id, "it must not end with `:` and a number");
    }
    if crate::schedule::step::is_legacy_key(id) {
        return refuse(
            id,
            "BullMQ takes an id of this form for a repeatable job of an old version: use fewer `:`",
        );
    }
    Ok(())
}

/// An option that jobs of a schedule cannot have, and what to do instead.
fn no_option_of_a_schedule(options: &JobOptions) -> Option<(&'static str, &'static str)> {
    let remedies = [
        (
            "job_id",
            options.job_id.is_some(),
            "leave it out: the id of each job is made of the schedule's and its slot",
        ),
        (
            "delay",
            options.delay.is_some(),
            "leave it out: each job waits for its slot; use `start` or `offset`",
        ),
        ("timestamp", options.timestamp.is_some(), "leave it out: a job is created when its slot is planned"),
        ("parent", options.parent.is_some(), "leave it out: the jobs of a schedule have no parent"),
        ("deduplication", options.deduplication.is_some(), "leave it out: a slot has one job anyway"),
    ];
    remedies.into_iter().find(|(_, set, _)| *set).map(|(field, _, remedy)| (field, remedy))
}
