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
use tokio::sync::oneshot;

use crate::connection::FileId;
use crate::disk::Disk;
use crate::fault::{Sql, SqlFault};
use crate::lock::{SideFile, begin, begin_now};
use crate::real_time::now;
use crate::sync::Upkeep;
use crate::tx::{Numbers, Tx};
use crate::wake::{Bells, Rung};
use crate::writer::WriteOp;

/// What an operation answered, and the sync to be waited for before that holds.
pub(crate) type Written<T> = (T, Option<oneshot::Receiver<Sql<()>>>);

/// From so many jobs on a lone commit takes longer than the disk's thread needs to wake.
const EXPECTED_JOBS_MIN: usize = 4;

/// How often at most it is told that commits fail: callers may try again and again, as long as a disk is full or a file is gone.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// The writing connection, and everything that a commit touches.
pub(crate) struct Committer {
    pub(crate) connection: Connection,
    pub(crate) side: Option<Arc<SideFile>>,
    pub(crate) file: Option<FileId>,
    pub(crate) bells: Arc<Bells>,
    pub(crate) upkeep: Arc<Upkeep>,
    /// With durability `Power`: answers wait for it.
    pub(crate) disk: Option<Arc<Disk>>,
    pub(crate) complaints: Complaints,
    /// A transaction that is rolled back may leave some that are wrong: they are checked.
    pub(crate) numbers: Numbers,
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
    /// Runs operations in one transaction, commits, and answers each, or lets the disk answer.
    pub(crate) fn commit(&mut self, mut ops: Vec<Box<dyn WriteOp>>) {
        ops.retain(|op| op.start());
        if let Some(Err(fault)) = self.disk.as_ref().map(|disk| disk.check()) {
            for op in ops {
                op.answer(Err(fault.clone()));
            }
            return;
        }
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
        let rungs = match Self::run(Tx::new(&self.connection, &mut self.numbers), |tx| {
            ops.iter_mut().try_for_each(|op| op.run(tx))
        }) {
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
        let (outcome, sync) = self.conclude(rungs, ops.len(), before);
        match sync {
            Some(disk) => {
                let answers: Vec<_> = ops.into_iter().map(WriteOp::answer_with_disk).collect();
                disk.answer_later(answers);
            }
            None => {
                for op in ops {
                    op.answer(outcome.clone());
                }
            }
        }
        self.afterwards(before);
    }

    /// Runs one operation in a transaction of its own, here and now; `None`, and nothing is done, if another process is in the way, or it
    /// turns out to be long. What it answers holds once the disk has been waited for, if there is something to wait for.
    pub(crate) fn commit_now<T>(
        &mut self,
        jobs: usize,
        early: bool,
        mut work: impl FnMut(&mut Tx<'_>) -> Sql<T>,
    ) -> Option<Sql<Written<T>>> {
        // Who does not wait for the disk need not gather with others who do.
        if self.disk.as_ref().is_some_and(|disk| if early { disk.check().is_err() } else { !disk.is_ready() })
        {
            return None;
        }
        match begin_now(&self.connection, self.side.as_deref()) {
            Ok(true) => (),
            Ok(false) => return None,
            Err(fault) => return Some(Err(fault)),
        }
        if jobs >= EXPECTED_JOBS_MIN
            && let Some(disk) = &self.disk
        {
            disk.expect();
        }
        let before = self.connection.total_changes();
        let mut value = None;
        let ran = Self::run(Tx::short(&self.connection, &mut self.numbers), |tx| {
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
        let (outcome, sync) = self.conclude(rungs, 1, before);
        // The connection is held until here: when the writer has closed it, nobody comes to the disk any more.
        let safe = sync.map(|disk| disk.safe());
        self.afterwards(before);
        Some(outcome.and_then(|()| Ok((value.ok_or_else(not_run)?, safe))))
    }

    /// Commits, tells other processes, and rings; the disk, if the answers have to wait for it.
    fn conclude(
        &mut self,
        rungs: Vec<Rung>,
        callers: usize,
        changes_before: u64,
    ) -> (Sql<()>, Option<Arc<Disk>>) {
        let wrote = self.connection.total_changes() != changes_before;
        // Of several operations it is not known what the others answered.
        let only_looked = !wrote && callers == 1 && !rungs.is_empty() && rungs.iter().all(Rung::is_idle);
        let outcome = self.commit_transaction().and_then(|()| {
            // As soon as it can be seen, and before anything else: another process has a long way to its worker.
            if wrote
                && let Some(news) = rungs.iter().find(|rung| rung.is_news())
                && let Some(side) = &self.side
            {
                side.nudge(news.work());
            }
            // Before the answers: nothing is acknowledged that went into a deleted file.
            self.file.as_ref().map_or(Ok(()), FileId::check)
        });
        match &outcome {
            // The bells before the answers: what a take noted has to be known before its caller can wait.
            Ok(()) => self.bells.ring(rungs),
            Err(fault) => self.complaints.hear(fault, callers),
        }
        // Also if nothing was written: an answer may rest on what is not safe yet. But that there is nothing to take binds nobody.
        let sync = self.disk.as_ref().filter(|_| outcome.is_ok() && !only_looked).map(Arc::clone);
        (outcome, sync)
    }

    /// What is left to do when the callers have their answers.
    fn afterwards(&self, changes_before: u64) {
        if self.connection.total_changes() != changes_before {
            self.upkeep.committed();
        }
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
        Ok(())
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
