//! A job that waits for its children.

use oxmq::store::{ChildKind, ChildrenRequest, GROUP_JOBS_MAX};
use oxmq::{Ending, JobId, JobKey, QueueAddress};
use serde::Deserialize;

use super::call::{Call, Outcome, answer};
use super::errors::{About, Failure};
use super::finish::{Written, write};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    job_id: String,
    token: Option<String>,
    #[serde(default, deserialize_with = "super::call::or_default")]
    opts: Opts,
}

#[derive(Default, Deserialize)]
struct Opts {
    child: Option<ChildRef>,
}

#[derive(Deserialize)]
struct ChildRef {
    id: String,
    queue: String,
}

/// Lets a job wait for its children. Where nothing is pending it stays where it is, and so it is looked for first; a child that
/// ends between the look and the move sends the job back to wait, where it is taken again at once.
pub(super) async fn move_to_waiting_children(call: Call) -> Outcome {
    let Params { job_id, token, opts } = call.read()?;
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
    if !is_pending(&call, &queue, &id, child.as_ref(), about).await? {
        return answer(&false);
    }
    let ending = Ending::AwaitChildren { child };
    let written =
        Written { command, job: &job_id, token: token.as_deref(), ending, take: None, metrics: None };
    write(&call, written).await?;
    answer(&true)
}

/// Whether there is something to wait for: this child, or any.
async fn is_pending(
    call: &Call,
    queue: &QueueAddress,
    id: &JobId,
    child: Option<&JobKey>,
    about: About<'_>,
) -> Result<bool, Failure> {
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
        let Some(child) = child else { return Ok(page.counts.pending > 0) };
        if page.children.iter().any(|found| found.key == *child) {
            return Ok(true);
        }
        // Each page begins behind the one before, so this ends with the children.
        cursor = page.next;
        if cursor.is_none() {
            return Ok(false);
        }
    }
}
