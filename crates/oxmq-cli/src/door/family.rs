//! What a job knows of its children.
//!
//! The store's pages go on from a child; BullMQ's cursors are numbers that mean nothing but "go on". Here they are how many children
//! came before, so that nothing has to be remembered between two requests.

use std::collections::BTreeMap;

use oxmq::store::{Child, ChildKind, ChildOutcome, ChildrenRequest, GROUP_JOBS_MAX};
use oxmq::{JobId, JobKey, JsonText};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::call::{Call, Outcome, answer, count};
use super::errors::Failure;
use super::job::JobOut;
use super::look::Span;

/// The least that one page gives of children with something to tell. A page's size is a hint in BullMQ, where a small map comes whole.
const PAGE_MIN: u64 = 128;

/// How many children a page has unless it is told.
const PAGE_DEFAULT: u64 = 20;

fn failed(error: &oxmq::Error) -> Failure {
    Failure::of(error)
}

/// The children of one kind after the first `skip`, at most `limit`, and how many there are.
async fn some(
    call: &Call,
    job: &JobId,
    kind: ChildKind,
    skip: u64,
    limit: u64,
) -> Result<(Vec<Child>, u64), Failure> {
    let queue = call.address()?;
    let (mut found, mut passed, mut cursor) = (Vec::new(), 0, None);
    loop {
        let left = skip.saturating_add(limit).saturating_sub(passed);
        let request = ChildrenRequest {
            job: job.clone(),
            kinds: vec![kind],
            cursor,
            limit: usize::try_from(left).unwrap_or(GROUP_JOBS_MAX).min(GROUP_JOBS_MAX),
        };
        let page = call.store().children(&queue, request).await.map_err(|error| failed(&error))?;
        for child in page.children {
            passed += 1;
            if passed > skip && passed <= skip.saturating_add(limit) {
                found.push(child);
            }
        }
        cursor = page.next;
        // Each page begins behind the one before, so this ends with the children.
        if cursor.is_none() || passed >= skip.saturating_add(limit) {
            return Ok((found, page.counts.of(kind)));
        }
    }
}

async fn all(call: &Call, job: &JobId, kind: ChildKind) -> Result<Vec<Child>, Failure> {
    Ok(some(call, job, kind, 0, u64::MAX).await?.0)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneJob {
    job_id: String,
}

pub(super) async fn counts(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_id: String,
        types: Vec<String>,
    }
    let Params { job_id, types } = call.read()?;
    let request =
        ChildrenRequest { job: JobId::from(job_id), kinds: ChildKind::ALL.to_vec(), cursor: None, limit: 0 };
    let page = call.store().children(&call.address()?, request).await.map_err(|error| failed(&error))?;
    let counts = types.iter().map(|name| {
        let kind = ChildKind::ALL.into_iter().find(|kind| kind.as_str() == name);
        kind.map_or(0, |kind| page.counts.of(kind))
    });
    answer(&counts.collect::<Vec<u64>>())
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Page {
    cursor: Option<f64>,
    count: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
struct Groups {
    processed: Option<Page>,
    unprocessed: Option<Page>,
    ignored: Option<Page>,
    failed: Option<Page>,
}

impl Groups {
    fn of(&self, kind: ChildKind) -> Option<Page> {
        match kind {
            ChildKind::Processed => self.processed,
            ChildKind::Pending => self.unprocessed,
            ChildKind::Ignored => self.ignored,
            _ => self.failed,
        }
    }
}

/// All children, or a page of each kind that is asked for.
pub(super) async fn dependencies(call: Call) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        job_id: String,
        #[serde(default, deserialize_with = "super::call::or_default")]
        opts: Groups,
    }
    let Params { job_id, opts } = call.read()?;
    let job = JobId::from(job_id);
    let asked = ChildKind::ALL.map(|kind| opts.of(kind));
    let mut groups = Map::new();
    for (kind, page) in ChildKind::ALL.into_iter().zip(asked) {
        if asked.iter().all(Option::is_none) {
            groups.insert(kind.as_str().to_owned(), shown(kind, all(&call, &job, kind).await?));
            continue;
        }
        let Some(page) = page else { continue };
        let skip = page.cursor.map_or(0, count);
        let wanted = page.count.map_or(PAGE_DEFAULT, count);
        let (children, next) = if kind == ChildKind::Failed {
            // BullMQ takes `cursor` and `count - 1` for two ends of one range, and never says that it was the last page.
            let (children, _) = some(&call, &job, kind, skip, wanted.saturating_sub(skip)).await?;
            (children, skip + wanted)
        } else {
            let least = if kind == ChildKind::Pending { 1 } else { PAGE_MIN };
            let (children, total) = some(&call, &job, kind, skip, wanted.max(least)).await?;
            let seen = skip + children.len() as u64;
            (children, if seen < total { seen } else { 0 })
        };
        let mut name = kind.as_str().to_owned();
        groups.insert(name.clone(), shown(kind, children));
        name[..1].make_ascii_uppercase();
        groups.insert(format!("next{name}Cursor"), next.into());
    }
    answer(&groups)
}

/// Children of one kind as BullMQ shows them: those with something to tell as a map, the others as a list of keys.
fn shown(kind: ChildKind, children: Vec<Child>) -> Value {
    match kind {
        ChildKind::Processed | ChildKind::Ignored => {
            let told = children.into_iter().map(|child| {
                let value = match child.outcome {
                    ChildOutcome::Processed(value) => decoded(&value),
                    ChildOutcome::Ignored(reason) => reason.into(),
                    _ => Value::Null,
                };
                (child.key.to_string(), value)
            });
            Value::Object(told.collect())
        }
        _ => children.into_iter().map(|child| Value::from(child.key.to_string())).collect(),
    }
}

fn decoded(json: &JsonText) -> Value {
    json.read().unwrap_or_else(|_| json.as_str().into())
}

/// `{child: what it returned, as text}`
pub(super) async fn values(call: Call) -> Outcome {
    let OneJob { job_id } = call.read()?;
    let children = all(&call, &JobId::from(job_id), ChildKind::Processed).await?;
    let values = children.into_iter().filter_map(|child| match child.outcome {
        ChildOutcome::Processed(value) => Some((child.key.to_string(), value.as_str().to_owned())),
        _ => None,
    });
    answer(&values.collect::<BTreeMap<String, String>>())
}

/// `{child: why it failed}`
pub(super) async fn failures(call: Call) -> Outcome {
    let OneJob { job_id } = call.read()?;
    let children = all(&call, &JobId::from(job_id), ChildKind::Ignored).await?;
    let reasons = children.into_iter().filter_map(|child| match child.outcome {
        ChildOutcome::Ignored(reason) => Some((child.key.to_string(), reason)),
        _ => None,
    });
    answer(&reasons.collect::<BTreeMap<String, String>>())
}

/// What `paginate` answers.
#[derive(serde::Serialize)]
struct Paged {
    cursor: &'static str,
    items: Vec<Value>,
    total: u64,
    jobs: Vec<JobOut>,
}

/// A page of the children of one kind, with the jobs themselves.
pub(super) async fn paginate(call: Call) -> Outcome {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Opts {
        start: Option<f64>,
        end: Option<f64>,
        #[serde(default, deserialize_with = "super::call::or_default")]
        fetch_jobs: bool,
    }
    #[derive(Deserialize)]
    struct Params {
        key: String,
        #[serde(default, deserialize_with = "super::call::or_default")]
        opts: Opts,
    }
    let Params { key, opts } = call.read()?;
    let wrong = || {
        Failure::params(
            &call.method,
            format!("`key` is {key}: use QUEUE:JOB:processed or QUEUE:JOB:dependencies"),
        )
    };
    let (job_key, list) = key.rsplit_once(':').ok_or_else(wrong)?;
    let kind = match list {
        "processed" => ChildKind::Processed,
        "dependencies" => ChildKind::Pending,
        "failed" => ChildKind::Ignored,
        "unsuccessful" => ChildKind::Failed,
        _ => return Err(wrong()),
    };
    // The queue is known, so that an id may have colons.
    let id = job_key.strip_prefix(&format!("{}:", call.address()?)).ok_or_else(wrong)?;
    let id = JobId::from(id);
    let (_, total) = some(&call, &id, kind, 0, 0).await?;
    let mut children = Vec::new();
    if let Some(span) = Span::of(opts.start, opts.end, total) {
        (children, _) = some(&call, &id, kind, span.start, span.end - span.start).await?;
    }
    let mut items: Vec<Value> = Vec::with_capacity(children.len());
    let mut jobs: Vec<JobOut> = Vec::new();
    for Child { key, outcome } in children {
        if opts.fetch_jobs
            && let Some(job) = fetch(&call, &key).await?
        {
            jobs.push(job);
        }
        let key = key.to_string();
        items.push(match outcome {
            ChildOutcome::Processed(value) => match value.read::<Value>() {
                Ok(value) => json!({ "id": key, "v": value }),
                Err(error) => json!({ "id": key, "err": error.to_string() }),
            },
            ChildOutcome::Ignored(reason) => json!({ "id": key, "v": reason }),
            _ => json!({ "id": key }),
        });
    }
    answer(&Paged { cursor: "0", items, total, jobs })
}

async fn fetch(call: &Call, key: &JobKey) -> Result<Option<JobOut>, Failure> {
    let found = call.store().job(&key.queue, &key.id).await.map_err(|error| failed(&error))?;
    Ok(found.map(|view| view.job.into()))
}
