//! The write lock between processes: no unfair waiting, and nobody starves.
//!
//! SQLite has no queue for its write lock: whoever asks at the right moment has it, so a process that commits in a
//! loop keeps all others out. Therefore a turnstile stands before it: a lock on our own side file. A writer enters the
//! turnstile, tries for SQLite's lock in short steps, and leaves the turnstile as soon as it has it. The process that
//! just committed must go through the turnstile again, which the waiter holds.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use crate::fault::{Sql, SqlFault};
use crate::real_time::{nap, now};
use crate::wake::Mark;

/// Between two tries for SQLite's lock, and for the turnstile. (The kernel adds about 0.06 ms to each sleep.)
const LOCK_STEP: Duration = Duration::from_micros(150);
const TURNSTILE_STEP: Duration = Duration::from_micros(50);
/// Tries that only yield the processor, before the first sleep: most locks are held for some microseconds.
const TRIES_AWAKE: u32 = 3;

/// The side file: the turnstile, and what is written to in order to nudge other processes (wake.rs).
#[derive(Debug)]
pub(crate) struct SideFile {
    file: File,
    lockable: AtomicBool,
}

/// A mark, and once more with all bits turned: what is read while it is written is not taken for one.
#[cfg(target_os = "linux")]
type Hint = [u8; 16];

#[cfg(target_os = "linux")]
fn hint_of(mark: Mark) -> Hint {
    let mut hint = Hint::default();
    hint[..8].copy_from_slice(&mark.to_le_bytes());
    hint[8..].copy_from_slice(&(!mark).to_le_bytes());
    hint
}

#[cfg(target_os = "linux")]
fn mark_of(hint: Hint) -> Option<Mark> {
    let (mark, turned) = hint.split_first_chunk::<8>()?;
    let mark = Mark::from_le_bytes(*mark);
    (turned == (!mark).to_le_bytes()).then_some(mark)
}

/// The mark of the last nudge, if the side file has one.
#[cfg(target_os = "linux")]
pub(crate) fn hint(side: &File) -> Option<Mark> {
    use std::os::unix::fs::FileExt;
    let mut hint = Hint::default();
    side.read_exact_at(&mut hint, 0).ok()?;
    mark_of(hint)
}

/// Held by a writer that is next.
#[derive(Debug)]
struct Pass<'a>(Option<&'a File>);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            // Unlocking cannot fail in a way that could be helped; the lock ends with the file at the latest.
            let _ = file.unlock();
        }
    }
}

impl SideFile {
    /// Opens or makes the side file; `None` if that cannot be (then writers are not fair, and others learn of
    /// writes more slowly).
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        match opened {
            Ok(file) => Some(Self { file, lockable: AtomicBool::new(true) }),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot open the side file; going on without it");
                None
            }
        }
    }

    /// Tells other processes that something was committed, and what, for whoever is quick enough to read it. Always in the same place, so
    /// that the file does not grow.
    pub(crate) fn nudge(&self, mark: Mark) {
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::fs::FileExt;
            if let Err(error) = self.file.write_at(&hint_of(mark), 0) {
                tracing::debug!(%error, "cannot nudge other processes; they will find out by polling");
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = mark;
    }

    /// `None` if somebody is in the turnstile.
    fn enter_now(&self) -> Option<Pass<'_>> {
        if !self.lockable.load(Ordering::Relaxed) {
            return Some(Pass(None));
        }
        self.file.try_lock().is_ok().then(|| Pass(Some(&self.file)))
    }

    fn enter(&self, started: Instant, deadline: Instant) -> Sql<Pass<'_>> {
        let mut tries = 0;
        while self.lockable.load(Ordering::Relaxed) {
            match self.file.try_lock() {
                Ok(()) => return Ok(Pass(Some(&self.file))),
                Err(TryLockError::WouldBlock) => step(&mut tries, TURNSTILE_STEP, started, deadline)?,
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(%error, "file locks are not supported here; writers are not fair");
                    self.lockable.store(false, Ordering::Relaxed);
                }
            }
        }
        Ok(Pass(None))
    }
}

/// Begins a transaction that may write. Waits for other processes until `deadline`.
pub(crate) fn begin(connection: &Connection, side: Option<&SideFile>, deadline: Instant) -> Sql<()> {
    let started = now();
    let _pass = side.map(|side| side.enter(started, deadline)).transpose()?;
    let mut begin = connection.prepare_cached("BEGIN IMMEDIATE")?;
    let mut tries = 0;
    loop {
        match begin.execute([]) {
            Ok(_) => return Ok(()),
            Err(error) if is_busy(&error) => step(&mut tries, LOCK_STEP, started, deadline)?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Begins a transaction that may write, if no other process is in the way: false if one is, at once.
pub(crate) fn begin_now(connection: &Connection, side: Option<&SideFile>) -> Sql<bool> {
    let Some(_pass) = side.map_or(Some(Pass(None)), SideFile::enter_now) else { return Ok(false) };
    match connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]) {
        Ok(_) => Ok(true),
        Err(error) if is_busy(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Does `work` again as long as it is refused because of a lock, until `deadline`.
pub(crate) fn retry_busy<T>(deadline: Instant, mut work: impl FnMut() -> Sql<T>) -> Sql<T> {
    let started = now();
    let mut tries = 0;
    loop {
        match work() {
            Err(SqlFault::Locked { .. }) => step(&mut tries, LOCK_STEP, started, deadline)?,
            other => return other,
        }
    }
}

/// Whether another connection's lock is in the way.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::FileLockingProtocolFailed))
}

fn step(tries: &mut u32, length: Duration, started: Instant, deadline: Instant) -> Sql<()> {
    let at = now();
    if at >= deadline {
        return Err(SqlFault::Locked { waited: at - started });
    }
    *tries += 1;
    if *tries <= TRIES_AWAKE {
        std::thread::yield_now();
    } else {
        nap(length);
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_the_mark_that_was_written_whole_or_nothing() {
        let mark: Mark = (7 << 40) + 123_456;
        let hint = hint_of(mark);
        assert_eq!(mark_of(hint), Some(mark));
        for byte in 0..hint.len() {
            let mut torn = hint;
            torn[byte] = hint_of(mark + 0x0101_0101_0101_0101)[byte];
            assert_eq!(mark_of(torn), None, "{torn:?}");
        }
        // An older version wrote one byte.
        assert_eq!(mark_of(Hint::default()), None);
    }
}
