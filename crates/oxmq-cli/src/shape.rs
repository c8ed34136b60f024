//! How jobs and the rest look as JSON: BullMQ's names, times in milliseconds since 1970.

use std::collections::BTreeMap;

use oxmq::store::{ChildCounts, ChildKind, JobCounts, ScheduleInfo};
use oxmq::{Job, JobState, JobView, JsonText, StoredEvent, Timestamp, Token};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

/// JSON of a store: as it is, or as text if it is none after all. One bad value must not hide the rest.
#[derive(Debug)]
struct Stored<'a>(&'a JsonText);

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(self.0.as_str()) {
            Ok(raw) => raw.serialize(serializer),
            Err(_) => serializer.serialize_str(self.0.as_str()),
        }
    }
}

/// A job.
#[derive(Debug)]
pub(crate) struct JobShape<'a> {
    job: &'a Job,
    state: Option<JobState>,
    due: Option<Timestamp>,
    token: Option<&'a Token>,
    children: Option<ChildCounts>,
}

impl JobShape<'_> {
    /// Tells how many children it has, too.
    pub(crate) fn with_children(mut self, children: ChildCounts) -> Self {
        self.children = Some(children);
        self
    }
}

impl<'a> From<&'a JobView> for JobShape<'a> {
    fn from(view: &'a JobView) -> Self {
        Self {
            job: &view.job,
            state: Some(view.state),
            due: view.due,
            token: view.token.as_ref(),
            children: None,
        }
    }
}

impl<'a> From<&'a Job> for JobShape<'a> {
    fn from(job: &'a Job) -> Self {
        Self { job, state: None, due: None, token: None, children: None }
    }
}

impl Serialize for JobShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let job = self.job;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", job.id.as_str())?;
        map.serialize_entry("name", &job.name)?;
        if let Some(state) = self.state {
            map.serialize_entry("state", state.as_str())?;
        }
        map.serialize_entry("data", &Stored(&job.data))?;
        map.serialize_entry("opts", &Stored(&job.opts))?;
        map.serialize_entry("timestamp", &job.timestamp.as_millis())?;
        map.serialize_entry("delay", &job.delay_ms)?;
        map.serialize_entry("priority", &job.priority)?;
        map.serialize_entry("attemptsStarted", &job.attempts_started)?;
        map.serialize_entry("attemptsMade", &job.attempts_made)?;
        map.serialize_entry("stalledCounter", &job.stalled_count)?;
        for (name, time) in
            [("due", self.due), ("processedOn", job.processed_on), ("finishedOn", job.finished_on)]
        {
            if let Some(time) = time {
                map.serialize_entry(name, &time.as_millis())?;
            }
        }
        if let Some(parent) = &job.parent {
            map.serialize_entry("parentKey", &parent.key.to_string())?;
        }
        let token = self.token.map(Token::as_str);
        for (name, text) in [
            ("processedBy", job.processed_by.as_deref()),
            ("token", token),
            ("deduplicationId", job.deduplication_id.as_deref()),
            ("deferredFailure", job.deferred_failure.as_deref()),
            ("failedReason", job.failed_reason.as_deref()),
            ("repeatJobKey", job.scheduler_id.as_deref()),
        ] {
            if let Some(text) = text {
                map.serialize_entry(name, text)?;
            }
        }
        for (name, json) in
            [("stacktrace", &job.stacktrace), ("returnvalue", &job.return_value), ("progress", &job.progress)]
        {
            if let Some(json) = json {
                map.serialize_entry(name, &Stored(json))?;
            }
        }
        if let Some(children) = self.children.filter(|children| children.total() > 0) {
            map.serialize_entry("children", &ChildrenShape(children))?;
        }
        map.end()
    }
}

/// How many children a job has of each kind, with BullMQ's names.
#[derive(Debug)]
pub(crate) struct ChildrenShape(pub(crate) ChildCounts);

impl Serialize for ChildrenShape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(ChildKind::ALL.map(|kind| (kind.as_str(), self.0.of(kind))))
    }
}

/// A schedule, by BullMQ's names; `ended` and what lies under `oxmq` are ours.
#[derive(Debug)]
pub(crate) struct ScheduleShape<'a>(pub(crate) &'a ScheduleInfo);

impl Serialize for ScheduleShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let info = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("key", &info.id)?;
        map.serialize_entry("name", &info.name)?;
        map.serialize_entry("next", &info.next.as_millis())?;
        map.serialize_entry("ended", &info.ended)?;
        map.serialize_entry("iterationCount", &info.made)?;
        let rule: BTreeMap<String, JsonText> =
            info.repeat.as_ref().and_then(|repeat| repeat.to_json().read().ok()).unwrap_or_default();
        for (name, json) in &rule {
            map.serialize_entry(name, &Stored(json))?;
        }
        let template = BTreeMap::from([("data", Stored(&info.data)), ("opts", Stored(&info.options))]);
        map.serialize_entry("template", &template)?;
        map.end()
    }
}

/// An event: its id and time, its name, and BullMQ's fields.
#[derive(Debug)]
pub(crate) struct EventShape<'a>(pub(crate) &'a StoredEvent);

impl Serialize for EventShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let StoredEvent { id, at, event } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", id.as_str())?;
        map.serialize_entry("at", &at.as_millis())?;
        map.serialize_entry("event", event.name())?;
        for (name, value) in event.fields() {
            // An event of the users' own may have a field of one of our names; ours is the one that is needed.
            if !["id", "at", "event"].contains(&name) {
                map.serialize_entry(name, &value)?;
            }
        }
        map.end()
    }
}

/// The states in the order in which people think of them.
pub(crate) const STATES: [JobState; 7] = [
    JobState::Waiting,
    JobState::Prioritized,
    JobState::Delayed,
    JobState::Active,
    JobState::WaitingChildren,
    JobState::Completed,
    JobState::Failed,
];

/// How many jobs are in each state: one flat object, with BullMQ's names of the states.
#[derive(Debug)]
pub(crate) struct CountsShape(pub(crate) JobCounts);

impl Serialize for CountsShape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for state in STATES {
            map.serialize_entry(state.as_str(), &self.0.of(state))?;
        }
        map.serialize_entry("paused", &self.0.paused)?;
        if let Some(until) = self.0.limited_until {
            map.serialize_entry("limitedUntil", &until.as_millis())?;
        }
        map.end()
    }
}
