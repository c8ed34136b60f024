//! `Store::workers`: those that announced themselves, and those of Node, which show only the name of a connection.

use std::collections::{BTreeMap, BTreeSet};

use oxmq_core::{QueueAddress, Result, Timestamp, WorkerInfo};
use redis::cmd;

use super::wait::client_name;
use crate::store::RedisStore;
use crate::wire::reply::{self, Read};

pub(crate) async fn workers(
    store: &RedisStore,
    queue: &QueueAddress,
    now: Timestamp,
) -> Result<Vec<WorkerInfo>> {
    let before = announced(store, queue, now).await?;
    let mut list = cmd("CLIENT");
    list.arg("LIST");
    // A server that does not let us see its clients shows only ours.
    let clients = store.read("workers", queue, list).await;
    // Those that came or went meanwhile are in one of the two.
    let mut workers = announced(store, queue, now).await?;
    if let Ok(clients) = clients {
        let clients = reply::text(clients).map_err(|bad| bad.into_error("workers"))?;
        let keys = store.keys(queue);
        let own = store.hub().named_connections();
        let mut expected: BTreeMap<String, BTreeSet<(&str, u32)>> = BTreeMap::new();
        for worker in workers.iter().chain(&before).filter(|worker| worker.pid != std::process::id()) {
            let name = client_name(&keys, worker.name.as_deref());
            expected.entry(name).or_default().insert((&worker.host, worker.pid));
        }
        let mut expected = expected.into_iter().map(|(name, processes)| (name, processes.len())).collect();
        let unnamed = client_name(&keys, None);
        let clients = clients.lines().filter_map(|line| Client::read(line, &unnamed));
        let clients =
            clients.filter(|client| client.database == store.database() && !own.contains(&client.id));
        let others: Vec<WorkerInfo> = others(clients, &mut expected, now).collect();
        workers.extend(others);
    }
    workers.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(workers)
}

async fn announced(store: &RedisStore, queue: &QueueAddress, now: Timestamp) -> Result<Vec<WorkerInfo>> {
    let mut command = cmd("HVALS");
    command.arg(store.keys(queue).own("workers"));
    let answer = store.read("workers", queue, command).await?;
    let read = || -> Read<Vec<String>> { reply::list(answer)?.into_iter().map(reply::text).collect() };
    let values = read().map_err(|bad| bad.into_error("workers"))?;
    let alive = values.iter().filter_map(|value| {
        let (until, json) = value.split_once(' ')?;
        // What a newer version says in words of its own is passed over.
        (until.parse::<i64>().ok()? > now.as_millis()).then(|| serde_json::from_str(json).ok())?
    });
    Ok(alive.collect())
}

/// A connection that bears a worker's name.
struct Client<'a> {
    id: i64,
    connection_name: &'a str,
    worker: Option<&'a str>,
    address: &'a str,
    age_s: i64,
    database: i64,
}

impl<'a> Client<'a> {
    /// Reads a line of CLIENT LIST. `unnamed` is what the connection of a worker without a name is called.
    fn read(line: &'a str, unnamed: &str) -> Option<Self> {
        let field = |name: &str| line.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let connection_name = field("name")?;
        let worker = match connection_name.strip_prefix(unnamed)? {
            "" => None,
            // Others are readers of events, and queues whose names only begin alike.
            rest => Some(rest.strip_prefix(":w:")?),
        };
        Some(Self {
            id: field("id")?.parse().ok()?,
            connection_name,
            worker,
            address: field("addr").unwrap_or_default(),
            age_s: field("age").and_then(|age| age.parse().ok()).unwrap_or(0),
            database: field("db")?.parse().ok()?,
        })
    }
}

/// The workers among the clients that did not announce themselves: of each name, as many as there are more connections
/// than processes that announced one.
fn others<'a>(
    clients: impl Iterator<Item = Client<'a>>,
    expected: &mut BTreeMap<String, usize>,
    now: Timestamp,
) -> impl Iterator<Item = WorkerInfo> {
    clients.filter_map(move |client| {
        if let Some(expected) = expected.get_mut(client.connection_name).filter(|expected| **expected > 0) {
            *expected -= 1;
            return None;
        }
        Some(WorkerInfo {
            id: format!("client-{}", client.id),
            name: client.worker.map(str::to_owned),
            host: client.address.to_owned(),
            pid: 0,
            version: "bullmq".to_owned(),
            concurrency: 0,
            active: 0,
            started_at: now.as_millis() - client.age_s * 1000,
            last_take_at: None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_of_node_are_told_from_ours() {
        let clients = "\
id=3 addr=1.2.3.4:5 name=bull:cQ== age=7 db=1
id=4 addr=1.2.3.4:6 name=bull:cQ==:w:ada age=7 db=1
id=5 addr=1.2.3.4:7 name=bull:cQ==:w:ada age=9 db=1
id=6 addr=1.2.3.4:8 name=bull:cQ==:qe age=9 db=1
id=8 addr=1.2.3.4:9 name= age=9 db=1
";
        let mut expected = BTreeMap::from([("bull:cQ==:w:ada".to_owned(), 1)]);
        let clients = clients.lines().filter_map(|line| Client::read(line, "bull:cQ=="));
        let found: Vec<_> = others(clients, &mut expected, Timestamp::from_millis(100_000)).collect();
        let shown: Vec<_> = found.iter().map(|w| (w.id.as_str(), w.name.as_deref(), w.started_at)).collect();
        assert_eq!(shown, [("client-3", None, 93_000), ("client-5", Some("ada"), 91_000)]);
    }
}
