//! Reads of streams that wait: all on one connection, each from its own position.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use oxmq_core::{Error, ErrorKind, Result};
use redis::{Value, from_redis_value};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::blocking::{self, Asked, Desk, slice};
use super::home::Lane;
use super::shared::{Shared, locked};
use super::{Call, StreamRead, calls};

/// A position in a stream.
type Id = (u64, u64);

/// All who read.
#[derive(Default)]
pub(super) struct Events {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    readers: Vec<Reader>,
    connections: HashMap<u16, Arc<Notify>>,
}

struct Reader {
    number: u64,
    key: String,
    group: u16,
    after: Id,
    limit: usize,
    until: Instant,
    answer: oneshot::Sender<Result<Value>>,
}

/// Somebody's read.
struct Reading {
    shared: Arc<Shared>,
    number: u64,
    group: u16,
    answer: oneshot::Receiver<Result<Value>>,
}

impl Future for Reading {
    type Output = Result<Value>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map(|answer| match answer {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(ErrorKind::Closed, "events", "the store was closed")),
        })
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut state = locked(&self.shared.events.state);
        let count = state.readers.len();
        state.readers.retain(|reader| reader.number != self.number);
        if state.readers.len() < count
            && let Some(wake) = state.connections.get(&self.group)
        {
            wake.notify_one();
        }
    }
}

impl Events {
    /// Reads, and waits if there is nothing.
    pub(super) async fn read(shared: Arc<Shared>, read: StreamRead, lane: Lane) -> Result<Value> {
        let after =
            if read.after == "$" { last(&shared, &read.key, lane).await? } else { read.after.clone() };
        if read.timeout.is_zero() {
            let mut command = redis::cmd("XREAD");
            command.arg("COUNT").arg(read.limit.max(1)).arg("STREAMS").arg(&read.key).arg(&after);
            return now(&shared, &read.key, command, lane).await;
        }
        let after = id(&after)
            .ok_or_else(|| Error::invalid("events", "after", &after, "use an id: MS-NUMBER, or $"))?;
        begin(&shared, read, after).await
    }
}

fn begin(shared: &Arc<Shared>, read: StreamRead, after: Id) -> Reading {
    let (sender, answer) = oneshot::channel();
    let group = shared.routes.group(&read.key);
    let mut state = locked(&shared.events.state);
    let number = state.next;
    state.next += 1;
    state.readers.push(Reader {
        number,
        key: read.key.clone(),
        group,
        after,
        limit: read.limit.max(1),
        until: Instant::now() + read.timeout,
        answer: sender,
    });
    if let Some(wake) = state.connections.get(&group) {
        wake.notify_one();
    } else {
        let wake = Arc::new(Notify::new());
        state.connections.insert(group, wake.clone());
        let desk = Arc::new(EventDesk { shared: shared.clone(), group });
        shared.runtime.spawn(blocking::serve(shared.clone(), desk, wake, read.key));
    }
    drop(state);
    Reading { shared: shared.clone(), number, group, answer }
}

/// The id of the newest entry, as `$` would mean something else in each slice of a wait.
async fn last(shared: &Arc<Shared>, key: &str, lane: Lane) -> Result<String> {
    let mut command = redis::cmd("XREVRANGE");
    command.arg(key).arg("+").arg("-").arg("COUNT").arg(1);
    let reply = now(shared, key, command, lane).await?;
    let newest = reply.as_sequence().and_then(<[_]>::first).and_then(entry_id);
    Ok(newest.map_or_else(|| "0-0".to_owned(), |(ms, number)| format!("{ms}-{number}")))
}

async fn now(shared: &Arc<Shared>, key: &str, command: redis::Cmd, lane: Lane) -> Result<Value> {
    let call =
        Call { operation: "events", slot_key: key.to_owned(), command, script: None, repeatable: true };
    calls::run(shared.clone(), call, Arc::new(AtomicBool::new(false)), lane, None).await
}

fn id(text: &str) -> Option<Id> {
    let (ms, number) = text.split_once('-').unwrap_or((text, "0"));
    Some((ms.parse().ok()?, number.parse().ok()?))
}

fn entry_id(entry: &Value) -> Option<Id> {
    match entry.as_sequence()?.first()? {
        Value::BulkString(text) => id(std::str::from_utf8(text).ok()?),
        _ => None,
    }
}

struct EventDesk {
    shared: Arc<Shared>,
    group: u16,
}

impl EventDesk {
    /// The position from which every stream must be read, and the longest wait.
    fn wanted(&self) -> (HashMap<String, Id>, usize, Option<Instant>) {
        let state = locked(&self.shared.events.state);
        let mut from: HashMap<String, Id> = HashMap::new();
        let (mut limit, mut until) = (1, None);
        for reader in state.readers.iter().filter(|reader| reader.group == self.group) {
            let position = from.entry(reader.key.clone()).or_insert(reader.after);
            *position = (*position).min(reader.after);
            limit = limit.max(reader.limit);
            until = until.max(Some(reader.until));
        }
        (from, limit, until)
    }
}

impl Desk for EventDesk {
    fn client_name(&self) -> Option<&str> {
        None
    }

    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut state = locked(&self.shared.events.state);
        for reader in state.readers.extract_if(.., |reader| reader.group == self.group && reader.until <= now)
        {
            let _ = reader.answer.send(Ok(Value::Nil));
        }
        state.readers.iter().filter(|reader| reader.group == self.group).map(|reader| reader.until).min()
    }

    fn ask(&self, longest: Duration) -> Option<Asked> {
        let (from, limit, until) = self.wanted();
        let wait = slice(until?, longest);
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(limit).arg("BLOCK").arg(u64::try_from(wait.as_millis()).unwrap_or(1).max(1));
        command.arg("STREAMS");
        // A key stands for itself and its position: a reader from before is served only by another block.
        let keys = from.iter().map(|(key, after)| mark(key, *after)).collect();
        for key in from.keys() {
            command.arg(key);
        }
        for (ms, number) in from.values() {
            command.arg(format!("{ms}-{number}"));
        }
        Some(Asked { command, keys, wait })
    }

    fn covers(&self, asked: &Asked) -> bool {
        // A reader from a later position has nothing to gain from another block, unless nobody reads from before.
        self.wanted().0.iter().all(|(key, after)| asked.keys.contains(&mark(key, *after)))
    }

    fn answer(&self, reply: Value) {
        let streams = match from_redis_value::<Option<Vec<(Value, Value)>>>(reply) {
            Ok(streams) => streams.unwrap_or_default(),
            Err(error) => {
                let error =
                    Error::new(ErrorKind::Corrupt, "events", "the stream cannot be read").caused_by(error);
                return self.refuse(&error);
            }
        };
        let mut state = locked(&self.shared.events.state);
        for (name, entries) in streams {
            let (Value::BulkString(key), Value::Array(entries)) = (&name, entries) else { continue };
            let mut index = 0;
            while index < state.readers.len() {
                let reader = &state.readers[index];
                if reader.key.as_bytes() != key.as_slice() {
                    index += 1;
                    continue;
                }
                let is_new = |entry: &&Value| entry_id(entry).is_some_and(|id| id > reader.after);
                let news: Vec<Value> = entries.iter().filter(is_new).take(reader.limit).cloned().collect();
                if news.is_empty() {
                    index += 1;
                    continue;
                }
                let reader = state.readers.remove(index);
                let stream = Value::Array(vec![name.clone(), Value::Array(news)]);
                let _ = reader.answer.send(Ok(Value::Array(vec![stream])));
            }
        }
    }

    fn refuse(&self, error: &Error) {
        let mut state = locked(&self.shared.events.state);
        for reader in state.readers.extract_if(.., |reader| reader.group == self.group) {
            let _ = reader.answer.send(Err(error.clone()));
        }
    }

    fn retire(&self) -> bool {
        let mut state = locked(&self.shared.events.state);
        let is_idle = state.readers.iter().all(|reader| reader.group != self.group);
        if is_idle {
            state.connections.remove(&self.group);
        }
        is_idle
    }
}

fn mark(key: &str, (ms, number): Id) -> String {
    format!("{ms}-{number} {key}")
}
