//! One file per verb: the SQL beside the Rust that binds it.
//!
//! An operation that writes is a function of a transaction; it checks everything that can be refused before it
//! writes anything, because the caller's neighbours share the transaction. An operation that reads is a function of
//! a connection. A domain answer ("there is no such job") is part of what is returned; a fault of SQLite undoes all.

pub(crate) mod add;
pub(crate) mod announce;
pub(crate) mod cancel;
pub(crate) mod children;
pub(crate) mod clean;
pub(crate) mod dedup;
pub(crate) mod drain;
pub(crate) mod extend;
pub(crate) mod family;
pub(crate) mod finish;
pub(crate) mod flow;
pub(crate) mod limit;
pub(crate) mod look;
pub(crate) mod meta;
pub(crate) mod metrics;
pub(crate) mod note;
pub(crate) mod obliterate;
pub(crate) mod pause;
pub(crate) mod promote;
pub(crate) mod publish;
pub(crate) mod recover;
pub(crate) mod remove;
pub(crate) mod reschedule;
pub(crate) mod retry;
pub(crate) mod schedule;
pub(crate) mod sweep;
pub(crate) mod take;

mod place;

use oxmq_core::{Error, ErrorKind, JobId, QueueAddress};

use crate::fault::SqlFault;

/// The job is not there.
fn not_found(operation: &'static str, queue: &QueueAddress, job: &JobId) -> Error {
    refused(ErrorKind::NotFound, operation, "there is no such job", queue, job)
}

fn refused(
    kind: ErrorKind,
    operation: &'static str,
    message: impl Into<String>,
    queue: &QueueAddress,
    job: &JobId,
) -> Error {
    Error::new(kind, operation, message).with("queue", queue).with("job", job)
}

/// A request of a kind that the core has and this store does not know yet.
fn unknown_request() -> SqlFault {
    SqlFault::Other("the store does not know this kind of request".to_owned())
}
