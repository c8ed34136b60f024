//! Which server has a key: the one there is, or the one that a cluster's map names.

use std::sync::{Arc, OnceLock};

use oxmq_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

#[cfg(feature = "cluster")]
use super::cluster::Cluster;
use super::fault::Fault;
use super::link::Link;
use super::server::{self, Place, Server};
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

/// The servers and what lives where.
pub(super) enum Routes {
    /// One server, or one master.
    One(OnceLock<Arc<Server>>),
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
    pub(super) async fn start(&self, shared: &Arc<Shared>) -> Result<()> {
        match self {
            Self::One(one) => {
                let place = match &shared.target.layout {
                    Layout::Standalone(address) => Place::Fixed(address.clone()),
                    _ => Place::Master,
                };
                let first = server::connect(shared, &place).await?;
                let _ = one.set(Server::start(shared, place, Some(first)));
                Ok(())
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.start(shared).await,
        }
    }

    /// The server that has a key, and the command connection to it, as soon as there is one.
    pub(super) async fn link(
        &self,
        shared: &Arc<Shared>,
        key: &str,
        deadline: Instant,
    ) -> Result<(Arc<Server>, Arc<Link>)> {
        match self {
            Self::One(one) => {
                let _ = (shared, key);
                let server = one.get().ok_or_else(none)?;
                Ok((server.clone(), server.link(deadline).await?))
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.link(shared, key, deadline).await,
        }
    }

    /// All servers that have keys.
    pub(super) fn primaries(&self) -> Vec<Arc<Server>> {
        match self {
            Self::One(one) => one.get().cloned().into_iter().collect(),
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.primaries(),
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
