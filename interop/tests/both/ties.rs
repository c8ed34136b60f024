//! Steering jobs that are tied to others: what either side leaves in Redis, key by key.

use oxmq_core::JobState;
use oxmq_interop::{Rig, Side, Work, keyspace, ms, until};
use serde_json::{Value, json};

/// What is done to the two queues, by one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    RemoveChild,
    RemoveParent,
    RemoveFailedChild,
    RemoveDoneChild,
    CleanChildren,
    CleanFailedChildren,
    CleanDoneChildren,
    DrainChildren,
    DrainParents,
    ObliterateChildren,
    ObliterateParents,
    RetryFailedChild,
    RetryDoneChild,
    RetryAllFailed,
    RemoveDeduplicated,
    CleanDeduplicated,
    DrainDeduplicated,
    PromoteDeduplicated,
    ChangeDelayOfDeduplicated,
    RemoveScheduled,
    CleanScheduled,
    DrainScheduled,
    PromoteScheduled,
}

const ALL: [Deed; 23] = [
    Deed::RemoveChild,
    Deed::RemoveParent,
    Deed::RemoveFailedChild,
    Deed::RemoveDoneChild,
    Deed::CleanChildren,
    Deed::CleanFailedChildren,
    Deed::CleanDoneChildren,
    Deed::DrainChildren,
    Deed::DrainParents,
    Deed::ObliterateChildren,
    Deed::ObliterateParents,
    Deed::RetryFailedChild,
    Deed::RetryDoneChild,
    Deed::RetryAllFailed,
    Deed::RemoveDeduplicated,
    Deed::CleanDeduplicated,
    Deed::DrainDeduplicated,
    Deed::PromoteDeduplicated,
    Deed::ChangeDelayOfDeduplicated,
    Deed::RemoveScheduled,
    Deed::CleanScheduled,
    Deed::DrainScheduled,
    Deed::PromoteScheduled,
];

/// Deeds that do not leave with us what they leave with Node, the keys that differ, and why.
const DIFFER: &[(Deed, &[&str], &str)] = &[
    (
        Deed::RemoveParent,
        &["bull:the queue 0:events"],
        "Node lets a parent run when its last child is removed, also if it removes them together; ours tells only \
         that it is removed, and from where",
    ),
    (Deed::DrainChildren, &["bull:the queue 0:events"], "both release the parent, and ours tells it"),
    (Deed::ObliterateChildren, &["bull:the queue 0:events"], "both release the parent, and ours tells it"),
    (
        Deed::ObliterateParents,
        &["bull:the queue 0:p", "bull:the queue 0:p:dependencies", "bull:the queue 0:waiting-children"],
        "Node leaves jobs behind that wait for children; ours leaves nothing",
    ),
];

async fn left(steers: Side, deed: Deed) -> Value {
    let (above, below) = (Rig::new().await, Rig::new().await);
    let needs_ends = matches!(
        deed,
        Deed::RemoveFailedChild
            | Deed::RemoveDoneChild
            | Deed::CleanFailedChildren
            | Deed::CleanDoneChildren
            | Deed::RetryFailedChild
            | Deed::RetryDoneChild
            | Deed::RetryAllFailed
    );
    let producer = above.make("FlowProducer", json!({})).await;
    let child = |id: &str, name: &str, opts: Value| {
        let mut opts = opts;
        opts["jobId"] = id.into();
        json!({ "name": name, "queueName": below.name, "data": { "message": "no" }, "opts": opts })
    };
    // With `slow` the parent still waits when the others have ended.
    let mut children =
        vec![child("c0", "echo", json!({})), child("slow", "echo", json!({ "delay": 60_000 }))];
    if needs_ends {
        children.push(child("c1", "fail", json!({ "ignoreDependencyOnFailure": true })));
        children.push(child("c2", "fail", json!({})));
    }
    let root = json!({ "name": "echo", "queueName": above.name, "data": {}, "opts": { "jobId": "p" }, "children": children });
    above.agent.call(&producer, "add", json!([root])).await.unwrap();
    if needs_ends {
        let node = below.work(Side::Node, Work { name: Some("w".into()), ..Work::default() }).await;
        until("they have ended", || async { below.queue.counts().await.unwrap().unfinished() == 1 }).await;
        node.close().await;
    }
    for (id, opts) in
        [("d1", json!({})), ("d2", json!({ "delay": 60_000 })), ("d3", json!({ "priority": 2 }))]
    {
        let mut opts = opts;
        opts["deduplication"] = json!({ "id": format!("of {id}"), "ttl": 600_000 });
        opts["jobId"] = id.into();
        above.add(Side::Node, "echo", json!({}), opts).await;
    }
    let has_schedule = matches!(
        deed,
        Deed::RemoveScheduled | Deed::CleanScheduled | Deed::DrainScheduled | Deed::PromoteScheduled
    );
    let mut scheduled = Value::Null;
    if has_schedule {
        let daily = json!(["tick", { "pattern": "0 0 3 1 1 *" }, { "name": "echo", "data": {} }]);
        scheduled = above.node("upsertJobScheduler", daily).await["id"].take();
    }
    let scheduled = scheduled.as_str().unwrap_or_default();
    match deed {
        Deed::RemoveChild | Deed::RemoveDoneChild => drop(below.remove(steers, "c0").await),
        Deed::RemoveParent => drop(above.remove(steers, "p").await),
        Deed::RemoveFailedChild => {
            below.remove(steers, "c1").await;
            below.remove(steers, "c2").await;
        }
        Deed::CleanChildren => drop(below.clean(steers, JobState::Waiting).await),
        Deed::CleanFailedChildren => drop(below.clean(steers, JobState::Failed).await),
        Deed::CleanDoneChildren => drop(below.clean(steers, JobState::Completed).await),
        Deed::DrainChildren => below.drain(steers, true).await,
        Deed::DrainParents | Deed::DrainDeduplicated | Deed::DrainScheduled => {
            above.drain(steers, true).await;
        }
        Deed::ObliterateChildren => drop(below.obliterate(steers, false).await),
        Deed::ObliterateParents => drop(above.obliterate(steers, false).await),
        Deed::RetryFailedChild => {
            below.retry(steers, "c1", JobState::Failed).await;
            below.retry(steers, "c2", JobState::Failed).await;
        }
        Deed::RetryDoneChild => below.retry(steers, "c0", JobState::Completed).await,
        Deed::RetryAllFailed => below.retry_all(steers, JobState::Failed).await,
        Deed::RemoveDeduplicated => {
            for id in ["d1", "d2", "d3"] {
                above.remove(steers, id).await;
            }
        }
        Deed::CleanDeduplicated => {
            for state in [JobState::Waiting, JobState::Delayed, JobState::Prioritized] {
                above.clean(steers, state).await;
            }
        }
        Deed::PromoteDeduplicated => above.promote(steers, "d2").await,
        Deed::ChangeDelayOfDeduplicated => above.change_delay(steers, "d2", ms(60_000)).await,
        // Node's `queue.remove` and ours both refuse.
        Deed::RemoveScheduled => {
            drop(above.agent.call(&above.name, "remove", json!([scheduled])).await);
            if steers == Side::Rust {
                drop(above.queue.remove(scheduled).await);
            }
        }
        Deed::CleanScheduled => drop(above.clean(steers, JobState::Delayed).await),
        Deed::PromoteScheduled => above.promote(steers, scheduled).await,
    }
    let mut left = keyspace::of(&[&above, &below], &[]);
    if deed == Deed::RemoveParent {
        // Children go in the order of a set.
        let events = left["bull:the queue 1:events"].as_array_mut();
        events.unwrap().sort_by_key(Value::to_string);
    }
    left
}

#[tokio::test]
async fn deeds_to_jobs_that_are_tied_leave_the_same() {
    let mut surprises = Vec::new();
    for deed in ALL {
        let (node, ours) = (left(Side::Node, deed).await, left(Side::Rust, deed).await);
        let nothing = Value::Null;
        let get = |side: &Value, key: &str| side.get(key).unwrap_or(&nothing).clone();
        let keys = node.as_object().unwrap().keys().chain(ours.as_object().unwrap().keys());
        let keys: std::collections::BTreeSet<&str> = keys.map(String::as_str).collect();
        let found: Vec<&str> = keys.into_iter().filter(|key| get(&node, key) != get(&ours, key)).collect();
        let known = DIFFER.iter().find(|(other, ..)| *other == deed).map_or(&[][..], |(_, keys, _)| keys);
        if found == known {
            continue;
        }
        for key in &found {
            eprintln!("{deed:?}: {key}\n  node: {}\n  ours: {}", get(&node, key), get(&ours, key));
        }
        surprises.push((deed, found.into_iter().map(str::to_owned).collect::<Vec<_>>()));
    }
    assert!(surprises.is_empty(), "what differs from Node, and is not known to: {surprises:?}");
}

#[tokio::test]
async fn many_jobs_are_drained_and_cleaned_round_the_next_run_of_a_scheduler() {
    for clean in [false, true] {
        let rig = Rig::new().await;
        let jobs: Vec<Value> = (0..1_200).map(|n| json!({ "name": "echo", "data": n })).collect();
        rig.node("addBulk", json!([jobs])).await;
        let every = json!(["tick", { "every": 3_600_000 }, { "name": "echo", "data": {} }]);
        let next = rig.node("upsertJobScheduler", every).await["id"].as_str().unwrap().to_owned();
        rig.node("addBulk", json!([jobs])).await;
        rig.promote_all(Side::Node).await;
        if clean {
            assert_eq!(rig.clean(Side::Rust, JobState::Waiting).await.len(), 2_400);
        } else {
            rig.drain(Side::Rust, true).await;
        }
        assert_eq!(rig.ids(Side::Node, JobState::Waiting).await, [next.as_str()], "clean: {clean}");
    }
}
