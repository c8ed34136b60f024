//! Recordings of part B (B-*.json) in the form of those of part A, so that both are replayed alike.

use serde_json::{Map, Value, json};

/// The queue of the recordings of part B, and that of the replay.
const QUEUE: (&str, &str) = ("bull:q:", "bull:vec:");

/// Codes of Node's refusals, which are refusals here.
const REFUSALS: [i64; 3] = [-8, -10, -11];

/// A recording as one of part A; those are left as they are.
pub(crate) fn normalised(document: Value) -> Value {
    let Some(start) = document["clock"]["T0"].as_i64() else { return document };
    let mut written = 0;
    let steps = document["steps"].as_array().unwrap().iter().map(|step| one(step, start, &mut written));
    let steps: Vec<Value> = steps.collect();
    json!({ "id": document["id"], "clock_start": start, "steps": steps })
}

fn one(step: &Value, start: i64, written: &mut usize) -> Value {
    let mut events = Vec::new();
    for entries in step["events"].as_object().unwrap().values() {
        for event in entries.as_array().unwrap() {
            let mut pairs: Vec<Value> = vec![json!(["event", event["event"]])];
            let others = event.as_object().unwrap().iter().filter(|(name, _)| *name != "event");
            // The order of the fields is lost in the recording; it is that of the scripts.
            let order = ["jobId", "name", "delay", "returnvalue", "failedReason", "prev"];
            let mut others: Vec<_> = others.collect();
            others.sort_by_key(|(name, _)| order.iter().position(|known| known == name));
            pairs.extend(others.into_iter().map(|(name, value)| json!([name, symbols(value, start, false)])));
            events.push(Value::Array(pairs));
        }
    }
    *written += events.len();
    let mut normal =
        json!({ "step": step["op"], "now": symbols(&step["at"], start, true), "events": events, "ops": [] });
    let result = symbols(&step["result"], start, true);
    if result.get("error").is_some() {
        let code = result["code"].as_i64().filter(|code| !REFUSALS.contains(code));
        normal["error"] = json!({ "message": result["error"], "code": code });
    } else {
        normal["returned"] = result;
    }
    if let Some(keys) = step["keys"].as_object() {
        let mut found: Map<String, Value> =
            keys.iter().map(|(key, entry)| key_of(key, entry, start)).collect();
        if *written > 0 {
            found.insert(format!("{}events", QUEUE.1), json!({ "type": "stream", "length": written }));
        }
        normal["keys"] = Value::Object(found);
    }
    normal
}

fn key_of(key: &str, entry: &Value, start: i64) -> (String, Value) {
    let name = match entry["type"].as_str().unwrap() {
        "hash" => "fields",
        "list" => "items",
        "set" | "zset" => "members",
        _ => "value",
    };
    let mut normal = json!({ "type": entry["type"], name: symbols(&entry["value"], start, false) });
    if let Some(bound) = entry["pttl"].as_str().and_then(|bound| bound.strip_prefix("<=")) {
        normal["pttl_up_to_ms"] = json!(bound.parse::<i64>().unwrap());
    }
    let key = text(key, start).replacen(QUEUE.0, QUEUE.1, 1);
    (key, normal)
}

/// The value with times in place of their symbols: as numbers where they were numbers.
fn symbols(value: &Value, start: i64, numbers: bool) -> Value {
    match value {
        Value::String(symbol) => {
            let plain = text(symbol, start);
            match plain.parse::<i64>() {
                Ok(number) if numbers && symbol.starts_with('<') && symbol.ends_with('>') => json!(number),
                _ => json!(plain),
            }
        }
        Value::Array(values) => values.iter().map(|value| symbols(value, start, numbers)).collect(),
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| (text(name, start), symbols(value, start, numbers || name == "$json")));
            Value::Object(members.filter(|(_, value)| value != "<undefined>").collect())
        }
        other => other.clone(),
    }
}

/// The text with `<T0+5>` and `<(T0+5)*4096+1>` written out.
fn text(symbol: &str, start: i64) -> String {
    let mut plain = String::new();
    let mut rest = symbol;
    while let Some(at) = rest.find('<') {
        plain.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('>') else { break };
        let inner = &rest[at + 1..at + end];
        match time(inner, start) {
            Some(number) => plain.push_str(&number.to_string()),
            None => plain.push_str(&rest[at..=at + end]),
        }
        rest = &rest[at + end + 1..];
    }
    plain.push_str(rest);
    plain
}

fn time(inner: &str, start: i64) -> Option<i64> {
    let ms = |text: &str| -> Option<i64> {
        let offset = text.strip_prefix("T0")?;
        Some(start + if offset.is_empty() { 0 } else { offset.parse::<i64>().ok()? })
    };
    match inner.strip_prefix('(').and_then(|rest| rest.split_once(")*4096+")) {
        Some((time, order)) => Some(ms(time)? * 4096 + order.parse::<i64>().ok()?),
        None => ms(inner),
    }
}
