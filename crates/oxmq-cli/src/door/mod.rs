//! The door for other languages: BullMQ's backend operations as JSON-RPC, one object per line, onto any store.
//!
//! A stream (stdin and stdout, or a connection to a socket) carries requests of many clients, each one object of a Node program. What lives here:
//!
//! - [`session`]: one stream, its clients, and the order in which its requests take effect. Start there.
//! - [`line`], [`reply`]: the way in and the way out. [`call`]: one request. [`errors`]: BullMQ's texts and numbers. [`job`]: its form of a job.
//! - [`verbs`]: the table of operations; then a file for each group of them.
//!
//! What does not: any rule about jobs. An operation is a translation onto [`Store`](oxmq::Store); where ours is stricter than BullMQ, it
//! passes BullMQ's value.

mod await_children;
mod call;
mod clients;
mod ctx;
mod errors;
mod family;
mod finish;
mod job;
mod line;
mod listen;
mod look;
mod meta;
mod next;
mod note;
mod produce;
mod reply;
mod schedule;
mod session;
mod steer;
mod take;
mod verbs;

use std::sync::Arc;

use oxmq::Store;
use tokio::task::JoinHandle;

use self::clients::Clients;
pub(crate) use self::session::serve;

/// What all streams of this process share.
#[derive(Debug)]
pub(crate) struct Door {
    store: Arc<dyn Store>,
    keeps_order: bool,
    clients: Arc<Clients>,
    announcer: JoinHandle<()>,
}

impl Door {
    pub(crate) fn open(store: Arc<dyn Store>) -> Arc<Self> {
        let clients = Arc::new(Clients::default());
        let announcer = tokio::spawn(clients::announce(Arc::clone(&store), Arc::clone(&clients)));
        let keeps_order = store.keeps_order();
        Arc::new(Self { store, keeps_order, clients, announcer })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.announcer.abort();
    }
}
