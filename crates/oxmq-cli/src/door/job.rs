//! A job as BullMQ's Node classes write and read it, and ours.

use std::collections::BTreeMap;

use oxmq::{ChildFailure, Job, JobId, JobKey, JobOptions, JsonText, NewJob, Parent, Timestamp};
use serde::{Deserialize, Serialize};

use super::call::whole;

/// Names of options that are shorter where BullMQ stores them; a caller may use either.
const SHORT: [(&str, &str); 6] = [
    ("kl", "keepLogs"),
    ("fpof", "failParentOnFailure"),
    ("cpof", "continueParentOnFailure"),
    ("idof", "ignoreDependencyOnFailure"),
    ("rdof", "removeDependencyOnFailure"),
    ("de", "deduplication"),
];

/// The same for the members of `telemetry`, which is flat there.
const TELEMETRY: [(&str, &str); 2] = [("tm", "metadata"), ("omc", "omitContext")];

/// A job to be added.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobIn {
    id: Option<String>,
    name: String,
    /// JSON as text, which is stored as it is.
    #[serde(default = "no_data")]
    data: String,
    opts: Option<JsonText>,
    timestamp: Option<f64>,
    parent: Option<ParentJson>,
    parent_key: Option<String>,
}

/// What a job says of its parent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools, reason = "BullMQ's switches")]
pub(super) struct ParentJson {
    id: String,
    queue_key: String,
    #[serde(default, skip_serializing_if = "is_false")]
    fpof: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    cpof: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    idof: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    rdof: bool,
}

/// How a job is tied to its parent, beside what it says itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParentKeyOpts {
    pub(super) parent_key: Option<String>,
}

fn no_data() -> String {
    "{}".to_owned()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl ParentJson {
    fn of(parent: &Parent) -> Self {
        let is = |choice| parent.on_failure == Some(choice);
        Self {
            id: parent.key.id.as_str().to_owned(),
            queue_key: parent.key.queue.to_string(),
            fpof: is(ChildFailure::FailParent),
            cpof: is(ChildFailure::ContinueParent),
            idof: is(ChildFailure::Ignore),
            rdof: is(ChildFailure::Remove),
        }
    }

    /// What the child's failure does to it. The order is that in which BullMQ looks.
    fn on_failure(&self) -> Option<ChildFailure> {
        let flags = [self.fpof, self.cpof, self.idof, self.rdof];
        ChildFailure::ALL.into_iter().zip(flags).find_map(|(choice, set)| set.then_some(choice))
    }
}

impl JobIn {
    /// The job with its own id, if it has one.
    pub(super) fn with_id(self, id: Option<String>, tie: Option<&ParentKeyOpts>) -> NewJob {
        let id = id.or_else(|| self.id.clone()).filter(|id| !id.is_empty());
        let mut job = self.into_new(tie);
        job.options.job_id = id.map(JobId::stored);
        job
    }

    /// The job, with its parent in its options, and its id only if they had it. Node has validated it: what makes no sense here is
    /// kept, and has no effect.
    pub(super) fn into_new(self, tie: Option<&ParentKeyOpts>) -> NewJob {
        let mut options = self.opts.map_or_else(JobOptions::default, |opts| read_options(&opts));
        options.made_at = self.timestamp.map(|ms| Timestamp::from_millis(whole(ms)));
        let own = self.parent.as_ref().and_then(|parent| JobKey::of(&parent.queue_key, parent.id.as_str()));
        let key = self.parent_key.as_deref().or_else(|| tie.and_then(|tie| tie.parent_key.as_deref()));
        // The job's own word splits the key rightly: an id may have colons.
        options.parent = own.or_else(|| key.and_then(JobKey::parse));
        if let Some(choice) = self.parent.as_ref().and_then(ParentJson::on_failure) {
            options.on_failure = Some(choice);
        }
        NewJob { name: self.name, data: JsonText::stored(self.data), options }
    }
}

/// Options that say nothing to a store. They are kept as they were given, and read as what they mean when they come to count: `1` and
/// `{"count":1}` are the same, but not to a program that looks at them.
const AS_GIVEN: [&str; 5] = ["backoff", "removeOnComplete", "removeOnFail", "sizeLimit", "stackTraceLimit"];

/// Options by BullMQ's names, long or short.
pub(super) fn read_options(opts: &JsonText) -> JobOptions {
    let Ok(mut members) = opts.read::<BTreeMap<String, JsonText>>() else { return JobOptions::default() };
    for (short, long) in SHORT {
        if let Some(value) = members.remove(short) {
            members.insert(long.to_owned(), value);
        }
    }
    let flat: BTreeMap<&str, JsonText> =
        TELEMETRY.iter().filter_map(|(short, long)| Some((*long, members.remove(*short)?))).collect();
    if let (false, Ok(telemetry)) = (flat.is_empty(), JsonText::of(&flat)) {
        members.insert("telemetry".to_owned(), telemetry);
    }
    let given: Vec<_> = AS_GIVEN.iter().filter_map(|name| members.remove_entry(*name)).collect();
    let mut options =
        JsonText::of(&members).map_or_else(|_| JobOptions::default(), |opts| JobOptions::stored(&opts));
    options.other.extend(given.into_iter().filter(|(_, value)| value.as_str() != "null"));
    options
}

/// A job as Node reads it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobOut {
    id: String,
    name: String,
    data: String,
    opts: JsonText,
    progress: JsonText,
    delay: i64,
    priority: u32,
    timestamp: i64,
    attempts_started: u32,
    attempts_made: u32,
    stalled_counter: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_on: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processed_on: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deferred_failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stacktrace: Option<JsonAsText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    returnvalue: Option<JsonAsText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<ParentJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    debounce_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deduplication_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_job_key: Option<String>,
}

/// JSON that crosses as text.
type JsonAsText = String;

impl From<Job> for JobOut {
    fn from(job: Job) -> Self {
        let text = |json: JsonText| json.as_str().to_owned();
        Self {
            id: job.id.as_str().to_owned(),
            name: job.name,
            data: text(job.data),
            opts: with_attempts(&job.opts),
            progress: job.progress.filter(is_json).unwrap_or_else(|| JsonText::stored("0")),
            delay: job.delay_ms,
            priority: job.priority,
            timestamp: job.timestamp.as_millis(),
            attempts_started: job.attempts_started,
            attempts_made: job.attempts_made,
            stalled_counter: job.stalled_count,
            finished_on: job.finished_on.map(Timestamp::as_millis),
            processed_on: job.processed_on.map(Timestamp::as_millis),
            processed_by: job.processed_by,
            deferred_failure: job.deferred_failure,
            failed_reason: job.failed_reason,
            stacktrace: job.stacktrace.map(text),
            returnvalue: job.return_value.map(text),
            parent_key: job.parent.as_ref().map(|parent| parent.key.to_string()),
            parent: job.parent.as_ref().map(ParentJson::of),
            debounce_id: job.deduplication_id.clone(),
            deduplication_id: job.deduplication_id,
            repeat_job_key: job.scheduler_id,
        }
    }
}

/// Options with the `attempts` that every job has for Node.
fn with_attempts(opts: &JsonText) -> JsonText {
    match opts.as_str() {
        "{}" => JsonText::stored(r#"{"attempts":0}"#),
        text if text.contains(r#""attempts""#) => opts.clone(),
        text => match text.strip_prefix('{') {
            Some(rest) => JsonText::stored(format!(r#"{{"attempts":0,{rest}"#)),
            None => JsonText::stored(r#"{"attempts":0}"#),
        },
    }
}

/// Whether what somebody stored is JSON: what crosses undecoded must be.
fn is_json(text: &JsonText) -> bool {
    text.read::<serde::de::IgnoredAny>().is_ok()
}
