//! Errors as Node programs know them: BullMQ's texts and numbers, the one table.

use std::fmt::Display;

use oxmq::{Error, ErrorKind};
use serde::Serialize;

/// What a request is answered with when it fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Failure {
    code: i32,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data>,
}

/// What BullMQ's error objects have besides their message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Data {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
}

/// JSON-RPC's number for an error of the program itself.
const APPLICATION: i32 = -32_000;

/// What BullMQ takes for a lost connection, and does not report.
const CLOSED: &str = "Connection is closed.";

/// Which command of BullMQ's was asked for, of which job, and in which state the job had to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) command: &'static str,
    pub(super) job: &'a str,
    pub(super) state: &'a str,
}

impl Failure {
    fn application(message: impl Into<String>, name: &'static str, code: Option<i32>) -> Self {
        Self { code: APPLICATION, message: message.into(), data: Some(Data { name, code }) }
    }

    /// An error of the caller's, without a number.
    pub(super) fn plain(message: impl Into<String>) -> Self {
        Self::application(message, "Error", None)
    }

    /// An error with one of BullMQ's numbers.
    pub(super) fn coded(code: i32, message: impl Into<String>) -> Self {
        let name = if code == -9 { "UnrecoverableError" } else { "Error" };
        Self::application(message, name, Some(code))
    }

    /// The client is closed, or about to be.
    pub(super) fn closed() -> Self {
        Self::application(CLOSED, "ConnectionClosedError", None)
    }

    /// The line is no JSON.
    pub(super) fn parse(why: impl Display) -> Self {
        Self { code: -32_700, message: format!("Parse error: {why}"), data: None }
    }

    /// The line is JSON, but no request.
    pub(super) fn request(why: impl Display) -> Self {
        Self { code: -32_600, message: format!("Invalid request: {why}"), data: None }
    }

    /// There is no such operation.
    pub(super) fn method(name: &str) -> Self {
        Self { code: -32_601, message: format!("Method not found: {name}"), data: None }
    }

    /// The operation cannot be done with these parameters.
    pub(super) fn params(method: &str, why: impl Display) -> Self {
        Self { code: -32_602, message: format!("Invalid params: {method}: {why}"), data: None }
    }

    /// A fault of ours.
    pub(super) fn internal(why: impl Display) -> Self {
        Self { code: -32_603, message: format!("Internal error: {why}"), data: None }
    }

    /// An error of the store that is not about the state of a job.
    pub(super) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Closed => Self::closed(),
            _ => Self::plain(error.to_string()),
        }
    }

    /// An error of the store, about a job.
    pub(super) fn of_job(error: &Error, about: About<'_>) -> Self {
        let About { command, job, state } = about;
        match error.kind() {
            ErrorKind::NotFound => Self::coded(-1, format!("Missing key for job {job}. {command}")),
            ErrorKind::NotLocked => Self::coded(-2, format!("Missing lock for job {job}. {command}")),
            ErrorKind::WrongState => {
                Self::coded(-3, format!("Job {job} is not in the {state} state. {command}"))
            }
            ErrorKind::PendingChildren => {
                Self::coded(-4, format!("Job {job} has pending dependencies. {command}"))
            }
            ErrorKind::LockedByAnother => {
                Self::coded(-6, format!("Lock mismatch for job {job}. Cmd {command} from {state}"))
            }
            ErrorKind::FailedChildren => Self::coded(
                -9,
                format!("Cannot complete job {job} because it has at least one failed child. {command}"),
            ),
            _ => Self::of(error),
        }
    }

    /// The refusal of a job that has, or is to have, a parent. The store says the first two in BullMQ's words.
    pub(super) fn of_add(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::coded(-5, error.message()),
            ErrorKind::Refused if error.message().ends_with("cannot be replaced. addJob") => {
                Self::coded(-7, error.message())
            }
            _ => Self::of(error),
        }
    }

    /// The job whose slot is taken.
    pub(super) fn of_schedule(error: &Error, has_pattern: bool) -> Self {
        match (error.kind(), has_pattern) {
            (ErrorKind::Refused, true) => Self::coded(
                -10,
                "Cannot create job scheduler iteration - job ID already exists. addJobScheduler",
            ),
            (ErrorKind::Refused, false) => Self::coded(
                -11,
                "Cannot create job scheduler iteration - current and next time slots already have jobs. addJobScheduler",
            ),
            _ => Self::of(error),
        }
    }

    /// BullMQ's number, if it has one.
    pub(super) fn number(&self) -> Option<i32> {
        self.data.as_ref().and_then(|data| data.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_numbers_are_bullmqs() {
        let about = About { command: "moveToFinished", job: "7", state: "active" };
        for (kind, code, message) in [
            (ErrorKind::NotFound, -1, "Missing key for job 7. moveToFinished"),
            (ErrorKind::NotLocked, -2, "Missing lock for job 7. moveToFinished"),
            (ErrorKind::WrongState, -3, "Job 7 is not in the active state. moveToFinished"),
            (ErrorKind::PendingChildren, -4, "Job 7 has pending dependencies. moveToFinished"),
            (ErrorKind::LockedByAnother, -6, "Lock mismatch for job 7. Cmd moveToFinished from active"),
            (
                ErrorKind::FailedChildren,
                -9,
                "Cannot complete job 7 because it has at least one failed child. moveToFinished",
            ),
        ] {
            let failure = Failure::of_job(&Error::new(kind, "finish", "x"), about);
            assert_eq!((failure.number(), failure.message.as_str()), (Some(code), message));
            let name = failure.data.map(|data| data.name);
            assert_eq!(name, Some(if code == -9 { "UnrecoverableError" } else { "Error" }));
        }
        let closed = Failure::of(&Error::new(ErrorKind::Closed, "add", "closed"));
        assert_eq!((closed.message.as_str(), closed.number()), ("Connection is closed.", None));
    }
}
