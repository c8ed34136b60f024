//! The hash of a job.

use std::collections::BTreeMap;

use oxmq_core::{ChildFailure, Job, JobId, JobKey, JobState, JobView, JsonText, Parent, Timestamp, Token};
use redis::Value;

use super::options::from_wire;
use super::reply::{Malformed, Read, list, maybe_text, text, tuple};

/// Reads a job from its hash: fields, each followed by its value. Those that are not known are passed over.
pub(crate) fn job(id: String, hash: Vec<Value>) -> Read<Job> {
    // A hash without them was made by taking an id that stands for no job, as BullMQ does.
    let mut job =
        Job::new(JobId::from(id), String::new(), JsonText::empty_object(), JsonText::empty_object());
    let small = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    let time = |number: Option<i64>| number.map(Timestamp::from_millis);
    let mut made_before = None;
    let (mut parent_key, mut parent) = (None, None);
    let mut values = hash.into_iter();
    while let Some(field) = values.next() {
        let value = values.next().ok_or_else(|| Malformed::new("a value of a field", &field))?;
        let Value::BulkString(field) = field else {
            return Err(Malformed::new("the name of a field", &field));
        };
        let number = |value| -> Read<Option<i64>> { Ok(maybe_text(value)?.as_deref().and_then(whole)) };
        match field.as_slice() {
            b"name" => job.name = text(value)?,
            b"data" => job.data = JsonText::stored(text(value)?),
            b"opts" => job.opts = from_wire(text(value)?),
            b"timestamp" => job.timestamp = time(number(value)?).unwrap_or(job.timestamp),
            b"delay" => job.delay_ms = number(value)?.unwrap_or(0),
            b"priority" => job.priority = small(number(value)?),
            b"ats" => job.attempts_started = small(number(value)?),
            b"atm" => job.attempts_made = small(number(value)?),
            b"stc" => job.stalled_count = small(number(value)?),
            b"processedOn" => job.processed_on = time(number(value)?),
            b"finishedOn" => job.finished_on = time(number(value)?),
            b"pb" => job.processed_by = maybe_text(value)?,
            b"defa" => job.deferred_failure = maybe_text(value)?,
            b"failedReason" => job.failed_reason = maybe_text(value)?,
            b"stacktrace" => job.stacktrace = maybe_text(value)?.map(JsonText::stored),
            b"returnvalue" => job.return_value = maybe_text(value)?.map(JsonText::stored),
            b"progress" => job.progress = maybe_text(value)?.map(JsonText::stored),
            b"attemptsMade" => made_before = number(value)?,
            b"rjk" => job.scheduler_id = maybe_text(value)?,
            b"deid" => job.deduplication_id = maybe_text(value)?,
            b"parentKey" => parent_key = maybe_text(value)?,
            b"parent" => parent = maybe_text(value)?,
            _ => {}
        }
    }
    // What very old versions wrote counts first, as it does for Node.
    if made_before.is_some() {
        job.attempts_made = small(made_before);
    }
    job.parent = parent_key.and_then(|key| parent_of(&key, parent.as_deref()));
    Ok(job)
}

/// Reads a job that is as it was added, without a delay or a tie to others.
pub(crate) fn fresh_job(id: String, [name, data, opts, timestamp, priority]: [Value; 5]) -> Read<Job> {
    let data = JsonText::stored(text(data)?);
    let mut job = Job::new(JobId::from(id), text(name)?, data, from_wire(text(opts)?));
    job.timestamp = Timestamp::from_millis(whole(&text(timestamp)?).unwrap_or(0));
    job.priority = whole(&text(priority)?).and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    Ok(job)
}

/// What the fields `parentKey` and `parent` say. The key is split with the help of the other field, which has the id.
fn parent_of(key: &str, parent: Option<&str>) -> Option<Parent> {
    let read = parent.and_then(|json| serde_json::from_str::<BTreeMap<String, JsonText>>(json).ok());
    let wire = read.unwrap_or_default();
    let is_set = |flag: &str| wire.get(flag).is_some_and(|value| value.as_str() == "true");
    let flags = ["fpof", "cpof", "idof", "rdof"].map(is_set);
    let on_failure = ChildFailure::ALL.into_iter().zip(flags).find_map(|(choice, set)| set.then_some(choice));
    let id = wire.get("id").and_then(|id| id.read::<String>().ok());
    let by_id = id.and_then(|id| {
        let queue = key.strip_suffix(&id)?.strip_suffix(':')?;
        JobKey::of(queue, id)
    });
    Some(Parent { key: by_id.or_else(|| JobKey::parse(key))?, on_failure })
}

/// Reads what `view()` of `lua/shared/view.lua` answers. A job that is in no list is `None`, too.
pub(crate) fn view(value: Value) -> Read<Option<JobView>> {
    if matches!(value, Value::Nil | Value::Boolean(false)) {
        return Ok(None);
    }
    let [id, state, due, token, fields] = tuple::<5>(value)?;
    let Some(state) = maybe_text(state)?.as_deref().and_then(state_of) else { return Ok(None) };
    let mut view = JobView::new(job(text(id)?, list(fields)?)?, state);
    view.due = maybe_text(due)?.as_deref().and_then(whole).map(Timestamp::from_millis);
    view.token = maybe_text(token)?.map(Token::new);
    Ok(Some(view))
}

/// The state by BullMQ's name in the keys.
pub(crate) fn state_of(name: &str) -> Option<JobState> {
    match name {
        "wait" | "waiting" | "paused" => Some(JobState::Waiting),
        _ => JobState::ALL.into_iter().find(|state| state.as_str() == name),
    }
}

/// BullMQ's name of the state in the keys.
pub(crate) fn state_key(state: JobState) -> &'static str {
    match state {
        JobState::Waiting => "wait",
        other => other.as_str(),
    }
}

/// A number as Node reads it: what stands before a fraction.
#[allow(clippy::cast_possible_truncation, reason = "as Node does: in range, or the nearest that is")]
fn whole(text: &str) -> Option<i64> {
    text.parse::<i64>()
        .ok()
        .or_else(|| text.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| n.trunc() as i64))
}
