//! The hash of a job. Twin: `JOB_FIELDS` in `lua/shared/job.lua`.

use std::collections::BTreeMap;

use oxmq_core::{ChildFailure, Job, JobId, JobKey, JobState, JobView, JsonText, Parent, Timestamp, Token};
use redis::Value;

use super::options::from_wire;
use super::reply::{Malformed, Read, list, maybe_text, text, tuple};

/// How many fields of a job scripts answer with.
const FIELDS: usize = 22;

/// Reads a job from its fields.
pub(crate) fn job(id: String, fields: impl IntoIterator<Item = Value>) -> Read<Job> {
    let mut fields = fields.into_iter();
    let mut next = || -> Read<Option<String>> {
        let value = fields.next().ok_or_else(|| Malformed::new("one more field of a job", &Value::Nil))?;
        maybe_text(value)
    };
    let (name, data, opts) = (next()?, next()?, next()?);
    // A hash without them was made by taking an id that stands for no job, as BullMQ does.
    let name = name.unwrap_or_default();
    let data = data.map_or_else(JsonText::empty_object, JsonText::stored);
    let opts = opts.map_or_else(JsonText::empty_object, from_wire);
    let mut job = Job::new(JobId::from(id), name, data, opts);
    let mut number = || -> Read<Option<i64>> { Ok(next()?.as_deref().and_then(whole)) };
    let small = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    job.timestamp = Timestamp::from_millis(number()?.unwrap_or(0));
    job.delay_ms = number()?.unwrap_or(0);
    job.priority = small(number()?);
    job.attempts_started = small(number()?);
    job.attempts_made = small(number()?);
    job.stalled_count = small(number()?);
    job.processed_on = number()?.map(Timestamp::from_millis);
    job.finished_on = number()?.map(Timestamp::from_millis);
    job.processed_by = next()?;
    job.deferred_failure = next()?;
    job.failed_reason = next()?;
    job.stacktrace = next()?.map(JsonText::stored);
    job.return_value = next()?.map(JsonText::stored);
    job.progress = next()?.map(JsonText::stored);
    // What very old versions wrote counts first, as it does for Node.
    if let Some(made) = next()?.as_deref().and_then(whole) {
        job.attempts_made = small(Some(made));
    }
    job.scheduler_id = next()?;
    job.deduplication_id = next()?;
    let (parent_key, parent) = (next()?, next()?);
    job.parent = parent_key.and_then(|key| parent_of(&key, parent.as_deref()));
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
    let fields = list(fields)?;
    if fields.len() != FIELDS {
        return Err(Malformed::new("the fields of a job", &Value::Array(fields)));
    }
    let Some(state) = maybe_text(state)?.as_deref().and_then(state_of) else { return Ok(None) };
    let mut view = JobView::new(job(text(id)?, fields)?, state);
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
