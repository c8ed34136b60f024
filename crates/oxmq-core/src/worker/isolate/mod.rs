//! Handlers in processes of their own.
//!
//! A worker with an [`Isolation`] calls no handler itself. It hands each job to a child process, one job at a time, and
//! keeps the child for the next; so whatever a handler does to its process (abort, overflow its stack, leak, be
//! killed for its memory) costs the try of one job. Leases, retries, events and endings stay with the worker.
//!
//! ```text
//! run.rs ──► pool.rs     children that wait, newest first; starts, recycles and ends them
//!              ▼
//!            talk.rs     one job and one child: what is said, what is asked for, and when the child is killed
//!              ▼
//!            process.rs  a child: its group, its line, its output, its memory
//!    ═══════ socket ═══════  wire.rs: a line of JSON for each message
//!            serve.rs    in the child: calls the handler; ends the process when the worker is gone
//! ```
//!
//! # The line
//!
//! A child's stdin is one end of a socket pair; it takes it over and leaves `/dev/null` in its place. stdout and stderr
//! stay what they are, and are [captured](ChildOutput). Each message is a JSON object on a line of its own, of at most
//! [`CHILD_LINE_BYTES_MAX`] bytes; `cmd` says which. What is JSON itself (data, results, progress) travels as text.
//! The messages are those of BullMQ's sandbox, by name instead of number; see `wire.rs`. Requests are about the job that
//! runs and no other; the worker does them one after the other, and reads no further while too many wait, or while the child
//! does not take the answers.
//!
//! ```text
//! worker: init ───► child: ready (or unready)
//! worker: start ──► child: started; then requests (progress, log, update; children, add_child, remove_pending, release),
//!                   each with a number, by which it is answered: answer; then completed or failed
//! worker: cancel    while a job runs: its handler should stop, and why
//! worker: stop      end when nothing runs; so does the end of the line, at once and whatever runs
//! ```

mod wire;

#[cfg(unix)]
mod pool;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod serve;
#[cfg(unix)]
mod talk;

#[cfg(not(unix))]
mod absent;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(not(unix))]
pub(crate) use self::absent::{Pool, is_child};
#[cfg(not(unix))]
pub use self::absent::{child_queue, serve_if_child};
#[cfg(unix)]
pub(crate) use self::pool::Pool;
#[cfg(unix)]
pub(crate) use self::serve::is_child;
#[cfg(unix)]
pub use self::serve::{child_queue, serve_if_child};
use crate::error::{Error, Result};

/// The environment variable that makes a process a child: `KEY:PREFIX:QUEUE`. The key is repeated in the first message,
/// so that a process which inherited the variable from a child is not taken for one.
pub(crate) const CHILD_VARIABLE: &str = "OXMQ_CHILD";

/// The longest message between a worker and a child, in bytes. Data and results are carried in one, with their quotes
/// escaped.
pub const CHILD_LINE_BYTES_MAX: usize = 64 << 20;

/// The most lines of a child's output that go into the log of one job; the rest is dropped, and that is said.
pub const CHILD_LOG_LINES_MAX: usize = 1_000;

/// The longest line of a child's output, in bytes; a longer one is cut into several.
pub const CHILD_LOG_LINE_BYTES_MAX: usize = 16 << 10;

/// Which process runs the handlers of a worker, and how long one is kept; for
/// [`WorkerBuilder::isolate`](super::WorkerBuilder::isolate).
///
/// There are never more children than jobs run at once. A child runs one job at a time. It is
/// started when it is needed, and waits for the next job until it is recycled or has been idle for too long.
/// It ends when its worker does, however that ends.
///
/// Handlers see the same [`JobContext`](crate::JobContext) as elsewhere, with the children of the job too; the worker does for them
/// what they ask for. A page of children that would not fit into one message
/// ([`CHILD_LINE_BYTES_MAX`]) is cut, and the next one goes on there; a single result that does not fit is
/// [`Invalid`](crate::ErrorKind::Invalid).
///
/// Needs Unix, and a tokio runtime with I/O (`#[tokio::main]` makes one).
///
/// ```no_run
/// # use oxmq_core as oxmq;
/// use std::time::Duration;
/// use oxmq::{Handlers, HandlerError, Isolation, Store, Worker};
///
/// async fn convert(file: String) -> Result<(), HandlerError> {
///     // May crash or leak without harm to the worker.
///     Ok(())
/// }
///
/// fn handlers() -> Handlers {
///     Handlers::new().handle_named("convert", convert)
/// }
///
/// # async fn connect() -> std::sync::Arc<dyn Store> { unimplemented!() }
/// #[tokio::main]
/// async fn main() -> oxmq::Result<()> {
///     // First of all: in a child process this does the work, and does not return.
///     oxmq::serve_if_child(handlers()).await;
///
///     let store = connect().await;
///     let isolation = Isolation::this_program()
///         .recycle_after_jobs(100)
///         .recycle_after(Duration::from_secs(3600))
///         .recycle_above(512 << 20);
///     Worker::builder(&store, "documents").concurrency(4).isolate(isolation).handlers(handlers()).run().await
/// }
/// ```
#[must_use = "it is for a worker"]
#[derive(Clone)]
pub struct Isolation {
    /// The program; this one if there is none.
    program: Option<PathBuf>,
    /// Its arguments; those of this process if there are none.
    args: Option<Vec<OsString>>,
    variables: Vec<(OsString, OsString)>,
    recycle_after_jobs: Option<u32>,
    recycle_after: Option<Duration>,
    recycle_above: Option<u64>,
    kill_above: Option<u64>,
    idle_timeout: Duration,
    start_timeout: Duration,
    kill_after: Duration,
    output: ChildOutput,
}

/// Where the lines go that a child writes to stdout and stderr while it runs a job. What it writes in between goes to
/// `tracing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ChildOutput {
    /// Into the log of the job, up to [`CHILD_LOG_LINES_MAX`] lines of [`CHILD_LOG_LINE_BYTES_MAX`] bytes. The default.
    #[default]
    JobLog,
    /// To `tracing`, at level info.
    Tracing,
    /// Where the worker's own go. Then a death is told without the child's last words.
    Inherit,
}

impl Isolation {
    /// This program, started once more with the same arguments. It must call [`serve_if_child`] before it does
    /// anything else. On Linux it is the very file that runs now, even if another was put in its place since.
    pub fn this_program() -> Self {
        Self {
            program: None,
            args: None,
            variables: Vec::new(),
            recycle_after_jobs: None,
            recycle_after: None,
            recycle_above: None,
            kill_above: None,
            idle_timeout: Duration::from_secs(300),
            start_timeout: Duration::from_secs(10),
            kill_after: Duration::from_secs(2),
            output: ChildOutput::default(),
        }
    }

    /// Another program that calls [`serve_if_child`], without arguments.
    pub fn program(path: impl Into<PathBuf>) -> Self {
        Self { program: Some(path.into()), args: Some(Vec::new()), ..Self::this_program() }
    }

    /// The arguments of the program.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// A variable in its environment, besides those of this process.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// A child is ended after so many jobs, at least 1. Default never.
    pub fn recycle_after_jobs(mut self, jobs: u32) -> Self {
        self.recycle_after_jobs = Some(jobs);
        self
    }

    /// A child that is this old is ended after its job. Default never.
    pub fn recycle_after(mut self, age: Duration) -> Self {
        self.recycle_after = Some(age);
        self
    }

    /// A child that has more resident memory than so many bytes after a job is ended. Default never. Linux only:
    /// elsewhere the memory of a process is not known, and this has no effect.
    pub fn recycle_above(mut self, bytes: u64) -> Self {
        self.recycle_above = Some(bytes);
        self
    }

    /// A child that is seen with more resident memory than so many bytes is killed, in the middle of its job: that try
    /// has failed, and it counts as a death. Looked at twice a second. Default never. Linux only, as
    /// [`recycle_above`](Self::recycle_above).
    pub fn kill_above(mut self, bytes: u64) -> Self {
        self.kill_above = Some(bytes);
        self
    }

    /// A child that had nothing to do for so long is ended; default 5 min.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long a child may take until it is ready, and to accept a job; default 10 s.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// How long a child may go on after SIGTERM before SIGKILL; default 2 s. SIGTERM, which goes to all that the handler has started as well, ends the child unless its runtime is blocked. It gets SIGTERM when its handler was told to
    /// stop and did not within the worker's [`cancel_grace`](super::WorkerBuilder::cancel_grace).
    pub fn kill_after(mut self, time: Duration) -> Self {
        self.kill_after = time;
        self
    }

    /// Where its output goes; default [`ChildOutput::JobLog`].
    pub fn output(mut self, output: ChildOutput) -> Self {
        self.output = output;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |field, value: String, remedy: &str| Err(Error::invalid("start", field, value, remedy));
        if self.recycle_after_jobs == Some(0) {
            return refuse("recycle_after_jobs", "0".into(), "use at least 1, or leave it out");
        }
        for (field, bytes) in [("recycle_above", self.recycle_above), ("kill_above", self.kill_above)] {
            if bytes == Some(0) {
                return refuse(field, "0".into(), "use a number of bytes that a process fits in");
            }
        }
        let waits = [
            ("recycle_after", self.recycle_after.unwrap_or(Duration::MAX)),
            ("idle_timeout", self.idle_timeout),
            ("start_timeout", self.start_timeout),
        ];
        for (field, wait) in waits {
            if wait < Duration::from_millis(1) {
                return refuse(field, format!("{wait:?}"), "use at least a millisecond");
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Isolation {
    /// Without the arguments, and with no more of the variables than their names: the rest may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.variables.iter().map(|(name, _)| name).collect();
        f.debug_struct("Isolation")
            .field("program", &self.program)
            .field("variables", &names)
            .field("recycle_after_jobs", &self.recycle_after_jobs)
            .field("recycle_after", &self.recycle_after)
            .field("recycle_above", &self.recycle_above)
            .field("kill_above", &self.kill_above)
            .field("idle_timeout", &self.idle_timeout)
            .field("start_timeout", &self.start_timeout)
            .field("kill_after", &self.kill_after)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}
