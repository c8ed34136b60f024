//! What is in a queue's keys, as a value that can be compared by meaning, and the differences between two of them.
//!
//! Rules, for every scenario alike:
//! - JSON texts (data, opts, returnvalue, progress, stacktrace, parent) are compared as values.
//! - `opts` was written by the server's Lua in the recordings, which loses `null` members, writes an empty list as
//!   `{}` and keeps 14 digits of a number; ours is written as it was given. Both are read with these losses.
//! - Keys that expire must do so, within the bound that was recorded.
//! - Stacks that were recorded only by their number are compared by that.
//! - `meta` has no `version` here: only the constructor of Node's `Queue` writes it, and nobody reads it.
//! - Our own keys, `P::oxmq:..`, are left out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use redis::Connection;
use serde_json::{Map, Value, json};

/// The key space of the queue: what each key holds, and the time to live where there is one.
#[derive(Debug, Default, Clone)]
pub(crate) struct Keys(BTreeMap<String, (Value, Option<i64>)>);

/// Before the keys of the recorded queue.
pub(crate) const BASE: &str = "bull:vec:";

/// Before our own.
const OWN: &str = "bull::oxmq:vec:";

/// Fields of a hash that are JSON.
const JSON_FIELDS: [&str; 6] = ["opts", "data", "returnvalue", "progress", "stacktrace", "parent"];

/// What stands for stacks of which only the number was recorded.
const STACKS: &str = "<json array of ";

/// A value in one form: numbers that are whole as whole ones, all of 14 digits if `lossy`.
pub(crate) fn plain(value: &Value, lossy: bool) -> Value {
    match value {
        Value::Number(number) => {
            let float = number.as_f64().unwrap();
            let float: f64 = if lossy { format!("{float:.13e}").parse().unwrap() } else { float };
            #[allow(clippy::cast_possible_truncation, reason = "only whole numbers below 2^53")]
            if float.fract() == 0.0 && float.abs() < 9e15 { json!(float as i64) } else { json!(float) }
        }
        Value::Array(list) if list.is_empty() && lossy => json!({}),
        Value::Array(list) => list.iter().map(|value| plain(value, lossy)).collect(),
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !(lossy && value.is_null()));
            Value::Object(kept.map(|(name, value)| (name.clone(), plain(value, lossy))).collect())
        }
        other => other.clone(),
    }
}

/// A field of a hash.
pub(crate) fn field(name: &str, value: &Value) -> Value {
    let json = match value {
        Value::Object(object) => object.get("$json").cloned(),
        Value::String(text) if name == "stacktrace" && text.starts_with(STACKS) => {
            let count = text[STACKS.len()..].split_once(' ').and_then(|(count, _)| count.parse().ok());
            Some(vec![json!(STACKS); count.unwrap()].into())
        }
        Value::String(text) if JSON_FIELDS.contains(&name) => serde_json::from_str(text).ok(),
        _ => None,
    };
    json.map_or_else(|| value.clone(), |json| plain(&json, name == "opts"))
}

fn hash<'a>(key: &str, fields: impl Iterator<Item = (&'a String, &'a Value)>) -> Value {
    let fields = fields.filter(|(name, _)| (key, name.as_str()) != ("meta", "version"));
    Value::Object(fields.map(|(name, value)| (name.clone(), field(name, value))).collect())
}

fn zset<'a>(members: impl Iterator<Item = (&'a str, f64)>) -> Value {
    Value::Object(members.map(|(member, score)| (member.to_owned(), plain(&json!(score), false))).collect())
}

impl Keys {
    /// As they were recorded.
    pub(crate) fn recorded(keys: &Map<String, Value>) -> Self {
        let read = |(key, entry): (&String, &Value)| {
            let key = key.strip_prefix(BASE).unwrap().to_owned();
            let texts = |name: &str| entry[name].as_array().unwrap().clone();
            let value = match entry["type"].as_str().unwrap() {
                "hash" => hash(&key, entry["fields"].as_object().unwrap().iter()),
                "list" => Value::Array(texts("items")),
                "set" => Value::Array(texts("members")),
                "zset" => {
                    let members = entry["members"].as_array().unwrap().iter();
                    zset(members.map(|member| {
                        (member[0].as_str().unwrap(), member[1].as_str().unwrap().parse().unwrap())
                    }))
                }
                "string" => entry["value"].clone(),
                "stream" => json!({ "length": entry["length"] }),
                other => panic!("a {other}"),
            };
            (key, (value, entry["pttl_up_to_ms"].as_i64()))
        };
        Self(keys.iter().map(read).collect())
    }

    /// As they are on the server now; `surplus` events of the stream were counted as differences before.
    pub(crate) fn found(raw: &mut Connection, surplus: i64) -> Self {
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(raw).unwrap();
        let mut found = BTreeMap::new();
        for full in keys {
            let Some(key) = full.strip_prefix(BASE) else {
                assert!(full.starts_with(OWN), "{full} belongs to nobody");
                continue;
            };
            let mut ask = |command: &str, args: &[&str]| -> redis::Value {
                redis::cmd(command).arg(&full).arg(args).query(raw).unwrap()
            };
            let text = |value: redis::Value| -> String { redis::from_redis_value(value).unwrap() };
            let texts = |value: redis::Value| -> Vec<String> { redis::from_redis_value(value).unwrap() };
            let value = match text(ask("TYPE", &[])).as_str() {
                "hash" => {
                    let fields: BTreeMap<String, String> =
                        redis::from_redis_value(ask("HGETALL", &[])).unwrap();
                    let fields: BTreeMap<_, _> =
                        fields.into_iter().map(|(name, text)| (name, json!(text))).collect();
                    hash(key, fields.iter())
                }
                "list" => json!(texts(ask("LRANGE", &["0", "-1"]))),
                "set" => {
                    let mut members = texts(ask("SMEMBERS", &[]));
                    members.sort();
                    json!(members)
                }
                "zset" => {
                    let members: Vec<(String, f64)> =
                        redis::from_redis_value(ask("ZRANGE", &["0", "-1", "WITHSCORES"])).unwrap();
                    zset(members.iter().map(|(member, score)| (member.as_str(), *score)))
                }
                "string" => json!(text(ask("GET", &[]))),
                "stream" => {
                    let length: i64 = redis::from_redis_value(ask("XLEN", &[])).unwrap();
                    json!({ "length": length - surplus })
                }
                other => panic!("a {other}"),
            };
            let ttl: i64 = redis::from_redis_value(ask("PTTL", &[])).unwrap();
            found.insert(key.to_owned(), (value, (ttl >= 0).then_some(ttl)));
        }
        Self(found)
    }

    /// How `found` differs from these, one line each.
    pub(crate) fn differences(&self, found: &Self, lines: &mut Vec<String>) {
        let mut names: Vec<&String> = self.0.keys().chain(found.0.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let (Some((was, bound)), Some((is, ttl))) = (self.0.get(name), found.0.get(name)) else {
                let show =
                    |side: &Self| side.0.get(name).map_or("-".to_owned(), |(value, _)| value.to_string());
                lines.push(format!("{name}: {} -> {}", show(self), show(found)));
                continue;
            };
            match (was, is) {
                (Value::Object(was), Value::Object(is)) => {
                    let mut fields: Vec<&String> = was.keys().chain(is.keys()).collect();
                    fields.sort();
                    fields.dedup();
                    for field in fields {
                        let (was, is) = (was.get(field), is.get(field));
                        if was != is && !are_as_many_stacks(was, is) {
                            let show = |side: Option<&Value>| side.map_or("-".to_owned(), Value::to_string);
                            lines.push(format!("{name}.{field}: {} -> {}", show(was), show(is)));
                        }
                    }
                }
                _ if was != is => lines.push(format!("{name}: {was} -> {is}")),
                _ => {}
            }
            match (bound, ttl) {
                (None, None) => {}
                // The recordings are rounded up to seconds; that it is about as long, a test on a busy machine may say.
                (Some(bound), Some(ttl)) if ttl <= bound && (ttl * 2 > *bound || *bound < 10_000) => {}
                _ => {
                    let show = |ms: &Option<i64>| ms.map_or("never".to_owned(), |ms| format!("in {ms} ms"));
                    lines.push(format!("{name} expires: {} -> {}", show(bound), show(ttl)));
                }
            }
        }
    }
}

/// Whether the stacks were recorded only by their number, and are as many.
fn are_as_many_stacks(was: Option<&Value>, is: Option<&Value>) -> bool {
    let lists = was.and_then(Value::as_array).zip(is.and_then(Value::as_array));
    lists.is_some_and(|(was, is)| was.len() == is.len() && was.iter().all(|stack| stack == STACKS))
}

/// Events as lines of text: `completed jobId=1 returnvalue=7 prev=active`.
pub(crate) fn event_line<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut line = String::new();
    for (name, value) in pairs {
        if name == "event" && line.is_empty() {
            value.clone_into(&mut line);
        } else if name == "returnvalue" || name == "data" {
            let json = serde_json::from_str(value).map(|json| plain(&json, false));
            let json = json.unwrap_or_else(|_| panic!("{name}={value} is no JSON"));
            let _ = write!(line, " {name}={json}");
        } else {
            let _ = write!(line, " {name}={value}");
        }
    }
    line
}

/// How the events differ: what is left without the beginning and the end that are the same.
pub(crate) fn event_difference(was: &[String], is: &[String]) -> Option<String> {
    let same = was.iter().zip(is).take_while(|(was, is)| was == is).count();
    let (was, is) = (&was[same..], &is[same..]);
    if was.is_empty() && is.is_empty() {
        return None;
    }
    let same = was.iter().rev().zip(is.iter().rev()).take_while(|(was, is)| was == is).count();
    let show = |lines: &[String]| lines[..lines.len() - same].join(", ");
    Some(format!("events: [{}] -> [{}]", show(was), show(is)))
}
