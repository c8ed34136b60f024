//! What callers hand to a thread of the store: bounded, in order, drained in batches.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fault::{Sql, SqlFault};

/// A bounded queue from async callers to threads.
///
/// Bounded by permits rather than by its length, so that a full inbox makes callers wait without blocking their
/// runtime. A std mutex, because it is held for a push or a swap only.
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    room: Arc<Semaphore>,
}

struct State<T> {
    items: VecDeque<(T, OwnedSemaphorePermit)>,
    /// Threads that sleep; nobody needs to be woken otherwise, which saves a system call per item under load.
    sleepers: usize,
    closed: bool,
}

impl<T> State<T> {
    fn take(&mut self, max: usize) -> Vec<T> {
        let count = self.items.len().min(max);
        self.items.drain(..count).map(|(item, _room)| item).collect()
    }
}

impl<T> Inbox<T> {
    /// An inbox that holds at most `bound` items.
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            state: Mutex::new(State { items: VecDeque::new(), sleepers: 0, closed: false }),
            filled: Condvar::new(),
            room: Arc::new(Semaphore::new(bound)),
        }
    }

    /// Waits for room for one item.
    pub(crate) async fn room(&self) -> Sql<OwnedSemaphorePermit> {
        match Arc::clone(&self.room).try_acquire_owned() {
            Ok(permit) => Ok(permit),
            Err(_) => Arc::clone(&self.room).acquire_owned().await.map_err(|_| SqlFault::Closed),
        }
    }

    /// Adds an item. The room is free again when a thread has taken it.
    pub(crate) fn push(&self, item: T, room: OwnedSemaphorePermit) -> Sql<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(SqlFault::Closed);
        }
        state.items.push_back((item, room));
        let wake = state.sleepers > 0;
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for items and takes up to `max` of them; `None` when the inbox is closed and empty.
    pub(crate) fn take(&self, max: usize) -> Option<Vec<T>> {
        self.filled().map(|mut state| state.take(max))
    }

    /// Waits for items; false when the inbox is closed and empty.
    pub(crate) fn wait(&self) -> bool {
        self.filled().is_some()
    }

    /// Takes up to `max` of the items that are there.
    pub(crate) fn drain(&self, max: usize) -> Vec<T> {
        self.lock().take(max)
    }

    /// Whether it is open and nothing waits in it.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.lock();
        !state.closed && state.items.is_empty()
    }

    fn filled(&self) -> Option<MutexGuard<'_, State<T>>> {
        let mut state = self.lock();
        while state.items.is_empty() {
            if state.closed {
                return None;
            }
            state.sleepers += 1;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleepers -= 1;
        }
        Some(state)
    }

    /// Refuses new items; what is in is still handed out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.room.close();
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing can panic while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
