//! Upkeep of the write-ahead log, outside of anybody's commit: bringing it to the disk, and back into the file.
//!
//! SQLite's default is to copy the log back within the commit that fills a thousand pages. Measured beside that (2
//! cores, durability `Process`, small commits): p99 of one caller 0.22 ms instead of 0.49, of a hundred callers 2.0 ms
//! instead of 3.6, p99.9 6 ms instead of 45 to 80. With durability `Power`, where answers wait for the disk
//! anyway, no difference stood out of the noise.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use crate::connection::{Durability, Options, Place, beside};
use crate::fault::{Sql, SqlFault};

/// How long after a commit its log is brought to the disk, in [`Durability::Process`]: a power cut costs at most
/// this and the time of the sync itself.
const SYNC_PERIOD: Duration = Duration::from_millis(500);
/// The log is copied back into the file from this size on.
const CHECKPOINT_BYTES: u64 = 4 * 1024 * 1024;
/// From this size on that is done at once, and again, until little is left of what is written meanwhile. Then the writer finishes the
/// copying and begins the log anew: under a load without pause it is never done otherwise, and the log would grow without bound. What is
/// left is what all callers wait for: a log of 64 MiB that was left to the writer as a whole stopped them for 50 ms, a third of
/// the time of lone adds. The file keeps its length, because to write where the file system has room already costs half as much.
const WAL_BYTES_LARGE: u64 = 32 * 1024 * 1024;
/// So much is little.
const LEFT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How often it is tried to come to that.
const COPIES_MAX: u32 = 3;
/// From this size on the writer does it in any case.
const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Room that is given back to the file system, after somebody read for long and so kept the log from beginning anew.
pub(crate) const WAL_FILE_BYTES_MAX: i64 = 128 * 1024 * 1024;
/// With durability `Power` the log's file gets room before it is needed, in steps of this, up to `WAL_BYTES_MAX`: a sync of
/// 12 KiB that have room already took 80 us, and 136 us where the file grew (means: 100 and 230; ext4, 2 cores).
const ROOM_BYTES: u64 = 16 * 1024 * 1024;
/// From so much in use on: who writes little does not need it.
const ROOM_FROM_BYTES: u64 = 1024 * 1024;
/// So much room there is to be at least then.
const ROOM_LEFT_BYTES: u64 = 8 * 1024 * 1024;
/// After so many commits the writer looks how much of the log is in use.
const LOOK_EVERY_COMMITS: u32 = 16;
/// What the log has beside a page.
const FRAME_HEADER_BYTES: u64 = 24;

/// What room is made of.
static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];

/// What the writer and the upkeep thread tell each other.
pub(crate) struct Upkeep {
    /// `None` for a store in memory.
    wal: Option<PathBuf>,
    durability: Durability,
    dirty: AtomicBool,
    /// The log is large: the thread is to copy it now.
    large: AtomicBool,
    /// The thread has done so, and it is the writer's turn.
    copied: AtomicBool,
    commits: AtomicU32,
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Upkeep {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            wal: match &options.place {
                Place::Memory => None,
                Place::File(path) => Some(beside(path, "-wal")),
            },
            durability: options.durability,
            dirty: AtomicBool::new(false),
            large: AtomicBool::new(false),
            copied: AtomicBool::new(false),
            commits: AtomicU32::new(0),
            closed: Mutex::new(false),
            changed: Condvar::new(),
        }
    }

    /// Something was committed.
    pub(crate) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        if self.wal.is_some() {
            self.tell(&self.dirty);
        }
    }

    /// Tells the thread what it did not know.
    fn tell(&self, news: &AtomicBool) {
        if !news.swap(true, Ordering::AcqRel) {
            // Under the mutex, or the thread could miss it between looking and sleeping.
            drop(self.closed.lock().unwrap_or_else(PoisonError::into_inner));
            self.changed.notify_all();
        }
    }

    /// Begins the log anew if it has become too large; called by the writer between two transactions.
    pub(crate) fn relieve(&self, connection: &Connection) {
        if self.wal.is_none() || self.commits.load(Ordering::Relaxed) < LOOK_EVERY_COMMITS {
            return;
        }
        self.commits.store(0, Ordering::Relaxed);
        let relieved = checkpoint(connection, "NOOP").and_then(|Log { bytes, .. }| {
            if bytes > WAL_BYTES_MAX || self.copied.swap(false, Ordering::AcqRel) {
                return checkpoint(connection, "RESTART").map(drop);
            }
            if bytes > WAL_BYTES_LARGE {
                self.tell(&self.large);
            }
            self.make_room(connection, bytes);
            Ok(())
        });
        if let Err(fault) = relieved {
            tracing::warn!(?fault, "cannot begin the write-ahead log anew");
        }
    }

    /// Gives the file of the log room, if syncs are waited for and so many bytes of it are in use. What SQLite reads ends
    /// before it: zeros are no frame.
    fn make_room(&self, connection: &Connection, used: u64) {
        let needs_room = self.durability == Durability::Power && used > ROOM_FROM_BYTES;
        let Some(wal) = self.wal.as_deref().filter(|_| needs_room) else { return };
        let lacks_room = |length: u64| used + ROOM_LEFT_BYTES > length && length < WAL_BYTES_MAX;
        let Ok(mut file) = OpenOptions::new().write(true).open(wal) else { return };
        if !file.metadata().is_ok_and(|file| lacks_room(file.len())) {
            return;
        }
        // Nobody may write behind the end meanwhile, so with the lock in hand. Where another process has it, the next look is soon.
        if connection.execute_batch("BEGIN IMMEDIATE").is_err() {
            return;
        }
        if let Ok(length) = file.seek(SeekFrom::End(0))
            && lacks_room(length)
            && let Err(error) = (0..ROOM_BYTES / ZEROS.len() as u64).try_for_each(|_| file.write_all(&ZEROS))
        {
            tracing::debug!(%error, "no room for the write-ahead log beforehand");
            // What came of it could be what the next commit lacks.
            let _ = file.set_len(length);
        }
        // It has written nothing.
        if let Err(error) = connection.execute_batch("ROLLBACK") {
            tracing::warn!(%error, "cannot give the lock back after making room for the log");
        }
    }

    /// Ends the thread, after a last sync.
    pub(crate) fn close(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// The thread: sleeps until there is a commit, waits for the period to gather more, and does its work.
    pub(crate) fn run(&self, connection: &Connection) {
        // Somebody who reads for long keeps the log from being copied: then it is not tried sooner because it is large.
        let mut hurries = true;
        loop {
            let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            while !*closed && !self.dirty.load(Ordering::Acquire) {
                closed = self.changed.wait(closed).unwrap_or_else(PoisonError::into_inner);
            }
            let mut left = SYNC_PERIOD;
            while !(*closed || left.is_zero() || hurries && self.large.load(Ordering::Acquire)) {
                let before = crate::real_time::now();
                closed = self.changed.wait_timeout(closed, left).unwrap_or_else(PoisonError::into_inner).0;
                left = left.saturating_sub(before.elapsed());
            }
            let last = *closed;
            drop(closed);
            if self.dirty.swap(false, Ordering::AcqRel) {
                hurries = self.work(connection).unwrap_or_else(|fault| {
                    tracing::warn!(?fault, "upkeep of the write-ahead log failed");
                    false
                });
            }
            if last {
                return;
            }
        }
    }

    /// Whether it has left little.
    fn work(&self, connection: &Connection) -> Sql<bool> {
        if self.durability == Durability::Process
            && let Some(wal) = &self.wal
        {
            // Not SQLite's descriptor, which is fine for this file (see connection.rs). Gone means emptied and synced.
            match std::fs::File::open(wal) {
                Ok(wal) => wal.sync_data().map_err(|error| SqlFault::Io(error.to_string()))?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
                Err(error) => return Err(SqlFault::Io(error.to_string())),
            }
        }
        let mut log = checkpoint(connection, "NOOP")?;
        if log.bytes > CHECKPOINT_BYTES {
            for _ in 0..COPIES_MAX {
                // Waits for nobody and holds up nobody; copies what it can.
                checkpoint(connection, "PASSIVE")?;
                log = checkpoint(connection, "NOOP")?;
                if log.bytes <= WAL_BYTES_LARGE || log.left <= LEFT_BYTES_MAX {
                    break;
                }
            }
        }
        let is_copied = log.left <= LEFT_BYTES_MAX;
        self.copied.store(is_copied && log.bytes > WAL_BYTES_LARGE, Ordering::Release);
        self.large.store(false, Ordering::Release);
        Ok(is_copied)
    }
}

/// The log, as far as it is in use; its file may be longer.
struct Log {
    bytes: u64,
    /// What is not copied back.
    left: u64,
}

/// Copies the log back into the file, or with `NOOP` nothing.
fn checkpoint(connection: &Connection, mode: &str) -> Sql<Log> {
    let (busy, frames, copied): (bool, i64, i64) =
        connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    tracing::trace!(mode, busy, frames, copied, "checkpoint");
    let page: i64 = connection.prepare_cached("PRAGMA page_size")?.query_row([], |row| row.get(0))?;
    let bytes = |frames: i64| u64::try_from(frames).unwrap_or(0) * (page.unsigned_abs() + FRAME_HEADER_BYTES);
    Ok(Log { bytes: bytes(frames), left: bytes(frames - copied) })
}
