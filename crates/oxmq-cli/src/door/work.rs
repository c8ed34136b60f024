//! Working: taking jobs, keeping them, ending them.

use std::time::Duration;

use oxmq::store::{
    ChildKind, ChildrenRequest, ExtendRequest, Extended, Finish, FinishRequest, GROUP_JOBS_MAX, Idle,
    METRICS_POINTS_MAX, Note, NoteRequest, RateLimit, RecoverRequest, TakeRequest, Taken,
};
use oxmq::{
    Ending, Failure as Why, JobId, JobKey, JobOptions, JsonText, Lease, QueueAddress, Retention, Timestamp,
    Token,
};
use serde::{Deserialize, Serialize};

use super::call::{Call, Outcome, answer, count, done, whole};
use super::errors::{About, Failure};
use super::job::JobOut;

/// How long BullMQ's workers hold a job, and how often they look for stalled ones, unless they say.
const LEASE_DEFAULT_MS: f64 = 30_000.0;

/// The options that a worker has at the moment.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ctx {
    name: Option<String>,
    lock_duration: Option<f64>,
    limiter: Option<Limiter>,
    remove_on_complete: Option<JsonText>,
    remove_on_fail: Option<JsonText>,
    max_stalled_count: Option<f64>,
    stalled_interval: Option<f64>,
    metrics: Option<Metrics>,
}

#[derive(Debug, Deserialize)]
struct Limiter {
    max: Option<f64>,
    duration: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    max_data_points: Option<f64>,
}

/// A job of which only this much is needed.
#[derive(Debug, Deserialize)]
struct Stub {
    id: String,
    opts: Option<JsonText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    failed_reason: Option<String>,
    stacktrace: Option<String>,
}

pub(super) fn ms(number: f64) -> Duration {
    Duration::from_millis(count(number))
}

fn small(number: f64) -> u32 {
    u32::try_from(count(number)).unwrap_or(u32::MAX)
}

impl Ctx {
    fn demand(&self, token: &str, name: Option<String>, now: Timestamp) -> TakeRequest {
        let rate_limit = self
            .limiter
            .as_ref()
            .and_then(|limiter| Some(RateLimit { max: small(limiter.max?), window: ms(limiter.duration?) }));
        TakeRequest {
            limit: 1,
            token: Token::new(token),
            lease_for: ms(self.lock_duration.unwrap_or(LEASE_DEFAULT_MS)),
            worker: name.or_else(|| self.name.clone()).filter(|name| !name.is_empty()),
            rate_limit,
            until_needs_rate: true,
            now,
        }
    }

    fn points(&self) -> Option<u32> {
        let points = small(self.metrics.as_ref()?.max_data_points?);
        (points > 0).then(|| points.min(METRICS_POINTS_MAX))
    }
}

/// What is kept of jobs that ended: as the job says, else as the worker does, else all.
fn keep(own: Option<JsonText>, worker: Option<JsonText>) -> Retention {
    let read = |json: Option<JsonText>| {
        let json = json.filter(|json| json.as_str() != "null")?;
        let member = JsonText::stored(format!(r#"{{"removeOnComplete":{json}}}"#));
        JobOptions::stored(&member).remove_on_complete
    };
    read(own).or_else(|| read(worker)).unwrap_or(Retention::ALL)
}

/// The next job, or why there is none: `[job or null, id, how long the queue is limited, when the next job is due]`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Next {
    Nothing([u8; 0]),
    Job(Box<(JobOut, String, u8, u8)>),
    Idle(((), u8, i64, i64)),
}

impl Next {
    fn of(taken: Taken, now: Timestamp) -> Self {
        if let Some(leased) = taken.jobs.into_iter().next() {
            let id = leased.job.id.as_str().to_owned();
            return Self::Job(Box::new((leased.job.into(), id, 0, 0)));
        }
        let (limited, due) = match taken.idle {
            Some(Idle::Empty { next_due: Some(due) }) => (0, due.as_millis()),
            Some(Idle::RateLimited { until }) => {
                (until.as_millis().saturating_sub(now.as_millis()).max(1), 0)
            }
            _ => (0, 0),
        };
        Self::Idle(((), 0, limited, due))
    }

    /// After an ending there is no answer at all if there is nothing, now or later.
    fn after_ending(taken: Option<Taken>, now: Timestamp) -> Self {
        match taken {
            None | Some(Taken { idle: Some(Idle::Empty { next_due: None }), .. }) => Self::Nothing([]),
            Some(taken) => Self::of(taken, now),
        }
    }

    /// After a job was delayed only a job is an answer.
    fn only_job(taken: Option<Taken>, now: Timestamp) -> Self {
        match taken {
            Some(taken) if !taken.jobs.is_empty() => Self::of(taken, now),
            _ => Self::Nothing([]),
        }
    }
}

pub(super) async fn move_to_active(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        token: String,
        name: Option<String>,
        #[serde(default, deserialize_with = "super::call::or_default")]
        ctx: Ctx,
    }
    let Params { token, name, ctx } = call.read()?;
    let taken = call.store().take(&call.address()?, ctx.demand(&token, name, call.now)).await;
    answer(&Next::of(taken.map_err(|error| Failure::of(&error))?, call.now))
}

/// An ending of one job, and what is taken after it.
struct Written<'a> {
    command: &'static str,
    job: &'a str,
    /// No token: no locking.
    token: Option<&'a str>,
    ending: Ending,
    take: Option<TakeRequest>,
    metrics: Option<u32>,
}

async fn write(call: &Call, written: Written<'_>) -> Result<Option<Taken>, Failure> {
    let Written { command, job, token, ending, take, metrics } = written;
    let token = token.map_or_else(Token::none, Token::new);
    // Node knows no requests to cancel: what it has decided is written.
    let finish = Finish { lease: Lease { job: JobId::from(job), token }, ending, heeds_cancel: true };
    let request = FinishRequest { finished: vec![finish], take, metrics, now: call.now };
    let about = About { command, job, state: "active" };
    let finished = call.store().finish(&call.address()?, request).await;
    let finished = finished.map_err(|error| Failure::of_job(&error, about))?;
    for answer in finished.answers {
        answer.map_err(|error| Failure::of_job(&error, about))?;
    }
    Ok(finished.taken)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    result: Next,
    finished_on: i64,
}

pub(super) async fn move_to_completed(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job: Stub,
        return_value: Option<String>,
        remove_on_complete: Option<JsonText>,
        token: Option<String>,
        #[serde(default, deserialize_with = "super::call::or_default")]
        fetch_next: bool,
        #[serde(default, deserialize_with = "super::call::or_default")]
        ctx: Ctx,
    }
    let params: Params = call.read()?;
    let Params { job, return_value, remove_on_complete, token, fetch_next, ctx } = params;
    // What is no JSON would end the loop of every Node process that listens.
    let return_value = match return_value {
        Some(text) => JsonText::parse(text).map_err(|error| Failure::params(&call.method, error))?,
        None => JsonText::null(),
    };
    let take = fetch_next.then(|| ctx.demand(token.as_deref().unwrap_or("0"), None, call.now));
    let metrics = ctx.points();
    let ending = Ending::Completed { return_value, keep: keep(remove_on_complete, ctx.remove_on_complete) };
    let written =
        Written { command: "moveToFinished", job: &job.id, token: token.as_deref(), ending, take, metrics };
    let taken = write(&call, written).await?;
    answer(&Ended { result: Next::after_ending(taken, call.now), finished_on: call.now.as_millis() })
}

pub(super) async fn move_to_failed(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job: Stub,
        failed_reason: Option<String>,
        remove_on_fail: Option<JsonText>,
        token: Option<String>,
        #[serde(default, deserialize_with = "super::call::or_default")]
        fetch_next: bool,
        #[serde(default, deserialize_with = "super::call::or_default")]
        fields_to_update: Fields,
        #[serde(default, deserialize_with = "super::call::or_default")]
        ctx: Ctx,
    }
    let params: Params = call.read()?;
    let Params { job, failed_reason, remove_on_fail, token, fetch_next, fields_to_update, ctx } = params;
    let take = fetch_next.then(|| ctx.demand(token.as_deref().unwrap_or("0"), None, call.now));
    let attempts = job.opts.as_ref().and_then(|opts| JobOptions::stored(opts).attempts).unwrap_or(0);
    let metrics = ctx.points();
    let reason = failed_reason.or(fields_to_update.failed_reason).unwrap_or_else(|| "null".to_owned());
    let failure = Why { reason, stacktrace: fields_to_update.stacktrace.map(JsonText::stored) };
    let ending = Ending::Failed { failure, attempts, keep: keep(remove_on_fail, ctx.remove_on_fail) };
    let written =
        Written { command: "moveToFinished", job: &job.id, token: token.as_deref(), ending, take, metrics };
    let taken = write(&call, written).await?;
    answer(&Ended { result: Next::after_ending(taken, call.now), finished_on: call.now.as_millis() })
}

/// Whether an ending says why the job failed; otherwise what is stored stays.
fn why(fields: Option<Fields>) -> Why {
    let Fields { failed_reason, stacktrace } = fields.unwrap_or_default();
    Why { reason: failed_reason.unwrap_or_default(), stacktrace: stacktrace.map(JsonText::stored) }
}

pub(super) async fn move_to_delayed(call: Call) -> Outcome {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Opts {
        #[serde(default, deserialize_with = "super::call::or_default")]
        skip_attempt: bool,
        fields_to_update: Option<Fields>,
        #[serde(default, deserialize_with = "super::call::or_default")]
        fetch_next: bool,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_id: String,
        timestamp: Option<f64>,
        delay: Option<f64>,
        token: Option<String>,
        #[serde(default, deserialize_with = "super::call::or_default")]
        opts: Opts,
        #[serde(default, deserialize_with = "super::call::or_default")]
        ctx: Ctx,
    }
    let Params { job_id, timestamp, delay, token, opts, ctx } = call.read()?;
    let from = timestamp.map_or(call.now, |ms| Timestamp::from_millis(whole(ms)));
    let at = from + ms(delay.unwrap_or(0.0));
    let take = opts.fetch_next.then(|| ctx.demand(token.as_deref().unwrap_or("0"), None, call.now));
    let ending = if opts.skip_attempt {
        Ending::Postponed { at }
    } else {
        Ending::Retry { failure: why(opts.fields_to_update), at: Some(at) }
    };
    let written = Written {
        command: "moveToDelayed",
        job: &job_id,
        token: token.as_deref(),
        ending,
        take,
        metrics: None,
    };
    let taken = write(&call, written).await?;
    answer(&Next::only_job(taken, call.now))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneActive {
    job_id: String,
    token: Option<String>,
    #[serde(default, deserialize_with = "super::call::or_default")]
    opts: OneActiveOpts,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneActiveOpts {
    child: Option<ChildRef>,
    fields_to_update: Option<Fields>,
}

#[derive(Deserialize)]
struct ChildRef {
    id: String,
    queue: String,
}

/// Lets a job wait for its children. Where nothing is pending it stays where it is, and so it is looked for first; a child that
/// ends between the look and the move sends the job back to wait, where it is taken again at once.
pub(super) async fn move_to_waiting_children(call: Call) -> Outcome {
    let OneActive { job_id, token, opts } = call.read()?;
    let command = "moveToWaitingChildren";
    let queue = call.address()?;
    let about = About { command, job: &job_id, state: "active" };
    let id = JobId::from(job_id.as_str());
    let child = match opts.child {
        Some(child) => {
            let why = || Failure::params(&call.method, "`child.queue` is no qualified name");
            Some(JobKey::of(&child.queue, child.id).ok_or_else(why)?)
        }
        None => None,
    };
    let Some(pending) = pending(&call, &queue, &id, child.as_ref(), about).await? else {
        return answer(&false);
    };
    debug_assert!(pending);
    let ending = Ending::AwaitChildren { child };
    let written =
        Written { command, job: &job_id, token: token.as_deref(), ending, take: None, metrics: None };
    write(&call, written).await?;
    answer(&true)
}

/// Whether there is something to wait for: `Some(true)`, or `None`.
async fn pending(
    call: &Call,
    queue: &QueueAddress,
    id: &JobId,
    child: Option<&JobKey>,
    about: About<'_>,
) -> Result<Option<bool>, Failure> {
    let found = call.store().job(queue, id).await.map_err(|error| Failure::of(&error))?;
    if found.is_none() {
        let gone = oxmq::Error::new(oxmq::ErrorKind::NotFound, "finish", "there is no such job");
        return Err(Failure::of_job(&gone, about));
    }
    let mut cursor = None;
    loop {
        let limit = if child.is_some() { GROUP_JOBS_MAX } else { 0 };
        let request = ChildrenRequest { job: id.clone(), kinds: vec![ChildKind::Pending], cursor, limit };
        let page = call.store().children(queue, request).await.map_err(|error| Failure::of(&error))?;
        if page.counts.failed > 0 {
            let failed = oxmq::Error::new(oxmq::ErrorKind::FailedChildren, "finish", "a child has failed");
            return Err(Failure::of_job(&failed, about));
        }
        let Some(child) = child else { return Ok((page.counts.pending > 0).then_some(true)) };
        if page.children.iter().any(|found| found.key == *child) {
            return Ok(Some(true));
        }
        // Each page begins behind the one before, so this ends with the children.
        cursor = page.next;
        if cursor.is_none() {
            return Ok(None);
        }
    }
}

/// Gives a job back, and says how long the queue is limited.
pub(super) async fn move_to_wait(call: Call) -> Outcome {
    let OneActive { job_id, token, .. } = call.read()?;
    let command = "moveJobFromActiveToWait";
    let written = Written {
        command,
        job: &job_id,
        token: token.as_deref(),
        ending: Ending::Returned,
        take: None,
        metrics: None,
    };
    write(&call, written).await?;
    let limits =
        call.store().limits(&call.address()?, call.now).await.map_err(|error| Failure::of(&error))?;
    let left = limits.until.map_or(0, |until| until.as_millis().saturating_sub(call.now.as_millis()).max(0));
    answer(&left)
}

/// Tries a job again at once. What is due by then comes before it.
pub(super) async fn retry_job(call: Call) -> Outcome {
    let OneActive { job_id, token, opts } = call.read()?;
    let promote = TakeRequest { limit: 0, ..Ctx::default().demand("0", None, call.now) };
    call.store().take(&call.address()?, promote).await.map_err(|error| Failure::of(&error))?;
    let ending = Ending::Retry { failure: why(opts.fields_to_update), at: None };
    let written = Written {
        command: "retryJob",
        job: &job_id,
        token: token.as_deref(),
        ending,
        take: None,
        metrics: None,
    };
    write(&call, written).await?;
    done()
}

pub(super) async fn move_stalled(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        #[serde(default, deserialize_with = "super::call::or_default")]
        ctx: Ctx,
    }
    let Params { ctx } = call.read()?;
    let request = RecoverRequest {
        max_stalled: small(ctx.max_stalled_count.unwrap_or(1.0)),
        interval: ms(ctx.stalled_interval.unwrap_or(LEASE_DEFAULT_MS)),
        now: call.now,
    };
    let ids = call.store().recover(&call.address()?, request).await.map_err(|error| Failure::of(&error))?;
    answer(&ids.iter().map(JobId::as_str).collect::<Vec<_>>())
}

/// Keeps leases of one duration; those that are lost.
async fn extend(
    call: &Call,
    jobs: &[String],
    tokens: &[String],
    duration: f64,
) -> Result<Vec<String>, Failure> {
    if jobs.len() != tokens.len() {
        return Err(Failure::params(&call.method, "there must be as many tokens as jobs"));
    }
    let leases = jobs.iter().zip(tokens);
    let leases = leases
        .map(|(job, token)| Lease { job: JobId::from(job.as_str()), token: Token::new(token.as_str()) })
        .collect();
    let request = ExtendRequest { leases, lease_for: ms(duration), now: call.now };
    let kept = call.store().extend(&call.address()?, request).await.map_err(|error| Failure::of(&error))?;
    let lost = jobs.iter().zip(kept).filter(|(_, kept)| *kept == Extended::Lost);
    Ok(lost.map(|(job, _)| job.clone()).collect())
}

pub(super) async fn extend_lock(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_id: String,
        token: String,
        duration: f64,
    }
    let Params { job_id, token, duration } = call.read()?;
    answer(&u8::from(extend(&call, &[job_id], &[token], duration).await?.is_empty()))
}

pub(super) async fn extend_locks(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_ids: Vec<String>,
        tokens: Vec<String>,
        duration: f64,
    }
    let Params { job_ids, tokens, duration } = call.read()?;
    answer(&extend(&call, &job_ids, &tokens, duration).await?)
}

async fn note(call: &Call, command: &'static str, job: &str, note: Note) -> Result<u64, Failure> {
    let request = NoteRequest { job: JobId::from(job), note, now: call.now };
    let about = About { command, job, state: "" };
    call.store().note(&call.address()?, request).await.map_err(|error| Failure::of_job(&error, about))
}

pub(super) async fn update_data(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        job: Stub,
        data: String,
    }
    let Params { job, data } = call.read()?;
    note(&call, "updateData", &job.id, Note::Data(JsonText::stored(data))).await?;
    done()
}

pub(super) async fn update_progress(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_id: String,
        progress: String,
    }
    let Params { job_id, progress } = call.read()?;
    // What is no JSON would end the loop of every Node process that listens.
    let progress = JsonText::parse(progress).map_err(|error| Failure::params(&call.method, error))?;
    note(&call, "updateProgress", &job_id, Note::Progress(progress)).await?;
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    job_id: String,
    #[serde(default, deserialize_with = "super::call::or_default")]
    log_row: String,
    keep_logs: Option<f64>,
}

pub(super) async fn add_log(call: Call) -> Outcome {
    let Log { job_id, log_row, keep_logs } = call.read()?;
    // As in BullMQ 0 is no bound.
    let keep = keep_logs.map(small).filter(|keep| *keep > 0);
    answer(&note(&call, "addLog", &job_id, Note::Log { line: log_row, keep }).await?)
}

pub(super) async fn clear_logs(call: Call) -> Outcome {
    let Log { job_id, keep_logs, .. } = call.read()?;
    let keep = keep_logs.map(small).filter(|keep| *keep > 0);
    match note(&call, "clearLogs", &job_id, Note::ClearLogs { keep }).await {
        // A job that is not there has no log.
        Err(failure) if failure.number() != Some(-1) => Err(failure),
        _ => done(),
    }
}
