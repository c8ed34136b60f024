//! One error type for everything: a kind to match on, the operation, the facts, the source.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`].
///
/// A kind says what happened to the data: everything but [`ErrorKind::Ambiguous`] means that the call changed
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The job (or queue, or worker) does not exist, or does so no more.
    NotFound,
    /// The job is not leased to anybody: the lease ran out, or it was never taken.
    NotLocked,
    /// The job is leased to another token.
    LockedByAnother,
    /// The job is not in a state from which this move exists.
    WrongState,
    /// The lease is good, but somebody asked for the job to be cancelled; the message is their reason.
    CancelRequested,
    /// The job has children that have not ended, so it cannot complete.
    PendingChildren,
    /// A child of the job has failed, and fails the job with it, so it can neither complete nor wait.
    FailedChildren,
    /// A rule of the queue forbids it (obliterate with active jobs, a job that somebody works on, ..).
    Refused,
    /// The input is wrong; the message names the field, the value and the remedy.
    Invalid,
    /// The store cannot be reached or did not answer in time, and the call was certainly not applied.
    Unavailable,
    /// The connection broke after the call was sent: it may or may not have been applied.
    Ambiguous,
    /// There is no space left to store it.
    Full,
    /// The store can be read, but not written.
    ReadOnly,
    /// The stored data is damaged, or is not ours.
    Corrupt,
    /// The file or database was deleted or replaced under us.
    Gone,
    /// The data was written by a newer version than this one knows.
    Newer,
    /// This store or build cannot do that.
    Unsupported,
    /// The thing is closed, or about to close.
    Closed,
    /// A fault of ours; please report it with the message.
    Internal,
}

impl ErrorKind {
    /// Whether the same call may work later, with nothing changed by the caller.
    ///
    /// True for [`Unavailable`](Self::Unavailable), [`Full`](Self::Full) and [`Ambiguous`](Self::Ambiguous); after the last one, repeat only what is
    /// harmless when done twice (an add with an id of its own, a finish).
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Unavailable | Self::Full | Self::Ambiguous)
    }

    /// The kind as one lower-case word, as used in logs and JSON: `not_found`, `locked_by_another`, ..
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotLocked => "not_locked",
            Self::LockedByAnother => "locked_by_another",
            Self::WrongState => "wrong_state",
            Self::CancelRequested => "cancel_requested",
            Self::PendingChildren => "pending_children",
            Self::FailedChildren => "failed_children",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
            Self::Ambiguous => "ambiguous",
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Corrupt => "corrupt",
            Self::Gone => "gone",
            Self::Newer => "newer",
            Self::Unsupported => "unsupported",
            Self::Closed => "closed",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error: what kind, of which operation, about what, caused by what.
///
/// Cheap to clone, because one failed call to a store may have to be told to many callers.
///
/// ```
/// use oxmq_core::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::NotFound, "promote", "there is no such job").with("job", "17");
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert_eq!(error.to_string(), "promote: there is no such job (job=17)");
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    message: String,
    context: Vec<(&'static str, String)>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A new error of `operation`, which is the verb of the public API: `add`, `take`, `promote`, ..
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, operation, message: message.into(), context: Vec::new(), source: None }))
    }

    /// Bad input: `field` had `value`, and `remedy` is what to do instead.
    pub fn invalid(
        operation: &'static str,
        field: &'static str,
        value: impl fmt::Display,
        remedy: impl fmt::Display,
    ) -> Self {
        let value: String = value.to_string().chars().take(200).collect();
        Self::new(ErrorKind::Invalid, operation, format!("`{field}` is {value}: {remedy}"))
    }

    /// Adds a fact: the queue, the job, the path.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        Arc::make_mut(&mut self.0).context.push((key, value.to_string()));
        self
    }

    /// Adds what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).source = Some(Arc::new(source));
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The verb that failed.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What happened, without the operation and the facts.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The facts, in the order they were added.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(key, value)| (*key, value.as_str()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.operation, self.0.message)?;
        for (index, (key, value)) in self.0.context.iter().enumerate() {
            write!(f, "{}{key}={value}", if index == 0 { " (" } else { ", " })?;
        }
        if self.0.context.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error[{}]({self}", self.0.kind)?;
        if let Some(source) = &self.0.source {
            write!(f, "; caused by: {source}")?;
        }
        f.write_str(")")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
