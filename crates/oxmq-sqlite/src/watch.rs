//! Learning of other processes' commits, while anybody waits.
//!
//! Whoever commits something that others may wait for writes to the side file, after the commit. Here a thread
//! watches that file with inotify, reads the marks of the queues that this process knows, and rings. The queue whose mark stands in the file
//! is rung before that look, which would be in the way of its worker; but several nudges may have become one. Watching the
//! `-wal` file instead would lose wake-ups: it is written before the commit can be seen. A look at
//! `PRAGMA data_version` twice a second is the net for writers that do not nudge. While nobody waits the thread
//! sleeps: what happens meanwhile stays in the kernel's queue, as one event. Waits that have an ear (ear.rs) hear by themselves; for them
//! the thread only looks, a little later, for what a nudge does not say.
//!
//! Without inotify the thread looks at `data_version` every 10 ms, while anybody waits.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use crate::fault::Sql;
use crate::tx::QueueRow;
use crate::wake::{Bells, Marks};

pub(crate) use self::signal::Signal;
use self::signal::{Nudges, listen};
use crate::real_time::nap;

/// How often `data_version` is looked at, as the net under the nudges, and in place of them.
const NET_PERIOD: Duration = Duration::from_millis(500);
const POLL_PERIOD: Duration = Duration::from_millis(10);
/// The least time between two looks at the queues. A process that commits in a loop nudges thousands of times a
/// second; the first of a burst is heard at once, the others together after this.
pub(crate) const LOOK_GAP: Duration = Duration::from_millis(1);

/// The same while nobody waits but for requests to cancel: a process that works hears its own commits, too.
const CALM_GAP: Duration = Duration::from_millis(20);

/// What ended the thread's sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Another process, or this one, committed something.
    Nudge,
    /// The time was up.
    Nothing,
    /// Somebody else heard it, a little while ago.
    Due,
    /// This process: somebody began to wait, or the store closes.
    Call,
}

/// Runs until the bells are closed.
pub(crate) fn run(bells: &Arc<Bells>, connection: &Connection, side: Option<&Path>) {
    let nudges = listen(side);
    if nudges.is_none() {
        tracing::info!("cannot watch the side file; looking for other processes' writes every 10 ms");
    }
    let period = if nudges.is_some() { NET_PERIOD } else { POLL_PERIOD };
    bells.watch(true);
    let mut version = 0;
    // What was committed before the watch stood is found by the first look.
    let mut heard = Heard::Nudge;
    while !bells.is_closed() {
        let looked = look(bells, connection, heard, &mut version);
        bells.tell_looked();
        match looked {
            Ok(true) if bells.is_hurried() => nap(LOOK_GAP),
            // Whoever begins to wait calls.
            Ok(true) => match bells.signal().sleep(None, Some(CALM_GAP)) {
                Heard::Nudge | Heard::Nothing => {}
                called @ (Heard::Due | Heard::Call) => {
                    heard = called;
                    continue;
                }
            },
            Ok(false) => {}
            Err(fault) => {
                tracing::debug!(?fault, "cannot look for other processes' writes");
                nap(POLL_PERIOD);
            }
        }
        heard = if bells.is_awaited() {
            bells.signal().sleep(nudges.as_ref().filter(|_| bells.is_listened_for()), Some(period))
        } else {
            bells.signal().sleep(None, None)
        };
        if heard == Heard::Nudge
            && let Some(mark) = nudges.as_ref().and_then(Nudges::hint)
            && bells.hint(mark)
        {
            // Whoever was woken is at the file now; a look beside it would be in its way.
            nap(LOOK_GAP);
        }
    }
    bells.watch(false);
}

/// Reads the marks of all known queues if something may have changed; whether it did.
fn look(bells: &Bells, connection: &Connection, heard: Heard, version: &mut i64) -> Sql<bool> {
    // After a nudge there is something new, so this would be a look more on the way to a worker.
    if !matches!(heard, Heard::Nudge | Heard::Due) {
        let newest: i64 =
            connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if std::mem::replace(version, newest) == newest {
            return Ok(false);
        }
    }
    for (queue, bell) in bells.all() {
        if let Some(row) = QueueRow::find(connection, &queue)? {
            bell.ring(Marks::of(&row));
        }
    }
    Ok(true)
}

#[cfg(target_os = "linux")]
mod signal {
    use std::fs::File;
    use std::mem::MaybeUninit;
    use std::os::fd::{AsFd, OwnedFd};
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
    use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
    };

    use super::Heard;
    use crate::lock::hint;
    use crate::wake::Mark;

    /// Wakes the watcher's thread.
    #[derive(Debug)]
    pub(crate) struct Signal {
        /// `None` if the process has no descriptors left; then the thread only polls.
        called: Option<OwnedFd>,
        /// Rings some time after it was set. `None` as above; then the thread is called at once.
        alarm: Option<OwnedFd>,
        is_set: AtomicBool,
    }

    /// The watch on the side file, and that file.
    #[derive(Debug)]
    pub(crate) struct Nudges {
        watch: OwnedFd,
        side: File,
    }

    /// Begins to watch.
    pub(crate) fn listen(side: Option<&Path>) -> Option<Nudges> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        inotify::add_watch(&watch, side?, WatchFlags::MODIFY).ok()?;
        Some(Nudges { watch, side: File::open(side?).ok()? })
    }

    impl Nudges {
        /// What the last nudge was about, if it says so.
        pub(crate) fn hint(&self) -> Option<Mark> {
            hint(&self.side)
        }
    }

    impl Signal {
        pub(crate) fn new() -> Self {
            Self {
                called: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok(),
                alarm: timerfd_create(
                    TimerfdClockId::Monotonic,
                    TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
                )
                .ok(),
                is_set: AtomicBool::new(false),
            }
        }

        /// Lets the thread look, after a while at the latest.
        pub(crate) fn call_for_look(&self, after: Duration) {
            if self.is_set.swap(true, Ordering::AcqRel) && !after.is_zero() {
                return;
            }
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            // A time of nothing would unset it.
            let once = Timespec::try_from(after.max(Duration::from_nanos(1)));
            let once = once.ok().map(|it_value| Itimerspec { it_interval: zero, it_value });
            let set = once.zip(self.alarm.as_ref()).is_some_and(|(once, alarm)| {
                timerfd_settime(alarm, TimerfdTimerFlags::empty(), &once).is_ok()
            });
            if !set {
                self.is_set.store(false, Ordering::Release);
                self.call();
            }
        }

        /// Wakes the thread, or keeps it from falling asleep.
        pub(crate) fn call(&self) {
            if let Some(called) = &self.called {
                // Full means that it is called already.
                let _ = rustix::io::write(called, &1_u64.to_ne_bytes());
            }
        }

        /// Sleeps until called or nudged, at most `period`.
        pub(crate) fn sleep(&self, nudges: Option<&Nudges>, period: Option<Duration>) -> Heard {
            let Some(called) = &self.called else {
                crate::real_time::nap(period.unwrap_or(super::POLL_PERIOD).min(super::POLL_PERIOD));
                return Heard::Nothing;
            };
            let mut fds = vec![PollFd::new(called, PollFlags::IN)];
            fds.extend(self.alarm.as_ref().map(|alarm| PollFd::new(alarm, PollFlags::IN)));
            let heard_at = fds.len();
            if let Some(Nudges { watch, .. }) = nudges {
                fds.push(PollFd::new(watch, PollFlags::IN));
            }
            let timeout = period.and_then(|period| Timespec::try_from(period).ok());
            // An interrupted sleep is a short one.
            let _ = poll(&mut fds, timeout.as_ref());
            let is_ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
            let (is_called, is_due, is_nudged) =
                (is_ready(0), heard_at > 1 && is_ready(1), is_ready(heard_at));
            if is_called {
                let _ = rustix::io::read(called.as_fd(), &mut [0_u8; 8]);
            }
            if is_due && let Some(alarm) = &self.alarm {
                self.is_set.store(false, Ordering::Release);
                let _ = rustix::io::read(alarm.as_fd(), &mut [0_u8; 8]);
            }
            if is_nudged && let Some(Nudges { watch, .. }) = nudges {
                let mut buffer = [MaybeUninit::uninit(); 4096];
                let mut reader = Reader::new(watch, &mut buffer);
                while reader.next().is_ok() {}
                return Heard::Nudge;
            }
            match (is_due, is_called) {
                (true, _) => Heard::Due,
                (false, true) => Heard::Call,
                (false, false) => Heard::Nothing,
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod signal {
    use std::path::Path;
    use std::sync::{Condvar, Mutex, PoisonError};
    use std::time::Duration;

    use super::Heard;
    use crate::wake::Mark;

    /// Wakes the watcher's thread.
    #[derive(Debug, Default)]
    pub(crate) struct Signal {
        called: Mutex<bool>,
        changed: Condvar,
    }

    /// There are none here.
    #[derive(Debug)]
    pub(crate) enum Nudges {}

    impl Nudges {
        /// What the last nudge was about.
        pub(crate) fn hint(&self) -> Option<Mark> {
            match *self {}
        }
    }

    /// There is nothing to watch.
    pub(crate) fn listen(_side: Option<&Path>) -> Option<Nudges> {
        None
    }

    impl Signal {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        /// Wakes the thread, or keeps it from falling asleep.
        pub(crate) fn call(&self) {
            *self.called.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.changed.notify_all();
        }

        /// Nobody has an ear here who could ask for it.
        pub(crate) fn call_for_look(&self, _after: Duration) {
            self.call();
        }

        /// Sleeps until called, at most `period`.
        pub(crate) fn sleep(&self, _nudges: Option<&Nudges>, period: Option<Duration>) -> Heard {
            let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
            if !*called {
                called = match period {
                    Some(period) => {
                        self.changed.wait_timeout(called, period).unwrap_or_else(PoisonError::into_inner).0
                    }
                    None => self.changed.wait(called).unwrap_or_else(PoisonError::into_inner),
                };
            }
            if std::mem::take(&mut *called) { Heard::Call } else { Heard::Nothing }
        }
    }
}
