//! The body of an event row: a JSON array of `[name, job or null, ms after the row's time, field, value, ..]`.

use oxmq_core::{Event, Timestamp};
use serde_json::Value;

use crate::fault::{Sql, SqlFault};

/// Adds an event to a body that is still open.
pub(crate) fn push(body: &mut Vec<u8>, after_ms: i64, event: &Event) {
    body.push(if body.is_empty() { b'[' } else { b',' });
    body.push(b'[');
    text(body, event.name());
    body.push(b',');
    match &event.job {
        Some(job) => text(body, job.as_str()),
        None => body.extend_from_slice(b"null"),
    }
    body.push(b',');
    body.extend_from_slice(after_ms.to_string().as_bytes());
    for (field, value) in event.fields() {
        if field == "jobId" {
            continue;
        }
        body.push(b',');
        text(body, field);
        body.push(b',');
        text(body, &value);
    }
    body.push(b']');
}

/// Ends a body.
pub(crate) fn close(mut body: Vec<u8>) -> Sql<String> {
    body.push(b']');
    String::from_utf8(body).map_err(|error| SqlFault::Other(error.to_string()))
}

/// The events of a row whose time is `at`.
pub(crate) fn read(body: &str, at: i64) -> Sql<Vec<(Timestamp, Event)>> {
    let damaged = || SqlFault::Corrupt("an event row cannot be read".to_owned());
    let events: Vec<Vec<Value>> = serde_json::from_str(body).map_err(|_| damaged())?;
    events.into_iter().map(|event| read_event(event, at).ok_or_else(damaged)).collect()
}

fn read_event(event: Vec<Value>, at: i64) -> Option<(Timestamp, Event)> {
    let mut parts = event.into_iter();
    let name = string(parts.next()?)?;
    let job = parts.next()?;
    let at = at.saturating_add(parts.next()?.as_i64()?);
    let mut fields = Vec::with_capacity(3);
    if !job.is_null() {
        fields.push(("jobId".to_owned(), string(job)?));
    }
    while let Some(field) = parts.next() {
        fields.push((string(field)?, string(parts.next()?)?));
    }
    Some((Timestamp::from_millis(at), Event::from_fields(&name, fields)))
}

fn string(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn text(body: &mut Vec<u8>, text: &str) {
    // Text into memory cannot fail.
    let _ = serde_json::to_writer(body, text);
}

#[cfg(test)]
mod tests {
    use oxmq_core::{EventKind, JobId, JsonText};

    use super::*;

    #[test]
    fn events_survive_the_way_there_and_back() {
        let job = JobId::from("a \"quoted\" id\u{0}\u{1F600}");
        let events = [
            Event::of(&job, EventKind::Added { name: "n\n".into() }),
            Event::of(&job, EventKind::Waiting { prev: None }),
            Event::of(
                &job,
                EventKind::Completed { return_value: JsonText::stored("{\"a\":[1]}"), prev: "active".into() },
            ),
            Event::queue(EventKind::Drained),
            Event::queue(EventKind::Custom { name: "mine".into(), fields: vec![("k".into(), "v".into())] }),
        ];
        let mut body = Vec::new();
        for (index, event) in events.iter().enumerate() {
            push(&mut body, i64::try_from(index).unwrap() - 1, event);
        }
        let back = read(&close(body).unwrap(), 1_000).unwrap();
        assert_eq!(back.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>(), events);
        assert_eq!(back[4].0, Timestamp::from_millis(1_003));
    }

    #[test]
    fn a_damaged_body_is_an_error_and_not_a_panic() {
        for body in
            ["", "[", "{}", "[1]", "[[]]", "[[\"a\"]]", "[[\"a\",null,\"x\"]]", "[[\"a\",null,0,\"k\"]]"]
        {
            assert!(matches!(read(body, 0), Err(SqlFault::Corrupt(_))), "{body}");
        }
    }
}
