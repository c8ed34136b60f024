//! The one command connection to a server, and who keeps it up.

use std::sync::{Arc, Weak};
use std::time::Duration;

use oxmq_core::{Error, ErrorKind, Result};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::backoff::Backoff;
use super::link::{Link, Opening};
use super::shared::Shared;
use super::target::{Address, Layout};
use super::{findings, sentinel};

/// After a connection that lived shorter there is a pause before the next, lest a server that closes all be flooded.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// Where a command connection leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Always to the same address.
    Fixed(Address),
    /// To whatever the sentinels call the master.
    Master,
}

/// A server, as far as we are concerned: the connection to it at the moment, or why there is none.
pub(super) struct Server {
    place: Place,
    current: watch::Sender<Result<Arc<Link>>>,
    keeper: std::sync::OnceLock<AbortHandle>,
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
    pub(super) fn start(shared: &Arc<Shared>, place: Place, first: Option<Link>) -> Arc<Self> {
        let first = first.map(Arc::new);
        let none = Error::new(ErrorKind::Unavailable, "connect", "there is no connection yet");
        let (current, _) = watch::channel(first.clone().ok_or(none));
        let server = Arc::new(Self { place, current, keeper: std::sync::OnceLock::new() });
        let task = shared.runtime.spawn(keep(Arc::downgrade(shared), Arc::downgrade(&server), first));
        let _ = server.keeper.set(task.abort_handle());
        server
    }

    /// The connection, as soon as there is one.
    pub(super) async fn link(&self, deadline: Instant) -> Result<Arc<Link>> {
        if let Some(link) = self.link_now() {
            return Ok(link);
        }
        let mut current = self.current.subscribe();
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

/// Opens a command connection to `place`.
pub(super) async fn connect(shared: &Arc<Shared>, place: &Place) -> Result<Link> {
    let address = match (place, &shared.target.layout) {
        (Place::Fixed(address), _) => address.clone(),
        (Place::Master, Layout::Sentinel { sentinels, master, login }) => {
            return sentinel::connect(shared, sentinels, master, login).await;
        }
        (Place::Master, _) => {
            return Err(Error::new(ErrorKind::Internal, "connect", "only sentinels know a master"));
        }
    };
    open(shared, &address).await
}

/// Opens a command connection to an address and looks at what is found there.
pub(super) async fn open(shared: &Arc<Shared>, address: &Address) -> Result<Link> {
    let opening = Opening {
        login: Some(&shared.target.login),
        db: shared.target.db,
        ping_every: Some(shared.settings.ping_every),
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
async fn keep(shared: Weak<Shared>, server: Weak<Server>, first: Option<Arc<Link>>) {
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
            let (Some(shared), Some(server)) = (shared.upgrade(), server.upgrade()) else { return };
            match connect(&shared, &server.place).await {
                Ok(open) => {
                    let open = Arc::new(open);
                    shared.count_generation();
                    let took_ms = u64::try_from(lost.elapsed().as_millis()).unwrap_or(u64::MAX);
                    tracing::info!(server = %open.address, took_ms, "connected to Redis");
                    let _ = server.current.send_replace(Ok(open.clone()));
                    break Some(open);
                }
                Err(error) => {
                    tracing::debug!(%error, "Redis is out of reach");
                    let _ = server.current.send_replace(Err(error));
                    #[cfg(feature = "cluster")]
                    shared.routes.doubt();
                }
            }
            drop((shared, server));
            sleep(backoff.pause()).await;
        };
    }
}
