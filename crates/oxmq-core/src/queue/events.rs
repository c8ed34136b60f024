//! A stream of what happens in a queue, from a cursor on.

use std::collections::VecDeque;
use std::time::Duration;

use super::Queue;
use crate::error::Result;
use crate::events::{EventCursor, StoredEvent};
use crate::store::EventsRequest;

/// How many events are read in one call.
const EVENTS_PER_CALL: usize = 500;

/// How long one call waits for an event before it is made again.
const EVENTS_WAIT: Duration = Duration::from_secs(10);

/// What an [`EventStream`] gives.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// Something happened.
    Event(StoredEvent),
    /// Events between the last one and the next are gone: the reader was too slow, or the cursor too old.
    Trimmed,
}

/// The events of a queue, one after the other, for ever. Made by [`Queue::events`].
///
/// It is resumable: keep [`cursor`](Self::cursor), and begin from it later, in another process if need be.
#[derive(Debug)]
pub struct EventStream {
    queue: Queue,
    cursor: EventCursor,
    ahead: VecDeque<StoredEvent>,
    ahead_cursor: EventCursor,
    trimmed: bool,
}

impl Queue {
    /// The events of this queue from `from` on. With [`EventCursor::Now`] nothing that happens after this call
    /// returned is missed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn events(&self, from: EventCursor) -> Result<EventStream> {
        let cursor = match from {
            EventCursor::Now => {
                let request = EventsRequest { after: EventCursor::Now, limit: 1, timeout: Duration::ZERO };
                self.inner.store.events(&self.inner.address, request).await?.cursor
            }
            other => other,
        };
        let ahead_cursor = cursor.clone();
        Ok(EventStream { queue: self.clone(), cursor, ahead: VecDeque::new(), ahead_cursor, trimmed: false })
    }
}

impl EventStream {
    /// The next event; waits for it as long as it takes. Dropping the wait loses nothing.
    ///
    /// # Errors
    /// Those of the store; call again to go on from the same place.
    pub async fn next(&mut self) -> Result<Notice> {
        loop {
            if let Some(notice) = self.pop() {
                return Ok(notice);
            }
            self.read(EVENTS_WAIT).await?;
        }
    }

    /// The next event if it is there already.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn try_next(&mut self) -> Result<Option<Notice>> {
        if let Some(notice) = self.pop() {
            return Ok(Some(notice));
        }
        self.read(Duration::ZERO).await?;
        Ok(self.pop())
    }

    /// The place after the last event that was given.
    pub fn cursor(&self) -> &EventCursor {
        &self.cursor
    }

    fn pop(&mut self) -> Option<Notice> {
        if std::mem::take(&mut self.trimmed) {
            return Some(Notice::Trimmed);
        }
        let event = self.ahead.pop_front()?;
        self.cursor = EventCursor::After(event.id.clone());
        Some(Notice::Event(event))
    }

    async fn read(&mut self, timeout: Duration) -> Result<()> {
        let request = EventsRequest { after: self.ahead_cursor.clone(), limit: EVENTS_PER_CALL, timeout };
        let page = self.queue.inner.store.events(&self.queue.inner.address, request).await?;
        self.trimmed = page.trimmed;
        self.ahead_cursor = page.cursor;
        self.ahead.extend(page.events);
        Ok(())
    }
}
