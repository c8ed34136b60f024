//! What went through a socket, and what is under way on it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::shared::locked;
use super::target::Address;

/// The time, whatever the runtime that we are on makes of it.
#[expect(clippy::disallowed_methods, reason = "users may stop tokio's clock, and connections live beside it")]
pub(super) fn real_now() -> Instant {
    Instant::now()
}

/// What went through a socket.
///
/// It is written on the connection's runtime and read on the store's own, so its clock is none of tokio's, which users may
/// stop.
pub(super) struct Traffic {
    born: Instant,
    written: AtomicU64,
    heard_ms: AtomicU64,
    in_flight: AtomicUsize,
    since_ms: AtomicU64,
    anew_ms: AtomicU64,
    /// The watch has nothing to look at, and is told of the next call. Otherwise it looks by itself, so that a call costs
    /// no change of thread.
    asleep: AtomicBool,
    busy: Notify,
    /// Tells those who wait without a timer to look at the time.
    pub(super) look: Notify,
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self {
            born: real_now(),
            written: AtomicU64::new(0),
            heard_ms: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            since_ms: AtomicU64::new(0),
            anew_ms: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            busy: Notify::new(),
            look: Notify::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from((real_now() - self.born).as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn heard(&self) {
        self.heard_ms.store(self.now(), Ordering::Release);
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Counts a call until the guard is dropped.
    pub(super) fn enter(&self) -> Flight<'_> {
        if !self.is_busy() {
            self.since_ms.store(self.now(), Ordering::Release);
        }
        // In one order with `sleeps`: either the watch sees this call, or this call sees that it sleeps.
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            self.busy.notify_one();
        }
        Flight(self)
    }

    /// Whether calls are in flight.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) > 0
    }

    /// Begins to count the silence anew.
    pub(super) fn count_anew(&self) {
        self.anew_ms.store(self.now(), Ordering::Release);
    }

    /// Since when calls have been in flight.
    pub(super) fn busy_since(&self) -> Instant {
        self.born + Duration::from_millis(self.since_ms.load(Ordering::Acquire))
    }

    /// When the present silence began.
    pub(super) fn quiet_since(&self) -> Instant {
        let heard = self.heard_ms.load(Ordering::Acquire);
        let since = self.since_ms.load(Ordering::Acquire);
        let anew = self.anew_ms.load(Ordering::Acquire);
        self.born + Duration::from_millis(heard.max(since).max(anew))
    }

    fn heard_at(&self) -> Instant {
        self.born + Duration::from_millis(self.heard_ms.load(Ordering::Acquire))
    }

    /// Waits for the next call. Until it was called, calls tell nobody that they come.
    pub(super) async fn until_busy(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        if !self.is_busy() {
            self.busy.notified().await;
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// The connections by which a store sends its calls, so that each knows of the others to the same server.
#[derive(Default)]
pub(super) struct Others(Mutex<Vec<(Address, Weak<Traffic>)>>);

impl Others {
    pub(super) fn join(&self, address: &Address, traffic: &Arc<Traffic>) {
        let mut all = locked(&self.0);
        all.retain(|(_, other)| other.strong_count() > 0);
        all.push((address.clone(), Arc::downgrade(traffic)));
    }

    /// When a server was last heard on another connection than this one.
    pub(super) fn heard_at(&self, address: &Address, this: &Traffic) -> Option<Instant> {
        let all = locked(&self.0);
        let others = all.iter().filter(|(of, _)| of == address).filter_map(|(_, other)| other.upgrade());
        others.filter(|other| !std::ptr::eq(&raw const **other, this)).map(|other| other.heard_at()).max()
    }
}

/// A call in flight.
pub(super) struct Flight<'a>(&'a Traffic);

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
