//! A command connection to a server, and who keeps it up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use oxmq_core::{Error, ErrorKind, Result};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::backoff::Backoff;
use super::home::Home;
use super::link::{Link, Opening};
use super::shared::Shared;
use super::target::{Address, Layout};
use super::{findings, sentinel};

/// After a connection that lived shorter there is a pause before the next, lest a server that closes all be flooded.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// A connection that had to be opened on the store's own thread is replaced by one on the runtime of its callers at most
/// this often.
const MOVE_AFTER: Duration = Duration::from_secs(10);

/// Where a command connection leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Always to the same address.
    Fixed(Address),
    /// To whatever the sentinels call the master.
    Master,
}

/// How a connection is kept up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Always.
    Always,
    /// From when somebody wants it. Once lost, it is opened again when it is wanted again.
    Wanted,
}

/// A server, as far as we are concerned: the connection to it at the moment, or why there is none.
pub(super) struct Server {
    place: Place,
    /// Whether the connection lives on the runtime of the store's user, as long as that runs.
    for_home: bool,
    wanted: Arc<Wanted>,
    current: watch::Sender<Result<Arc<Link>>>,
    keeper: std::sync::OnceLock<AbortHandle>,
}

/// Whether somebody wants a connection.
#[derive(Default)]
struct Wanted {
    is_so: AtomicBool,
    bell: Notify,
}

impl Wanted {
    fn tell(&self) {
        if !self.is_so.swap(true, Ordering::AcqRel) {
            self.bell.notify_one();
        }
    }

    async fn heard(&self) {
        while !self.is_so.load(Ordering::Acquire) {
            self.bell.notified().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}

impl Server {
    /// Begins to keep a connection up, from `first` if that is open already. Ends when the server is dropped.
    pub(super) fn start(
        shared: &Arc<Shared>,
        place: Place,
        for_home: bool,
        keep: Keep,
        first: Option<Link>,
    ) -> Arc<Self> {
        let first = first.map(Arc::new);
        let none = Error::new(ErrorKind::Unavailable, "connect", "there is no connection yet");
        let (current, _) = watch::channel(first.clone().ok_or(none));
        let wanted = Arc::new(Wanted { is_so: AtomicBool::new(keep == Keep::Always), bell: Notify::new() });
        let server = Arc::new(Self {
            place,
            for_home,
            wanted: wanted.clone(),
            current,
            keeper: std::sync::OnceLock::new(),
        });
        let keeping = keep_up(Arc::downgrade(shared), Arc::downgrade(&server), keep, wanted, first);
        let task = shared.runtime.spawn(keeping);
        let _ = server.keeper.set(task.abort_handle());
        server
    }

    /// The connection, as soon as there is one.
    pub(super) async fn link(&self, deadline: Instant) -> Result<Arc<Link>> {
        if let Some(link) = self.link_now() {
            return Ok(link);
        }
        let mut current = self.current.subscribe();
        self.wanted.tell();
        let is_open = |state: &Result<Arc<Link>>| state.as_ref().is_ok_and(|link| link.is_open());
        let found =
            timeout_at(deadline, current.wait_for(is_open)).await.map(|found| found.map(|link| link.clone()));
        match found {
            Ok(Ok(link)) => link,
            _ => Err(match &*self.current.borrow() {
                Ok(_) => Error::new(ErrorKind::Unavailable, "connect", "the connection was lost"),
                Err(error) => error.clone(),
            }),
        }
    }

    /// The connection, if there is one now.
    pub(super) fn link_now(&self) -> Option<Arc<Link>> {
        self.current.borrow().as_ref().ok().filter(|link| link.is_open()).cloned()
    }

    /// The connection, if there is one now that lives on the runtime of the store's user. Otherwise it is wanted.
    pub(super) fn home_link(&self) -> Option<Arc<Link>> {
        if !self.for_home {
            return None;
        }
        match self.link_now() {
            Some(link) if link.is_home => Some(link),
            // The runtime stood still when it was opened, and runs now.
            Some(link) => {
                if link.age() > MOVE_AFTER {
                    link.retire("the runtime of its callers runs again");
                }
                None
            }
            None => {
                self.wanted.tell();
                None
            }
        }
    }

    /// Tells of every loss and replacement of the connection.
    pub(super) fn watch(&self) -> watch::Receiver<Result<Arc<Link>>> {
        self.current.subscribe()
    }

    /// What tells it from the others.
    pub(super) fn name(&self) -> String {
        match &self.place {
            Place::Fixed(address) => address.to_string(),
            Place::Master => "master".to_owned(),
        }
    }

    /// What it was made for.
    #[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "a cluster keeps its servers by it"))]
    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

/// Opens a command connection to `place`, on the runtime of the store's user if that is wanted and it runs.
pub(super) async fn connect(shared: &Arc<Shared>, place: &Place, for_home: bool, keep: Keep) -> Result<Link> {
    let home = shared.home.as_ref().filter(|_| for_home);
    if let Some(home) = home
        && let Some(connected) = home.attempt(Box::pin(connect_on(shared, place, Some(home)))).await
    {
        return connected;
    }
    if home.is_some() && keep == Keep::Wanted {
        let message = "the runtime of the caller stands still or has no I/O";
        return Err(Error::new(ErrorKind::Unavailable, "connect", message));
    }
    connect_on(shared, place, None).await
}

async fn connect_on(shared: &Arc<Shared>, place: &Place, home: Option<&Home>) -> Result<Link> {
    let address = match (place, &shared.target.layout) {
        (Place::Fixed(address), _) => address.clone(),
        (Place::Master, Layout::Sentinel { sentinels, master, login }) => {
            return sentinel::connect(shared, sentinels, master, login, home).await;
        }
        (Place::Master, _) => {
            return Err(Error::new(ErrorKind::Internal, "connect", "only sentinels know a master"));
        }
    };
    open(shared, &address, home).await
}

/// Opens a command connection to an address and looks at what is found there.
pub(super) async fn open(shared: &Arc<Shared>, address: &Address, home: Option<&Home>) -> Result<Link> {
    let opening = Opening {
        login: Some(&shared.target.login),
        db: shared.target.db,
        patience: Some(shared.settings.patience()),
        others: Some(&shared.others),
        home,
        ..Opening::default()
    };
    let link = Link::open(&shared.dialer, address, opening).await?;
    findings::look(shared, &link).await?;
    if link.is_open() {
        return Ok(link);
    }
    let message = format!("the connection was lost: {}", link.ended().await);
    Err(Error::new(ErrorKind::Unavailable, "connect", message).with("server", address))
}

/// Keeps the connection up for as long as there is a server to keep it for.
async fn keep_up(
    shared: Weak<Shared>,
    server: Weak<Server>,
    keep: Keep,
    wanted: Arc<Wanted>,
    first: Option<Arc<Link>>,
) {
    // One that is opened when it is wanted is not made anew the first time.
    let mut is_anew = keep == Keep::Always;
    let mut link = first;
    let mut lost = Instant::now();
    loop {
        if let Some(open) = link.take() {
            let born = Instant::now();
            let reason = open.ended().await;
            let (Some(shared), Some(server)) = (shared.upgrade(), server.upgrade()) else { return };
            tracing::warn!(server = %open.address, reason, "the connection to Redis was lost");
            lost = Instant::now();
            let message = format!("the connection was lost: {reason}");
            let _ = server.current.send_replace(Err(
                Error::new(ErrorKind::Unavailable, "connect", message).with("server", &open.address)
            ));
            drop((shared, server, open));
            if born.elapsed() < SHORT_LIFE {
                sleep(Backoff::new().pause()).await;
            }
        }
        let mut backoff = Backoff::new();
        link = loop {
            wanted.heard().await;
            let (Some(shared), Some(server)) = (shared.upgrade(), server.upgrade()) else { return };
            match connect(&shared, &server.place, server.for_home, keep).await {
                Ok(open) => {
                    let open = Arc::new(open);
                    if std::mem::replace(&mut is_anew, true) {
                        shared.count_generation();
                    }
                    wanted.is_so.store(keep == Keep::Always, Ordering::Release);
                    let took_ms = u64::try_from(lost.elapsed().as_millis()).unwrap_or(u64::MAX);
                    tracing::info!(server = %open.address, took_ms, "connected to Redis");
                    let _ = server.current.send_replace(Ok(open.clone()));
                    break Some(open);
                }
                Err(error) => {
                    tracing::debug!(%error, "Redis is out of reach");
                    let _ = server.current.send_replace(Err(error));
                    if keep == Keep::Wanted && server.current.receiver_count() == 0 {
                        wanted.is_so.store(false, Ordering::Release);
                    }
                    #[cfg(feature = "cluster")]
                    shared.routes.doubt();
                }
            }
            drop((shared, server));
            sleep(backoff.pause()).await;
        };
    }
}
