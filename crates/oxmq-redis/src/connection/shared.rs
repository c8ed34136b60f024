//! What everything on the owner's thread shares.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::Settings;
use super::channels::Channels;
use super::dial::Dialer;
use super::events::Events;
use super::home::{Home, Lane};
use super::markers::Markers;
use super::routes::Routes;
use super::target::Target;
use super::traffic::Others;

/// The state of a hub.
pub(super) struct Shared {
    pub(super) target: Target,
    pub(super) settings: Settings,
    pub(super) dialer: Dialer,
    pub(super) runtime: Handle,
    /// The runtime on which the store was connected. None where no connections live there.
    pub(super) home: Option<Home>,
    pub(super) routes: Routes,
    pub(super) channels: Channels,
    pub(super) markers: Markers,
    pub(super) events: Events,
    pub(super) others: Arc<Others>,
    pub(super) closed: AtomicBool,
    /// Calls that somebody waits for.
    pub(super) calls: AtomicUsize,
    generation: AtomicU64,
    warnings: Mutex<Vec<String>>,
}

impl Shared {
    pub(super) fn new(
        target: Target,
        settings: Settings,
        dialer: Dialer,
        runtime: Handle,
        home: Option<Home>,
    ) -> Self {
        Self {
            routes: Routes::new(&target),
            target,
            settings,
            dialer,
            runtime,
            home,
            channels: Channels::default(),
            markers: Markers::default(),
            events: Events::default(),
            others: Arc::default(),
            closed: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            warnings: Mutex::default(),
        }
    }

    /// From where we are called.
    pub(super) fn lane(&self) -> Lane {
        self.home.as_ref().map_or(Lane::Away, Home::lane)
    }

    /// Warns of something about a server, once.
    pub(super) fn find(&self, finding: String) {
        let mut warnings = locked(&self.warnings);
        if !warnings.contains(&finding) {
            tracing::warn!("{finding}");
            warnings.push(finding);
        }
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        locked(&self.warnings).clone()
    }

    pub(super) fn count_generation(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    #[cfg(test)]
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("target", &self.target.to_string()).finish_non_exhaustive()
    }
}

/// Locks; what a panic left behind is used on, as every change under these locks is a single step.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
