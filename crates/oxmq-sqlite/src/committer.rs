//! Who holds this may write: one transaction at a time, for one caller or for many.
//!
//! If anything fails beneath an operation, the transaction is rolled back and each operation of the batch is run again
//! in a transaction of its own, so that one caller's trouble is never another's. An operation must therefore bear
//! being run again, and a *domain* answer ("there is no such job") is not a failure: it is part of what it returns.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::connection::FileId;
use crate::fault::{Sql, SqlFault};
use crate::lock::{SideFile, begin, begin_now};
use crate::real_time::now;
use crate::sync::Upkeep;
use crate::tx::Tx;
use crate::wake::{Bells, Rung};
use crate::writer::WriteOp;

/// How often at most it is told that commits fail: callers may try again and again, as long as a disk is full or a file is gone.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// The writing connection, and everything that a commit touches.
pub(crate) struct Committer {
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

impl Committer {
    /// Runs operations in one transaction, commits, and answers each.
    pub(crate) fn commit(&mut self, mut ops: Vec<Box<dyn WriteOp>>) {
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
        let rungs =
            match Self::run(Tx::new(&self.connection), |tx| ops.iter_mut().try_for_each(|op| op.run(tx))) {
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
        let (outcome, foreign) = self.conclude(rungs, ops.len());
        for op in ops {
            op.answer(outcome.clone());
        }
        if outcome.is_ok() {
            self.afterwards(before, foreign);
        }
    }

    /// Runs one operation in a transaction of its own, here and now; `None`, and nothing is done, if another process is in the way, or it
    /// turns out to be long.
    pub(crate) fn commit_now<T>(&mut self, mut work: impl FnMut(&mut Tx<'_>) -> Sql<T>) -> Option<Sql<T>> {
        match begin_now(&self.connection, self.side.as_deref()) {
            Ok(true) => (),
            Ok(false) => return None,
            Err(fault) => return Some(Err(fault)),
        }
        let before = self.connection.total_changes();
        let mut value = None;
        let ran = Self::run(Tx::short(&self.connection), |tx| {
            value = Some(unwinding(|| work(tx))?);
            Ok(())
        });
        let rungs = match ran {
            Ok(rungs) => rungs,
            Err(fault) => {
                self.roll_back();
                return (fault != SqlFault::Long).then_some(Err(fault));
            }
        };
        let (outcome, foreign) = self.conclude(rungs, 1);
        if outcome.is_ok() {
            self.afterwards(before, foreign);
        }
        Some(outcome.and_then(|()| value.ok_or_else(not_run)))
    }

    /// Commits, and rings; whether other processes have to be told, too.
    fn conclude(&mut self, rungs: Vec<Rung>, callers: usize) -> (Sql<()>, bool) {
        let outcome = self.commit_transaction();
        if let Err(fault) = &outcome {
            self.complaints.hear(fault, callers);
        }
        // The bells before the answers: what a take noted has to be known before its caller can wait.
        let foreign = outcome.is_ok() && self.bells.ring(rungs);
        (outcome, foreign)
    }

    /// What is left to do when the callers have their answers.
    fn afterwards(&self, changes_before: u64, foreign: bool) {
        if self.connection.total_changes() == changes_before {
            return;
        }
        if foreign && let Some(side) = &self.side {
            side.nudge();
        }
        self.upkeep.committed();
    }

    /// Keeps the log from growing without bound; between two transactions.
    pub(crate) fn relieve(&self) {
        self.upkeep.relieve(&self.connection);
    }

    fn run<'c>(mut tx: Tx<'c>, work: impl FnOnce(&mut Tx<'c>) -> Sql<()>) -> Sql<Vec<Rung>> {
        work(&mut tx)?;
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

/// Runs an operation. A panic must end no thread, and no task of a caller's. Nothing of it survives: the transaction is rolled back, its
/// cache dropped.
pub(crate) fn unwinding<T>(work: impl FnOnce() -> Sql<T>) -> Sql<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(describe_panic(&*panic)))
}

pub(crate) fn describe_panic(panic: &(dyn Any + Send)) -> SqlFault {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    SqlFault::Other(format!("an operation panicked: {text}"))
}

pub(crate) fn not_run() -> SqlFault {
    SqlFault::Other("committed without having been run".to_owned())
}
