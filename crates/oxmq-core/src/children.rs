//! Gathering what a job knows of its children, page by page.

use std::collections::BTreeMap;
use std::future::Future;

use crate::address::{JobId, JobKey};
use crate::error::{Error, ErrorKind, Result};
use crate::json::JsonText;
use crate::store::{ChildKind, ChildOutcome, ChildrenPage, ChildrenRequest, GROUP_JOBS_MAX};

/// The most children that are gathered at once; of more only pages can be had.
pub const CHILDREN_GATHERED_MAX: usize = 100_000;

/// What the children that completed returned.
pub(crate) async fn values<F>(
    job: &JobId,
    ask: impl FnMut(ChildrenRequest) -> F,
) -> Result<BTreeMap<JobKey, JsonText>>
where
    F: Future<Output = Result<ChildrenPage>>,
{
    gather(job, ChildKind::Processed, ask, |outcome| match outcome {
        ChildOutcome::Processed(value) => Some(value),
        _ => None,
    })
    .await
}

/// Why the children failed whose failure does not matter.
pub(crate) async fn ignored_failures<F>(
    job: &JobId,
    ask: impl FnMut(ChildrenRequest) -> F,
) -> Result<BTreeMap<JobKey, String>>
where
    F: Future<Output = Result<ChildrenPage>>,
{
    gather(job, ChildKind::Ignored, ask, |outcome| match outcome {
        ChildOutcome::Ignored(reason) => Some(reason),
        _ => None,
    })
    .await
}

/// A request for the counts alone.
pub(crate) fn only_counts(job: JobId) -> ChildrenRequest {
    ChildrenRequest { job, kinds: Vec::new(), cursor: None, limit: 0 }
}

async fn gather<T, F>(
    job: &JobId,
    kind: ChildKind,
    mut ask: impl FnMut(ChildrenRequest) -> F,
    part: impl Fn(ChildOutcome) -> Option<T>,
) -> Result<BTreeMap<JobKey, T>>
where
    F: Future<Output = Result<ChildrenPage>>,
{
    let mut gathered = BTreeMap::new();
    let mut cursor = None;
    loop {
        let request = ChildrenRequest { job: job.clone(), kinds: vec![kind], cursor, limit: GROUP_JOBS_MAX };
        let page = ask(request).await?;
        if page.counts.of(kind) > CHILDREN_GATHERED_MAX as u64 {
            let message = format!(
                "the job has more than {CHILDREN_GATHERED_MAX} {} children: read them page by page",
                kind.as_str()
            );
            return Err(Error::new(ErrorKind::Refused, "children", message).with("job", job));
        }
        let is_last = page.children.is_empty();
        for child in page.children {
            gathered.extend(part(child.outcome).map(|part| (child.key, part)));
        }
        cursor = page.next;
        if cursor.is_none() || is_last {
            return Ok(gathered);
        }
    }
}
