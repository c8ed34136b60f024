//! How a worker ends: stop taking, let the running jobs finish, hand back the rest.
//!
//! ```text
//! Working ──close──► Draining ──all done──────────────────────────────► (ended)
//!    │                  │ shutdown timeout, close again, close_now
//!    └──close_now───────┴──► HandingBack ──all written, or a second──► (ended)
//! ```

use std::sync::Arc;
use std::time::Duration;

use super::events::WorkerEvent;
use super::exchange::{Exchange, Pending};
use super::finish::Decision;
use super::run::{LAST_CALL, Running};
use super::shared::Stage;
use crate::clock::Timestamp;
use crate::outcome::Ending;
use crate::telemetry::{SpanKind, SpanParent, attribute};

/// How long a handler that blocks its thread may keep its job from being handed back.
const FORCE_AFTER: Duration = Duration::from_millis(250);

/// Where the exchange is on the way to its end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    Working,
    /// Nothing is taken; what runs may finish until then.
    Draining {
        deadline: Timestamp,
    },
    /// Handlers are dropped, and their jobs go back.
    HandingBack {
        /// When handlers that do not end are given up; `None` once they are.
        force_at: Option<Timestamp>,
        /// When all is given up.
        end_by: Timestamp,
    },
}

impl Phase {
    /// When the phase may change by itself.
    pub(super) fn wake_at(self) -> Option<Timestamp> {
        match self {
            Self::Working => None,
            Self::Draining { deadline } => Some(deadline),
            Self::HandingBack { force_at, end_by } => Some(force_at.unwrap_or(end_by)),
        }
    }
}

impl Exchange {
    /// Moves on to the phase that is due. Returns whether all has ended.
    pub(super) fn advance_phase(&mut self, stage: Stage) -> bool {
        let now = self.shared.clock.now();
        if stage != Stage::Working && matches!(self.phase, Phase::Working) {
            tracing::info!(queue = %self.shared.queue, worker = %self.shared.id, "closing");
            self.closing = self.shared.trace("close", SpanKind::Internal, SpanParent::Root);
            self.closing.set(attribute::WORKER_FORCE_CLOSE, || (stage == Stage::Ending).into());
            self.shared.listeners.tell(|| WorkerEvent::Closing);
            self.phase = Phase::Draining { deadline: now + self.shared.settings.shutdown_timeout };
        }
        match self.phase {
            Phase::Working => false,
            Phase::Draining { .. } if self.is_idle() => true,
            Phase::Draining { deadline } => {
                if stage == Stage::Ending || deadline <= now {
                    self.drop_handlers(now);
                }
                false
            }
            Phase::HandingBack { force_at, end_by } => {
                if force_at.is_some_and(|at| at <= now) {
                    self.give_up_handlers();
                    self.phase = Phase::HandingBack { force_at: None, end_by };
                }
                let written = self.is_written();
                let stopped =
                    self.jobs.is_empty() || matches!(self.phase, Phase::HandingBack { force_at: None, .. });
                (written && stopped) || end_by <= now
            }
        }
    }

    /// Tells all handlers to stop, and drops them where they wait.
    fn drop_handlers(&mut self, now: Timestamp) {
        self.shared.stop_all();
        for running in self.held() {
            running.abandon.cancel();
        }
        // The last try to write is made now, however the store did before.
        self.retry_at = None;
        self.phase = Phase::HandingBack { force_at: Some(now + FORCE_AFTER), end_by: now + LAST_CALL };
    }

    /// Hands back the jobs of handlers that block their thread and so cannot be dropped.
    fn give_up_handlers(&mut self) {
        self.jobs.abort_all();
        let held = self.held();
        for running in held {
            let ended = self.pending.iter().any(|pending| Arc::ptr_eq(&pending.running, &running));
            if !ended && running.lose() {
                tracing::warn!(
                    queue = %self.shared.queue, job = %running.job.id,
                    "the handler blocks its thread and cannot be stopped; its job is handed back"
                );
                let decision = Decision { ending: Ending::Returned, heeds_cancel: false };
                // Doubtful, so that it is sent although the handler's own result must not be any more.
                self.pending.push_back(Pending { running, decision, doubtful: true });
            }
        }
    }

    fn held(&self) -> Vec<Arc<Running>> {
        self.shared.running().values().cloned().collect()
    }
}
