//! Reads a recording. Those of part B (spec/vectors/B-*.json) are written in another form than those of part A: they
//! are brought into that of part A here, with the queue named `vec`, and times as numbers.

use std::path::Path;

use serde_json::{Map, Value, json};

/// The scenarios of part B whose queue is not called `q`.
const QUEUES: [(&str, &str); 1] = [("B-M02", "q2")];

/// When the clock of part B starts.
const T0: i64 = 1_700_000_000_000;

/// A recording in the form of part A.
pub(crate) fn read(file: &Path) -> Value {
    let document: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    if document.get("clock_start").is_some() { document } else { from_part_b(&document) }
}

fn from_part_b(document: &Value) -> Value {
    let mut length = 0;
    let queue = QUEUES.iter().find(|(id, _)| document["id"] == *id).map_or("q", |(_, queue)| queue);
    let steps = document["steps"].as_array().unwrap().iter().map(|step| step_of(step, queue, &mut length));
    json!({ "id": document["id"], "clock_start": T0, "steps": steps.collect::<Vec<_>>() })
}

/// One step; `length` is that of the stream of events.
fn step_of(step: &Value, queue: &str, length: &mut usize) -> Value {
    let mut events = Vec::new();
    for (stream, entries) in step["events"].as_object().into_iter().flatten() {
        if key_of(stream, queue).is_some() {
            events.extend(entries.as_array().unwrap().iter().map(event_of));
        }
    }
    *length += events.len();
    let mut is = Map::new();
    is.insert("step".into(), step["op"].clone());
    is.insert("now".into(), json!(number(step["at"].as_str().unwrap()).unwrap()));
    is.insert("ops".into(), json!([]));
    is.insert("events".into(), events.into());
    match &step["result"] {
        Value::Object(error) if error.contains_key("error") => {
            is.insert("error".into(), json!({ "code": error.get("code"), "message": error["error"] }));
        }
        result => {
            is.insert("returned".into(), plain(result));
        }
    }
    if let Some(keys) = step["keys"].as_object() {
        let mut found: Map<String, Value> =
            keys.iter().filter_map(|(key, entry)| Some((key_of(key, queue)?, entry_of(entry)))).collect();
        if *length > 0 {
            found.insert("bull:vec:events".into(), json!({ "type": "stream", "length": *length }));
        }
        is.insert("keys".into(), found.into());
    }
    is.into()
}

/// The name of a key of the queue that is replayed; none of another queue's.
fn key_of(key: &str, queue: &str) -> Option<String> {
    let rest = key.strip_prefix("bull:")?.strip_prefix(queue)?.strip_prefix(':')?;
    Some(format!("bull:vec:{rest}"))
}

/// The fields of events in the order in which BullMQ writes them, which is lost in part B; others come last.
const FIELDS: [&str; 11] = [
    "event",
    "jobId",
    "name",
    "deduplicationId",
    "deduplicatedJobId",
    "delay",
    "returnvalue",
    "failedReason",
    "attemptsMade",
    "data",
    "prev",
];

/// `[[field, value], ..]`
fn event_of(event: &Value) -> Value {
    let place = |field: &str| FIELDS.iter().position(|known| *known == field).unwrap_or(FIELDS.len());
    let mut pairs: Vec<_> = event.as_object().unwrap().iter().collect();
    pairs.sort_by_key(|(field, _)| place(field));
    pairs.into_iter().map(|(field, value)| json!([field, plain(value)])).collect()
}

fn entry_of(entry: &Value) -> Value {
    let value = &entry["value"];
    let mut is = match entry["type"].as_str().unwrap() {
        "hash" => {
            let fields = value.as_object().unwrap().iter();
            let fields: Map<String, Value> =
                fields.map(|(name, value)| (name.clone(), plain(value))).collect();
            json!({ "type": "hash", "fields": fields })
        }
        "list" => json!({ "type": "list", "items": plain(value) }),
        "set" => json!({ "type": "set", "members": plain(value) }),
        "zset" => json!({ "type": "zset", "members": plain(value) }),
        "string" => json!({ "type": "string", "value": plain(value) }),
        other => panic!("a {other}"),
    };
    if let Some(bound) = entry["pttl"].as_str().and_then(|bound| bound.strip_prefix("<=")) {
        is["pttl_up_to_ms"] = bound.parse::<i64>().unwrap().into();
    }
    is
}

/// A value with its times as numbers: those are texts, as everything in Redis.
fn plain(value: &Value) -> Value {
    match value {
        Value::String(text) => number(text).map_or_else(|| value.clone(), |number| json!(number.to_string())),
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        other => other.clone(),
    }
}

/// What `<T0+5>` and `<(T0+5)*4096+1>` stand for.
fn number(text: &str) -> Option<i64> {
    let inner = text.strip_prefix('<')?.strip_suffix('>')?;
    if let Some(score) = inner.strip_prefix('(') {
        let (time, order) = score.split_once(")*4096+")?;
        return Some(after(time)? * 4096 + order.parse::<i64>().ok()?);
    }
    after(inner)
}

fn after(text: &str) -> Option<i64> {
    match text.strip_prefix("T0")? {
        "" => Some(T0),
        ms => Some(T0 + ms.parse::<i64>().ok()?),
    }
}
