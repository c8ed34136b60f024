//! The objects of Node's that speak through this process, over all streams: what `getClientList` shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oxmq::store::{ANNOUNCE_FOR, ANNOUNCE_WHOLE, AnnounceRequest};
use oxmq::{Clock, QueueAddress, Store, Timestamp, WorkerInfo};
use serde::Deserialize;

/// What an object is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// It adds, looks and steers.
    Producer,
    /// It waits for work, and is listed as a worker.
    Worker,
    /// It listens to events.
    Events,
}

/// An object that is open.
#[derive(Debug, Clone)]
struct Entry {
    role: Role,
    /// `None`: it is of no one queue, as a producer of flows.
    queue: Option<QueueAddress>,
    worker: Option<String>,
    /// What it asked to be called.
    name: Option<String>,
    since: Timestamp,
}

/// All objects that are open.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<Listed>);

#[derive(Debug, Default)]
struct Listed {
    last: u64,
    open: BTreeMap<u64, Entry>,
}

/// The place of one object in the list. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct Listing {
    clients: Arc<Clients>,
    number: u64,
}

impl Clients {
    fn lock(&self) -> MutexGuard<'_, Listed> {
        // Nothing can panic while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(
        self: &Arc<Self>,
        role: Role,
        queue: Option<QueueAddress>,
        worker: Option<String>,
    ) -> Listing {
        let entry = Entry { role, queue, worker, name: None, since: Clock::system().now() };
        let mut listed = self.lock();
        listed.last += 1;
        let number = listed.last;
        listed.open.insert(number, entry);
        drop(listed);
        Listing { clients: Arc::clone(self), number }
    }

    /// A line for each object that is open, as Redis lists its connections. Only what is known is said.
    pub(super) fn lines(&self) -> Vec<String> {
        let (now, process) = (Clock::system().now(), std::process::id());
        let listed = self.lock();
        let lines = listed.open.iter().map(|(number, entry)| {
            let age = (now - entry.since).as_secs();
            let name = entry.connection_name();
            format!("id={number} addr=pid:{process} name={name} age={age}")
        });
        lines.collect()
    }

    /// The workers of this process, as other processes are to know them.
    pub(super) fn workers(&self) -> Vec<(QueueAddress, WorkerInfo)> {
        let listed = self.lock();
        let workers = listed.open.iter().filter(|(_, entry)| entry.role == Role::Worker);
        workers.filter_map(|(number, entry)| Some((entry.queue.clone()?, entry.info(*number)))).collect()
    }
}

impl Entry {
    /// What BullMQ calls the connection of such an object.
    fn connection_name(&self) -> String {
        match (&self.name, self.role, &self.queue) {
            (Some(name), _, _) => name.clone(),
            (None, Role::Worker, Some(queue)) => worker_name(queue, self.worker.as_deref()),
            _ => String::new(),
        }
    }

    fn info(&self, number: u64) -> WorkerInfo {
        let process = std::process::id();
        WorkerInfo {
            id: format!("node-{process}-{number}-{}", self.since),
            name: self.worker.clone(),
            host: host(),
            pid: process,
            version: "bullmq".to_owned(),
            concurrency: 0,
            active: 0,
            started_at: self.since.as_millis(),
            last_take_at: None,
        }
    }
}

/// The name by which BullMQ's `getWorkers` finds a worker of a queue.
pub(super) fn worker_name(queue: &QueueAddress, worker: Option<&str>) -> String {
    let mut name = format!("{}:{}", queue.prefix(), STANDARD.encode(queue.name()));
    if let Some(worker) = worker {
        // Writing to a String cannot fail.
        let _ = write!(name, ":w:{worker}");
    }
    name
}

/// The name of this machine.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

impl Listing {
    /// Which queue the object is of, as its first request about one says.
    pub(super) fn place(&self, queue: QueueAddress) {
        if let Some(entry) = self.clients.lock().open.get_mut(&self.number) {
            entry.queue.get_or_insert(queue);
        }
    }

    /// What the object asks to be called.
    pub(super) fn rename(&self, name: String) {
        if let Some(entry) = self.clients.lock().open.get_mut(&self.number) {
            entry.name = Some(name);
        }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.clients.lock().open.remove(&self.number);
    }
}

/// Tells the store of the workers of this process, as long as there are any, so that other processes list them.
pub(super) async fn announce(store: Arc<dyn Store>, clients: Arc<Clients>) {
    let clock = Clock::system();
    let mut told: Vec<(QueueAddress, WorkerInfo)> = Vec::new();
    // Whose last announcement was answered.
    let mut known: BTreeSet<String> = BTreeSet::new();
    for round in (0..ANNOUNCE_WHOLE).cycle() {
        let now = clients.workers();
        let gone: Vec<_> =
            told.iter().filter(|(_, old)| now.iter().all(|(_, new)| new.id != old.id)).collect();
        for (queue, worker) in gone {
            tell(&*store, queue, worker, Duration::ZERO, false).await;
        }
        let before = std::mem::take(&mut known);
        for (queue, worker) in &now {
            let renews = round > 0 && before.contains(&worker.id);
            if tell(&*store, queue, worker, ANNOUNCE_FOR, renews).await {
                known.insert(worker.id.clone());
            }
        }
        told = now;
        clock.sleep(ANNOUNCE_FOR / 3).await;
    }
}

/// Whether the store has heard it.
async fn tell(
    store: &dyn Store,
    queue: &QueueAddress,
    worker: &WorkerInfo,
    ttl: Duration,
    renews: bool,
) -> bool {
    let request = AnnounceRequest { worker: worker.clone(), ttl, renews, now: Clock::system().now() };
    let told = store.announce(queue, request).await;
    if let Err(error) = &told {
        // The next round says it again.
        tracing::debug!(%error, "a worker could not be announced");
    }
    told.is_ok()
}
