//! The child's side: takes jobs from its worker, calls their handlers, and ends when the worker is gone.
//!
//! A thread of its own reads the line, so that a handler that blocks the runtime does not keep the process alive when the
//! worker is gone.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, kill_current_process_group};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::wire::{PROTOCOL, ToChild, ToWorker, WireAnswer, WireNewChild, WireQuestion, line};
use super::{CHILD_LINE_BYTES_MAX, CHILD_VARIABLE};
use crate::address::QueueAddress;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::job::NewJob;
use crate::store::{Added, Answer, ChildrenPage, ChildrenRequest, Note};
use crate::worker::context::{Desk, JobContext};
use crate::worker::errors::HandlerError;
use crate::worker::handler::{Handlers, Routes};
use crate::worker::run::{Running, catch_panics};

/// How long the first message may take to come, before this counts as no child of ours.
const INIT_WAIT: Duration = Duration::from_secs(30);
/// The exit code of a child that cannot work.
const EXIT_UNREADY: i32 = 1;
/// The exit code after SIGTERM, as shells have it.
const EXIT_TERMINATED: i32 = 128 + 15;
/// The most orders that wait: a job, and the wish to end.
const ORDERS_MAX: usize = 2;

/// The name of the queue whose jobs this process is to run as a child of an isolated worker; `None` if it is none. For
/// programs with workers of several queues, to choose the handlers.
pub fn child_queue() -> Option<String> {
    let (_, queue) = summons()?;
    Some(queue.rsplit(':').next().unwrap_or_default().to_owned())
}

/// In a child process of an isolated worker: runs the jobs it is given, and ends the process. In any other process:
/// returns at once.
///
/// SIGTERM ends it only after its handler was told to stop; a service manager that sends it to all processes of a worker
/// does not keep running jobs from being finished.
///
/// To be called before the program does anything else, above all before it adds jobs, listens or
/// starts a worker: all that was done before is done in each child as well. stdin is `/dev/null` from then on; stdout and
/// stderr are [captured](crate::ChildOutput).
///
/// Handlers see the same [`JobContext`] as elsewhere. What they have written down, and what they ask about their children or
/// do with them, is sent to the worker, which does it: a child needs no store of its own.
///
/// See [`Isolation`](crate::Isolation) for an example.
pub async fn serve_if_child(handlers: Handlers) {
    let Some((key, _)) = summons() else { return };
    let Ok(socket) = take_over_stdin() else { return };
    let code = match Link::new(&socket, &key) {
        Ok((link, orders)) => serve(&link, orders, &handlers.routes).await,
        // Nobody is there to be told.
        Err(_) => EXIT_UNREADY,
    };
    std::process::exit(code);
}

/// Whether this process was started to be a child, and is none yet.
pub(crate) fn is_child() -> bool {
    summons().is_some()
}

/// What the worker put into the environment, key and queue; if stdin is the line to it. The programs that a child starts
/// inherit the one, but not the other.
fn summons() -> Option<(String, String)> {
    let (key, queue) = std::env::var(CHILD_VARIABLE).ok()?.split_once(':').map(own)?;
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    stdin.metadata().ok()?.file_type().is_socket().then_some((key, queue))
}

fn own((key, queue): (&str, &str)) -> (String, String) {
    (key.to_owned(), queue.to_owned())
}

/// The line, with `/dev/null` in its place.
fn take_over_stdin() -> io::Result<UnixStream> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(socket)
}

/// What the worker wants.
enum Order {
    Run(Arc<Running>),
    Stop,
}

/// The line to the worker.
struct Link {
    queue: QueueAddress,
    clock: Clock,
    /// Held while a job is said to run, and something is sent about it, so that nothing is sent after its answer.
    writer: Mutex<UnixStream>,
    /// The job that runs. Held for a look only, never for a write: the thread that reads has to get at it.
    running: Mutex<Option<Arc<Running>>>,
    requests: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<WireAnswer>>>,
}

async fn serve(link: &Arc<Link>, mut orders: mpsc::Receiver<Order>, routes: &Routes) -> i32 {
    let unready = match routes.twice.first() {
        Some(name) => Some(format!("two handlers for `{name}`")),
        None => routes.is_empty().then(|| "`serve_if_child` got no handlers".to_owned()),
    };
    if let Some(reason) = unready {
        link.send(&ToWorker::Unready { reason });
        return EXIT_UNREADY;
    }
    let terms = signal(SignalKind::terminate());
    link.send(&ToWorker::Ready { protocol: PROTOCOL });
    let work = async {
        while let Some(Order::Run(running)) = orders.recv().await {
            let answer = run(link, running, routes).await;
            link.end_job();
            // What it has written is there before the answer is.
            let _ = io::stdout().flush();
            link.send(&answer);
        }
        0
    };
    tokio::select! {
        code = work => code,
        code = heed_terms(link, terms) => code,
    }
}

/// SIGTERM is heeded when the handler was told to stop before. Else it is for the worker as well, by somebody who stops all
/// its processes; the worker lets its jobs finish, and then says so.
async fn heed_terms(link: &Link, terms: io::Result<tokio::signal::unix::Signal>) -> i32 {
    // Without a handler of ours the signal ends the process by itself.
    let Ok(mut terms) = terms else { return std::future::pending().await };
    while terms.recv().await.is_some() {
        let running = held(&link.running).clone();
        if running.is_some_and(|running| running.cause().is_some()) {
            return EXIT_TERMINATED;
        }
    }
    std::future::pending().await
}

async fn run(link: &Arc<Link>, running: Arc<Running>, routes: &Routes) -> ToWorker {
    let name = &running.job.name;
    let Some(route) = routes.find(name).cloned() else {
        return ToWorker::failed(&HandlerError::give_up(routes.unknown(name)));
    };
    let context = JobContext { running, desk: link.clone() };
    match catch_panics(async move { route(context).await }).await {
        Ok(Ok(value)) => ToWorker::Completed { value: value.as_str().to_owned() },
        Ok(Err(error)) => ToWorker::failed(&error),
        Err(message) => ToWorker::failed(&HandlerError::fail(format!("panicked: {message}"))),
    }
}

impl Link {
    /// Waits for the first message, then reads on in a thread.
    fn new(socket: &UnixStream, key: &str) -> io::Result<(Arc<Self>, mpsc::Receiver<Order>)> {
        let no_worker = || io::Error::other("there is no worker");
        let mut reader = BufReader::new(socket.try_clone()?);
        socket.set_read_timeout(Some(INIT_WAIT))?;
        let init = read_line(&mut reader)?.ok_or_else(no_worker)?;
        socket.set_read_timeout(None)?;
        let queue = match serde_json::from_slice(&init) {
            Ok(ToChild::Init { key: sent, prefix, queue, .. }) if sent == key => {
                QueueAddress::with_prefix(prefix, queue).map_err(io::Error::other)?
            }
            _ => return Err(no_worker()),
        };
        let link = Arc::new(Self {
            queue,
            clock: Clock::system(),
            writer: Mutex::new(socket.try_clone()?),
            running: Mutex::default(),
            requests: AtomicU64::new(1),
            waiting: Mutex::default(),
        });
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let listener = link.clone();
        std::thread::Builder::new()
            .name("oxmq-child".into())
            .spawn(move || listener.listen(reader, &sender))?;
        Ok((link, orders))
    }

    /// Heeds what the worker says, until it says no more.
    fn listen(&self, mut reader: impl BufRead, orders: &mpsc::Sender<Order>) {
        while let Ok(Some(said)) = read_line(&mut reader) {
            let Ok(message) = serde_json::from_slice(&said) else { break };
            let order = match message {
                ToChild::Start { job, token, remaining } => {
                    let running = Arc::new(Running::new(job.into_leased(token)));
                    if let Some(left) = remaining {
                        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
                        running.set_deadline(self.clock.now() + left);
                    }
                    *held(&self.running) = Some(running.clone());
                    self.send(&ToWorker::Started);
                    Order::Run(running)
                }
                ToChild::Cancel { cause } => {
                    let running = held(&self.running).clone();
                    if let Some(running) = running {
                        running.stop(cause.into());
                    }
                    continue;
                }
                ToChild::Answer { request, answer } => {
                    let waiting = held(&self.waiting).remove(&request);
                    if let Some(waiting) = waiting {
                        let _ = waiting.send(answer);
                    }
                    continue;
                }
                ToChild::Stop => Order::Stop,
                ToChild::Init { .. } => break,
            };
            if orders.try_send(order).is_err() {
                break;
            }
        }
        // The worker is gone, and whatever runs here is not wanted any more: the job is another's soon. The group is ours.
        let _ = kill_current_process_group(Signal::KILL);
        std::process::exit(EXIT_UNREADY);
    }

    fn send(&self, message: &ToWorker) {
        let line = line(message).or_else(|error| line(&ToWorker::failed(&HandlerError::give_up(error))));
        if let Ok(line) = line {
            self.write(&line);
        }
    }

    fn write(&self, line: &[u8]) {
        // If nobody listens, the thread that reads finds out.
        let _ = held(&self.writer).write_all(line);
    }

    fn end_job(&self) {
        let writer = held(&self.writer);
        *held(&self.running) = None;
        held(&self.waiting).clear();
        drop(writer);
    }

    /// The number of the next request.
    fn number(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks the worker about a job, and waits for what `read` makes of the answer.
    async fn ask<T>(
        &self,
        running: &Running,
        verb: &'static str,
        request: u64,
        message: ToWorker,
        read: impl FnOnce(WireAnswer) -> Option<T>,
    ) -> Result<T> {
        let told = self.send_request(running, verb, request, &message)?;
        match told.await {
            Err(_) => Err(over(verb)),
            Ok(WireAnswer::Refused(refusal)) => Err(refusal.into_error(verb)),
            Ok(answer) => read(answer).ok_or_else(|| {
                Error::new(ErrorKind::Internal, verb, "the worker's answer does not fit the request")
            }),
        }
    }

    /// Sends a request about a job, if that still runs.
    fn send_request(
        &self,
        running: &Running,
        verb: &'static str,
        request: u64,
        message: &ToWorker,
    ) -> Result<oneshot::Receiver<WireAnswer>> {
        let line = line(message)?;
        let (tell, told) = oneshot::channel();
        let mut writer = held(&self.writer);
        let current = held(&self.running).clone();
        if !current.is_some_and(|current| std::ptr::eq(&raw const *current, running)) {
            return Err(over(verb));
        }
        held(&self.waiting).insert(request, tell);
        // If nobody listens, the thread that reads finds out.
        let _ = writer.write_all(&line);
        Ok(told)
    }
}

impl Desk for Link {
    fn queue(&self) -> &QueueAddress {
        &self.queue
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn note<'a>(&'a self, running: &'a Running, note: Note) -> Answer<'a, u64> {
        let request = self.number();
        Box::pin(async move {
            let message = match note {
                Note::Progress(value) => ToWorker::Progress { request, value: value.as_str().to_owned() },
                Note::Data(value) => ToWorker::Update { request, value: value.as_str().to_owned() },
                Note::Log { line, keep: _ } => ToWorker::Log { request, line },
                Note::ClearLogs { .. } => {
                    return Err(Error::new(ErrorKind::Unsupported, "note", "not from a child process"));
                }
            };
            let read = |answer| match answer {
                WireAnswer::Noted(lines) => Some(lines),
                _ => None,
            };
            self.ask(running, "note", request, message, read).await
        })
    }

    fn children<'a>(&'a self, running: &'a Running, which: ChildrenRequest) -> Answer<'a, ChildrenPage> {
        let request = self.number();
        let message = ToWorker::Children { request, which: WireQuestion::of(&which) };
        Box::pin(self.ask(running, "children", request, message, |answer| match answer {
            WireAnswer::Children(children) => children.into_page(),
            _ => None,
        }))
    }

    fn add_child<'a>(
        &'a self,
        running: &'a Running,
        queue: QueueAddress,
        child: NewJob,
    ) -> Answer<'a, Added> {
        let request = self.number();
        let message = ToWorker::AddChild { request, child: WireNewChild::of(&queue, child) };
        Box::pin(self.ask(running, "add", request, message, |answer| match answer {
            WireAnswer::Added(added) => added.into_added(),
            _ => None,
        }))
    }

    fn remove_pending_children<'a>(&'a self, running: &'a Running) -> Answer<'a, ()> {
        let request = self.number();
        let read = |answer| matches!(answer, WireAnswer::Removed).then_some(());
        Box::pin(self.ask(running, "remove", request, ToWorker::RemovePending { request }, read))
    }

    fn release_deduplication<'a>(&'a self, running: &'a Running) -> Answer<'a, bool> {
        let request = self.number();
        let message = ToWorker::Release { request };
        Box::pin(self.ask(running, "release_deduplication", request, message, |answer| match answer {
            WireAnswer::Released(released) => Some(released),
            _ => None,
        }))
    }
}

fn over(verb: &'static str) -> Error {
    Error::new(ErrorKind::Closed, verb, "the handler of this job has ended")
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next line; `None` at the end, and for one that is too long.
fn read_line(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let count = reader.take(CHILD_LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
    Ok((count > 0 && line.last() == Some(&b'\n')).then_some(line))
}
