//! `Store::take`: `lua/take.lua`.

use oxmq_core::store::{GROUP_JOBS_MAX, Idle, TakeRequest, Taken};
use oxmq_core::{Lease, LeasedJob, QueueAddress, Result, Timestamp, millis};
use redis::{Cmd, Value};

use crate::scripts::TAKE;
use crate::store::RedisStore;
use crate::wire::job::{fresh_job, job};
use crate::wire::reply::{self, Malformed, Read};

pub(crate) async fn take(store: &RedisStore, queue: &QueueAddress, request: TakeRequest) -> Result<Taken> {
    let mut call = store.script("take", queue, &TAKE);
    write(&mut call.command, &request);
    let answer = call.once().await?;
    read(store, answer, &request).map_err(|bad| bad.into_error("take"))
}

/// Writes a demand, as `read_demand` in `lua/shared/take.lua` reads it.
pub(super) fn write(command: &mut Cmd, request: &TakeRequest) {
    command
        .arg(request.now.as_millis())
        .arg(request.limit.min(GROUP_JOBS_MAX))
        .arg(request.token.as_str())
        .arg(millis(request.lease_for).max(1))
        .arg(request.worker.as_deref().unwrap_or(""));
    match request.rate_limit {
        Some(limit) => command.arg(limit.max).arg(millis(limit.window).max(1)),
        None => command.arg("").arg(""),
    };
    command.arg(u8::from(request.until_needs_rate));
}

/// Reads the answer to a demand.
pub(super) fn read(store: &RedisStore, value: Value, request: &TakeRequest) -> Read<Taken> {
    // A list ends at the first nothing that is in it.
    let mut values = reply::list(value)?.into_iter();
    let jobs = values.next().unwrap_or(Value::Nil);
    let why = values.next().map_or(Ok(None), reply::maybe_text)?;
    let at = values.next().map_or(Ok(None), reply::maybe_text)?;
    let at = match at {
        None => None,
        Some(text) => match text.parse() {
            Ok(ms) => Some(Timestamp::from_millis(ms)),
            Err(_) => return Err(Malformed::new("a time", &Value::SimpleString(text))),
        },
    };
    let mut found = reply::list(jobs)?.into_iter();
    let mut jobs = Vec::with_capacity(found.len() / 6);
    while let Some(id) = found.next() {
        let id = reply::text(id)?;
        let mut next = || found.next().unwrap_or(Value::Nil);
        let mut job = match next() {
            Value::Array(hash) => job(id, hash)?,
            name => fresh_job(id, [name, next(), next(), next(), next()])?,
        };
        store.name_parent(&mut job);
        // As it is stored now: the hash was read before.
        job.attempts_started = job.attempts_started.saturating_add(1);
        job.processed_on = Some(request.now);
        if request.worker.is_some() {
            job.processed_by.clone_from(&request.worker);
        }
        let lease = Lease { job: job.id.clone(), token: request.token.clone() };
        jobs.push(LeasedJob { job, lease });
    }
    let idle = match (why.as_deref(), at) {
        (None, _) => None,
        (Some("empty"), next_due) => Some(Idle::Empty { next_due }),
        (Some("paused"), _) => Some(Idle::Paused),
        (Some("full"), _) => Some(Idle::Full),
        (Some("limited"), Some(until)) => Some(Idle::RateLimited { until }),
        (Some(other), _) => return Err(Malformed::new("a reason", &Value::SimpleString(other.into()))),
    };
    Ok(Taken { jobs, idle })
}
