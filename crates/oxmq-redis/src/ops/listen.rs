//! `Store::events` and `Store::publish`: `lua/events.lua`, `lua/publish.lua`.

use oxmq_core::store::{EventsPage, EventsRequest, TrimEventsRequest};
use oxmq_core::{Event, EventCursor, EventId, QueueAddress, Result, StoredEvent};

use crate::connection::StreamRead;
use crate::scripts::{EVENTS, PUBLISH, TRIM_EVENTS};
use crate::store::RedisStore;
use crate::wire::event::{entries, read_answer};
use crate::wire::reply::{self, Read};

/// The most events that one call gives.
const EVENTS_MAX: usize = 10_000;

/// Before every event.
const BEGINNING: &str = "0-0";

pub(crate) async fn events(
    store: &RedisStore,
    queue: &QueueAddress,
    request: EventsRequest,
) -> Result<EventsPage> {
    let limit = request.limit.clamp(1, EVENTS_MAX);
    let foreign = matches!(&request.after, EventCursor::After(id) if !is_stream_id(id.as_str()));
    let after = match &request.after {
        EventCursor::Now => "$",
        EventCursor::Oldest => "",
        // An id that is none of ours is older than all: the reader is told that it missed something.
        EventCursor::After(_) if foreign => "",
        EventCursor::After(id) => id.as_str(),
    };
    let mut call = store.script("events", queue, &EVENTS);
    call.arg(after).arg(limit);
    let answer = call.repeatable().await?;
    let read = || -> Read<(Vec<StoredEvent>, String, bool)> {
        let [found, last, gone] = reply::tuple::<3>(answer)?;
        Ok((entries(found)?, reply::text(last)?, reply::int(gone)? == 1))
    };
    let (events, last, gone) = read().map_err(|bad| bad.into_error("events"))?;
    if request.after == EventCursor::Now {
        let cursor = EventCursor::After(EventId::stored(last));
        return Ok(EventsPage { events, cursor, trimmed: false });
    }
    let trimmed = gone || (foreign && !events.is_empty());
    if !events.is_empty() || trimmed || request.timeout.is_zero() {
        return Ok(page(request.after, events, trimmed));
    }
    let after = if after.is_empty() { BEGINNING } else { after };
    let read = StreamRead {
        key: store.keys(queue).key("events"),
        after: after.into(),
        limit,
        timeout: request.timeout,
    };
    let answer = store.hub().read_stream(read).await?;
    let events = read_answer(answer).map_err(|bad| bad.into_error("events"))?;
    Ok(page(request.after, events, false))
}

fn page(after: EventCursor, events: Vec<StoredEvent>, trimmed: bool) -> EventsPage {
    let cursor = events.last().map_or(after, |event| EventCursor::After(event.id.clone()));
    EventsPage { events, cursor, trimmed }
}

/// `1700000000000-0`, or the part before `-`.
fn is_stream_id(text: &str) -> bool {
    let (ms, number) = text.split_once('-').unwrap_or((text, "0"));
    ms.parse::<u64>().is_ok() && number.parse::<u64>().is_ok()
}

pub(crate) async fn publish(store: &RedisStore, queue: &QueueAddress, event: Event) -> Result<EventId> {
    let mut call = store.script("publish", queue, &PUBLISH);
    call.arg(event.name());
    for (field, value) in event.fields() {
        call.arg(field).arg(value.as_ref());
    }
    let answer = call.once().await?;
    reply::text(answer).map(EventId::stored).map_err(|bad| bad.into_error("publish"))
}

pub(crate) async fn trim_events(
    store: &RedisStore,
    queue: &QueueAddress,
    request: TrimEventsRequest,
) -> Result<u64> {
    let mut call = store.script("trim_events", queue, &TRIM_EVENTS);
    call.arg(request.keep).arg(u8::from(request.from_now_on));
    reply::count(call.repeatable().await?).map_err(|bad| bad.into_error("trim_events"))
}
