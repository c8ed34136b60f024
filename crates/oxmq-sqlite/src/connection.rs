//! Opening the file: options, pragmas, and what file it was.
//!
//! DANGER: POSIX file locks belong to the process and the inode, not to the descriptor. If anything in this process
//! opens and closes the main database file, or its `-shm`, by other means than SQLite, all of SQLite's locks on it are
//! dropped, and two processes corrupt the file. Opening the `-wal` and our own side file is fine, as is `metadata`,
//! which opens nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::fault::{Sql, SqlFault};
use crate::lock::{is_busy, retry_busy};
use crate::sync::WAL_FILE_BYTES_MAX;

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The death of the process, at any moment. A power cut may cost the last second, never the file. Default.
    #[default]
    Process,
    /// A power cut too. Each answer waits for the disk, those of callers that come together for the same sync.
    ///
    /// A write can be read, by queries and in events, for the time of one sync before it is safe. A worker begins a job as soon as it has it, and
    /// tells how it ended when that is safe: after a power cut just then, the job is as it was before, and runs (again). A worker with
    /// `max_stalled(0)`, which must not begin a job twice, does not begin one before it is safe that it has it.
    Power,
}

/// Where the tables are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the memory of this store, and gone with it.
    Memory,
    /// In this file; absolute.
    File(PathBuf),
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) place: Place,
    pub(crate) durability: Durability,
    /// Whether a missing file is made.
    pub(crate) create: bool,
    pub(crate) read_only: bool,
    /// How long a call may take.
    pub(crate) call_deadline: Duration,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The one that writes.
    Writer,
    /// Queries.
    Reader,
    /// Looking for other processes' writes.
    Watcher,
    /// Checkpoints.
    Upkeep,
}

/// The page cache of the writing connection. What is not in it is read from the kernel's, through the map as a rule; and many commits pass
/// through all of its buckets (`pcache1TruncateUnsafe` in profiles of bulk adds), so small is better: with 4 MiB instead of 64, workers of a queue of 500,000
/// jobs did 1.5 times as many, of 100,000 1.1.
const WRITER_CACHE_KIB: i64 = 4 * 1024;
/// That of each reader.
const READER_CACHE_KIB: i64 = 16 * 1024;
/// Those that need none to speak of.
const SMALL_CACHE_KIB: i64 = 1024;
/// How much of the file is read through the memory map.
const MMAP_BYTES: i64 = 256 * 1024 * 1024;
/// The page size of a file that is made: a commit writes each page that it touched, of which a small one has about five. With 2 KiB instead
/// of SQLite's 4 a lone add took 0.81 of the time and a job of a worker with concurrency 1 0.86, while adding 1,000 at a time took
/// 1.07 (1 KiB: 0.74, 0.77, 1.25; 8 KiB: 1.35, 1.35, 0.90).
const PAGE_BYTES: i64 = 2_048;
/// More than there are statements in the crate.
const STATEMENTS_CACHED: usize = 256;

impl Options {
    /// The path of the file, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Memory => None,
            Place::File(path) => Some(path),
        }
    }

    /// What the store is called in errors and logs.
    pub(crate) fn describe(&self) -> String {
        match &self.place {
            Place::Memory => "sqlite::memory:".to_owned(),
            Place::File(path) => format!("sqlite:{}", path.display()),
        }
    }
}

/// The path of a file beside the database: `-wal`, or our own.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Opens a connection and sets it up. Waits for locks of other processes until `deadline`.
pub(crate) fn open(options: &Options, role: Role, deadline: Instant) -> Sql<Connection> {
    let writable = matches!(role, Role::Writer | Role::Upkeep) && !options.read_only;
    let flags = if writable { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY }
        // Each connection stays on its thread, so SQLite's own mutexes are not needed.
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match &options.place {
        Place::Memory => Connection::open_in_memory()?,
        Place::File(path) => {
            let create = writable && options.create && role == Role::Writer;
            let flags = if create { flags | OpenFlags::SQLITE_OPEN_CREATE } else { flags };
            Connection::open_with_flags(path, flags).map_err(|error| explain_open(error, path))?
        }
    };
    // SQLite's own waiting sleeps up to 100 ms at a time and is unfair; see lock.rs.
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    retry_busy(deadline, || set_up(&connection, options, role, writable))?;
    Ok(connection)
}

fn set_up(connection: &Connection, options: &Options, role: Role, writable: bool) -> Sql<()> {
    let pragma = |name: &str, value: &dyn rusqlite::ToSql| connection.pragma_update(None, name, value);
    let cache = match role {
        Role::Writer => WRITER_CACHE_KIB,
        Role::Reader => READER_CACHE_KIB,
        Role::Watcher | Role::Upkeep => SMALL_CACHE_KIB,
    };
    pragma("cache_size", &-cache)?;
    pragma("temp_store", &"MEMORY")?;
    // Integrity is held by transactions and CHECKs; foreign keys would cost a look-up per row.
    pragma("foreign_keys", &"OFF")?;
    // Or SQLite plans by the values that are bound, and prepares each statement with a `LIMIT ?` anew whenever a value
    // is bound to it: that was a seventh of the CPU of a take.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    if matches!(options.place, Place::Memory) {
        return Ok(());
    }
    // SQLite drops the whole map whenever another connection has committed, which is what the watcher looks for.
    if role != Role::Watcher {
        pragma("mmap_size", &MMAP_BYTES)?;
    }
    if !writable {
        return Ok(());
    }
    // Without effect on a file that is there already.
    pragma("page_size", &PAGE_BYTES)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(SqlFault::Io(format!(
            "the file system does not support write-ahead logging (mode {mode})"
        )));
    }
    // Also with durability `Power`: answers wait for the disk, commits do not; see disk.rs.
    pragma("synchronous", &"NORMAL")?;
    // Checkpoints are made by upkeep, outside of anybody's commit; see sync.rs.
    pragma("wal_autocheckpoint", &0)?;
    pragma("journal_size_limit", &WAL_FILE_BYTES_MAX)?;
    Ok(())
}

fn explain_open(error: rusqlite::Error, path: &Path) -> SqlFault {
    if is_busy(&error) {
        return error.into();
    }
    let reason = match std::fs::metadata(path) {
        Err(io) => io.to_string(),
        Ok(metadata) if metadata.is_dir() => "it is a directory".to_owned(),
        Ok(_) => error.to_string(),
    };
    SqlFault::Io(format!("cannot open {}: {reason}", path.display()))
}

/// Which file it is, to notice that it was deleted or replaced under us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileId {
    path: PathBuf,
    #[cfg(unix)]
    device_and_inode: (u64, u64),
}

impl FileId {
    /// The file that is there now.
    pub(crate) fn of(path: &Path) -> Sql<Self> {
        let metadata = std::fs::metadata(path).map_err(|error| SqlFault::Io(error.to_string()))?;
        Ok(Self::new(path, &metadata))
    }

    #[cfg(unix)]
    fn new(path: &Path, metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { path: path.to_owned(), device_and_inode: (metadata.dev(), metadata.ino()) }
    }

    #[cfg(not(unix))]
    fn new(path: &Path, _metadata: &std::fs::Metadata) -> Self {
        // An open file cannot be deleted or replaced there.
        Self { path: path.to_owned() }
    }

    /// Whether the same file is still there.
    pub(crate) fn check(&self) -> Sql<()> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if Self::new(&self.path, &metadata) == *self => Ok(()),
            Ok(_) => Err(SqlFault::FileGone),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(SqlFault::FileGone),
            // Not to be told from here; SQLite's own errors will say if it is bad.
            Err(_) => Ok(()),
        }
    }
}
