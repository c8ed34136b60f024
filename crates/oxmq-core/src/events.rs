//! What happened in a queue: events, their names and fields (BullMQ's), and the cursor to read them from.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::address::JobId;
use crate::clock::Timestamp;
use crate::json::JsonText;

/// Something that happened in a queue, at a place in its stream of events.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Its place; to continue after it.
    pub id: EventId,
    /// When the store wrote it.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// The place of an event in its queue's stream. Opaque; grows from event to event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventId(Arc<str>);

impl EventId {
    /// An id as a store writes it.
    pub fn stored(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id as text; to be kept, and given to [`EventId::stored`] later.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where to read events from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum EventCursor {
    /// From the oldest that is still there.
    Oldest,
    /// Only those that are written after this call.
    #[default]
    Now,
    /// After this one.
    After(EventId),
}

/// Something that happened in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Which job, if it is about one.
    pub job: Option<JobId>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened. The names and fields are BullMQ's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The job was stored.
    Added {
        /// The job's name.
        name: String,
    },
    /// The job can be taken.
    Waiting {
        /// Where it came from (`delayed`, `active`, `failed`, `completed`, `waiting-children`); `None` for a new job.
        prev: Option<String>,
    },
    /// The job waits for its time.
    Delayed {
        /// When it is due.
        at: Timestamp,
    },
    /// The job waits for its children.
    WaitingChildren {
        /// Where it came from; `None` for a new job.
        prev: Option<String>,
    },
    /// A worker took the job.
    Active {
        /// Always `waiting`.
        prev: String,
    },
    /// The job reported progress.
    Progress {
        /// Any JSON.
        data: JsonText,
    },
    /// The job completed.
    Completed {
        /// What its handler returned.
        return_value: JsonText,
        /// Where it came from: `active`.
        prev: String,
    },
    /// The job failed for good.
    Failed {
        /// Why.
        reason: String,
        /// Where it came from: `active`; for a job cancelled before it ran, the state it was in.
        prev: String,
    },
    /// The job failed for good because all its tries are used up.
    RetriesExhausted {
        /// How many tries it had.
        attempts_made: u32,
    },
    /// The job's worker died; it waits again.
    Stalled,
    /// Nothing is left to take, and nothing is active.
    Drained,
    /// The queue was paused.
    Paused,
    /// The queue was resumed.
    Resumed,
    /// Jobs were cleaned.
    Cleaned {
        /// How many.
        count: u64,
    },
    /// The job was removed.
    Removed {
        /// The state it was in.
        prev: String,
    },
    /// A job with this id was added again, and was already there.
    Duplicated,
    /// A job was not added because another one stands for it.
    Deduplicated {
        /// The deduplication id.
        deduplication_id: String,
        /// The id that the job would have had.
        deduplicated_job: JobId,
    },
    /// An event of the users' own.
    Custom {
        /// Its name.
        name: String,
        /// Its fields.
        fields: Vec<(String, String)>,
    },
}

impl Event {
    /// An event about a job.
    pub fn of(job: &JobId, kind: EventKind) -> Self {
        Self { job: Some(job.clone()), kind }
    }

    /// An event about the queue.
    pub fn queue(kind: EventKind) -> Self {
        Self { job: None, kind }
    }

    /// BullMQ's name of it: `waiting`, `retries-exhausted`, ..
    pub fn name(&self) -> &str {
        match &self.kind {
            EventKind::Added { .. } => "added",
            EventKind::Waiting { .. } => "waiting",
            EventKind::Delayed { .. } => "delayed",
            EventKind::WaitingChildren { .. } => "waiting-children",
            EventKind::Active { .. } => "active",
            EventKind::Progress { .. } => "progress",
            EventKind::Completed { .. } => "completed",
            EventKind::Failed { .. } => "failed",
            EventKind::RetriesExhausted { .. } => "retries-exhausted",
            EventKind::Stalled => "stalled",
            EventKind::Drained => "drained",
            EventKind::Paused => "paused",
            EventKind::Resumed => "resumed",
            EventKind::Cleaned { .. } => "cleaned",
            EventKind::Removed { .. } => "removed",
            EventKind::Duplicated => "duplicated",
            EventKind::Deduplicated { .. } => "deduplicated",
            EventKind::Custom { name, .. } => name,
        }
    }

    /// Its fields after `event`, in BullMQ's order, as texts: `jobId`, `prev`, ..
    pub fn fields(&self) -> Vec<(&str, Cow<'_, str>)> {
        let mut fields: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(3);
        if let Some(job) = &self.job {
            fields.push(("jobId", job.as_str().into()));
        }
        match &self.kind {
            EventKind::Added { name } => fields.push(("name", name.into())),
            EventKind::Waiting { prev } | EventKind::WaitingChildren { prev } => {
                if let Some(prev) = prev {
                    fields.push(("prev", prev.into()));
                }
            }
            EventKind::Delayed { at } => fields.push(("delay", at.as_millis().to_string().into())),
            EventKind::Active { prev } | EventKind::Removed { prev } => fields.push(("prev", prev.into())),
            EventKind::Progress { data } => fields.push(("data", data.as_str().into())),
            EventKind::Completed { return_value, prev } => {
                fields.push(("returnvalue", return_value.as_str().into()));
                fields.push(("prev", prev.into()));
            }
            EventKind::Failed { reason, prev } => {
                fields.push(("failedReason", reason.into()));
                fields.push(("prev", prev.into()));
            }
            EventKind::RetriesExhausted { attempts_made } => {
                fields.push(("attemptsMade", attempts_made.to_string().into()));
            }
            EventKind::Cleaned { count } => fields.push(("count", count.to_string().into())),
            EventKind::Deduplicated { deduplication_id, deduplicated_job } => {
                fields.push(("deduplicationId", deduplication_id.into()));
                fields.push(("deduplicatedJobId", deduplicated_job.as_str().into()));
            }
            EventKind::Custom { fields: own, .. } => {
                fields.extend(own.iter().map(|(name, value)| (name.as_str(), value.as_str().into())));
            }
            EventKind::Stalled
            | EventKind::Drained
            | EventKind::Paused
            | EventKind::Resumed
            | EventKind::Duplicated => {}
        }
        fields
    }

    /// The event of this name and fields. One that is not known here, or whose fields are not as expected, is
    /// [`EventKind::Custom`]: nothing is lost, and nothing that a store holds can stop a reader.
    pub fn from_fields(name: &str, mut fields: Vec<(String, String)>) -> Self {
        let job = fields.iter().position(|(field, _)| field == "jobId").map(|index| fields.remove(index).1);
        let get =
            |wanted: &str| fields.iter().find(|(field, _)| field == wanted).map(|(_, value)| value.clone());
        let kind = (|| {
            Some(match name {
                "added" => EventKind::Added { name: get("name")? },
                "waiting" => EventKind::Waiting { prev: get("prev") },
                "waiting-children" => EventKind::WaitingChildren { prev: get("prev") },
                "delayed" => EventKind::Delayed { at: Timestamp::from_millis(get("delay")?.parse().ok()?) },
                "active" => EventKind::Active { prev: get("prev")? },
                "progress" => EventKind::Progress { data: JsonText::stored(get("data")?) },
                "completed" => EventKind::Completed {
                    return_value: JsonText::stored(get("returnvalue")?),
                    prev: get("prev").unwrap_or_default(),
                },
                "failed" => {
                    EventKind::Failed { reason: get("failedReason")?, prev: get("prev").unwrap_or_default() }
                }
                "retries-exhausted" => {
                    EventKind::RetriesExhausted { attempts_made: get("attemptsMade")?.parse().ok()? }
                }
                "stalled" => EventKind::Stalled,
                "drained" => EventKind::Drained,
                "paused" => EventKind::Paused,
                "resumed" => EventKind::Resumed,
                "cleaned" => EventKind::Cleaned { count: get("count")?.parse().ok()? },
                "removed" => EventKind::Removed { prev: get("prev")? },
                "duplicated" => EventKind::Duplicated,
                "deduplicated" => EventKind::Deduplicated {
                    deduplication_id: get("deduplicationId")?,
                    deduplicated_job: get("deduplicatedJobId")?.into(),
                },
                _ => return None,
            })
        })();
        let kind = kind.unwrap_or_else(|| EventKind::Custom { name: name.into(), fields });
        Self { job: job.map(JobId::from), kind }
    }
}
