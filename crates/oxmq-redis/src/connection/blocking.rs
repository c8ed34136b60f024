//! A connection on which we block: for markers, or for events.
//!
//! What is waited for is a [`Desk`]'s affair. Here is what both have in common: the connection is opened, named,
//! replaced when it is silent; a block is cut into slices, and ended early when somebody comes whom it does not serve
//! or when nobody is left; whoever waits is answered when their time has come, whatever the connection does.
//!
//! A connection may live on the runtime of those who wait: an answer goes from the socket to them without a change of
//! thread. All the rest is done on the store's own thread then, too.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use oxmq_core::{Error, ErrorKind, Result};
use redis::{Cmd, ServerError, Value};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::backoff::Backoff;
use super::fault::{self, Remedy};
use super::home::{Home, Lane};
use super::link::{DIAL_DEADLINE, Link, Opening, Outcome};
use super::server::Server;
use super::shared::Shared;
use super::target::Address;

/// The longest block.
const BLOCK_MAX: Duration = Duration::from_secs(10);
/// The longest block where the server does not let us end one early.
const BLOCK_SHORT: Duration = Duration::from_millis(250);
/// The shortest block; zero would block for ever.
const BLOCK_MIN: Duration = Duration::from_millis(10);
/// How much longer than the block its answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a block goes on for nobody: callers come back soon as a rule.
const GRACE: Duration = Duration::from_millis(50);
/// How soon a block is ended again that had not begun at the server the last time.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(5);

/// Those who wait on one connection.
pub(super) trait Desk: Send + Sync {
    /// The name that the connection bears.
    fn client_name(&self) -> Option<&str>;
    /// The runtime on which all who wait do so, if it is the one on which the store was connected. Once none, always none.
    fn home(&self) -> Option<&Home> {
        None
    }
    /// Answers those whose time has come, and says when the next one's comes. None if nobody waits.
    fn expire(&self, now: Instant) -> Option<Instant>;
    /// What to send for all who wait.
    fn ask(&self, longest: Duration) -> Option<Asked>;
    /// Whether a block serves all who wait by now.
    fn covers(&self, asked: &Asked) -> bool;
    /// Gives an answer to those it is for.
    fn answer(&self, reply: Value);
    /// Gives an error to all who wait.
    fn refuse(&self, error: &Error);
    /// Has all who wait look by themselves: an answer may have been lost.
    fn look(&self) {}
    /// The connection is open.
    fn opened(&self, _link: &Arc<Link>) {}
    /// Whether the connection is to be there for others to see, though nobody waits.
    fn shown(&self, _now: Instant) -> Shown {
        Shown::Idle
    }
    /// Closes if nobody waits, and says whether it did.
    fn retire(&self) -> bool;
}

/// What a connection is for while nobody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing: it stays for a while.
    Idle,
    /// Others list it, as a worker that is there.
    There,
    /// Others must not list it any more.
    Gone,
}

/// A block.
pub(super) struct Asked {
    /// What is sent.
    pub(super) command: Cmd,
    /// What it waits for.
    pub(super) keys: Vec<String>,
    /// How long it may take.
    pub(super) wait: Duration,
}

/// How long to block when the last who waits does so until `until`.
pub(super) fn slice(until: Instant, longest: Duration) -> Duration {
    until.saturating_duration_since(Instant::now()).clamp(BLOCK_MIN, longest)
}

/// A connection that can block.
struct Blocking {
    link: Arc<Link>,
    server: Arc<Server>,
    can_interrupt: bool,
}

impl Blocking {
    /// Whether it lives where it may.
    fn suits(&self, desk: &dyn Desk) -> bool {
        !self.link.is_home || desk.home().is_some()
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        // At once, though its runtime may stand still: the server must not pop a marker for one who does not read.
        self.link.shut();
    }
}

/// What came of a block.
enum Ended {
    /// There was nothing to ask.
    Unasked,
    /// Those whom it concerns have the answer.
    Answered,
    /// The server answered with an error.
    Refused(ServerError),
}

/// Serves a desk until it retires.
pub(super) async fn serve(shared: Arc<Shared>, desk: Arc<dyn Desk>, wake: Arc<Notify>, slot_key: String) {
    let mut connection: Option<Blocking> = None;
    let mut backoff = Backoff::new();
    loop {
        if desk.expire(Instant::now()).is_none() {
            match desk.shown(Instant::now()) {
                Shown::Gone if desk.retire() => return,
                Shown::There if connection.is_none() => {
                    match meanwhile(&*desk, &wake, connect(&shared, &*desk, &slot_key)).await {
                        Ok(opened) => connection = Some(opened),
                        Err(_) => meanwhile(&*desk, &wake, sleep(backoff.pause())).await,
                    }
                    continue;
                }
                _ => {}
            }
            let lost = async {
                match &connection {
                    Some(connection) => connection.link.ended().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wake.notified() => {}
                _ = lost => connection = None,
                () = sleep(shared.settings.idle_max) => {
                    if desk.shown(Instant::now()) != Shown::There && desk.retire() {
                        return;
                    }
                }
            }
            continue;
        }
        let Some(open) = connection.take().filter(|open| open.link.is_open() && open.suits(&*desk)) else {
            match meanwhile(&*desk, &wake, connect(&shared, &*desk, &slot_key)).await {
                Ok(opened) => connection = Some(opened),
                Err(error) => {
                    if error.kind() != ErrorKind::Unavailable {
                        desk.refuse(&error);
                    }
                    meanwhile(&*desk, &wake, sleep(backoff.pause())).await;
                }
            }
            continue;
        };
        match block(&shared, &desk, &wake, open).await {
            Ok((open, Ended::Unasked)) => connection = Some(open),
            Ok((open, Ended::Refused(error))) => {
                let fault = fault::understand(&error);
                match fault.remedy {
                    Remedy::Wait => connection = Some(open),
                    Remedy::Rediscover => {
                        if let Some(command) = open.server.link_now() {
                            command.retire("it leads to a replica");
                        }
                    }
                    Remedy::Moved | Remedy::Ask => {
                        if shared.routes.redirect(&shared, &open.server, &fault).is_none() {
                            desk.refuse(&fault.error("wait"));
                        }
                    }
                    Remedy::Tell | Remedy::LoadScript => {
                        desk.refuse(&fault.error("wait"));
                        connection = Some(open);
                    }
                }
                meanwhile(&*desk, &wake, sleep(backoff.pause())).await;
            }
            Ok((open, Ended::Answered)) => {
                backoff = Backoff::new();
                connection = Some(open);
            }
            Err(reason) => {
                tracing::debug!(reason, "a waiting connection to Redis was lost");
                meanwhile(&*desk, &wake, sleep(backoff.pause())).await;
            }
        }
    }
}

/// Opens a connection to where the command connection leads.
async fn connect(shared: &Arc<Shared>, desk: &dyn Desk, slot_key: &str) -> Result<Blocking> {
    let (server, command) =
        shared.routes.link(shared, slot_key, Lane::Home, Instant::now() + DIAL_DEADLINE).await?;
    let link = Arc::new(open(shared, &command.address, desk.home()).await?);
    let can_interrupt = link.id.is_some();
    // Before others can see the name: who looks for workers would take it for one of BullMQ's.
    desk.opened(&link);
    if let Some(name) = desk.client_name() {
        // A server that does not allow names is fine.
        let _ = link.ask(redis::cmd("CLIENT").arg("SETNAME").arg(name)).await;
    }
    Ok(Blocking { link, server, can_interrupt })
}

/// Opens a connection on the runtime of those who wait, if that runs.
async fn open(shared: &Shared, address: &Address, home: Option<&Home>) -> Result<Link> {
    let opening = |home| {
        let (login, db) = (Some(&shared.target.login), shared.target.db);
        Link::open(&shared.dialer, address, Opening { login, db, home, ..Opening::default() })
    };
    if let Some(home) = home
        && let Some(opened) = home.attempt(Box::pin(opening(Some(home)))).await
    {
        return opened;
    }
    opening(None).await
}

/// Blocks once. Gives the connection back, or says why it is lost.
async fn block(
    shared: &Arc<Shared>,
    desk: &Arc<dyn Desk>,
    wake: &Notify,
    mut open: Blocking,
) -> std::result::Result<(Blocking, Ended), &'static str> {
    let longest = if open.can_interrupt { BLOCK_MAX } else { BLOCK_SHORT };
    let Some(asked) = desk.ask(longest) else { return Ok((open, Ended::Unasked)) };
    let give_up = Instant::now() + asked.wait + PATIENCE;
    let mut current = open.server.watch();
    let mut interrupt: Option<Instant> = None;
    let mut ending: Option<Pin<Box<dyn Future<Output = bool> + Send>>> = None;
    let link = open.link.clone();
    let mut hearing = None;
    let ended = {
        let mut ended = pin!(ask(&link, desk, &asked.command));
        loop {
            if !open.suits(&**desk) {
                // Its runtime may stand still: its answer cannot be waited for.
                desk.look();
                return Err("it is waited on from elsewhere, too");
            }
            let now = Instant::now();
            let next = desk.expire(now);
            interrupt = match next {
                _ if !open.can_interrupt => None,
                Some(_) if desk.covers(&asked) => None,
                Some(_) => Some(interrupt.unwrap_or(now)),
                None => Some(interrupt.unwrap_or(now + GRACE)),
            };
            tokio::select! {
                biased;
                ended = &mut ended => break ended,
                allowed = maybe(&mut ending) => {
                    ending = None;
                    open.can_interrupt = allowed;
                    interrupt = interrupt.map(|_| Instant::now() + INTERRUPT_AGAIN);
                }
                () = until(interrupt), if ending.is_none() => {
                    ending = Some(Box::pin(end_block(shared.routes.link_now(&open.server), open.link.id)));
                }
                // What has arrived by then counts, though its runtime stood still.
                () = sleep_until(give_up), if hearing.is_none() => hearing = Some(Box::pin(link.hear())),
                _ = maybe(&mut hearing) => return Err("a block was not answered"),
                () = until(next) => {}
                () = wake.notified() => {}
                _ = current.changed() => {
                    if open.server.link_now().is_some_and(|command| command.address != open.link.address) {
                        return Err("the master is another now");
                    }
                }
            }
        }
    };
    ended.map(|ended| (open, ended)).ok_or("the connection broke")
}

/// Sends a command and gives its answer to those it is for, where they and the connection live. None if it broke.
async fn ask(link: &Arc<Link>, desk: &Arc<dyn Desk>, command: &Cmd) -> Option<Ended> {
    match desk.home().filter(|_| link.is_home) {
        Some(home) => {
            let (link, desk, command) = (link.clone(), desk.clone(), command.clone());
            home.run(async move { ask_here(&link, &*desk, &command).await }).await.flatten()
        }
        None => ask_here(link, &**desk, command).await,
    }
}

async fn ask_here(link: &Link, desk: &dyn Desk, command: &Cmd) -> Option<Ended> {
    match link.send(command).await {
        Outcome::Reply(Value::ServerError(error)) => Some(Ended::Refused(error)),
        Outcome::Reply(reply) => {
            desk.answer(reply);
            Some(Ended::Answered)
        }
        Outcome::Cut { .. } => None,
    }
}

/// Asks the server to end a block, from a command connection. False if the server does not allow that.
async fn end_block(command: Option<Arc<Link>>, id: Option<i64>) -> bool {
    let (Some(command), Some(id)) = (command, id) else { return true };
    let reply = command.send(redis::cmd("CLIENT").arg("UNBLOCK").arg(id)).await;
    !matches!(reply, Outcome::Reply(Value::ServerError(_)))
}

/// Works, while those are answered whose time comes.
async fn meanwhile<T>(desk: &dyn Desk, wake: &Notify, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        let next = desk.expire(Instant::now());
        tokio::select! {
            done = &mut work => return done,
            () = until(next) => {}
            () = wake.notified() => {}
        }
    }
}

/// Waits for something that may not be under way.
async fn maybe<F: Future + Unpin>(work: &mut Option<F>) -> F::Output {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
