//! The writer thread: the only one that writes. It commits for many callers at once.
//!
//! It takes everything that is waiting, runs it in one transaction, commits, and answers. While it commits, the next
//! batch gathers; so a commit is shared by as many callers as there are, and a single caller waits for nobody.
//!
//! If anything fails beneath an operation, the transaction is rolled back and each operation of the batch is run again
//! in a transaction of its own, so that one caller's trouble is never another's. An operation must therefore bear
//! being run again, and a *domain* answer ("there is no such job") is not a failure: it is part of what it returns.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::connection::FileId;
use crate::fault::{Sql, SqlFault};
use crate::inbox::Inbox;
use crate::lock::{SideFile, begin};
use crate::real_time::now;
use crate::sync::Upkeep;
use crate::tx::Tx;
use crate::wake::{Bells, Rung};

/// The most operations that wait; more callers wait for room.
pub(crate) const WAITING_OPS_MAX: usize = 4_096;
/// The most operations in one transaction. Bounds how long the write lock is held, and what one rollback repeats.
const BATCH_OPS_MAX: usize = 256;
/// How often at most it is told that commits fail: callers may try again and again, as long as a disk is full or a file is gone.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// How much longer a caller waits for an answer than the thread has for beginning.
const ANSWER_GRACE: Duration = Duration::from_millis(500);

/// The way to the writer thread.
pub(crate) struct Writer {
    inbox: Arc<Inbox<Box<dyn WriteOp>>>,
}

/// Everything the writer thread owns or touches.
pub(crate) struct WriterThread {
    pub(crate) inbox: Arc<Inbox<Box<dyn WriteOp>>>,
    pub(crate) connection: Connection,
    pub(crate) side: Option<Arc<SideFile>>,
    pub(crate) file: Option<FileId>,
    pub(crate) bells: Arc<Bells>,
    pub(crate) upkeep: Arc<Upkeep>,
    pub(crate) complaints: Complaints,
}

/// What is to be told of commits that failed.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    told_at: Option<Instant>,
    /// How many were not told since.
    untold: u64,
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
        // A panic must not end the thread. Nothing of it survives: the transaction is rolled back, its cache dropped.
        let value =
            catch_unwind(AssertUnwindSafe(|| work(tx))).map_err(|panic| describe_panic(&*panic))??;
        self.value = Some(value);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Sql<()>) {
        let Self { value, answer, .. } = *self;
        let outcome = outcome.and_then(|()| {
            value.ok_or_else(|| SqlFault::Other("committed without having been run".to_owned()))
        });
        // A caller that has gone does not want it.
        let _ = answer.send(outcome);
    }
}

pub(crate) fn describe_panic(panic: &(dyn Any + Send)) -> SqlFault {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    SqlFault::Other(format!("an operation panicked: {text}"))
}

impl Writer {
    pub(crate) fn new(inbox: Arc<Inbox<Box<dyn WriteOp>>>) -> Self {
        Self { inbox }
    }

    /// Runs `work` in a transaction, shared with other callers', and answers once it is committed.
    ///
    /// `work` may be run more than once; only the last run counts. If the caller goes away, the work is done or not
    /// begun. After `deadline` the answer is [`SqlFault::TimedOut`] or [`SqlFault::Locked`] (not done) or
    /// [`SqlFault::MaybeStored`].
    pub(crate) async fn write<T, F>(&self, deadline: Duration, work: F) -> Sql<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Sql<T> + Send + 'static,
    {
        let started = Arc::new(AtomicBool::new(false));
        let (answer, mut answered) = oneshot::channel();
        let until = now() + deadline;
        let wait = async {
            let room = self.inbox.room().await?;
            let op = Op { work, value: None, answer, deadline: until, started: Arc::clone(&started) };
            self.inbox.push(Box::new(op), room)?;
            (&mut answered).await.unwrap_or_else(|_| Err(gone_thread()))
        };
        if let Ok(outcome) = tokio::time::timeout(deadline + ANSWER_GRACE, wait).await {
            return outcome;
        }
        answered.close();
        match answered.try_recv() {
            Ok(outcome) => outcome,
            Err(_) if started.load(Ordering::SeqCst) => {
                Err(SqlFault::MaybeStored("the disk did not answer within the deadline".to_owned()))
            }
            Err(_) => Err(SqlFault::TimedOut),
        }
    }

    /// Refuses new operations; the thread ends when it has done those that wait.
    pub(crate) fn close(&self) {
        self.inbox.close();
    }
}

fn gone_thread() -> SqlFault {
    SqlFault::Other("the writer thread has ended".to_owned())
}

impl Complaints {
    fn hear(&mut self, fault: &SqlFault, callers: usize) {
        let now = now();
        if self.told_at.is_some_and(|told_at| now < told_at + COMPLAIN_EVERY) {
            self.untold += 1;
            return;
        }
        let before = std::mem::take(&mut self.untold);
        self.told_at = Some(now);
        tracing::warn!(?fault, callers, before, "a commit failed; nothing of it is acknowledged");
    }
}

impl WriterThread {
    /// Runs until the inbox is closed and empty.
    pub(crate) fn run(mut self) {
        while let Some(ops) = self.inbox.take(BATCH_OPS_MAX) {
            self.commit(ops);
            self.upkeep.relieve(&self.connection);
            // Another process may wait for the lock.
            std::thread::yield_now();
        }
        self.upkeep.close();
    }

    fn commit(&mut self, mut ops: Vec<Box<dyn WriteOp>>) {
        ops.retain(|op| op.start());
        // Who waits for the lock together may be out of time one after the other.
        while let Some(deadline) = ops.iter().map(|op| op.deadline()).min() {
            match begin(&self.connection, self.side.as_deref(), deadline) {
                Ok(()) => break,
                Err(SqlFault::Locked { waited }) => {
                    let at = now();
                    let (late, rest): (Vec<_>, Vec<_>) = ops.into_iter().partition(|op| op.deadline() <= at);
                    ops = rest;
                    for op in late {
                        op.answer(Err(SqlFault::Locked { waited }));
                    }
                }
                Err(fault) => {
                    for op in ops {
                        op.answer(Err(fault.clone()));
                    }
                    return;
                }
            }
        }
        if ops.is_empty() {
            return;
        }
        let before = self.connection.total_changes();
        let rungs = match self.run_in_transaction(&mut ops) {
            Ok(rungs) => rungs,
            Err(fault) => {
                self.roll_back();
                if ops.len() == 1 {
                    for op in ops {
                        op.answer(Err(fault.clone()));
                    }
                } else {
                    for op in ops {
                        self.commit(vec![op]);
                    }
                }
                return;
            }
        };
        let outcome = self.commit_transaction();
        if let Err(fault) = &outcome {
            self.complaints.hear(fault, ops.len());
        }
        // First the bells: what a take noted has to be known before its caller can wait.
        let foreign = outcome.is_ok() && self.bells.ring(rungs);
        for op in ops {
            op.answer(outcome.clone());
        }
        if outcome.is_ok() && self.connection.total_changes() != before {
            if foreign && let Some(side) = &self.side {
                side.nudge();
            }
            self.upkeep.committed();
        }
    }

    fn run_in_transaction(&self, ops: &mut [Box<dyn WriteOp>]) -> Sql<Vec<Rung>> {
        let mut tx = Tx::new(&self.connection);
        for op in ops {
            op.run(&mut tx)?;
        }
        tx.finish()
    }

    fn commit_transaction(&self) -> Sql<()> {
        let committed = self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        if let Err(error) = committed {
            self.roll_back();
            return Err(SqlFault::from(error).at_commit());
        }
        // After the commit and before the answers: nothing is acknowledged that went into a deleted file.
        self.file.as_ref().map_or(Ok(()), FileId::check)
    }

    fn roll_back(&self) {
        // Some faults roll back by themselves.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "cannot roll back");
        }
    }
}
