//! All that lies under the keys of a queue, as JSON: to compare what two sides have written.

use std::collections::BTreeMap;

use redis::Value as Reply;
use serde_json::{Map, Value, json};

use crate::rig::Rig;
use crate::server;

/// Keys that say who has looked at the queue, and not what is there.
const MOMENTARY: [&str; 3] = ["marker", "stalled", "stalled-check"];

/// Everything in these queues, with names in place of what differs from run to run: `queue 0` for the first queue, `T`
/// for times, the number of stacks, and `id 0`.. for ids that were drawn at random, which are given.
pub fn of(rigs: &[&Rig], ids: &[&str]) -> Value {
    let mut all = Map::new();
    for rig in rigs {
        let base = format!("bull:{}:", rig.name);
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(format!("{base}*")).query(&mut server::connection()).unwrap();
        for key in keys {
            let suffix = &key[base.len()..];
            if !MOMENTARY.contains(&suffix) {
                all.insert(key.clone(), content(&key));
            }
        }
    }
    let mut text = Value::Object(all).to_string();
    // What our processors tell of themselves.
    text = text.replace("in rust", "in node").replace(r#"\"side\":\"rust\""#, r#"\"side\":\"node\""#);
    for (index, id) in ids.iter().enumerate() {
        text = text.replace(id, &format!("id {index}"));
    }
    for (index, rig) in rigs.iter().enumerate() {
        for end in [":", "\""] {
            text = text.replace(&format!("{}{end}", rig.name), &format!("the queue {index}{end}"));
        }
        text = text.replace(&format!("{} gate", rig.name), "the gate");
    }
    sorted(serde_json::from_str(&without_times(&text)).unwrap())
}

/// With the members of objects in order, whatever they were called before.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<String, Value> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            json!(members)
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

fn content(key: &str) -> Value {
    let mut connection = server::connection();
    let kind: String = redis::cmd("TYPE").arg(key).query(&mut connection).unwrap();
    let mut ask = |words: &[&str]| -> Reply {
        let mut command = redis::cmd(words[0]);
        command.arg(key).arg(&words[1..]);
        command.query(&mut connection).unwrap()
    };
    match kind.as_str() {
        "string" => plain(ask(&["GET"])),
        "list" => plain(ask(&["LRANGE", "0", "-1"])),
        "zset" => plain(ask(&["ZRANGE", "0", "-1", "WITHSCORES"])),
        "set" => {
            let Value::Array(mut members) = plain(ask(&["SMEMBERS"])) else { unreachable!() };
            members.sort_by_key(Value::to_string);
            members.into()
        }
        "hash" => {
            let Value::Array(pairs) = plain(ask(&["HGETALL"])) else { unreachable!() };
            let fields =
                pairs.chunks(2).map(|pair| field(pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
            fields.collect::<Map<_, _>>().into()
        }
        "stream" => {
            let Value::Array(entries) = plain(ask(&["XRANGE", "-", "+"])) else { unreachable!() };
            let entries = entries.into_iter().map(|mut entry| entry[1].take());
            entries.filter(|fields| fields[1] != "agent-hello").collect()
        }
        other => panic!("{key} is a {other}"),
    }
}

/// A field of a hash: JSON is read where its text may differ.
fn field(name: &str, text: &str) -> (String, Value) {
    let value = match name {
        "opts" | "parent" => serde_json::from_str(text).unwrap(),
        "stacktrace" => json!(serde_json::from_str::<Vec<String>>(text).unwrap().len()),
        _ => text.into(),
    };
    (name.into(), value)
}

fn plain(reply: Reply) -> Value {
    match reply {
        Reply::Array(items) | Reply::Set(items) => items.into_iter().map(plain).collect(),
        Reply::Map(pairs) => pairs.into_iter().flat_map(|(key, value)| [plain(key), plain(value)]).collect(),
        Reply::BulkString(bytes) => String::from_utf8(bytes).unwrap().into(),
        Reply::Int(number) => number.into(),
        Reply::Double(number) => number.to_string().into(),
        other => panic!("{other:?}"),
    }
}

/// `T` in place of numbers of 10 digits and more, with their fractions; a delay of about a minute is one of a minute.
fn without_times(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut digits = String::new();
    for c in text.chars().chain(std::iter::once(' ')) {
        if c.is_ascii_digit() || (c == '.' && digits.len() >= 10) {
            digits.push(c);
            continue;
        }
        if digits.len() >= 10 {
            result.push('T');
        } else if digits.parse::<u32>().is_ok_and(|number| (59_000..60_000).contains(&number)) {
            result.push_str("60000");
        } else {
            result.push_str(&digits);
        }
        digits.clear();
        result.push(c);
    }
    // A number outside of a text is not JSON any more.
    result.pop();
    result
        .replace(":T,", ":\"T\",")
        .replace(":T}", ":\"T\"}")
        .replace(",T]", ",\"T\"]")
        .replace(",T,", ",\"T\",")
}
