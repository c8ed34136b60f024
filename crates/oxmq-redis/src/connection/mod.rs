//! One owner for all connections of a store: a thread of its own with a small runtime, so that leases are kept and
//! connections recover whatever the user's runtime does.
//!
//! One command connection may live on the runtime on which the store was connected, its `home`, and those on which its
//! workers wait: a lone call, and a marker that comes, cost no change of thread there. They are watched from the owner's
//! thread as the others, and all trouble with their calls is that thread's affair.
//!
//! Start with [`Hub`]. A call's life is `calls`; a connection is a `link`, kept up by its `server`; `blocking` is what
//! waits for `markers` and `events` have in common; what the server's errors mean is the table in `fault`.

mod backoff;
mod blocking;
mod calls;
mod channels;
#[cfg(feature = "cluster")]
mod cluster;
mod dial;
mod driver;
mod events;
mod fault;
mod findings;
mod home;
mod link;
mod markers;
mod routes;
mod sentinel;
mod server;
mod shared;
#[path = "../target.rs"]
pub(crate) mod target;
#[cfg(test)]
mod tests;
mod traffic;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxmq_core::{Error, ErrorKind, Result};
use redis::{Cmd, Value};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep, timeout};

#[cfg(feature = "cluster")]
pub(crate) use self::cluster::slot;
use crate::scripts::Script;
use channels::Channels;
use dial::Dialer;
use driver::Patience;
use events::Events;
use home::{Home, Lane};
use markers::Markers;
use shared::{Shared, locked};
use target::{Layout, Target};

/// Without clusters all keys lie in one slot.
#[cfg(not(feature = "cluster"))]
pub(crate) fn slot(_key: &str) -> u16 {
    0
}

/// How long a call may take in all, unless the store was built otherwise.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// How long the first connection may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long closing waits for the answers to calls.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
/// How long what nobody waits for is kept: workers come back, and Node lists them by their connections.
const IDLE_MAX: Duration = Duration::from_secs(60);
const CLOSE_STEP: Duration = Duration::from_millis(5);

/// One call to the server.
#[derive(Debug)]
pub(crate) struct Call {
    /// The verb of the public API, for errors.
    pub(crate) operation: &'static str,
    /// A key that says which slot is meant.
    pub(crate) slot_key: String,
    /// What is sent: `EVALSHA ..` of `script`, or any other command.
    pub(crate) command: Cmd,
    /// The script that `command` runs, if it does: made known to a server that does not know it.
    pub(crate) script: Option<&'static Script>,
    /// Whether sending it twice does no harm. If not, it is sent once: a cut leaves the error `Ambiguous`.
    pub(crate) repeatable: bool,
}

/// A wait for the marker of a queue.
#[derive(Debug)]
pub(crate) struct MarkerWait {
    /// The marker's key.
    pub(crate) key: String,
    /// The name by which Node knows the connection.
    pub(crate) client_name: String,
    /// The longest to wait.
    pub(crate) timeout: Duration,
}

/// A member of a marker that was popped.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Marker {
    /// `0`: there may be something to take; `1`: something is due later.
    pub(crate) member: String,
    /// When, in ms since 1970.
    pub(crate) score: f64,
}

/// A read of a stream of events.
#[derive(Debug)]
pub(crate) struct StreamRead {
    /// The stream's key.
    pub(crate) key: String,
    /// After this id.
    pub(crate) after: String,
    /// The most entries.
    pub(crate) limit: usize,
    /// The longest to wait for the first; zero does not wait.
    pub(crate) timeout: Duration,
}

/// What can be set. The URL's own settings win.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// How long a call may take in all.
    pub(crate) call_deadline: Duration,
    /// Whether all waits for markers share one connection, for servers that allow few.
    pub(crate) shared_wait: bool,
    /// Whose certificates are trusted, as PEM, instead of those the system trusts.
    pub(crate) ca: Option<PathBuf>,
    /// How long a connection may idle before it is asked whether it lives.
    pub(crate) ping_every: Duration,
    /// How long a connection with calls in flight may say nothing.
    pub(crate) stalled_after: Duration,
    /// How long a connection for waits stays open on which nobody waits, and a channel is listened to.
    pub(crate) idle_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            call_deadline: CALL_DEADLINE,
            shared_wait: false,
            ca: None,
            ping_every: link::PING_EVERY,
            stalled_after: link::STALLED_AFTER,
            idle_max: IDLE_MAX,
        }
    }
}

impl Settings {
    fn patience(&self) -> Patience {
        Patience {
            ping_every: self.ping_every,
            stalled_after: self.stalled_after,
            call_deadline: self.call_deadline,
        }
    }
}

/// The owner of the connections. All that it does ends with it.
///
/// Its methods may be awaited on any runtime. A future of its that is dropped takes back what was not sent yet.
/// On the runtime on which it was opened, calls cost no change of thread.
#[derive(Debug)]
pub(crate) struct Hub {
    shared: Arc<Shared>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    stopped: watch::Receiver<bool>,
}

impl Hub {
    /// Connects to the server at `url`.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        Self::open_with(url, Settings::default()).await
    }

    /// Connects to the server at `url`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] names what is wrong with the URL; [`ErrorKind::Unavailable`]: nobody answers there.
    pub(crate) async fn open_with(url: &str, settings: Settings) -> Result<Self> {
        let mut target = Target::parse(url)?;
        if target.tls && target.ca.is_none() {
            target.ca.clone_from(&settings.ca);
        }
        let settings = Settings {
            call_deadline: target.call_deadline.unwrap_or(settings.call_deadline),
            shared_wait: target.shared_wait.unwrap_or(settings.shared_wait),
            ca: None,
            ping_every: settings.ping_every,
            stalled_after: settings.stalled_after,
            idle_max: settings.idle_max,
        };
        let dialer = Dialer::new(&target)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| internal(&error))?;
        let home = if matches!(target.layout, Layout::Cluster(_)) { None } else { Home::here() };
        let shared = Arc::new(Shared::new(target, settings, dialer, runtime.handle().clone(), home));
        let (stop, stopping) = oneshot::channel::<()>();
        let (ended, stopped) = watch::channel(false);
        let served = shared.clone();
        std::thread::Builder::new()
            .name("oxmq-redis".into())
            .spawn(move || {
                runtime.block_on(async { drop(stopping.await) });
                // A name that is being looked up would hold the thread otherwise.
                runtime.shutdown_background();
                served.markers.close();
                ended.send_replace(true);
            })
            .map_err(|error| internal(&error))?;
        let hub = Self { shared: shared.clone(), stop: Mutex::new(Some(stop)), stopped };
        let address = hub.describe();
        let lane = shared.lane();
        hub.owned("connect", async move {
            match timeout(CONNECT_DEADLINE, shared.routes.start(&shared, lane)).await {
                Ok(result) => result,
                Err(_) => Err(Error::new(ErrorKind::Unavailable, "connect", "nobody answers in time")),
            }
        })
        .await
        .map_err(|error| error.with("url", address))?;
        Ok(hub)
    }

    /// Sends a call and gives the reply, in the shapes of RESP2.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`]: not applied. [`ErrorKind::Ambiguous`]: sent, unanswered, and not repeatable.
    /// The server's own errors by what the caller can do: see `fault`.
    pub(crate) async fn call(&self, call: Call) -> Result<Value> {
        let (operation, repeatable) = (call.operation, call.repeatable);
        let sent = Arc::new(AtomicBool::new(false));
        let _counted = Counted::new(&self.shared.calls);
        self.check_open(operation)?;
        let lane = self.shared.lane();
        let mut begun = None;
        if lane == Lane::Home
            && let Some(found) = self.shared.routes.home_link()
        {
            match calls::at_home(found, &call, &sent, self.shared.settings.call_deadline).await {
                Ok(result) => return result,
                Err(unfinished) => {
                    sent.store(unfinished.may_be_applied(), Ordering::Release);
                    begun = Some(unfinished);
                }
            }
        }
        let run = calls::run(self.shared.clone(), call, sent.clone(), lane, begun);
        let result = self.owned(operation, run).await;
        match result {
            Err(error)
                if error.kind() == ErrorKind::Closed && sent.load(Ordering::Acquire) && !repeatable =>
            {
                let message = "the store was closed before the server answered: it may have been applied";
                Err(Error::new(ErrorKind::Ambiguous, operation, message))
            }
            other => other,
        }
    }

    /// Waits for a marker. One that was popped for a wait that is given up goes to the next wait for its key.
    ///
    /// While there is no connection this waits, too, and ends with `None` at its time.
    pub(crate) async fn wait_marker(&self, wait: MarkerWait) -> Result<Option<Marker>> {
        self.check_open("wait")?;
        Markers::wait(&self.shared, wait).await
    }

    /// Has the connection that waits for a marker be there for so long, whether or not somebody waits: Node's `getWorkers`
    /// lists workers by its name. Zero: it goes.
    pub(crate) fn show(&self, marker: String, client_name: String, time: Duration) {
        Markers::show(&self.shared, marker, client_name, Instant::now() + time);
    }

    /// Makes the command connections anew. Calls that are on them already go on.
    pub(crate) fn renew(&self) {
        self.shared.routes.renew("a new one was asked for");
    }

    /// Reads a stream: `Nil`, or `[[key, [entry, ..]]]`.
    pub(crate) async fn read_stream(&self, read: StreamRead) -> Result<Value> {
        self.owned("events", Events::read(self.shared.clone(), read, self.shared.lane())).await
    }

    /// Waits until something may have been published on a channel, at most `timeout`. Each caller begins with 0 and hands
    /// in what it got the last time.
    ///
    /// The first call on a channel returns as soon as it is listened to: look at what the channel tells of after every
    /// return, the first too.
    pub(crate) async fn wait_news(&self, channel: &str, seen: u64, timeout: Duration) -> Result<u64> {
        self.owned("wait", Channels::wait(self.shared.clone(), channel.to_owned(), seen, timeout)).await
    }

    /// Sends a command to every server that has keys. The names are for [`Hub::on_node`].
    pub(crate) async fn every_node(&self, command: Cmd) -> Result<Vec<(String, Value)>> {
        let (shared, lane) = (self.shared.clone(), self.shared.lane());
        self.owned("every_node", async move {
            let deadline = Instant::now() + shared.settings.call_deadline;
            let mut replies = Vec::new();
            for server in shared.routes.primaries(&shared, lane) {
                let name = server.name();
                replies.push((name, calls::on(&server, &command, deadline).await?));
            }
            Ok(replies)
        })
        .await
    }

    /// Sends a command that is repeatable to one server: the next `SCAN` after one of [`Hub::every_node`].
    pub(crate) async fn on_node(&self, node: &str, command: Cmd) -> Result<Value> {
        let (shared, lane, node) = (self.shared.clone(), self.shared.lane(), node.to_owned());
        self.owned("every_node", async move {
            let deadline = Instant::now() + shared.settings.call_deadline;
            match shared.routes.primaries(&shared, lane).iter().find(|server| server.name() == node) {
                Some(server) => calls::on(server, &command, deadline).await,
                None => {
                    Err(Error::new(ErrorKind::Unavailable, "every_node", "the node has left the cluster")
                        .with("server", node))
                }
            }
        })
        .await
    }

    /// Whether the keys are spread over a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.shared.target.layout, Layout::Cluster(_))
    }

    /// Warns of something that was found in a queue, once.
    pub(crate) fn report(&self, finding: String) {
        self.shared.find(finding);
    }

    /// The numbers, at their servers, of our connections that Node takes for workers.
    pub(crate) fn named_connections(&self) -> HashSet<i64> {
        self.shared.markers.ids()
    }

    /// The number of the database.
    pub(crate) fn database(&self) -> i64 {
        self.shared.target.db
    }

    /// The URL without its secrets.
    pub(crate) fn describe(&self) -> String {
        self.shared.target.to_string()
    }

    /// What was found wrong with the servers, each with its remedy.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.shared.warnings()
    }

    /// How often a command connection was made anew.
    #[cfg(test)]
    pub(crate) fn generation(&self) -> u64 {
        self.shared.generation()
    }

    /// Closes all connections, after calls that are under way have had [`CLOSE_PATIENCE`] for their answers.
    pub(crate) async fn close(&self) {
        let shared = self.shared.clone();
        let farewell = self.owned("close", async move {
            shared.closed.store(true, Ordering::Release);
            let _ = timeout(CLOSE_PATIENCE, async {
                while shared.calls.load(Ordering::Acquire) > 0 {
                    sleep(CLOSE_STEP).await;
                }
                Markers::give_back(&shared).await;
            })
            .await;
            Ok(())
        });
        let _ = farewell.await;
        self.shared.closed.store(true, Ordering::Release);
        drop(locked(&self.stop).take());
        let _ = self.stopped.clone().wait_for(|stopped| *stopped).await;
    }

    /// Does work on the owner's thread, for as long as the caller waits for it.
    async fn owned<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.check_open(operation)?;
        match Owned(self.shared.runtime.spawn(work)).ended().await {
            Ok(result) => result,
            Err(error) if error.is_panic() => {
                Err(Error::new(ErrorKind::Internal, operation, "the connection's task panicked")
                    .caused_by(error))
            }
            Err(_) => Err(closed(operation)),
        }
    }

    fn check_open(&self, operation: &'static str) -> Result<()> {
        if self.shared.closed.load(Ordering::Acquire) { Err(closed(operation)) } else { Ok(()) }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        drop(locked(&self.stop).take());
    }
}

/// A task that ends when nobody waits for it any more.
struct Owned<T>(JoinHandle<T>);

impl<T> Owned<T> {
    async fn ended(mut self) -> std::result::Result<T, JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn closed(operation: &'static str) -> Error {
    Error::new(ErrorKind::Closed, operation, "the store was closed")
}

fn internal(error: &std::io::Error) -> Error {
    let message = format!("the connection thread could not be started: {error}");
    Error::new(ErrorKind::Internal, "connect", message)
}
