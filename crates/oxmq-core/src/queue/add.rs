//! Adding jobs: the builder, bulk, and the checks that come before a store is asked.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;

use super::Queue;
use crate::address::JobId;
use crate::args::JobArgs;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::job::NewJob;
use crate::json::JsonText;
use crate::options::{Backoff, JobOptions, Retention};
use crate::store::{AddGroup, AddRequest, Added, GROUP_JOBS_MAX};

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
        let data = JsonText::of(data).map_err(|error| {
            Error::new(ErrorKind::Invalid, "add", format!("`data` has no JSON form: {error}"))
                .caused_by(error)
        });
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
        let mut group = Vec::with_capacity(jobs.len());
        for (index, job) in jobs.into_iter().enumerate() {
            group.push(self.prepare(job).map_err(|error| error.with("job_index", index))?);
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
        if job.name.is_empty() {
            return Err(Error::invalid("add", "name", "empty", "say what kind of job it is"));
        }
        if job.name.len() > JOB_NAME_BYTES_MAX {
            return Err(Error::invalid(
                "add",
                "name",
                &job.name,
                format!("use at most {JOB_NAME_BYTES_MAX} bytes"),
            ));
        }
        if let Some(defaults) = &self.inner.defaults {
            job.options = job.options.or(defaults);
        }
        job.options.check()?;
        if let Some(id) = &job.options.job_id {
            JobId::chosen(id.as_str())?;
        }
        let limit = job.options.size_limit.unwrap_or(self.inner.data_limit);
        let size = job.data.as_str().len();
        if size > limit {
            let remedy = format!(
                "the limit is {limit} bytes; store the payload elsewhere and put a reference into the job, or raise \
                 `size_limit` of the job or `data_limit` of the queue"
            );
            return Err(
                Error::invalid("add", "data", format!("{size} bytes"), remedy).with("name", &job.name)
            );
        }
        Ok(job)
    }
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
    /// All options at once; later settings go over them.
    pub fn options(mut self, options: JobOptions) -> Self {
        self.options = options;
        self
    }

    /// An id of your own: not a whole number, no `:`. Adding it twice adds one job.
    pub fn id(mut self, id: impl Into<JobId>) -> Self {
        self.options.job_id = Some(id.into());
        self
    }

    /// Runs it after so long.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.options.delay = Some(delay);
        self.at = None;
        self
    }

    /// Runs it at a point in time (a `SystemTime` or a [`Timestamp`]); one in the past is now.
    pub fn at(mut self, time: impl Into<Timestamp>) -> Self {
        self.at = Some(time.into());
        self
    }

    /// 0, the default, runs before 1, 1 before 2, up to 2,097,151.
    pub fn priority(mut self, priority: u32) -> Self {
        self.options.priority = Some(priority);
        self
    }

    /// Runs it next: last in, first out.
    pub fn lifo(mut self) -> Self {
        self.options.lifo = Some(true);
        self
    }

    /// How often it is tried in all; 1 is no second try.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.options.attempts = Some(attempts);
        self
    }

    /// How long to wait before each further try.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.backoff = Some(backoff);
        self
    }

    /// What is kept of completed jobs when this one completes.
    pub fn remove_on_complete(mut self, keep: Retention) -> Self {
        self.options.remove_on_complete = Some(keep);
        self
    }

    /// What is kept of failed jobs when this one fails for good.
    pub fn remove_on_fail(mut self, keep: Retention) -> Self {
        self.options.remove_on_fail = Some(keep);
        self
    }

    /// How many log lines are kept, the newest.
    pub fn keep_logs(mut self, lines: u32) -> Self {
        self.options.keep_logs = Some(lines);
        self
    }

    /// How many stacks of failures are kept, the newest; default 10.
    pub fn stack_trace_limit(mut self, entries: u32) -> Self {
        self.options.stack_trace_limit = Some(entries);
        self
    }

    /// The most bytes that the data may have as JSON, instead of the queue's limit.
    pub fn size_limit(mut self, bytes: usize) -> Self {
        self.options.size_limit = Some(bytes);
        self
    }

    /// How long one run may take; it then counts as a failed try.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// How late its first start may be, counted from when it is due; too late, it fails instead of running.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    async fn send(mut self) -> Result<Added> {
        let now = self.queue.inner.clock.now();
        if let Some(at) = self.at {
            let from = self.options.timestamp.unwrap_or(now);
            self.options.delay = Some(at - from);
        }
        let job = NewJob { name: self.name, data: self.data?, options: self.options };
        let job = self.queue.prepare(job)?;
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
fn no_answer() -> Error {
    Error::new(ErrorKind::Internal, "add", "the store gave no answer for the job")
}
