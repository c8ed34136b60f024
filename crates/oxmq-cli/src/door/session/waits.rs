//! What lasts: waits for work and for events. They run beside everything else, until their client is done with them.

use std::sync::{Arc, PoisonError};

use oxmq::{EventCursor, JsonText};

use super::{Ended, Session, Waiting};
use crate::door::call::done;
use crate::door::errors::Failure;
use crate::door::listen;
use crate::door::reply::written;
use crate::door::verbs::Kind;

/// The most requests of a stream that wait for work or for events.
const BLOCKED_MAX: usize = 10_000;

impl Session {
    /// Finds out, in order, where events are to be read from.
    pub(super) async fn begin_events(&mut self, next: Waiting) {
        let listened = self
            .clients
            .get(&next.call.client)
            .and_then(|client| client.listened.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let (Some((queue, cursor)), Ok(address)) = (listened, next.call.address())
            && queue == address
        {
            return self.wait_for_events(next, Ok(cursor)).await;
        }
        let ids = vec![next.id.clone()];
        self.spawn(Kind::Read, ids, async move {
            let after = listen::from_where(&next.call).await;
            Ended::Positioned(next, after)
        });
    }

    /// Whether one more may wait; answers if not.
    async fn may_block(&self, id: Option<&JsonText>) -> bool {
        if self.blocked.len() < BLOCKED_MAX {
            return true;
        }
        let failure = Failure::plain(format!("one stream may have {BLOCKED_MAX} requests that wait"));
        self.reply(id, &Err(failure)).await;
        false
    }

    pub(super) async fn wait_for_work(&mut self, next: Waiting) {
        let Waiting { id, call, permit, .. } = next;
        if !self.may_block(id.as_ref()).await {
            return;
        }
        drop(permit);
        let Some(client) = self.clients.get(&call.client) else { return };
        let (stop, worker, replies) = (client.waits.clone(), client.worker.clone(), self.replies.clone());
        self.blocked.spawn(async move {
            let outcome = tokio::select! {
                biased;
                () = stop.cancelled() => done(),
                outcome = listen::wait_for_job(&call, worker) => outcome,
            };
            if let Some(id) = id {
                replies.send(written(&id, &outcome)).await;
            }
        });
    }

    pub(super) async fn wait_for_events(&mut self, next: Waiting, after: Result<EventCursor, Failure>) {
        let Waiting { id, call, permit, .. } = next;
        let after = match after {
            Ok(after) => after,
            Err(failure) => return self.reply(id.as_ref(), &Err(failure)).await,
        };
        if !self.may_block(id.as_ref()).await {
            return;
        }
        drop(permit);
        let Some(client) = self.clients.get(&call.client) else {
            return self.reply(id.as_ref(), &Err(Failure::closed())).await;
        };
        let (stop, listened, replies) =
            (client.reads.clone(), Arc::clone(&client.listened), self.replies.clone());
        self.blocked.spawn(async move {
            let outcome = tokio::select! {
                biased;
                () = stop.cancelled() => Err(Failure::closed()),
                found = listen::read_events(&call, after) => found.map(|(text, cursor)| {
                    let found_none = text == "null";
                    if let (true, true, Ok(queue)) = (found_none, listen::is_from_now(&call), call.address()) {
                        *listened.lock().unwrap_or_else(PoisonError::into_inner) = Some((queue, cursor));
                    }
                    text
                }),
            };
            if let Some(id) = id {
                replies.send(written(&id, &outcome)).await;
            }
        });
    }
}
