//! What a worker and a child say to each other: one JSON object per line.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::CHILD_LINE_BYTES_MAX;
use crate::address::{JobId, JobKey, QueueAddress, Token};
use crate::clock::{Timestamp, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::family::{ChildFailure, Parent};
use crate::job::{Job, Lease, LeasedJob, NewJob};
use crate::json::JsonText;
use crate::options::{DATA_BYTES_MAX_DEFAULT, JobOptions};
use crate::queue::check;
use crate::store::{
    Added, Child, ChildKind, ChildOutcome, ChildrenCursor, ChildrenPage, ChildrenRequest, Fate,
    GROUP_JOBS_MAX, Note,
};
use crate::worker::context::CancelCause;
use crate::worker::errors::{HandlerError, Wish};

/// The version of all this. A child that speaks another is not used.
pub(super) const PROTOCOL: u32 = 1;

/// From the worker to the child.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case")]
pub(super) enum ToChild {
    /// Comes first. `key` is that of the environment variable.
    Init { protocol: u32, key: String, prefix: String, queue: String },
    /// A job, and how much of its time is left, in milliseconds.
    Start { job: Box<WireJob>, token: String, remaining: Option<i64> },
    /// The handler should stop.
    Cancel { cause: WireCause },
    /// The answer to a request.
    Answer { request: u64, answer: WireAnswer },
    /// End when nothing runs.
    Stop,
}

/// From the child to the worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case")]
pub(super) enum ToWorker {
    /// The child takes jobs.
    Ready { protocol: u32 },
    /// The child cannot work, and ends.
    Unready { reason: String },
    /// The job has come; from here on what happens to the process is the job's doing.
    Started,
    /// The progress, JSON as text.
    Progress { request: u64, value: String },
    /// A line for the log.
    Log { request: u64, line: String },
    /// New data, JSON as text.
    Update { request: u64, value: String },
    /// Which children has the job?
    Children { request: u64, which: WireQuestion },
    /// A new child.
    AddChild { request: u64, child: WireNewChild },
    /// The children that the job waits for should go.
    RemovePending { request: u64 },
    /// The job's deduplication id should be free.
    Release { request: u64 },
    /// The result, JSON as text.
    Completed { value: String },
    /// The handler failed: the messages of the error and of what caused it, and what it wishes.
    Failed { messages: Vec<String>, wish: WireWish },
}

/// A job, by BullMQ's long names; what is JSON is text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireJob {
    id: String,
    name: String,
    data: String,
    opts: String,
    timestamp: i64,
    delay: i64,
    priority: u32,
    attempts_started: u32,
    attempts_made: u32,
    stalled_counter: u32,
    processed_on: Option<i64>,
    finished_on: Option<i64>,
    processed_by: Option<String>,
    deferred_failure: Option<String>,
    failed_reason: Option<String>,
    stacktrace: Option<String>,
    returnvalue: Option<String>,
    progress: Option<String>,
    parent: Option<WireTie>,
    deduplication_id: Option<String>,
    repeat_job_key: Option<String>,
}

/// The parent of a job, and BullMQ's name of what its failure does there.
#[derive(Debug, Serialize, Deserialize)]
struct WireTie {
    id: String,
    queue: String,
    on_failure: Option<String>,
}

impl WireJob {
    pub(super) fn of(job: &Job) -> Self {
        // All of them by name, so that a new member is not forgotten here.
        let Job {
            id,
            name,
            data,
            opts,
            timestamp,
            delay_ms,
            priority,
            attempts_started,
            attempts_made,
            stalled_count,
            processed_on,
            finished_on,
            processed_by,
            deferred_failure,
            failed_reason,
            stacktrace,
            return_value,
            progress,
            parent,
            deduplication_id,
            scheduler_id,
        } = job;
        let text = |json: &Option<JsonText>| json.as_ref().map(|json| json.as_str().to_owned());
        Self {
            id: id.as_str().to_owned(),
            name: name.clone(),
            data: data.as_str().to_owned(),
            opts: opts.as_str().to_owned(),
            timestamp: timestamp.as_millis(),
            delay: *delay_ms,
            priority: *priority,
            attempts_started: *attempts_started,
            attempts_made: *attempts_made,
            stalled_counter: *stalled_count,
            processed_on: processed_on.map(Timestamp::as_millis),
            finished_on: finished_on.map(Timestamp::as_millis),
            processed_by: processed_by.clone(),
            deferred_failure: deferred_failure.clone(),
            failed_reason: failed_reason.clone(),
            stacktrace: text(stacktrace),
            returnvalue: text(return_value),
            progress: text(progress),
            parent: parent.as_ref().map(|parent| WireTie {
                id: parent.key.id.as_str().to_owned(),
                queue: parent.key.queue.to_string(),
                on_failure: parent.on_failure.map(|what| what.as_str().to_owned()),
            }),
            deduplication_id: deduplication_id.clone(),
            repeat_job_key: scheduler_id.clone(),
        }
    }

    fn into_job(self) -> Job {
        let time = |ms: Option<i64>| ms.map(Timestamp::from_millis);
        let json = |text: Option<String>| text.map(JsonText::stored);
        let mut job =
            Job::new(self.id.into(), self.name, JsonText::stored(self.data), JsonText::stored(self.opts));
        job.timestamp = Timestamp::from_millis(self.timestamp);
        job.delay_ms = self.delay;
        job.priority = self.priority;
        job.attempts_started = self.attempts_started;
        job.attempts_made = self.attempts_made;
        job.stalled_count = self.stalled_counter;
        job.processed_on = time(self.processed_on);
        job.finished_on = time(self.finished_on);
        job.processed_by = self.processed_by;
        job.deferred_failure = self.deferred_failure;
        job.failed_reason = self.failed_reason;
        job.stacktrace = json(self.stacktrace);
        job.return_value = json(self.returnvalue);
        job.progress = json(self.progress);
        job.parent = self.parent.and_then(|tie| {
            let on_failure =
                tie.on_failure.and_then(|name| ChildFailure::ALL.into_iter().find(|it| it.as_str() == name));
            Some(Parent { key: JobKey::of(&tie.queue, tie.id)?, on_failure })
        });
        job.deduplication_id = self.deduplication_id;
        job.scheduler_id = self.repeat_job_key;
        job
    }

    pub(super) fn into_leased(self, token: String) -> LeasedJob {
        let job = self.into_job();
        let lease = Lease { job: job.id.clone(), token: Token::new(token) };
        LeasedJob { job, lease }
    }
}

/// Why a handler should stop; times in milliseconds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireCause {
    Requested(String),
    TimedOut(i64),
    LeaseLost,
    Closing,
}

impl From<CancelCause> for WireCause {
    fn from(cause: CancelCause) -> Self {
        match cause {
            CancelCause::Requested(reason) => Self::Requested(reason),
            CancelCause::TimedOut(limit) => Self::TimedOut(millis(limit)),
            CancelCause::LeaseLost => Self::LeaseLost,
            CancelCause::Closing => Self::Closing,
        }
    }
}

impl From<WireCause> for CancelCause {
    fn from(cause: WireCause) -> Self {
        match cause {
            WireCause::Requested(reason) => Self::Requested(reason),
            WireCause::TimedOut(limit) => Self::TimedOut(duration(limit)),
            WireCause::LeaseLost => Self::LeaseLost,
            WireCause::Closing => Self::Closing,
        }
    }
}

/// What a handler's error wishes; times in milliseconds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireWish {
    Fail,
    GiveUp,
    Died,
    AgainAfter(i64),
    AgainAt(i64),
    RateLimited(i64),
    GiveBack,
    AwaitChildren(Option<WireChild>),
}

/// Which child: its queue's qualified name and its id.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireChild {
    queue: String,
    id: String,
}

impl WireChild {
    fn of(key: &JobKey) -> Self {
        Self { queue: key.queue.to_string(), id: key.id.as_str().to_owned() }
    }

    fn into_key(self) -> Option<JobKey> {
        JobKey::of(&self.queue, self.id)
    }
}

impl From<Wish> for WireWish {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::Fail => Self::Fail,
            Wish::GiveUp => Self::GiveUp,
            Wish::Died => Self::Died,
            Wish::AgainAfter(delay) => Self::AgainAfter(millis(delay)),
            Wish::AgainAt(time) => Self::AgainAt(time.as_millis()),
            Wish::RateLimited(pause) => Self::RateLimited(millis(pause)),
            Wish::GiveBack => Self::GiveBack,
            Wish::AwaitChildren(child) => Self::AwaitChildren(child.as_ref().map(WireChild::of)),
        }
    }
}

impl From<WireWish> for Wish {
    fn from(wish: WireWish) -> Self {
        match wish {
            WireWish::Fail => Self::Fail,
            WireWish::GiveUp => Self::GiveUp,
            WireWish::Died => Self::Died,
            WireWish::AgainAfter(delay) => Self::AgainAfter(duration(delay)),
            WireWish::AgainAt(time) => Self::AgainAt(Timestamp::from_millis(time)),
            WireWish::RateLimited(pause) => Self::RateLimited(duration(pause)),
            WireWish::GiveBack => Self::GiveBack,
            WireWish::AwaitChildren(child) => Self::AwaitChildren(child.and_then(WireChild::into_key)),
        }
    }
}

fn duration(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// What a child asks of its worker, read and checked. It is always about the job that the child runs.
#[derive(Debug)]
pub(super) enum Ask {
    Note(Note),
    Children(ChildrenRequest),
    /// Into which queue, and the job, whose parent is the one that runs.
    AddChild(QueueAddress, Box<NewJob>),
    RemovePending,
    Release,
}

impl Ask {
    pub(super) fn note_of(value: String, note: impl FnOnce(JsonText) -> Note) -> Result<Self> {
        let refuse = |error| Error::invalid("note", "value", "not JSON", error);
        JsonText::parse(value).map(|value| Self::Note(note(value))).map_err(refuse)
    }
}

/// What comes of a request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireAnswer {
    /// A progress, log or update is written down; so many lines the log has.
    Noted(u64),
    Children(WireChildren),
    Added(WireAdded),
    /// What was pending is removed.
    Removed,
    /// Whether the job owned its deduplication id.
    Released(bool),
    /// It was not done.
    Refused(WireRefusal),
}

/// Which page of the job's children; kinds by BullMQ's names.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireQuestion {
    kinds: Vec<String>,
    after: Option<WireCursor>,
    limit: usize,
}

/// Where a page of children ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireCursor {
    kind: String,
    child: WireChild,
}

impl WireCursor {
    fn of(cursor: &ChildrenCursor) -> Self {
        Self { kind: cursor.kind.as_str().to_owned(), child: WireChild::of(&cursor.after) }
    }

    fn into_cursor(self) -> Option<ChildrenCursor> {
        Some(ChildrenCursor { kind: kind_of_child(&self.kind)?, after: self.child.into_key()? })
    }
}

fn kind_of_child(name: &str) -> Option<ChildKind> {
    ChildKind::ALL.into_iter().find(|kind| kind.as_str() == name)
}

impl WireQuestion {
    pub(super) fn of(request: &ChildrenRequest) -> Self {
        Self {
            kinds: request.kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
            after: request.cursor.as_ref().map(WireCursor::of),
            limit: request.limit,
        }
    }

    /// The request for the children of `job`. It asks for no more than a page may have.
    pub(super) fn into_request(self, job: &JobId) -> Result<ChildrenRequest> {
        let refuse = |field, value: String| {
            Error::invalid(
                "children",
                field,
                value,
                "it must be what a worker and a child of one version say",
            )
        };
        let kinds: Option<Vec<_>> = self.kinds.iter().map(|name| kind_of_child(name)).collect();
        let kinds = kinds
            .filter(|kinds| kinds.len() <= ChildKind::ALL.len())
            .ok_or_else(|| refuse("kinds", format!("{:?}", self.kinds)))?;
        let cursor = match self.after {
            None => None,
            Some(after) => {
                let named = format!("{after:?}");
                Some(after.into_cursor().ok_or_else(|| refuse("cursor", named))?)
            }
        };
        Ok(ChildrenRequest { job: job.clone(), kinds, cursor, limit: self.limit.min(GROUP_JOBS_MAX) })
    }
}

/// The most bytes that the keys and outcomes of a page's children have, but for a page of one child. With quotes and the like
/// escaped they fit into one line.
const PAGE_BYTES_MAX: usize = CHILD_LINE_BYTES_MAX / 8;

/// A page of children.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireChildren {
    children: Vec<(WireChild, WireOutcome)>,
    next: Option<WireCursor>,
    /// Of each kind, in the order of [`ChildKind::ALL`].
    counts: [u64; 4],
}

/// What became of a child; results are JSON as text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireOutcome {
    Processed(String),
    Pending,
    Ignored(String),
    Failed(i64),
}

impl WireOutcome {
    fn of(outcome: &ChildOutcome) -> Self {
        match outcome {
            ChildOutcome::Processed(value) => Self::Processed(value.as_str().to_owned()),
            ChildOutcome::Pending => Self::Pending,
            ChildOutcome::Ignored(reason) => Self::Ignored(reason.clone()),
            ChildOutcome::Failed(time) => Self::Failed(time.as_millis()),
        }
    }

    fn into_outcome(self) -> ChildOutcome {
        match self {
            Self::Processed(value) => ChildOutcome::Processed(JsonText::stored(value)),
            Self::Pending => ChildOutcome::Pending,
            Self::Ignored(reason) => ChildOutcome::Ignored(reason),
            Self::Failed(time) => ChildOutcome::Failed(Timestamp::from_millis(time)),
        }
    }
}

fn bytes_of(child: &Child) -> usize {
    let text = match &child.outcome {
        ChildOutcome::Processed(value) => value.as_str().len(),
        ChildOutcome::Ignored(reason) => reason.len(),
        ChildOutcome::Pending | ChildOutcome::Failed(_) => 0,
    };
    let JobKey { queue, id } = &child.key;
    text + queue.prefix().len() + queue.name().len() + id.as_str().len()
}

impl WireChildren {
    /// The page, or as much of it as fits into a line; then the next one begins earlier.
    pub(super) fn of(mut page: ChildrenPage) -> Self {
        let mut bytes = 0;
        let fits = |child: &&Child| {
            bytes += bytes_of(child);
            bytes <= PAGE_BYTES_MAX
        };
        let count = page.children.iter().take_while(fits).count().max(1);
        if count < page.children.len() {
            page.children.truncate(count);
            let last = page.children.last();
            page.next =
                last.map(|last| ChildrenCursor { kind: last.outcome.kind(), after: last.key.clone() });
        }
        let child = |child: &Child| (WireChild::of(&child.key), WireOutcome::of(&child.outcome));
        Self {
            children: page.children.iter().map(child).collect(),
            next: page.next.as_ref().map(WireCursor::of),
            counts: ChildKind::ALL.map(|kind| page.counts.of(kind)),
        }
    }

    /// `None` if it is none.
    pub(super) fn into_page(self) -> Option<ChildrenPage> {
        let mut page = ChildrenPage::default();
        for (key, outcome) in self.children {
            page.children.push(Child { key: key.into_key()?, outcome: outcome.into_outcome() });
        }
        if let Some(next) = self.next {
            page.next = Some(next.into_cursor()?);
        }
        for (kind, count) in ChildKind::ALL.into_iter().zip(self.counts) {
            *page.counts.of_mut(kind) = count;
        }
        Some(page)
    }
}

/// A child to be added: the name of a queue under the job's own prefix, and the job; what is JSON is text.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireNewChild {
    queue: String,
    name: String,
    data: String,
    opts: String,
}

impl WireNewChild {
    pub(super) fn of(queue: &QueueAddress, child: NewJob) -> Self {
        Self {
            queue: queue.name().to_owned(),
            name: child.name,
            data: child.data.as_str().to_owned(),
            opts: child.options.to_json().as_str().to_owned(),
        }
    }

    /// Checked as if it was made here; `parent` is the job that runs, whatever was sent.
    pub(super) fn into_ask(self, parent: JobKey) -> Result<Ask> {
        let queue = QueueAddress::with_prefix(parent.queue.prefix(), self.queue)?;
        let data =
            JsonText::parse(self.data).map_err(|error| Error::invalid("add", "data", "not JSON", error))?;
        let mut options = JobOptions::parse(&self.opts)?;
        options.parent = Some(parent);
        let child = NewJob { name: self.name, data, options };
        check(&child, DATA_BYTES_MAX_DEFAULT)?;
        Ok(Ask::AddChild(queue, Box::new(child)))
    }
}

/// What became of a child that was added.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireAdded {
    id: String,
    state: String,
    fate: WireFate,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireFate {
    Created,
    Existing,
    Deduplicated { owner_exists: bool },
    KeptAsNext { next: String },
    Replaced { removed: String },
    Refused { kind: String },
}

impl From<Added> for WireAdded {
    fn from(added: Added) -> Self {
        let text = |id: &JobId| id.as_str().to_owned();
        let fate = match added.fate {
            Fate::Created => WireFate::Created,
            Fate::Existing => WireFate::Existing,
            Fate::Deduplicated { owner_exists } => WireFate::Deduplicated { owner_exists },
            Fate::KeptAsNext { next } => WireFate::KeptAsNext { next: text(&next) },
            Fate::Replaced { removed } => WireFate::Replaced { removed: text(&removed) },
            Fate::Refused(kind) => WireFate::Refused { kind: kind.as_str().to_owned() },
        };
        Self { id: text(&added.id), state: added.state.as_str().to_owned(), fate }
    }
}

impl WireAdded {
    /// `None` if it is none.
    pub(super) fn into_added(self) -> Option<Added> {
        let fate = match self.fate {
            WireFate::Created => Fate::Created,
            WireFate::Existing => Fate::Existing,
            WireFate::Deduplicated { owner_exists } => Fate::Deduplicated { owner_exists },
            WireFate::KeptAsNext { next } => Fate::KeptAsNext { next: next.into() },
            WireFate::Replaced { removed } => Fate::Replaced { removed: removed.into() },
            WireFate::Refused { kind } => Fate::Refused(kind_of(&kind)),
        };
        Some(Added::new(self.id.into(), self.state.parse().ok()?, fate))
    }
}

/// Why something was not done: the error without the operation, which the child knows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireRefusal {
    kind: String,
    message: String,
}

impl From<&Error> for WireRefusal {
    fn from(error: &Error) -> Self {
        let said = error.to_string();
        let message = said.strip_prefix(error.operation()).and_then(|rest| rest.strip_prefix(": "));
        Self { kind: error.kind().as_str().to_owned(), message: message.unwrap_or(&said).to_owned() }
    }
}

/// The kinds that an answer may have.
const KINDS: [ErrorKind; 18] = [
    ErrorKind::NotFound,
    ErrorKind::NotLocked,
    ErrorKind::LockedByAnother,
    ErrorKind::WrongState,
    ErrorKind::CancelRequested,
    ErrorKind::PendingChildren,
    ErrorKind::FailedChildren,
    ErrorKind::Refused,
    ErrorKind::Invalid,
    ErrorKind::Unavailable,
    ErrorKind::Ambiguous,
    ErrorKind::Full,
    ErrorKind::ReadOnly,
    ErrorKind::Corrupt,
    ErrorKind::Gone,
    ErrorKind::Newer,
    ErrorKind::Unsupported,
    ErrorKind::Closed,
];

fn kind_of(name: &str) -> ErrorKind {
    KINDS.into_iter().find(|kind| kind.as_str() == name).unwrap_or(ErrorKind::Internal)
}

impl WireRefusal {
    /// The error of the request `verb`.
    pub(super) fn into_error(self, verb: &'static str) -> Error {
        Error::new(kind_of(&self.kind), verb, self.message)
    }
}

/// An error of a handler in another process, with what caused it.
#[derive(Debug)]
struct Distant {
    message: String,
    source: Option<Box<Distant>>,
}

impl std::fmt::Display for Distant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Distant {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

impl ToWorker {
    pub(super) fn failed(error: &HandlerError) -> Self {
        Self::Failed { messages: error.messages(), wish: error.wish.clone().into() }
    }
}

/// The error that a child's handler failed with.
pub(super) fn distant(messages: Vec<String>, wish: WireWish) -> HandlerError {
    let chain =
        messages.into_iter().rev().fold(None, |source, message| Some(Box::new(Distant { message, source })));
    HandlerError {
        wish: wish.into(),
        cause: chain.map(|error| error as Box<dyn std::error::Error + Send + Sync>),
    }
}

/// The line of a message.
///
/// # Errors
/// [`ErrorKind::Invalid`] if it is longer than a line may be.
pub(super) fn line(message: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message).map_err(|error| {
        Error::new(ErrorKind::Internal, "isolate", "a message cannot be written as JSON").caused_by(error)
    })?;
    if line.len() >= CHILD_LINE_BYTES_MAX {
        let remedy =
            format!("between a worker and its child a message has at most {CHILD_LINE_BYTES_MAX} bytes");
        return Err(Error::invalid("isolate", "message", format!("{} bytes long", line.len()), remedy));
    }
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::JobState;

    #[test]
    fn a_job_crosses_whole() {
        let mut job = Job::new(
            "j".into(),
            "n".into(),
            JsonText::stored("{\n \"big\": 12345678901234567890123 }"),
            JsonText::stored(r#"{"attempts":3}"#),
        );
        job.timestamp = Timestamp::from_millis(5);
        job.delay_ms = 6;
        job.priority = 7;
        job.attempts_started = 8;
        job.attempts_made = 9;
        job.stalled_count = 10;
        job.processed_on = Some(Timestamp::from_millis(11));
        job.finished_on = Some(Timestamp::from_millis(12));
        job.processed_by = Some("w".into());
        job.deferred_failure = Some("d".into());
        job.failed_reason = Some("f".into());
        job.stacktrace = Some(JsonText::stored("[\"s\"]"));
        job.return_value = Some(JsonText::stored("1"));
        job.progress = Some(JsonText::stored("50"));
        job.parent = Some(Parent {
            key: JobKey::of("bull:parents", "p").unwrap(),
            on_failure: Some(ChildFailure::Ignore),
        });
        job.deduplication_id = Some("x".into());
        job.scheduler_id = Some("y".into());
        let message = ToChild::Start { job: Box::new(WireJob::of(&job)), token: "t".into(), remaining: None };
        let line = line(&message).unwrap();
        assert_eq!(
            line.iter().position(|byte| *byte == b'\n'),
            Some(line.len() - 1),
            "one line, whatever the data holds"
        );
        let Ok(ToChild::Start { job: crossed, token, .. }) = serde_json::from_slice(&line) else {
            panic!("not what was sent");
        };
        assert_eq!(crossed.into_leased(token).job, job);
    }

    #[test]
    fn an_error_crosses_with_its_causes_and_its_wish() {
        let io = std::io::Error::other(Error::new(ErrorKind::Full, "add", "no space"));
        for error in [
            HandlerError::fail(Error::new(ErrorKind::Full, "put", "cannot").caused_by(io)),
            HandlerError::give_up("never"),
            HandlerError::again_after(Duration::from_millis(1_500)),
            HandlerError::again_at(Timestamp::from_millis(77)),
            HandlerError::give_back(),
            HandlerError::rate_limited(Duration::from_secs(2)),
            crate::worker::quarantine::failure(None, "gone", None, ""),
        ] {
            let line = line(&ToWorker::failed(&error)).unwrap();
            let Ok(ToWorker::Failed { messages, wish }) = serde_json::from_slice(&line) else {
                panic!("not what was sent");
            };
            let crossed = distant(messages, wish);
            assert_eq!((&crossed.wish, crossed.message()), (&error.wish, error.message()));
            assert_eq!(crossed.stack(), error.stack());
        }
    }

    #[test]
    fn causes_and_refusals_cross() {
        for cause in [
            CancelCause::Requested("why".into()),
            CancelCause::TimedOut(Duration::from_millis(30)),
            CancelCause::LeaseLost,
            CancelCause::Closing,
        ] {
            assert_eq!(CancelCause::from(WireCause::from(cause.clone())), cause);
        }
        for kind in KINDS {
            let error = Error::new(kind, "note", "no").with("job", 7);
            let crossed = WireRefusal::from(&error).into_error("note");
            assert_eq!((crossed.kind(), crossed.to_string()), (kind, error.to_string()));
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_refused() {
        let message = ToWorker::Completed { value: "x".repeat(CHILD_LINE_BYTES_MAX) };
        assert_eq!(line(&message).unwrap_err().kind(), ErrorKind::Invalid);
    }

    fn crossed<T: Serialize + serde::de::DeserializeOwned>(message: &T) -> T {
        serde_json::from_slice(&line(message).unwrap()).unwrap()
    }

    fn kid(id: &str, outcome: ChildOutcome) -> Child {
        Child { key: JobKey::of("a:b:kids", id).unwrap(), outcome }
    }

    #[test]
    fn a_page_of_children_crosses_whole() {
        let mut page = ChildrenPage {
            children: vec![
                kid("1", ChildOutcome::Processed(JsonText::stored("{\n\"big\": 12345678901234567890123 }"))),
                kid("x:y:2", ChildOutcome::Pending),
                kid("3", ChildOutcome::Ignored("why\n\u{1}".into())),
                kid("4", ChildOutcome::Failed(Timestamp::from_millis(7))),
            ],
            next: Some(ChildrenCursor {
                kind: ChildKind::Failed,
                after: JobKey::of("a:b:kids", "4").unwrap(),
            }),
            ..ChildrenPage::default()
        };
        for (kind, count) in ChildKind::ALL.into_iter().zip(1..) {
            *page.counts.of_mut(kind) = count;
        }
        assert_eq!(crossed(&WireChildren::of(page.clone())).into_page(), Some(page));
    }

    #[test]
    fn a_page_that_is_too_long_is_cut_and_goes_on_behind_the_cut() {
        // What takes the most room when it is escaped.
        let reason = "\u{1}".repeat(PAGE_BYTES_MAX / 2 - 100);
        let children: Vec<_> =
            ["1", "2", "3"].map(|id| kid(id, ChildOutcome::Ignored(reason.clone()))).into();
        let page = ChildrenPage { children: children.clone(), ..ChildrenPage::default() };
        let cut = crossed(&WireChildren::of(page)).into_page().unwrap();
        assert_eq!(cut.children[..], children[..2]);
        let next = ChildrenCursor { kind: ChildKind::Ignored, after: children[1].key.clone() };
        assert_eq!(cut.next, Some(next));
        // One child is a page, however long; whether it fits is another matter.
        let long = kid("1", ChildOutcome::Ignored("x".repeat(PAGE_BYTES_MAX + 1)));
        let page = ChildrenPage { children: vec![long, children[0].clone()], ..ChildrenPage::default() };
        assert_eq!(WireChildren::of(page).into_page().unwrap().children.len(), 1);
    }

    #[test]
    fn a_question_crosses_and_is_bounded() {
        let cursor = ChildrenCursor { kind: ChildKind::Ignored, after: JobKey::of("a:b:kids", "4").unwrap() };
        let request = ChildrenRequest {
            job: "p".into(),
            kinds: vec![ChildKind::Ignored, ChildKind::Processed],
            cursor: Some(cursor),
            limit: 9,
        };
        let asked = crossed(&WireQuestion::of(&request)).into_request(&request.job);
        assert_eq!(asked.unwrap(), request);
        let ask = |json: &str| serde_json::from_str::<WireQuestion>(json).unwrap().into_request(&"p".into());
        let all = ask(r#"{"kinds":[],"after":null,"limit":1000000}"#).unwrap();
        assert_eq!(all.limit, GROUP_JOBS_MAX);
        for strange in [
            r#"{"kinds":["grown up"],"after":null,"limit":1}"#,
            r#"{"kinds":["failed","failed","failed","failed","failed"],"after":null,"limit":1}"#,
            r#"{"kinds":["failed"],"after":{"kind":"failed","child":{"queue":"x","id":"1"}},"limit":1}"#,
        ] {
            assert_eq!(ask(strange).unwrap_err().kind(), ErrorKind::Invalid, "{strange}");
        }
    }

    #[test]
    fn a_new_child_crosses_and_is_checked_again() {
        let parent = JobKey::of("a:b:above", "p").unwrap();
        let queue = QueueAddress::with_prefix("a:b", "kids").unwrap();
        let mut options = JobOptions::parse(r#"{"attempts":3,"mine":[1, 2],"oxmq":{"timeout":5}}"#).unwrap();
        options.job_id = Some("kid".into());
        options.parent = Some(parent.clone());
        options.on_failure = Some(ChildFailure::Ignore);
        let child = NewJob { name: "n".into(), data: JsonText::stored("[ 1 ]"), options };
        let sent = crossed(&WireNewChild::of(&queue, child.clone()));
        let Ok(Ask::AddChild(to, added)) = sent.into_ask(parent.clone()) else { panic!("it was refused") };
        assert_eq!((to, &*added), (queue, &child));

        let new = |queue: &str, name: &str, data: &str, opts: &str| {
            let [queue, name, data, opts] = [queue, name, data, opts].map(str::to_owned);
            WireNewChild { queue, name, data, opts }.into_ask(parent.clone())
        };
        let another = r#"{"parent":{"id":"another","queue":"a:b:above"}}"#;
        let Ok(Ask::AddChild(_, added)) = new("kids", "n", "1", another) else { panic!("it was refused") };
        assert_eq!(added.options.parent.as_ref(), Some(&parent), "a child has no say in whose parent it is");
        for (queue, name, data, opts) in [
            ("x:kids", "n", "1", "{}"),
            ("kids", "", "1", "{}"),
            ("kids", "n", "one", "{}"),
            ("kids", "n", "1", r#"{"priority":-1}"#),
            ("kids", "n", "1", r#"{"jobId":"17"}"#),
            ("kids", "n", "12345", r#"{"sizeLimit":4}"#),
        ] {
            let refused = new(queue, name, data, opts).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Invalid, "{queue} {name} {data} {opts}");
        }
    }

    #[test]
    fn what_became_of_an_add_crosses() {
        for fate in [
            Fate::Created,
            Fate::Existing,
            Fate::Deduplicated { owner_exists: true },
            Fate::KeptAsNext { next: "n".into() },
            Fate::Replaced { removed: "r".into() },
            Fate::Refused(ErrorKind::NotFound),
        ] {
            for state in JobState::ALL {
                let added = Added::new("a".into(), state, fate.clone());
                assert_eq!(crossed(&WireAdded::from(added.clone())).into_added(), Some(added));
            }
        }
    }
}
