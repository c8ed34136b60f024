//! Adding: `addJob`, `addJobs`, `addFlow`, and the deduplication ids.

use std::collections::HashMap;

use oxmq::store::{
    AddFlowRequest, AddGroup, AddRequest, Added, Fate, Flow, FlowNode, OnRefusal, OwnerRequest,
    ReleaseRequest,
};
use oxmq::{ErrorKind, JobId, NewJob, QueueAddress, Result as StoreResult};
use serde::Deserialize;
use serde_json::Value;

use super::call::{Call, Outcome, address, answer};
use super::errors::Failure;
use super::job::{JobIn, ParentKeyOpts};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddJob {
    job: JobIn,
    job_id: Option<String>,
    parent_key_opts: Option<ParentKeyOpts>,
}

impl AddJob {
    fn into_group(self) -> AddGroup {
        AddGroup { jobs: vec![self.job.with_id(self.job_id, self.parent_key_opts.as_ref())] }
    }
}

/// What became of a group of one job.
fn id_of(added: StoreResult<Vec<Added>>) -> Result<String, Failure> {
    let added = added.map_err(|error| Failure::of_add(&error))?;
    let first = added.into_iter().next().ok_or_else(|| Failure::internal("a job was not answered for"))?;
    Ok(first.id.as_str().to_owned())
}

/// Adds the jobs of several `addJob` of one queue, in order, in one call; each is answered by itself.
pub(super) async fn add_each(calls: Vec<Call>) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(calls.len());
    let mut groups = Vec::with_capacity(calls.len());
    for call in &calls {
        match call.read::<AddJob>() {
            Ok(add) => {
                groups.push(add.into_group());
                outcomes.push(None);
            }
            Err(failure) => outcomes.push(Some(Err(failure))),
        }
    }
    let mut added = match (calls.first(), groups.is_empty()) {
        (Some(first), false) => add(first, groups).await,
        _ => Ok(Vec::new()),
    }
    .map(Vec::into_iter);
    let mut next = || match &mut added {
        Ok(added) => added.next().unwrap_or_else(|| {
            Err(oxmq::Error::new(ErrorKind::Internal, "add", "a group was not answered for"))
        }),
        Err(_) => Ok(Vec::new()),
    };
    let mut settle = |outcome: Option<Outcome>| -> Outcome {
        match outcome {
            Some(outcome) => outcome,
            None => answer(&id_of(next())?),
        }
    };
    let answers: Vec<Outcome> = outcomes.into_iter().map(&mut settle).collect();
    match added {
        Ok(_) => answers,
        // One failure is told to all that it hit.
        Err(failure) => answers.into_iter().map(|_| Err(failure.clone())).collect(),
    }
}

async fn add(call: &Call, groups: Vec<AddGroup>) -> Result<Vec<StoreResult<Vec<Added>>>, Failure> {
    let request = AddRequest { groups, now: call.now };
    call.store().add(&call.address()?, request).await.map_err(|error| Failure::of(&error))
}

/// Several jobs in one call. As with BullMQ one that is refused has its number for an id, and the others are added.
pub(super) async fn add_jobs(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        entries: Vec<AddJob>,
    }
    let entries = call.read::<Params>()?.entries;
    let groups = entries.into_iter().map(AddJob::into_group).collect();
    let mut ids: Vec<Value> = Vec::new();
    for added in add(&call, groups).await? {
        ids.push(match id_of(added) {
            Ok(id) => id.into(),
            Err(failure) => match failure.number() {
                Some(number) => number.into(),
                None => return Err(failure),
            },
        });
    }
    answer(&ids)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlowEntry {
    job_data: JobIn,
    job_id: String,
    #[serde(default, deserialize_with = "super::call::or_default")]
    parent_key_opts: ParentKeyOpts,
    prefix: String,
    queue_name: String,
}

/// Trees of jobs, over several queues. What cannot be added is left out, as with BullMQ, and the rest is added.
pub(super) async fn add_flow(call: Call) -> Outcome {
    #[derive(Deserialize)]
    struct Params {
        entries: Vec<FlowEntry>,
    }
    let entries = call.read::<Params>()?.entries;
    let count = entries.len();
    let (flows, places) = grow(&call.method, entries)?;
    let request = AddFlowRequest { flows, on_refusal: OnRefusal::KeepRest, now: call.now };
    let answers = call.store().add_flow(request).await.map_err(|error| Failure::of(&error))?;
    let mut rows = vec![serde_json::json!([null, -5]); count];
    for (added, places) in answers.into_iter().zip(places) {
        match added {
            Ok(added) => {
                for (added, place) in added.into_iter().zip(places) {
                    rows[place] = match added.fate {
                        Fate::Refused(ErrorKind::NotFound) => serde_json::json!([null, -5]),
                        Fate::Refused(_) => serde_json::json!([null, -7]),
                        _ => serde_json::json!([null, added.id.as_str()]),
                    };
                }
            }
            Err(error) => {
                // The root was refused, and so nothing below it has a parent.
                let failure = Failure::of_add(&error);
                if let Some(root) = places.first() {
                    rows[*root] = match failure.number() {
                        Some(number) => serde_json::json!([null, number]),
                        None => serde_json::json!([failure]),
                    };
                }
            }
        }
    }
    answer(&rows)
}

/// Makes trees of the list, in which parents come first; with the place of each node in the list.
fn grow(method: &str, entries: Vec<FlowEntry>) -> Result<(Vec<Flow>, Vec<Vec<usize>>), Failure> {
    let mut flows: Vec<Flow> = Vec::new();
    let mut places: Vec<Vec<usize>> = Vec::new();
    // A job's key -> its tree, and its place there.
    let mut known: HashMap<String, (usize, usize)> = HashMap::new();
    for (place, entry) in entries.into_iter().enumerate() {
        let FlowEntry { job_data, job_id, parent_key_opts, prefix, queue_name } = entry;
        let queue = address(method, &prefix, &queue_name)?;
        let mut job = job_data.into_new(Some(&parent_key_opts));
        let parent = job.options.parent.as_ref().and_then(|parent| known.get(&parent.to_string())).copied();
        let (flow, above) = if let Some((flow, above)) = parent {
            (flow, Some(above))
        } else {
            flows.push(Flow::default());
            places.push(Vec::new());
            (flows.len() - 1, None)
        };
        // The tree says it.
        if above.is_some() {
            job.options.parent = None;
        }
        known.entry(key_of(&queue, &job_id)).or_insert((flow, flows[flow].nodes.len()));
        flows[flow].nodes.push(node(queue, &job_id, job, above));
        places[flow].push(place);
    }
    Ok((flows, places))
}

fn key_of(queue: &QueueAddress, id: &str) -> String {
    format!("{queue}:{id}")
}

fn node(queue: QueueAddress, id: &str, job: NewJob, parent: Option<usize>) -> FlowNode {
    FlowNode { queue, id: JobId::from(id), job, parent }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deduplication {
    deduplication_id: String,
    job_id: Option<String>,
}

/// `removeDeduplicationKey`, if the job owns it; `deleteDeduplicationKey`, whoever does.
pub(super) async fn release(call: Call) -> Outcome {
    let Deduplication { deduplication_id, job_id } = call.read()?;
    let request =
        ReleaseRequest { id: deduplication_id, only_if_owner: job_id.map(JobId::from), now: call.now };
    let freed = call.store().release_deduplication(&call.address()?, request).await;
    answer(&u8::from(freed.map_err(|error| Failure::of(&error))?))
}

pub(super) async fn owner(call: Call) -> Outcome {
    let Deduplication { deduplication_id, .. } = call.read()?;
    let request = OwnerRequest { id: deduplication_id, now: call.now };
    let owner = call.store().deduplication_owner(&call.address()?, request).await;
    answer(&owner.map_err(|error| Failure::of(&error))?.map(|id| id.as_str().to_owned()))
}
