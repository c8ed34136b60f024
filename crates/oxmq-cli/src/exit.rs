//! How errors become exit codes: the one table.

use std::io;
use std::process::ExitCode;

use oxmq::ErrorKind;

/// The table, as `oxmq --help` shows it.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  something failed that has no code of its own
  2  the command line is wrong
  3  there is no such job, queue or store
  4  refused: the job is in another state, somebody works on it, or a rule forbids it
  5  the store is locked, did not answer in time, or cannot be reached
  6  the input is wrong; the message names the field
  7  the store cannot be used: damaged, full, read-only, deleted, or from a newer version
  8  this build cannot do that";

/// The exit code of a kind of error.
pub(crate) fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::NotFound => 3,
        ErrorKind::WrongState
        | ErrorKind::Refused
        | ErrorKind::NotLocked
        | ErrorKind::LockedByAnother
        | ErrorKind::CancelRequested
        | ErrorKind::PendingChildren
        | ErrorKind::FailedChildren => 4,
        ErrorKind::Unavailable | ErrorKind::Ambiguous | ErrorKind::Closed => 5,
        ErrorKind::Invalid => 6,
        ErrorKind::Corrupt | ErrorKind::Full | ErrorKind::ReadOnly | ErrorKind::Gone | ErrorKind::Newer => 7,
        ErrorKind::Unsupported => 8,
        _ => 1,
    }
}

/// What kind of error this is, if it has one.
pub(crate) fn kind_of(error: &anyhow::Error) -> Option<ErrorKind> {
    error.chain().find_map(|cause| cause.downcast_ref::<oxmq::Error>()).map(oxmq::Error::kind)
}

/// The exit code of an error.
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(kind_of(error).map_or(1, code_of))
}

/// Whether whoever read our stdout has gone, as `head` does: no error, we are done.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
