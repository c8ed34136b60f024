//! Wake-ups: who waits for work, for requests to cancel, or for events, and what ends the wait.
//!
//! Each queue has three numbers in its row that only grow: `wake_no`, `cancel_no`, `event_no`. A commit that concerns
//! waiters makes one of them grow. A wait compares the number it knows with the newest one, so nothing that happens
//! between looking and waiting is lost. The newest numbers come from this process's own commits at once, and from
//! other processes' through watch.rs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oxmq_core::QueueAddress;
use tokio::sync::{Notify, watch};

use crate::ear::Ear;
use crate::tx::QueueRow;
use crate::watch::{LOOK_GAP, Signal};

/// A number of a queue together with the queue's own, so that the marks of a queue that was obliterated and made
/// again go on growing.
pub(crate) type Mark = u64;

/// The mark of a queue that was never there.
pub(crate) const NO_MARK: Mark = 0;

/// How many bits of a mark are the number; the rest is the queue's own.
const NUMBER_BITS: u32 = 40;

fn mark(queue_no: i64, number: u64) -> Mark {
    (queue_no.cast_unsigned() << NUMBER_BITS).wrapping_add(number)
}

fn queue_no(mark: Mark) -> u64 {
    mark >> NUMBER_BITS
}

/// The newest marks of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) work: Mark,
    pub(crate) cancel: Mark,
    pub(crate) events: Mark,
}

impl Marks {
    /// The marks in a queue's row.
    pub(crate) fn of(row: &QueueRow) -> Self {
        Self {
            work: mark(row.no, row.wake_no),
            cancel: mark(row.no, row.cancel_no),
            events: mark(row.no, row.event_no),
        }
    }
}

/// What a transaction did to a queue, as far as waiters are concerned.
#[derive(Debug)]
pub(crate) struct Rung {
    queue: QueueAddress,
    marks: Marks,
    /// Whether any of the marks is new.
    news: bool,
    /// Whether an operation gave an answer that rests on what it found.
    answered: bool,
    idle_at: Option<Mark>,
}

impl Rung {
    pub(crate) fn of(
        queue: QueueAddress,
        row: &QueueRow,
        before: &QueueRow,
        answered: bool,
        idle_at: Option<u64>,
    ) -> Self {
        let marks = Marks::of(row);
        let news = marks != Marks::of(before);
        Self { queue, marks, news, answered, idle_at: idle_at.map(|wake_no| mark(row.no, wake_no)) }
    }

    /// Whether other processes have to be told.
    pub(crate) fn is_news(&self) -> bool {
        self.news
    }

    /// The mark for those who wait for work.
    pub(crate) fn work(&self) -> Mark {
        self.marks.work
    }

    /// Whether there was nothing but a take that found nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle_at.is_some() && !self.news && !self.answered
    }

    pub(crate) fn missing(queue: QueueAddress) -> Self {
        let marks = Marks { work: NO_MARK, cancel: NO_MARK, events: NO_MARK };
        Self { queue, marks, news: false, answered: true, idle_at: Some(NO_MARK) }
    }
}

/// The waits of this process on one queue.
#[derive(Debug)]
pub(crate) struct Bell {
    pub(crate) work: watch::Sender<Mark>,
    pub(crate) cancel: watch::Sender<Mark>,
    pub(crate) events: watch::Sender<Mark>,
    /// 0, or 1 + the mark at which a take of this process last found nothing more.
    idle_at: AtomicU64,
}

impl Bell {
    fn new() -> Self {
        Self {
            work: watch::Sender::new(NO_MARK),
            cancel: watch::Sender::new(NO_MARK),
            events: watch::Sender::new(NO_MARK),
            idle_at: AtomicU64::new(0),
        }
    }

    /// The mark at which a take last found nothing more; `None` if none ever did.
    pub(crate) fn idle_at(&self) -> Option<Mark> {
        self.idle_at.load(Ordering::Acquire).checked_sub(1)
    }

    /// Remembers that nothing could be taken at this mark.
    pub(crate) fn note_idle(&self, mark: Mark) {
        self.idle_at.fetch_max(mark.saturating_add(1), Ordering::AcqRel);
    }

    /// Ends the waits for which these marks are news.
    pub(crate) fn ring(&self, marks: Marks) {
        for (sender, mark) in
            [(&self.work, marks.work), (&self.cancel, marks.cancel), (&self.events, marks.events)]
        {
            // Only ever upwards: the watcher may have read the row before a commit that was rung before it.
            sender.send_if_modified(|newest| {
                let news = mark > *newest;
                *newest = (*newest).max(mark);
                news
            });
        }
    }
}

/// The bells of all queues that this process waits for.
pub(crate) struct Bells {
    queues: Mutex<HashMap<QueueAddress, Arc<Bell>>>,
    /// How many waits there are; without any, the watcher sleeps.
    waits: AtomicUsize,
    /// How many of them have an ear, and how many have none and need one: as long as there are such, or none with, the watcher listens.
    hearing: AtomicUsize,
    deaf: AtomicUsize,
    /// Whether the watcher runs, and that it has looked.
    watched: AtomicBool,
    looked: Notify,
    signal: Signal,
    closed: watch::Sender<bool>,
}

impl Bells {
    pub(crate) fn new() -> Self {
        Self {
            queues: Mutex::new(HashMap::new()),
            waits: AtomicUsize::new(0),
            hearing: AtomicUsize::new(0),
            deaf: AtomicUsize::new(0),
            watched: AtomicBool::new(false),
            looked: Notify::new(),
            signal: Signal::new(),
            closed: watch::Sender::new(false),
        }
    }

    /// The bell of a queue.
    pub(crate) fn bell(&self, queue: &QueueAddress) -> Arc<Bell> {
        let mut queues = self.lock();
        if let Some(bell) = queues.get(queue) {
            return Arc::clone(bell);
        }
        Arc::clone(queues.entry(queue.clone()).or_insert_with(|| Arc::new(Bell::new())))
    }

    /// All bells, for the watcher.
    pub(crate) fn all(&self) -> Vec<(QueueAddress, Arc<Bell>)> {
        self.lock().iter().map(|(queue, bell)| (queue.clone(), Arc::clone(bell))).collect()
    }

    /// Rings what a commit of this process did.
    pub(crate) fn ring(&self, rungs: Vec<Rung>) {
        let mut queues = self.lock();
        for rung in rungs {
            if let Some(mark) = rung.idle_at {
                let bell = queues.entry(rung.queue).or_insert_with(|| Arc::new(Bell::new()));
                bell.note_idle(mark);
                bell.ring(rung.marks);
            } else if rung.news
                && let Some(bell) = queues.get(&rung.queue)
            {
                bell.ring(rung.marks);
            }
        }
    }

    /// Ends the waits for work of one queue: another process says that this is its mark now. False if that is no news, or nobody's
    /// here.
    pub(crate) fn hint(&self, mark: Mark) -> bool {
        self.lock().values().any(|bell| {
            bell.work.send_if_modified(|newest| {
                let news = queue_no(*newest) == queue_no(mark) && mark > *newest;
                *newest = if news { mark } else { *newest };
                news
            })
        })
    }

    /// Counts a wait for as long as the answer lives: other processes' commits are watched meanwhile.
    pub(crate) fn wait(self: &Arc<Self>, by: Hearing) -> Waiting {
        let mut wakes = self.waits.fetch_add(1, Ordering::SeqCst) == 0;
        match by {
            Hearing::Ear(_) => {
                self.hearing.fetch_add(1, Ordering::SeqCst);
            }
            Hearing::Watcher => wakes |= self.deaf.fetch_add(1, Ordering::SeqCst) == 0,
            Hearing::Anybody => {}
        }
        if wakes {
            self.signal.call();
        }
        Waiting { bells: Arc::clone(self), by }
    }

    /// Whether the watcher has to listen.
    pub(crate) fn is_listened_for(&self) -> bool {
        self.deaf.load(Ordering::SeqCst) > 0 || self.hearing.load(Ordering::SeqCst) == 0
    }

    /// Whether anybody waits for more than what those hear who wait beside others.
    pub(crate) fn is_hurried(&self) -> bool {
        self.deaf.load(Ordering::SeqCst) > 0 || self.hearing.load(Ordering::SeqCst) > 0
    }

    /// Says whether the watcher runs.
    pub(crate) fn watch(&self, runs: bool) {
        self.watched.store(runs, Ordering::Release);
    }

    /// Whether the watcher runs.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    /// Tells who listens that the watcher has looked.
    pub(crate) fn tell_looked(&self) {
        self.looked.notify_one();
    }

    /// Returns when the watcher has looked.
    pub(crate) async fn looked(&self) {
        self.looked.notified().await;
    }

    /// Whether anybody waits.
    pub(crate) fn is_awaited(&self) -> bool {
        self.waits.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }

    /// Ends all waits, for good.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
        self.signal.call();
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Returns when the store is closed.
    pub(crate) async fn closing(&self) {
        // The sender lives as long as `self`.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueueAddress, Arc<Bell>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who hears of other processes' commits for a wait.
pub(crate) enum Hearing {
    /// The wait itself, where it is polled.
    Ear(Arc<Ear>),
    /// The watcher's thread.
    Watcher,
    /// Somebody who hears for others, and the watcher if there is nobody, a little later: so perhaps late, as long as a runtime stands still.
    Anybody,
}

/// A wait that goes on.
pub(crate) struct Waiting {
    bells: Arc<Bells>,
    by: Hearing,
}

impl Waiting {
    /// Hears of other processes' commits, for as long as it is polled.
    pub(crate) async fn listen(&self) -> Infallible {
        match &self.by {
            Hearing::Ear(ear) => ear.listen(&self.bells).await,
            Hearing::Watcher | Hearing::Anybody => std::future::pending().await,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let bells = &self.bells;
        let others = bells.waits.fetch_sub(1, Ordering::SeqCst) > 1;
        match self.by {
            Hearing::Ear(_) => {
                let is_last = bells.hearing.fetch_sub(1, Ordering::SeqCst) == 1;
                if is_last && others {
                    // The watcher finds out whether it has to listen now when it has looked.
                    bells.signal.call_for_look(LOOK_GAP);
                }
            }
            Hearing::Watcher => {
                bells.deaf.fetch_sub(1, Ordering::SeqCst);
            }
            Hearing::Anybody => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> QueueAddress {
        QueueAddress::new(name.to_owned()).unwrap_or_else(|_| unreachable!())
    }

    #[test]
    fn a_hint_wakes_those_of_its_queue_and_only_for_news() {
        let bells = Bells::new();
        let (a, b) = (bells.bell(&queue("a")), bells.bell(&queue("b")));
        let marks = |no, number| Marks { work: mark(no, number), cancel: NO_MARK, events: NO_MARK };
        a.ring(marks(1, 5));
        b.ring(marks(2, 5));
        assert!(bells.hint(mark(1, 6)));
        assert_eq!((*a.work.borrow(), *b.work.borrow()), (mark(1, 6), mark(2, 5)));
        for no_news in [mark(1, 6), mark(1, 2), mark(3, 9)] {
            assert!(!bells.hint(no_news));
        }
        assert_eq!((*a.work.borrow(), *b.work.borrow()), (mark(1, 6), mark(2, 5)));
        // Which number a queue has that was never looked at is not known.
        let unknown = bells.bell(&queue("c"));
        assert!(!bells.hint(mark(3, 1)));
        assert_eq!(*unknown.work.borrow(), NO_MARK);
    }
}
