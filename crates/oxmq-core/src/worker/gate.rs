//! Whether it is worth asking the store for jobs.
//!
//! The gate closes when the store gave less than was asked for. It opens when [`Store::wait`](crate::Store::wait) says look, when a
//! delayed job is due or a limit is over, and when the poll interval is, unless the queue was seen to be empty by the search for the
//! jobs of dead workers (upkeep.rs): that asks less of a store than a take. While it is closed, a take is sent only along with endings.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::store::{Idle, WaitRequest, Woken};

/// How soon to look again at a queue where as many jobs are active as it allows: a worker of BullMQ's tells nobody when
/// one ends.
const FULL_POLL: Duration = Duration::from_secs(1);
/// How many looks in a row may find nothing before they are slowed down. Workers that compete for few jobs have
/// some; a store that says "look" without an end has many.
const USELESS_LOOKS_MAX: u32 = 16;
/// How far apart they are then.
const USELESS_LOOKS_APART: Duration = Duration::from_millis(50);

type Wait = Pin<Box<dyn Future<Output = Result<Woken>> + Send>>;

pub(super) struct Gate {
    shared: Arc<Shared>,
    state: State,
    /// The wait that is under way.
    wait: Option<Wait>,
    /// The last hint of a wait, to notice one that is repeated.
    last_due: Option<Timestamp>,
    /// Counts what opened the gate, so that an answer from before does not close it.
    looks: u64,
    useless_looks: u32,
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// There was nothing, now or later. Opens when a wait says so, and then, or when the queue does not count as empty any more.
    Empty(Timestamp),
    /// Opens when a wait says so, and at that time.
    Waiting(Timestamp),
    /// Opens at that time; the store would say "look" at once, or cannot be asked.
    Resting(Timestamp),
}

impl Gate {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            state: State::Open,
            wait: None,
            last_due: None,
            looks: 0,
            useless_looks: 0,
            failures: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// The number of the present look: for [`idle`](Self::idle).
    pub(super) fn looks(&self) -> u64 {
        self.looks
    }

    pub(super) fn open(&mut self) {
        self.state = State::Open;
        self.looks += 1;
    }

    /// When it opens by itself, if it does.
    pub(super) fn opens_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Open => None,
            State::Empty(net) => Some(self.shared.empty_until().map_or(net, |until| net.max(until))),
            State::Waiting(until) | State::Resting(until) => Some(until),
        }
    }

    pub(super) fn open_in_time(&mut self, now: Timestamp) {
        if self.opens_at().is_some_and(|at| at <= now) {
            self.open();
        }
    }

    /// Nobody could take what a wake-up is about, which would be lost to other workers; so look when somebody can.
    pub(super) fn stop_waiting(&mut self) {
        if self.wait.take().is_some() {
            self.open();
        }
    }

    /// Waits until the store has something to say, if that is what the gate does.
    pub(super) async fn woken(&mut self) -> Result<Woken> {
        if !matches!(self.state, State::Empty(_) | State::Waiting(_)) && self.wait.is_none() {
            return std::future::pending().await;
        }
        let shared = &self.shared;
        let woken = self.wait.get_or_insert_with(|| wait(shared.clone())).await;
        self.wait = None;
        woken
    }

    /// Takes in what the wait said.
    pub(super) fn heard(&mut self, woken: Result<Woken>) {
        let now = self.shared.clock.now();
        let poll = now + self.shared.settings.poll;
        match woken {
            Ok(woken) => {
                self.failures = 0;
                self.shared.answered("wait");
                match woken {
                    // The same hint again: this store answers without waiting, so rest.
                    Woken::Due(due) if due > now && self.last_due == Some(due) => {
                        self.state = State::Resting(due.min(poll));
                    }
                    Woken::Due(due) if due > now => {
                        self.last_due = Some(due);
                        if self.state != State::Open {
                            self.state = State::Waiting(self.opens_at().map_or(due, |at| at.min(due)));
                        }
                    }
                    // A lost wake-up is what the look by time is for, and there is nothing to be woken for.
                    Woken::TimedOut
                        if matches!(self.state, State::Empty(_)) && self.shared.empty_until().is_some() => {}
                    Woken::Look if self.useless_looks > USELESS_LOOKS_MAX => {
                        self.looks += 1;
                        self.state = State::Resting(now + USELESS_LOOKS_APART);
                    }
                    _ => self.open(),
                }
            }
            Err(error) => {
                self.shared.trouble("wait", &error);
                self.failures += 1;
                self.state = State::Resting((now + self.shared.retry_delay(self.failures)).min(poll));
            }
        }
    }

    /// The store gave jobs.
    pub(super) fn gave(&mut self) {
        self.useless_looks = 0;
        self.last_due = None;
    }

    /// The store gave less than was asked for, in a call that was sent at the look `looks`.
    pub(super) fn idle(&mut self, idle: Option<Idle>, looks: u64) {
        let now = self.shared.clock.now();
        let poll = now + self.shared.settings.poll;
        self.useless_looks = self.useless_looks.saturating_add(1);
        // What opened the gate while the call was under way may have come after the store looked.
        if looks != self.looks {
            return;
        }
        // So may a job that is due later, of which was heard meanwhile; nobody tells of it again.
        let heard = self.last_due.take().filter(|due| *due > now);
        let net = poll + self.shared.settings.poll;
        self.state = match idle {
            Some(Idle::Empty { next_due }) => match next_due.into_iter().chain(heard).min() {
                // A wait that never ends must not be all that opens it.
                None => State::Empty(net),
                Some(due) => State::Waiting(due.min(net)),
            },
            Some(Idle::Paused) => State::Waiting(net),
            // Jobs may be waiting, so a wait would return at once.
            Some(Idle::RateLimited { until }) => State::Resting(until.min(poll)),
            Some(Idle::Full) => State::Waiting((now + FULL_POLL).min(poll)),
            None => State::Resting((now + FULL_POLL).min(poll)),
        };
    }
}

fn wait(shared: Arc<Shared>) -> Wait {
    Box::pin(async move {
        // On Redis the connection that waits bears the worker's name: somebody who sees it first takes it for a worker of BullMQ's.
        shared.announced.cancelled().await;
        let settings = &shared.settings;
        // In a queue that counts as empty nobody looks when the time is up.
        let timeout = if shared.empty_until().is_some() { settings.poll * 2 } else { settings.poll };
        let request = WaitRequest { worker: settings.name.clone(), timeout };
        shared.store.wait(&shared.queue, request).await
    })
}
