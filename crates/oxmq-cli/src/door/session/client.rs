//! The life of a client: one object of the program at the other side.

use std::sync::{Arc, Mutex};

use oxmq::{EventCursor, QueueAddress};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::door::call::{Call, Outcome, answer, done};
use crate::door::clients::{Listing, Role};
use crate::door::errors::Failure;

/// The most objects that one stream has open.
const CLIENTS_MAX: usize = 10_000;

/// An object of the other side's.
pub(super) struct Client {
    pub(super) listing: Listing,
    /// Whether it is known of which queue it is. Those of no one queue never are.
    pub(super) is_placed: bool,
    pub(super) worker: Option<String>,
    /// Ends its waits for work. Cancelled as long as they are not to wait.
    pub(super) waits: CancellationToken,
    /// Ends its waits for events.
    pub(super) reads: CancellationToken,
    /// Where its last request for events from now on ended, if it found none: the next one goes on there, and misses nothing.
    pub(super) listened: Arc<Mutex<Option<(QueueAddress, EventCursor)>>>,
}

impl Session {
    /// The life of a client.
    pub(super) fn live(&mut self, call: &Call) -> Outcome {
        if call.method == "open" {
            return self.open(call);
        }
        let Some(client) = self.clients.get_mut(&call.client) else { return Err(Failure::closed()) };
        match &*call.method {
            "setName" => {
                #[derive(Deserialize)]
                struct Params {
                    name: String,
                }
                let Params { name } = call.read()?;
                client.listing.rename(name);
            }
            "disconnectBlocking" => client.waits.cancel(),
            "reconnectBlocking" => {
                if client.waits.is_cancelled() {
                    client.waits = CancellationToken::new();
                }
            }
            "disconnect" => {
                client.waits.cancel();
                client.reads.cancel();
            }
            _ => {
                client.waits.cancel();
                client.reads.cancel();
                self.clients.remove(&call.client);
            }
        }
        done()
    }

    pub(super) fn open(&mut self, call: &Call) -> Outcome {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Params {
            role: Role,
            worker_name: Option<String>,
        }
        let Params { role, worker_name } = call.read()?;
        if self.clients.contains_key(&call.client) {
            return Err(Failure::request(format!("client {} is open already", call.client)));
        }
        if self.clients.len() >= CLIENTS_MAX {
            return Err(Failure::plain(format!("one stream may have {CLIENTS_MAX} objects open")));
        }
        let worker = worker_name.filter(|name| !name.is_empty());
        let queue = call.address().ok();
        let is_placed = queue.is_some() || role != Role::Worker;
        let client = Client {
            listing: self.door.clients.open(role, queue, worker.clone()),
            is_placed,
            worker,
            waits: CancellationToken::new(),
            reads: CancellationToken::new(),
            listened: Arc::default(),
        };
        self.clients.insert(call.client, client);
        answer(&serde_json::json!({ "minimumBlockTimeout": 0.001 }))
    }
}
