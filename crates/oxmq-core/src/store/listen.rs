//! Requests and answers of the section "listen".

use std::time::Duration;

use crate::clock::Timestamp;
use crate::events::{EventCursor, StoredEvent};

/// Which events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsRequest {
    /// From where.
    pub after: EventCursor,
    /// The most to give, at least 1; one call gives at most 10,000.
    pub limit: usize,
    /// How long to wait for the first, in real time; zero does not wait.
    pub timeout: Duration,
}

/// Events, and where to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct EventsPage {
    /// The events, oldest first.
    pub events: Vec<StoredEvent>,
    /// Where to go on: after the last of them, or where it was asked from.
    pub cursor: EventCursor,
    /// Whether events between the place asked for and these are gone.
    pub trimmed: bool,
}

/// How many of a queue's events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrimEventsRequest {
    /// At least so many, the newest.
    pub keep: u64,
    /// Whether that many are kept from now on, too; a queue begins with 10,000.
    pub from_now_on: bool,
    /// The time of the call.
    pub now: Timestamp,
}
