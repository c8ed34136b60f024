//! Entries of the stream of events.

use oxmq_core::{Event, EventId, StoredEvent, Timestamp};
use redis::Value;

use super::reply::{Malformed, Read, list, text, tuple};

/// Reads `[id, [field, value, ..]]`, as XRANGE gives it.
pub(crate) fn entry(value: Value) -> Read<StoredEvent> {
    let [id, fields] = tuple::<2>(value)?;
    let id = text(id)?;
    let at = id.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or(0);
    let mut texts = list(fields)?.into_iter();
    let (mut name, mut fields) = (String::new(), Vec::new());
    while let Some(field) = texts.next() {
        let field = text(field)?;
        let value = text(texts.next().ok_or_else(|| Malformed::new("a value", &Value::Nil))?)?;
        if field == "event" && name.is_empty() {
            name = value;
        } else {
            fields.push((field, value));
        }
    }
    let event = Event::from_fields(&name, fields);
    Ok(StoredEvent { id: EventId::stored(id), at: Timestamp::from_millis(at), event })
}

/// Reads a list of entries.
pub(crate) fn entries(value: Value) -> Read<Vec<StoredEvent>> {
    list(value)?.into_iter().map(entry).collect()
}

/// Reads the answer of XREAD for one stream: nothing, `[[key, entries]]`, or a map of that.
pub(crate) fn read_answer(value: Value) -> Read<Vec<StoredEvent>> {
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::Map(mut streams) => streams.pop().map_or(Ok(Vec::new()), |(_, found)| entries(found)),
        other => match list(other)?.pop() {
            Some(stream) => {
                let [_, found] = tuple::<2>(stream)?;
                entries(found)
            }
            None => Ok(Vec::new()),
        },
    }
}
