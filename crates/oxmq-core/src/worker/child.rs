//! Adding a child of the job that runs.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use super::context::JobContext;
use crate::address::QueueAddress;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::job::NewJob;
use crate::json::JsonText;
use crate::options::{DATA_BYTES_MAX_DEFAULT, JobOptions};
use crate::queue::check;
use crate::setters::{option_setters, with_time};
use crate::store::Added;
use crate::telemetry::{Carried, SpanKind, SpanParent, Trace, attribute};

/// A child of the running job that is about to be added: set its options, then `.await`. Made by
/// [`JobContext::add_child`].
///
/// # Errors
/// As of [`AddJob`](crate::AddJob); and [`NotFound`](crate::ErrorKind::NotFound) if the running job is gone.
#[must_use = "nothing is added until this is awaited"]
#[derive(Debug)]
pub struct AddChild {
    parent: JobContext,
    queue: Result<QueueAddress>,
    name: String,
    data: Result<JsonText>,
    options: JobOptions,
    at: Option<Timestamp>,
}

impl AddChild {
    pub(super) fn new(parent: JobContext, queue: &str, name: String, data: Result<JsonText>) -> Self {
        let queue = QueueAddress::with_prefix(parent.queue().prefix(), queue);
        Self { parent, queue, name, data, options: JobOptions::default(), at: None }
    }

    option_setters!();

    async fn send(self) -> Result<Added> {
        let desk = self.parent.desk.clone();
        let (Some(tracer), Ok(queue)) = (desk.tracer().filter(|tracer| tracer.is_on()), &self.queue) else {
            return self.hand_over(&Trace::none()).await;
        };
        let destination = format!("{}.{}", queue.name(), self.name);
        let trace =
            tracer.start_at("add", queue.name(), &destination, SpanKind::Producer, SpanParent::Current);
        trace.set(attribute::JOB_NAME, || self.name.as_str().into());
        let id = |trace: &Trace, added: &Added| trace.set(attribute::JOB_ID, || added.id.as_str().into());
        trace.call(self.hand_over(&trace), id).await
    }

    async fn hand_over(self, trace: &Trace) -> Result<Added> {
        let mut options = with_time(self.options, self.at, self.parent.now());
        options.parent = Some(self.parent.key());
        let mut job = NewJob { name: self.name, data: self.data?, options };
        check(&job, DATA_BYTES_MAX_DEFAULT)?;
        trace.put_context(&mut job.options, Carried::Spans);
        self.parent.add_job(self.queue?, job).await
    }
}

impl IntoFuture for AddChild {
    type Output = Result<Added>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
