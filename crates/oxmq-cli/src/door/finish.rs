//! Ending runs of jobs: completed, failed, to be tried again, given back.

use oxmq::store::{Finish, FinishRequest, TakeRequest, Taken};
use oxmq::{Ending, Failure as Why, JobId, JobOptions, JsonText, Lease, Timestamp, Token};
use serde::{Deserialize, Serialize};

use super::call::{Call, Outcome, answer, done, whole};
use super::ctx::{Ctx, keep, ms};
use super::errors::{About, Failure};
use super::next::Next;

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

/// An ending of one job, and what is taken after it.
pub(super) struct Written<'a> {
    pub(super) command: &'static str,
    pub(super) job: &'a str,
    /// No token: no locking.
    pub(super) token: Option<&'a str>,
    pub(super) ending: Ending,
    pub(super) take: Option<TakeRequest>,
    pub(super) metrics: Option<u32>,
}

/// Writes it; what was taken.
pub(super) async fn write(call: &Call, written: Written<'_>) -> Result<Option<Taken>, Failure> {
    let Written { command, job, token, ending, take, metrics } = written;
    let token = token.map_or_else(Token::none, Token::new);
    // Node knows no requests to cancel: what it has decided is written.
    let finish =
        Finish { lease: Lease { job: JobId::from(job), token }, ending, heeds_cancel: true, known: None };
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
    fields_to_update: Option<Fields>,
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
