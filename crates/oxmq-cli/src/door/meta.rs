//! What a queue is set to: its fields, its limits; and who is there.

use std::collections::{BTreeMap, BTreeSet};

use oxmq::store::{Limit, LimitRequest, SetMetaRequest};
use serde::Deserialize;
use serde_json::Value;

use super::call::{Call, Outcome, answer, done};
use super::clients::worker_name;
use super::ctx::ms;
use super::errors::Failure;

/// What BullMQ answers when nothing limits the queue.
const NO_LIMIT: i64 = -2;

fn failed(error: &oxmq::Error) -> Failure {
    Failure::of(error)
}

async fn read(call: &Call) -> Result<BTreeMap<String, String>, Failure> {
    call.store().meta(&call.address()?).await.map_err(|error| failed(&error))
}

#[derive(Deserialize)]
struct One {
    field: String,
}

#[derive(Deserialize)]
struct Several {
    fields: Vec<String>,
}

pub(super) async fn all(call: Call) -> Outcome {
    answer(&read(&call).await?)
}

pub(super) async fn field(call: Call) -> Outcome {
    let One { field } = call.read()?;
    answer(&read(&call).await?.remove(&field))
}

pub(super) async fn fields(call: Call) -> Outcome {
    let Several { fields } = call.read()?;
    let known = read(&call).await?;
    answer(&fields.iter().map(|name| known.get(name)).collect::<Vec<_>>())
}

pub(super) async fn has(call: Call) -> Outcome {
    let One { field } = call.read()?;
    answer(&read(&call).await?.contains_key(&field))
}

pub(super) async fn set(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        values: BTreeMap<String, Value>,
    }
    let Params { values } = call.read()?;
    let set = values.into_iter().map(|(name, value)| {
        // All that a hash holds is text.
        let text = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        (name, text)
    });
    let request = SetMetaRequest { set: set.collect(), remove: Vec::new(), now: call.now };
    answer(&change(&call, request).await?.added)
}

pub(super) async fn remove(call: Call) -> Outcome {
    let Several { fields } = call.read()?;
    let request = SetMetaRequest { set: Vec::new(), remove: fields, now: call.now };
    answer(&change(&call, request).await?.removed)
}

async fn change(call: &Call, request: SetMetaRequest) -> Result<oxmq::store::MetaChanged, Failure> {
    request.check().map_err(|error| failed(&error))?;
    call.store().set_meta(&call.address()?, request).await.map_err(|error| failed(&error))
}

async fn limit(call: &Call, limit: Limit) -> Result<(), Failure> {
    let request = LimitRequest { limit, now: call.now };
    call.store().limit(&call.address()?, request).await.map_err(|error| failed(&error))
}

pub(super) async fn set_rate_limit(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        expire_time_ms: f64,
    }
    let Params { expire_time_ms } = call.read()?;
    limit(&call, Limit::Until(Some(call.now + ms(expire_time_ms)))).await?;
    done()
}

/// Lifts the limit by hand, and ends the window of a rate; 1 if there was one.
pub(super) async fn remove_rate_limit(call: Call) -> Outcome {
    let limits = call.store().limits(&call.address()?, call.now).await.map_err(|error| failed(&error))?;
    limit(&call, Limit::Until(None)).await?;
    answer(&u8::from(limits.by_hand.is_some() || limits.window.is_some()))
}

/// How long the queue gives nothing to a worker that takes at most so many jobs in a window.
pub(super) async fn rate_limit_ttl(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        max_jobs: Option<f64>,
    }
    let Params { max_jobs } = call.read()?;
    let limits = call.store().limits(&call.address()?, call.now).await.map_err(|error| failed(&error))?;
    let most = max_jobs.map(super::call::count).or(limits.rate.map(|rate| u64::from(rate.max)));
    let until = limits.by_hand.or_else(|| {
        let full = limits.window.filter(|window| most.is_none_or(|most| window.taken >= most));
        full.map(|window| window.until)
    });
    let nothing = if most.is_some() { 0 } else { NO_LIMIT };
    answer(&until.map_or(nothing, |until| until.as_millis() - call.now.as_millis()))
}

/// BullMQ before its version 5 left such a key; no store of ours has one.
#[allow(clippy::unused_async, reason = "as all operations are")]
pub(super) async fn nothing(_call: Call) -> Outcome {
    answer(&0)
}

/// The objects that are open in this process, and the workers of others.
pub(super) async fn clients(call: Call) -> Outcome {
    let mut lines = call.door.clients.lines();
    let own: BTreeSet<String> =
        call.door.clients.workers().into_iter().map(|(_, worker)| worker.id).collect();
    // A client of no one queue has nobody else to ask for.
    if let Ok(queue) = call.address() {
        let workers = call.store().workers(&queue, call.now).await.map_err(|error| failed(&error))?;
        for worker in workers.into_iter().filter(|worker| !own.contains(&worker.id)) {
            let name = worker_name(&queue, worker.name.as_deref());
            let age = (call.now.as_millis() - worker.started_at).max(0) / 1_000;
            lines.push(format!("id={} addr={}:{} name={name} age={age}", worker.id, worker.host, worker.pid));
        }
    }
    answer(&[lines.join("\n")])
}
