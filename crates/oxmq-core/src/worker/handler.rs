//! Handlers: plain async functions, and which one runs which job.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::JobContext;
use super::decode;
use super::errors::HandlerError;
use crate::args::JobArgs;
use crate::json::JsonText;

/// What a handler's call is: a future of its own.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<JsonText, HandlerError>> + Send>>;

/// A function that works on jobs. Not implemented by hand: every async function of one of these shapes is one.
///
/// ```text
/// async fn(T) -> Result<R, E>
/// async fn(T, JobContext) -> Result<R, E>
/// ```
///
/// where `T` is the payload ([`JobArgs`], or anything that serde can read, `serde_json::Value` too), `R` is stored as
/// the job's result (serde can write it; `()` is stored as `null`), and `E` is any error, or [`HandlerError`].
///
/// `Shape` tells the two apart; it is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of jobs",
    label = "not a handler",
    note = "a handler is `async fn(T) -> Result<R, E>` or `async fn(T, JobContext) -> Result<R, E>`",
    note = "`T` must be `serde::de::DeserializeOwned + Send + 'static`, and `R` must be `serde::Serialize`",
    note = "`E` must be an error type (`std::error::Error + Send + Sync`), `Box<dyn Error + Send + Sync>`, a `String`, or `HandlerError`",
    note = "the future must be `Send`: do not hold an `Rc`, a `RefCell` borrow or a `std::sync::MutexGuard` across an `.await`"
)]
pub trait Handler<Shape>: Send + Sync + 'static {
    /// What it takes: the payload of the job.
    type Args: DeserializeOwned + Send + 'static;

    /// Calls it.
    fn call(&self, args: Self::Args, context: JobContext) -> HandlerFuture;
}

impl<F, Fut, T, R, E> Handler<(T,)> for F
where
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    T: DeserializeOwned + Send + 'static,
    R: Serialize,
    E: Into<HandlerError>,
{
    type Args = T;

    fn call(&self, args: T, _: JobContext) -> HandlerFuture {
        let work = self(args);
        Box::pin(async move { encode(work.await) })
    }
}

impl<F, Fut, T, R, E> Handler<(T, JobContext)> for F
where
    F: Fn(T, JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    T: DeserializeOwned + Send + 'static,
    R: Serialize,
    E: Into<HandlerError>,
{
    type Args = T;

    fn call(&self, args: T, context: JobContext) -> HandlerFuture {
        let work = self(args, context);
        Box::pin(async move { encode(work.await) })
    }
}

/// The JSON of a result. A value that JSON cannot hold is not tried again: the work was done, and would be done twice.
fn encode<R: Serialize, E: Into<HandlerError>>(result: Result<R, E>) -> Result<JsonText, HandlerError> {
    let value = result.map_err(Into::into)?;
    JsonText::of(&value).map_err(|error| {
        HandlerError::give_up(format!(
            "the result of type `{}` cannot be written as JSON: {error}",
            std::any::type_name::<R>()
        ))
    })
}

/// Handlers, by the names of the jobs that they run: for [`WorkerBuilder::handlers`](super::WorkerBuilder::handlers), and
/// for a process of its own that runs them ([`serve_if_child`](super::serve_if_child)).
#[must_use = "handlers do nothing until a worker has them"]
#[derive(Debug, Clone, Default)]
pub struct Handlers {
    pub(crate) routes: Routes,
}

impl Handlers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs jobs of the handler's type, which gives their name.
    pub fn handle<Shape, H>(mut self, handler: H) -> Self
    where
        H: Handler<Shape>,
        H::Args: JobArgs,
    {
        self.routes.name(<H::Args as JobArgs>::NAME, route(handler));
        self
    }

    /// Runs jobs with this name; their data is anything that serde can read.
    pub fn handle_named<Shape, H: Handler<Shape>>(mut self, name: impl AsRef<str>, handler: H) -> Self {
        self.routes.name(name.as_ref(), route(handler));
        self
    }

    /// Runs jobs of every name that has no handler of its own.
    pub fn handle_any<Shape, H: Handler<Shape>>(mut self, handler: H) -> Self {
        self.routes.any(route(handler));
        self
    }
}

/// A handler, with its types forgotten.
pub(crate) type Route = Arc<dyn Fn(JobContext) -> HandlerFuture + Send + Sync>;

/// Which handler runs which job.
#[derive(Clone, Default)]
pub(crate) struct Routes {
    named: BTreeMap<String, Route>,
    any: Option<Route>,
    /// Names that were given twice; told at start.
    pub(crate) twice: Vec<String>,
}

impl Routes {
    pub(crate) fn name(&mut self, name: &str, route: Route) {
        if self.named.insert(name.to_owned(), route).is_some() {
            self.twice.push(name.to_owned());
        }
    }

    pub(crate) fn any(&mut self, route: Route) {
        if self.any.replace(route).is_some() {
            self.twice.push("*".into());
        }
    }

    /// Adds those of `others`.
    pub(crate) fn extend(&mut self, others: Self) {
        for (name, route) in others.named {
            self.name(&name, route);
        }
        if let Some(route) = others.any {
            self.any(route);
        }
        self.twice.extend(others.twice);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.any.is_none()
    }

    /// The handler of jobs with this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Route> {
        self.named.get(name).or(self.any.as_ref())
    }

    /// Why there is none.
    pub(crate) fn unknown(&self, name: &str) -> String {
        let known: Vec<String> = self.named.keys().map(|name| format!("`{name}`")).collect();
        format!("no handler for jobs named `{name}`: this worker knows {}", known.join(", "))
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("named", &self.named.keys().collect::<Vec<_>>())
            .field("any", &self.any.is_some())
            .finish_non_exhaustive()
    }
}

/// Forgets the types of a handler: reads the job's data, then calls it.
pub(crate) fn route<Shape, H: Handler<Shape>>(handler: H) -> Route {
    Arc::new(move |context| match decode::data::<H::Args>(context.job()) {
        Ok(args) => handler.call(args, context),
        Err(refusal) => Box::pin(std::future::ready(Err(HandlerError::give_up(refusal)))),
    })
}
