//! The way to the writing connection: for many callers a thread, which commits for all of them at once; for a lone one, its own.
//!
//! The thread takes everything that waits, runs it in one transaction, commits, and answers. While it commits, the next
//! batch gathers; so a commit is shared by as many callers as there are. With durability `Power` the answers are given by the thread of
//! disk.rs, once the disk has them.
//!
//! A lone caller gains nothing by that, and pays for two changes of thread, which cost more than a small commit itself: the median
//! of a lone add was 108 us by the thread and is 33 us without (2 cores, durability `Process`, not in one run). So it commits by itself, in
//! its own thread, if all of this holds: the operation is small ([`LONE_JOBS_MAX`]) and turns out to be ([`SqlFault::Long`]); nobody else writes, in this
//! process or another; nothing waits before it, nor for the disk; and callers have not been seen together of late ([`Mode`]). Its runtime
//! then does nothing else for the time of one small commit to the page cache: some tens of microseconds for a job or two, less than 200 for
//! the most that is done so (a worker with concurrency 10 made 5,300 calls a second, all in all). The disk is never waited for there.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::committer::{Committed, Committer, not_run, unwinding};
use crate::fault::{Sql, SqlFault};
use crate::inbox::Inbox;
use crate::real_time::now;
use crate::tx::Tx;

/// The most operations that wait; more callers wait for room.
pub(crate) const WAITING_OPS_MAX: usize = 4_096;
/// The most operations in one transaction. Bounds how long the write lock is held, and what one rollback repeats.
const BATCH_OPS_MAX: usize = 256;
/// How much longer a caller waits for an answer than the thread has for beginning.
const ANSWER_GRACE: Duration = Duration::from_millis(500);
/// The most jobs that an operation moves that a caller commits by itself: what ends and what is taken in one call of a worker with
/// concurrency 10.
pub(crate) const LONE_JOBS_MAX: usize = 20;
/// After so many commits of callers by themselves others get a turn to call before the answer, and are seen. Before that a caller of a runtime of
/// one thread leaves nobody else a turn.
const PROBE_EVERY: u32 = 16;
/// After so many one goes by the thread, which looks after the log.
const PASS_EVERY: u32 = 128;
/// For so many batches after one with several callers everything goes by the thread.
const TOGETHER_BATCHES: u32 = 8;

/// The way to the writing connection.
pub(crate) struct Writer {
    shared: Arc<Shared>,
}

/// What callers and the thread share.
pub(crate) struct Shared {
    inbox: Inbox<Box<dyn WriteOp>>,
    /// `None` before the thread has opened the file, and when it has ended.
    committer: Mutex<Option<Committer>>,
    mode: Mode,
}

/// Whether callers come alone or together.
#[derive(Default)]
struct Mode {
    /// Batches that still go by the thread, because callers came together.
    together: AtomicU32,
    /// Commits by callers themselves since the last one by the thread.
    alone: AtomicU32,
    /// Whether others get a turn just now, and how many have come.
    probing: AtomicBool,
    came: AtomicU32,
}

/// The time in which others are seen that call.
struct Probe<'a>(&'a Mode);

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        let Self(mode) = self;
        mode.probing.store(false, Ordering::Relaxed);
        if mode.came.swap(0, Ordering::Relaxed) > 0 {
            mode.together.store(TOGETHER_BATCHES, Ordering::Relaxed);
        }
    }
}

impl Mode {
    /// Whether the next operation may be committed by its caller.
    fn is_alone(&self) -> bool {
        if self.probing.load(Ordering::Relaxed) {
            self.came.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        self.together.load(Ordering::Relaxed) == 0 && self.alone.fetch_add(1, Ordering::Relaxed) < PASS_EVERY
    }

    /// Begins to see others, if it is time to. Its caller has committed: nobody who comes overtakes it.
    fn probe(&self) -> Option<Probe<'_>> {
        let is_due = self.alone.load(Ordering::Relaxed).is_multiple_of(PROBE_EVERY);
        (is_due && !self.probing.swap(true, Ordering::Relaxed)).then_some(Probe(self))
    }

    /// The thread has committed for so many callers.
    fn saw(&self, callers: usize) {
        self.alone.store(0, Ordering::Relaxed);
        if callers > 1 {
            self.together.store(TOGETHER_BATCHES, Ordering::Relaxed);
        } else {
            let left = self.together.load(Ordering::Relaxed);
            self.together.store(left.saturating_sub(1), Ordering::Relaxed);
        }
    }
}

/// An operation with its caller.
pub(crate) trait WriteOp: Send {
    fn deadline(&self) -> Instant;
    /// Marks it as begun; false if its caller has gone.
    fn start(&self) -> bool;
    fn run(&mut self, tx: &mut Tx<'_>) -> Sql<()>;
    fn answer(self: Box<Self>, outcome: Sql<()>);
}

struct Op<T, F> {
    work: F,
    value: Option<T>,
    answer: oneshot::Sender<Sql<T>>,
    deadline: Instant,
    started: Arc<AtomicBool>,
}

impl<T: Send, F: FnMut(&mut Tx<'_>) -> Sql<T> + Send> WriteOp for Op<T, F> {
    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn start(&self) -> bool {
        // In this order: a caller that gives up closes first and then looks whether it was started.
        self.started.store(true, Ordering::SeqCst);
        !self.answer.is_closed()
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Sql<()> {
        self.value = None;
        let work = &mut self.work;
        self.value = Some(unwinding(|| work(tx))?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Sql<()>) {
        let Self { value, answer, .. } = *self;
        // A caller that has gone does not want it.
        let _ = answer.send(outcome.and_then(|()| value.ok_or_else(not_run)));
    }
}

impl Writer {
    pub(crate) fn new() -> Self {
        let inbox = Inbox::new(WAITING_OPS_MAX);
        Self { shared: Arc::new(Shared { inbox, committer: Mutex::new(None), mode: Mode::default() }) }
    }

    /// What the thread needs.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Runs `work`, which moves so many `jobs`, in a transaction, perhaps shared with other callers', and answers once it is committed.
    ///
    /// `work` may be run more than once; only the last run counts. If the caller goes away, the work is done or not
    /// begun. After `deadline` the answer is [`SqlFault::TimedOut`] or [`SqlFault::Locked`] (not done) or
    /// [`SqlFault::MaybeStored`].
    pub(crate) async fn write<T, F>(&self, deadline: Duration, jobs: usize, mut work: F) -> Sql<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Sql<T> + Send + 'static,
    {
        if jobs <= LONE_JOBS_MAX
            && let Some((outcome, safe)) = self.shared.commit_alone(jobs, &mut work)
        {
            // Others have their turn while the disk is waited for, or in a turn that is made for them.
            let probe = self.shared.mode.probe();
            return match safe {
                None => {
                    if probe.is_some() {
                        oxmq_core::turn().await;
                    }
                    outcome
                }
                Some(safe) => match tokio::time::timeout(deadline + ANSWER_GRACE, safe).await {
                    Ok(synced) => synced.unwrap_or_else(|_| Err(gone_thread())).and(outcome),
                    Err(_) => Err(late_disk()),
                },
            };
        }
        let inbox = &self.shared.inbox;
        let started = Arc::new(AtomicBool::new(false));
        let (answer, mut answered) = oneshot::channel();
        let until = now() + deadline;
        let wait = async {
            let room = inbox.room().await?;
            let op = Op { work, value: None, answer, deadline: until, started: Arc::clone(&started) };
            inbox.push(Box::new(op), room)?;
            (&mut answered).await.unwrap_or_else(|_| Err(gone_thread()))
        };
        if let Ok(outcome) = tokio::time::timeout(deadline + ANSWER_GRACE, wait).await {
            return outcome;
        }
        answered.close();
        match answered.try_recv() {
            Ok(outcome) => outcome,
            Err(_) if started.load(Ordering::SeqCst) => Err(late_disk()),
            Err(_) => Err(SqlFault::TimedOut),
        }
    }

    /// Refuses new operations; the thread ends when it has done those that wait.
    pub(crate) fn close(&self) {
        self.shared.inbox.close();
    }
}

fn late_disk() -> SqlFault {
    SqlFault::MaybeStored("the disk did not answer within the deadline".to_owned())
}

fn gone_thread() -> SqlFault {
    SqlFault::Other("the writer thread has ended".to_owned())
}

impl Shared {
    /// Commits in the caller's thread; `None`, and nothing is done, if this is not the moment for it.
    fn commit_alone<T>(&self, jobs: usize, work: impl FnMut(&mut Tx<'_>) -> Sql<T>) -> Option<Committed<T>> {
        if !self.mode.is_alone() {
            return None;
        }
        let mut committer = self.committer.try_lock().ok()?;
        // Asked with the lock in hand: nothing that waits is overtaken.
        if !self.inbox.is_idle() {
            return None;
        }
        committer.as_mut()?.commit_now(jobs, work)
    }

    /// The writer thread: runs until the inbox is closed and empty.
    pub(crate) fn run(&self, committer: Committer) {
        let disk = committer.disk.clone();
        *self.lock() = Some(committer);
        while self.inbox.wait() {
            if let Some(disk) = &disk {
                disk.turn();
            }
            let mut held = self.lock();
            // Not before it is held, or a caller that commits by itself could overtake these.
            let ops = self.inbox.drain(BATCH_OPS_MAX);
            let Some(committer) = held.as_mut() else { break };
            self.mode.saw(ops.len());
            committer.commit(ops);
            committer.relieve();
            drop(held);
            // Another process may wait for the lock.
            std::thread::yield_now();
        }
        // Closes the file.
        let committer = self.lock().take();
        if let Some(committer) = committer {
            committer.upkeep.close();
            if let Some(disk) = &committer.disk {
                disk.close();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Committer>> {
        // Whatever panics beneath is caught beneath, and its transaction rolled back.
        self.committer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
