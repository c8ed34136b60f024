//! The one task that talks to the store for work.
//!
//! It sends when fewer than [`DEPTH`] calls are under way and something is finished or a slot is free; the call
//! carries every finish and the whole free demand. There is no timer and no linger: batches grow with the load by
//! themselves, and at low load a finish leaves at once, and a new job begins after one round trip.
//!
//! A slot is one of: free; reserved by a call that may fill it; running a handler; pending, with an ending that is
//! not acknowledged. So endings are bounded by the concurrency (and those of [`KEEPING_MAX`] calls), also when the store is away for hours.
//!
//! A call that carries endings and demand has both the jobs that have ended and those that take their place. So the most jobs that
//! are held at a time are the concurrency and what [`DEPTH`] calls ask for: of large ones, as many as [`TAKEN_BYTES_PER_CALL`] allows. With
//! them are those of endings that are not kept yet.
//!
//! Where the store answers before what it wrote is [kept](crate::store::Exchanged), the jobs that were taken begin at once. The endings are held back, out
//! of the way of their slots, of at most [`KEEPING_MAX`] calls.
//!
//! When the store has nothing to give, the [gate](super::gate) closes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::DropGuard;

use super::duties::Duties;
use super::events::WorkerEvent;
use super::finish::Decision;
use super::gate::Gate;
use super::resolve::{Call, CallDone, call};
use super::run::{Ended, LAST_CALL, Running};
use super::shared::{Control, Shared};
use super::shutdown::Phase;
use crate::address::Token;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::store::{TakeRequest, Woken};
use crate::telemetry::Trace;

/// How many calls are under way at most. With one, all slots march in step; more than two gain little.
pub const DEPTH: usize = 2;
/// The most endings in one call.
pub const ENDINGS_PER_CALL_MAX: usize = 50;
/// The most jobs that one call asks for.
pub const TAKES_PER_CALL_MAX: usize = 50;
/// How much data the jobs of one call should have in all: of jobs that are larger than a fiftieth of it, fewer are asked for. How large they
/// are is guessed from those that were given last.
pub(super) const TAKEN_BYTES_PER_CALL: usize = 8 << 20;

/// How many calls with endings that are not kept yet there are at most. Measured with syncs of 100 to 150 us, jobs that take nothing and
/// concurrency 1 and 10, in thousands a second: 6.5 and 59 with two, 9.0 and 62 with three, 10.9 and 63 with four; 4.2 and 25 where the
/// next jobs waited, too. Of large jobs (of which a call asks for fewer) one, as they are held as well.
pub const KEEPING_MAX: usize = 4;

/// A turn that others have is over then: a handler may block the thread to which tokio would come back.
const TURN_MAX: Duration = Duration::from_millis(10);

/// An ending that is not acknowledged.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) running: Arc<Running>,
    pub(super) decision: Decision,
    /// A call that carried it ended without a clear answer: it may be written already.
    pub(super) doubtful: bool,
}

pub(crate) struct Exchange {
    pub(super) shared: Arc<Shared>,
    control: watch::Receiver<Control>,
    pub(super) jobs: JoinSet<Ended>,
    pub(super) calls: JoinSet<CallDone>,
    /// Endings that are written, and not kept yet.
    pub(super) keeping: JoinSet<CallDone>,
    pub(super) pending: VecDeque<Pending>,
    /// Slots that calls under way may fill.
    pub(super) reserved: usize,
    takes: u64,
    /// The most jobs to ask for in one call.
    pub(super) takes_max: usize,
    /// How much data a job has, by those that were given last.
    pub(super) job_bytes: usize,
    /// The looks that were asked for, as far as they were made.
    looks: u64,
    pub(super) gate: Gate,
    /// Calls that failed in a row.
    pub(super) failures: u32,
    pub(super) retry_at: Option<Timestamp>,
    /// Endings go one by one, because the store choked on one of several.
    pub(super) solo: bool,
    pub(super) ready: bool,
    pub(super) drained: bool,
    pub(super) phase: Phase,
    /// The span of the end.
    pub(super) closing: Trace,
    /// How many jobs have begun and had no turn yet.
    pub(super) began: usize,
    _closed: DropGuard,
}

/// What the exchange waited for.
enum Step {
    Job(Result<Ended, JoinError>),
    Call(Result<CallDone, JoinError>),
    Woken(Result<Woken>),
    /// The controls were moved, or some time has come.
    Look,
}

impl Exchange {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            control: shared.control.subscribe(),
            _closed: shared.closed.clone().drop_guard(),
            gate: Gate::new(shared.clone()),
            shared,
            jobs: JoinSet::new(),
            calls: JoinSet::new(),
            keeping: JoinSet::new(),
            pending: VecDeque::new(),
            reserved: 0,
            takes: 0,
            takes_max: TAKES_PER_CALL_MAX,
            job_bytes: 0,
            looks: 0,
            failures: 0,
            retry_at: None,
            solo: false,
            ready: false,
            drained: false,
            phase: Phase::Working,
            closing: Trace::none(),
            began: 0,
        }
    }

    /// Works until the worker has ended.
    pub(super) async fn run(mut self, duties: Duties) {
        let mut yielded = false;
        loop {
            self.reap();
            let control = *self.control.borrow_and_update();
            if self.advance_phase(control.stage) {
                break;
            }
            self.open_in_time();
            if std::mem::replace(&mut self.looks, control.looks) != control.looks {
                self.gate.open();
                self.adopt(self.shared.found());
            }
            // Without handlers that run there is nobody to let into the call.
            let full = yielded || self.jobs.is_empty();
            if let Some(call) = self.compose(control, full) {
                self.send(call);
                yielded = false;
                if self.has_something_to_send(control) {
                    // Lets it leave before the next is made: a server that reads two at once answers both at once, and has
                    // nothing to do until both come again.
                    self.turn().await;
                }
            } else if self.began > 0 || !full && self.has_something_to_send(control) {
                // Let handlers that are about to end get into this call; and those that have just begun into one of their own, not
                // into that of the jobs of another answer that is here already, for the same reason.
                self.turn().await;
                yielded = true;
            } else {
                yielded = false;
                self.pause(control).await;
            }
        }
        self.jobs.abort_all();
        self.calls.abort_all();
        self.keeping.abort_all();
        let leftover = self.shared.running().len();
        if leftover > 0 {
            tracing::warn!(
                queue = %self.shared.queue, jobs = leftover,
                "closed with jobs that could not be handed back; they run again when their leases have run out"
            );
        }
        if let Some(pool) = &self.shared.pool {
            pool.close().await;
        }
        self.shared.stop_with_goodbye();
        let _ = self.shared.clock.timeout(LAST_CALL * 2, duties).await;
        self.closing.end();
        self.shared.listeners.tell(|| WorkerEvent::Closed);
    }

    /// Lets all others go on that are ready. [`turn`](crate::turn::turn) would do, but wakes another thread each time, which takes far longer.
    async fn turn(&mut self) {
        self.began = 0;
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => {}
            () = self.shared.clock.sleep(TURN_MAX) => {}
        }
    }

    /// Takes in every job that has ended by now, and a call: the jobs of one have a turn, and their endings leave, before the next is taken in.
    fn reap(&mut self) {
        while let Some(ended) = self.jobs.try_join_next() {
            self.job_ended(ended);
        }
        while let Some(kept) = self.keeping.try_join_next() {
            self.call_ended(kept);
        }
        let leaving = !self.pending.is_empty() && self.may_send();
        if self.began == 0
            && !leaving
            && let Some(done) = self.calls.try_join_next()
        {
            self.call_ended(done);
        }
    }

    // ---------------------------------------------------------------- sending

    fn works(&self, control: Control) -> bool {
        matches!(self.phase, Phase::Working) && !control.paused
    }

    /// How many jobs to ask for in a call that carries so many endings.
    fn demand(&self, control: Control, endings: usize) -> usize {
        if !self.works(control) || self.solo {
            return 0;
        }
        let taken = self.jobs.len() + self.pending.len() - endings + self.reserved;
        control.concurrency.saturating_sub(taken).min(self.takes_max)
    }

    fn endings(&self) -> usize {
        self.pending.len().min(if self.solo { 1 } else { ENDINGS_PER_CALL_MAX })
    }

    fn keeping_max(&self) -> usize {
        if self.takes_max < TAKES_PER_CALL_MAX { 1 } else { KEEPING_MAX }
    }

    /// Whether there is room for one more call.
    fn may_send(&self) -> bool {
        self.calls.len() < DEPTH && self.keeping.len() < self.keeping_max() && self.retry_at.is_none()
    }

    fn has_something_to_send(&self, control: Control) -> bool {
        let open = self.gate.is_open();
        self.may_send() && (!self.pending.is_empty() || (open && self.demand(control, 0) > 0))
    }

    /// The next call, if there is one to be made now.
    fn compose(&mut self, control: Control, full: bool) -> Option<Call> {
        if !full || !self.has_something_to_send(control) {
            return None;
        }
        let endings_count = self.endings();
        let limit = self.demand(control, endings_count);
        let mut endings = Vec::with_capacity(endings_count);
        for pending in self.pending.drain(..endings_count).collect::<Vec<_>>() {
            if pending.running.is_lost() && !pending.doubtful {
                self.refused(&pending.running, None);
            } else {
                pending.running.mark_sent();
                endings.push(pending);
            }
        }
        let take = (limit > 0).then(|| {
            let settings = &self.shared.settings;
            self.takes += 1;
            TakeRequest {
                limit,
                token: Token::new(format!("{}:{}", self.shared.id, self.takes)),
                lease_for: settings.lease,
                worker: settings.name.clone(),
                rate_limit: settings.rate_limit,
                until_needs_rate: false,
                now: self.shared.clock.now(),
            }
        });
        let reserve = limit.max(endings.len());
        (take.is_some() || !endings.is_empty()).then_some(Call {
            endings,
            take,
            reserve,
            looks: self.gate.looks(),
        })
    }

    fn send(&mut self, next: Call) {
        self.reserved += next.reserve;
        self.calls.spawn(call(self.shared.clone(), next));
    }

    // ---------------------------------------------------------------- waiting

    /// Waits until something happens.
    async fn pause(&mut self, control: Control) {
        if self.has_something_to_send(control) {
            // Those that were to be sent had lost their leases; there are others.
            return;
        }
        let busy = self.jobs.len() + self.pending.len() >= control.concurrency;
        let wants = self.works(control) && !busy && self.retry_at.is_none();
        if !wants {
            self.gate.stop_waiting();
        }
        let gate_at = if wants { self.gate.opens_at() } else { None };
        let wake_at = [gate_at, self.retry_at, self.phase.wake_at()].into_iter().flatten().min();
        let Self { jobs, calls, keeping, control, gate, shared, .. } = self;
        let step = tokio::select! {
            Some(ended) = jobs.join_next(), if !jobs.is_empty() => Step::Job(ended),
            Some(done) = calls.join_next(), if !calls.is_empty() => Step::Call(done),
            Some(kept) = keeping.join_next(), if !keeping.is_empty() => Step::Call(kept),
            _ = control.changed() => Step::Look,
            woken = gate.woken(), if wants => Step::Woken(woken),
            () = sleep_until(shared, wake_at) => Step::Look,
        };
        match step {
            Step::Job(ended) => self.job_ended(ended),
            Step::Call(done) => self.call_ended(done),
            Step::Woken(woken) => self.gate.heard(woken),
            Step::Look => {}
        }
    }

    fn open_in_time(&mut self) {
        let now = self.shared.clock.now();
        self.gate.open_in_time(now);
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
        }
    }

    /// Whether nothing is left to be done or written.
    pub(super) fn is_idle(&self) -> bool {
        self.is_written() && self.jobs.is_empty()
    }

    /// Whether nothing is left to be written.
    pub(super) fn is_written(&self) -> bool {
        self.pending.is_empty() && self.calls.is_empty() && self.keeping.is_empty()
    }
}

async fn sleep_until(shared: &Shared, time: Option<Timestamp>) {
    match time {
        Some(time) => shared.clock.sleep_until(time).await,
        None => std::future::pending().await,
    }
}
