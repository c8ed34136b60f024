//! A cluster: which node has which slot, and one command connection per primary.
//!
//! Not redis-rs's cluster client: that one sends again after a cut, which a call that is not repeatable must not be.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxmq_core::{Error, ErrorKind, Result};
use redis::{Value, from_redis_value};
use tokio::time::{Instant, timeout, timeout_at};

use super::backoff::Backoff;
use super::fault::{Fault, Remedy};
use super::link::{Link, Opening};
use super::routes::Next;
use super::server::{self, Keep, Place, Server};
use super::shared::{Shared, locked};
use super::target::{Address, Layout};

const SLOTS: u16 = 16384;
/// A node that cannot be reached for so long may have lost its slots: the map is asked for again.
const NODE_PATIENCE: Duration = Duration::from_millis(500);
/// How long one node may take to tell the map before the next is asked.
const ASK_PATIENCE: Duration = Duration::from_secs(1);

/// The slot of a key.
pub(crate) fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    crc16::State::<crc16::XMODEM>::calculate(hashed.as_bytes()) % SLOTS
}

/// The map and the servers in it.
pub(super) struct Cluster {
    state: Mutex<State>,
    is_doubtful: AtomicBool,
    refreshing: tokio::sync::Mutex<()>,
    version: AtomicU64,
}

#[derive(Default)]
struct State {
    ranges: Vec<(u16, u16, Address)>,
    servers: HashMap<Address, Arc<Server>>,
}

impl Cluster {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            is_doubtful: AtomicBool::new(true),
            refreshing: tokio::sync::Mutex::new(()),
            version: AtomicU64::new(0),
        }
    }

    /// Gets the first map.
    pub(super) async fn start(&self, shared: &Arc<Shared>) -> Result<()> {
        self.refresh(shared).await?;
        // A wrong password or an old server must be told now, not at the first call.
        let server = locked(&self.state).ranges.first().map(|range| range.2.clone());
        match server {
            Some(address) => server::open(shared, &address, None).await.map(drop),
            None => Err(Error::new(ErrorKind::Unavailable, "connect", "the cluster has no slots yet")),
        }
    }

    /// Has the map asked for again by the next that needs it.
    pub(super) fn doubt(&self) {
        self.is_doubtful.store(true, Ordering::Release);
    }

    pub(super) fn primaries(&self) -> Vec<Arc<Server>> {
        locked(&self.state).servers.values().cloned().collect()
    }

    /// The server of a key and its connection.
    pub(super) async fn link(
        &self,
        shared: &Arc<Shared>,
        key: &str,
        deadline: Instant,
    ) -> Result<(Arc<Server>, Arc<Link>)> {
        let slot = slot(key);
        let mut backoff = Backoff::new();
        loop {
            let refreshed = if self.is_doubtful.load(Ordering::Acquire) {
                timeout_at(deadline, self.refresh(shared)).await.unwrap_or_else(|_| {
                    Err(Error::new(
                        ErrorKind::Unavailable,
                        "connect",
                        "no node of the cluster answers in time",
                    ))
                })
            } else {
                Ok(())
            };
            let error = match (self.server(slot), refreshed) {
                (Some(server), _) => match server.link(deadline.min(Instant::now() + NODE_PATIENCE)).await {
                    Ok(link) => return Ok((server, link)),
                    Err(error) => error,
                },
                (None, Err(error)) => error,
                (None, Ok(())) => Error::new(
                    ErrorKind::Unavailable,
                    "connect",
                    format!("no node of the cluster has slot {slot}"),
                ),
            };
            self.doubt();
            if !backoff.wait(deadline).await {
                return Err(error);
            }
        }
    }

    fn server(&self, slot: u16) -> Option<Arc<Server>> {
        let state = locked(&self.state);
        // The last range wins: a redirection is noted at the end.
        let (_, _, address) =
            state.ranges.iter().rev().find(|(from, to, _)| (*from..=*to).contains(&slot))?;
        state.servers.get(address).cloned()
    }

    /// Understands MOVED and ASK.
    pub(super) fn redirect(&self, shared: &Arc<Shared>, server: &Server, fault: &Fault) -> Option<Next> {
        let (slot, place) = fault.place()?;
        let place = match (Address::from_server(place)?, server.place()) {
            (Address::Tcp(host, port), Place::Fixed(Address::Tcp(asked, _))) if host.is_empty() => {
                Address::Tcp(asked.clone(), port)
            }
            (place, _) => place,
        };
        let mut state = locked(&self.state);
        let target = state.server(shared, &place);
        if fault.remedy == Remedy::Ask {
            return Some(Next::Asked(target));
        }
        state.ranges.push((slot, slot, place));
        drop(state);
        self.doubt();
        Some(Next::Owner)
    }

    /// Asks any node for the map. Whoever comes while somebody asks takes their answer.
    async fn refresh(&self, shared: &Arc<Shared>) -> Result<()> {
        let version = self.version.load(Ordering::Acquire);
        let _one = self.refreshing.lock().await;
        if self.version.load(Ordering::Acquire) != version {
            return Ok(());
        }
        self.is_doubtful.store(false, Ordering::Release);
        let mut failure = Error::new(ErrorKind::Unavailable, "connect", "no node of the cluster is known");
        for link in self.primaries().iter().filter_map(|server| server.link_now()) {
            match timeout(ASK_PATIENCE, self.ask(shared, &link)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => failure = error,
                Err(_) => {}
            }
        }
        let mut nodes: Vec<Address> = locked(&self.state).servers.keys().cloned().collect();
        if let Layout::Cluster(seeds) = &shared.target.layout {
            nodes.extend(seeds.iter().cloned());
        }
        // Callers may have less time than the dead ones take: not always the same one is asked first.
        fastrand::shuffle(&mut nodes);
        for node in nodes {
            let asked = async {
                let opening = Opening { login: Some(&shared.target.login), ..Opening::default() };
                self.ask(shared, &Link::open(&shared.dialer, &node, opening).await?).await
            };
            match timeout(ASK_PATIENCE, asked).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => failure = error,
                Err(_) => {}
            }
        }
        self.doubt();
        Err(failure)
    }

    async fn ask(&self, shared: &Arc<Shared>, link: &Link) -> Result<()> {
        let reply = link.ask(redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let ranges = read(reply, &link.address);
        if ranges.is_empty() {
            return Err(Error::new(ErrorKind::Unavailable, "connect", "the node knows of no slots")
                .with("server", &link.address));
        }
        let mut state = locked(&self.state);
        // A server that has no slots any more loses its keeper here, and its connection with its last call.
        state.servers.retain(|address, _| ranges.iter().any(|range| range.2 == *address));
        for (_, _, address) in &ranges {
            state.server(shared, address);
        }
        state.ranges = ranges;
        self.version.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}

impl State {
    fn server(&mut self, shared: &Arc<Shared>, address: &Address) -> Arc<Server> {
        let start = || Server::start(shared, Place::Fixed(address.clone()), false, Keep::Always, None);
        self.servers.entry(address.clone()).or_insert_with(start).clone()
    }
}

/// Reads CLUSTER SLOTS. A node that does not know its own host is where it was asked.
fn read(reply: Value, asked: &Address) -> Vec<(u16, u16, Address)> {
    let Value::Array(rows) = reply else { return Vec::new() };
    let mut ranges = Vec::new();
    for row in rows {
        let Value::Array(row) = row else { continue };
        let mut row = row.into_iter();
        let (Some(Value::Int(from)), Some(Value::Int(to)), Some(Value::Array(node))) =
            (row.next(), row.next(), row.next())
        else {
            continue;
        };
        let mut node = node.into_iter();
        let host = node.next().and_then(|host| from_redis_value::<Option<String>>(host).ok()).flatten();
        let Some(Value::Int(port)) = node.next() else { continue };
        let (Ok(from), Ok(to), Ok(port)) = (u16::try_from(from), u16::try_from(to), u16::try_from(port))
        else {
            continue;
        };
        let address = match (host.filter(|host| !host.is_empty() && host != "?"), asked) {
            (Some(host), _) => Address::Tcp(host, port),
            (None, Address::Tcp(host, _)) => Address::Tcp(host.clone(), port),
            (None, Address::Unix(_)) => continue,
        };
        ranges.push((from, to, address));
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_servers() {
        assert_eq!(slot("foo"), 12182);
        assert_eq!(slot("{foo}:a"), 12182);
        assert_eq!(slot("bar"), 5061);
        assert_eq!(slot("a{}b"), crc16::State::<crc16::XMODEM>::calculate(b"a{}b") % SLOTS);
    }
}
