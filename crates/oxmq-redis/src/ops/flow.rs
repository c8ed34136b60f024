//! `Store::add_flow`, and adds of jobs with a parent: `lua/add_flow.lua`.

use std::collections::BTreeMap;

use oxmq_core::store::{AddFlowRequest, Added, Fate, OnRefusal, ParentRefusal, PlannedNode};
use oxmq_core::{
    Error, ErrorKind, JobId, JobKey, JobState, JsonText, Parent, QueueAddress, Result, Timestamp, millis,
};
use redis::Value;

use crate::connection::slot;
use crate::ops::add::{claim, deduplicated};
use crate::scripts::ADD_FLOW;
use crate::store::RedisStore;
use crate::wire::job::state_of;
use crate::wire::options::{flag_of, to_wire};
use crate::wire::reply::{self, Read};

pub(crate) async fn add_flow(store: &RedisStore, request: AddFlowRequest) -> Result<Vec<Result<Vec<Added>>>> {
    let nodes = request.plan()?;
    insert(store, "add_flow", request.flows.len(), nodes, request.on_refusal, request.now).await
}

/// Writes nodes, each group whole or not at all.
pub(crate) async fn insert(
    store: &RedisStore,
    verb: &'static str,
    groups: usize,
    mut nodes: Vec<PlannedNode<'_>>,
    on_refusal: OnRefusal,
    now: Timestamp,
) -> Result<Vec<Result<Vec<Added>>>> {
    let mut answers: Vec<Result<Vec<(usize, Added)>>> = (0..groups).map(|_| Ok(Vec::new())).collect();
    let Some(home) = nodes.first().map(|node| node.queue) else {
        return Ok(answers.into_iter().map(|_| Ok(Vec::new())).collect());
    };
    if store.is_cluster() {
        for node in &nodes {
            if let Some(error) = elsewhere(store, verb, home, node) {
                answers[node.group] = Err(error);
            }
        }
        nodes.retain(|node| answers[node.group].is_ok());
    }
    let mut queues: BTreeMap<&QueueAddress, usize> = BTreeMap::new();
    for node in &nodes {
        let number = queues.len() + 1;
        queues.entry(node.queue).or_insert(number);
    }
    let mut in_order: Vec<_> = queues.iter().collect();
    in_order.sort_by_key(|(_, number)| **number);

    let mut call = store.script(verb, home, &ADD_FLOW);
    call.arg(now.as_millis()).arg(u8::from(on_refusal == OnRefusal::KeepRest)).arg(groups).arg(queues.len());
    for (queue, _) in &in_order {
        call.arg(store.keys(queue).key(""));
    }
    call.arg(nodes.len());
    for node in &nodes {
        let options = &node.options;
        call.arg(node.group + 1)
            .arg(queues[node.queue])
            .arg(node.id.map_or("", JobId::as_str))
            .arg(node.job.name.as_str())
            .arg(node.job.data.as_str())
            .arg(to_wire(&store.options_in_keys(options)))
            .arg(options.created_at(now).as_millis())
            .arg(options.delay.map_or(0, millis))
            .arg(options.priority.unwrap_or(0))
            .arg(u8::from(options.lifo == Some(true)))
            .arg(u8::from(node.has_children))
            .arg(u8::from(node.index == 0));
        match &node.parent {
            Some(parent) => call.arg(store.job_key(&parent.key)).arg(parent_in_hash(store, parent)),
            None => call.arg("").arg(""),
        };
        call.arg(options.deduplication.as_ref().map(claim).unwrap_or_default());
    }
    let answer = call.once().await?;
    read(verb, &nodes, answer, &mut answers).map_err(|bad| bad.into_error(verb))?;
    let in_order = |mut added: Vec<(usize, Added)>| {
        added.sort_by_key(|(index, _)| *index);
        added.into_iter().map(|(_, added)| added).collect()
    };
    Ok(answers.into_iter().map(|answer| answer.map(in_order)).collect())
}

/// The field `parent` of a child.
fn parent_in_hash(store: &RedisStore, parent: &Parent) -> String {
    let text =
        |text: &str| JsonText::of(&text).map_or_else(|_| "null".into(), |json| json.as_str().to_owned());
    let queue = store.keys(&parent.key.queue).qualified();
    let flag = parent.on_failure.map_or(String::new(), |choice| format!(",\"{}\":true", flag_of(choice)));
    format!("{{\"id\":{},\"queueKey\":{}{flag}}}", text(parent.key.id.as_str()), text(&queue))
}

/// The refusal of a node that lies in another slot of a cluster than the first one, or whose parent does.
fn elsewhere(
    store: &RedisStore,
    verb: &'static str,
    home: &QueueAddress,
    node: &PlannedNode<'_>,
) -> Option<Error> {
    let slot_of = |queue: &QueueAddress| slot(&store.keys(queue).key("meta"));
    let parent = node.parent.as_ref().map(|parent| &parent.key.queue);
    let stray = parent.into_iter().chain([node.queue]).find(|queue| slot_of(queue) != slot_of(home))?;
    let message = format!(
        "a cluster writes jobs that are tied to each other in one step only if their queues lie in one slot, and \
         {home} and {stray} do not: give them one prefix, or prefixes with the same text in braces, as in `{{app}}:a` and `{{app}}:b`"
    );
    Some(Error::new(ErrorKind::Unsupported, verb, message))
}

fn read(
    verb: &'static str,
    nodes: &[PlannedNode<'_>],
    answer: Value,
    answers: &mut [Result<Vec<(usize, Added)>>],
) -> Read<()> {
    let [groups, jobs] = reply::tuple::<2>(answer)?;
    let mut groups = reply::list(groups)?.into_iter();
    for answer in answers.iter_mut() {
        let mut next = || groups.next().unwrap_or(Value::Nil);
        let (why, place, id) = (reply::text(next())?, next(), reply::maybe_text(next())?);
        if why == "added" || answer.is_err() {
            continue;
        }
        let place = usize::try_from(reply::int(place)?).unwrap_or(0);
        let node = nodes.get(place.wrapping_sub(1));
        *answer = Err(refusal(verb, &why, node, &id.unwrap_or_default()));
    }
    let mut jobs = reply::list(jobs)?.into_iter();
    for node in nodes {
        let mut next = || jobs.next().unwrap_or(Value::Nil);
        let (id, fate, state) = (reply::maybe_text(next())?, reply::maybe_text(next())?, next());
        let Ok(answer) = &mut answers[node.group] else { continue };
        let id = JobId::from(id.unwrap_or_default());
        let state = reply::maybe_text(state)?.as_deref().and_then(state_of);
        let added = match (fate.as_deref(), state) {
            (Some("created"), Some(state)) => Added::created(id, state),
            (Some("existing"), Some(state)) => Added::existing(id, state),
            (Some("existing") | None, _) => {
                answers[node.group] = Err(refusal(verb, "astray", Some(node), id.as_str()));
                continue;
            }
            (Some(fate), state) if reason(fate).is_none() => deduplicated(id, state, fate)?,
            (Some(why), state) => {
                let there = if node.has_children { JobState::WaitingChildren } else { JobState::Waiting };
                let mut added = Added::existing(id, state.unwrap_or(there));
                added.fate = Fate::Refused(reason(why).map_or(ErrorKind::Refused, ParentRefusal::kind));
                added
            }
        };
        answer.push((node.index, added));
    }
    Ok(())
}

fn reason(why: &str) -> Option<ParentRefusal> {
    match why {
        "missing" => Some(ParentRefusal::Missing),
        "taken" => Some(ParentRefusal::Taken),
        "failed" => Some(ParentRefusal::ChildFailed),
        "circle" => Some(ParentRefusal::Circle),
        _ => None,
    }
}

fn refusal(verb: &'static str, why: &str, node: Option<&PlannedNode<'_>>, id: &str) -> Error {
    let parent = node.and_then(|node| node.parent.as_ref());
    match (reason(why), parent) {
        (Some(reason), Some(parent)) => {
            let child = node.and_then(PlannedNode::key);
            reason.into_error(verb, child.as_ref(), &parent.key)
        }
        _ => astray(verb, node.map(|node| node.queue), id),
    }
}

/// A job with this id is there, but in no list.
pub(crate) fn astray(verb: &'static str, queue: Option<&QueueAddress>, id: &str) -> Error {
    let message =
        "a job with this id is there, but in no list of the queue, so nobody would run it: remove it first";
    let error = Error::new(ErrorKind::Corrupt, verb, message);
    match queue {
        Some(queue) => error.with("queue", queue).with("job", id),
        None => error.with("job", id),
    }
}

/// A job's key as users name it, from the base `P:Q:` of its queue.
pub(crate) fn key_of(store: &RedisStore, base: &str, id: String) -> Option<JobKey> {
    let key = JobKey::of(base.strip_suffix(':')?, id)?;
    Some(store.key_of_keys(key))
}
