//! What can go wrong beneath the store, and what the caller is told.

use std::time::Duration;

use oxmq_core::{Error, ErrorKind};
use rusqlite::ErrorCode;

/// The result of a step that talks to SQLite.
pub(crate) type Sql<T> = Result<T, SqlFault>;

/// A fault of the file, of SQLite or of the machinery here; never the answer to a question about a job.
///
/// Everything but [`SqlFault::MaybeStored`] means that nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SqlFault {
    /// There is no space left.
    DiskFull(String),
    /// The file, or the store, is open for reading only.
    ReadOnly(String),
    /// Other processes held the write lock for the whole deadline.
    Locked { waited: Duration },
    /// The call was not begun within its deadline.
    TimedOut,
    /// The file is damaged.
    Corrupt(String),
    /// The file is not a database.
    NotADatabase(String),
    /// The file was deleted or replaced while it was open.
    FileGone,
    /// The tables were made by a newer version.
    NewerSchema { found: i64, supported: i64 },
    /// The disk failed before anything was stored.
    Io(String),
    /// The disk failed while it was being stored, or the answer did not come within the deadline.
    MaybeStored(String),
    /// Something is larger than SQLite can hold.
    TooBig(String),
    /// It does not fit into a short transaction, and has to be done by the thread. Never told to anybody.
    Long,
    /// The store was closed.
    Closed,
    /// A fault of ours.
    Other(String),
}

impl From<rusqlite::Error> for SqlFault {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull(text),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly(text),
            Some(
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Locked { waited: Duration::ZERO },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt(text),
            Some(ErrorCode::NotADatabase) => Self::NotADatabase(text),
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::OutOfMemory) => {
                Self::Io(text)
            }
            Some(ErrorCode::TooBig) => Self::TooBig(text),
            _ => Self::Other(text),
        }
    }
}

impl SqlFault {
    /// The same fault, met at COMMIT. A disk that fails there may have kept the transaction after all.
    pub(crate) fn at_commit(self) -> Self {
        match self {
            Self::Io(text) => Self::MaybeStored(text),
            other => other,
        }
    }

    /// The error that the caller of `operation` gets; `store` names the file.
    pub(crate) fn into_error(self, operation: &'static str, store: &str) -> Error {
        let (kind, message) = match self {
            Self::DiskFull(text) => (ErrorKind::Full, format!("there is no space left to store it: {text}")),
            Self::ReadOnly(text) => (ErrorKind::ReadOnly, format!("the store can only be read: {text}")),
            Self::Locked { waited } => (
                ErrorKind::Unavailable,
                format!("other processes held the write lock of the file for {} ms", waited.as_millis()),
            ),
            Self::TimedOut => {
                (ErrorKind::Unavailable, "not begun within the deadline of the call".to_owned())
            }
            Self::Corrupt(text) => (ErrorKind::Corrupt, format!("the file is damaged: {text}")),
            Self::NotADatabase(text) => {
                (ErrorKind::Corrupt, format!("the file is not an SQLite database: {text}"))
            }
            Self::FileGone => {
                (ErrorKind::Gone, "the file was deleted or replaced while it was open".to_owned())
            }
            Self::NewerSchema { found, supported } => (
                ErrorKind::Newer,
                format!(
                    "the file has schema {found}, this version knows {supported}: update this program, or open another file"
                ),
            ),
            Self::Io(text) => (ErrorKind::Unavailable, text),
            Self::MaybeStored(text) => (ErrorKind::Ambiguous, text),
            Self::TooBig(text) => (ErrorKind::Invalid, text),
            Self::Closed => (ErrorKind::Closed, "the store is closed".to_owned()),
            Self::Other(text) => (ErrorKind::Internal, text),
            Self::Long => (ErrorKind::Internal, "a long operation was begun as a short one".to_owned()),
        };
        Error::new(kind, operation, message).with("store", store)
    }
}
