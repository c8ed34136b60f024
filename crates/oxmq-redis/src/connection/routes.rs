//! Which server has a key: the one there is, or the one that a cluster's map names.

use std::sync::{Arc, OnceLock};

use oxmq_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

#[cfg(feature = "cluster")]
use super::cluster::Cluster;
use super::fault::Fault;
use super::home::Lane;
use super::link::Link;
use super::server::{self, Keep, Place, Server};
use super::shared::Shared;
use super::target::{Layout, Target};

/// Where a call goes next.
pub(super) enum Next {
    /// To whoever has the slot.
    Owner,
    /// To this server alone, as another said ASK.
    #[cfg(feature = "cluster")]
    Asked(Arc<Server>),
}

/// The connections to one server: one on the runtime of the store's user, one on the store's own thread. The first is the
/// one that the store was opened with, and is always kept up; the other one, if somebody needs it. So a store that only
/// adds jobs has one.
pub(super) struct Pair {
    first: Arc<Server>,
    /// None if there is no runtime of a user.
    second: Option<Arc<Server>>,
    is_first_home: bool,
}

impl Pair {
    /// Which one calls from `lane` go by. One on the user's runtime may not be waited for from elsewhere.
    fn of(&self, shared: &Shared, lane: Lane) -> &Arc<Server> {
        let must_part = lane == Lane::Away
            && self.is_first_home
            && self.first.link_now().map_or_else(
                || shared.home.as_ref().is_some_and(|home| !home.is_over()),
                |link| link.is_home,
            );
        self.second.as_ref().filter(|_| must_part).unwrap_or(&self.first)
    }
}

/// The servers and what lives where.
pub(super) enum Routes {
    /// One server, or one master.
    One(OnceLock<Pair>),
    /// A cluster's primaries.
    #[cfg(feature = "cluster")]
    Cluster(Cluster),
}

impl Routes {
    pub(super) fn new(target: &Target) -> Self {
        match target.layout {
            #[cfg(feature = "cluster")]
            Layout::Cluster(_) => Self::Cluster(Cluster::new()),
            _ => Self::One(OnceLock::new()),
        }
    }

    /// Connects for the first time. That failing is an error; what is lost later comes back by itself.
    pub(super) async fn start(&self, shared: &Arc<Shared>, lane: Lane) -> Result<()> {
        match self {
            Self::One(one) => {
                let place = match &shared.target.layout {
                    Layout::Standalone(address) => Place::Fixed(address.clone()),
                    _ => Place::Master,
                };
                let is_first_home = lane == Lane::Home && shared.home.is_some();
                let link = server::connect(shared, &place, is_first_home, Keep::Always).await?;
                let first = Server::start(shared, place.clone(), is_first_home, Keep::Always, Some(link));
                let second = shared
                    .home
                    .as_ref()
                    .map(|_| Server::start(shared, place, !is_first_home, Keep::Wanted, None));
                let _ = one.set(Pair { first, second, is_first_home });
                Ok(())
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.start(shared).await,
        }
    }

    /// The server that has a key, and the command connection to it for calls from `lane`, as soon as there is one.
    pub(super) async fn link(
        &self,
        shared: &Arc<Shared>,
        key: &str,
        lane: Lane,
        deadline: Instant,
    ) -> Result<(Arc<Server>, Arc<Link>)> {
        match self {
            Self::One(one) => {
                let _ = key;
                let server = one.get().ok_or_else(none)?.of(shared, lane);
                Ok((server.clone(), server.link(deadline).await?))
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.link(shared, key, deadline).await,
        }
    }

    /// The connection on the user's runtime, if it is open now. Clusters have none: it would double their connections.
    pub(super) fn home_link(&self) -> Option<(Arc<Server>, Arc<Link>)> {
        let pair = match self {
            Self::One(one) => one.get()?,
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => return None,
        };
        let server = if pair.is_first_home { Some(&pair.first) } else { pair.second.as_ref() }?;
        server.home_link().map(|link| (server.clone(), link))
    }

    /// A connection to `server` by which something may be told besides, if one is open now.
    pub(super) fn link_now(&self, server: &Server) -> Option<Arc<Link>> {
        let second = match self {
            Self::One(one) => one.get().and_then(|pair| pair.second.as_ref()),
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => None,
        };
        match server.link_now() {
            // It may stand still.
            Some(link) if link.is_home => second.and_then(|second| second.link_now()).or(Some(link)),
            link => link,
        }
    }

    /// Has all command connections made anew.
    pub(super) fn renew(&self, reason: &'static str) {
        let servers: Vec<Arc<Server>> = match self {
            Self::One(one) => one
                .get()
                .map(|pair| std::iter::once(pair.first.clone()).chain(pair.second.clone()).collect())
                .unwrap_or_default(),
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.primaries(),
        };
        for link in servers.iter().filter_map(|server| server.link_now()) {
            link.retire(reason);
        }
    }

    /// All servers that have keys, for calls from `lane`.
    pub(super) fn primaries(&self, shared: &Shared, lane: Lane) -> Vec<Arc<Server>> {
        match self {
            Self::One(one) => one.get().map(|pair| pair.of(shared, lane).clone()).into_iter().collect(),
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => {
                let _ = (shared, lane);
                cluster.primaries()
            }
        }
    }

    /// Understands a redirection. None if there is no cluster.
    pub(super) fn redirect(&self, shared: &Arc<Shared>, server: &Server, fault: &Fault) -> Option<Next> {
        match self {
            Self::One(_) => {
                let _ = (shared, server, fault);
                None
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.redirect(shared, server, fault),
        }
    }

    /// Keys of one group may stand in one command.
    pub(super) fn group(&self, key: &str) -> u16 {
        match self {
            Self::One(_) => {
                let _ = key;
                0
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => super::cluster::slot(key),
        }
    }

    /// What is known may no longer be so.
    #[cfg(feature = "cluster")]
    pub(super) fn doubt(&self) {
        if let Self::Cluster(cluster) = self {
            cluster.doubt();
        }
    }
}

fn none() -> Error {
    Error::new(ErrorKind::Unavailable, "connect", "there is no connection yet")
}
