//! Durability `Power`: bringing commits to the disk, for all who wait for that at once, while others commit.
//!
//! SQLite itself (`synchronous = FULL`) syncs its log within each COMMIT, with the write lock held: nobody can commit
//! meanwhile, and the disk rests while somebody does. Here a commit is only written (`NORMAL`), and whoever made it is
//! answered after the next sync of the log, by this thread. During a sync the writer commits once, and then lets callers
//! gather until that sync is over: so commits are large when there are many callers, and neither the disk nor the writer rests.
//! A lone commit of several jobs is announced before it begins, as the thread needs some time to wake.
//!
//! The log is one file that is only appended to, and SQLite reads it up to the first gap; so a sync covers everything
//! that was committed before it began, by whatever connection and process, or the copy in the database file that a
//! checkpoint synced before the log begins anew. An answer therefore means what it means with `FULL`: the write, and
//! all that it was built on, survives. What is different: other connections can read a write for the time of one sync
//! before it is safe, and so can a worker, which tells of nothing before that (`Store::exchange`).
//!
//! A sync that fails says nothing of what is on the disk, and a later one that succeeds does not, either: the system
//! may have let go of the pages. So after the first failure nothing is committed any more by this store.

use std::fs::File;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::fault::{Sql, SqlFault};
use crate::real_time::now;

/// How long the thread waits awake for a commit that has begun.
const LOOK_OUT_MAX: Duration = Duration::from_micros(200);

/// What is done when it is known how the sync went: nothing that takes time, and nothing that can panic.
pub(crate) type Answer = Box<dyn FnOnce(Sql<()>) + Send>;

/// What waits for the disk.
#[derive(Default)]
pub(crate) struct Disk {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Answer>,
    /// Whether the thread sleeps.
    idle: bool,
    /// Somebody commits and will come.
    expected: bool,
    closed: bool,
    /// The text of the first failure.
    failed: Option<String>,
}

impl Disk {
    /// Waits until nobody waits for a sync that has not begun: bounds how many do, and lets callers gather meanwhile.
    pub(crate) fn turn(&self) {
        let mut state = self.lock();
        while !state.waiting.is_empty() {
            state = self.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether nobody waits for a sync that has not begun, and none has failed.
    pub(crate) fn is_ready(&self) -> bool {
        let state = self.lock();
        state.waiting.is_empty() && state.failed.is_none()
    }

    /// Somebody commits now and will want a sync: the thread wakes meanwhile, which takes it as long as a small commit takes.
    pub(crate) fn expect(&self) {
        let mut state = self.lock();
        let idle = std::mem::replace(&mut state.idle, false);
        state.expected = true;
        drop(state);
        if idle {
            self.filled.notify_one();
        }
    }

    /// Refuses if a sync has failed.
    pub(crate) fn check(&self) -> Sql<()> {
        self.lock().failed.as_deref().map_or(Ok(()), |text| Err(refuse(text)))
    }

    /// Gives these answers after a sync that begins after now.
    pub(crate) fn answer_later(&self, answers: impl IntoIterator<Item = Answer>) {
        let mut state = self.lock();
        state.waiting.extend(answers);
        let idle = std::mem::replace(&mut state.idle, false);
        drop(state);
        if idle {
            self.filled.notify_one();
        }
    }

    /// The same for one caller, who waits for what comes back.
    pub(crate) fn safe(&self) -> oneshot::Receiver<Sql<()>> {
        let (answer, answered) = oneshot::channel();
        let answer: Answer = Box::new(move |outcome| {
            // Whoever has gone does not want it.
            let _ = answer.send(outcome);
        });
        self.answer_later([answer]);
        answered
    }

    /// The thread ends when it has answered those that wait. Nobody may come after that.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// The thread: syncs as long as anybody waits.
    pub(crate) fn run(&self, log: &File) {
        while let Some(answers) = self.next() {
            let synced = log.sync_data();
            let outcome = synced.map_err(|error| {
                let text = error.to_string();
                tracing::error!(%error, "the log could not be brought to the disk; nothing is written any more");
                self.lock().failed.get_or_insert_with(|| text.clone());
                SqlFault::MaybeStored(text)
            });
            for answer in answers {
                answer(outcome.clone());
            }
        }
    }

    /// Waits for answers to be given; `None` when it is closed and there are none.
    fn next(&self) -> Option<Vec<Answer>> {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            if std::mem::take(&mut state.expected) {
                drop(state);
                state = self.look_out();
                continue;
            }
            state.idle = true;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (state.idle, state.expected) = (false, false);
        let answers = std::mem::take(&mut state.waiting);
        drop(state);
        self.emptied.notify_all();
        Some(answers)
    }

    /// Waits awake for those who are expected, but not for long: others have the processor first.
    fn look_out(&self) -> MutexGuard<'_, State> {
        let began = now();
        loop {
            let state = self.lock();
            if !state.waiting.is_empty() || state.closed || now() - began > LOOK_OUT_MAX {
                return state;
            }
            drop(state);
            std::thread::yield_now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing can panic while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse(text: &str) -> SqlFault {
    SqlFault::Io(format!("nothing is written since the disk failed ({text}); open the store anew"))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    #[test]
    fn whoever_was_expected_may_stay_away_or_come_late() {
        let disk = Arc::new(Disk::default());
        let log = tempfile::tempfile().unwrap();
        let thread = std::thread::spawn({
            let disk = disk.clone();
            move || disk.run(&log)
        });
        for _ in 0..20 {
            disk.expect();
        }
        // It sleeps again.
        while !disk.lock().idle {
            std::thread::yield_now();
        }
        disk.safe().blocking_recv().unwrap().unwrap();
        for _ in 0..200 {
            disk.expect();
            disk.safe().blocking_recv().unwrap().unwrap();
        }
        disk.expect();
        disk.close();
        thread.join().unwrap();
    }

    #[test]
    fn nobody_is_answered_before_a_sync_and_all_are_after_one() {
        let disk = Disk::default();
        let log = tempfile::tempfile().unwrap();
        let mut waiting = [disk.safe(), disk.safe()];
        assert!(!disk.is_ready(), "they wait for a sync that has not begun");
        for answered in &mut waiting {
            assert!(answered.try_recv().is_err());
        }
        disk.close();
        disk.run(&log);
        for answered in &mut waiting {
            assert_eq!(answered.try_recv(), Ok(Ok(())));
        }
        assert!(disk.is_ready());
        assert_eq!(disk.check(), Ok(()));
    }

    #[cfg(unix)]
    #[test]
    fn after_a_sync_that_failed_nothing_is_written_any_more() {
        let disk = Disk::default();
        // A pipe cannot be synced.
        let (pipe, _writer) = std::io::pipe().unwrap();
        let log = File::from(std::os::fd::OwnedFd::from(pipe));
        let mut answered = disk.safe();
        disk.close();
        disk.run(&log);
        let fault = answered.try_recv().unwrap().unwrap_err();
        assert!(matches!(fault, SqlFault::MaybeStored(_)), "{fault:?}");
        assert!(!disk.is_ready());
        let fault = disk.check().unwrap_err();
        assert!(matches!(&fault, SqlFault::Io(text) if text.contains("open the store anew")), "{fault:?}");
    }

    #[test]
    fn the_writer_comes_to_its_turn_when_the_sync_has_begun() {
        let disk = Arc::new(Disk::default());
        let answered = disk.safe();
        let thread = {
            let disk = Arc::clone(&disk);
            std::thread::spawn(move || disk.run(&tempfile::tempfile().unwrap()))
        };
        disk.turn();
        assert!(disk.is_ready());
        disk.close();
        thread.join().unwrap();
        assert_eq!(answered.blocking_recv(), Ok(Ok(())));
    }
}
