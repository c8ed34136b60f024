//! The runtime of the store's user, as far as connections live on it.
//!
//! A call from there by a connection that lives there costs no change of thread. All that needs a clock stays on the
//! store's own thread, as users may stop the clock of their runtimes, and block them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oxmq_core::Result;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::Owned;
use super::dial::{Dialer, Socket, Tap};
use super::target::Address;

/// A runtime that does not run what it is given within this time stands still: connections are opened elsewhere.
pub(super) const RUNS_WITHIN: Duration = Duration::from_millis(250);

/// From where a call comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// From the runtime on which the store was connected.
    Home,
    /// From another runtime or thread: it must not wait for the first.
    Away,
}

/// The runtime on which the store was connected.
pub(super) struct Home {
    handle: Handle,
    /// It has ended, or it has no I/O.
    is_over: AtomicBool,
}

impl Home {
    /// The runtime we are on, if any.
    pub(super) fn here() -> Option<Self> {
        Handle::try_current().ok().map(|handle| Self { handle, is_over: AtomicBool::new(false) })
    }

    /// Whether we are on it, in what it runs. A future that a thread blocks on beside a runtime of several threads is not:
    /// its calls would change threads, and wait when handlers block all of these.
    pub(super) fn lane(&self) -> Lane {
        match Handle::try_current() {
            Ok(here) if here.id() == self.handle.id() && is_run_by(&here) && !self.is_over() => Lane::Home,
            _ => Lane::Away,
        }
    }

    /// Whether it runs what it is given.
    pub(super) async fn runs(&self) -> bool {
        if self.is_over() {
            return false;
        }
        match timeout(RUNS_WITHIN, Owned(self.handle.spawn(std::future::ready(()))).ended()).await {
            Ok(Ok(())) => true,
            Ok(Err(_)) => {
                self.is_over.store(true, Ordering::Release);
                false
            }
            Err(_) => false,
        }
    }

    /// What comes of opening something that lives there. None if it does not run what it is given.
    pub(super) async fn attempt<T>(&self, opening: impl Future<Output = Result<T>>) -> Option<Result<T>> {
        if !self.runs().await {
            return None;
        }
        match opening.await {
            Err(_) if self.is_over() => None,
            opened => Some(opened),
        }
    }

    /// Whether it cannot run anything any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Opens a socket that it looks after.
    pub(super) async fn dial(
        &self,
        dialer: &Dialer,
        address: &Address,
    ) -> io::Result<(Box<dyn Socket>, Tap)> {
        let (dialer, address) = (dialer.clone(), address.clone());
        let task = Owned(self.handle.spawn(async move { dialer.dial_tapped(&address).await }));
        task.ended().await.unwrap_or_else(|_| {
            // Tokio tells that there is no I/O by a panic only.
            self.is_over.store(true, Ordering::Release);
            Err(io::Error::other("the runtime of the caller has ended, or has no I/O"))
        })
    }

    /// Runs something on it for as long as the caller waits for it. None if the runtime ended before.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        Owned(self.handle.spawn(work)).ended().await.ok()
    }

    /// Runs something on it. What it is given when it has ended is dropped.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.handle.spawn(work).abort_handle()
    }
}

fn is_run_by(runtime: &Handle) -> bool {
    runtime.runtime_flavor() == RuntimeFlavor::CurrentThread || tokio::task::try_id().is_some()
}
