//! Joins single adds that are made at the same time into one call to the store, without a timer.
//!
//! The first add goes out at once. Those that come while it is under way gather, and go out together when it has
//! returned; so a lone add waits for nobody, and under load the calls fill by themselves.
//!
//! A call that found the store out of reach for as long as a call may take ends those that gathered meanwhile, too:
//! one outage after the other, each would wait for all before it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::address::QueueAddress;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{AddGroup, AddRequest, Added, Store};

/// The most groups in one call; the rest goes with the next.
const GROUPS_PER_CALL_MAX: usize = 200;

/// The most adds that wait for their turn; one more is refused as [`ErrorKind::Unavailable`].
const WAITING_MAX: usize = 100_000;

type Reply = Result<Vec<Added>>;

struct Waiting {
    group: AddGroup,
    now: Timestamp,
    reply: oneshot::Sender<Reply>,
}

#[derive(Default)]
struct State {
    under_way: bool,
    waiting: Vec<Waiting>,
}

/// One per queue and store.
pub(super) struct AddJoiner {
    store: Arc<dyn Store>,
    queue: QueueAddress,
    state: Mutex<State>,
}

impl AddJoiner {
    pub(super) fn new(store: Arc<dyn Store>, queue: QueueAddress) -> Self {
        Self { store, queue, state: Mutex::default() }
    }

    /// Adds one group.
    pub(super) async fn add(self: &Arc<Self>, mut group: AddGroup, now: Timestamp) -> Reply {
        if let Some(answer) = self.gather(&mut group, now)? {
            return answer.await.unwrap_or_else(|_| Err(lost()));
        }
        // This caller's own call is the one under way; whoever gathers meanwhile is sent when it ends, also if
        // this future is dropped before.
        let _next = SendNext { joiner: self.clone(), runtime: Handle::current() };
        let mut answers = self.call(vec![group], now).await?;
        answers.pop().unwrap_or_else(|| Err(lost()))
    }

    /// One call to the store.
    async fn call(&self, groups: Vec<AddGroup>, now: Timestamp) -> Result<Vec<Reply>> {
        let result = self.store.add(&self.queue, AddRequest { groups, now }).await;
        if let Err(error) = &result
            && error.kind() == ErrorKind::Unavailable
        {
            for waiting in std::mem::take(&mut self.lock().waiting) {
                let message = "not sent: the add before it did not reach the store in all its time";
                let unsent = Error::new(ErrorKind::Unavailable, "add", message).with("queue", &self.queue);
                let _ = waiting.reply.send(Err(unsent.caused_by(error.clone())));
            }
        }
        result
    }

    /// Puts the group with those that gather, if a call is under way; else that call is now the caller's to make.
    fn gather(&self, group: &mut AddGroup, now: Timestamp) -> Result<Option<oneshot::Receiver<Reply>>> {
        let mut state = self.lock();
        if !state.under_way {
            state.under_way = true;
            return Ok(None);
        }
        if state.waiting.len() >= WAITING_MAX {
            let message = format!("{WAITING_MAX} adds are waiting for the store already; add more slowly");
            return Err(Error::new(ErrorKind::Unavailable, "add", message).with("queue", &self.queue));
        }
        let (reply, answer) = oneshot::channel();
        let group = AddGroup { jobs: std::mem::take(&mut group.jobs) };
        state.waiting.push(Waiting { group, now, reply });
        Ok(Some(answer))
    }

    /// Sends what has gathered until nothing is left.
    async fn send_gathered(self: Arc<Self>, mut batch: Vec<Waiting>) {
        while !batch.is_empty() {
            self.send(batch).await;
            batch = self.next_batch();
        }
    }

    async fn send(&self, batch: Vec<Waiting>) {
        let now = batch.iter().map(|waiting| waiting.now).max().unwrap_or_default();
        let mut groups = Vec::with_capacity(batch.len());
        let mut replies = Vec::with_capacity(batch.len());
        for mut waiting in batch {
            // One call has one `now`: a job keeps the time at which its own add was made.
            if waiting.now != now {
                for job in &mut waiting.group.jobs {
                    job.options.made_at.get_or_insert(waiting.now);
                }
            }
            groups.push(waiting.group);
            replies.push(waiting.reply);
        }
        match self.call(groups, now).await {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                for reply in replies {
                    // A caller that is gone wants no answer.
                    let _ = reply.send(answers.next().unwrap_or_else(|| Err(lost())));
                }
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// What has gathered; when it is nothing, the way is free again.
    fn next_batch(&self) -> Vec<Waiting> {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            state.under_way = false;
            return Vec::new();
        }
        if state.waiting.len() <= GROUPS_PER_CALL_MAX {
            return std::mem::take(&mut state.waiting);
        }
        let rest = state.waiting.split_off(GROUPS_PER_CALL_MAX);
        std::mem::replace(&mut state.waiting, rest)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held, and nothing in it can be half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AddJoiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddJoiner").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// Sends what has gathered when the call under way ends, however it ends.
struct SendNext {
    joiner: Arc<AddJoiner>,
    runtime: Handle,
}

impl Drop for SendNext {
    fn drop(&mut self) {
        let batch = self.joiner.next_batch();
        if !batch.is_empty() {
            // The task ends when nothing is left to send; those who wait for its answers are its owners.
            self.runtime.spawn(self.joiner.clone().send_gathered(batch));
        }
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Ambiguous, "add", "the call was given up before the store answered")
}
