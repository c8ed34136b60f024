//! What is written down about a job: data, progress, its log.

use oxmq::store::{Note, NoteRequest};
use oxmq::{JobId, JsonText};
use serde::Deserialize;

use super::call::{Call, Outcome, answer, done};
use super::ctx::small;
use super::errors::{About, Failure};

async fn note(call: &Call, command: &'static str, job: &str, note: Note) -> Result<u64, Failure> {
    let request = NoteRequest { job: JobId::from(job), note, now: call.now };
    let about = About { command, job, state: "" };
    call.store().note(&call.address()?, request).await.map_err(|error| Failure::of_job(&error, about))
}

pub(super) async fn update_data(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Stub {
        id: String,
    }
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
struct LogLine {
    job_id: String,
    #[serde(default, deserialize_with = "super::call::or_default")]
    log_row: String,
    keep_logs: Option<f64>,
}

pub(super) async fn add_log(call: Call) -> Outcome {
    let LogLine { job_id, log_row, keep_logs } = call.read()?;
    // As in BullMQ 0 is no bound.
    let keep = keep_logs.map(small).filter(|keep| *keep > 0);
    answer(&note(&call, "addLog", &job_id, Note::Log { line: log_row, keep }).await?)
}

pub(super) async fn clear_logs(call: Call) -> Outcome {
    let LogLine { job_id, keep_logs, .. } = call.read()?;
    let keep = keep_logs.map(small).filter(|keep| *keep > 0);
    match note(&call, "clearLogs", &job_id, Note::ClearLogs { keep }).await {
        // A job that is not there has no log.
        Err(failure) if failure.number() != Some(-1) => Err(failure),
        _ => done(),
    }
}
