//! Listening: events, and the wait for work. The only requests that last.

use std::time::Duration;

use oxmq::store::{EventsRequest, TrimEventsRequest, WaitRequest, Woken};
use oxmq::{Event, EventCursor, EventId, QueueAddress, StoredEvent};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::call::{Call, Outcome, answer, count};
use super::ctx::ms;
use super::errors::Failure;

/// The most events that one answer has; the next one goes on behind them.
const EVENTS_PER_ANSWER: usize = 1_000;

/// The longest that one request waits. Callers ask again.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// The end of the stream.
const NOW: &str = "$";

fn failed(error: &oxmq::Error) -> Failure {
    Failure::of(error)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    id: String,
    block_timeout: Option<f64>,
}

/// Whether events are asked for that come from now on.
pub(super) fn is_from_now(call: &Call) -> bool {
    call.read::<Read>().is_ok_and(|read| read.id == NOW)
}

/// Where a request for events goes on from: `$` is the end of the stream, now. To be asked in the order of the requests, so that what is
/// added after it is read.
pub(super) async fn from_where(call: &Call) -> Result<EventCursor, Failure> {
    let Read { id, .. } = call.read()?;
    Ok(match &*id {
        NOW => {
            let request = EventsRequest { after: EventCursor::Now, limit: 1, timeout: Duration::ZERO };
            call.store().events(&call.address()?, request).await.map_err(|error| failed(&error))?.cursor
        }
        "0" | "0-0" | "" => EventCursor::Oldest,
        _ => EventCursor::After(EventId::stored(id)),
    })
}

/// The events after a place, once there are any; and where to go on.
pub(super) async fn read_events(call: &Call, after: EventCursor) -> Result<(String, EventCursor), Failure> {
    let Read { block_timeout, .. } = call.read()?;
    let queue = call.address()?;
    let timeout = ms(block_timeout.unwrap_or(0.0)).min(WAIT_MAX);
    let request = EventsRequest { after, limit: EVENTS_PER_ANSWER, timeout };
    let mut page = call.store().events(&queue, request).await.map_err(|error| failed(&error))?;
    if page.events.is_empty() && page.trimmed {
        // What the place was in is gone, the queue was obliterated, and nothing has come since. BullMQ knows no gaps: its reader
        // would ask again at once, and again, for as long as nothing comes.
        let request = EventsRequest { after: EventCursor::Oldest, limit: EVENTS_PER_ANSWER, timeout };
        page = call.store().events(&queue, request).await.map_err(|error| failed(&error))?;
    }
    Ok((shown(&queue, &page.events)?, page.cursor))
}

/// As XREAD answers: `[[stream, [[id, [field, value, ..]], ..]]]`, or nothing.
fn shown(queue: &QueueAddress, events: &[StoredEvent]) -> Outcome {
    if events.is_empty() {
        return answer(&None::<()>);
    }
    let entries: Vec<Value> = events
        .iter()
        .map(|stored| {
            let mut flat: Vec<Value> = vec!["event".into(), stored.event.name().into()];
            flat.extend(
                stored
                    .event
                    .fields()
                    .into_iter()
                    .flat_map(|(name, value)| [Value::from(name), Value::from(&*value)]),
            );
            json!([stored.id.as_str(), flat])
        })
        .collect();
    answer(&json!([[format!("{queue}:events"), entries]]))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wait {
    block_timeout: f64,
}

/// Waits until there may be something to take.
pub(super) async fn wait_for_job(call: &Call, worker: Option<String>) -> Outcome {
    let Wait { block_timeout } = call.read()?;
    let seconds = if block_timeout.is_finite() { block_timeout.max(0.0) } else { 0.0 };
    let timeout = Duration::try_from_secs_f64(seconds).unwrap_or(WAIT_MAX).min(WAIT_MAX);
    let woken = call.store().wait(&call.address()?, WaitRequest { worker, timeout }).await;
    answer(&match woken.map_err(|error| failed(&error))? {
        Woken::Look => json!({ "member": "0", "score": 0 }),
        Woken::Due(at) => json!({ "member": "1", "score": at.as_millis() }),
        _ => Value::Null,
    })
}

/// An event of the users' own.
pub(super) async fn publish(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        fields: Map<String, Value>,
    }
    let Params { mut fields } = call.read()?;
    let name = fields.remove("event").map(|name| text(&name)).unwrap_or_default();
    let fields = fields.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let event = Event::from_fields(&name, fields);
    let id = call.store().publish(&call.address()?, event, call.now).await.map_err(|error| failed(&error))?;
    answer(id.as_str())
}

/// All that a stream holds is text.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) async fn trim(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        max_length: f64,
    }
    let Params { max_length } = call.read()?;
    let request = TrimEventsRequest { keep: count(max_length), from_now_on: false, now: call.now };
    answer(&call.store().trim_events(&call.address()?, request).await.map_err(|error| failed(&error))?)
}
