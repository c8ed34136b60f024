//! How queues, jobs and leases are named.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// The prefix of a queue when none is given: BullMQ's.
pub const DEFAULT_PREFIX: &str = "bull";

/// The longest name of a queue, prefix or job, and the longest own id, in bytes.
pub const NAME_BYTES_MAX: usize = 512;

/// Which queue is meant: a prefix, which several programs may share a store by, and a name.
///
/// ```
/// use oxmq_core::QueueAddress;
///
/// let queue = QueueAddress::new("emails").unwrap();
/// assert_eq!(queue.to_string(), "bull:emails");
/// assert!(QueueAddress::new("a:b").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueAddress {
    prefix: Arc<str>,
    name: Arc<str>,
}

impl QueueAddress {
    /// The queue `name` under the default prefix.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): the name is empty, longer than [`NAME_BYTES_MAX`], or contains `:`.
    pub fn new(name: impl Into<Arc<str>>) -> Result<Self> {
        Self::with_prefix(DEFAULT_PREFIX, name)
    }

    /// The queue `name` under `prefix`, which may contain `:`.
    ///
    /// # Errors
    /// As [`new`](Self::new); the prefix must not be empty either.
    pub fn with_prefix(prefix: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Result<Self> {
        let (prefix, name) = (prefix.into(), name.into());
        check_length("prefix", &prefix)?;
        check_length("queue", &name)?;
        if name.contains(':') {
            return Err(Error::invalid("queue", "queue", &name, "a queue's name must not contain `:`"));
        }
        Ok(Self { prefix, name })
    }

    /// The prefix; `bull` unless chosen otherwise.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name, as users know it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn check_length(field: &'static str, text: &str) -> Result<()> {
    if text.is_empty() {
        return Err(Error::invalid("queue", field, "empty", "give it a name"));
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(Error::invalid("queue", field, text, format!("use at most {NAME_BYTES_MAX} bytes")));
    }
    Ok(())
}

impl fmt::Display for QueueAddress {
    /// The qualified name, as BullMQ writes it: `prefix:name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.prefix, self.name)
    }
}

/// The id of a job, unique in its queue: a decimal counter, or the text that the producer chose.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Arc<str>);

/// Words that name something else in a queue of BullMQ's, and so cannot be ids.
const RESERVED_IDS: [&str; 23] = [
    "meta",
    "id",
    "wait",
    "paused",
    "active",
    "prioritized",
    "pc",
    "delayed",
    "completed",
    "failed",
    "waiting-children",
    "marker",
    "events",
    "stalled",
    "stalled-check",
    "limiter",
    "repeat",
    "de",
    "dn",
    "metrics",
    "priority",
    "delay",
    "oxmq",
];

impl JobId {
    /// An id that came from a store or from another program; not checked.
    pub fn stored(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// An id chosen by a producer, by BullMQ's rules.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): empty or too long; a whole number (those are given by the queue); contains `:` other
    /// than as exactly three parts; `0` or begins with `0:`; the name of one of a queue's own keys.
    pub fn chosen(id: impl Into<Arc<str>>) -> Result<Self> {
        let id = id.into();
        let refuse = |remedy: &str| Err(Error::invalid("add", "job_id", &*id, remedy));
        if id.is_empty() {
            return Err(Error::invalid("add", "job_id", "empty", "leave it out to have one given"));
        }
        if id.len() > NAME_BYTES_MAX {
            return refuse("use at most 512 bytes");
        }
        if &*id == "0" || id.starts_with("0:") {
            return refuse("it must not be `0` or begin with `0:`");
        }
        if is_canonical_integer(&id) {
            return refuse(
                "it must not be a whole number, because those are given by the queue; add a letter",
            );
        }
        if id.contains(':') && id.split(':').count() != 3 {
            return refuse("it must not contain `:`");
        }
        if RESERVED_IDS.contains(&&*id) {
            return refuse("that word names a part of the queue; choose another");
        }
        Ok(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the queue gave it: a producer's own is no number.
    pub(crate) fn is_automatic(&self) -> bool {
        is_canonical_integer(&self.0)
    }
}

/// Whether `text` is what an integer prints as: `12`, `-7`; not `007`, `1.5`, `-0`.
fn is_canonical_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    canonical && (digits == "0" && digits == text || !digits.starts_with('0'))
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for JobId {
    /// For looking a job up; not checked.
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for JobId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl From<&JobId> for JobId {
    fn from(id: &JobId) -> Self {
        id.clone()
    }
}

/// A job anywhere in a store: its queue and its id.
///
/// ```
/// use oxmq_core::JobKey;
///
/// let key = JobKey::parse("bull:emails:17").unwrap();
/// assert_eq!((key.queue.name(), key.id.as_str()), ("emails", "17"));
/// assert_eq!(key.to_string(), "bull:emails:17");
/// assert!(JobKey::parse("17").is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey {
    /// Its queue.
    pub queue: QueueAddress,
    /// Its id in that queue.
    pub id: JobId,
}

impl JobKey {
    /// A job of a queue.
    pub fn new(queue: QueueAddress, id: impl Into<JobId>) -> Self {
        Self { queue, id: id.into() }
    }

    /// Reads `prefix:queue:id` from the right, as BullMQ does: an id that contains `:` is read wrongly. `None` if it is no such text.
    pub fn parse(key: &str) -> Option<Self> {
        let (queue, id) = key.rsplit_once(':')?;
        Self::of(queue, id)
    }

    /// A job of the queue with this qualified name, `prefix:queue`; `None` if it is no such name.
    pub fn of(qualified: &str, id: impl Into<JobId>) -> Option<Self> {
        let (prefix, name) = qualified.rsplit_once(':')?;
        Some(Self { queue: QueueAddress::with_prefix(prefix, name).ok()?, id: id.into() })
    }
}

impl fmt::Display for JobKey {
    /// The key, as BullMQ writes it: `prefix:queue:id`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.queue, self.id)
    }
}

/// The text that says whose a lease is. Several jobs may be held by one token; `0` means: no locking.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(Arc<str>);

impl Token {
    /// A token of the caller's choosing.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The token that switches locking off: jobs taken with it have no lease, and every check is passed.
    pub fn none() -> Self {
        Self("0".into())
    }

    /// Whether this is the token that switches locking off.
    pub fn is_none(&self) -> bool {
        &*self.0 == "0"
    }

    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_ids_follow_bullmqs_rules() {
        for good in ["a", "007", "1.5", "-0", "a:b:c", "order-17", "-07"] {
            assert!(JobId::chosen(good).is_ok(), "{good}");
        }
        for bad in ["", "0", "12", "-7", "a:b", "a:b:c:d", "0:1:2", "meta", "wait"] {
            assert!(JobId::chosen(bad).is_err(), "{bad}");
        }
    }
}
