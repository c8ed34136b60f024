//! Redis Cluster.

use std::time::Duration;

use crate::deadline::{happens_within, until};
use crate::options::Options;
use crate::resp::Reply;
use crate::server::Server;

/// How long forming a cluster, a failover and the spreading of news may take; usually 1 to 3 seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many slots a cluster has.
const SLOTS: usize = 16_384;
/// How long a node may take to answer before it counts as gone.
const GLANCE: Duration = Duration::from_millis(500);

/// A cluster of servers on this machine. A node that does not answer for a second is taken as failed, and its replica
/// takes its place.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    /// Starts so many primaries (at least 3) with so many replicas each (0 or more), and waits until every node says that
    /// the cluster is whole. Slots are spread evenly and in order.
    #[track_caller]
    pub fn start(primaries: usize, replicas: usize) -> Self {
        Self::start_with(&Options::new(), primaries, replicas)
    }

    /// As [`Cluster::start`], the nodes with these options (the append-only file; no password, users or TLS).
    #[track_caller]
    pub fn start_with(options: &Options, primaries: usize, replicas: usize) -> Self {
        assert!(primaries >= 3, "a cluster that can fail over has three primaries, not {primaries}");
        let options = options.clone().cluster_enabled().config("cluster-node-timeout", "1000");
        let count = primaries * (1 + replicas);
        let nodes: Vec<Server> = (0..count).map(|_| Server::start(options.clone())).collect();
        for (index, primary) in nodes.iter().enumerate().take(primaries) {
            // Epochs of their own, as they would have after a first dispute about who is first.
            primary.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]).ok();
            let mut order = vec!["CLUSTER".to_owned(), "ADDSLOTS".to_owned()];
            order.extend(
                (SLOTS * index / primaries..SLOTS * (index + 1) / primaries).map(|slot| slot.to_string()),
            );
            primary.command(&order).ok();
        }
        for node in &nodes[1..] {
            nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string()]).ok();
        }
        let knows_all = |node: &Server| {
            let known = node.command(&["CLUSTER", "NODES"]).ok().text();
            known.lines().count() == count && !known.contains("handshake")
        };
        until(PATIENCE, || nodes.iter().all(knows_all));
        for (index, replica) in nodes[primaries..].iter().enumerate() {
            replica.command(&["CLUSTER", "REPLICATE", &id(&nodes[index % primaries])]).ok();
        }
        let cluster = Self { nodes };
        cluster.until_whole();
        until(PATIENCE, || cluster.nodes[primaries..].iter().all(Server::is_replica_in_step));
        let knows_replicas = |node: &Server| {
            let known = node.command(&["CLUSTER", "NODES"]).ok().text();
            known.lines().filter(|line| line.contains("slave")).count() == primaries * replicas
        };
        until(PATIENCE, || cluster.nodes.iter().all(knows_replicas));
        cluster
    }

    /// Its first nodes: `redis-cluster://127.0.0.1:p1,127.0.0.1:p2,..`, all of them.
    pub fn url(&self) -> String {
        let addrs: Vec<String> = self.nodes.iter().map(|node| node.addr().to_string()).collect();
        format!("redis-cluster://{}", addrs.join(","))
    }

    /// All nodes, those that were primaries at the start first.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The slot of a key, 0 to 16383.
    #[track_caller]
    pub fn slot_of(&self, key: &str) -> u16 {
        let slot = self.witness().command(&["CLUSTER", "KEYSLOT", key]).ok().int();
        u16::try_from(slot).expect("a slot is below 16384")
    }

    /// The primary that serves a key, as the first node that answers sees it.
    #[track_caller]
    pub fn primary_of(&self, key: &str) -> &Server {
        let slot = self.slot_of(key);
        self.owner(self.witness(), slot).unwrap_or_else(|| panic!("nobody serves the slot {slot}"))
    }

    /// A replica of the primary that serves a key, if it has one that is fit.
    #[track_caller]
    pub fn replica_of(&self, key: &str) -> Option<&Server> {
        let primary = id(self.primary_of(key));
        let known = self.witness().command(&["CLUSTER", "NODES"]).ok().text();
        let mut replicas = known.lines().map(|line| line.split(' ').collect::<Vec<_>>()).filter(|words| {
            words.get(3) == Some(&primary.as_str())
                && words[2].contains("slave")
                && !words[2].contains("fail")
        });
        let port = replicas.next()?[1].split(['@', ',']).next()?.rsplit_once(':')?.1.parse::<u16>().ok()?;
        self.nodes.iter().find(|node| node.port() == port)
    }

    /// Waits, at most 20 seconds, until every running node says that the cluster is whole (`cluster_state:ok`) and they
    /// agree on who serves what.
    #[track_caller]
    pub fn until_whole(&self) {
        until(PATIENCE, || {
            let running = || self.nodes.iter().filter(|node| node.is_running());
            let is_ok = |node: &Server| {
                let state = node.try_command(GLANCE, &["CLUSTER", "INFO"]);
                state.is_ok_and(|state| state.text().contains("cluster_state:ok"))
            };
            let maps: Vec<_> = running().map(ranges).collect();
            running().all(is_ok) && maps.windows(2).all(|pair| pair[0] == pair[1])
        });
    }

    // ---------------------------------------------------------------- faults

    /// Kills the primary that serves a key; which server that was. Returns before the others have seen it: see
    /// [`Cluster::until_replaced`]. [`Server::restart`] brings it back, as a replica if it was replaced.
    #[track_caller]
    pub fn kill_primary_of(&self, key: &str) -> &Server {
        let primary = self.primary_of(key);
        primary.kill();
        primary
    }

    /// Waits, at most 20 seconds, until another server than `old` serves a key and the cluster is whole; which.
    #[track_caller]
    pub fn until_replaced(&self, key: &str, old: &Server) -> &Server {
        until(PATIENCE, || self.primary_of(key).port() != old.port());
        self.until_whole();
        self.primary_of(key)
    }

    /// Makes a replica take its living primary's place, for the key's slots, and waits until all know it; which.
    /// Panics if there is no replica.
    #[track_caller]
    pub fn failover(&self, key: &str) -> &Server {
        let old = self.primary_of(key);
        let replica = self.replica_of(key).expect("the primary has a replica");
        // A primary that does not know its replica as such yet ignores the order, and others do not vote twice within
        // two seconds: once is not enough.
        until(PATIENCE, || {
            replica.command(&["CLUSTER", "FAILOVER"]);
            happens_within(Duration::from_secs(2), || self.primary_of(key).port() != old.port())
        });
        self.until_replaced(key, old)
    }

    /// Moves the slot of a key, with all its keys, to the next primary while clients go on, and waits until all nodes
    /// know it; which server has it then.
    #[track_caller]
    pub fn move_slot(&self, key: &str) -> &Server {
        let migration = self.begin_move(key);
        while migration.move_keys(10) > 0 {}
        migration.finish()
    }

    /// Begins to move the slot of a key to the next primary: from now on the old one answers `ASK` for keys that it does
    /// not have, and `TRYAGAIN` for several keys of which it lacks some. Nothing has moved yet.
    #[track_caller]
    pub fn begin_move(&self, key: &str) -> Migration<'_> {
        let slot = self.slot_of(key);
        let from = self.primary_of(key);
        let is_primary = |node: &&Server| node.is_running() && node.info("role") == "master";
        let primaries: Vec<&Server> = self.nodes.iter().filter(is_primary).collect();
        let index = primaries.iter().position(|node| node.port() == from.port()).expect("it is a primary");
        let to = primaries[(index + 1) % primaries.len()];
        to.command(&["CLUSTER", "SETSLOT", &slot.to_string(), "IMPORTING", &id(from)]).ok();
        from.command(&["CLUSTER", "SETSLOT", &slot.to_string(), "MIGRATING", &id(to)]).ok();
        Migration { cluster: self, slot, from, to }
    }

    // ---------------------------------------------------------------- within

    /// The first node that answers.
    #[track_caller]
    fn witness(&self) -> &Server {
        let mut answering = self.nodes.iter().filter(|node| node.is_running() && node.answers(GLANCE));
        answering.next().expect("a node answers")
    }

    /// Who serves a slot, as a node sees it.
    fn owner(&self, seen_by: &Server, slot: u16) -> Option<&Server> {
        let ranges = ranges(seen_by);
        let (.., port) =
            ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&i64::from(slot)))?;
        self.nodes.iter().find(|node| i64::from(node.port()) == *port)
    }
}

/// A slot on its way from one primary to another; see [`Cluster::begin_move`].
#[derive(Debug)]
#[must_use]
pub struct Migration<'a> {
    cluster: &'a Cluster,
    slot: u16,
    from: &'a Server,
    to: &'a Server,
}

impl<'a> Migration<'a> {
    /// The slot.
    pub fn slot(&self) -> u16 {
        self.slot
    }

    /// The primary that has it.
    pub fn from(&self) -> &'a Server {
        self.from
    }

    /// The primary that gets it.
    pub fn to(&self) -> &'a Server {
        self.to
    }

    /// Moves up to `limit` keys, each at once as a whole; how many (0 if none is left).
    #[track_caller]
    pub fn move_keys(&self, limit: usize) -> usize {
        let question = ["CLUSTER", "GETKEYSINSLOT", &self.slot.to_string(), &limit.to_string()];
        let keys = self.from.command(&question).ok();
        if keys.list().is_empty() {
            return 0;
        }
        let port = self.to.port().to_string();
        let mut order: Vec<&[u8]> =
            vec![b"MIGRATE", b"127.0.0.1", port.as_bytes(), b"", b"0", b"5000", b"KEYS"];
        order.extend(keys.list().iter().filter_map(|key| match key {
            Reply::Bulk(bytes) => Some(bytes.as_slice()),
            _ => None,
        }));
        self.from.command(&order).ok();
        keys.list().len()
    }

    /// Moves what is left, gives the slot to its new primary, and waits until all nodes know it; which server that is.
    #[track_caller]
    pub fn finish(self) -> &'a Server {
        let (slot, new) = (self.slot.to_string(), id(self.to));
        let order = ["CLUSTER", "SETSLOT", &slot, "NODE", &new];
        // A client can make a key between the look for the last and this: the old primary refuses then.
        until(PATIENCE, || {
            while self.move_keys(100) > 0 {}
            !self.to.command(&order).is_error() && !self.from.command(&order).is_error()
        });
        let knows = |node: &Server| {
            self.cluster.owner(node, self.slot).is_some_and(|owner| owner.port() == self.to.port())
        };
        until(PATIENCE, || self.cluster.nodes.iter().filter(|node| node.is_running()).all(knows));
        self.to
    }
}

/// The id of a node.
#[track_caller]
fn id(node: &Server) -> String {
    node.command(&["CLUSTER", "MYID"]).ok().text()
}

/// Who serves what, as a node sees it: first slot, last slot, the primary's port. In order.
fn ranges(node: &Server) -> Vec<(i64, i64, i64)> {
    let answer = node.try_command(GLANCE, &["CLUSTER", "SLOTS"]).unwrap_or(Reply::Nil);
    let range = |range: &Reply| {
        Some((range.list().first()?.int(), range.list().get(1)?.int(), {
            range.list().get(2)?.list().get(1)?.int()
        }))
    };
    let mut ranges: Vec<_> = answer.list().iter().filter_map(range).collect();
    ranges.sort_unstable();
    ranges
}
