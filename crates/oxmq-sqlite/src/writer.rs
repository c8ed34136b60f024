//! The way to the writing connection: for many callers a thread, which commits for all of them at once; for a lone one, its own.
//!
//! The thread takes everything that waits, runs it in one transaction, commits, and answers. While it commits, the next
//! batch gathers; so a commit is shared by as many callers as there are. With durability `Power` the answers are given by the thread of
//! disk.rs, once the disk has them; who can use them before has them at once, and hears later when the disk has them, too ([`Writer::write_early`]).
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

use crate::committer::{Committer, Written, not_run, unwinding};
use crate::disk::Answer;
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
    /// The same for what is committed: what there is to do when the disk has it.
    fn answer_with_disk(self: Box<Self>) -> Answer;
}

struct Op<T, F> {
    work: F,
    value: Option<T>,
    answer: oneshot::Sender<Sql<Written<T>>>,
    /// Its caller wants it before the disk has it.
    early: bool,
    deadline: Instant,
    started: Arc<AtomicBool>,
}

impl<T: Send + 'static, F: FnMut(&mut Tx<'_>) -> Sql<T> + Send + 'static> WriteOp for Op<T, F> {
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
        let _ = answer.send(outcome.and_then(|()| value.ok_or_else(not_run)).map(|value| (value, None)));
    }

    fn answer_with_disk(mut self: Box<Self>) -> Answer {
        if !self.early {
            return Box::new(move |outcome| self.answer(outcome));
        }
        let (synced, safe) = oneshot::channel();
        let value = self.value.take().ok_or_else(not_run);
        let _ = self.answer.send(value.map(|value| (value, Some(safe))));
        Box::new(move |outcome| {
            let _ = synced.send(outcome);
        })
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
    pub(crate) async fn write<T, F>(&self, deadline: Duration, jobs: usize, work: F) -> Sql<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Sql<T> + Send + 'static,
    {
        let (value, synced) = self.commit(deadline, jobs, false, work).await?;
        if let Some(synced) = synced {
            // Others have their turn while the disk is waited for.
            let _probe = self.shared.mode.probe();
            Syncing { synced, deadline }.end().await?;
        }
        Ok(value)
    }

    /// The same, but answers as soon as others can see what was written: it is safe when what comes with it ends.
    pub(crate) async fn write_early<T: Send + 'static>(
        &self,
        deadline: Duration,
        jobs: usize,
        work: impl FnMut(&mut Tx<'_>) -> Sql<T> + Send + 'static,
    ) -> Sql<(T, Option<Syncing>)> {
        let (value, synced) = self.commit(deadline, jobs, true, work).await?;
        Ok((value, synced.map(|synced| Syncing { synced, deadline })))
    }

    /// If the disk is to be waited for, this says so: if `early`, always; else if the caller has committed by itself.
    async fn commit<T, F>(&self, deadline: Duration, jobs: usize, early: bool, mut work: F) -> Sql<Written<T>>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Sql<T> + Send + 'static,
    {
        if jobs <= LONE_JOBS_MAX
            && let Some(written) = self.shared.commit_alone(jobs, early, &mut work)
        {
            // Not if others have one while the disk is waited for.
            if early || !matches!(written, Ok((_, Some(_)))) {
                self.give_turn().await;
            }
            return written;
        }
        let inbox = &self.shared.inbox;
        let started = Arc::new(AtomicBool::new(false));
        let (answer, mut answered) = oneshot::channel();
        let until = now() + deadline;
        let wait = async {
            let room = inbox.room().await?;
            let op = Op { work, value: None, answer, early, deadline: until, started: Arc::clone(&started) };
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

    /// Lets others call, if it is time to see whether there are any.
    async fn give_turn(&self) {
        if let Some(_probe) = self.shared.mode.probe() {
            oxmq_core::turn().await;
        }
    }

    /// Refuses new operations; the thread ends when it has done those that wait.
    pub(crate) fn close(&self) {
        self.shared.inbox.close();
    }
}

/// A sync without which an answer does not hold.
pub(crate) struct Syncing {
    synced: oneshot::Receiver<Sql<()>>,
    deadline: Duration,
}

impl Syncing {
    pub(crate) async fn end(self) -> Sql<()> {
        match tokio::time::timeout(self.deadline + ANSWER_GRACE, self.synced).await {
            Ok(Ok(synced)) => synced,
            Ok(Err(_)) => Err(SqlFault::MaybeStored("the disk's thread has ended".to_owned())),
            Err(_) => Err(late_disk()),
        }
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
    fn commit_alone<T>(
        &self,
        jobs: usize,
        early: bool,
        work: impl FnMut(&mut Tx<'_>) -> Sql<T>,
    ) -> Option<Sql<Written<T>>> {
        if !self.mode.is_alone() {
            return None;
        }
        let mut committer = self.committer.try_lock().ok()?;
        // Asked with the lock in hand: nothing that waits is overtaken.
        if !self.inbox.is_idle() {
            return None;
        }
        committer.as_mut()?.commit_now(jobs, early, work)
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

#[cfg(test)]
mod tests {
    use super::*;

    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use oxmq_core::{Event, EventKind, QueueAddress, Timestamp};

    use crate::committer::Complaints;
    use crate::connection::{Durability, Options, Place};
    use crate::disk::Disk;
    use crate::engine::open_writer;
    use crate::sync::Upkeep;
    use crate::tx::Numbers;
    use crate::wake::Bells;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn committer(options: &Options, disk: &Arc<Disk>) -> Committer {
        let (connection, side, file) = open_writer(options, now() + DEADLINE).unwrap();
        Committer {
            connection,
            side,
            file,
            bells: Arc::new(Bells::new()),
            upkeep: Arc::new(Upkeep::new(options)),
            disk: Some(Arc::clone(disk)),
            complaints: Complaints::default(),
            numbers: Numbers::default(),
        }
    }

    fn emit(tx: &mut Tx<'_>) -> Sql<u64> {
        let queue = tx.queue(&QueueAddress::new("a").unwrap(), Timestamp::from_millis(1))?;
        queue.emit(Timestamp::from_millis(1), &Event::queue(EventKind::Resumed))
    }

    async fn is_ready<T>(work: impl Future<Output = T>) -> bool {
        let mut work = pin!(work);
        poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_ready())).await
    }

    /// The file, a writer, and a disk that nobody syncs. If `alone`, callers commit by themselves: there is no thread.
    fn writer(alone: bool) -> (tempfile::TempDir, Writer, Arc<Disk>) {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            place: Place::File(folder.path().join("q.db")),
            durability: Durability::Power,
            create: true,
            read_only: false,
            call_deadline: DEADLINE,
        };
        let disk = Arc::new(Disk::default());
        let committer = committer(&options, &disk);
        let writer = Writer::new();
        let shared = writer.shared();
        if alone {
            *shared.lock() = Some(committer);
        } else {
            std::thread::spawn(move || shared.run(committer));
        }
        (folder, writer, disk)
    }

    #[tokio::test]
    async fn who_wants_it_early_has_it_before_the_disk_and_hears_when_that_has_it() {
        for alone in [true, false] {
            let (_folder, writer, disk) = writer(alone);
            let jobs = if alone { 1 } else { usize::MAX };
            let (_, safe) = writer.write_early(DEADLINE, jobs, emit).await.unwrap();
            let mut safe = pin!(safe.expect("the disk is to be waited for").end());
            assert!(!is_ready(&mut safe).await);
            if alone {
                // Nor does the next one wait.
                writer.write_early(DEADLINE, jobs, emit).await.unwrap();
                assert!(!is_ready(writer.write(DEADLINE, jobs, emit)).await, "as others do");
            }
            let thread = std::thread::spawn({
                let disk = Arc::clone(&disk);
                move || disk.run(&tempfile::tempfile().unwrap())
            });
            assert_eq!(safe.await, Ok(()));
            writer.close();
            if alone {
                disk.close();
            }
            // Else the writer's thread says so in the end.
            thread.join().unwrap();
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn who_had_it_early_hears_that_the_disk_failed_and_nobody_writes_any_more() {
        let (_folder, writer, disk) = writer(true);
        let (_, safe) = writer.write_early(DEADLINE, 1, emit).await.unwrap();
        disk.close();
        // A pipe cannot be synced.
        let (pipe, _writer) = std::io::pipe().unwrap();
        disk.run(&std::fs::File::from(std::os::fd::OwnedFd::from(pipe)));
        let fault = safe.unwrap().end().await.unwrap_err();
        assert!(matches!(fault, SqlFault::MaybeStored(_)), "{fault:?}");
        assert!(!is_ready(writer.write_early(DEADLINE, 1, emit)).await, "the thread is to refuse it");
    }
}
