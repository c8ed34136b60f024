//! Adding jobs: the builder, bulk, and the checks that come before a store is asked.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use serde::Serialize;

use super::Queue;
use crate::address::{JobId, JobKey};
use crate::args::JobArgs;
use crate::clock::Timestamp;
use crate::deduplication::Deduplication;
use crate::error::{Error, ErrorKind, Result};
use crate::job::NewJob;
use crate::json::JsonText;
use crate::options::JobOptions;
use crate::setters::{option_setters, with_time};
use crate::store::{AddGroup, AddRequest, Added, GROUP_JOBS_MAX};
use crate::telemetry::{Carried, SpanKind, SpanParent, Trace, attribute};

/// The longest name of a job, in bytes.
pub const JOB_NAME_BYTES_MAX: usize = 1024;

impl Queue {
    /// Adds a job of a type that fixes its name and payload. Ends in `.await`.
    ///
    /// Adds that run at the same time in one process are joined into one call to the store, without waiting for
    /// each other.
    #[allow(clippy::needless_pass_by_value, reason = "a job is handed over")]
    pub fn add<T: JobArgs>(&self, args: T) -> AddJob {
        self.add_named(T::NAME, &args)
    }

    /// Adds a job by name, with any payload that has a JSON form. Ends in `.await`.
    pub fn add_named(&self, name: impl Into<String>, data: &(impl Serialize + ?Sized)) -> AddJob {
        let data = payload(data);
        AddJob { queue: self.clone(), name: name.into(), data, options: JobOptions::default(), at: None }
    }

    /// Adds up to 1,000 jobs ([`GROUP_JOBS_MAX`]) as one group: all of them or, with an error, none.
    ///
    /// # Errors
    /// As [`AddJob`]; too many jobs, or one that is refused, are [`ErrorKind::Invalid`], and the error says which one.
    pub async fn add_bulk(&self, jobs: Vec<NewJob>) -> Result<Vec<Added>> {
        if jobs.len() > GROUP_JOBS_MAX {
            let remedy = format!("one group has at most {GROUP_JOBS_MAX}; use `add_chunked`");
            return Err(Error::invalid("add", "jobs", jobs.len(), remedy));
        }
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let trace = self.trace("addBulk", SpanKind::Producer);
        trace.set(attribute::JOB_BULK_NAMES, || {
            jobs.iter().map(|job| job.name.clone()).collect::<Vec<_>>().into()
        });
        trace.set(attribute::JOB_BULK_COUNT, || (jobs.len() as u64).into());
        trace.call(self.send_bulk(jobs, &trace), |_, _| {}).await
    }

    async fn send_bulk(&self, jobs: Vec<NewJob>, trace: &Trace) -> Result<Vec<Added>> {
        let mut group = Vec::with_capacity(jobs.len());
        for (index, job) in jobs.into_iter().enumerate() {
            let mut job = self.prepare(job).map_err(|error| error.with("job_index", index))?;
            trace.put_context(&mut job.options, Carried::Producers);
            group.push(job);
        }
        let request = AddRequest { groups: vec![AddGroup { jobs: group }], now: self.inner.clock.now() };
        let mut answers = self.inner.store.add(&self.inner.address, request).await?;
        answers.pop().unwrap_or_else(|| Err(no_answer()))
    }

    /// Adds any number of jobs in groups of 1,000, one after the other; `each` hears of every group that is stored.
    ///
    /// # Errors
    /// As [`add_bulk`](Self::add_bulk). The groups before the one that failed are stored.
    pub async fn add_chunked(
        &self,
        jobs: impl IntoIterator<Item = NewJob>,
        mut each: impl FnMut(Vec<Added>),
    ) -> Result<u64> {
        let mut jobs = jobs.into_iter().peekable();
        let mut total: u64 = 0;
        while jobs.peek().is_some() {
            let chunk = jobs.by_ref().take(GROUP_JOBS_MAX).collect();
            let added = self.add_bulk(chunk).await.map_err(|error| error.with("stored_before", total))?;
            total += added.len() as u64;
            each(added);
        }
        Ok(total)
    }

    /// Merges the defaults and checks everything that can be checked without the store.
    pub(super) fn prepare(&self, mut job: NewJob) -> Result<NewJob> {
        if let Some(defaults) = &self.inner.defaults {
            job.options = job.options.or(defaults);
        }
        check(&job, self.inner.data_limit)?;
        Ok(job)
    }
}

/// Checks all of a job that can be checked without the store. `data_limit` counts if the job has no limit of its own.
pub(crate) fn check(job: &NewJob, data_limit: usize) -> Result<()> {
    if job.name.is_empty() {
        return Err(Error::invalid("add", "name", "empty", "say what kind of job it is"));
    }
    if job.name.len() > JOB_NAME_BYTES_MAX {
        let remedy = format!("use at most {JOB_NAME_BYTES_MAX} bytes");
        return Err(Error::invalid("add", "name", &job.name, remedy));
    }
    job.options.check()?;
    if let Some(id) = &job.options.job_id {
        JobId::chosen(id.as_str())?;
    }
    let limit = job.options.size_limit.unwrap_or(data_limit);
    let size = job.data.as_str().len();
    if size > limit {
        let remedy = format!(
            "the limit is {limit} bytes; store the payload elsewhere and put a reference into the job, or raise \
             `size_limit` of the job or `data_limit` of the queue"
        );
        return Err(Error::invalid("add", "data", format!("{size} bytes"), remedy).with("name", &job.name));
    }
    Ok(())
}

/// The payload of a job to be added.
pub(crate) fn payload(data: &(impl Serialize + ?Sized)) -> Result<JsonText> {
    JsonText::of(data).map_err(|error| {
        Error::new(ErrorKind::Invalid, "add", format!("`data` has no JSON form: {error}")).caused_by(error)
    })
}

/// A job about to be added: set its options, then `.await`.
///
/// # Errors
/// [`ErrorKind::Invalid`] for anything that makes no sense, before the store is asked; the store's own errors; [`ErrorKind::Ambiguous`] when nobody
/// knows whether it was added (then add it again with an id of your own: a duplicate is recognised).
#[must_use = "nothing is added until this is awaited"]
#[derive(Debug)]
pub struct AddJob {
    queue: Queue,
    name: String,
    data: Result<JsonText>,
    options: JobOptions,
    at: Option<Timestamp>,
}

impl AddJob {
    option_setters!();

    /// Adds it as a child: the job `parent` waits for it from then on, if it waits for its children, and has its result. The
    /// parent must be there, in any state and queue; without it nothing is added, and the error is
    /// [`ErrorKind::NotFound`]. A handler uses [`JobContext::add_child`](crate::JobContext::add_child).
    pub fn parent(mut self, parent: JobKey) -> Self {
        self.options.parent = Some(parent);
        self
    }

    /// Adds it only if no other job stands for it: see [`Deduplication`]. What became of it is [`Added::fate`].
    pub fn deduplicate(mut self, deduplication: Deduplication) -> Self {
        self.options.deduplication = Some(deduplication);
        self
    }

    async fn send(self) -> Result<Added> {
        let tracer = &self.queue.inner.tracer;
        if !tracer.is_on() {
            return self.hand_over(&Trace::none()).await;
        }
        let queue = self.queue.name();
        let destination = format!("{queue}.{}", self.name);
        let trace = tracer.start_at("add", queue, &destination, SpanKind::Producer, SpanParent::Current);
        trace.set(attribute::JOB_NAME, || self.name.as_str().into());
        let id = |trace: &Trace, added: &Added| trace.set(attribute::JOB_ID, || added.id.as_str().into());
        trace.call(self.hand_over(&trace), id).await
    }

    async fn hand_over(self, trace: &Trace) -> Result<Added> {
        let now = self.queue.inner.clock.now();
        let options = with_time(self.options, self.at, now);
        let job = NewJob { name: self.name, data: self.data?, options };
        let mut job = self.queue.prepare(job)?;
        trace.put_context(&mut job.options, Carried::Spans);
        let mut added = self.queue.inner.joiner.add(AddGroup { jobs: vec![job] }, now).await?;
        added.pop().ok_or_else(no_answer)
    }
}

impl IntoFuture for AddJob {
    type Output = Result<Added>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// A store must answer for each group and each job.
pub(crate) fn no_answer() -> Error {
    Error::new(ErrorKind::Internal, "add", "the store gave no answer for the job")
}
