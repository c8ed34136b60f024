//! Requests and answers of the section "listen".

use std::time::Duration;

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
