//! `Store::add`: `lua/add.lua`.

use oxmq_core::store::{AddGroup, AddRequest, Added, Fate, OnRefusal};
use oxmq_core::{
    Deduplication, Error, ErrorKind, JobId, JobState, NewJob, QueueAddress, Result, Timestamp, millis,
};
use redis::Value;

use super::flow::{astray, insert};
use crate::scripts::ADD;
use crate::store::RedisStore;
use crate::wire::job::state_of;
use crate::wire::options::to_wire;
use crate::wire::reply::{self, Malformed, Read};

/// How many jobs one call carries, unless one group alone has more: beyond it nothing is gained, and the server is
/// kept busy for longer.
const JOBS_PER_CALL: usize = 250;

/// How many bytes of data one call carries, unless one group alone has more.
const BYTES_PER_CALL: usize = 4 << 20;

pub(crate) async fn add(
    store: &RedisStore,
    queue: &QueueAddress,
    request: AddRequest,
) -> Result<Vec<Result<Vec<Added>>>> {
    let mut answers: Vec<Result<Vec<Added>>> = Vec::with_capacity(request.groups.len());
    let mut groups = request.groups.as_slice();
    while let Some(first) = groups.first() {
        let (mut jobs, mut bytes) = (0, 0);
        let are_tied = is_tied(first);
        let fitting = groups.iter().take_while(|group| {
            jobs += group.jobs.len();
            bytes += group.jobs.iter().map(|job| job.data.as_str().len()).sum::<usize>();
            jobs <= JOBS_PER_CALL && bytes <= BYTES_PER_CALL && is_tied(group) == are_tied
        });
        let (now, later) = groups.split_at(fitting.count().max(1));
        let added = if are_tied {
            let tied = AddRequest { groups: now.to_vec(), now: request.now };
            insert(store, "add", now.len(), tied.plan(queue), OnRefusal::UndoFlow, request.now).await
        } else {
            add_groups(store, queue, now, request.now).await
        };
        match added {
            Ok(added) => answers.extend(added),
            Err(error) if answers.is_empty() && later.is_empty() => return Err(error),
            Err(error) => {
                answers.extend(now.iter().map(|_| Err(error.clone())));
                let unsent = Error::new(
                    ErrorKind::Unavailable,
                    "add",
                    "an earlier part of the call failed; this was not sent",
                )
                .with("queue", queue)
                .caused_by(error);
                answers.extend(later.iter().map(|_| Err(unsent.clone())));
                break;
            }
        }
        groups = later;
    }
    Ok(answers)
}

/// Whether a job of the group has a parent, so that more is to be looked at and written.
fn is_tied(group: &AddGroup) -> bool {
    group.jobs.iter().any(|job| job.options.parent.is_some())
}

async fn add_groups(
    store: &RedisStore,
    queue: &QueueAddress,
    groups: &[AddGroup],
    now: Timestamp,
) -> Result<Vec<Result<Vec<Added>>>> {
    let jobs: usize = groups.iter().map(|group| group.jobs.len()).sum();
    if jobs == 0 {
        return Ok(groups.iter().map(|_| Ok(Vec::new())).collect());
    }
    let mut call = store.script("add", queue, &ADD);
    call.arg(jobs).arg(now.as_millis());
    let mut before = None;
    for job in groups.iter().flat_map(|group| &group.jobs) {
        before = Some(write(&mut call.command, job, now, before.as_ref()));
    }
    let answer = call.once().await?;
    let values = reply::list(answer).map_err(|bad| bad.into_error("add"))?;
    if let [first, state] = values.as_slice() {
        return all_created(groups, first, state).map_err(|bad| bad.into_error("add"));
    }
    let mut values = values.into_iter();
    let mut read = |group: &AddGroup| -> Read<Result<Vec<Added>>> {
        let mut added = Vec::with_capacity(group.jobs.len());
        let mut strayed = None;
        for _ in &group.jobs {
            let mut next = || values.next().unwrap_or(Value::Nil);
            let (id, fate, state) = (next(), next(), next());
            let id = JobId::from(reply::text(id)?);
            let state = reply::maybe_text(state)?.as_deref().and_then(state_of);
            match (reply::text(fate)?.as_str(), state) {
                ("created", Some(state)) => added.push(Added::created(id, state)),
                ("existing", Some(state)) => added.push(Added::existing(id, state)),
                ("existing", None) => strayed = Some(id),
                (fate, state) => added.push(deduplicated(id, state, fate)?),
            }
        }
        Ok(match strayed {
            None => Ok(added),
            Some(id) => Err(astray("add", Some(queue), id.as_str())),
        })
    };
    groups.iter().map(|group| read(group).map_err(|bad| bad.into_error("add"))).collect()
}

/// What became of a job with a deduplication id: `deduplicated`, `next ID` or `replaced ID`.
pub(super) fn deduplicated(id: JobId, state: Option<JobState>, fate: &str) -> Read<Added> {
    let (fate, other) = fate.split_once(' ').unwrap_or((fate, ""));
    let other = JobId::from(other);
    Ok(match (fate, state) {
        ("deduplicated", state) => Added::deduplicated(id, state),
        ("next", _) => Added::new(id, JobState::Active, Fate::KeptAsNext { next: other }),
        ("replaced", Some(state)) => Added::new(id, state, Fate::Replaced { removed: other }),
        _ => return Err(Malformed::new("what became of a job", &Value::SimpleString(fate.into()))),
    })
}

/// A deduplication as `lua/shared/claim.lua` reads it.
pub(super) fn claim(deduplication: &Deduplication) -> String {
    let letters = [
        (deduplication.extend, 'e'),
        (deduplication.keep_last_if_active, 'k'),
        (deduplication.replace, 'r'),
        (deduplication.reschedule, 's'),
    ];
    let mut text: String =
        letters.into_iter().filter_map(|(is_set, letter)| is_set.then_some(letter)).collect();
    text.push(' ');
    if let Some(ttl) = deduplication.ttl_ms() {
        text.push_str(&ttl.to_string());
    }
    text.push(' ');
    text.push_str(&deduplication.id);
    text
}

/// The answers if all were created in this state, the first with this id.
fn all_created(groups: &[AddGroup], first: &Value, state: &Value) -> Read<Vec<Result<Vec<Added>>>> {
    let text = reply::text(state.clone())?;
    let state = state_of(&text).ok_or_else(|| Malformed::new("a state", state))?;
    let number: u64 =
        reply::text(first.clone())?.parse().map_err(|_| Malformed::new("an id that is a number", first))?;
    let mut ids = (0..).map(|index| JobId::from(number.saturating_add(index).to_string()));
    let mut added = |group: &AddGroup| {
        let ids = ids.by_ref().take(group.jobs.len());
        ids.map(|id| Added::created(id, state)).collect()
    };
    Ok(groups.iter().map(|group| Ok(added(group))).collect())
}

/// What a job has in common with the one before, as a rule.
#[derive(PartialEq)]
struct Common {
    options: String,
    timestamp: i64,
    delay: i64,
    priority: u32,
    is_lifo: bool,
}

/// Writes a job, as `lua/add.lua` reads it, behind one with this in common.
fn write(command: &mut redis::Cmd, job: &NewJob, now: Timestamp, before: Option<&Common>) -> Common {
    let options = &job.options;
    let common = Common {
        options: to_wire(options),
        timestamp: options.created_at(now).as_millis(),
        delay: options.delay.map_or(0, millis),
        priority: options.priority.unwrap_or(0),
        is_lifo: options.lifo == Some(true),
    };
    let is_like_before =
        options.job_id.is_none() && options.deduplication.is_none() && before == Some(&common);
    command.arg(if is_like_before { "=" } else { "" }).arg(job.name.as_str()).arg(job.data.as_str());
    if !is_like_before {
        command
            .arg(options.job_id.as_ref().map_or("", JobId::as_str))
            .arg(common.options.as_str())
            .arg(common.timestamp)
            .arg(common.delay)
            .arg(common.priority)
            .arg(u8::from(common.is_lifo))
            .arg(options.deduplication.as_ref().map(claim).unwrap_or_default());
    }
    common
}
